/** Below the chosen clip: its surroundings in the recording, its defects, and the forms for text and speaker. */

import { h } from "../dom.js";
import { surroundings } from "./surroundings.js";

const FIELD = "textarea, input";

export function details({ facts, judge, turn, defects }) {
  let shown = null; // {element, clipId}
  const fill = async (clipId, element) => {
    const form = shown?.clipId === clipId && shown.element.querySelector("form:not([hidden])");
    const parts = form ? [...shown.element.childNodes] : []; // the page is drawn anew while somebody writes
    shown = { element, clipId };
    element.append(...parts);
    if (form) return form.querySelector(FIELD).focus();
    try {
      const known = await facts(clipId);
      if (shown.element === element) element.replaceChildren(...partsOf(known, { judge, turn, defects }));
    } catch (error) {
      element.replaceChildren(h("p", { role: "alert" }, error.message));
    }
  };
  return { fill, edit: (name) => edit(name, shown, facts), playSurroundings: () => toggle(shown) };
}

/** Open a form. What somebody types until the facts are there is put into its field, as if it had been there. */
async function edit(name, shown, facts) {
  if (!shown) return;
  const waiting = h("input", { "aria-label": "the clip is being read" });
  if (!shown.element.querySelector("form")) shown.element.append(waiting);
  waiting.focus();
  await facts(shown.clipId);
  const form = shown.element.querySelector(`form.${name}`);
  const field = form.querySelector(FIELD);
  form.hidden = false;
  field.focus();
  field.select();
  if (waiting.value) field.setRangeText(waiting.value, 0, field.value.length, "end");
}

function toggle(shown) {
  const audio = shown?.element.querySelector("audio");
  if (audio?.paused)
    audio.play().catch(() => {}); // another clip was chosen before it began
  else audio?.pause();
}

function partsOf(known, { judge, turn, defects }) {
  const { clip, people } = known;
  const line = (decision, keys) => judge({ clip_id: clip.clip_id, decision, ...keys });
  return [
    h(
      "p",
      { class: "by" },
      `models: ${known.kept_by_models ? "✓ keep" : "✕ reject"}`,
      people.fate ? `, you: ${people.fate === "keep" ? "✓ keep" : "✕ drop"}` : "",
    ),
    textForm(clip, people, line),
    speakerForm(known, line),
    defectButtons(known, turn, defects),
    surroundings(known),
  ];
}

/** Enter sends a form whose field is one line, Ctrl+Enter one of several; Escape closes it. */
function form(name, label, field, more, send) {
  const close = () => {
    element.hidden = true;
    field.blur();
  };
  const element = h(
    "form",
    {
      class: name,
      hidden: true,
      onsubmit: (event) => {
        event.preventDefault();
        if (!field.value.trim()) return field.focus();
        close();
        send();
      },
      onkeydown: (event) => {
        if (event.key === "Escape") close();
        if (event.key === "Enter" && event.ctrlKey) element.requestSubmit();
      },
    },
    h("label", {}, label, field),
    ...more,
    h("div", { class: "actions" }, h("button", {}, "save"), h("button", { type: "button", onclick: close }, "cancel")),
  );
  return element;
}

function textForm(clip, people, line) {
  const field = h("textarea", { rows: "4", dir: "auto", spellcheck: "true" });
  field.value = people.text ?? clip.text ?? "";
  return form("text", "What is said (Ctrl+Enter saves)", field, [], () => line("text", { text: field.value }));
}

function speakerForm({ clip, people, alike, has_speakers: hasSpeakers }, line) {
  const field = h("input", { type: "text", autocomplete: "off" });
  field.value = people.speaker ?? "";
  const all = h("input", { type: "checkbox" });
  const more =
    alike > 1 ? [h("label", { class: "all" }, all, ` all ${alike} clips of this speaker in this recording`)] : [];
  const apart = clip.speaker_id ? `, apart from ${clip.speaker_id.slice(0, 8)}` : "";
  const label = hasSpeakers
    ? `Who speaks? Clips with one name become a speaker of their own${apart}.`
    : "Who speaks? The name counts when a run finds speakers, which this one did not.";
  return form("speaker", label, field, more, () =>
    line("speaker", { speaker: field.value, ...(all.checked && { scope: "recording" }) }),
  );
}

/** A button for each defect that can be measured or was said, pressed where it is there. */
function defectButtons({ clip, tests, people }, turn, defects) {
  const failed = tests
    .filter(({ passes, is_of_sound: isOfSound }) => passes === false && isOfSound)
    .map(({ reason }) => reason);
  const names = [...new Set([...defects, ...failed, ...Object.keys(people.defects)])];
  return h(
    "fieldset",
    { class: "defects" },
    h("legend", {}, "Defects: press what is wrong"),
    ...names.map((name, at) => {
      const said = people.defects[name];
      const isThere = said ?? failed.includes(name);
      const by = said === undefined ? "" : " · you";
      return h(
        "button",
        { type: "button", "aria-pressed": String(isThere), onclick: () => turn(clip.clip_id, name) },
        `${isThere ? "✕" : "✓"} ${isThere ? name : `no ${name}`}${by}`,
        at < defects.length ? h("kbd", {}, String(at + 1)) : null,
      );
    }),
  );
}
