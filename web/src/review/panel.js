/** Above the list: how far the queue is, undo, and how far people and models agree. */

import { h } from "../dom.js";

export function panel(element, { undo, showQueue }) {
  const progress = h("progress", { "aria-label": "clips of the queue that are judged" });
  const figures = h("span", { class: "figures" });
  const status = h("span", { class: "said", role: "status" });
  const fault = h("span", { class: "fault", role: "alert" });
  const back = h("button", { type: "button", onclick: undo }, "undo", h("kbd", {}, "u"));
  const inQueue = h("input", { type: "checkbox", checked: true, onchange: () => showQueue(inQueue.checked) });
  const plays = h("input", { type: "checkbox", checked: true });
  const agreement = h("details", { class: "agreement" });
  const run = h(
    "p",
    { class: "hint", hidden: true },
    "A run is at work on this corpus: reload the page to see what it has made since.",
  );
  element.classList.add("review");
  element.append(
    h(
      "div",
      { class: "bar" },
      progress,
      figures,
      back,
      h("label", {}, inQueue, " only the queue"),
      h("label", {}, plays, " play the next"),
      status,
      fault,
    ),
    run,
    agreement,
  );
  let queue = "";
  const show = (state, said) => {
    const { judged, of } = state.progress;
    progress.max = Math.max(of, 1);
    progress.value = judged;
    figures.textContent = `${judged} of ${of} in ${queue} judged`;
    back.disabled = !state.can_undo;
    status.textContent = said;
    fault.textContent = "";
    agreement.replaceChildren(...agreed(state));
  };
  return {
    show,
    open: (state) => {
      queue = state.queue.name;
      run.hidden = !state.run_active;
      show(state, "");
    },
    fail: (message) => {
      fault.textContent = message;
    },
    done: () => {
      status.textContent = `all of ${queue} are judged: speechmill select publishes it`;
    },
    playsNext: () => plays.checked,
  };
}

function agreed({ agreement, agreement_of_random: drawn }) {
  const { precision } = agreement.keep;
  const summary = precision.of
    ? `Of the clips that the models keep, you keep ${told(precision)}`
    : "Agreement with the models: nothing is judged yet";
  return [
    h("summary", {}, summary),
    table("All judged clips", agreement),
    ...(drawn ? [table("Clips drawn at random, which stand for the whole corpus", drawn)] : []),
    h(
      "p",
      { class: "hint" },
      "Precision: of the judged clips that a threshold rejects, how many you reject for it. Recall: of those that you ",
      "reject for it, how many it finds. In brackets the 95 % interval. Only clips drawn at random tell of the whole ",
      "corpus: --queue random.",
    ),
  ];
}

function table(caption, { keep, thresholds }) {
  const rows = [{ threshold: "kept by the models", ...keep }, ...thresholds].filter(
    (row) => row.precision.of || row.recall.of,
  );
  if (!rows.length) return "";
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", {}, caption),
      h(
        "thead",
        {},
        h("tr", {}, ...["threshold", "precision", "recall"].map((name) => h("th", { scope: "col" }, name))),
      ),
      h(
        "tbody",
        {},
        ...rows.map((row) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, row.threshold.replace("thresholds.", "")),
            h("td", {}, told(row.precision)),
            h("td", {}, told(row.recall)),
          ),
        ),
      ),
    ),
  );
}

const percent = (share) => `${Math.round(100 * share)}`;

function told({ right, of, share, low, high }) {
  return of ? `${percent(share)} % (${percent(low)} to ${percent(high)}): ${right} of ${of}` : "–";
}
