/**
 * How streams make the arguments of sets, and how their replies are compared.
 *
 * SPOP takes members at random, which two servers cannot agree on, so streams let it take all of them, or none; the
 * fairness of the choice and what is replayed have native tests. SRANDMEMBER may be asked for any number, as nothing
 * changes by it, but not for so many that the reply has no end.
 */
import type { Prng } from './prng.js';
import type { Rule } from './rules.js';
import { edgeInteger, randomKey, randomPattern, randomString } from './values.js';

type Words = (Buffer | string)[];

const LONG_MEMBER = 'm'.repeat(65);
/** Counts that take nothing, everything, or are refused. */
const POP_COUNTS = ['0', '1000000', '9223372036854775807', '9223372036854775808', '-1', '-9223372036854775808', 'abc', ''];
const POP_COUNTS_ODD = ['01', '+1', ' 1', '1 ', '1e3', '1.0', '-0', 'nan', '1\x00'];

function member(prng: Prng): Buffer | string {
  const kind = prng.real();
  if (kind < 0.55) return String(prng.between(-5, 40));
  if (kind < 0.8) return prng.pick(['a', 'b', 'c', 'd', '', '007', '1.5', '70000', '-9223372036854775808']);
  if (kind < 0.94) return `m${prng.below(60)}`;
  return kind < 0.95 ? LONG_MEMBER : randomString(prng);
}

function members(prng: Prng, most: number): Words {
  return Array.from({ length: prng.between(1, most) }, () => member(prng));
}

/** Integers only, so that intsets grow and stay. */
function integers(prng: Prng, most: number): Words {
  return Array.from({ length: prng.between(1, most) }, () => String(prng.between(-40, 400)));
}

function keys(prng: Prng): Words {
  return Array.from({ length: prng.between(1, prng.chance(0.1) ? 12 : 4) }, () => randomKey(prng));
}

function sinterCardArguments(prng: Prng): Words {
  const sources = keys(prng);
  const count = prng.chance(0.9) ? String(sources.length) : edgeInteger(prng);
  if (!prng.chance(0.5)) return [count, ...sources];
  return [count, ...sources, prng.pick(['LIMIT', 'limit']), prng.chance(0.8) ? String(prng.between(0, 6)) : edgeInteger(prng)];
}

function srandmemberArguments(prng: Prng): Words {
  const kind = prng.real();
  if (kind < 0.3) return [randomKey(prng)];
  if (kind < 0.9) return [randomKey(prng), String(prng.between(-20, 30))];
  return [randomKey(prng), prng.pick(['abc', '', '-9223372036854775808', '9223372036854775807', '1e3', '+1', ' 1', '-0'])];
}

function sscanArguments(prng: Prng): Words {
  const line: Words = [randomKey(prng), prng.chance(0.8) ? '0' : edgeInteger(prng)];
  if (prng.chance(0.3)) line.push('MATCH', randomPattern(prng));
  if (prng.chance(0.3)) line.push('COUNT', prng.chance(0.7) ? '5' : edgeInteger(prng));
  return line;
}

const sorted = { compare: 'sorted' } as const;

export const setRows: Record<string, Rule> = {
  sadd: {
    generate: (prng) => [randomKey(prng), ...(prng.chance(0.4) ? integers(prng, 30) : members(prng, 6))],
    weight: 5,
  },
  srem: { generate: (prng) => [randomKey(prng), ...members(prng, 4)], weight: 2 },
  sismember: { generate: (prng) => [randomKey(prng), member(prng)] },
  smismember: { generate: (prng) => [randomKey(prng), ...members(prng, 5)] },
  smove: { generate: (prng) => [randomKey(prng), randomKey(prng), member(prng)], weight: 2 },
  spop: {
    compare: 'sorted',
    generate: (prng) => [randomKey(prng), prng.chance(0.8) ? prng.pick(POP_COUNTS) : prng.pick(POP_COUNTS_ODD)],
    mutate: false,
    weight: 0.3,
  },
  srandmember: { compare: 'shape', generate: srandmemberArguments, mutate: false },
  sscan: { compare: 'shape', generate: sscanArguments },
  smembers: sorted,
  sinter: { ...sorted, generate: keys },
  sunion: { ...sorted, generate: keys },
  sdiff: { ...sorted, generate: keys },
  sintercard: { generate: sinterCardArguments },
  sinterstore: { generate: (prng) => [randomKey(prng), ...keys(prng)] },
  sunionstore: { generate: (prng) => [randomKey(prng), ...keys(prng)] },
  sdiffstore: { generate: (prng) => [randomKey(prng), ...keys(prng)] },
};
