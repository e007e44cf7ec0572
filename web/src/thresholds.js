/** Sliders for every threshold, what they would keep, and the command line that applies them. */

import { presentLimit } from "./decide.js";
import { atNextFrame, h } from "./dom.js";
import { change, count, hours, percent, short } from "./format.js";
import { reasonRows, suggestions } from "./totals.js";

const WAITING = { not_transcribed: "a transcript", not_tokenised: "mel tokens", not_measured: "a plug-in's measure" };

export function thresholds(element, state) {
  const { clips } = state;
  if (!clips.tested.length) {
    element.append(h("p", {}, "No thresholds are in force, and no clips have scores."));
    return;
  }
  const sliders = clips.tested.map((column, at) => slider(column, at, state));
  const outcome = h("div", { class: "outcome", "aria-live": "polite" });
  const command = h("code", { id: "command" });
  const copied = h("span", { role: "status", class: "copied" });
  const copy = h("button", { type: "button", id: "copy", onclick: () => toClipboard(command, copied) }, "Copy");
  const reset = h("button", { type: "button", id: "reset", onclick: () => state.resetLimits() }, "Reset");
  const reasons = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "clips by reason" });
  element.append(
    h(
      "div",
      { class: "decide" },
      h("div", { class: "sliders" }, ...sliders.map((one) => one.element)),
      h(
        "div",
        { class: "consequences" },
        outcome,
        h("div", { class: "command" }, command, copy, reset, copied),
        reasons,
      ),
    ),
    offers(state),
  );
  const draw = atNextFrame(() => {
    for (const one of sliders) one.draw();
    drawOutcome(outcome, state);
    command.textContent = commandLine(state);
    reasons.replaceChildren(reasonTable(state));
  });
  state.addEventListener("decided", draw);
  draw();
}

/** A slider with its value and a box that switches the test off. */
function slider(column, at, state) {
  const name = `threshold-${column.key}`;
  const sign = column.at_most ? "≤" : "≥";
  const value = h("output", { for: name });
  const range = h("input", {
    type: "range",
    id: name,
    min: 0,
    max: column.stops.length - 1,
    step: 1,
    oninput: () => state.setLimit(at, Number(range.value)),
  });
  const off = h("input", {
    type: "checkbox",
    id: `${name}-on`,
    "aria-label": `test ${column.key}`,
    onchange: () => state.setLimit(at, off.checked ? Number(range.value) : null),
  });
  const unit = column.unit ? ` ${column.unit}` : "";
  const draw = () => {
    const position = state.limit(at);
    off.checked = position !== null;
    range.disabled = position === null;
    if (position !== null) range.value = position;
    else if (presentLimit(column) === null && !range.dataset.set) {
      range.value = column.at_most ? range.max : 0;
      range.dataset.set = "true";
    }
    const text = position === null ? "off" : `${sign} ${short(column.stops[position])}${unit}`;
    value.textContent = text;
    range.setAttribute("aria-valuetext", text);
    element.classList.toggle("changed", position !== presentLimit(column));
  };
  const label = h(
    "label",
    { for: name, title: `${column.about}; clips beyond are rejected as ${column.reason}` },
    column.key,
  );
  const element = h("div", { class: "slider" }, off, label, range, value);
  return { element, draw };
}

function drawOutcome(element, { clips, present, then }) {
  const seconds = (samples) => (clips.scale * samples) / clips.table.rate;
  const difference = then.samples - present.samples;
  const share = present.samples ? ` (${change(difference / present.samples, percent)})` : "";
  const isSame = then.samples === present.samples && then.clips === present.clips;
  element.replaceChildren(
    h("b", { id: "kept-then" }, hours(seconds(then.samples))),
    h("span", {}, ` kept in ${count(clips.scale * then.clips)} clips`),
    h(
      "span",
      { class: "delta" },
      isSame
        ? ", as now"
        : `; ${change(seconds(difference), hours) || "±0"}${share}, ` +
            `${change(clips.scale * (then.clips - present.clips), count) || "±0"} clips`,
    ),
  );
}

