/** Decides about all clips as decide/decision.py does, from codes, limits and what no threshold decides. */

import { MISSING } from "./clips.js";

const PHASES = ["refused", "by_text", "unfinished", "present", "absent"]; // the last two: defects, as people said
const MANUAL = "manual";
const NOT_FINITE = "not_finite";

export class Decider {
  #combos;
  #phases;
  #found = new Int32Array(64);
  #foundColumns = 0;
  #number = 0;
  #stamp;

  constructor(clips) {
    this.clips = clips;
    this.reasons = [];
    this.#combos = clips.table.combos.map((bits) => this.#combo(bits.map((bit) => clips.table.bits[bit])));
    this.manual = this.#reason(MANUAL);
    this.notFinite = this.#reason(NOT_FINITE);
    this.#phases = { by_audio: [], by_text: [], by_plugins: [] };
    clips.tested.forEach((column, at) => {
      this.#phases[column.phase].push({ ...column, at, reasonAt: this.#reason(column.reason) });
    });
    this.#stamp = new Int32Array(this.reasons.length).fill(-1);
    this.limits = clips.tested.map(presentLimit);
  }

  #reason(name) {
    const at = this.reasons.indexOf(name);
    return at >= 0 ? at : this.reasons.push(name) - 1;
  }

  #combo(bits) {
    const has = (phase, name) => bits.some(([ofPhase, ofName]) => ofPhase === phase && ofName === name);
    const reasons = (phase) => bits.filter(([ofPhase]) => ofPhase === phase).map(([, name]) => this.#reason(name));
    const flags = Object.fromEntries(["keep", "drop", "text"].map((name) => [name, has("by_hand", name)]));
    return { scored: has("scored", ""), ...flags, ...Object.fromEntries(PHASES.map((name) => [name, reasons(name)])) };
  }

  #add(reason, row) {
    if (this.#stamp[reason] === row) return;
    this.#stamp[reason] = row;
    this.#found[this.#number++] = reason;
  }

  #test(phase, row, absent = []) {
    for (const column of this.#phases[phase]) {
      const limit = this.limits[column.at];
      if (limit === null) continue;
      const code = column.codes[row];
      if (code === MISSING) {
        if (column.is_score) this.#add(this.notFinite, row);
      } else if ((column.at_most ? code > limit : code <= limit) && !absent.includes(column.reasonAt)) {
        this.#add(column.reasonAt, row);
        this.#foundColumns++;
        this.lastColumn = column.at;
      }
    }
  }

  /** Fill #found with the reasons of a clip, each once; returns whether the clip is kept. */
  #decide(row) {
    const combo = this.#combos[this.clips.evidence[row]];
    const isManual = combo.keep || combo.drop;
    this.#number = this.#foundColumns = 0;
    if (!isManual && combo.scored) {
      this.#test("by_audio", row, combo.absent);
      for (const reason of combo.present) this.#add(reason, row);
    }
    for (const reason of combo.refused) this.#add(reason, row);
    if (combo.drop) this.#add(this.manual, row);
    if (!this.#number && !isManual) {
      if (!combo.text) {
        for (const reason of combo.by_text) this.#add(reason, row);
        this.#test("by_text", row);
      }
      this.#test("by_plugins", row);
    }
    if (!this.#number) for (const reason of combo.unfinished) this.#add(reason, row);
    const isKept = !this.#number;
    if (isKept && combo.keep) this.#add(this.manual, row);
    return isKept;
  }

  /** Reasons of a clip, by name; a clip that was kept by hand has `manual`. */
  reasonsOf(row) {
    this.#stamp.fill(-1);
    this.#decide(row);
    return Array.from(this.#found.subarray(0, this.#number), (reason) => this.reasons[reason]);
  }

  /** Decide about all clips; `alone` is the tested column that alone rejects a clip, else 255. */
  run() {
    const { count, samples } = this.clips;
    const zeros = () => new Float64Array(this.reasons.length);
    const result = { kept: new Uint8Array(count), alone: new Uint8Array(count).fill(255), clips: 0, samples: 0 };
    const byReason = { clips: zeros(), samples: zeros() };
    this.#stamp.fill(-1);
    for (let row = 0; row < count; row++) {
      if (this.#decide(row)) {
        result.kept[row] = 1;
        result.clips++;
        result.samples += samples[row];
        continue;
      }
      if (this.#number === 1 && this.#foundColumns === 1) result.alone[row] = this.lastColumn;
      for (let at = 0; at < this.#number; at++) {
        byReason.clips[this.#found[at]]++;
        byReason.samples[this.#found[at]] += samples[row];
      }
    }
    return { ...result, byReason };
  }
}

/** Position of a column's present limit among its stops; null: switched off. */
export function presentLimit(column) {
  return column.limit === null ? null : column.stops.indexOf(column.limit);
}
