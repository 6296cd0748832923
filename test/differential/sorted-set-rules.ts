/**
 * How streams make the arguments of sorted sets and places, and how their replies are compared.
 *
 * Ranges by text (BYLEX and its kin) mean nothing where scores differ, and what a skiplist then answers depends on
 * its random levels. So they are asked of keys of their own, `LEX_KEYS`, where every member has score 0: ZADD is the
 * only command that adds to them, and it is never spoiled.
 *
 * Places have coordinates by their names, so that no two members of `GEO_KEYS` are equally far from anywhere: which of
 * two equally near ones is among the first `COUNT` is nobody's promise, so COUNT is asked of these keys only.
 */
import type { Prng } from './prng.js';
import type { Rule } from './rules.js';
import { edgeInteger, randomDouble, randomKey, randomPattern, randomString } from './values.js';

type Words = (Buffer | string)[];

const LEX_KEYS = ['lex:1', 'lex:2', '{tag}lex', 'lex{a}'];
const GEO_KEYS = ['geo:1', 'geo:2', '{tag}geo'];
const MEMBERS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'aa', 'ab', 'B', '1', '2', '10', '-5', '007', '1.5', ''];
const EDGE_SCORES = ['inf', '-inf', '+inf', '1e308', '-1e308', '4611686018427387904', '9007199254740993'];
const EDGE_BOUNDS = ['-inf', '+inf', '(5', '(-2', '(', '(inf', ' 5', '5 ', '', '(nan', '((5', '1e999', '5\x00x'];
const LONG_MEMBER = 'm'.repeat(65);

function member(prng: Prng): Buffer | string {
  const kind = prng.real();
  if (kind < 0.75) return prng.pick(MEMBERS);
  if (kind < 0.94) return `m${prng.below(60)}`;
  return kind < 0.95 ? LONG_MEMBER : randomString(prng);
}

function score(prng: Prng): Buffer | string {
  const kind = prng.real();
  if (kind < 0.6) return String(prng.between(-5, 20));
  if (kind < 0.8) return String(prng.between(-100, 100) / 8);
  if (kind < 0.85) return prng.pick(EDGE_SCORES);
  return randomDouble(prng);
}

function rank(prng: Prng): Buffer | string {
  return prng.chance(0.93) ? String(prng.between(-12, 14)) : edgeInteger(prng);
}

function scoreBound(prng: Prng): Buffer | string {
  if (prng.chance(0.3)) return prng.pick(EDGE_BOUNDS);
  return prng.chance(0.8) ? String(prng.between(-5, 20)) : score(prng);
}

function textBound(prng: Prng): string {
  if (prng.chance(0.4)) return prng.pick(['-', '+', '-', '+', '-x', '+\x00x', '', 'a', '(', '[', ']a', '-\x00']);
  return prng.pick(['[', '(']) + prng.pick([...MEMBERS, 'm1', 'm3', 'z']);
}

function key(prng: Prng): Buffer | string {
  return prng.chance(0.92) ? randomKey(prng) : prng.pick(LEX_KEYS);
}

function lexKey(prng: Prng): string {
  return prng.chance(0.95) ? prng.pick(LEX_KEYS) : 'nosuchkey';
}

/** Some of these, each with a probability. */
function some(prng: Prng, ...options: [chance: number, ...words: Words][]): Words {
  return options.flatMap(([chance, ...words]) => (prng.chance(chance) ? words : []));
}

function zaddArguments(prng: Prng): Words {
  if (prng.chance(0.25)) {
    const members = Array.from({ length: prng.between(1, 6) }, () => ['0', member(prng)]).flat();
    return [prng.pick(LEX_KEYS), ...some(prng, [0.1, 'CH'], [0.1, 'NX']), ...members];
  }
  const flags = some(prng, [0.1, 'NX'], [0.1, 'XX'], [0.12, 'gt'], [0.12, 'LT'], [0.2, 'Ch'], [0.15, 'INCR']);
  // At most as many pairs as the least threshold of a stream: beyond it 7.2 converts by their number alone.
  const count = flags.includes('INCR') && prng.chance(0.9) ? 1 : prng.between(1, 6);
  const line = [randomKey(prng), ...flags, ...Array.from({ length: count }, () => [score(prng), member(prng)]).flat()];
  if (prng.chance(0.05)) line.splice(prng.between(1, line.length), 1);
  return line;
}

function limit(prng: Prng): Words {
  const number = (low: number, high: number): Buffer | string =>
    prng.chance(0.95) ? String(prng.between(low, high)) : edgeInteger(prng);
  return ['LIMIT', number(-1, 6), number(-2, 10)];
}

