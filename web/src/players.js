/** Players: one plays at a time, and a line moves over the picture of a clip. The evaluation pages use it too. */

export function players(root = document) {
  root.addEventListener(
    "play",
    (event) => {
      for (const other of document.querySelectorAll("audio")) if (other !== event.target) other.pause();
      const head = event.target.closest(".clip")?.querySelector(".picture i");
      if (head) follow(event.target, head);
    },
    true,
  );
  for (const picture of root.querySelectorAll(".clip .picture")) {
    const audio = picture.closest(".clip").querySelector("audio");
    picture.addEventListener("click", (event) => {
      audio.currentTime = (secondsOf(audio) * event.offsetX) / picture.clientWidth;
      audio.play();
    });
  }
}

const secondsOf = (audio) => Number(audio.closest(".clip").dataset.seconds);

function follow(audio, head) {
  head.hidden = false;
  head.style.left = `${(100 * audio.currentTime) / secondsOf(audio)}%`;
  if (!audio.paused) requestAnimationFrame(() => follow(audio, head));
}
