// Records which texts a redis-server takes as numbers and what its glob patterns match, as test data.
//
//   node record-value-cases.mjs <port> numbers > number_cases.inc
//   node record-value-cases.mjs <port> globs > glob_cases.inc
//
// The server must be an empty throw-away one (7.0: it prints doubles with %.17g): keys are written and
// all are deleted. The random cases come from a fixed seed, so a second recording gives the same file.
import net from 'node:net';

const port = Number(process.argv[2]);
const socket = net.connect(port, '127.0.0.1');
let received = Buffer.alloc(0);
let wake = () => {};
socket.on('data', (chunk) => { received = Buffer.concat([received, chunk]); wake(); });

/** Parses one RESP2 reply at `at`; undefined when incomplete. Errors become {error}. */
function parse(at) {
  const end = received.indexOf('\r\n', at);
  if (end < 0) return undefined;
  const line = received.toString('latin1', at + 1, end);
  const type = String.fromCharCode(received[at]);
  if (type === '-') return { value: { error: line }, next: end + 2 };
  if (type === '+' || type === ':') return { value: line, next: end + 2 };
  const size = Number(line);
  if (type === '$') {
    if (size < 0) return { value: null, next: end + 2 };
    if (received.length < end + 2 + size + 2) return undefined;
    return { value: received.toString('latin1', end + 2, end + 2 + size), next: end + 4 + size };
  }
  const items = [];
  let next = end + 2;
  for (let i = 0; i < size; i++) {
    const item = parse(next);
    if (item === undefined) return undefined;
    items.push(item.value);
    next = item.next;
  }
  return { value: items, next };
}

async function command(...args) {
  const parts = args.map((a) => `$${a.length}\r\n${a}\r\n`).join('');
  socket.write(Buffer.from(`*${args.length}\r\n${parts}`, 'latin1'));
  for (;;) {
    const reply = received.length > 0 ? parse(0) : undefined;
    if (reply !== undefined) {
      received = received.subarray(reply.next);
      return reply.value;
    }
    await new Promise((resolve) => { wake = resolve; });
  }
}

const literal = (text) => `"${[...text].map((c) => {
  const code = c.charCodeAt(0);
  return code >= 32 && code < 127 && c !== '"' && c !== '\\' && c !== '?'
    ? c : `\\${code.toString(8).padStart(3, '0')}`;
}).join('')}"sv`;

// A linear congruential generator is random enough to vary texts, and is the same everywhere.
let state = 12345n;
const below = (n) => {
  state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
  return Number((state >> 33n) % BigInt(n));
};
const pick = (choices) => choices[below(choices.length)];
const randomText = (alphabet, longest) => Array.from({ length: 1 + below(longest) }, () => pick(alphabet)).join('');

async function recordNumbers() {
  const texts = ['', '0', '-0', '+0', '00', '-', '+', '1', '-1', '+1', '01', '-01', ' 1', '1 ', '\t1', '1\n', '1\x00', '\x001',
    '9223372036854775807', '9223372036854775808', '-9223372036854775807', '-9223372036854775808', '-9223372036854775809',
    '18446744073709551615', '18446744073709551616', '99999999999999999999', '-99999999999999999999',
    '100000000000000000000', '000000000000000000001', '0x10', '0X1f', '-0x1p4', '0x', '0x1.8', '0x1p', '1e5', '1E5', '1e', '1e+', '1e-5',
    '.5', '5.', '.', '-.5', '+.5', '..', '1.5.', '1,5', 'inf', '-inf', '+inf', 'INF', 'Infinity', '-infinity', 'infinit', 'infinityx',
    'nan', '-nan', 'NaN', 'nan(1)', 'nan()', '1e308', '1e309', '-1e309', '1.7976931348623157e308', '1.7976931348623159e308', '1e-307', '1e-308',
    '2.2250738585072014e-308', '2.2250738585072011e-308', '1e-320', '5e-324', '4e-324', '2e-324', '1e-400', '-1e-400', '0e-400', '0.0',
    '-0.0', '1e4932', '1e4933', '-1e4933', '1e-4950', '1e-5000', '3.0', '3.14', '1e17', '1e22', '1e23', '123456789012345678',
    '0.1', '0.2', '0.30000000000000004', '1e-17', '1e-18', '5e-18', '4.9e-18', '-1e-18', '1e-7', '123456.789', '1_000', '1f', '1d', '1L', 'e5', 'p5', '0b1', '１'.normalize(),
    '0'.repeat(300) + '1', '1' + '0'.repeat(250), '1' + '0'.repeat(300), '1' + '0'.repeat(310), '1' + '0'.repeat(4900), '0.' + '0'.repeat(5000) + '1', '1'.repeat(5119), '1'.repeat(5120), '0'.repeat(5119), '0'.repeat(5120)]
    .map((text) => Buffer.from(text).toString('latin1'));
  for (let i = 0; i < 120; i++) texts.push(randomText('0123456789', 21).replace(/^/, pick(['', '-', ''])));
  for (let i = 0; i < 120; i++) texts.push(randomText('00123456789..e-+', 12));
  for (let i = 0; i < 60; i++) texts.push(`${pick(['', '-'])}${below(1e9)}.${below(1e9)}e${below(640) - 320}`);
  console.log('// {text, INCRBY 0 text or "", ZADD score as %.17g or "", INCRBYFLOAT 0 text or ""}');
  for (const text of texts) {
    await command('DEL', 'n', 'f', 'z');
    const integer = await command('INCRBY', 'n', text);
    await command('ZADD', 'z', text, 'm');
    const score = await command('ZSCORE', 'z', 'm');
    // From -0 the sum keeps the sign of a zero; the error for an infinite sum says that the text was taken.
    const long = await command('INCRBYFLOAT', 'f', text);
    const longText = long.error === undefined ? long : long.error.includes('NaN or Infinity') ? 'infinite' : '';
    console.log(`{${literal(text)}, ${literal(integer.error === undefined ? integer : '')}, ${literal(score ?? '')}, ${literal(longText)}},`);
  }
}

