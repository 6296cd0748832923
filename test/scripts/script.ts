/**
 * A script: what a few connections do, one step after the other, so that two servers can be asked to do the same.
 *
 * A step belongs to one connection and is written in one piece; the next step begins when both servers are quiet
 * (driver.ts says what that means). So a script has one order of effects, whatever the threads behind it do, and every
 * frame that any connection receives is a function of the script.
 *
 * Arguments are bytes. Some can only be known when the script runs, because each server has its own: the id and the
 * address of a connection. They stand in arguments as {id:1}, {addr:1} and {laddr:1}, the number being the connection's.
 */
import { show } from '../support/resp-frames.js';

/** How a connection stands between two steps. */
export type State = 'free' | 'multi' | 'blocked' | 'closed';

/** One command: its words. Strings are Latin-1, so that any byte can be written. */
export type Line = readonly (string | Buffer)[];

/** What a step does. */
export interface Step {
  connection: number;
  /** `send` writes the lines, `close` hangs up, `open` connects again after a close. */
  act: 'send' | 'close' | 'open';
  /** Commands, all in one write. */
  lines: Line[];
  /** Wait this long before (for keys that expire). */
  beforeMs?: number;
  /** The step ends when its connection is no longer blocked: for timeouts that are meant to pass. */
  untilFree?: boolean;
  /** Send although the connection is blocked: the commands wait behind the blocking one. Otherwise it is left out. */
  evenBlocked?: boolean;
}

export interface Script {
  family: string;
  seed: number;
  /** Protocol in which each connection begins; as many entries as connections. */
  resp: (2 | 3)[];
  /** CONFIG SET at the start; every option named by any family is put back first. */
  options: Record<string, string>;
  /** An idle connection between the first two, so that they are served by the same worker. */
  spacer?: boolean;
  /** Whether keys expire by themselves or only when looked at (default). */
  activeExpiry?: boolean;
  steps: Step[];
}

/** A family's part of a script; seed and name are added by who asks. */
export type Draft = Omit<Script, 'family' | 'seed'>;

/** Bytes of a word. */
export function bytesOf(word: string | Buffer): Buffer {
  return typeof word === 'string' ? Buffer.from(word, 'latin1') : word;
}

/** Lower-case text of a word, for names of commands and options. */
export function wordOf(word: string | Buffer | undefined): string {
  return word === undefined ? '' : bytesOf(word).toString('latin1').toLowerCase();
}

export function send(connection: number, ...lines: Line[]): Step {
  return { connection, act: 'send', lines };
}

/** What a placeholder stands for on one server. */
export interface Places {
  id: (connection: number) => string;
  addr: (connection: number) => string;
  laddr: (connection: number) => string;
}

/** The line with its placeholders filled in. */
export function fillIn(line: Line, places: Places): Buffer[] {
  return line.map((word) => {
    if (typeof word !== 'string' || !word.includes('{')) return bytesOf(word);
    const text = word.replace(/\{(id|addr|laddr):(\d+)\}/g, (_, kind: keyof Places, at: string) => places[kind](Number(at)));
    return bytesOf(text);
  });
}

/** The script as readable lines, one per step. */
export function printScript(script: Script, limit = 80): string {
  const head = script.resp.map((version, at) => `${at}:RESP${version}`).join(' ');
  const options = Object.entries(script.options).map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
  const flags = `${script.spacer === true ? ' spacer' : ''}${script.activeExpiry === true ? ' active-expiry' : ''}`;
  const steps = script.steps.slice(-limit).map((step) => `  ${printStep(step)}`);
  return [`  connections ${head}${options.join('')}${flags}`, ...steps].join('\n');
}

export function printStep(step: Step): string {
  const before = step.beforeMs === undefined ? '' : `(after ${step.beforeMs} ms) `;
  const what =
    step.act === 'send'
      ? step.lines.map((line) => line.map((word) => `"${show(bytesOf(word))}"`).join(' ')).join(' ; ')
      : `(${step.act})`;
  const behind = `${step.untilFree === true ? '   (until it is free)' : ''}${step.evenBlocked === true ? '   (even blocked)' : ''}`;
  return `[${step.connection}] ${before}${what}${behind}`;
}
