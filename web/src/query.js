/** What the filter says: words, reasons, and comparisons such as `snr_db < 20`. All of it must be true of a clip. */

const COMPARISON = /([a-z_][\w]*)\s*(<=|>=|<|>|=)\s*(-?[\d.]+)/gi;
const NAMED = /\b(reason|recording|speaker):(?:"([^"]*)"|(\S+))/gi;
const TESTS = {
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "=": (a, b) => a === b,
};

/** The parts of a filter: {words, comparisons: [{column, test, value}], named: [{field, text}], faults: [string]}. */
export function parse(filter, clips) {
  const comparisons = [];
  const named = [];
  const faults = [];
  const words = filter
    .replace(COMPARISON, (_, field, sign, number) => {
      const column = clips.byName.get(field);
      const value = Number(number);
      if (!column) faults.push(`no field ${field}: ${[...clips.byName.keys()].join(", ")}`);
      else if (Number.isNaN(value)) faults.push(`${number} is no number`);
      else comparisons.push({ column, test: TESTS[sign], value });
      return " ";
    })
    .replace(NAMED, (_, field, quoted, plain) => {
      named.push({ field: field.toLowerCase(), text: (quoted ?? plain).toLowerCase() });
      return " ";
    })
    .toLowerCase()
    .split(/\s+/)
    .filter(Boolean);
  return { words, comparisons, named, faults };
}

/** A function that says of a row whether all of a filter is true of it. */
export function matcher(parsed, clips, reasonsOf, isKept) {
  const verdict = (row) => [isKept(row) ? "kept" : "rejected", ...reasonsOf(row)];
  const fields = {
    reason: (row, text) => verdict(row).some((reason) => reason === text),
    recording: (row, text) => {
      const [id, title] = clips.table.recordings[clips.recording[row]];
      return id.toLowerCase() === text || title.toLowerCase().includes(text);
    },
    speaker: (row, text) => clips.speakerName(row).toLowerCase() === text,
  };
  const compares = ({ column, test, value }, row) => {
    const own = clips.value(column, row);
    return own !== null && test(own, value);
  };
  const isOfIds = parsed.words.some((word) => /^[0-9a-f]{6,32}$/.test(word));
  const hasWords = (row) => {
    const all = [clips.text(row), clips.title(row), clips.speakerName(row), ...verdict(row)];
    if (isOfIds) all.push(clips.id(row));
    const text = all.join(" ").toLowerCase();
    return parsed.words.every((word) => text.includes(word));
  };
  return (row) =>
    parsed.comparisons.every((comparison) => compares(comparison, row)) &&
    parsed.named.every(({ field, text }) => fields[field](row, text)) &&
    (!parsed.words.length || hasWords(row));
}
