/**
 * The command line of redis-server: what it asks for, and the lines of configuration that its options stand for.
 *
 * Redis 7's rules: `-v`, `--version`, `-h`, `--help` count as the first argument only; a first argument without a
 * leading `-` is the configuration file; `-` as the first or last argument is standard input; `--name` begins a line,
 * and what follows are its quoted arguments, also when they begin with `--`, unless the line has an argument already.
 * `--save` may stand without a value. Pure functions.
 */
import { quoteArg, splitArgs } from '../util/split-args.js';

export interface CommandLine {
  action: 'run' | 'version' | 'help' | 'sentinel';
  configFile?: string;
  readsStdin: boolean;
  /** Lines to be read after the file; undefined without any. */
  options?: string;
}

/** `args` are byte strings, without the program. */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const [first] = args;
  if (first === '-v' || first === '--version') return { action: 'version', readsStdin: false };
  if (first === '-h' || first === '--help') return { action: 'help', readsStdin: false };
  const line: CommandLine = { action: 'run', readsStdin: false };
  let index = 0;
  if (first !== undefined && !first.startsWith('-')) {
    line.configFile = first;
    index = 1;
  }
  const options = new OptionLines();
  for (; index < args.length; index++) {
    const arg = args[index] as string;
    const next = args[index + 1];
    if (arg === '-' && (index === 0 || next === undefined)) line.readsStdin = true;
    else if (options.beginsOption(arg)) options.begin(arg, next);
    else options.add(arg);
  }
  if (args.some((arg) => arg.toLowerCase() === '--sentinel')) line.action = 'sentinel';
  const text = options.text;
  return text === undefined ? line : { ...line, options: text };
}

/** Collects `name "value"` lines. */
class OptionLines {
  private lines: string[] = [];
  /** Whether the line begun last may end here: a name alone still waits for its value. */
  private isComplete = true;

  get text(): string | undefined {
    return this.lines.length === 0 ? undefined : this.lines.join('\n');
  }

  beginsOption(arg: string): boolean {
    return this.isComplete && arg.startsWith('--');
  }

  begin(arg: string, next: string | undefined): void {
    let text = `${arg.slice(2)} `;
    // "--port 6380" in one argument needs no value any more.
    this.isComplete = splitArgs(arg)?.length !== 1;
    if (arg.toLowerCase() === '--save' && (next === undefined || next.startsWith('--'))) {
      text += '""';
      this.isComplete = true;
    }
    this.lines.push(text);
  }

  add(arg: string): void {
    const last = this.lines.pop() ?? '';
    this.lines.push(`${last}${quoteArg(arg)} `);
    this.isComplete = true;
  }
}
