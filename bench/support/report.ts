/**
 * Tables and verdicts on the terminal, and the same figures as JSON for who keeps them.
 */
import { writeFileSync } from 'node:fs';
import { describeMachine, machineFacts } from './process-facts.js';

/** A table: first column to the left, all others to the right, widths by content. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  const line = (row: readonly string[]): string =>
    widths
      .map((width, column) => (column === 0 ? (row[column] ?? '').padEnd(width) : (row[column] ?? '').padStart(width)))
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  return [line(header), rule, ...rows.map(line)].join('\n');
}

/** A figure with a bound to keep. */
export interface Verdict {
  what: string;
  value: number;
  /** At least (throughput) or at most (cost) this. */
  bound: number;
  kind: 'at least' | 'at most';
  /** What we would like to see. */
  aim?: number;
}

/** Whether the figure keeps its bound. NaN never does. */
export function isMet(verdict: Verdict): boolean {
  return verdict.kind === 'at least' ? verdict.value >= verdict.bound : verdict.value <= verdict.bound;
}

/** One line for a verdict. */
export function formatVerdict(verdict: Verdict): string {
  const aim = verdict.aim === undefined ? '' : `, aim ${verdict.aim.toFixed(2)}`;
  const bound = `${verdict.kind} ${verdict.bound.toFixed(2)}${aim}`;
  const value = verdict.value.toFixed(2).padStart(6);
  return `${isMet(verdict) ? 'met   ' : 'MISSED'}  ${value}  (${bound})  ${verdict.what}`;
}

/** Prints a report's end: verdicts, and the JSON file if one was asked for. */
export function finish(
  name: string,
  results: unknown,
  verdicts: readonly Verdict[],
  jsonFile: string | undefined,
): void {
  for (const verdict of verdicts) console.info(formatVerdict(verdict));
  if (jsonFile === undefined) return;
  const rows = verdicts.map((verdict) => ({ ...verdict, met: isMet(verdict) }));
  writeFileSync(jsonFile, `${JSON.stringify({ name, machine: machineFacts(), results, verdicts: rows }, null, 2)}\n`);
  console.info(`figures written to ${jsonFile}`);
}

/** Prints a report's beginning. */
export function begin(title: string): void {
  console.info(`${title}\n${describeMachine(machineFacts())}\n`);
}
