/**
 * Runs redis-benchmark for one test and reads its report.
 *
 * The plain report is read and not --csv, since only the plain one has the distribution that p99.9 comes from: it
 * lists latencies at halving distances from 100 % ("99.902% <= 1.503 milliseconds"). p99.9 is the smallest
 * listed latency at or above 99.9 %.
 */
import { spawn } from 'node:child_process';
import { oracleProgram } from '../../test/support/project.js';
import { cpuTimeUs } from './process-facts.js';

/** What one run is to do. */
export interface Load {
  /** redis-benchmark's name of the test: set, ping_mbulk, zpopmin … */
  test: string;
  /** A command to send instead of one of redis-benchmark's tests. */
  words?: readonly string[];
  pipeline: number;
  clients: number;
  requests: number;
  valueBytes: number;
  /** Keys are drawn from this many. */
  keyspace: number;
  /** Threads of redis-benchmark itself; 0 leaves it at its default. */
  threads: number;
}

/** What one run has measured. */
export interface LoadResult {
  requestsPerSec: number;
  p50Ms: number;
  p99Ms: number;
  p999Ms: number;
}

/** The same, with what redis-benchmark itself cost: processor time as a share of the time that passed; 1 is a full core. */
export interface LoadRun extends LoadResult {
  clientShare: number;
}

/** Reads redis-benchmark's plain report. Throws when it is not one. */
export function parseReport(report: string): LoadResult {
  const rate = /throughput summary: ([\d.]+) requests per second/.exec(report)?.[1];
  const summary = /avg\s+min\s+p50\s+p95\s+p99\s+max\s+([\d.\s]+)/.exec(report)?.[1];
  if (rate === undefined || summary === undefined) throw new Error(`not a report of redis-benchmark:\n${report}`);
  const [, , p50, , p99] = summary.trim().split(/\s+/).map(Number);
  const rows = [...report.matchAll(/([\d.]+)% <= ([\d.]+) milliseconds/g)];
  const tail = rows.filter((row) => Number(row[1]) >= 99.9).map((row) => Number(row[2]));
  return { requestsPerSec: Number(rate), p50Ms: p50 ?? NaN, p99Ms: p99 ?? NaN, p999Ms: Math.min(...tail) };
}

/** The command line for a load. */
export function loadArguments(port: number, load: Load): string[] {
  const words = ['-h', '127.0.0.1', '-p', String(port), '--precision', '3'];
  if (load.words === undefined) words.push('-t', load.test);
  words.push('-P', String(load.pipeline), '-c', String(load.clients), '-n', String(load.requests));
  words.push('-d', String(load.valueBytes), '-r', String(load.keyspace));
  if (load.threads > 0) words.push('--threads', String(load.threads));
  // Options end where the command begins.
  return [...words, ...(load.words ?? [])];
}

/** The share of a core that a process has used since it began, or undefined when it is gone. */
function shareOf(pid: number | undefined, wallMs: number): number | undefined {
  try {
    return pid === undefined ? undefined : cpuTimeUs(pid) / 1000 / wallMs;
  } catch {
    return undefined;
  }
}

/** Runs a load against a server. Throws when redis-benchmark fails or the server answers with an error. */
export function runLoad(port: number, load: Load): Promise<LoadRun> {
  const program = oracleProgram('redis-benchmark');
  const words = loadArguments(port, load);
  return new Promise((resolve, reject) => {
    const child = spawn(program.file, words, { env: program.env, stdio: ['ignore', 'pipe', 'pipe'] });
    let report = '';
    let complaints = '';
    const startedAt = performance.now();
    let clientShare = NaN;
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      report += chunk;
      // It reports its progress four times a second. Once it has ended there is no asking any more: the last time counts.
      clientShare = shareOf(child.pid, performance.now() - startedAt) ?? clientShare;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (complaints += chunk));
    child.once('error', reject);
    child.once('close', (code) => {
      const text = report + complaints;
      if (code !== 0 || /Error from server/.test(text)) {
        reject(new Error(`redis-benchmark ${words.join(' ')} ended with ${code}:\n${text.slice(-2000)}`));
      } else {
        resolve({ ...parseReport(report), clientShare });
      }
    });
  });
}
