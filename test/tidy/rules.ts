/**
 * The house rules that look at one file at a time, each a function from a file to findings.
 *
 * A rule is here when a machine can judge it without doubt and a reviewer would have to say it again and again. What
 * a rule forbids is spelled here in pieces, so that the rules do not find themselves.
 */
import { functionsOf } from './functions.js';
import { isCode, isGenerated, type Finding, type SourceFile } from './source.js';

/** One rule. */
export type Rule = (file: SourceFile) => Finding[];

const FILE_LINES_MAX = 1000;
const FUNCTION_LINES_MAX = 70;
const BLOB_BYTES_MAX = 256 * 1024;

/** Findings for all lines that match. */
function linesMatching(file: SourceFile, pattern: RegExp, what: string): Finding[] {
  return [...file.lines.entries()]
    .filter(([, line]) => pattern.test(line))
    .map(([index]) => ({ path: file.path, line: index + 1, what }));
}

/** Every file of code opens with a comment that says what it is. */
export const hasHeader: Rule = (file) => {
  if (!isCode(file)) return [];
  const first = file.lines.find((line) => line.trim() !== '' && !line.startsWith('#!')) ?? '';
  if (/^(\/\/ \S|\/\*\*?( \S|$))/.test(first)) return [];
  return [{ path: file.path, line: 1, what: 'the file does not open with a comment that says what it is' }];
};

/** Node-API stays in the addon's folder: everything below must build and be tested without node. */
export const keepsNapiInAddon: Rule = (file) => {
  if (!file.path.startsWith('native/') || file.path.startsWith('native/addon/')) return [];
  return linesMatching(file, /#\s*include\s*[<"](napi|node_api|js_native_api|uv)\.h/, 'only native/addon knows node');
};

/** Only src/native loads the addon. */
export const keepsAddonLoadingInOnePlace: Rule = (file) => {
  if (!file.path.startsWith('src/') || file.path.startsWith('src/native/')) return [];
  return linesMatching(file, /sherd\.node\b|process\.dlopen/, 'only src/native loads the addon');
};

const UNFINISHED = new RegExp(`\\b(${['FIX' + 'ME', 'XX' + 'X', 'not impl' + 'emented'].join('|')})\\b`);
const SWITCHED_OFF = new RegExp(`\\b(describe|it|test)\\.(${['on' + 'ly', 'sk' + 'ip', 'to' + 'do'].join('|')})\\(`);
const LEFTOVER_PRINT = new RegExp(`\\b(console\\.${'log'}\\(|debug${'ger'};)`);

/** Nothing unfinished, switched off or left over from a search for a bug. Tools (*.mjs) print as their trade. */
export const hasNoLeftovers: Rule = (file) => {
  if (!isCode(file)) return [];
  return [
    ...linesMatching(file, UNFINISHED, 'unfinished work is marked here'),
    ...linesMatching(file, SWITCHED_OFF, 'a test is switched off, or the only one that runs'),
    ...(file.path.endsWith('.mjs') ? [] : linesMatching(file, LEFTOVER_PRINT, 'a print left over from debugging')),
  ];
};

const MACHINE_PATH = new RegExp(`(^|[^\\w.-])/(${['wo' + 'rk', 'ro' + 'ot', 'fa' + 'rm', 'home/\\w+'].join('|')})/`);
const REGISTRY_NAMES = ['np' + 'm', 'deb' + 'ian', 'ubu' + 'ntu'].join('|');
const REGISTRY = new RegExp(`https?://[a-z0-9.-]*(${REGISTRY_NAMES})[a-z0-9.-]*/`);

/** The tree works anywhere: no paths of one machine, no host of a registry. */
export const namesNoMachine: Rule = (file) => {
  return [
    ...linesMatching(file, MACHINE_PATH, 'a path of one machine'),
    ...linesMatching(file, REGISTRY, 'the address of a registry'),
  ];
};

/** No code from text: it cannot be read, checked or optimised. */
export const evaluatesNothing: Rule = (file) => {
  if (!/\.(ts|mjs)$/.test(file.path)) return [];
  return linesMatching(file, new RegExp(`\\bnew Func${'tion'}\\(|[^.\\w]ev${'al'}\\(`), 'code made from text');
};

/** Files a person can read in one sitting. */
export const isReadable: Rule = (file) => {
  if (!isCode(file) || file.lines.length <= FILE_LINES_MAX) return [];
  return [{ path: file.path, line: 1, what: `${file.lines.length} lines; a file has at most ${FILE_LINES_MAX}` }];
};

/** Functions that fit on a screen; `known` holds longer ones that are tolerated at their length, but may not grow. */
export function hasShortFunctions(known: ReadonlyMap<string, number>): Rule {
  return (file) => {
    if (!isCode(file) || !/\.(ts|mjs|cc|h)$/.test(file.path)) return [];
    return functionsOf(file)
      .filter((one) => one.lines > (known.get(`${file.path} ${one.name}`) ?? FUNCTION_LINES_MAX))
      .map((one) => ({
        path: file.path,
        line: one.line,
        what: `${one.name} has ${one.lines} lines; a function has at most ${FUNCTION_LINES_MAX}`,
      }));
  };
}

/** A page of documentation has one title. */
export const hasOneTitle: Rule = (file) => {
  if (!file.path.endsWith('.md')) return [];
  let inFence = false;
  const titles = [...file.lines.entries()].filter(([, line]) => {
    if (line.startsWith('```')) inFence = !inFence;
    return !inFence && line.startsWith('# ');
  });
  if (titles.length === 1) return [];
  return [{ path: file.path, line: (titles[1]?.[0] ?? 0) + 1, what: `${titles.length} titles instead of one` }];
};

/** No big files; recorded replies are the exception. */
export const isSmall: Rule = (file) => {
  if (file.size <= BLOB_BYTES_MAX || file.path.startsWith('test/fixtures/') || isGenerated(file)) return [];
  return [{ path: file.path, line: 1, what: `${file.size} bytes; a file has at most ${BLOB_BYTES_MAX}` }];
};

/** Command families do not include each other: what two of them need belongs below them. */
export const keepsFamiliesApart: Rule = (file) => {
  const own = /^native\/commands\/(\w+?)_(commands|family)\.(cc|h)$/.exec(file.path)?.[1];
  if (own === undefined) return [];
  return [...file.lines.entries()]
    .filter(([, line]) => {
      const other = /#include "commands\/(\w+?)_(?:commands|family)\.h"/.exec(line)?.[1];
      return other !== undefined && other !== own;
    })
    .map(([index]) => ({ path: file.path, line: index + 1, what: 'a command family includes another' }));
};
