/** Some seconds of the recording before and after a clip: a strip of spans, what is said in them, and their sound. */

import { h } from "../dom.js";
import { clock } from "../format.js";
import { surroundingsOf } from "./server.js";

export function surroundings({ clip, surroundings: place }) {
  const label = `The clip with its surroundings, ${clock(place.start_s)} to ${clock(place.end_s)}`;
  const audio = h("audio", { controls: true, preload: "none", src: surroundingsOf(clip.clip_id), "aria-label": label });
  return h(
    "section",
    { class: "surroundings" },
    h("h4", {}, "Surroundings ", h("kbd", {}, "c")),
    strip(clip, place, audio),
    audio,
    h("ol", {}, ...place.spans.filter(({ text, kind }) => text || kind !== "silence").map((span) => said(clip, span))),
    h("p", { class: "hint" }, "Where nothing is stored, such as between clips, it is silent."),
  );
}

/** A strip as long as the surroundings; a click plays from there. */
function strip(clip, place, audio) {
  const length = place.end_s - place.start_s;
  const parts = place.spans.map((span) => {
    const seconds = Math.min(span.end_s, place.end_s) - Math.max(span.start_s, place.start_s);
    const name =
      span.clip_id === clip.clip_id ? "this clip" : `${span.kind}${span.decision ? `, ${span.decision}` : ""}`;
    const rect = h("span", {
      class: `span ${span.clip_id === clip.clip_id ? "this" : (span.decision ?? span.kind)}`,
      title: name,
    });
    rect.style.flexGrow = String(seconds); // as a property: the policy of the page allows no style in attributes
    return rect;
  });
  const element = h("div", { class: "strip", "aria-hidden": "true" }, ...parts);
  element.addEventListener("click", (event) => {
    const { left, width } = element.getBoundingClientRect();
    audio.currentTime = (length * (event.clientX - left)) / width;
    audio.play().catch(() => {}); // another clip was chosen before it began
  });
  return element;
}

function said(clip, span) {
  const isThis = span.clip_id === clip.clip_id;
  const text = span.text
    ? h("bdi", {}, span.text)
    : h("i", {}, span.clip_id ? "no transcript" : span.kind.replace("_", " "));
  const fate = { kept: "✓ ", rejected: "✕ " }[span.decision] ?? "";
  return h(
    "li",
    { class: isThis ? "this" : "", "aria-current": isThis ? "true" : null },
    h("span", { class: "time" }, `${clock(span.start_s)} ${fate}`),
    text,
  );
}