/** ZRANGE's and ZRANGESTORE's tail: ends and options; `lex` says by what. */
function anyRange(prng: Prng): { lex: boolean; words: Words } {
  const kind = prng.pick(['rank', 'rank', 'score', 'score', 'lex']);
  const extras = some(
    prng,
    [0.35, 'REV'],
    [kind === 'rank' ? 0.03 : 0.4, ...limit(prng)],
    [kind === 'lex' ? 0.03 : 0.4, 'WITHSCORES'],
  );
  if (kind === 'lex') return { lex: true, words: [textBound(prng), textBound(prng), 'BYLEX', ...extras] };
  if (kind === 'score') return { lex: false, words: [scoreBound(prng), scoreBound(prng), 'byscore', ...extras] };
  return { lex: false, words: [rank(prng), rank(prng), ...extras] };
}

function zrangeArguments(prng: Prng): Words {
  const { lex, words } = anyRange(prng);
  return [lex ? lexKey(prng) : key(prng), ...words];
}

function zrangeStoreArguments(prng: Prng): Words {
  const { lex, words } = anyRange(prng);
  const kept = prng.chance(0.05) ? words : words.filter((word) => word !== 'WITHSCORES');
  return [randomKey(prng), lex ? lexKey(prng) : key(prng), ...kept];
}

function byScoreArguments(prng: Prng): Words {
  return [key(prng), scoreBound(prng), scoreBound(prng), ...some(prng, [0.4, 'WITHSCORES'], [0.4, ...limit(prng)])];
}

function byLexArguments(prng: Prng): Words {
  return [lexKey(prng), textBound(prng), textBound(prng), ...some(prng, [0.03, 'WITHSCORES'], [0.4, ...limit(prng)])];
}

function sources(prng: Prng): { count: number; words: Words } {
  const count = prng.between(1, 4);
  const said = prng.chance(0.95) ? String(count) : edgeInteger(prng);
  return { count, words: [said, ...Array.from({ length: count }, () => key(prng))] };
}

function combine(prng: Prng, stores: boolean, takesWeights: boolean): Words {
  const { count, words } = sources(prng);
  const weights = Array.from({ length: prng.chance(0.95) ? count : count + 1 }, () => score(prng));
  const aggregate = prng.pick(['SUM', 'min', 'MAX', prng.chance(0.1) ? 'avg' : 'max']);
  const options = some(prng, [0.4, 'WEIGHTS', ...weights], [0.5, 'AGGREGATE', aggregate]);
  const tail = [...(takesWeights ? options : []), ...some(prng, [stores ? 0.03 : 0.5, 'WITHSCORES'])];
  return [...(stores ? [randomKey(prng)] : []), ...words, ...tail];
}

function zmpopArguments(prng: Prng): Words {
  const count = prng.chance(0.9) ? String(prng.between(1, 5)) : edgeInteger(prng);
  const end = prng.pick(['MIN', 'max', 'MAX', 'min', prng.chance(0.1) ? 'mid' : 'min']);
  return [...sources(prng).words, end, ...some(prng, [0.5, 'COUNT', count])];
}

function zpopArguments(prng: Prng): Words {
  return [key(prng), ...some(prng, [0.5, prng.chance(0.8) ? String(prng.between(0, 6)) : edgeInteger(prng)])];
}

function zrandmemberArguments(prng: Prng): Words {
  // Not a large negative count: the oracle would go on until it has no memory left.
  const edges = ['abc', '', '9223372036854775807', '-9223372036854775808'];
  const count = prng.pick(['0', '1', '3', '-3', '-20', '100', ...edges]);
  const withScores = some(prng, [0.5, prng.pick(['WITHSCORES', 'withscores', 'other'])]);
  return [key(prng), ...some(prng, [0.7, count, ...withScores])];
}

// ---- Places ----

const PLACES = 40;

/** A place's name, and coordinates that are its own. Some lie at the seams and edges of the map. */
function place(prng: Prng): { name: string; longitude: string; latitude: string } {
  const number = prng.below(PLACES);
  const name = `place${number}`;
  const edges = [
    ['180', '85.05112878'],
    ['-180', '-85.05112878'],
    ['179.9999', '10.5'],
    ['-179.9998', '10.6'],
    ['0.001', '84.9'],
    ['90.5', '-84.8'],
    ['0', '0'],
    ['0.0001', '0.0002'],
  ];
  const edge = edges[number];
  if (edge !== undefined) return { name, longitude: edge[0] as string, latitude: edge[1] as string };
  // A cluster and the rest of the world, spread by multiples of primes.
  const isNear = number < 24;
  const longitude = isNear ? 13.361 + number * 0.00731 : ((number * 97.31) % 360) - 180;
  const latitude = isNear ? 38.1157 - number * 0.00517 : ((number * 41.77) % 168) - 84;
  return { name, longitude: longitude.toFixed(6), latitude: latitude.toFixed(6) };
}

