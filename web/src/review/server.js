/** Speaks to the server that the page came from: its address has the token, so that relative ones are enough. */

/** Facts as JSON. Throws an Error with the server's own words. */
export const get = (path) => ask(path, {});

/** Send an object as JSON, and return what the server answers. Throws an Error with the server's own words. */
export const post = (path, body = {}) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

async function ask(path, options) {
  const answer = await fetch(path, options).catch(() => {
    throw new Error("the server does not answer: is `speechmill review` still running?");
  });
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.json();
}

const whole = (path) => new URL(path, document.baseURI).href; // as a player has it, so that the page knows it again

export const soundOf = (clipId) => whole(`sound/${clipId}.flac`);
export const surroundingsOf = (clipId) => whole(`surroundings/${clipId}.flac`);
