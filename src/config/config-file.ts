/**
 * Reading redis.conf: lines, quotes, comments, includes, and the directives that are not options.
 *
 * The text of a configuration is the file, then standard input, then the command line's options, numbered through
 * as one text, exactly as redis-server does; an included file is a text of its own. An error names the line, the
 * line's number, and (ours) file and directive.
 *
 * Main thread, at start. Nothing here changes the process: `dir` is entered by the caller after all has been read,
 * and file names are made absolute as they are read, so that a relative path means the same before and after `dir`.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { globMatches } from '../util/glob.js';
import { splitArgs } from '../util/split-args.js';
import { toBytes } from '../util/bytes.js';
import type { ConfigStore } from './config-store.js';
import { findOption } from './option-table.js';

/** The version that we behave as; clients and configuration tools look at it. */
export const REDIS_VERSION = '7.2.0';

/** Includes deeper than this are a loop. Redis has no limit and runs out of stack. */
const INCLUDE_DEPTH_MAX = 16;

/** Directives of older versions that are read over. Arguments counted with the name. */
const DEPRECATED = new Set(['list-max-ziplist-entries', 'list-max-ziplist-value', 'lua-replicate-commands']);

/** Directives that are not options, kept for whoever starts the parts they speak of. */
export interface Directives {
  users: string[][];
  renamedCommands: { from: string; to: string }[];
  modules: string[][];
  /** `module.option value` lines; without a module of that name they stop the start. */
  moduleOptions: { name: string; value: string }[];
}

/** A configuration that cannot be used. `message` is complete, for standard error. */
export class ConfigFileError extends Error {
  readonly code = 'SHERD_CONFIG_FILE';
}

/** A file that cannot be read; Redis writes this one to the log. */
export class ConfigOpenError extends Error {
  readonly code = 'SHERD_CONFIG_OPEN';
}

export interface ConfigSources {
  /** Path of redis.conf; may be a glob pattern. */
  file?: string | undefined;
  /** Content of standard input. */
  stdin?: string | undefined;
  /** Lines made of the command line's options. */
  options?: string | undefined;
}

/** Loads all sources into the store. Throws ConfigFileError or ConfigOpenError. */
export function loadConfig(store: ConfigStore, sources: ConfigSources): Directives {
  const directives: Directives = { users: [], renamedCommands: [], modules: [], moduleOptions: [] };
  const fileText = sources.file === undefined ? '' : readConfigFiles(sources.file);
  const rest = (sources.stdin ?? '') + (sources.options === undefined ? '' : `\n${sources.options}`);
  const file = sources.file ?? '';
  loadText(store, directives, { text: fileText + rest, file, fileLineCount: fileText.split('\n').length - 1 }, 0);
  checkWhole(store);
  return directives;
}

function checkWhole(store: ConfigStore): void {
  if (store.isOn('cluster-enabled') && store.text('replicaof') !== '') {
    throw new ConfigFileError(`${banner()}replicaof directive not allowed in cluster mode\n`);
  }
  clampHz(store);
}

/** Values beyond these are accepted and mean these, as in Redis. */
export function clampHz(store: ConfigStore): void {
  const hz = store.number('hz');
  if (hz < 1) store.overwrite('hz', '1');
  if (hz > 500) store.overwrite('hz', '500');
}

function banner(): string {
  return `\n*** FATAL CONFIG FILE ERROR (Redis ${REDIS_VERSION}) ***\n`;
}

/** A text to load; lines from `fileLineCount` on are not the file's but standard input's or the command line's. */
interface ConfigText {
  text: string;
  file: string;
  fileLineCount: number;
}

function loadText(store: ConfigStore, directives: Directives, source: ConfigText, depth: number): void {
  const lines = source.text.split('\n');
  for (const [index, raw] of lines.entries()) {
    const line = raw.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, '');
    if (line === '' || line.startsWith('#')) continue;
    const args = splitArgs(line);
    const [name = '', ...rest] = args ?? [];
    const directive = name.toLowerCase();
    let error: string | undefined = 'Unbalanced quotes in configuration line';
    if (args) {
      if (args.length === 0) continue;
      if (directive === 'include' && rest.length === 1) {
        include(store, directives, rest[0] as string, depth);
        continue;
      }
      error = loadDirective(store, directives, directive, rest);
    }
    if (error !== undefined) {
      const file = index < source.fileLineCount ? `file '${source.file}'` : 'command line or standard input';
      const where = `(${file}, directive '${directive}')`;
      const lineText = `Reading the configuration file, at line ${index + 1}\n>>> '${line}'\n`;
      throw new ConfigFileError(`${banner()}${lineText}${error}\n${where}\n`);
    }
  }
}

