/** A view for each speaker: clips and hours of kept audio, now and at the thresholds of the sliders. */

import { h } from "./dom.js";
import { count, hours, percent } from "./format.js";
import { Grid } from "./grid.js";

export function speakers(element, state) {
  const { clips } = state;
  const names = clips.table.speakers;
  if (!names.length) {
    element.append(h("p", {}, "Speakers were not clustered, or no clip was kept."));
    return;
  }
  const numbers = new Float64Array(names.length + 1);
  const sources = names.map(() => new Set());
  for (let row = 0; row < clips.count; row++) {
    numbers[clips.speaker[row]]++;
    if (clips.speaker[row]) sources[clips.speaker[row] - 1].add(clips.recording[row]);
  }
  const seconds = (samples) => (clips.scale * samples) / clips.table.rate;
  const of = (totals, at) => totals.bySpeaker[at + 1];
  const share = (at) => of(state.then, at) / (state.then.samples || 1);
  const list = (at) => {
    state.setFilter(`speaker:${names[at]}`);
    document.querySelector("#every-clip").scrollIntoView();
  };
  const place = h("div", { class: "grid speaker-grid" });
  const view = h("div", { class: "speaker" });
  element.append(
    h(
      "p",
      {},
      "Speakers are clusters of voices among the kept clips. What only other thresholds keep has no speaker yet. " +
        "Choose one to list its clips.",
    ),
    place,
    view,
  );
  const grid = new Grid(place, {
    label: "speakers",
    columns: [
      { name: "speaker", label: "speaker", cell: (at) => names[at], key: (at) => names[at] },
      {
        name: "clips",
        label: "clips",
        cell: (at) => count(clips.scale * numbers[at + 1]),
        key: (at) => numbers[at + 1],
        isNumber: true,
        first: -1,
      },
      {
        name: "recordings",
        label: "recordings",
        cell: (at) => count(sources[at].size),
        key: (at) => sources[at].size,
        isNumber: true,
        first: -1,
      },
      {
        name: "kept",
        label: "kept now",
        cell: (at) => hours(seconds(of(state.present, at))),
        key: (at) => of(state.present, at),
        isNumber: true,
        first: -1,
      },
      {
        name: "then",
        label: "then",
        cell: (at) => hours(seconds(of(state.then, at))),
        key: (at) => of(state.then, at),
        isNumber: true,
        first: -1,
      },
      { name: "share", label: "share", cell: (at) => percent(share(at)), key: share, isNumber: true, first: -1 },
    ],
    sort: { name: "kept", direction: -1 },
    onChoose: (at) => {
      grid.mark(at);
      view.replaceChildren(h("button", { type: "button", onclick: () => list(at) }, `List the clips of ${names[at]}`));
    },
  });
  grid.setRows(names.map((_, at) => at));
  state.addEventListener("decided", () => grid.draw());
}