async function recordGlobs() {
  const texts = ['', 'a', 'b', 'A', 'ab', 'ba', 'aa', 'abc', 'aXc', 'a*c', 'a?c', 'a[c', 'a]c', 'a\\c', 'a-c', 'a^c', '[', ']', '\\', '^', '-', '*', '?',
    'aaaa', 'aaab', 'abab', 'abba', '\xff', '\x80', 'a\xff', '\xfe\x01', '\x00', 'a\x00b', 'hello', 'hallo', 'hxllo', 'hllo', 'heeeello', '[abc', 'abc]'];
  const patterns = ['', '**', '?', '??', 'a*', '*a', '*a*', 'a*b', 'a*b*', 'h?llo', 'h*llo', 'h[ae]llo', 'h[^e]llo', 'h[a-b]llo', '[', '[^', '[]', '[^]', '[a', '[^a', '[a-', '[a-]',
    '[a-b', '[-a]', '[a-b-c]', '[z-a]', '[]a]', '[^]a]', '[\\]]', '[\\]', '[\\', '[a\\-b]', '[\\a-b]', '\\', '\\\\', '\\*', 'a\\*c', 'a\\', '\\a', '[*]', '[?]', '[[]', 'a[[]c', '[\x80-\xff]', '[a-\xff]', '[\xff-a]', '[^\xff]',
    '[\x00-b]', '[!a]', 'a**b', 'a*?b', 'a?*b', '*?', '?*', '*\\', '*[', 'a*a*a*a*b', '[a]*[b]', '*[^a]', '[^-]', '[^^]', '[a^]', '\x00', '*\x00*', '[\x00]'];
  for (let i = 0; i < 500; i++) patterns.push(randomText('aabc**??[]^-\\\xff\x80l', 8));
  console.log('#ifdef GLOB_TEXTS');
  for (const text of texts) {
    await command('SET', text, '');
    console.log(`${literal(text)},`);
  }
  console.log('#endif\n#ifdef GLOB_CASES');
  for (const pattern of patterns) {
    if (pattern === '*') continue;
    const matched = new Set(await command('KEYS', pattern));
    console.log(`{${literal(pattern)}, "${texts.map((text) => (matched.has(text) ? '1' : '0')).join('')}"},`);
  }
  console.log('#endif');
  // COMMAND LIST is where a pattern ignores case and the texts are known.
  const names = ['get', 'set', 'getex', 'getdel', 'mget', 'zadd', 'exists', 'expire', 'del', 'type', 'hset', 'lset'];
  const words = ['GET*', '*SET', 'g[A-E]t', 'g[a-Z]t', 'G?T*', '[^G]*t', '[\\G]et', '\\GET', '*[P-S]*E', 'z[A-d]DD', 'Z[D-a]dD', '[Z-g]et', '[z-G]ET', '[^z-G]*', '[\x80-z]et', '[\xff-Z]et', '[Z-\xff]ET', '[^A-Z]*', '*E*E*', 'dE[L-l]'];
  console.log('#ifdef GLOB_NAMES');
  for (const name of names) console.log(`${literal(name)},`);
  console.log('#endif\n#ifdef GLOB_NOCASE_CASES');
  for (const pattern of words) {
    const matched = new Set(await command('COMMAND', 'LIST', 'FILTERBY', 'PATTERN', pattern));
    console.log(`{${literal(pattern)}, "${names.map((name) => (matched.has(name) ? '1' : '0')).join('')}"},`);
  }
  console.log('#endif');
}

console.log('// Recorded by record-value-cases.mjs from redis-server; do not edit.');
await command('FLUSHALL');
await (process.argv[3] === 'numbers' ? recordNumbers() : recordGlobs());
await command('FLUSHALL');
socket.destroy();
