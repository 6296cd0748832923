/**
 * Who may know whom: the layer tables of the native half and of src, and the check that reads them.
 *
 * A folder may use itself and what its row names, nothing else; arrows never point up. A folder without a row is
 * a finding, so that a new one cannot slip in without a place in the order. Test code (*_test.cc, the test,
 * bench, fuzz, stress, scale and load folders of the native half) may use everything: it is at the top.
 */
import type { Finding, SourceFile } from './source.js';

/** The native half from bottom to top. */
const NATIVE_ORDER = [
  'base',
  'ring',
  'resp',
  'ds',
  'command_table',
  'engine',
  'persistence',
  'replication',
  'scripting',
  'commands',
  'shard',
  'net',
  'addon',
] as const;

const below = (folder: (typeof NATIVE_ORDER)[number]): string[] => NATIVE_ORDER.slice(0, NATIVE_ORDER.indexOf(folder));

const NATIVE_LAYERS = new Map<string, readonly string[]>([
  ['base', []],
  ['ring', ['base']],
  ['resp', ['base']],
  ['ds', ['base']],
  ['command_table', ['base']],
  ['engine', below('engine')],
  ['persistence', ['engine', ...below('engine')]],
  ['replication', ['engine', ...below('engine')]],
  ['scripting', ['engine', ...below('engine')]],
  ['commands', below('commands')],
  ['shard', below('shard')],
  // The engine is in this row because a connection holds the engine's session, and the loop that read the
  // bytes runs the command; ds, commands and the formats stay out of sight.
  ['net', ['shard', 'engine', 'command_table', 'resp', 'ring', 'base']],
  ['addon', below('addon')],
]);

const NATIVE_TOP = new Set(['test', 'bench', 'fuzz', 'stress', 'scale', 'load']);

/**
 * src from bottom to top. commands/table is a layer of its own: it is data, everything derives from it, and so
 * it may use nothing but itself.
 */
const SRC_LAYERS = new Map<string, readonly string[]>([
  ['util', []],
  ['commands/table', []],
  ['native', ['util']],
  ['resp', ['util']],
  ['config', ['util', 'native', 'commands/table']],
  // File formats and the pure state of the files, which the programs that check files use without a server; and the
  // executors, which know the native half by its types alone.
  ['persistence', ['util', 'native']],
  ['observability', ['util', 'native', 'resp', 'config', 'persistence', 'commands/table']],
  ['commands', ['util', 'native', 'resp', 'config', 'observability', 'persistence', 'commands/table']],
  ['runtime', ['util', 'native', 'resp', 'config', 'observability', 'persistence', 'commands', 'commands/table']],
  [
    'cli',
    ['util', 'native', 'resp', 'config', 'observability', 'persistence', 'commands', 'commands/table', 'runtime'],
  ],
]);

/** Findings about the includes of one native file. */
export function checkNativeLayers(file: SourceFile): Finding[] {
  const place = /^native\/([a-z_]+)\/.*\.(cc|h|inc)$/.exec(file.path)?.[1];
  if (place === undefined || NATIVE_TOP.has(place) || file.path.endsWith('_test.cc')) return [];
  // A header that only tests include is test code as well.
  if (/(^|\/)test_[a-z_]+\.h$/.test(file.path)) return [];
  const allowed = NATIVE_LAYERS.get(place);
  if (allowed === undefined) {
    return [{ path: file.path, line: 1, what: `native/${place} has no row in the layer table` }];
  }
  const findings: Finding[] = [];
  for (const [index, text] of file.lines.entries()) {
    const target = /^\s*#\s*include\s+"([^"]+)"/.exec(text)?.[1];
    if (target === undefined) continue;
    const folder = target.includes('/') ? target.slice(0, target.indexOf('/')) : '';
    const what = nativeComplaint(place, folder, target, allowed);
    if (what !== undefined) findings.push({ path: file.path, line: index + 1, what });
  }
  return findings;
}

function nativeComplaint(
  place: string,
  folder: string,
  target: string,
  allowed: readonly string[],
): string | undefined {
  if (folder === '' || folder === '..') return `include "${target}" by its path from native/`;
  if (folder === place || allowed.includes(folder)) return undefined;
  return `${place} may not use ${folder} (include "${target}")`;
}

/** The layer a path of src belongs to. */
function srcLayer(path: string): string | undefined {
  if (path.startsWith('src/commands/table/')) return 'commands/table';
  return /^src\/([a-z-]+)\//.exec(path)?.[1];
}

/** Path a relative import of `from` means. */
function resolveImport(from: string, specifier: string): string {
  return new URL(specifier, `file:///${from}`).pathname.slice(1);
}

/** Findings about the imports of one file of src. */
export function checkSrcLayers(file: SourceFile): Finding[] {
  if (!file.path.startsWith('src/') || !file.path.endsWith('.ts')) return [];
  const place = srcLayer(file.path);
  const allowed = place === undefined ? undefined : SRC_LAYERS.get(place);
  if (place === undefined || allowed === undefined) {
    return [{ path: file.path, line: 1, what: `${file.path} is in no row of the layer table` }];
  }
  const findings: Finding[] = [];
  for (const [index, text] of file.lines.entries()) {
    const specifier = /(?:from|import)\s*\(?\s*'(\.[^']*)'/.exec(text)?.[1];
    if (specifier === undefined) continue;
    const target = resolveImport(file.path, specifier);
    const layer = srcLayer(target);
    if (layer === place || (layer !== undefined && allowed.includes(layer))) continue;
    findings.push({ path: file.path, line: index + 1, what: `${place} may not use ${layer ?? target} (${specifier})` });
  }
  return findings;
}
