/**
 * Where things are: the project's root, the oracle's binaries, our server's command.
 *
 * Test and bench code runs from two places, as sources under vitest and compiled under build/tools, so the
 * root is searched upwards from this module instead of being counted in "..". Nothing here starts a
 * process; test/support/oracle.ts does.
 *
 * Environment:
 * - SHERD_ORACLE    folder that holds an unpacked redis-server (default .cache/oracle, then PATH);
 * - SHERD_COMMAND   what to run as "our" server, a JSON array or words parted by spaces
 *                   (default: this node with dist/cli/sherd-server.js).
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A program, the arguments that always come first, and the environment it needs. */
export interface Command {
  file: string;
  args: string[];
  env: NodeJS.ProcessEnv;
}

function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (let depth = 0; depth < 8; depth++) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest) && /"name":\s*"sherd"/.test(readFileSync(manifest, 'utf8'))) return folder;
    folder = dirname(folder);
  }
  throw new Error(`no package.json of sherd above ${fileURLToPath(import.meta.url)}`);
}

/** The project's root folder. */
export const projectRoot = findRoot();

/** The oracle's folder: SHERD_ORACLE, or .cache/oracle where scripts/setup.mjs unpacks it. */
export function oracleFolder(): string {
  return process.env['SHERD_ORACLE'] ?? join(projectRoot, '.cache', 'oracle');
}

/** The folders of an unpacked Debian tree that hold shared libraries: usr/lib and its multiarch folders. */
function libraryFolders(tree: string): string[] {
  const base = join(tree, 'usr', 'lib');
  if (!existsSync(base)) return [];
  const multiarch = readdirSync(base)
    .filter((name) => name.includes('-linux-gnu'))
    .map((name) => join(base, name));
  return [...multiarch, base].filter((folder) => statSync(folder).isDirectory());
}

/** Finds one of the oracle's programs (redis-server, redis-cli, redis-benchmark …). Throws when there is none. */
export function oracleProgram(name: string): Command {
  const tree = oracleFolder();
  const unpacked = join(tree, 'usr', 'bin', name);
  if (existsSync(unpacked)) {
    const libraries = [...libraryFolders(tree), process.env['LD_LIBRARY_PATH'] ?? ''].filter((part) => part !== '');
    return { file: unpacked, args: [], env: { ...process.env, LD_LIBRARY_PATH: libraries.join(delimiter) } };
  }
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const installed = join(folder, name);
    if (folder !== '' && existsSync(installed)) return { file: installed, args: [], env: process.env };
  }
  throw new Error(`${name} is neither in ${join(tree, 'usr', 'bin')} nor on PATH: run node scripts/setup.mjs --test`);
}

/** What starts our server. Throws when it has not been built and SHERD_COMMAND names nothing else. */
export function sherdProgram(): Command {
  const told = process.env['SHERD_COMMAND'];
  if (told !== undefined && told !== '') {
    const isJson = told.startsWith('[');
    const words = isJson ? (JSON.parse(told) as string[]) : told.split(/\s+/).filter((word) => word !== '');
    const [file, ...args] = words;
    if (file === undefined) throw new Error('SHERD_COMMAND names no program');
    return { file, args, env: process.env };
  }
  const main = join(projectRoot, 'dist', 'cli', 'sherd-server.js');
  if (!existsSync(main)) throw new Error(`${main} is missing: run npm run build`);
  return { file: process.execPath, args: [main], env: process.env };
}
