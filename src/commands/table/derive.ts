/**
 * What follows from a command's key specs: the first/last/step triple of COMMAND INFO, and whether that triple (and
 * not a search) is all there is to know about the keys.
 *
 * Used by the generator for the native table and by COMMAND INFO, so that both say the same.
 */
import type { Command, KeySpec } from './types.js';

/** First key, last key (negative: from the end) and step, as COMMAND INFO shows them; zeros when there is none. */
export interface KeyRange {
  readonly first: number;
  readonly last: number;
  readonly step: number;
}

const NO_KEYS: KeyRange = { first: 0, last: 0, step: 0 };

interface FixedSpec {
  readonly first: number;
  readonly last: number;
  readonly step: number;
}

/** The spec as a range of words, or undefined when the keys have to be searched for. */
function fixedSpec(spec: KeySpec): FixedSpec | undefined {
  if (spec.begin.type !== 'index' || spec.find.type !== 'range') return undefined;
  const { lastKey, keyStep } = spec.find;
  return { first: spec.begin.index, last: lastKey >= 0 ? spec.begin.index + lastKey : lastKey, step: keyStep };
}

/**
 * The triple of COMMAND INFO. With one range spec it is that spec; several are joined as long as they adjoin
 * (RENAME: 1 to 2), and those that do not are left out, as Redis does for clients that know no key specs.
 */
export function legacyKeyRange(command: Command): KeyRange {
  const specs = (command.keySpecs ?? []).map(fixedSpec);
  if (specs.length === 1) return specs[0] ?? NO_KEYS;
  let joined: FixedSpec | undefined;
  for (const spec of specs) {
    if (spec === undefined || spec.step !== 1) continue;
    if (joined === undefined) joined = spec;
    else if (joined.last === spec.first - 1) joined = { ...joined, last: spec.last };
  }
  return joined ?? NO_KEYS;
}

/** True when `legacyKeyRange` names exactly the keys of every valid line: nothing is searched, hidden or left out. */
export function hasSimpleKeys(command: Command): boolean {
  const specs = command.keySpecs ?? [];
  let previousLast = 0;
  for (const [index, spec] of specs.entries()) {
    const fixed = fixedSpec(spec);
    if (fixed === undefined || spec.find.type !== 'range' || spec.find.limit !== 0) return false;
    if (spec.flags.includes('not_key') || spec.flags.includes('incomplete')) return false;
    if (specs.length > 1 && fixed.step !== 1) return false;
    if (index > 0 && previousLast !== fixed.first - 1) return false;
    previousLast = fixed.last;
  }
  return true;
}
