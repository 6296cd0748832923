/**
 * System packages: what must be there to build and to test, and how it gets there.
 *
 * Each row is probed by what the package is for (a program on PATH, a header), not by asking dpkg: a cmake
 * from elsewhere is as good, and a look at the file system costs nothing. What is missing is installed
 * through apt as root or with a sudo that asks no password; otherwise the user is shown the exact line.
 */
import { existsSync, readdirSync } from 'node:fs';
import { capture, findProgram, run, say, SetupError } from './shell.mjs';

const hasHeader = (name) => ['/usr/include', '/usr/local/include'].some((folder) => existsSync(`${folder}/${name}`));

/** What the server needs to be built. */
const RUNTIME_PACKAGES = [
  { name: 'g++', present: () => findProgram('g++') !== undefined },
  { name: 'make', present: () => findProgram('make') !== undefined },
  { name: 'cmake', present: () => findProgram('cmake') !== undefined },
  { name: 'libmimalloc-dev', present: () => hasHeader('mimalloc.h') || mimallocInItsOwnFolder() },
  { name: 'liblzf-dev', present: () => hasHeader('lzf.h') || hasHeader('liblzf/lzf.h') },
];

/** What the tests need on top. The sanitizers' libraries come with g++. */
const TEST_PACKAGES = [{ name: 'spin', present: () => findProgram('spin') !== undefined }];

/** Debian puts the header into /usr/include, others into /usr/include/mimalloc-2.x. */
function mimallocInItsOwnFolder() {
  if (!existsSync('/usr/include')) return false;
  return readdirSync('/usr/include').some((name) => name.startsWith('mimalloc'));
}

/** The words before an apt command that give it its rights, or undefined when we have none. */
export function privilege() {
  if (process.getuid?.() === 0) return [];
  if (findProgram('sudo') !== undefined && capture('sudo', ['-n', 'true']).code === 0) return ['sudo', '-n'];
  return undefined;
}

const QUIET = { DEBIAN_FRONTEND: 'noninteractive' };

/** Runs apt-get without questions; waits for another apt to finish instead of failing at its lock. */
async function aptGet(prefix, args) {
  const words = [...prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q', '-y'];
  const [file, ...rest] = [...words, '-o', 'DPkg::Lock::Timeout=300', '-o', 'Dpkg::Use-Pty=0', ...args];
  await run(file, rest, { env: { ...process.env, ...QUIET } });
}

/** Whether apt's lists know all these packages, so that no update is needed. */
export function listsKnow(names) {
  return names.every((name) => {
    const policy = capture('apt-cache', ['policy', name], { env: { ...process.env, LC_ALL: 'C' } });
    return /Candidate: (?!\(none\))/.test(policy.stdout);
  });
}

/** Refreshes apt's lists. */
export async function updateLists(prefix) {
  say('refreshing the package lists (apt-get update)');
  await aptGet(prefix, ['update']);
}

/** Installs what is missing; throws SetupError with the line to run when we lack the rights. */
export async function installSystemPackages({ forTests }) {
  const wanted = forTests ? [...RUNTIME_PACKAGES, ...TEST_PACKAGES] : RUNTIME_PACKAGES;
  const missing = wanted.filter((row) => !row.present()).map((row) => row.name);
  if (missing.length === 0) return;
  const line = `apt-get update && apt-get install -y --no-install-recommends ${missing.join(' ')}`;
  if (findProgram('apt-get') === undefined) {
    throw new SetupError(`these packages (Debian's names) are missing and there is no apt-get: ${missing.join(' ')}`);
  }
  const prefix = privilege();
  if (prefix === undefined) {
    throw new SetupError(`system packages are missing; please run this line, then try again:\n  sudo sh -c '${line}'`);
  }
  say(`installing system packages: ${missing.join(' ')}`);
  // g++ without recommendations still brings libc6-dev: it is a dependency.
  const install = ['install', '--no-install-recommends', ...missing];
  if (!listsKnow(missing)) {
    await updateLists(prefix);
    await aptGet(prefix, install);
    return;
  }
  try {
    await aptGet(prefix, install);
  } catch {
    // Lists from last month name versions that the mirror has dropped.
    await updateLists(prefix);
    await aptGet(prefix, install);
  }
}
