/**
 * Runs sherd_load (native/load), the clients that redis-benchmark does not have, and reads what it saw.
 *
 * The program opens its connections, runs for the time it is told and prints one line of JSON. It measures the server's
 * processor time itself, from the first to the last moment of the measured time and in nanoseconds; it ends with an
 * error as soon as the server answers anything but what it must.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../test/support/project.js';
import type { RunningServer } from '../../test/support/oracle.js';

/** What one server showed in one run. Latencies are NaN where nothing is timed. */
export interface Sample {
  /** Messages delivered, elements handed over, transactions or GETs. */
  perSec: number;
  /** Processor time of the server, all threads, for each of them. */
  cpuUs: number;
  /** Processor time of the load as a share of the time that passed: 1 is a core that never rested. */
  clientShare: number;
  /** Cores that were busy with neither server nor load: figures taken beside a compiler are worth little. */
  othersShare: number;
  p50Us: number;
  p99Us: number;
  p999Us: number;
  maxUs: number;
}

/** Reads the line that sherd_load prints */
export function parseSample(line: string): Sample {
  const seen = JSON.parse(line) as Record<string, number | undefined>;
  const number = (name: string): number => seen[name] ?? NaN;
  const othersSec = number('machineSec') - number('serverCpuSec') - number('clientCpuSec');
  const sample = {
    perSec: number('operations') / number('seconds'),
    cpuUs: (number('serverCpuSec') * 1e6) / number('operations'),
    clientShare: number('clientCpuSec') / number('seconds'),
    othersShare: Math.max(0, othersSec) / number('seconds'),
    p50Us: number('p50Us'),
    p99Us: number('p99Us'),
    p999Us: number('p999Us'),
    maxUs: number('maxUs'),
  };
  if (!(sample.perSec > 0 && sample.cpuUs > 0)) throw new Error(`sherd_load has measured nothing: ${line}`);
  return sample;
}

/** Runs a scenario against a server: its name, then options. Throws with what the program said when it fails. */
export async function runClientLoad(server: RunningServer, words: readonly string[]): Promise<Sample> {
  const program = join(projectRoot, 'native', 'build', 'bin', 'sherd_load');
  if (!existsSync(program)) throw new Error(`${program} is missing: run node scripts/build.mjs release sherd_load`);
  const args = [...words, '--port', String(server.port), '--pid', String(server.pid)];
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let complaint = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (complaint += chunk));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`${server.name}, ${words.join(' ')}: ${complaint.trim() || `ended with ${code}`}`);
  return parseSample(output);
}
