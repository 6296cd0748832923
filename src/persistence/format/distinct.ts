/**
 * Distinct: finds what occurs twice in one value, within bounded memory.
 *
 * It remembers at most ELEMENTS_MAX elements and BYTES_MAX bytes of them; in a value beyond that, the elements
 * behind are not compared. (A duplicate there does no harm to the reading, only nobody is told.)
 */

const ELEMENTS_MAX = 1 << 20;
const BYTES_MAX = 32 * 1024 * 1024;

export class Distinct {
  private readonly seen = new Set<string>();
  private byteCount = 0;

  /** False when these bytes were added before. */
  add(bytes: Buffer): boolean {
    const text = bytes.toString('latin1');
    if (this.seen.has(text)) return false;
    if (this.seen.size < ELEMENTS_MAX && this.byteCount < BYTES_MAX) {
      this.seen.add(text);
      this.byteCount += text.length;
    }
    return true;
  }
}
