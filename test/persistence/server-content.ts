/**
 * What a server holds, learnt through commands alone, as the lines that `canonicalLines` makes of a file. The two must
 * be equal for a file that the server has saved or loaded.
 */
import { quoteBytes } from '../../src/persistence/format/canonical.js';
import { formatDouble } from '../../src/persistence/format/text-numbers.js';
import { RespClient, toPlain, type Argument } from '../support/resp-client.js';

type Plain = string | number | bigint | null | Plain[];

const quote = (value: Plain): string => quoteBytes(Buffer.from(value as string, 'latin1'));

/** Every second element of a flat reply with the one behind it. */
function pairs(flat: Plain): [Plain, Plain][] {
  const list = flat as Plain[];
  return list.flatMap((name, index) => (index % 2 === 0 ? [[name, list[index + 1] as Plain] as [Plain, Plain]] : []));
}

/** The lines of all keys, and of the functions if the server has any. */
export async function serverLines(client: RespClient): Promise<string[]> {
  const ask = async (...args: Argument[]): Promise<Plain> => {
    const value = toPlain((await client.send(...args)).value);
    if (value instanceof Error) throw new Error(`${args.map(String).join(' ')}: ${value.message}`);
    return value as Plain;
  };
  const lines: string[] = [];
  for (const db of databasesOf((await ask('INFO', 'keyspace')) as string)) {
    await ask('SELECT', db);
    for (const key of (await ask('KEYS', '*')) as string[]) {
      const name = Buffer.from(key, 'latin1');
      const prefix = `db${db} ${quote(key)}`;
      const expiry = await ask('PEXPIRETIME', name);
      if (expiry !== -1) lines.push(`${prefix} expires ${String(expiry)}`);
      const type = (await ask('TYPE', name)) as string;
      for (const line of await valueLines(type, name, ask)) lines.push(`${prefix} ${type} ${line}`);
    }
  }
  await ask('SELECT', 0);
  // A server without scripting has no functions, and says that it does not know the command.
  const functions = toPlain((await client.send('FUNCTION', 'LIST', 'WITHCODE')).value);
  for (const library of functions instanceof Error ? [] : (functions as Plain[])) {
    const members = new Map(pairs(library) as [string, Plain][]);
    lines.push(`function ${quote(members.get('library_code') as string)}`);
  }
  return lines.sort();
}

const databasesOf = (info: string): number[] => [...info.matchAll(/^db([0-9]+):/gm)].map((match) => Number(match[1]));

type Ask = (...args: Argument[]) => Promise<Plain>;

async function valueLines(type: string, key: Buffer, ask: Ask): Promise<string[]> {
  switch (type) {
    case 'string':
      return [quote(await ask('GET', key))];
    case 'list': {
      const elements = (await ask('LRANGE', key, 0, -1)) as string[];
      return elements.map((element, index) => `${String(index).padStart(10, '0')} ${quote(element)}`);
    }
    case 'set':
      return ((await ask('SMEMBERS', key)) as string[]).map(quote);
    case 'zset': {
      const members = pairs(await ask('ZRANGE', key, 0, -1, 'WITHSCORES'));
      return members.map(([member, score]) => `${quote(member)} ${scoreText(score as string)}`);
    }
    case 'hash':
      return pairs(await ask('HGETALL', key)).map(([name, value]) => `${quote(name)} = ${quote(value)}`);
    case 'stream':
      return streamLines(await ask('XINFO', 'STREAM', key, 'FULL', 'COUNT', 0));
  }
  throw new Error(`unexpected type ${type}`);
}

const scoreText = (score: string): string =>
  score === 'inf' || score === '-inf' ? score : formatDouble(Number(score) + 0);

function streamLines(info: Plain): string[] {
  const of = new Map(pairs(info) as [string, Plain][]);
  const entries = of.get('entries') as [string, Plain[]][];
  const lines = entries.map(([id, words]) => `entry ${id} ${words.map(quote).join(' ')}`);
  const first = of.get('recorded-first-entry-id') as string;
  const ids = `last ${String(of.get('last-generated-id'))} first ${first} deleted ${String(of.get('max-deleted-entry-id'))}`;
  lines.push(`length ${String(of.get('length'))} ${ids} added ${String(of.get('entries-added'))}`);
  for (const group of of.get('groups') as Plain[])
    lines.push(...groupLines(new Map(pairs(group) as [string, Plain][])));
  return lines;
}

function groupLines(of: Map<string, Plain>): string[] {
  const prefix = `group ${quote(of.get('name') as string)}`;
  const read = of.get('entries-read') === null ? -1 : of.get('entries-read');
  const lines = [`${prefix} last ${String(of.get('last-delivered-id'))} read ${String(read)}`];
  for (const [id, , deliveredAt, times] of of.get('pending') as Plain[][]) {
    lines.push(`${prefix} pending ${String(id)} delivered ${String(deliveredAt)} times ${String(times)}`);
  }
  for (const consumer of of.get('consumers') as Plain[]) {
    const members = new Map(pairs(consumer) as [string, Plain][]);
    const name = `${prefix} consumer ${quote(members.get('name') as string)}`;
    lines.push(`${name} seen ${String(members.get('seen-time'))}`);
    for (const [id] of members.get('pending') as Plain[][]) lines.push(`${name} pending ${String(id)}`);
  }
  return lines;
}
