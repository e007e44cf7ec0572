/** What all views share: the decision at the thresholds chosen, brushes, filter, order and the chosen clip. */

import { Decider, presentLimit } from "./decide.js";
import { atNextFrame } from "./dom.js";
import { matcher, parse } from "./query.js";

const MORE = 255; // missed more than one brush, or the filter

/** Events: "decided" (thresholds moved), "selected" (other clips in the list), "chosen" (another clip), "noted". */
export class State extends EventTarget {
  constructor(clips) {
    super();
    this.clips = clips;
    this.decider = new Decider(clips);
    this.limits = [...this.decider.limits];
    this.present = this.decider.run();
    this.then = structuredClone(this.present);
    this.brushes = new Map(); // column name -> {test(row), low, high}
    this.filter = "";
    this.parsed = parse("", clips);
    this.queue = null;
    this.chosen = -1;
    this.select();
  }

  #emit(name) {
    this.dispatchEvent(new Event(name));
  }

  isKept(row) {
    return this.then.kept[row] === 1;
  }

  reasonsOf(row) {
    return this.decider.reasonsOf(row);
  }

  limit(at) {
    return this.limits[at];
  }

  /** Set the limit of a tested column: a position of its slider, or null to switch the test off. */
  setLimit(at, position) {
    this.limits[at] = position;
    this.#decideSoon();
  }

  resetLimits() {
    this.limits = this.clips.tested.map(presentLimit);
    this.#decideSoon();
  }

  #decideSoon = atNextFrame(() => this.decide());

  decide() {
    this.then = this.decider.move(this.then, this.limits);
    this.#emit("decided");
    if (this.#filterAsksForDecisions()) this.select();
  }

  #filterAsksForDecisions() {
    const { words, named } = this.parsed;
    return words.length > 0 || named.some(({ field }) => field === "reason");
  }

  /** Tested columns whose limit is another than now: [column, value or null]. */
  changes() {
    return this.clips.tested
      .map((column, at) => [column, this.limit(at)])
      .filter(([column, position]) => position !== presentLimit(column))
      .map(([column, position]) => [column, position === null ? null : column.stops[position]]);
  }

  setFilter(filter) {
    this.filter = filter;
    this.parsed = parse(filter, this.clips);
    this.select();
  }

  /** Brush a column from `low` to `high`, both included, or clear its brush. */
  setBrush(column, range) {
    if (range) {
      const test = (row) => {
        const value = this.clips.value(column, row);
        return value !== null && value >= range.low && value <= range.high;
      };
      this.brushes.set(column.name, { ...range, test });
    } else this.brushes.delete(column.name);
    this.select();
  }

  clearBrushes() {
    this.brushes.clear();
    this.select();
  }

  setQueue(rows) {
    this.queue = rows;
    this.select();
  }

  /** Find the clips that filter, brushes and queue leave: `rows`; `missedBrush` says what the others missed. */
  select() {
    const { count } = this.clips;
    const brushes = [...this.brushes.values()];
    const matches = this.#matcher();
    this.missedBrush = new Uint8Array(count); // 0: none, k: only the k-th brush, 255: more, or the filter
    const rows = [];
    for (let row = 0; row < count; row++) {
      let missed = matches(row) ? 0 : MORE;
      for (let at = 0; at < brushes.length && missed !== MORE; at++) {
        if (!brushes[at].test(row)) missed = missed ? MORE : at + 1;
      }
      this.missedBrush[row] = missed;
      if (!missed) rows.push(row);
    }
    this.rows = rows;
    this.#emit("selected");
  }

  /** Whether filter and queue leave a clip. */
  #matcher() {
    const { words, comparisons, named } = this.parsed;
    const hasFilter = words.length + comparisons.length + named.length > 0;
    const reasonsOf = (row) => this.reasonsOf(row);
    const isKept = (row) => this.isKept(row);
    const matches = hasFilter ? matcher(this.parsed, this.clips, reasonsOf, isKept) : () => true;
    const queue = this.queue && new Set(this.queue);
    return queue ? (row) => queue.has(row) && matches(row) : matches;
  }

  choose(row) {
    this.chosen = row;
    this.#emit("chosen");
  }

  noted() {
    this.#emit("noted");
  }
}
