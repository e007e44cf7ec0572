/** A sortable table of any number of rows, of which only those in sight are in the page. All rows are equally high. */

import { atNextFrame, h } from "./dom.js";

const EXTRA_ROWS = 8; // above and below what is in sight

/**
 * `columns`: [{name, label, title, cell(row) -> node or text, key(row) -> number or string, isNumber, first}], of which
 * those without `key` cannot be sorted; `first` is 1 or -1, the direction of the first click. `onChoose(row)` is called
 * on a click, Enter or an arrow key.
 */
export class Grid {
  #columns;
  #rows = [];
  #order = null;
  #draw = atNextFrame(() => this.draw());

  constructor(element, { label, columns, onChoose, classOf = () => "", sort = null }) {
    this.#columns = columns;
    this.onChoose = onChoose;
    this.classOf = classOf;
    this.chosen = -1;
    this.#order = sort;
    this.head = h("div", { role: "row", class: "grid-row grid-head" });
    this.body = h("div", { class: "grid-body", role: "rowgroup" });
    this.scroller = h(
      "div",
      { class: "grid-scroll", tabindex: "0", role: "grid", "aria-label": label },
      h("div", { role: "rowgroup", class: "grid-top" }, this.head),
      this.body,
    );
    element.replaceChildren(this.scroller);
    this.scroller.addEventListener("scroll", this.#draw);
    this.scroller.addEventListener("keydown", (event) => this.#onKey(event));
    new ResizeObserver(this.#draw).observe(this.scroller);
    this.#makeHead();
    this.#markOrder();
  }

  /** Show other rows; they are sorted by the column that was chosen last, if any. */
  setRows(rows, { keepOrder = false } = {}) {
    if (keepOrder) this.#order = null;
    this.#rows = this.#sorted(rows);
    this.#markOrder();
    this.scroller.setAttribute("aria-rowcount", rows.length + 1);
    this.draw();
  }

  /** Draw what is in sight anew; rows that are sorted by the column `changed` are sorted again. */
  refresh(changed) {
    if (this.#order?.name === changed) this.#rows = this.#sorted(this.#rows);
    this.draw();
  }

  get rows() {
    return this.#rows;
  }

  #sorted(rows) {
    if (!this.#order) return rows;
    const { name, direction } = this.#order;
    const { key } = this.#columns.find((column) => column.name === name);
    const keys = new Map(rows.map((row) => [row, key(row)]));
    const compare = (a, b) => {
      const [left, right] = [keys.get(a), keys.get(b)];
      if (left === right) return a - b;
      if (left === null || right === null) return left === null ? 1 : -1;
      return direction * (left < right ? -1 : 1);
    };
    return [...rows].sort(compare);
  }

  sortBy(name, direction = null) {
    const column = this.#columns.find((one) => one.name === name);
    const isSame = this.#order?.name === name;
    this.#order = { name, direction: direction ?? (isSame ? -this.#order.direction : (column.first ?? 1)) };
    this.setRows(this.#rows);
    this.scroller.scrollTop = 0;
  }

  /** Make the head, once: a click that begins before a redraw ends on the same button, which keeps the focus. */
  #makeHead() {
    const cells = this.#columns.map(({ name, label, title, key }) => {
      const button = key && h("button", { type: "button", title, onclick: () => this.sortBy(name) }, label);
      return h("div", { role: "columnheader", class: `cell c-${name}` }, button ?? label);
    });
    this.head.replaceChildren(...cells);
  }

  #markOrder() {
    for (const [at, { name, label, key }] of this.#columns.entries()) {
      if (!key) continue;
      const cell = this.head.children[at];
      const direction = this.#order?.name === name ? this.#order.direction : 0;
      cell.setAttribute("aria-sort", direction > 0 ? "ascending" : direction < 0 ? "descending" : "none");
      cell.firstChild.textContent = label + (direction > 0 ? " ▲" : direction < 0 ? " ▼" : "");
    }
  }

  get #rowHeight() {
    return parseFloat(getComputedStyle(this.scroller).getPropertyValue("--row-height"));
  }

  draw() {
    const height = this.#rowHeight;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / height) - EXTRA_ROWS);
    const inSight = Math.ceil(this.scroller.clientHeight / height) + 2 * EXTRA_ROWS;
    this.body.style.height = `${this.#rows.length * height}px`;
    const rows = this.#rows.slice(first, first + inSight);
    this.body.replaceChildren(...rows.map((row, at) => this.#row(row, first + at, height)));
  }

  #row(row, at, height) {
    const isChosen = row === this.chosen;
    const cells = this.#columns.map((column) =>
      h("div", { role: "gridcell", class: `cell c-${column.name}` }, column.cell(row)),
    );
    const element = h(
      "div",
      {
        role: "row",
        class: `grid-row ${this.classOf(row)}${isChosen ? " chosen" : ""}`,
        "aria-rowindex": at + 2,
        "aria-selected": String(isChosen),
        onclick: () => this.choose(row),
      },
      ...cells,
    );
    element.style.top = `${at * height}px`;
    return element;
  }

  choose(row) {
    this.onChoose(row);
  }

  /** Mark a row as chosen, and scroll to it. */
  mark(row) {
    this.chosen = row;
    const at = this.#rows.indexOf(row);
    if (at >= 0) this.#scrollTo(at);
    this.draw();
  }

  #scrollTo(at) {
    const height = this.#rowHeight;
    const { scrollTop, clientHeight } = this.scroller;
    const [top, bottom] = [at * height, (at + 2) * height]; // the head takes the height of a row
    if (top < scrollTop) this.scroller.scrollTop = top;
    else if (bottom > scrollTop + clientHeight) this.scroller.scrollTop = bottom - clientHeight;
  }

  /** Choose the row so many rows further on. */
  step(count) {
    if (!this.#rows.length) return;
    const at = this.#rows.indexOf(this.chosen);
    const next = at < 0 ? (count > 0 ? 0 : this.#rows.length - 1) : at + count;
    this.choose(this.#rows[Math.min(Math.max(next, 0), this.#rows.length - 1)]);
  }

  #onKey(event) {
    if (event.target !== this.scroller) return;
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / this.#rowHeight) - 2);
    const steps = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -this.#rows.length,
      End: this.#rows.length,
    };
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.step(steps[event.key]);
  }
}
