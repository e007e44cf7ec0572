/** The clips of the page: a row each, from 0 on, in the order of their recordings. */

export const MISSING = 65535;

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

export class Clips {
  #rows = null;
  #bytesOfId;

  constructor(table) {
    const { arrays } = table;
    this.table = table;
    this.count = table.clips;
    this.samples = arrays.samples ?? new Uint32Array();
    this.start = arrays.start;
    this.recording = arrays.recording;
    this.speaker = arrays.speaker;
    this.evidence = arrays.evidence;
    this.columns = table.columns.map((column) => ({ ...column, codes: arrays[`column:${column.name}`] }));
    this.byName = new Map(this.columns.map((column) => [column.name, column]));
    this.tested = this.columns.filter((column) => column.key);
    this.scale = this.count ? table.all_clips / this.count : 1; // more than 1 where the page holds a sample
    this.#bytesOfId = this.count ? arrays.ids.length / this.count : 0;
  }

  /** Hexadecimal digits of the clip_id: all 32, or in a large corpus the first 16. */
  id(row) {
    return hex(this.table.arrays.ids.subarray(row * this.#bytesOfId, (row + 1) * this.#bytesOfId));
  }

  /** Row of a clip_id, or -1. */
  index(clipId) {
    this.#rows ??= new Map(Array.from({ length: this.count }, (_, row) => [this.id(row), row]));
    return this.#rows.get(clipId.slice(0, 2 * this.#bytesOfId)) ?? -1;
  }

  text(row) {
    return this.table.texts[row] ?? "";
  }

  setText(row, text) {
    this.table.texts[row] = text;
  }

  seconds(row) {
    return this.samples[row] / this.table.rate;
  }

  /** Start in its recording, in seconds. */
  startS(row) {
    return this.start[row] * this.table.tick_s;
  }

  title(row) {
    return this.recordingTitle(this.recording[row]);
  }

  recordingTitle(at) {
    const [id, title] = this.table.recordings[at];
    return title || id || `recording ${at + 1}`;
  }

  /** Id of the speaker, or "". */
  speakerName(row) {
    return this.speaker[row] ? this.table.speakers[this.speaker[row] - 1] : "";
  }

  /** Value of a column, to the nearest position of its slider that passes it; null: none. */
  value(column, row) {
    if (!column) return null;
    if (column.name === "duration_s") return this.seconds(row);
    return valueOf(column, column.codes[row]);
  }
}

/** The position of the slider that a code stands for; null: none. */
export function valueOf({ stops, at_most: atMost }, code) {
  if (code === MISSING) return null;
  return stops[Math.min(Math.max(atMost ? code : code - 1, 0), stops.length - 1)];
}
