/** All clips in a sortable, filterable list. */

import { atNextFrame, h } from "./dom.js";
import { clock, count, hours, short } from "./format.js";
import { Grid } from "./grid.js";

const FIRST_SCORE = "snr_db";

export function clipList(element, state, given) {
  const { clips } = state;
  const filter = h("input", {
    type: "search",
    id: "filter",
    "aria-label": "Filter clips",
    "aria-describedby": "filter-help",
    placeholder: "words, reason:low_snr, snr_db < 20 …",
    oninput: atNextFrame(() => state.setFilter(filter.value)),
  });
  const shown = h("span", { id: "shown", role: "status" });
  const faults = h("span", { id: "filter-faults", role: "alert" });
  const scored = clips.columns.filter(({ name }) => name !== "duration_s");
  const score = h(
    "select",
    { id: "score", "aria-label": "Score shown" },
    ...scored.map(({ name }) => h("option", { selected: name === FIRST_SCORE }, name)),
  );
  const place = h("div", { class: `grid clip-grid${clips.table.speakers.length ? " with-speakers" : ""}` });
  element.append(
    h("div", { class: "controls" }, filter, h("label", {}, "score ", score), shown, faults),
    h(
      "p",
      { id: "filter-help", class: "hint" },
      "Words are looked for in text, title, speaker and reasons; ",
      h("code", {}, "kept"),
      ", ",
      h("code", {}, "reason:music"),
      ", ",
      h("code", {}, 'recording:"part of a title"'),
      ", ",
      h("code", {}, "speaker:id"),
      " and ",
      h("code", {}, "field < value"),
      " narrow it further. Press ",
      h("kbd", {}, "?"),
      " for keys.",
    ),
    place,
  );
  const shownColumn = () => clips.byName.get(score.value);
  const grid = new Grid(place, {
    label: "clips",
    columns: columnsOf(state, given, shownColumn),
    classOf: (row) => (state.isKept(row) ? "kept" : "rejected"),
    onChoose: (row) => state.choose(row),
  });
  score.addEventListener("change", () => grid.sortBy("score", 1));
  const update = () => {
    grid.setRows(state.queue ? state.queue.filter((row) => state.missedBrush[row] === 0) : state.rows, {
      keepOrder: state.isNewQueue,
    });
    if (state.isNewQueue) grid.mark(state.chosen); // it may have been chosen while the list had another order
    state.isNewQueue = false;
    const samples = state.rows.reduce((sum, row) => sum + clips.samples[row], 0);
    const length = hours(samples / clips.table.rate);
    shown.textContent = `${count(state.rows.length)} of ${count(clips.count)} clips, ${length}`;
    faults.textContent = state.parsed.faults.join("; ");
    if (filter.value !== state.filter) filter.value = state.filter;
  };
  state.addEventListener("selected", atNextFrame(update));
  state.addEventListener(
    "decided",
    atNextFrame(() => grid.refresh("verdict")),
  );
  state.addEventListener("chosen", () => grid.mark(state.chosen));
  state.addEventListener("noted", () => grid.draw());
  update();
  return { grid, filter };
}

function columnsOf(state, given, shownColumn) {
  const { clips } = state;
  const reasons = (row) => (state.isKept(row) ? "✓ kept" : `✕ ${state.reasonsOf(row).join(", ")}`);
  const verdict = (row) => {
    const note = given.note(clips.id(row));
    return note ? `${note} · ${reasons(row)}` : reasons(row);
  };
  const text = (row) => h("bdi", {}, clips.text(row) || "–");
  const score = (row) => clips.value(shownColumn(), row);
  return [
    { name: "text", label: "text", cell: text, key: (row) => clips.text(row) },
    { name: "verdict", label: "decision", cell: verdict, key: reasons },
    { name: "score", label: "score", cell: (row) => short(score(row)), key: score, isNumber: true },
    {
      name: "length",
      label: "seconds",
      cell: (row) => clips.seconds(row).toFixed(2),
      key: (row) => clips.samples[row],
      isNumber: true,
      first: -1,
    },
    {
      name: "recording",
      label: "recording",
      cell: (row) => h("bdi", {}, clips.title(row)),
      key: (row) => clips.title(row),
    },
    {
      name: "position",
      label: "at",
      cell: (row) => clock(clips.startS(row)),
      key: (row) => clips.start[row],
      isNumber: true,
    },
    ...(clips.table.speakers.length
      ? [
          {
            name: "speaker",
            label: "speaker",
            cell: (row) => clips.speakerName(row) || "–",
            key: (row) => clips.speaker[row],
          },
        ]
      : []),
  ];
}
