/**
 * A small seeded random generator, so that a stream of commands is a pure function of its seed.
 *
 * sfc32 (Chris Doty-Humphrey's "small fast counter" generator, from PractRand), seeded through splitmix32 so that
 * neighbouring seeds give unrelated streams. Not for secrets.
 */

const UINT32 = 0x1_0000_0000;

/** Mixes a base seed and an index into a seed of its own (32 bits). */
export function deriveSeed(base: number, index: number): number {
  const mix = splitmix32((base ^ Math.imul(index + 1, 0x9e3779b9)) >>> 0);
  mix();
  return mix();
}

function splitmix32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
}

export class Prng {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  constructor(seed: number) {
    const mix = splitmix32(seed >>> 0);
    this.a = mix() | 0;
    this.b = mix() | 0;
    this.c = mix() | 0;
    for (let round = 0; round < 12; round++) this.next();
  }

  /** 32 random bits, unsigned. */
  next(): number {
    const result = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + result;
    this.c |= 0;
    return result >>> 0;
  }

  /** In [0, 1). */
  real(): number {
    return this.next() / UINT32;
  }

  /** An integer in [0, limit). */
  below(limit: number): number {
    return Math.floor(this.real() * limit);
  }

  /** An integer in [from, to], both included. */
  between(from: number, to: number): number {
    return from + this.below(to - from + 1);
  }

  chance(probability: number): boolean {
    return this.real() < probability;
  }

  pick<T>(list: readonly T[]): T {
    if (list.length === 0) throw new Error('pick from an empty list');
    return list[this.below(list.length)] as T;
  }

  bytes(length: number): Buffer {
    const buffer = Buffer.alloc(length);
    for (let at = 0; at < length; at++) buffer[at] = this.next() & 0xff;
    return buffer;
  }
}