function coordinates(prng: Prng): Words {
  if (prng.chance(0.06)) return [randomDouble(prng), randomDouble(prng)];
  const thousandths = (limit: number): string => String(prng.between(-limit * 1000, limit * 1000) / 1000);
  if (prng.chance(0.3)) return [thousandths(180), thousandths(85)];
  const { longitude, latitude } = place(prng);
  return [longitude, latitude];
}

function placeName(prng: Prng): Buffer | string {
  return prng.chance(0.9) ? place(prng).name : member(prng);
}

function distance(prng: Prng): Buffer | string {
  if (prng.chance(0.04)) return randomDouble(prng);
  return String(prng.pick([0, 1, 10, 100, 500, 2_000, 10_000]) * (1 + prng.real()));
}

function unit(prng: Prng): string {
  return prng.chance(0.97) ? prng.pick(['m', 'km', 'KM', 'ft', 'mi', 'km']) : prng.pick(['x', '', 'kms']);
}

function geoKey(prng: Prng): Buffer | string {
  return prng.chance(0.7) ? prng.pick(GEO_KEYS) : randomKey(prng);
}

function geoaddArguments(prng: Prng): Words {
  const key = geoKey(prng);
  const isStrict = GEO_KEYS.includes(String(key));
  const places = Array.from({ length: prng.between(1, 6) }, () => {
    const { name, longitude, latitude } = place(prng);
    return isStrict || prng.chance(0.95) ? [longitude, latitude, name] : [randomDouble(prng), randomDouble(prng), name];
  });
  return [key, ...some(prng, [0.1, 'NX'], [0.1, 'xx'], [0.2, 'CH']), ...places.flat()];
}

function searchOptions(prng: Prng, key: Buffer | string): Words {
  const count = ['COUNT', prng.chance(0.9) ? String(prng.between(1, 8)) : edgeInteger(prng)];
  return some(
    prng,
    [0.3, 'WITHCOORD'],
    [0.3, 'withdist'],
    [0.3, 'WITHHASH'],
    [0.3, prng.pick(['ASC', 'desc'])],
    [GEO_KEYS.includes(String(key)) ? 0.3 : 0, ...count, ...some(prng, [0.4, 'ANY'])],
  );
}

function storeOptions(prng: Prng): Words {
  return some(prng, [0.3, prng.pick(['STORE', 'storedist']), randomKey(prng)]);
}

/** WITH… seldom together with STORE. */
function radiusArguments(prng: Prng, from: (prng: Prng) => Words, stores: boolean): Words {
  const key = geoKey(prng);
  const store = stores ? storeOptions(prng) : [];
  const options = searchOptions(prng, key);
  const kept = store.length > 0 && prng.chance(0.9) ? withoutExtras(options) : options;
  return spoiled(prng, [key, ...from(prng), distance(prng), unit(prng), ...kept, ...store]);
}

/** A line with one word too many, too few or in a wrong place; the key is left alone. */
function spoiled(prng: Prng, line: Words): Words {
  if (!prng.chance(0.08)) return line;
  const result = [...line];
  const at = prng.between(2, result.length);
  const stray = prng.pick(['ANY', 'STORE', 'asc', 'BYBOX', 'FROMMEMBER', 'WITHDIST', 'x', '0', '']);
  result.splice(at, prng.below(2), ...(prng.chance(0.6) ? [stray] : []));
  return result;
}

function withoutExtras(options: Words): Words {
  return options.filter((word) => !/^with/i.test(String(word)));
}

function searchArguments(prng: Prng, stores: boolean): Words {
  const key = geoKey(prng);
  const from: Words = prng.chance(0.4) ? ['FROMMEMBER', placeName(prng)] : ['fromlonlat', ...coordinates(prng)];
  const by: Words = prng.chance(0.5)
    ? ['BYRADIUS', distance(prng), unit(prng)]
    : ['bybox', distance(prng), distance(prng), unit(prng)];
  const options = searchOptions(prng, key);
  const line = [key, ...(prng.chance(0.5) ? [...from, ...by] : [...by, ...from])];
  if (!stores) return spoiled(prng, [...line, ...options]);
  return [randomKey(prng), ...line, ...withoutExtras(options), ...some(prng, [0.3, 'STOREDIST'])];
}

const doubles: Rule = { compare: 'doubles' };

