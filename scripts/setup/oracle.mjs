/**
 * The oracle: a real redis-server, redis-cli and redis-benchmark to compare with.
 *
 * Debian's packages are downloaded and unpacked into .cache/oracle, not installed: installing
 * redis-server would start a system service on port 6379. Libraries that the programs miss come the same way,
 * found by asking ldd what is missing and apt what the packages depend on. Tests find the tree through
 * test/support/project.ts. Where nothing can be downloaded, programs on PATH do.
 *
 * The tree is unpacked beside its final place and renamed at the end: if it is there, it is whole.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { capture, findProgram, root, run, say, SetupError } from './shell.mjs';
import { listsKnow, privilege, updateLists } from './system-packages.mjs';

const PROGRAMS = ['redis-server', 'redis-cli', 'redis-benchmark'];
const PACKAGES = ['redis-server', 'redis-tools'];
const LIBRARY_ROUNDS_MAX = 4;

const cache = join(root, '.cache');
const tree = join(cache, 'oracle');

function libraryPath(folder) {
  const base = join(folder, 'usr', 'lib');
  if (!existsSync(base)) return '';
  const multiarch = readdirSync(base).filter((name) => name.includes('-linux-gnu'));
  return [...multiarch.map((name) => join(base, name)), base].join(':');
}

/** Shared libraries that the unpacked programs would not find. */
function missingLibraries(folder) {
  const env = { ...process.env, LD_LIBRARY_PATH: libraryPath(folder), LC_ALL: 'C' };
  const files = PROGRAMS.map((name) => join(folder, 'usr', 'bin', name));
  const output = capture('ldd', files, { env }).stdout;
  return [...new Set([...output.matchAll(/(\S+) => not found/g)].map((match) => match[1]))];
}

/** Names of library packages that these packages depend on and that the system does not have. */
function missingDependencies(packages) {
  const output = capture('apt-cache', ['depends', ...packages], { env: { ...process.env, LC_ALL: 'C' } }).stdout;
  const names = [...output.matchAll(/Depends: (lib[^\s<>]+)/g)].map((match) => match[1].replace(/:\w+$/, ''));
  return [...new Set(names)].filter((name) => {
    const status = capture('dpkg-query', ['-W', '-f', '${Status}', name]);
    return !status.stdout.includes('install ok installed');
  });
}

/** Downloads packages into `folder` and unpacks them into `into`. */
async function unpack(packages, folder, into) {
  // As root apt would want to download as another user, who may not write here, and warn about it.
  await run('apt-get', ['-q', '-o', 'APT::Sandbox::User=root', 'download', ...packages], { cwd: folder });
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.deb'))) {
    await run('dpkg', ['-x', join(folder, file), into]);
    rmSync(join(folder, file));
  }
}

async function fetchTree() {
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, 'oracle-'));
  try {
    const downloads = join(work, 'downloads');
    const partial = join(work, 'tree');
    mkdirSync(downloads);
    mkdirSync(partial);
    await unpack(PACKAGES, downloads, partial);
    let known = PACKAGES;
    for (let round = 0; missingLibraries(partial).length > 0; round++) {
      const more = missingDependencies(known).filter((name) => !known.includes(name));
      if (round === LIBRARY_ROUNDS_MAX || more.length === 0) {
        throw new SetupError(`the oracle misses libraries: ${missingLibraries(partial).join(' ')}`);
      }
      await unpack(more, downloads, partial);
      known = [...known, ...more];
    }
    const env = { ...process.env, LD_LIBRARY_PATH: libraryPath(partial) };
    const version = capture(join(partial, 'usr', 'bin', 'redis-server'), ['--version'], { env });
    if (version.code !== 0) throw new SetupError(`the unpacked redis-server does not run: ${version.stderr}`);
    renameSync(partial, tree);
    say(`the oracle is ${version.stdout.trim()}`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Makes sure that there is an oracle. */
export async function setUpOracle() {
  if (existsSync(join(tree, 'usr', 'bin', 'redis-server'))) return;
  const onPath = PROGRAMS.every((name) => findProgram(name) !== undefined);
  if (findProgram('apt-get') === undefined) {
    if (onPath) return;
    throw new SetupError(`the tests compare with a real Redis: put ${PROGRAMS.join(', ')} on PATH`);
  }
  say('unpacking redis-server and redis-tools into .cache/oracle to compare with (no service is started)');
  const prefix = privilege();
  try {
    if (!listsKnow(PACKAGES) && prefix !== undefined) await updateLists(prefix);
    try {
      await fetchTree();
    } catch (error) {
      if (prefix === undefined) throw error;
      await updateLists(prefix);
      await fetchTree();
    }
  } catch (error) {
    if (onPath) {
      say(`could not unpack (${error.message}); the programs on PATH will do`);
      return;
    }
    const hint = prefix === undefined ? '; please run: sudo apt-get update' : '';
    throw new SetupError(`${error.message}${hint}`);
  }
}