function include(store: ConfigStore, directives: Directives, pattern: string, depth: number): void {
  if (depth >= INCLUDE_DEPTH_MAX) {
    throw new ConfigOpenError(`Fatal error, config files include each other: '${pattern}'`);
  }
  // Relative to `dir` as it is by now, as in Redis; failing that, to where the server was started, so that a path
  // stays valid when a `dir` is put in front of it.
  const inDirectory = resolveBytes(store.text('dir'), pattern);
  const path = /[*?[]/.test(pattern) || existsSync(toBytes(inDirectory)) ? inDirectory : pattern;
  const text = readConfigFiles(path);
  loadText(store, directives, { text, file: path, fileLineCount: text.split('\n').length }, depth + 1);
}

/** One directive; returns an error text. */
function loadDirective(
  store: ConfigStore,
  directives: Directives,
  name: string,
  args: readonly string[],
): string | undefined {
  const row = findOption(name);
  if (row) {
    if (row.name === 'dir' && args.length === 1) return loadDir(store, args[0] as string);
    return store.load(row, args);
  }
  if (DEPRECATED.has(name) && args.length === 1) return undefined;
  if (name === 'rename-command' && args.length === 2) {
    directives.renamedCommands.push({ from: args[0] as string, to: args[1] as string });
    return undefined;
  }
  if (name === 'user' && args.length >= 1) {
    if (directives.users.some(([other]) => other === args[0])) {
      const reason = 'Duplicate user found. A user can only be defined once in config files';
      return `Error in user declaration '${args[0] ?? ''}': ${reason}`;
    }
    directives.users.push([...args]);
    return undefined;
  }
  if (name === 'loadmodule' && args.length >= 1) {
    directives.modules.push([...args]);
    return undefined;
  }
  if (name.includes('.')) {
    if (args.length !== 1) return 'Module config specified without value';
    directives.moduleOptions.push({ name, value: args[0] as string });
    return undefined;
  }
  if (name === 'sentinel') return 'sentinel directive while not in sentinel mode';
  return 'Bad directive or wrong number of arguments';
}

/** `dir` must exist; each one is relative to the one before. */
function loadDir(store: ConfigStore, path: string): string | undefined {
  const absolute = resolveBytes(store.text('dir'), path);
  try {
    readdirSync(toBytes(absolute));
  } catch (error) {
    return systemErrorText(error);
  }
  store.overwrite('dir', absolute);
  return undefined;
}

function resolveBytes(base: string, path: string): string {
  return resolve(base, path);
}

/** The content of a file, or of all files that a pattern names (none is fine, as for `include conf.d/*.conf`). */
function readConfigFiles(pattern: string): string {
  const paths = /[*?[]/.test(pattern) ? expand(pattern) : [pattern];
  return paths.map(readConfigFile).join('');
}

function readConfigFile(path: string): string {
  try {
    return readFileSync(toBytes(path), 'latin1');
  } catch (error) {
    throw new ConfigOpenError(`Fatal error, can't open config file '${path}': ${systemErrorText(error)}`);
  }
}

/** Shell patterns in every part of a path, sorted; names that begin with a dot only match a pattern that does. */
function expand(pattern: string): string[] {
  const parent = dirname(pattern);
  const last = basename(pattern);
  const parents = /[*?[]/.test(parent) ? expand(parent) : [parent];
  const found: string[] = [];
  for (const directory of parents) {
    let names: string[];
    try {
      names = readdirSync(toBytes(directory), 'latin1' as BufferEncoding);
    } catch {
      continue; // A directory that is missing or unreadable has no matches, as with glob(3).
    }
    const matching = names.filter((name) => globMatches(last, name) && (last.startsWith('.') || !name.startsWith('.')));
    found.push(...matching.sort().map((name) => (parent === '.' ? name : join(directory, name))));
  }
  return found;
}

const SYSTEM_ERRORS = new Map([
  ['ENOENT', 'No such file or directory'],
  ['EACCES', 'Permission denied'],
  ['ENOTDIR', 'Not a directory'],
  ['EISDIR', 'Is a directory'],
  ['EADDRINUSE', 'Address already in use'],
  ['EADDRNOTAVAIL', 'Cannot assign requested address'],
  ['EPERM', 'Operation not permitted'],
  ['EROFS', 'Read-only file system'],
  ['ENOSPC', 'No space left on device'],
  ['ENAMETOOLONG', 'File name too long'],
]);

/** The words of strerror(3) for an error of Node's, where Redis prints them. */
export function systemErrorText(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return SYSTEM_ERRORS.get(code ?? '') ?? (error instanceof Error ? error.message : String(error));
}
