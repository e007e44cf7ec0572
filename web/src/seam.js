/**
 * The seam between the report and a page that serves it, such as `speechmill review`.
 *
 * The report alone plays the sample of clips that it holds, and changes nothing. A server renders the same page with
 * `speechmill.publish.report.render(..., extension=Extension(script=..., style=...))`. That script runs before the
 * report's own, and may set `window.speechmill` to an object with any of these; all are optional:
 *
 *   sound(clipId) -> string | null       URL of a clip's sound; null if there is none
 *   note(clipId) -> string               a short word about a clip, shown in the list and beside the clip: "dropped"
 *   detail(clipId, element)              fills an empty element below the chosen clip, e.g. with its surroundings
 *   actions: [{key, label, run(clipId)}] buttons beside the chosen clip; `key` is a KeyboardEvent.key and works
 *                                        wherever no field has the focus. `run` may return a promise.
 *   queue: [clipId] | null               the list shows these clips only, in this order, until its columns are sorted
 *
 * The page leaves j, k, arrows, space, / and ? to itself. When it has read its clips, it adds to the same object
 *
 *   clips                                the clips of clips.js: count, index(clipId), id(row), text(row),
 *                                        value(column, row), reasons(row), isKept(row)
 *   current() -> clipId | null           the chosen clip
 *   choose(clipId)                       chooses a clip, scrolls to it in the list, and plays nothing
 *   step(count)                          chooses the clip so many rows further on in the list
 *   play()                               plays or pauses the chosen clip
 *   refresh()                            draws notes, actions and details anew, e.g. after an action
 *   setQueue([clipId] | null)            changes the queue
 *   setText(clipId, text)                shows another text for a clip
 *   thresholds() -> {key: number | null} thresholds as the sliders stand; null: switched off
 *   setThreshold(key, number | null)     moves a slider to its nearest position, or switches the test off
 *
 * and dispatches the event "speechmill:ready" on `document`; later "speechmill:chosen", whose `detail` is the id of the
 * clip, each time that another clip is chosen. The element `#extension`, above the list, is for the server's page.
 */

const embeddedSound = (clipId) => document.getElementById(`clip-${clipId}`)?.querySelector("audio")?.src ?? null;

/** The served page's object, with defaults for what it lacks. */
export function seam() {
  const given = window.speechmill ?? {};
  const defaults = { sound: embeddedSound, note: () => "", detail: () => {}, actions: [], queue: null };
  for (const [name, value] of Object.entries(defaults)) given[name] ??= value;
  window.speechmill = given;
  return given;
}

/** Publish what the page offers, and tell the served page that it is there. */
export function offer(given, offered) {
  Object.assign(given, offered);
  document.dispatchEvent(new CustomEvent("speechmill:ready"));
}
