/**
 * A small LZF compressor for tests of the reader: takes the last occurrence of three bytes within reach, or nothing.
 */
const DISTANCE_MAX = 8192;
const MATCH_MAX = 264;
const LITERALS_MAX = 32;

export function lzfPack(bytes: Buffer): Buffer {
  const out: number[] = [];
  const seen = new Map<number, number>();
  let literals: number[] = [];
  const flush = (): void => {
    if (literals.length > 0) out.push(literals.length - 1, ...literals);
    literals = [];
  };
  for (let at = 0; at < bytes.length;) {
    const found = at + 3 <= bytes.length ? seen.get(bytes.readUIntBE(at, 3)) : undefined;
    if (at + 3 <= bytes.length) seen.set(bytes.readUIntBE(at, 3), at);
    let size = 0;
    if (found !== undefined && at - found <= DISTANCE_MAX) {
      while (size < MATCH_MAX && at + size < bytes.length && bytes[found + size] === bytes[at + size]) size++;
    }
    if (size < 3) {
      literals.push(bytes[at++] as number);
      if (literals.length === LITERALS_MAX) flush();
      continue;
    }
    flush();
    const distance = at - (found as number) - 1;
    if (size - 2 < 7) out.push(((size - 2) << 5) | (distance >> 8), distance & 255);
    else out.push((7 << 5) | (distance >> 8), size - 9, distance & 255);
    at += size;
  }
  flush();
  return Buffer.from(out);
}
