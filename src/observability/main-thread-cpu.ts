/**
 * CPU time of the main thread, from /proc: Node 20 tells the process's only.
 *
 * The kernel counts there in ticks of 1/100 s, whatever its own clock (USER_HZ is part of its interface). Any thread.
 */
import { readFileSync } from 'node:fs';

const USEC_PER_TICK = 10_000;

export interface ThreadCpu {
  systemUsec: number;
  userUsec: number;
}

/** Zeros where /proc cannot be read. */
export function mainThreadCpu(): ThreadCpu {
  try {
    // The main thread's id is the process's.
    return parseThreadStat(readFileSync(`/proc/self/task/${process.pid}/stat`, 'latin1'));
  } catch {
    return { systemUsec: 0, userUsec: 0 };
  }
}

/** Fields 14 and 15 of proc(5) stat; the name before them may hold blanks and brackets. */
export function parseThreadStat(text: string): ThreadCpu {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const usec = (field: string | undefined): number => Number(field ?? 0) * USEC_PER_TICK;
  return { userUsec: usec(fields[11]), systemUsec: usec(fields[12]) };
}
