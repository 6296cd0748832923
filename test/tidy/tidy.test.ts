/**
 * The house rules, held against the whole tree. A failure lists every finding as path:line: what.
 *
 * The rules have tests of their own in rules.test.ts. The layer tables stand in layers.ts.
 */
import { describe, expect, it } from 'vitest';
import { projectRoot } from '../support/project.js';
import { checkNativeLayers, checkSrcLayers } from './layers.js';
import * as rules from './rules.js';
import { formatFinding, isCode, readProject } from './source.js';

/**
 * Functions that were longer than the rule before anybody measured, with their length: they may shrink, and then
 * the number here follows, but not grow. Better no new rows.
 */
const LONG_FUNCTIONS = new Map<string, number>([
  ['native/commands/key_commands_test.cc Step', 77],
]);

const project = readProject(projectRoot);

const HOUSE_RULES: [string, rules.Rule][] = [
  ['native folders use only what their row of the layer table names', checkNativeLayers],
  ['folders of src use only what their row of the layer table names', checkSrcLayers],
  ['node is known in native/addon alone', rules.keepsNapiInAddon],
  ['the addon is loaded in src/native alone', rules.keepsAddonLoadingInOnePlace],
  ['command families do not include each other', rules.keepsFamiliesApart],
  ['every file of code opens with a comment that says what it is', rules.hasHeader],
  ['nothing is unfinished, switched off or left over', rules.hasNoLeftovers],
  ['no file names a machine or a registry', rules.namesNoMachine],
  ['no code is made from text', rules.evaluatesNothing],
  ['no file is longer than a thousand lines', rules.isReadable],
  ['no function is longer than seventy lines', rules.hasShortFunctions(LONG_FUNCTIONS)],
  ['every page has one title', rules.hasOneTitle],
  ['no file is bigger than 256 KiB', rules.isSmall],
];

describe('house rules', () => {
  it('see the project', () => {
    const code = project.filter(isCode).map((file) => file.path);
    expect(code).toEqual(expect.arrayContaining(['native/base/check.h', 'src/native/addon.ts', 'scripts/setup.mjs']));
    expect(code.some((path) => path.includes('node_modules') || path.startsWith('dist/'))).toBe(false);
  });

  it.each(HOUSE_RULES)('%s', (_, rule) => {
    expect(project.flatMap(rule).map(formatFinding)).toEqual([]);
  });

  it('the list of long functions names none that has gone or shrunk', () => {
    const tooLong = project.flatMap(rules.hasShortFunctions(new Map())).length;
    expect(tooLong).toBe(LONG_FUNCTIONS.size);
  });
});
