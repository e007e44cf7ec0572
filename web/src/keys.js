/** Keys of the page, and the list of them. Keys of fields and buttons stay as they are. */

import { h } from "./dom.js";

const TYPING = "input:not([type=range], [type=checkbox]), select, textarea, [contenteditable]";
const PRESSED = "input, button, audio, summary, a"; // by the space bar

export function keys({ grid, filter, play, given, state }) {
  const dialog = h("dialog", { id: "keys", "aria-label": "Keys" });
  document.body.append(dialog);
  const own = [
    ["j", "next clip", () => grid.step(1)],
    ["k", "clip before", () => grid.step(-1)],
    [" ", "play or pause", play],
    ["/", "filter", () => filter.focus()],
    ["?", "these keys", () => show(dialog, own, given)],
  ];
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === filter && event.key === "Escape") filter.blur();
    if (event.target.matches(TYPING) || dialog.open || (event.key === " " && event.target.matches(PRESSED))) return;
    const action = given.actions.find(({ key }) => key === event.key);
    const found = own.find(([key]) => key === event.key);
    if (found) found[2]();
    else if (action && state.chosen >= 0) action.run(state.clips.id(state.chosen));
    else return;
    event.preventDefault();
  });
}

function show(dialog, own, given) {
  const rows = [...own, ...given.actions.filter(({ key }) => key).map(({ key, label }) => [key, label])];
  dialog.replaceChildren(
    h("h2", {}, "Keys"),
    h(
      "dl",
      {},
      ...rows.map(([key, meaning]) =>
        h("div", {}, h("dt", {}, h("kbd", {}, key === " " ? "space" : key)), h("dd", {}, meaning)),
      ),
    ),
    h("p", {}, "In a list: arrows, Page Up and Down, Home, End."),
    h("form", { method: "dialog" }, h("button", {}, "Close")),
  );
  dialog.showModal();
}
