/** The questions at the head of the page: each link brings the page into the state that answers it. */

const open = (selector) => document.querySelector(selector)?.setAttribute("open", "");

/** `recordings.worst()` chooses the recording that lost most; it is undefined where there are none. */
export function start({ recordings, list }) {
  const answers = {
    lost: () => recordings?.worst(),
    more: () => open("#offers"),
    doubtful: () => open("#listen details.group"),
    judge: () => list.grid.step(1),
  };
  for (const link of document.querySelectorAll("#start [data-question]")) {
    link.addEventListener("click", () => answers[link.dataset.question]());
  }
}
