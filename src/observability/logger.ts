/**
 * The log, in Redis's format: `<pid>:M 21 Nov 2026 10:00:00.000 * text`.
 *
 * Lines are written unbuffered, with one write call each: programs that start a server wait for words on its
 * standard output, and the last line before a crash must not be lost. A log file is opened for each line, so that it
 * can be moved away by logrotate at any time, as with Redis.
 *
 * Main thread. A line that cannot be written is dropped: there is nowhere left to complain.
 */
import { appendFileSync, writeSync } from 'node:fs';
import { toBytes } from '../util/bytes.js';

export type LogLevel = 'debug' | 'verbose' | 'notice' | 'warning';

const LEVELS: readonly LogLevel[] = ['debug', 'verbose', 'notice', 'warning'];
const MARKS: Record<LogLevel, string> = { debug: '.', verbose: '-', notice: '*', warning: '#' };
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const STDOUT = 1;
/** Longer messages are cut, as in Redis. */
const MESSAGE_BYTES_MAX = 1024;

export class Logger {
  private level: LogLevel = 'notice';
  /** '' is standard output. */
  private file = '';
  /** C while the configuration is read, M once it serves. */
  role: 'C' | 'M' = 'C';

  setLevel(level: LogLevel): void {
    this.level = level;
  }

  setFile(path: string): void {
    this.file = path;
  }

  get isStdout(): boolean {
    return this.file === '';
  }

  log(level: LogLevel, text: string, now = new Date()): void {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(this.level)) return;
    const message = Buffer.from(text, 'utf8').subarray(0, MESSAGE_BYTES_MAX).toString('utf8');
    this.write(`${process.pid}:${this.role} ${formatLogTime(now)} ${MARKS[level]} ${message}\n`);
  }

  /** Text as it is, for the logo. */
  raw(text: string): void {
    this.write(text);
  }

  /** The line that Redis writes from a signal handler. */
  signal(text: string): void {
    this.write(`${process.pid}:signal-handler (${Math.floor(Date.now() / 1000)}) ${text}\n`);
  }

  private write(line: string): void {
    try {
      if (this.file !== '') appendFileSync(toBytes(this.file), line);
      else writeSync(STDOUT, line);
    } catch {
      // A closed pipe or a full disk must not end the server.
    }
  }
}

/** `21 Nov 2026 10:00:00.000`, local time. */
export function formatLogTime(time: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  const date = `${two(time.getDate())} ${MONTHS[time.getMonth()]} ${time.getFullYear()}`;
  return `${date} ${clock}.${String(time.getMilliseconds()).padStart(3, '0')}`;
}
