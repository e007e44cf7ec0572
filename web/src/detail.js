/** The chosen clip: its sound, text, reasons and scores, and the actions of a page that serves the report. */

import { h } from "./dom.js";
import { clock, short } from "./format.js";

export function detail(element, state, given) {
  const { clips } = state;
  element.setAttribute("aria-live", "polite");
  const draw = () => {
    const row = state.chosen;
    if (row < 0) {
      element.replaceChildren(h("p", { class: "hint" }, "Choose a clip to see its scores and to hear it."));
      return;
    }
    const clipId = clips.id(row);
    const own = h("div", { class: "served" });
    const source = given.sound(clipId);
    const isPlaying = element.querySelector("audio");
    const audio =
      isPlaying?.dataset.clip === clipId && isPlaying.src === source ? isPlaying : player(clipId, source, clips, row);
    element.replaceChildren(
      h("h3", {}, clips.text(row) ? h("bdi", {}, clips.text(row)) : "no transcript"),
      audio,
      buttons(given, clipId),
      verdict(state, given, row, clipId),
      scores(state, row),
      h(
        "p",
        { class: "from" },
        h("bdi", {}, clips.title(row)),
        ` at ${clock(clips.startS(row))}`,
        clips.speakerName(row) ? `, speaker ${clips.speakerName(row)}` : "",
        h("br"),
        h("code", {}, clipId),
      ),
      own,
    );
    given.detail(clipId, own);
  };
  for (const name of ["chosen", "decided", "noted"]) state.addEventListener(name, draw);
  draw();
}

function player(clipId, source, clips, row) {
  if (!source) {
    const why = `This page holds the sound of a sample only. speechmill review ${clips.table.name} plays every clip.`;
    return h("p", { class: "hint" }, why);
  }
  const label = `Sound of the clip of ${clips.seconds(row).toFixed(2)} seconds`;
  return h("audio", { controls: true, preload: "none", src: source, "aria-label": label, "data-clip": clipId });
}

function buttons(given, clipId) {
  return h(
    "div",
    { class: "actions" },
    ...given.actions.map(({ key, label, run }) =>
      h("button", { type: "button", onclick: () => run(clipId) }, label, key ? h("kbd", {}, key) : null),
    ),
  );
}

function verdict(state, given, row, clipId) {
  const reasons = state.reasonsOf(row);
  const isKept = state.isKept(row);
  const note = given.note(clipId);
  return h(
    "div",
    { class: "tags" },
    h("span", { class: `tag ${isKept ? "good" : "reason"}` }, isKept ? "✓ kept" : "✕ rejected"),
    ...reasons.map((reason) => h("span", { class: `tag ${isKept ? "" : "reason"}` }, reason)),
    note ? h("span", { class: "tag" }, note) : null,
  );
}

function scores(state, row) {
  const { clips } = state;
  const rows = clips.columns.map((column) => [column, clips.value(column, row)]).filter(([, value]) => value !== null);
  return h(
    "dl",
    { class: "scores" },
    ...rows.map(([column, value]) => {
      const at = clips.tested.indexOf(column);
      const position = at < 0 ? null : state.limit(at);
      const limit = position === null ? null : column.stops[position];
      const fails = limit !== null && (column.at_most ? value > limit : value < limit);
      const sign = column.at_most ? "≤" : "≥";
      const bound = limit === null ? "" : ` ${fails ? "✕ must be " : ""}${sign} ${short(limit)}`;
      return h(
        "div",
        { class: fails ? "failed" : "", title: column.about },
        h("dt", {}, column.name),
        h("dd", {}, short(value), h("small", {}, bound)),
      );
    }),
  );
}
