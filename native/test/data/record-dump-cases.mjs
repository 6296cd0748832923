// Records the values of DUMP payloads of every encoding, as test data.
//
//   node record-dump-cases.mjs <port> > dump_cases.inc
//
// The server must be an empty throw-away redis-server 7.0 that was started with --enable-debug-command yes:
// its options are changed and all its keys are deleted. Version and checksum are cut off: they follow from
// the rest. Values are kept small, with the thresholds lowered, since what counts is the form. The order of
// a table's elements and the times in streams are what they happen to be.
import net from 'node:net';

const socket = net.connect(Number(process.argv[2]), '127.0.0.1');
let received = '';
let wake = () => {};
socket.setEncoding('latin1').on('data', (chunk) => { received += chunk; wake(); });

/** One reply's text: all that is asked for here are bulk strings; of arrays only the first line is wanted. */
async function command(...args) {
  const parts = args.map((a) => `$${String(a).length}\r\n${a}\r\n`).join('');
  // ECHO marks the end, whatever the reply was.
  socket.write(Buffer.from(`*${args.length}\r\n${parts}*2\r\n$4\r\nECHO\r\n$9\r\nend-mark!\r\n`, 'latin1'));
  const mark = '$9\r\nend-mark!\r\n';
  while (!received.endsWith(mark)) await new Promise((resolve) => { wake = resolve; });
  const reply = received.slice(0, -mark.length);
  received = '';
  if (reply.startsWith('-')) throw new Error(`${args.join(' ')}: ${reply}`);
  return reply.startsWith('$') ? reply.slice(reply.indexOf('\r\n') + 2, -2) : reply;
}

const FOOTER_SIZE = 10;

/** Runs the commands on an empty server and prints the value of the key k. */
async function record(name, ...commands) {
  await command('FLUSHALL');
  for (const args of commands) await command(...args);
  const payload = await command('DUMP', 'k');
  const hex = Buffer.from(payload.slice(0, -FOOTER_SIZE), 'latin1').toString('hex');
  process.stdout.write(`{"${name}"sv, "${hex}"sv},\n`);
}

const set = (name, value) => command('CONFIG', 'SET', name, value);
const count = (size, make) => Array.from({ length: size }, (_, index) => make(index));

async function strings() {
  for (const text of ['12', '-3000', '70000', '9223372036854775807', 'hello', '']) {
    await record(`SET k '${text}'`, ['SET', 'k', text]);
  }
  await record('SET k (60 different characters)', ['SET', 'k', count(60, (i) => String.fromCharCode(48 + i)).join('')]);
  await record('SET k (300 times x): LZF', ['SET', 'k', 'x'.repeat(300)]);
  await record('PFADD k 1 2 3: LZF', ['PFADD', 'k', 1, 2, 3]);
}

async function lists() {
  await record('RPUSH k a 1 -5000 (70 times b) 4611686018427387904', ['RPUSH', 'k', 'a', 1, -5000, 'b'.repeat(70), '4611686018427387904']);
  await set('list-max-listpack-size', 3);
  await record('list-max-listpack-size 3: RPUSH k 0 to 10', ['RPUSH', 'k', ...count(11, (i) => i)]);
  await record('RPUSH k (12 long elements): nodes in LZF', ['RPUSH', 'k', ...count(12, (i) => `element number ${i}`)]);
  await set('list-max-listpack-size', -2);
  await command('DEBUG', 'QUICKLIST-PACKED-THRESHOLD', '50b');
  await record('DEBUG QUICKLIST-PACKED-THRESHOLD 50b: plain nodes', ['RPUSH', 'k', 'a', '0123456789'.repeat(6), 'c', 'z'.repeat(60), 'd']);
  await command('DEBUG', 'QUICKLIST-PACKED-THRESHOLD', '0');
}

async function sets() {
  await record('SADD k 1 2 -3 100: intset of 16 bits', ['SADD', 'k', 1, 2, -3, 100]);
  await record('SADD k 1 70000: intset of 32 bits', ['SADD', 'k', 1, 70000]);
  await record('SADD k 1 4611686018427387904: intset of 64 bits', ['SADD', 'k', 1, '4611686018427387904']);
  await record('SADD k a bb 7 (30 times c): table', ['SADD', 'k', 'a', 'bb', 7, 'c'.repeat(30)]);
  await record('SADD k (40 members): table', ['SADD', 'k', ...count(40, (i) => `member:${i}`)]);
}

async function hashes() {
  const hash = ['HSET', 'k', 'a', 1, 'b', 'two', 33, 'c'.repeat(30), '', '-70000'];
  await record('HSET k a 1 b two 33 (30 times c) (empty) -70000', hash);
  await record('HSET k f0 1000 to f19 1019', ['HSET', 'k', ...count(20, (i) => [`f${i}`, 1000 + i]).flat()]);
  await set('hash-max-listpack-entries', 2);
  await record('hash-max-listpack-entries 2: the first again: table', hash);
  await set('hash-max-listpack-entries', 128);
}

async function sortedSets() {
  const zset = ['ZADD', 'k', '-inf', 'low', '-2.5', 'b', 0, 'zero', 0, 'also', 1, 'one', '3.25', 'c', '1e300', 'huge', 'inf', 'high'];
  await record(zset.join(' '), zset);
  await set('zset-max-listpack-entries', 2);
  await record('zset-max-listpack-entries 2: the same: skiplist', zset);
  await set('zset-max-listpack-entries', 128);
}

async function streams() {
  await record('XADD k 1-1 a 1 b 2; 1-2 a 3 b 4; 2-0 c x', ['XADD', 'k', '1-1', 'a', 1, 'b', 2], ['XADD', 'k', '1-2', 'a', 3, 'b', 4], ['XADD', 'k', '2-0', 'c', 'x']);
  const entries = count(8, (i) => ['XADD', 'k', `${i + 1}-${(i + 1) % 3}`, 'field', i + 1, 'other', `v${i + 1}`]);
  const deletions = ['XDEL', 'k', '2-2', '5-2', '8-2'];
  await set('stream-node-max-entries', 3);
  await record('stream-node-max-entries 3: 8 entries in 3 nodes, 3 of them deleted', ...entries, deletions);
  await record(
    'the same with 2 groups, 3 consumers and pending entries', ...entries,
    ['XGROUP', 'CREATE', 'k', 'g', 0], ['XGROUP', 'CREATE', 'k', 'empty', '$'],
    ['XREADGROUP', 'GROUP', 'g', 'alice', 'COUNT', 2, 'STREAMS', 'k', '>'],
    ['XREADGROUP', 'GROUP', 'g', 'bob', 'COUNT', 3, 'STREAMS', 'k', '>'],
    ['XGROUP', 'CREATECONSUMER', 'k', 'g', 'idle'], ['XACK', 'k', 'g', '3-0'], deletions,
  );
  await set('stream-node-max-entries', 100);
  await record('XADD k 1-1 a b; XDEL k 1-1: no entries', ['XADD', 'k', '1-1', 'a', 'b'], ['XDEL', 'k', '1-1']);
}

process.stdout.write('// Recorded by record-dump-cases.mjs from redis-server 7.0; do not edit.\n');
process.stdout.write('// {how the key was made, type byte and value in hexadecimal digits}\n');
for (const topic of [strings, lists, sets, hashes, sortedSets, streams]) await topic();
socket.end();
