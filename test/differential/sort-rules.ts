/**
 * How streams make the lines of SORT, and how their replies are compared.
 *
 * What is equal in the order asked for may come in any order: all of a set BY a constant, and elements whose texts found
 * by BY are equal. So replies are compared as multisets, such lines have no LIMIT, and only results whose order is
 * certain are stored; the list that STORE makes is compared element by element. Native tests compare every order.
 *
 * Numbers are not stored: since the oracle once met a weight beyond the range of a double, it refuses all (it looks at
 * an errno that nobody resets), which `accepted.ts` knows of replies.
 */
import type { Prng } from './prng.js';
import type { Rule } from './rules.js';
import { edgeInteger, randomKey } from './values.js';

type Words = (Buffer | string)[];

const BY = ['*', 'key:*', '{tag}*', 'x*y', '*->a', 'key:*->b', '{*}->', '**'];
const CONSTANT = ['nosort', '#', '', 'a', 'no->star'];
const GET = [...BY, ...CONSTANT, '#', '#', '*'];

function limit(prng: Prng): Words {
  const number = (): Buffer | string => (prng.chance(0.9) ? String(prng.between(-2, 8)) : edgeInteger(prng));
  return ['LIMIT', number(), number()];
}

function gets(prng: Prng): Words {
  return Array.from({ length: prng.below(3) }, () => ['GET', prng.pick(GET)]).flat();
}

/** An order that is a function of the data: texts of the elements, or what a list or sorted set has. */
function certain(prng: Prng): Words {
  return prng.chance(0.5) ? ['ALPHA'] : ['BY', prng.pick(CONSTANT)];
}

function sortArguments(prng: Prng): Words {
  const source = randomKey(prng);
  const order = prng.chance(0.3) ? [prng.pick(['DESC', 'asc', 'desc'])] : [];
  const kind = prng.real();
  if (kind < 0.05) return [source, prng.pick(['FOO', 'LIMIT', 'BY', 'GET', 'STORE', '']), ...order];
  if (kind < 0.3) return [source, ...order, ...gets(prng), ...(prng.chance(0.4) ? limit(prng) : [])];
  if (kind < 0.5) return [source, 'ALPHA', ...order, ...gets(prng)];
  if (kind < 0.75) return [source, 'BY', prng.pick(BY), ...gets(prng), ...order];
  if (kind < 0.9) return [source, 'BY', prng.pick(BY), 'ALPHA', ...gets(prng)];
  return [source, 'BY', prng.pick(CONSTANT), ...order, ...gets(prng)];
}

function storeArguments(prng: Prng): Words {
  const order = prng.chance(0.3) ? ['DESC'] : [];
  const line = [randomKey(prng), ...certain(prng), ...order, ...gets(prng), ...(prng.chance(0.5) ? limit(prng) : [])];
  line.splice(prng.chance(0.8) ? line.length : 1, 0, 'STORE', randomKey(prng));
  return line;
}

export const sortRows: Record<string, Rule> = {
  sort: {
    compare: 'sorted',
    generate: (prng) => (prng.chance(0.4) ? storeArguments(prng) : sortArguments(prng)),
    mutate: false,
    weight: 3,
  },
  sort_ro: {
    compare: 'sorted',
    generate: (prng) => (prng.chance(0.05) ? storeArguments(prng) : sortArguments(prng)),
    mutate: false,
  },
};
