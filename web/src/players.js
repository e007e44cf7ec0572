/** Players: one plays at a time, and a line moves over the picture of a clip; a group plays clip after clip. */

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

/** Buttons that play the clips of their group in turn, from the first one or the one that is played by hand. */
export function playGroups() {
  for (const button of document.querySelectorAll(".play-all")) {
    const sounds = [...button.closest(".group").querySelectorAll("audio")];
    const words = button.textContent;
    const turn = (isOn) => {
      button.textContent = isOn ? "Stop" : words;
      button.dataset.on = isOn;
    };
    const play = (audio) => {
      turn(Boolean(audio));
      audio?.closest(".clip").scrollIntoView({ block: "nearest" });
      audio?.play();
    };
    const isOn = () => button.dataset.on === "true";
    sounds.forEach((audio, at) => audio.addEventListener("ended", () => isOn() && play(sounds[at + 1])));
    button.hidden = !sounds.length;
    button.addEventListener("click", () => {
      for (const audio of sounds) audio.pause();
      play(isOn() ? null : sounds[0]);
    });
  }
}

const secondsOf = (audio) => Number(audio.closest(".clip").dataset.seconds);

function follow(audio, head) {
  head.hidden = false;
  head.style.left = `${(100 * audio.currentTime) / secondsOf(audio)}%`;
  if (!audio.paused) requestAnimationFrame(() => follow(audio, head));
}
