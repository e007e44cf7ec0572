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
  #orders = []; // by tested column, made when its limit first moves
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

  /**
   * Decide about all clips: `kept` by row, `alone` (the tested column that alone rejects a clip, else 255), numbers of
   * clips and samples kept and by reason, and samples kept by recording and by speaker.
   */
  run() {
    const { count, table } = this.clips;
    const zeros = (length) => new Float64Array(length);
    const result = {
      kept: new Uint8Array(count),
      alone: new Uint8Array(count).fill(255),
      clips: 0,
      samples: 0,
      byReason: { clips: zeros(this.reasons.length), samples: zeros(this.reasons.length) },
      byRecording: zeros(table.recordings.length),
      bySpeaker: zeros(table.speakers.length + 1),
    };
    this.#stamp.fill(-1);
    for (let row = 0; row < count; row++) this.#tally(result, row, 1);
    return result;
  }

  /** Take other limits over: only clips between the old and the new ones are decided anew. Returns the result. */
  move(result, limits) {
    const moved = limits.map((_, at) => at).filter((at) => limits[at] !== this.limits[at]);
    if (moved.some((at) => limits[at] === null || this.limits[at] === null)) {
      this.limits = [...limits];
      return this.run();
    }
    for (const at of moved) {
      const rows = this.#between(at, this.limits[at], limits[at]);
      this.#tallyAll(result, rows, -1);
      this.limits[at] = limits[at];
      this.#tallyAll(result, rows, 1);
    }
    return result;
  }

  #tallyAll(result, rows, sign) {
    this.#stamp.fill(-1);
    for (const row of rows) this.#tally(result, row, sign);
  }

  /** Decide about a clip, and add it to a result (`sign` 1) or take it out again (-1). */
  #tally(result, row, sign) {
    const samples = sign * this.clips.samples[row];
    const isKept = this.#decide(row);
    result.kept[row] = isKept && sign > 0 ? 1 : 0;
    result.alone[row] = !isKept && this.#number === 1 && this.#foundColumns === 1 ? this.lastColumn : 255;
    if (isKept) {
      result.clips += sign;
      result.samples += samples;
      result.byRecording[this.clips.recording[row]] += samples;
      result.bySpeaker[this.clips.speaker[row]] += samples;
      return;
    }
    for (let at = 0; at < this.#number; at++) {
      result.byReason.clips[this.#found[at]] += sign;
      result.byReason.samples[this.#found[at]] += samples;
    }
  }

  /** Rows whose code lies between two limits of a tested column: those that one of the limits passes, not the other. */
  #between(at, one, other) {
    this.#orders[at] ??= orderOf(this.clips.tested[at]);
    const { rows, first } = this.#orders[at];
    return rows.subarray(first[Math.min(one, other) + 1], first[Math.max(one, other) + 1]);
  }
}

/** Rows of a column in the order of their codes, and where each code begins; rows without one are left out. */
function orderOf({ codes, stops }) {
  const first = new Uint32Array(stops.length + 2); // codes are 0 to stops.length
  for (const code of codes) if (code !== MISSING) first[code + 1]++;
  for (let code = 1; code < first.length; code++) first[code] += first[code - 1];
  const rows = new Uint32Array(first.at(-1));
  const next = first.slice();
  codes.forEach((code, row) => {
    if (code !== MISSING) rows[next[code]++] = row;
  });
  return { rows, first };
}

/** Position of a column's present limit among its stops; null: switched off. */
export function presentLimit(column) {
  return column.limit === null ? null : column.stops.indexOf(column.limit);
}
