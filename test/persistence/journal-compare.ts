/** Compares the commands of two AOFs, where time and chance may differ but nothing else. */

const TIME_TOLERANCE_MS = 10_000n;

/**
 * XREADGROUP tells how many entries a group has read by XGROUP SETID behind its XCLAIMs (7.2); 7.0 does so only with
 * NOACK. Those are left out, and a MULTI that was there for them alone.
 */
export function withoutEntriesRead(commands: readonly string[][]): string[][] {
  const kept: string[][] = [];
  let removedInMulti = false;
  for (const command of commands) {
    const before = kept.at(-1);
    if (command[0] === 'XGROUP' && command[1] === 'SETID' && before?.[0] === 'XCLAIM' && before.includes('LASTID')) {
      removedInMulti = true;
      continue;
    }
    const opened = kept.at(-2);
    if (command[0] === 'EXEC' && removedInMulti && opened?.[0] === 'MULTI') kept.splice(-2, 1);
    else kept.push(command);
    if (command[0] === 'EXEC' || command[0] === 'MULTI') removedInMulti = false;
  }
  return kept;
}

/** Streams begin with FLUSHALL: a difference in one must not hide those of the next. */
export function splitAtFlush(commands: readonly string[][]): string[][][] {
  const parts: string[][][] = [[]];
  for (const command of commands) {
    if (command[0]?.toLowerCase() === 'flushall') parts.push([]);
    (parts.at(-1) as string[][]).push(command);
  }
  return parts;
}

/** Milliseconds or stream IDs that were made of the clock. */
function isTimeLike(left: string, right: string): boolean {
  const pattern = /^(\d{10,19})(-\d+)?$/;
  const [a, b] = [pattern.exec(left), pattern.exec(right)];
  if (!a || !b) return false;
  const difference = BigInt(a[1] as string) - BigInt(b[1] as string);
  return difference <= TIME_TOLERANCE_MS && difference >= -TIME_TOLERANCE_MS && a[2] === b[2];
}

export function isSameCommand(left: readonly string[] | undefined, right: readonly string[] | undefined): boolean {
  if (left === undefined || right === undefined || left.length !== right.length) return false;
  // Names mean the same in any case (Redis keeps that of a "pexpireat" that it need not rewrite).
  const name = (left[0] as string).toLowerCase();
  if (name !== (right[0] as string).toLowerCase()) return false;
  return left.every((word, index) => {
    // Each server was given its own DUMP: payloads carry the version of their maker.
    if (index === 0 || (name === 'restore' && index === 3)) return true;
    return word === right[index] || isTimeLike(word, right[index] as string);
  });
}

export function firstDifference(left: readonly string[][], right: readonly string[][]): number | undefined {
  const length = Math.max(left.length, right.length);
  for (let index = 0; index < length; index++) {
    if (!isSameCommand(left[index], right[index])) return index;
  }
  return undefined;
}

const show = (command: readonly string[] | undefined): string =>
  command === undefined ? '(nothing)' : command.map((word) => JSON.stringify(word.length > 60 ? `${word.slice(0, 60)}…` : word)).join(' ');

export function describeDifference(left: readonly string[][], right: readonly string[][], at: number): string {
  const before = left.slice(Math.max(0, at - 3), at).map((command) => `    ${show(command)}`);
  const around = (side: readonly string[][]): string => side.slice(at, at + 3).map(show).join('\n           ');
  return [...before, `  redis:   ${around(left)}`, `  journal: ${around(right)}`].join('\n');
}
