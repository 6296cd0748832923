/**
 * LZF, the compression of strings in RDB files (Marc Lehmann's format).
 *
 *   000LLLLL                     L + 1 bytes as they are follow
 *   LLLooooo oooooooo            L + 2 bytes (L from 1 to 6) from o + 1 bytes back
 *   111ooooo LLLLLLLL oooooooo   L + 9 bytes from o + 1 bytes back
 *
 * The size that a file claims for the result is not believed: a first pass over the control bytes adds up what they
 * make, and memory is asked for only when both agree. A reference may overlap what it makes (a run).
 */
import { PackError } from './format-error.js';

const INVALID = 'Invalid LZF compressed string';

/** Number of bytes that `packed` makes. Throws PackError when it ends within a control or refers before its start. */
export function lzfUnpackedSize(packed: Uint8Array): number {
  let size = 0;
  let at = 0;
  while (at < packed.length) {
    const control = packed[at++] as number;
    if (control < 32) {
      at += control + 1;
      size += control + 1;
      if (at > packed.length) throw new PackError(INVALID);
      continue;
    }
    let length = control >> 5;
    if (length === 7) length += packed[at++] ?? 0;
    if (at >= packed.length) throw new PackError(INVALID);
    const distance = ((control & 31) << 8) + (packed[at++] as number) + 1;
    if (distance > size) throw new PackError(INVALID);
    size += length + 2;
  }
  return size;
}

/** Unpacks to exactly `size` bytes, or throws PackError. */
export function lzfUnpack(packed: Uint8Array, size: number): Buffer {
  if (lzfUnpackedSize(packed) !== size) throw new PackError(INVALID);
  const target = Buffer.allocUnsafe(size);
  let at = 0;
  let to = 0;
  while (at < packed.length) {
    const control = packed[at++] as number;
    if (control < 32) {
      for (const end = at + control + 1; at < end;) target[to++] = packed[at++] as number;
      continue;
    }
    let length = control >> 5;
    if (length === 7) length += packed[at++] as number;
    let from = to - ((control & 31) << 8) - (packed[at++] as number) - 1;
    for (const end = to + length + 2; to < end;) target[to++] = target[from++] as number;
  }
  return target;
}
