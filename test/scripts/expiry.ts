/**
 * Which keys of a script have expired, told from its own words: SET … PX and PEXPIRE give a key a time, and whatever names
 * the key before that, or empties a database, ends what is known of it. Scripts let keys expire only where they say so
 * (Step.beforeMs), and servers expire them only when they are looked at (side.ts), so little needs to be known: a key is
 * listed as expired only when a later command names it first behind its time.
 *
 * That a server did find a key expired is for its own count to say (Side.expiredCount); this says which it can have been.
 */
import { lineName } from './compare.js';
import { bytesOf, wordOf, type Line } from './script.js';

const EMPTYING = new Set(['flushall', 'flushdb', 'swapdb', 'move', 'reset']);

const textOf = (word: string | Buffer | undefined): string => (word === undefined ? '' : bytesOf(word).toString('latin1'));

/** The time that a command gives a key, in milliseconds. */
function lifeOf(line: Line): { key: string; lifeMs: number } | undefined {
  const name = lineName(line);
  const at = name === 'pexpire' ? 2 : name === 'set' ? line.findIndex((word) => wordOf(word) === 'px') + 1 : 0;
  const lifeMs = at > 0 ? Number(textOf(line[at])) : NaN;
  return lifeMs > 0 ? { key: textOf(line[1]), lifeMs } : undefined;
}

/** Follows a script from step to step. */
export class Expiry {
  /** Keys with a time, and when it is over, by the clock of whoever asks. */
  private readonly endsAtMs = new Map<string, number>();

  /** Keys that the lines name and whose time is over. */
  namedIn(lines: readonly Line[], nowMs: number): Set<string> {
    const words = new Set(lines.flatMap((line) => line.slice(1).map(textOf)));
    return new Set([...this.endsAtMs].filter(([key, endsAtMs]) => endsAtMs <= nowMs && words.has(key)).map(([key]) => key));
  }

  /**
   * Takes in a step's lines once they have been executed, which may have been as late as now. A key whose time is over stays
   * listed while the servers have not found it: a command may have been refused before it looked.
   */
  note(lines: readonly Line[], nowMs: number, haveFound: boolean): void {
    for (const line of lines) {
      if (EMPTYING.has(lineName(line))) this.endsAtMs.clear();
      const isAbout = lifeOf(line);
      // Reading a key that lives changes nothing: the script of a key that expires reads it at once, to be told of it.
      const isRead = ['get', 'type', 'ttl', 'exists'].includes(lineName(line));
      for (const word of line.slice(1)) {
        const endsAtMs = this.endsAtMs.get(textOf(word));
        if (endsAtMs === undefined) continue;
        if (endsAtMs <= nowMs ? haveFound : !isRead) this.endsAtMs.delete(textOf(word));
      }
      if (isAbout !== undefined) this.endsAtMs.set(isAbout.key, nowMs + isAbout.lifeMs);
    }
  }
}
