/** Reads the table of clips that publish/report/clip_table.py packed: base64 of gzip, a head as JSON, then columns. */

const ARRAYS = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array };

function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

async function gunzip(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Numbers whose bytes lie plane by plane: all lowest bytes first. */
function joinPlanes(bytes, width, count) {
  if (width === 1) return bytes;
  const numbers = new ARRAYS[width](count);
  for (let plane = 0; plane < width; plane++) {
    for (let at = 0; at < count; at++) numbers[at] += bytes[plane * count + at] * 2 ** (8 * plane);
  }
  return numbers;
}

/** The head, with `arrays` by name and `texts`, a line for each clip. */
export async function unpack(packed) {
  const bytes = await gunzip(fromBase64(packed));
  const decoder = new TextDecoder();
  const headEnd = 4 + new DataView(bytes.buffer).getUint32(0, true);
  const head = JSON.parse(decoder.decode(bytes.subarray(4, headEnd)));
  const arrays = {};
  let at = headEnd;
  for (const [name, width, count] of head.buffers) {
    arrays[name] = joinPlanes(bytes.subarray(at, at + width * count), width, count);
    at += width * count;
  }
  const texts = decoder.decode(bytes.subarray(at)).split("\n");
  return { ...head, arrays, texts };
}
