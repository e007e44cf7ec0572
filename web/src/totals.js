/** What a decision comes to by reason, and how far each threshold must move to keep more. */

/** Reasons by name with {now, then} in clips and samples, those that take most first; others are left out. */
export function reasonRows({ decider, present, then }) {
  return decider.reasons
    .map((name, at) => ({
      name,
      now: { clips: present.byReason.clips[at], samples: present.byReason.samples[at] },
      then: { clips: then.byReason.clips[at], samples: then.byReason.samples[at] },
    }))
    .filter((row) => row.now.clips || row.then.clips)
    .sort((a, b) => Math.max(b.now.samples, b.then.samples) - Math.max(a.now.samples, a.then.samples));
}

/**
 * How far each threshold must move to keep `share` more audio by itself: [{column, position, samples, clips}].
 *
 * Only clips that this test alone rejects are gained, and those nearest to the threshold first. Where all of them
 * together are less, `position` is null: the test is switched off, and `samples` are what that gains.
 */
export function suggestions({ clips, present }, share) {
  const wanted = share * present.samples;
  const own = clips.tested.map(() => []);
  for (let row = 0; row < clips.count; row++) if (present.alone[row] !== 255) own[present.alone[row]].push(row);
  return clips.tested.map((column, at) => suggestion(column, own[at], wanted, clips)).filter(({ samples }) => samples);
}

function suggestion(column, rows, wanted, clips) {
  const position = (row) => (column.at_most ? column.codes[row] : column.codes[row] - 1);
  const nearest = rows.sort((a, b) => (column.at_most ? 1 : -1) * (position(a) - position(b)));
  let samples = 0;
  let gained = 0;
  let reached = null;
  for (const row of nearest) {
    if (reached !== null && position(row) !== reached) break;
    samples += clips.samples[row];
    gained++;
    if (samples >= wanted) reached = position(row);
  }
  const isOnSlider = reached !== null && reached >= 0 && reached < column.stops.length;
  return { column, position: isOnSlider ? reached : null, samples, clips: gained, isEnough: samples >= wanted };
}
