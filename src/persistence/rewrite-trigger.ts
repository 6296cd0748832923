/**
 * When the AOF is rewritten without being asked: it has grown enough (auto-aof-rewrite-percentage and -min-size), and
 * rewrites have not failed too often of late. Redis's rules and figures. Pure functions over plain data.
 */

/** Failures in a row from which on rewrites wait. */
const FAILURES_MAX = 3;
const DELAY_MINUTES_MAX = 60;
const MS_PER_MINUTE = 60_000;

/** How rewrites have gone lately. */
export interface RewriteLimit {
  failuresInRow: number;
  delayMinutes: number;
  /** No rewrite before this; 0: none is set. */
  nextAtMs: number;
}

export const NO_LIMIT: RewriteLimit = { failuresInRow: 0, delayMinutes: 0, nextAtMs: 0 };

/** The limit after a rewrite. */
export function afterRewrite(limit: RewriteLimit, isOk: boolean): RewriteLimit {
  return isOk ? NO_LIMIT : { ...limit, failuresInRow: limit.failuresInRow + 1 };
}

/** Whether a rewrite has to wait now; `log` says so when the waiting begins. */
export function checkLimit(
  limit: RewriteLimit,
  nowMs: number,
): { isLimited: boolean; limit: RewriteLimit; log?: string } {
  if (limit.failuresInRow < FAILURES_MAX) return { isLimited: false, limit };
  if (limit.nextAtMs !== 0) {
    if (nowMs < limit.nextAtMs) return { isLimited: true, limit };
    return { isLimited: false, limit: { ...limit, nextAtMs: 0 } };
  }
  const delayMinutes = Math.min(limit.delayMinutes === 0 ? 1 : limit.delayMinutes * 2, DELAY_MINUTES_MAX);
  return {
    isLimited: true,
    limit: { ...limit, delayMinutes, nextAtMs: nowMs + delayMinutes * MS_PER_MINUTE },
    log: `Background AOF rewrite has repeatedly failed and triggered the limit, will retry in ${delayMinutes} minutes`,
  };
}

export interface Growth {
  currentBytes: bigint;
  /** Size after the last rewrite, or at the start. */
  baseBytes: bigint;
  /** 0: never by itself. */
  percentage: number;
  minBytes: bigint;
}

/** By how many percent the file has grown, if that is enough; else undefined. */
export function dueGrowth({ currentBytes, baseBytes, percentage, minBytes }: Growth): bigint | undefined {
  if (percentage === 0 || currentBytes <= minBytes) return undefined;
  const growth = (currentBytes * 100n) / (baseBytes === 0n ? 1n : baseBytes) - 100n;
  return growth >= BigInt(percentage) ? growth : undefined;
}
