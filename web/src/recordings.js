/** A view for each recording: what was kept of it, and where on its timeline clips, rejects and gaps lie. */

import { h, s } from "./dom.js";
import { clock, count, hours, percent } from "./format.js";
import { Grid } from "./grid.js";

const HEIGHTS = { kept: [0, 40], rejected: [10, 30], too_short: [24, 16], too_long: [24, 16], corrupt: [32, 8] };

export function recordings(element, state) {
  const { clips } = state;
  const all = clips.table.recordings;
  if (!all.length) {
    element.append(h("p", {}, "There are no recordings."));
    return;
  }
  const wanted = h("input", {
    type: "search",
    id: "find-recording",
    "aria-label": "Find a recording",
    placeholder: "find a recording by its title",
    oninput: () => grid.setRows(found()),
  });
  const place = h("div", { class: "grid recording-grid" });
  const view = h("div", { class: "recording", "aria-live": "polite" });
  element.append(
    h("p", {}, "Choose a recording to see what became of it, when and why. Those of the least yield stand first."),
    h("div", { class: "controls" }, wanted),
    place,
    view,
  );
  const rowsOf = byRecording(clips);
  const spansOf = spansByRecording(clips);
  const seconds = (samples) => samples / clips.table.rate;
  const length = (at) => all[at][4];
  const kept = (at) => clips.scale * state.then.byRecording[at];
  const share = (at) => (length(at) ? kept(at) / length(at) : 0);
  const rank = (at) => (length(at) ? share(at) : -1);
  const status = (at) => all[at][2] + (all[at][3] ? `: ${all[at][3]}` : "");
  const grid = new Grid(place, {
    label: "recordings",
    columns: [
      {
        name: "title",
        label: "recording",
        cell: (at) => h("bdi", {}, clips.recordingTitle(at)),
        key: (at) => clips.recordingTitle(at),
      },
      { name: "status", label: "status", cell: status, key: status },
      {
        name: "length",
        label: "length",
        cell: (at) => hours(seconds(length(at))),
        key: length,
        isNumber: true,
        first: -1,
      },
      { name: "kept", label: "kept", cell: (at) => hours(seconds(kept(at))), key: kept, isNumber: true, first: -1 },
      {
        name: "share",
        label: "yield",
        cell: (at) => (length(at) ? percent(share(at)) : "–"),
        key: rank,
        isNumber: true,
      },
    ],
    sort: { name: "share", direction: 1 },
    onChoose: (at) => {
      grid.mark(at);
      draw();
    },
  });
  const draw = () =>
    view.replaceChildren(...(grid.chosen < 0 ? [] : oneRecording(grid.chosen, state, rowsOf, spansOf)));
  const titles = all.map((_, at) => `${clips.recordingTitle(at)} ${all[at][0]}`.toLowerCase());
  const found = () => {
    const words = wanted.value.toLowerCase().split(/\s+/);
    return titles.map((_, at) => at).filter((at) => words.every((word) => titles[at].includes(word)));
  };
  grid.setRows(found());
  state.addEventListener("decided", () => {
    grid.draw();
    draw();
  });
  const worst = () => {
    wanted.value = "";
    grid.setRows(found());
    grid.sortBy("share", 1);
    grid.choose(grid.rows[0]);
  };
  worst();
  return { worst };
}

function byRecording(clips) {
  const rows = new Map();
  for (let row = 0; row < clips.count; row++) {
    const at = clips.recording[row];
    if (rows.has(at)) rows.get(at).push(row);
    else rows.set(at, [row]);
  }
  return rows;
}

function spansByRecording({ table }) {
  const { arrays, span_kinds: kinds, tick_s: tick } = table;
  const spans = new Map();
  (arrays.span_kind ?? []).forEach((kind, at) => {
    const span = { kind: kinds[kind], start: arrays.span_start[at] * tick, end: arrays.span_end[at] * tick };
    const of = arrays.span_recording[at];
    if (spans.has(of)) spans.get(of).push(span);
    else spans.set(of, [span]);
  });
  return spans;
}

