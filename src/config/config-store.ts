/**
 * The values of all options, and the changes to them as one transaction.
 *
 * Always true:
 *  1. Every option has a value that its row's parser accepted.
 *  2. `set` changes all options named or none: values are parsed first, then applied one by one, and when one
 *     cannot be applied all are put back and applied again.
 *  3. Only the main thread owns a store; workers ask it by message.
 */
import { globMatches } from '../util/glob.js';
import { assert, assertPresent } from '../util/assert.js';
import { isMultiArg, loadedWords, numberValue, parseOption, splitSetValue } from './option.js';
import type { OptionRow } from './option.js';
import { findOption, OPTIONS, optionNames } from './option-table.js';

/** Makes a new value take effect; gives an error text when it cannot. */
export type Applier = (row: OptionRow, value: string) => string | undefined;

/** A refused change; the text is a whole reply without its code. */
export class ConfigError extends Error {
  readonly code = 'SHERD_CONFIG';
}

/** What CONFIG SET needs to know about its caller. */
export interface SetPermission {
  /** Whether protected options may be set (enable-protected-configs and where the client is). */
  mayChangeProtected: boolean;
}

/** Sets back what CONFIG SET has changed, and gives the error that says so of the option `name`. */
export type TakeBack = (name: string, error: string) => ConfigError;

export class ConfigStore {
  private readonly values = new Map<OptionRow, string>();
  /** The value each option had before any file; differs from the row's default only in `dir`. */
  private readonly defaults = new Map<OptionRow, string>();
  private readonly seenSave = { inFile: false };
  /** Absolute path of redis.conf, or '' without one. */
  configFile = '';

  constructor(directory: string) {
    for (const row of OPTIONS) {
      this.values.set(row, row.default);
      this.defaults.set(row, row.default);
    }
    const dir = assertPresent(findOption('dir'), 'dir is an option');
    this.values.set(dir, directory);
    this.defaults.set(dir, directory);
  }

  // ---- Reading ----

  text(name: string): string {
    return this.valueOf(assertPresent(findOption(name), `option ${name}`));
  }

  isOn(name: string): boolean {
    return this.text(name) === 'yes';
  }

  /** A percentage comes as a negative number. */
  bigint(name: string): bigint {
    return numberValue(assertPresent(findOption(name), `option ${name}`), this.text(name));
  }

  /** For options whose bounds lie within 2^53. */
  number(name: string): number {
    const value = Number(this.bigint(name));
    assert(Number.isSafeInteger(value), `${name} is beyond 2^53`);
    return value;
  }

  valueOf(row: OptionRow): string {
    return assertPresent(this.values.get(row), `value of ${row.name}`);
  }

  isDefault(row: OptionRow): boolean {
    return this.valueOf(row) === this.defaults.get(row);
  }

  /** CONFIG GET: pairs of name and value. An exact name comes back in the caller's letter case, as in Redis. */
  get(patterns: readonly string[]): Map<string, string> {
    const found = new Map<string, string>();
    const seen = new Set<string>();
    const add = (printed: string, row: OptionRow): void => {
      if (seen.has(printed.toLowerCase())) return;
      seen.add(printed.toLowerCase());
      found.set(printed, this.valueOf(row));
    };
    for (const pattern of patterns) {
      if (!/[[*?]/.test(pattern)) {
        const row = findOption(pattern);
        if (row) add(pattern, row);
        continue;
      }
      for (const [name, row] of optionNames()) {
        if (!row.isHidden && globMatches(pattern, name, true)) add(name, row);
      }
    }
    return found;
  }

  // ---- Changing ----

  /** One directive of redis.conf or of the command line. Returns an error text. */
  load(row: OptionRow, args: readonly string[]): string | undefined {
    if (!isMultiArg(row) && args.length !== 1) return 'wrong number of arguments';
    let previous = this.valueOf(row);
    if (row.name === 'save' && !this.seenSave.inFile) {
      // The first `save` of a configuration replaces the default points; the following ones add to it.
      this.seenSave.inFile = true;
      previous = '';
    }
    const parsed = parseOption(row, loadedWords(row, args), previous, 'file');
    if (!parsed.ok) return parsed.error;
    this.values.set(row, parsed.value);
    return undefined;
  }

  /** Sets a value without applying it; for values that the server finds out itself (the port given by the system). */
  overwrite(name: string, value: string): void {
    this.values.set(assertPresent(findOption(name), `option ${name}`), value);
  }

  /** CONFIG SET. Throws ConfigError and changes nothing when any pair is refused. */
  set(pairs: readonly (readonly [string, string])[], permission: SetPermission, apply: Applier): void {
    this.setRevocably(pairs, permission, apply);
  }

  /** The same; the result takes all of it back, for an option of which only later turns out that it does not hold. */
  setRevocably(pairs: readonly (readonly [string, string])[], permission: SetPermission, apply: Applier): TakeBack {
    const rows = this.checkPairs(pairs, permission);
    const before = new Map(rows.map((row) => [row, this.valueOf(row)]));
    const changed: OptionRow[] = [];
    rows.forEach((row, index) => {
      const [name, value] = assertPresent(pairs[index], 'a pair per row');
      const parsed = parseOption(row, splitSetValue(row, value), this.valueOf(row), 'command');
      if (!parsed.ok) {
        for (const [old, oldValue] of before) this.values.set(old, oldValue);
        throw setError(name.toLowerCase(), parsed.error);
      }
      if (parsed.value !== this.valueOf(row)) changed.push(row);
      this.values.set(row, parsed.value);
    });
    this.applyAll(changed, before, apply);
    return (name, error) => {
      this.restore(changed, before, apply);
      return setError(name, error);
    };
  }

  private applyAll(changed: readonly OptionRow[], before: ReadonlyMap<OptionRow, string>, apply: Applier): void {
    for (const [index, row] of changed.entries()) {
      const error = apply(row, this.valueOf(row));
      if (error === undefined) continue;
      // The failed one too: it may have been applied in part (a listener closed before the new one failed).
      this.restore(changed.slice(0, index + 1), before, apply);
      throw setError(row.name, error);
    }
  }

  private restore(applied: readonly OptionRow[], before: ReadonlyMap<OptionRow, string>, apply: Applier): void {
    for (const [row, value] of before) this.values.set(row, value);
    for (const row of [...applied].reverse()) apply(row, this.valueOf(row));
  }

  private checkPairs(pairs: readonly (readonly [string, string])[], permission: SetPermission): OptionRow[] {
    const rows: OptionRow[] = [];
    const names = new Set<string>();
    for (const [name] of pairs) {
      const row = findOption(name);
      if (!row) throw new ConfigError(`Unknown option or number of arguments for CONFIG SET - '${name}'`);
      if (row.isImmutable) throw setError(name, "can't set immutable config");
      if (row.isProtected && !permission.mayChangeProtected) throw setError(name, "can't set protected config");
      // A name and its alias are two entries, as in Redis: both may be given, the last wins.
      if (names.has(name.toLowerCase())) throw setError(name, 'duplicate parameter');
      names.add(name.toLowerCase());
      rows.push(row);
    }
    return rows;
  }
}

function setError(name: string, error: string): ConfigError {
  return new ConfigError(`CONFIG SET failed (possibly related to argument '${name}') - ${error}`);
}
