/**
 * The native half of the set-up: the addon through cmake-js, the programs through cmake.
 *
 * There is one CMake description (native/CMakeLists.txt) and one build folder per variant:
 *   native/build        release: the addon and all programs
 *   native/build-debug  debug: programs
 *   native/build-asan   AddressSanitizer and UndefinedBehaviorSanitizer: programs
 *   native/build-tsan   ThreadSanitizer: programs
 * The release folder is configured by cmake-js, which knows where node's headers are; the others need none.
 *
 * A stamp per folder and target skips the build tool altogether when no source has changed, since even
 * a make with nothing to do takes most of a second.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { capture, fingerprint, isStamped, listFiles, root, run, say, stamp } from './shell.mjs';

const native = join(root, 'native');

/** Build variants: folder, words for cmake. The release variant also has the addon. */
export const VARIANTS = new Map([
  ['release', { folder: 'build', defines: ['-DCMAKE_BUILD_TYPE=Release'] }],
  ['debug', { folder: 'build-debug', defines: ['-DCMAKE_BUILD_TYPE=Debug'] }],
  ['asan', { folder: 'build-asan', defines: ['-DCMAKE_BUILD_TYPE=Release', '-DSHERD_ASAN=ON'] }],
  ['tsan', { folder: 'build-tsan', defines: ['-DCMAKE_BUILD_TYPE=Release', '-DSHERD_TSAN=ON'] }],
]);

/** The folder in which a program of the native half must have sources, or it has no target. */
const PROGRAM_FOLDERS = new Map([
  ['sherd', 'addon'],
  ['sherd_native_tests', 'test'],
  ['sherd_micro', 'bench'],
  ['sherd_fuzz', 'fuzz'],
  ['sherd_stress', 'stress'],
  ['sherd_scale', 'scale'],
  ['sherd_load', 'load'],
]);

/** Path of a built program. */
export function programPath(variant, target) {
  return join(native, VARIANTS.get(variant).folder, 'bin', target);
}

/** Whether the tree has sources for this target. */
export function targetExists(target) {
  const folder = PROGRAM_FOLDERS.get(target);
  if (folder === undefined) throw new Error(`unknown native target ${target}`);
  return listFiles(join(native, folder), (name) => name.endsWith('.cc')).length > 0;
}

/**
 * The prefix beside this node that holds include/node, as cmake-js and node-gyp call "nodedir"; undefined when
 * this node came without headers, and then cmake-js downloads them.
 */
function headerPrefix() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include', 'node', 'node.h')) ? prefix : undefined;
}

/** A build folder remembers where its sources were: one that was moved or copied starts afresh. */
function dropMovedFolder(folder) {
  const cacheFile = join(folder, 'CMakeCache.txt');
  if (!existsSync(cacheFile)) return;
  const home = /^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$/m.exec(readFileSync(cacheFile, 'utf8'))?.[1];
  if (home === native) return;
  say(`removing ${folder}: it was made for sources elsewhere`);
  rmSync(folder, { recursive: true, force: true });
}

async function configure(variant, folder) {
  const { defines } = VARIANTS.get(variant);
  // The description too: make asks for a target before it looks whether the description has a new one.
  const settings = [join(root, 'package-lock.json'), join(native, 'CMakeLists.txt')];
  const value = fingerprint(settings, [process.execPath, process.version, ...defines]);
  const stampFile = join(folder, '.configured');
  if (isStamped(stampFile, value) && existsSync(join(folder, 'CMakeCache.txt'))) return;
  say(`configuring native/${VARIANTS.get(variant).folder}`);
  if (variant === 'release') {
    const prefix = headerPrefix();
    const env = { ...process.env, ...(prefix === undefined ? {} : { npm_config_nodedir: prefix }) };
    // Make and not ninja when both are there: a cache made for one refuses the other.
    const words = ['configure', '-d', native, '-O', folder, '-B', 'Release', '--prefer-make', '-l', 'warn'];
    await run(process.execPath, [join(root, 'node_modules', 'cmake-js', 'bin', 'cmake-js'), ...words], { env });
  } else {
    await run('cmake', ['-S', native, '-B', folder, '-G', 'Unix Makefiles', ...defines]);
  }
  stamp(stampFile, value);
}

/** Compilers at once: one per core, and no more than memory allows (about 1 GB each with sanitizers). */
function jobs() {
  return String(Math.max(1, availableParallelism()));
}

/** Builds targets of a variant, skipping those whose sources have not changed. */
export async function buildNative(variant, targets) {
  const folder = join(native, VARIANTS.get(variant).folder);
  const wanted = targets.filter((target) => targetExists(target));
  const sources = listFiles(native, (name) => /\.(cc|h|inc|txt)$/.test(name));
  const value = fingerprint(sources, [process.version]);
  const stampOf = (target) => join(folder, `.built-${target}`);
  const addon = join(folder, 'Release', 'sherd.node');
  const outputOf = (target) => (target === 'sherd' ? addon : programPath(variant, target));
  const stale = wanted.filter((target) => !isStamped(stampOf(target), value) || !existsSync(outputOf(target)));
  if (stale.length === 0) return;
  dropMovedFolder(folder);
  await configure(variant, folder);
  say(`building ${stale.join(', ')} (${variant})`);
  await run('cmake', ['--build', folder, '--parallel', jobs(), '--target', ...stale]);
  for (const target of stale) stamp(stampOf(target), value);
}

/** Whether programs built with ThreadSanitizer can run as they are; some kernels randomise too much for it. */
export function withoutRandomLayout(file, args) {
  const setarch = capture('setarch', [process.arch === 'x64' ? 'x86_64' : 'aarch64', '-R', 'true']);
  if (setarch.code !== 0) return [file, args];
  return ['setarch', [process.arch === 'x64' ? 'x86_64' : 'aarch64', '-R', file, ...args]];
}
