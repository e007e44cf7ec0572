/**
 * What `speechmill review` adds to the report, through the seam of ../seam.js: every clip's sound and surroundings, a
 * queue, keys to judge by, and how far the models agree. Each decision is with the server before the next clip is
 * shown.
 */

import { details } from "./details.js";
import { panel } from "./panel.js";
import { get, post, soundOf } from "./server.js";

const DEFECTS = ["noise", "music", "telephone", "overlap", "reverb"];
const NOTES = { keep: "you: keep", drop: "you: drop" };

/** What people said and how the queue stands, as the server told it last; clips by `key`. */
const review = { queue: [], judged: {}, facts: new Map(), isBusy: false };
const key = (clipId) => clipId.slice(0, 16); // of large corpora the page has no more digits
const page = (window.speechmill = {
  sound: soundOf,
  note,
  detail: (clipId, element) => view.fill(clipId, element),
  actions: [
    { key: "y", label: "keep", run: (clipId) => judge({ clip_id: clipId, decision: "keep" }) },
    { key: "n", label: "drop", run: (clipId) => judge({ clip_id: clipId, decision: "drop" }) },
    { key: "t", label: "correct text", run: () => view.edit("text") },
    { key: "s", label: "speaker", run: () => view.edit("speaker") },
    { key: "c", label: "surroundings", run: () => view.playSurroundings() },
    { key: "u", label: "undo", run: undo },
    { key: "r", label: "take back", run: (clipId) => judge({ clip_id: clipId, decision: "auto" }) },
    ...DEFECTS.map((defect, at) => ({
      key: String(at + 1),
      label: `${defect}: yes or no`,
      run: (clipId) => turn(clipId, defect),
    })),
  ],
});
const view = details({ facts, judge, turn, defects: DEFECTS });
let bar;

/** A short word about what people said of a clip. */
function note(clipId) {
  const said = review.judged[key(clipId)];
  if (!said) return "";
  const defects = Object.entries(said.defects).map(([name, is]) => (is ? name : `no ${name}`));
  return [NOTES[said.fate], said.text && "text corrected", said.speaker && `speaker ${said.speaker}`, ...defects]
    .filter(Boolean)
    .join(", ");
}

/** Facts about a clip, asked for once until a decision changes them. */
function facts(clipId) {
  if (!review.facts.has(key(clipId))) {
    const answer = get(`api/clips/${clipId}`);
    review.facts.set(key(clipId), answer);
    answer.catch(() => review.facts.delete(key(clipId))); // to be asked for again
  }
  return review.facts.get(key(clipId));
}

/** Send a decision; after keep and drop go on to the next clip that nobody judged. */
async function judge(line) {
  const isDone = await told("api/judgements", line, () => {
    if (line.text) page.setText(line.clip_id, line.text);
    return `${line.decision}${line.present === undefined ? "" : `: ${line.present ? "" : "no "}${line.defect}`}`;
  });
  if (isDone && line.decision === "auto") restoreText(line.clip_id);
  if (isDone && (line.decision === "keep" || line.decision === "drop")) goOn(line.clip_id);
  return isDone;
}

/** Say the opposite about a defect of a clip of what was said or measured. */
async function turn(clipId, defect) {
  const { tests } = await facts(clipId);
  const said = review.judged[key(clipId)]?.defects[defect];
  const measured = tests.some(({ reason, passes }) => reason === defect && passes === false);
  await judge({ clip_id: clipId, decision: "defect", defect, present: !(said ?? measured) });
}

async function undo() {
  await told("api/undo", {}, ({ changed }) => {
    const [first] = Object.keys(changed);
    if (!first) return "there is nothing to undo";
    restoreText(first);
    page.choose(first);
    return "the last decision is taken back";
  });
}

async function restoreText(clipId) {
  const { clip, people } = await facts(clipId);
  if (clip.text !== null) page.setText(clipId, people.text ?? clip.text);
}

/**
 * Send a request, take the answer over, and say what happened; returns whether it did. One at a time: a key that is
 * pressed twice must not judge a clip that nobody heard.
 */
async function told(path, request, say) {
  if (review.isBusy) return false;
  review.isBusy = true;
  try {
    const news = await post(path, request);
    for (const [clipId, said] of Object.entries(news.changed)) take(clipId, said);
    bar.show(news, say(news));
    page.refresh();
    return true;
  } catch (error) {
    bar.fail(error.message);
    return false;
  } finally {
    review.isBusy = false;
  }
}

/** Take over what people say of a clip now. */
function take(clipId, said) {
  const isEmpty = !said.fate && !said.text && !said.speaker && !Object.keys(said.defects).length;
  if (isEmpty) delete review.judged[key(clipId)];
  else review.judged[key(clipId)] = said;
  review.facts.delete(key(clipId));
}

function takeAll(judged) {
  for (const [clipId, said] of Object.entries(judged)) {
    take(clipId, said);
    if (said.text) page.setText(clipId, said.text);
  }
}

/** Take over what was said in another window, or by another program, while this one was not looked at. */
async function catchUp() {
  const state = await get("api/state").catch((error) => bar.fail(error.message));
  if (!state || review.isBusy) return;
  const now = Object.fromEntries(Object.entries(state.judged).map(([clipId, said]) => [key(clipId), said]));
  const clipIds = new Set([...Object.keys(now), ...Object.keys(review.judged)]);
  const changed = [...clipIds].filter((one) => JSON.stringify(now[one]) !== JSON.stringify(review.judged[one]));
  if (!changed.length) return;
  for (const clipId of changed) review.facts.delete(clipId);
  review.judged = {};
  takeAll(state.judged);
  bar.show(state, "decisions of another window were taken over");
  page.refresh();
}

/** Choose the next clip of the queue that nobody judged; outside the queue, the next one of the list. */
function goOn(clipId) {
  const at = review.queue.findIndex((other) => key(other) === key(clipId));
  const rest = [...review.queue.slice(at + 1), ...review.queue.slice(0, at)];
  const next = at < 0 ? null : rest.find((other) => !review.judged[key(other)]);
  if (next) page.choose(next);
  else if (at < 0) page.step(1);
  else return bar.done();
  if (bar.playsNext()) page.play();
}

async function start() {
  const clips = document.querySelector("#list-view").closest("section");
  clips.parentElement.prepend(clips); // whoever reviews begins with the clips
  clips.scrollIntoView();
  bar = panel(document.querySelector("#extension"), {
    undo,
    showQueue: (shown) => page.setQueue(shown ? review.queue : null),
  });
  const state = await get("api/state").catch((error) => bar.fail(error.message));
  if (!state) return;
  review.queue = state.queue.clip_ids;
  takeAll(state.judged);
  bar.open(state);
  window.addEventListener("focus", catchUp);
  page.setQueue(review.queue);
  const first = review.queue.find((clipId) => !review.judged[key(clipId)]) ?? review.queue[0];
  if (first) page.choose(first);
  document.body.dataset.review = "ready";
}

document.addEventListener("speechmill:ready", start);
