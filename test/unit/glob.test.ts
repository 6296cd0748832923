/**
 * Glob matching of the control plane: recorded answers of redis-server 7.0.15, a naive recursive twin on random
 * patterns, and a pattern that takes exponential time in a backtracking matcher.
 */
import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { globMatches } from '../../src/util/glob.js';

describe('globMatches', () => {
  // Answers of KEYS on redis-server 7.0.15.
  it.each<[string, string, boolean]>([
    ['abc', 'abc', true],
    ['abc', 'ABC', false],
    ['a?c', 'abc', true],
    ['a?', 'a', false],
    ['*', 'anything', true],
    ['a*c', 'abbbc', true],
    ['a*c', 'abbb', false],
    ['', '', true],
    ['', 'a', false],
    ['**', '', false],
    ['a[bc]d', 'acd', true],
    ['a[^bc]d', 'acd', false],
    ['a[a-c]d', 'abd', true],
    ['a[c-a]d', 'abd', true],
    ['a[bc', 'ac', true],
    ['a[', 'ab', false],
    ['a[]b', 'ab', false],
    ['a[^]b', 'axb', true],
    ['a\\*', 'a*', true],
    ['a\\*', 'ab', false],
    ['a\\', 'a\\', true],
    ['[\\]]', ']', true],
    ['[a-]', '-', false],
    ['[a-]', '^', true],
  ])('%j on %j is %j', (pattern, text, isMatch) => {
    expect(globMatches(pattern, text)).toBe(isMatch);
  });

  it('folds only ASCII letters, and only when asked', () => {
    expect(globMatches('MAX*', 'maxmemory', true)).toBe(true);
    expect(globMatches('[A-C]x', 'bX', true)).toBe(true);
    expect(globMatches(Buffer.from([0xc0]), Buffer.from([0xe0]), true)).toBe(false);
    expect(globMatches(Buffer.from([0x2a, 0xff]), Buffer.from([0, 13, 10, 0xff]))).toBe(true);
  });

  it('takes no exponential time', () => {
    const start = performance.now();
    expect(globMatches('a*'.repeat(30) + 'b', 'a'.repeat(1000))).toBe(false);
    expect(performance.now() - start).toBeLessThan(1000);
  });

  it('agrees with a naive matcher', () => {
    const pattern = fc.string({ unit: fc.constantFrom('a', 'B', '*', '?', '[', ']', '^', '-', '\\'), maxLength: 9 });
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'B', ']', '^', '-', '\\'), minLength: 1, maxLength: 6 });
    const property = fc.property(pattern, text, (glob, candidate) => {
      expect(globMatches(glob, candidate)).toBe(naive(glob, candidate));
    });
    fc.assert(property, { numRuns: 5000 });
  });
});

/** The definition, word for word: the first element of the pattern matches, and the rest matches the rest. */
function naive(pattern: string, text: string): boolean {
  if (pattern === '') return text === '';
  if (pattern[0] === '*') return naive(pattern.slice(1), text) || (text !== '' && naive(pattern, text.slice(1)));
  if (text === '') return false;
  if (pattern[0] === '?') return naive(pattern.slice(1), text.slice(1));
  if (pattern[0] === '[') {
    const set = /^\[(\^?)((?:\\[^]|[^\]\\]-[^]|[^\]\\]|\\(?=$))*)(\]?)/.exec(pattern);
    if (set === null) throw new Error(`no set in ${pattern}`);
    const parts = (set[2] ?? '').match(/\\[^]|[^\\]-[^]|[^]/g) ?? [];
    const isIn = parts.some((part) => {
      if (part.length === 2) return part[1] === text[0];
      if (part.length === 1) return part === text[0];
      const [low, high] = [part[0] as string, part[2] as string].sort();
      return text[0] !== undefined && text[0] >= (low as string) && text[0] <= (high as string);
    });
    return isIn !== (set[1] === '^') && naive(pattern.slice(set[0].length), text.slice(1));
  }
  const literal = pattern[0] === '\\' && pattern.length > 1 ? 1 : 0;
  return pattern[literal] === text[0] && naive(pattern.slice(literal + 1), text.slice(1));
}
