/** The script of report.html: reads the table of clips, and draws the views in the sections made for them. */

import { Clips } from "./clips.js";
import { detail } from "./detail.js";
import { h } from "./dom.js";
import { histograms } from "./histograms.js";
import { keys } from "./keys.js";
import { clipList } from "./list.js";
import { playGroups, players } from "./players.js";
import { recordings } from "./recordings.js";
import { offer, seam } from "./seam.js";
import { speakers } from "./speakers.js";
import { start } from "./start.js";
import { State } from "./state.js";
import { thresholds } from "./thresholds.js";
import { unpack } from "./unpack.js";

const place = (name) => document.getElementById(name);

function play() {
  const audio = document.querySelector("#detail audio");
  if (!audio) return;
  if (audio.paused)
    audio.play().catch(() => {}); // another clip was chosen before it began
  else audio.pause();
}

function offered(state, list) {
  const { clips } = state;
  const rowsOf = (clipIds) => clipIds.map((clipId) => clips.index(clipId)).filter((row) => row >= 0);
  clips.reasons = (row) => state.reasonsOf(row);
  clips.isKept = (row) => state.isKept(row);
  return {
    clips,
    current: () => (state.chosen < 0 ? null : clips.id(state.chosen)),
    choose: (clipId) => state.choose(clips.index(clipId)),
    step: (count) => list.grid.step(count),
    play,
    refresh: () => state.noted(),
    setQueue: (clipIds) => {
      state.isNewQueue = true;
      state.setQueue(clipIds && rowsOf(clipIds));
    },
    setText: (clipId, text) => {
      clips.setText(clips.index(clipId), text);
      state.noted();
    },
    setThreshold: (key, value) => {
      const at = clips.tested.findIndex((column) => column.key === key);
      const { stops } = clips.tested[at];
      const far = (position) => Math.abs(stops[position] - value);
      state.setLimit(
        at,
        value === null ? null : [...stops.keys()].reduce((best, one) => (far(one) < far(best) ? one : best)),
      );
    },
    thresholds: () =>
      Object.fromEntries(
        clips.tested.map((column, at) => {
          const position = state.limit(at);
          return [column.key, position === null ? null : column.stops[position]];
        }),
      ),
  };
}

async function main() {
  const given = seam();
  players();
  playGroups();
  const state = new State(new Clips(await unpack(place("table-of-clips").textContent)));
  const list = clipList(place("list-view"), state, given);
  detail(place("detail"), state, given);
  thresholds(place("thresholds-view"), state);
  histograms(place("histograms-view"), state);
  const byRecording = recordings(place("recordings-view"), state);
  speakers(place("speakers-view"), state);
  start({ recordings: byRecording, list });
  keys({ ...list, play, given, state });
  state.addEventListener("chosen", () => {
    const clipId = state.chosen < 0 ? null : state.clips.id(state.chosen);
    document.dispatchEvent(new CustomEvent("speechmill:chosen", { detail: clipId }));
  });
  const ready = offered(state, list);
  if (given.queue) ready.setQueue(given.queue);
  document.body.dataset.ready = Math.round(performance.now());
  offer(given, ready);
}

main().catch((error) => {
  place("fault").append(
    h("p", { role: "alert" }, `The clips could not be read: ${error.message}. A browser from 2023 or later is needed.`),
  );
  throw error;
});
