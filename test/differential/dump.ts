/**
 * Compares all data of two servers: keys of every database, and for each its type, value, time to live and encoding;
 * and checks that a full SCAN visits exactly the keys that match.
 *
 * The connection is brought to RESP2 and back to database 0 by RESET; nothing is written.
 */
import { toPlain, type Reply, type RespClient } from '../support/resp-client.js';
import { isNewerEncoding } from './accepted.js';
import { isSame } from './compare.js';
import type { Prng } from './prng.js';
import type { Comparison } from './rules.js';
import { randomPattern } from './values.js';

/** What differs, in words and bytes. */
export interface DataDifference {
  subjectOf: string;
  oracle: string;
  subject: string;
}

const DATABASES = 16;
const SCAN_ROUNDS_MAX = 10_000;

/** How to read a value of each type, and how to compare it. */
const READ_BY_TYPE: ReadonlyMap<string, { command: (key: Buffer) => (string | Buffer)[]; compare: Comparison }> =
  new Map([
    ['list', { command: (key) => ['LRANGE', key, '0', '-1'], compare: 'exact' }],
    ['set', { command: (key) => ['SMEMBERS', key], compare: 'sorted' }],
    ['hash', { command: (key) => ['HGETALL', key], compare: 'sorted-pairs' }],
    ['zset', { command: (key) => ['ZRANGE', key, '0', '-1', 'WITHSCORES'], compare: 'doubles' }],
    ['stream', { command: (key) => ['XINFO', 'STREAM', key, 'FULL', 'COUNT', '0'], compare: 'stream-info' }],
  ]);

interface Found {
  db: number;
  key: Buffer;
}

async function listKeys(client: RespClient): Promise<Found[]> {
  const commands: string[][] = [['RESET'], ['HELLO', '2']];
  for (let db = 0; db < DATABASES; db++) commands.push(['SELECT', String(db)], ['KEYS', '*']);
  const replies = (await client.pipeline(commands)).slice(2);
  const found: Found[] = [];
  for (let db = 0; db < DATABASES; db++) {
    const value = (replies[2 * db + 1] as Reply).value;
    if (value.kind !== 'array') throw new Error(`KEYS * says ${replies[2 * db + 1]?.text}`);
    const keys = value.items.map((item) => (item.kind === 'bulk' ? item.bytes : Buffer.alloc(0)));
    keys.sort(Buffer.compare);
    for (const key of keys) found.push({ db, key });
  }
  return found;
}

const describe = (found: Found): string => `${found.db}:${JSON.stringify(found.key.toString('latin1'))}`;

/** The first difference between the two keyspaces, if there is one. */
export async function compareKeyspace(oracle: RespClient, subject: RespClient): Promise<DataDifference | undefined> {
  const [left, right] = await Promise.all([listKeys(oracle), listKeys(subject)]);
  const leftText = left.map(describe).join(' ');
  const rightText = right.map(describe).join(' ');
  if (leftText !== rightText) return { subjectOf: 'set of keys', oracle: leftText, subject: rightText };

  const facts: [string, Comparison][] = [
    ['TYPE', 'exact'],
    ['PTTL', 'ttl-ms'],
    ['OBJECT ENCODING', 'exact'],
    ['GET', 'exact'],
  ];
  const commands: (string | Buffer)[][] = [];
  for (const { db, key } of left) {
    commands.push(['SELECT', String(db)], ...facts.map(([words]) => [...words.split(' '), key]));
  }
  const [a, b] = await Promise.all([oracle.pipeline(commands), subject.pipeline(commands)]);
  const others: { found: Found; type: string }[] = [];
  for (const [index, found] of left.entries()) {
    const type = (a[index * (facts.length + 1) + 1] as Reply).text.slice(1, -2);
    for (const [place, [words, compare]] of facts.entries()) {
      const at = index * (facts.length + 1) + 1 + place;
      const one = (a[at] as Reply).raw;
      const two = (b[at] as Reply).raw;
      if (isSame(compare, one, two)) continue;
      if (words === 'OBJECT ENCODING' && isNewerEncoding(one.toString('latin1'), two.toString('latin1'), type)) continue;
      return keyDifference(words, found, one, two);
    }
    if (READ_BY_TYPE.has(type)) others.push({ found, type });
  }
  return others.length > 0 ? compareOthers(oracle, subject, others) : undefined;
}

async function compareOthers(
  oracle: RespClient,
  subject: RespClient,
  others: { found: Found; type: string }[],
): Promise<DataDifference | undefined> {
  const commands = others.flatMap(({ found, type }) => [
    ['SELECT', String(found.db)],
    READ_BY_TYPE.get(type)?.command(found.key) ?? ['PING'],
  ]);
  const [a, b] = await Promise.all([oracle.pipeline(commands), subject.pipeline(commands)]);
  for (const [index, { found, type }] of others.entries()) {
    const one = (a[2 * index + 1] as Reply).raw;
    const two = (b[2 * index + 1] as Reply).raw;
    if (!isSame(READ_BY_TYPE.get(type)?.compare ?? 'exact', one, two))
      return keyDifference(`value of ${type}`, found, one, two);
  }
  return undefined;
}

function keyDifference(words: string, found: Found, one: Buffer, two: Buffer): DataDifference {
  return {
    subjectOf: `${words} of ${describe(found)}`,
    oracle: one.toString('latin1'),
    subject: two.toString('latin1'),
  };
}

/** All keys that a full SCAN of the selected database gives, in order of bytes, each once. */
async function scanAll(client: RespClient, options: (string | Buffer)[]): Promise<string> {
  const keys = new Set<string>();
  let cursor = '0';
  for (let round = 0; round < SCAN_ROUNDS_MAX; round++) {
    const reply = await client.send('SCAN', cursor, ...options);
    const plain = toPlain(reply.value);
    if (!Array.isArray(plain)) return reply.text;
    const [next, page] = plain as [string, string[]];
    for (const key of page) keys.add(JSON.stringify(key));
    cursor = next;
    if (cursor === '0') return [...keys].sort().join(' ');
  }
  return `no end after ${SCAN_ROUNDS_MAX} rounds`;
}

/** Compares full iterations of SCAN with random options on a random database. */
export async function compareScans(
  oracle: RespClient,
  subject: RespClient,
  prng: Prng,
): Promise<DataDifference | undefined> {
  const db = String(prng.below(3));
  const options: (string | Buffer)[] = [];
  if (prng.chance(0.5)) options.push('MATCH', randomPattern(prng));
  if (prng.chance(0.5)) options.push('COUNT', String(prng.pick([1, 2, 7, 100, 1_000_000])));
  if (prng.chance(0.3)) options.push('TYPE', prng.pick(['string', 'list', 'STRING', 'nosuchtype']));
  await Promise.all([oracle.send('SELECT', db), subject.send('SELECT', db)]);
  const [left, right] = await Promise.all([scanAll(oracle, options), scanAll(subject, options)]);
  if (left === right) return undefined;
  const words = options.map((option) =>
    typeof option === 'string' ? option : JSON.stringify(option.toString('latin1')),
  );
  return { subjectOf: `full SCAN of database ${db} ${words.join(' ')}`, oracle: left, subject: right };
}