export const sortedSetRows: Record<string, Rule> = {
  zadd: { ...doubles, generate: zaddArguments, mutate: false, weight: 8 },
  zincrby: { ...doubles, generate: (prng) => [randomKey(prng), score(prng), member(prng)] },
  zrem: {
    generate: (prng) => [key(prng), ...Array.from({ length: prng.between(1, 4) }, () => member(prng))],
    weight: 0.7,
  },
  zscore: { ...doubles, generate: (prng) => [key(prng), member(prng)] },
  zmscore: { ...doubles, generate: (prng) => [key(prng), member(prng), member(prng), member(prng)] },
  zrank: { generate: (prng) => [key(prng), member(prng)] },
  zrevrank: { generate: (prng) => [key(prng), member(prng)] },
  zpopmin: { ...doubles, generate: zpopArguments, weight: 0.5 },
  zpopmax: { ...doubles, generate: zpopArguments, weight: 0.5 },
  zmpop: { ...doubles, generate: zmpopArguments, weight: 0.5 },
  zrandmember: { compare: 'shape', generate: zrandmemberArguments, mutate: false },
  zscan: {
    compare: 'shape',
    generate: (prng) => {
      const count = prng.chance(0.7) ? '5' : edgeInteger(prng);
      const options = some(prng, [0.3, 'MATCH', randomPattern(prng)], [0.3, 'COUNT', count]);
      return [key(prng), prng.chance(0.8) ? '0' : edgeInteger(prng), ...options];
    },
  },
  zrange: { ...doubles, generate: zrangeArguments, weight: 3 },
  zrangestore: { generate: zrangeStoreArguments },
  zrevrange: {
    ...doubles,
    generate: (prng) => [key(prng), rank(prng), rank(prng), ...some(prng, [0.5, 'WITHSCORES'])],
  },
  zrangebyscore: { ...doubles, generate: byScoreArguments },
  zrevrangebyscore: { ...doubles, generate: byScoreArguments },
  zrangebylex: { generate: byLexArguments, mutate: false },
  zrevrangebylex: { generate: byLexArguments, mutate: false },
  zcount: { generate: (prng) => [key(prng), scoreBound(prng), scoreBound(prng)] },
  zlexcount: { generate: (prng) => [lexKey(prng), textBound(prng), textBound(prng)], mutate: false },
  zremrangebyrank: { generate: (prng) => [key(prng), rank(prng), rank(prng)], weight: 0.4 },
  zremrangebyscore: { generate: (prng) => [key(prng), scoreBound(prng), scoreBound(prng)], weight: 0.3 },
  zremrangebylex: { generate: (prng) => [lexKey(prng), textBound(prng), textBound(prng)], mutate: false, weight: 0.3 },
  zunion: { ...doubles, generate: (prng) => combine(prng, false, true) },
  zinter: { ...doubles, generate: (prng) => combine(prng, false, true) },
  zdiff: { ...doubles, generate: (prng) => combine(prng, false, false) },
  zunionstore: { generate: (prng) => combine(prng, true, true) },
  zinterstore: { generate: (prng) => combine(prng, true, true), weight: 0.6 },
  zdiffstore: { generate: (prng) => combine(prng, true, false), weight: 0.6 },
  zintercard: {
    generate: (prng) => {
      const most = prng.chance(0.8) ? String(prng.between(0, 5)) : edgeInteger(prng);
      return [...sources(prng).words, ...some(prng, [0.5, 'LIMIT', most])];
    },
  },

  geoadd: { generate: geoaddArguments, mutate: false, weight: 6 },
  geopos: { generate: (prng) => [geoKey(prng), placeName(prng), placeName(prng)] },
  geohash: { generate: (prng) => [geoKey(prng), placeName(prng), placeName(prng)] },
  geodist: {
    compare: 'distances',
    generate: (prng) => [geoKey(prng), placeName(prng), placeName(prng), ...some(prng, [0.5, unit(prng)])],
  },
  geosearch: { compare: 'distances', generate: (prng) => searchArguments(prng, false), mutate: false, weight: 5 },
  geosearchstore: { generate: (prng) => searchArguments(prng, true), mutate: false },
  georadius: {
    compare: 'distances',
    generate: (prng) => radiusArguments(prng, coordinates, true),
    mutate: false,
    weight: 2,
  },
  georadius_ro: { compare: 'distances', generate: (prng) => radiusArguments(prng, coordinates, false), mutate: false },
  georadiusbymember: {
    compare: 'distances',
    generate: (prng) => radiusArguments(prng, (from) => [placeName(from)], true),
    mutate: false,
    weight: 2,
  },
  georadiusbymember_ro: {
    compare: 'distances',
    generate: (prng) => radiusArguments(prng, (from) => [placeName(from)], false),
    mutate: false,
  },
};
