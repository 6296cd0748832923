/**
 * What the kernel knows about a process and the machine: processor time, resident memory, processor model.
 *
 * Linux only, read from /proc. Processor time comes from /proc/<pid>/stat, which sums all threads of
 * the process, ended ones too, in ticks of 10 ms: a measured stretch should last a second or more.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { projectRoot } from '../../test/support/project.js';

/** Ticks a second of the times in /proc, the same on every Linux that node runs on. */
const TICKS_PER_SEC = 100;

/** User and system time of all threads so far, in microseconds. */
export function cpuTimeUs(pid: number): number {
  const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name in parentheses may hold spaces; the fields after it may not. Fields 14 and 15 count from the pid.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return (ticks * 1e6) / TICKS_PER_SEC;
}

/** Resident memory in bytes. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? NaN) * 1024;
}

/**
 * How long this process's main thread has been ready to run without a core to run on. A client that measures waits adds
 * such time to them by itself, and on a machine with few cores it is the greater part of the longest ones.
 */
export class RunQueueDelay {
  private readonly file = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
  private readonly buffer = Buffer.alloc(128);

  /** Total so far in milliseconds. Costs a system call. */
  readMs(): number {
    const bytes = readSync(this.file, this.buffer, 0, this.buffer.length, 0);
    // "time-on-core time-in-queue turns", both times in nanoseconds.
    return Number(this.buffer.toString('latin1', 0, bytes).split(' ')[1]) / 1e6;
  }

  close(): void {
    closeSync(this.file);
  }
}

/** The facts without which a figure means nothing. */
export interface MachineFacts {
  processor: string;
  cores: number;
  memoryGib: number;
  kernel: string;
  node: string;
  commit: string;
  date: string;
}

/** Facts about this machine and tree. */
export function machineFacts(): MachineFacts {
  let commit = 'unknown';
  try {
    commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: projectRoot, encoding: 'utf8' }).trim();
  } catch {
    // An unpacked archive has no history; the figures are still worth having.
  }
  return {
    processor: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    commit,
    date: new Date().toISOString(),
  };
}

/** The facts in one line. */
export function describeMachine(facts: MachineFacts): string {
  const machine = `${facts.processor}, ${facts.cores} cores, ${facts.memoryGib} GiB, Linux ${facts.kernel}`;
  return `${machine}, node ${facts.node}, commit ${facts.commit}`;
}
