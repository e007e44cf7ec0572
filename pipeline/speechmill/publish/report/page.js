"use strict";
(() => {
  const clips = [...document.querySelectorAll(".clip")];
  const filter = document.querySelector("#filter");
  const shown = document.querySelector("#shown");
  const words = new Map(clips.map((clip) => [clip, clip.textContent.toLowerCase()]));
  const visible = () => clips.filter((clip) => !clip.hidden);

  const sift = () => {
    const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const clip of clips) clip.hidden = !wanted.every((word) => words.get(clip).includes(word));
    for (const group of document.querySelectorAll(".group")) group.hidden = !group.querySelector(".clip:not([hidden])");
    shown.textContent = `${visible().length} of ${clips.length} clips`;
  };

  const go = (step) => {
    const list = visible();
    if (!list.length) return;
    const at = list.indexOf(document.activeElement.closest(".clip"));
    const next = list[Math.min(Math.max(at + step, 0), list.length - 1)];
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  };

  const toggle = (clip) => {
    const audio = clip && clip.querySelector("audio");
    if (audio) audio.paused ? audio.play() : audio.pause();
  };

  for (const clip of clips) {
    const audio = clip.querySelector("audio");
    if (!audio) continue;
    const picture = clip.querySelector(".picture");
    const head = picture.querySelector("i");
    const seconds = Number(clip.dataset.seconds);
    audio.addEventListener("play", () => {
      for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
      const follow = () => {
        head.hidden = false;
        head.style.left = `${(100 * audio.currentTime) / seconds}%`;
        if (!audio.paused) requestAnimationFrame(follow);
      };
      follow();
    });
    picture.addEventListener("click", (event) => {
      audio.currentTime = (seconds * event.offsetX) / picture.clientWidth;
      audio.play();
    });
  }

  filter.addEventListener("input", sift);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === filter) {
      if (event.key === "Escape") filter.blur();
      return;
    }
    const act = { j: () => go(1), k: () => go(-1), "/": () => filter.focus() }[event.key];
    if (act) act();
    else if (event.key === " " && event.target.matches(".clip")) toggle(event.target);
    else return;
    event.preventDefault();
  });
  sift();
})();
