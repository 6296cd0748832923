/**
 * Geo commands. Places are members of a sorted set, whose scores are their Geohash.
 *
 * Facts as in Redis 7.2 (see types.ts for the fields). Sorted by name.
 */
import { keyAt, type Argument, type Command } from './types.js';

/** Of a distance. */
const UNIT: Argument = {
  name: 'unit',
  type: 'oneof',
  args: [
    { name: 'm', type: 'pure-token', token: 'M' },
    { name: 'km', type: 'pure-token', token: 'KM' },
    { name: 'ft', type: 'pure-token', token: 'FT' },
    { name: 'mi', type: 'pure-token', token: 'MI' },
  ],
};

/** By distance from the middle. */
const ORDER: Argument = {
  name: 'order',
  type: 'oneof',
  optional: true,
  args: [{ name: 'asc', type: 'pure-token', token: 'ASC' }, { name: 'desc', type: 'pure-token', token: 'DESC' }],
};

/** How many places, and whether any will do instead of the nearest. */
const COUNT_BLOCK: Argument = {
  name: 'count-block',
  type: 'block',
  optional: true,
  args: [
    { name: 'count', type: 'integer', token: 'COUNT' },
    { name: 'any', type: 'pure-token', token: 'ANY', optional: true },
  ],
};

/** The same where the reference tells how old `ANY` is. */
const COUNT_BLOCK_6_2: Argument = {
  name: 'count-block',
  type: 'block',
  optional: true,
  args: [
    { name: 'count', type: 'integer', token: 'COUNT' },
    { name: 'any', type: 'pure-token', token: 'ANY', since: '6.2.0', optional: true },
  ],
};

/** Shows where a place is. */
const WITHCOORD: Argument = { name: 'withcoord', type: 'pure-token', token: 'WITHCOORD', optional: true };

/** Shows how far away a place is. */
const WITHDIST: Argument = { name: 'withdist', type: 'pure-token', token: 'WITHDIST', optional: true };

/** Shows the score of a place. */
const WITHHASH: Argument = { name: 'withhash', type: 'pure-token', token: 'WITHHASH', optional: true };

/** Where to store the places, with their positions or their distances as scores. */
const STORE: Argument = {
  name: 'store',
  type: 'oneof',
  optional: true,
  args: [
    { name: 'storekey', type: 'key', display: 'key', keySpec: 1, token: 'STORE' },
    { name: 'storedistkey', type: 'key', display: 'key', keySpec: 2, token: 'STOREDIST' },
  ],
};

/** The middle of the area. */
const FROM: Argument = {
  name: 'from',
  type: 'oneof',
  args: [
    { name: 'member', type: 'string', token: 'FROMMEMBER' },
    {
      name: 'fromlonlat',
      type: 'block',
      token: 'FROMLONLAT',
      args: [{ name: 'longitude', type: 'double' }, { name: 'latitude', type: 'double' }],
    },
  ],
};

/** The shape of the area. */
const BY: Argument = {
  name: 'by',
  type: 'oneof',
  args: [
    {
      name: 'circle',
      type: 'block',
      args: [{ name: 'radius', type: 'double', token: 'BYRADIUS' }, UNIT],
    },
    {
      name: 'box',
      type: 'block',
      args: [{ name: 'width', type: 'double', token: 'BYBOX' }, { name: 'height', type: 'double' }, UNIT],
    },
  ],
};

