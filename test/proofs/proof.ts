/**
 * What all proofs share: the form of a result, the list of violations, where keys lie, waiting.
 *
 * A proof is a function from a server's port, a seed and sizes to figures and violations. It starts no server, so that
 * the same proof runs against redis-server, where a violation means that the checker is wrong, and against us.
 */
import { setTimeout as sleep } from 'node:timers/promises';

/** What a proof found. */
export interface ProofResult {
  name: string;
  seed: number;
  figures: Record<string, number>;
  /** How many violations; `violations` tells the first of them. */
  violationCount: number;
  violations: string[];
}

/** What every proof is told. */
export interface ProofOptions {
  port: number;
  seed: number;
}

const TEXTS_MAX = 20;

/** Counts violations and keeps the words of the first. */
export class Violations {
  count = 0;
  readonly texts: string[] = [];

  add(text: string | undefined): void {
    if (text === undefined) return;
    this.count++;
    if (this.texts.length < TEXTS_MAX) this.texts.push(text);
  }

  /** The proof's result with these violations. */
  result(name: string, seed: number, figures: Record<string, number>): ProofResult {
    return { name, seed, figures, violationCount: this.count, violations: this.texts };
  }
}

/** One line about a result, and one for each violation told. */
export function describeResult(result: ProofResult): string {
  const figures = Object.entries(result.figures).map(([name, value]) => `${name} ${Math.round(value * 1000) / 1000}`);
  const verdict = result.violationCount === 0 ? 'holds' : `${result.violationCount} VIOLATIONS`;
  const head = `${result.name}: ${verdict}; ${figures.join(', ')}; seed ${result.seed}`;
  return [head, ...result.violations.map((text) => `  ${text}`)].join('\n');
}

// ---- Where keys lie ----

const SLOTS = 16384;

/** CRC-16/XMODEM, the hash of cluster slots. */
function crc16(text: string): number {
  let crc = 0;
  for (let at = 0; at < text.length; at++) {
    crc ^= text.charCodeAt(at) << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : ((crc << 1) ^ 0x1021) & 0xffff;
  }
  return crc & 0xffff;
}

/** The slot of a key of ASCII, hash tag regarded. */
export function slotOf(key: string): number {
  const tag = /^[^{]*\{([^}]+)\}/.exec(key)?.[1];
  return crc16(tag ?? key) % SLOTS;
}

/** In which of `parts` equal parts of all slots a key lies. */
export function partOf(key: string, parts: number): number {
  return Math.floor((slotOf(key) * parts) / SLOTS);
}

/**
 * A key whose slot lies in a given part of the slots, so that keys of different parts lie on different shards of a
 * server with at least `parts` shards (a shard is a run of neighbouring slots). Same arguments, same key. The name has
 * no hash tag.
 */
export function keyInPart(name: string, part: number, parts: number): string {
  for (let attempt = 0; ; attempt++) {
    const key = `${name}:${attempt}`;
    if (partOf(key, parts) === part % parts) return key;
  }
}

// ---- Waiting ----

export { sleep };

const POLL_MS = 1;
const WAIT_MS_MAX = 10_000;

/** Waits for a condition; throws with `what` when it does not come true in time. */
export async function waitFor(what: string, condition: () => Promise<boolean>, timeoutMs = WAIT_MS_MAX): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await sleep(POLL_MS);
  }
}