/** Clips and hours by reason, now and then. */
function reasonTable(state) {
  const { clips } = state;
  const seconds = (samples) => (clips.scale * samples) / clips.table.rate;
  const rows = reasonRows(state).map(({ name, now, then }) =>
    h(
      "tr",
      {},
      h(
        "th",
        { scope: "row" },
        name,
        WAITING[name] ? h("small", {}, `waits for ${WAITING[name]}: the next run makes it`) : null,
      ),
      h("td", { class: "n" }, count(clips.scale * now.clips)),
      h("td", { class: "n" }, count(clips.scale * then.clips)),
      h("td", { class: "n wide" }, change(clips.scale * (then.clips - now.clips), count)),
      h("td", { class: "n" }, hours(seconds(then.samples))),
    ),
  );
  const heads = ["rejected as", "clips now", "then", "change", "length then"];
  return h(
    "table",
    { id: "by-reason" },
    h("thead", {}, h("tr", {}, ...heads.map((head, at) => h("th", { scope: "col", class: headClass(at) }, head)))),
    h("tbody", {}, ...rows),
  );
}

const CHANGE = 3; // column that a narrow screen has no room for
const headClass = (at) => (at ? `n${at === CHANGE ? " wide" : ""}` : "");

/** The command that applies the thresholds; without changes the one that tells where the corpus stands. */
export function commandLine(state) {
  const sets = state.changes().map(([{ key }, value]) => ` --set thresholds.${key}=${value === null ? "null" : value}`);
  const name = state.clips.table.name;
  const quoted = /^[\w.+-]+$/.test(name) ? name : `'${name}'`;
  return sets.length ? `speechmill select ${quoted}${sets.join("")}` : `speechmill status ${quoted}`;
}

async function toClipboard(command, copied) {
  try {
    await navigator.clipboard.writeText(command.textContent);
  } catch {
    getSelection().selectAllChildren(command);
    document.execCommand("copy");
  }
  copied.textContent = "copied";
  setTimeout(() => {
    copied.textContent = "";
  }, 2000);
}

/** What each threshold alone must become to keep more: computed when asked for. */
function offers(state) {
  const { clips } = state;
  const share = h("input", { type: "number", id: "more", min: 1, max: 1000, value: 10, "aria-label": "per cent more" });
  const place = h("div", { class: "scroll" });
  const show = () => place.replaceChildren(offerTable(suggestions(state, Number(share.value) / 100), state));
  if (!clips.count) return h("div");
  return h(
    "details",
    { id: "offers", ontoggle: show },
    h("summary", {}, "Which threshold keeps more, and at which price?"),
    h(
      "p",
      {},
      "To keep ",
      share,
      " % more by one threshold alone, loosen it to the value below. Only clips that no other test " +
        "rejects are gained. The price is how they sound: listen to them.",
    ),
    h("div", { onchange: show }, place),
    h("button", { type: "button", onclick: show }, "Compute"),
  );
}

const OFFER_CLASSES = ["", "n wide", "n", "n", "n wide", ""];

function offerTable(found, state) {
  const { clips } = state;
  const rows = found
    .sort((a, b) => b.isEnough - a.isEnough || a.clips - b.clips)
    .map((one) => {
      const { column, position } = one;
      const present = column.stops[presentLimit(column)];
      const then = position === null ? "off" : short(column.stops[position]);
      const range = position === null ? null : [present, column.stops[position]].sort((a, b) => a - b);
      const listen = () => {
        state.setBrush(column, range && { low: range[0], high: range[1] });
        state.setFilter(`reason:${column.reason}`);
        document.querySelector("#every-clip").scrollIntoView();
      };
      const apply = () => {
        state.setLimit(clips.tested.indexOf(column), position);
        document.querySelector(".consequences").scrollIntoView();
      };
      return h(
        "tr",
        {},
        h("th", { scope: "row" }, column.key),
        h("td", { class: "n wide" }, short(present)),
        h("td", { class: "n" }, one.isEnough ? then : `${then}: not enough`),
        h("td", { class: "n" }, `+${hours((clips.scale * one.samples) / clips.table.rate)}`),
        h("td", { class: "n wide" }, `+${count(clips.scale * one.clips)}`),
        h(
          "td",
          { class: "actions-cell" },
          h("button", { type: "button", onclick: apply }, "Set"),
          " ",
          h("button", { type: "button", onclick: listen }, "List"),
        ),
      );
    });
  const heads = ["threshold", "now", "loosened to", "gains", "clips", ""];
  return h(
    "table",
    {},
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ...heads.map((head, at) =>
          h("th", { scope: "col", class: OFFER_CLASSES[at] }, head || h("span", { class: "unseen" }, "what to do")),
        ),
      ),
    ),
    h("tbody", {}, ...rows),
  );
}