export const geoCommands: readonly Command[] = [
  {
    name: 'geoadd',
    summary: 'Adds places to a sorted set or moves them',
    since: '3.2.0',
    group: 'geo',
    complexity: 'O(log(N)) for each place, N being the size of the sorted set',
    arity: -5,
    runs: 'keys',
    flags: ['write', 'denyoom'],
    categories: ['write', 'geo', 'slow'],
    keySpecs: [keyAt(1, ['RW', 'update'])],
    args: [
      { name: 'key', type: 'key', keySpec: 0 },
      {
        name: 'condition',
        type: 'oneof',
        since: '6.2.0',
        optional: true,
        args: [{ name: 'nx', type: 'pure-token', token: 'NX' }, { name: 'xx', type: 'pure-token', token: 'XX' }],
      },
      { name: 'change', type: 'pure-token', token: 'CH', since: '6.2.0', optional: true },
      {
        name: 'data',
        type: 'block',
        multiple: true,
        args: [
          { name: 'longitude', type: 'double' },
          { name: 'latitude', type: 'double' },
          { name: 'member', type: 'string' },
        ],
      },
    ],
    history: [['6.2.0', 'Options `NX`, `XX`, `CH`.']],
  },
  {
    name: 'geodist',
    summary: 'Tells the distance between two places',
    since: '3.2.0',
    group: 'geo',
    complexity: 'O(1)',
    arity: -4,
    runs: 'keys',
    flags: ['readonly'],
    categories: ['read', 'geo', 'slow'],
    keySpecs: [keyAt(1, ['RO', 'access'])],
    args: [
      { name: 'key', type: 'key', keySpec: 0 },
      { name: 'member1', type: 'string' },
      { name: 'member2', type: 'string' },
      {
        name: 'unit',
        type: 'oneof',
        optional: true,
        args: [
          { name: 'm', type: 'pure-token', token: 'M' },
          { name: 'km', type: 'pure-token', token: 'KM' },
          { name: 'ft', type: 'pure-token', token: 'FT' },
          { name: 'mi', type: 'pure-token', token: 'MI' },
        ],
      },
    ],
  },
  {
    name: 'geohash',
    summary: 'Returns places as Geohash texts',
    since: '3.2.0',
    group: 'geo',
    complexity: 'O(1) for each place',
    arity: -2,
    runs: 'keys',
    flags: ['readonly'],
    categories: ['read', 'geo', 'slow'],
    keySpecs: [keyAt(1, ['RO', 'access'])],
    args: [
      { name: 'key', type: 'key', keySpec: 0 },
      { name: 'member', type: 'string', optional: true, multiple: true },
    ],
  },
  {
    name: 'geopos',
    summary: 'Returns the longitudes and latitudes of places',
    since: '3.2.0',
    group: 'geo',
    complexity: 'O(1) for each place',
    arity: -2,
    runs: 'keys',
    flags: ['readonly'],
    categories: ['read', 'geo', 'slow'],
    keySpecs: [keyAt(1, ['RO', 'access'])],
    args: [
      { name: 'key', type: 'key', keySpec: 0 },
      { name: 'member', type: 'string', optional: true, multiple: true },
    ],
  },
  {
    name: 'georadius',
    summary: 'Finds the places around a point and returns or stores them',
    since: '3.2.0',
    group: 'geo',
    complexity: 'O(N+log(M)), N being the number of places around the area and M the size of the sorted set',
    arity: -6,
    runs: 'keys',
    effort: 'elements',
    flags: ['write', 'denyoom', 'movablekeys'],
    categories: ['write', 'geo', 'slow'],
    docFlags: ['deprecated'],
    deprecatedSince: '6.2.0',
    replacedBy: '`GEOSEARCH` or `GEOSEARCHSTORE` with `BYRADIUS`',
    keySpecs: [
      keyAt(1, ['RO', 'access']),
      {
        flags: ['OW', 'update'],
        begin: { type: 'keyword', keyword: 'STORE', startFrom: 6 },
        find: { type: 'range', lastKey: 0, keyStep: 1, limit: 0 },
      },
      {
        flags: ['OW', 'update'],
        begin: { type: 'keyword', keyword: 'STOREDIST', startFrom: 6 },
        find: { type: 'range', lastKey: 0, keyStep: 1, limit: 0 },
      },
    ],
    args: [
      { name: 'key', type: 'key', keySpec: 0 },
      { name: 'longitude', type: 'double' },
      { name: 'latitude', type: 'double' },
      { name: 'radius', type: 'double' },
      UNIT,
      WITHCOORD,
      WITHDIST,
      WITHHASH,
      COUNT_BLOCK_6_2,
      ORDER,
      STORE,
    ],
    history: [['6.2.0', 'Option `ANY` after `COUNT`.'], ['7.0.0', 'Units in upper case.']],
  },
  {
    name: 'georadius_ro',
    summary: 'Finds the places around a point',
    since: '3.2.10',
    group: 'geo',
    complexity: 'O(N+log(M)), N being the number of places around the area and M the size of the sorted set',
    arity: -6,
    runs: 'keys',
    effort: 'elements',
    flags: ['readonly'],
    categories: ['read', 'geo', 'slow'],
    docFlags: ['deprecated'],
    deprecatedSince: '6.2.0',
    replacedBy: '`GEOSEARCH` with `BYRADIUS`',
    keySpecs: [keyAt(1, ['RO', 'access'])],
    args: [
      { name: 'key', type: 'key', keySpec: 0 },
      { name: 'longitude', type: 'double' },
      { name: 'latitude', type: 'double' },
      { name: 'radius', type: 'double' },
      UNIT,
      WITHCOORD,
      WITHDIST,
      WITHHASH,
      COUNT_BLOCK_6_2,
      ORDER,
    ],
    history: [['6.2.0', 'Option `ANY` after `COUNT`.']],
  },
  {
    name: 'georadiusbymember',
    summary: 'Finds the places around another place and returns or stores them',
    since: '3.2.0',
    group: 'geo',
    complexity: 'O(N+log(M)), N being the number of places around the area and M the size of the sorted set',
    arity: -5,
    runs: 'keys',
    effort: 'elements',
    flags: ['write', 'denyoom', 'movablekeys'],
    categories: ['write', 'geo', 'slow'],
    docFlags: ['deprecated'],
    deprecatedSince: '6.2.0',
    replacedBy: '`GEOSEARCH` or `GEOSEARCHSTORE` with `FROMMEMBER` and `BYRADIUS`',
    keySpecs: [
      keyAt(1, ['RO', 'access']),
      {
        flags: ['OW', 'update'],
        begin: { type: 'keyword', keyword: 'STORE', startFrom: 5 },
        find: { type: 'range', lastKey: 0, keyStep: 1, limit: 0 },
      },
      {
        flags: ['OW', 'update'],
        begin: { type: 'keyword', keyword: 'STOREDIST', startFrom: 5 },
        find: { type: 'range', lastKey: 0, keyStep: 1, limit: 0 },
      },
    ],
    args: [
      { name: 'key', type: 'key', keySpec: 0 },
      { name: 'member', type: 'string' },
      { name: 'radius', type: 'double' },
      UNIT,
      WITHCOORD,
      WITHDIST,
      WITHHASH,
      COUNT_BLOCK,
      ORDER,
      STORE,
    ],
    history: [['7.0.0', 'Units in upper case.']],
  },
  {
    name: 'georadiusbymember_ro',
    summary: 'Finds the places around another place',
    since: '3.2.10',
    group: 'geo',
    complexity: 'O(N+log(M)), N being the number of places around the area and M the size of the sorted set',
    arity: -5,
    runs: 'keys',
    effort: 'elements',
    flags: ['readonly'],
    categories: ['read', 'geo', 'slow'],
    docFlags: ['deprecated'],
    deprecatedSince: '6.2.0',
    replacedBy: '`GEOSEARCH` with `FROMMEMBER` and `BYRADIUS`',
    keySpecs: [keyAt(1, ['RO', 'access'])],
    args: [
      { name: 'key', type: 'key', keySpec: 0 },
      { name: 'member', type: 'string' },
      { name: 'radius', type: 'double' },
      UNIT,
      WITHCOORD,
      WITHDIST,
      WITHHASH,
      COUNT_BLOCK,
      ORDER,
    ],
  },
  {
    name: 'geosearch',
    summary: 'Finds the places inside a circle or a box',
    since: '6.2.0',
    group: 'geo',
    complexity: 'O(N+log(M)), N being the number of places around the area and M the size of the sorted set',
    arity: -7,
    runs: 'keys',
    effort: 'elements',
    flags: ['readonly'],
    categories: ['read', 'geo', 'slow'],
    keySpecs: [keyAt(1, ['RO', 'access'])],
    args: [{ name: 'key', type: 'key', keySpec: 0 }, FROM, BY, ORDER, COUNT_BLOCK, WITHCOORD, WITHDIST, WITHHASH],
    history: [['7.0.0', 'Units in upper case.']],
  },
  {
    name: 'geosearchstore',
    summary: 'Stores the places inside a circle or a box',
    since: '6.2.0',
    group: 'geo',
    complexity: 'O(N+log(M)), N being the number of places around the area and M the size of the sorted set',
    arity: -8,
    runs: 'keys',
    effort: 'elements',
    flags: ['write', 'denyoom'],
    categories: ['write', 'geo', 'slow'],
    keySpecs: [keyAt(1, ['OW', 'update']), keyAt(2, ['RO', 'access'])],
    args: [
      { name: 'destination', type: 'key', keySpec: 0 },
      { name: 'source', type: 'key', keySpec: 1 },
      FROM,
      BY,
      ORDER,
      COUNT_BLOCK,
      { name: 'storedist', type: 'pure-token', token: 'STOREDIST', optional: true },
    ],
    history: [['7.0.0', 'Units in upper case.']],
  },
];