function oneRecording(at, state, rowsOf, spansOf) {
  const { clips } = state;
  const total = clips.table.recordings[at][4] / clips.table.rate;
  const rows = rowsOf.get(at) ?? [];
  const spans = spansOf.get(at) ?? [];
  const amounts = amountsOf(rows, spans, total, state);
  const list = () => {
    const [id] = clips.table.recordings[at];
    state.setFilter(`recording:${id || `"${clips.recordingTitle(at)}"`}`);
    document.querySelector("#every-clip").scrollIntoView();
  };
  return [
    h("h3", {}, h("bdi", {}, clips.recordingTitle(at))),
    total
      ? timeline(rows, spans, total, state)
      : h("p", {}, `Nothing of it was decoded: ${explained(clips.table.recordings[at][3], clips)}.`),
    total && clips.scale === 1 ? amountTable(amounts, total, clips) : null,
    rows.length ? h("button", { type: "button", onclick: list }, `List its ${count(rows.length)} clips`) : null,
  ].filter(Boolean);
}

/** Seconds by kept, first reason of rejection, kind of span, and the rest, which is silence. */
function amountsOf(rows, spans, total, state) {
  const amounts = new Map();
  const add = (name, seconds) => amounts.set(name, (amounts.get(name) ?? 0) + seconds);
  for (const row of rows) {
    add(state.isKept(row) ? "kept" : `rejected: ${state.reasonsOf(row)[0]}`, state.clips.seconds(row));
  }
  for (const { kind, start, end } of spans) add(kind, end - start);
  const used = [...amounts.values()].reduce((sum, seconds) => sum + seconds, 0);
  add("silence", Math.max(0, total - used));
  return [...amounts].sort((a, b) => b[1] - a[1]);
}

/** A reason, or what became of clips for it, with its meaning. */
function explained(fate, { table }) {
  const meaning = table.meanings[fate.replace("rejected: ", "")];
  return meaning ? `${fate} – ${meaning}` : fate;
}

function amountTable(amounts, total, clips) {
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, "what became of it"),
          h("th", { scope: "col", class: "n" }, "length"),
          h("th", { scope: "col", class: "n" }, "share"),
        ),
      ),
      h(
        "tbody",
        {},
        ...amounts.map(([name, seconds]) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, explained(name, clips)),
            h("td", { class: "n" }, hours(seconds)),
            h("td", { class: "n" }, percent(seconds / total)),
          ),
        ),
      ),
    ),
  );
}

/** Kept clips are the tallest bars, rejected ones shorter, gaps the lowest: colour is not all that tells them apart. */
function timeline(rows, spans, total, state) {
  const { clips } = state;
  const bar = (kind, start, end, title, row = null) => {
    const [y, height] = HEIGHTS[kind];
    const x = (1000 * start) / total;
    const attributes = { class: `f-${kind}`, x, y, width: Math.max(0.5, (1000 * (end - start)) / total), height };
    return s(
      "rect",
      { ...attributes, onclick: row === null ? () => {} : () => state.choose(row) },
      s("title", {}, title),
    );
  };
  const bars = rows.map((row) => {
    const start = clips.startS(row);
    const end = start + clips.seconds(row);
    const kept = state.isKept(row);
    const what = kept ? "kept" : state.reasonsOf(row).join(", ");
    return bar(kept ? "kept" : "rejected", start, end, `${clock(start)}–${clock(end)}: ${what}`, row);
  });
  const gaps = spans.map(({ kind, start, end }) => bar(kind, start, end, `${clock(start)}–${clock(end)}: ${kind}`));
  const key = Object.keys(HEIGHTS)
    .concat("silence")
    .map((kind) =>
      h(
        "span",
        {},
        s(
          "svg",
          { class: "swatch", "aria-hidden": "true" },
          s("rect", { class: `f-${kind}`, width: "100%", height: "100%" }),
        ),
        kind,
      ),
    );
  return h(
    "div",
    { class: "timeline" },
    s(
      "svg",
      { viewBox: "0 0 1000 40", preserveAspectRatio: "none", role: "img", "aria-label": `timeline of ${clock(total)}` },
      s("rect", { class: "f-silence", x: 0, y: 38, width: 1000, height: 2 }),
      ...gaps,
      ...bars,
    ),
    h("div", { class: "ends" }, h("span", {}, "0:00:00"), h("span", {}, clock(total))),
    h("div", { class: "key" }, ...key),
  );
}
