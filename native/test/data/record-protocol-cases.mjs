// Records how a redis-server answers raw bytes, as test data for the request parser.
//
//   node record-protocol-cases.mjs <port> > protocol_cases.inc
//
// The server must be an empty throw-away one on the loopback interface: `requirepass` is switched on and
// off. Every case is sent on a fresh connection; what comes back until the server closes or falls silent
// is the expected reply. Commands are chosen so that the reply shows the arguments as they were parsed
// (ECHO, or an unknown command, which Redis quotes back).
import net from 'node:net';

const port = Number(process.argv[2]);
const SILENCE_MS = 120;

/** A case: `prefix`, then `fill` repeated, then (after a pause) `suffix`. */
const cases = [];
const add = (name, prefix, more = {}) =>
  cases.push({ name, prefix, fill: 'a', count: 0, suffix: '', auth: true, ...more });
const bulk = (...args) => `*${args.length}\r\n${args.map((a) => `$${a.length}\r\n${a}\r\n`).join('')}`;

add('echo', bulk('ECHO', 'hello'));
add('pipeline', bulk('ECHO', 'a') + bulk('ECHO', 'b') + bulk('ECHO', ''));
add('binary bulk', bulk('ECHO', '\x00\r\n\xff$*'));
add('bulk end is not looked at', '*2\r\n$4\r\nECHOxy$1\r\nazz' + bulk('ECHO', 'next'));
add('line feed behind CR is not looked at', '*2\rx$4\ryECHO\r\n$1\r\nq\r\n' + bulk('ECHO', 'next'));
for (const count of ['0', '-1', '-10', '-9223372036854775808']) {
  add(`array of ${count} is nothing`, `*${count}\r\n` + bulk('ECHO', 'next'));
}
for (const count of ['', '+1', ' 1', '1 ', '01', '00', '-0', '--1', 'x', '1x', '2147483648', '9223372036854775808',
  '99999999999999999999', '1\n', '-', '1000000000000']) {
  add(`array count '${count}'`, `*${count}\r\n` + bulk('ECHO', 'next'));
}
add('array count 2147483647 waits', '*2147483647\r\n$4\r\nECHO\r\n');
for (const length of ['', '-1', '+4', ' 4', '04', '-0', 'x', '4x', '536870913', '9223372036854775808', '4294967300']) {
  add(`bulk length '${length}'`, `*2\r\n$${length}\r\nECHO\r\n$1\r\na\r\n`);
}
add('bulk length 536870912 waits', '*2\r\n$4\r\nECHO\r\n$536870912\r\nabc');
add('bulk length 00', '*2\r\n$4\r\nECHO\r\n$00\r\n\r\n');
for (const c of ['x', '*', '+', ':', ' ', '\r', '\n', '4', "'", '\xe9', '\x01']) {
  add(`not a bulk but ${JSON.stringify(c)}`, `*2\r\n$4\r\nECHO\r\n${c}1\r\na\r\n`);
}
add('zero byte in place of a bulk waits', '*2\r\n$4\r\nECHO\r\n\x001\r\na\r\n');
add('zero byte in the array header waits', '*\x002\r\n$4\r\nECHO\r\n$1\r\na\r\n');
add('zero byte in the bulk header waits', '*2\r\n$4\x00\r\nECHO\r\n$1\r\na\r\n');
add('wrong byte without a line end waits', '*2\r\n$4\r\nECHO\r\nx');
add('wrong byte with CR only waits', '*2\r\n$4\r\nECHO\r\nx\r');
add('bulk of 12345 bytes', '*2\r\n$4\r\nECHO\r\n$12345\r\n', { count: 12345, suffix: '\r\n' + bulk('ECHO', 'b') });

// Inline commands.
add('inline CRLF', 'ECHO hello\r\n');
add('inline LF', 'ECHO hello\nECHO next\n');
add('inline then array', 'ECHO inline\r\n' + bulk('ECHO', 'array') + 'ECHO inline\n');
add('blank lines', '\r\n\n\r\n  \r\n\t\n' + bulk('ECHO', 'a') + '\r\n' + bulk('ECHO', 'b'));
add('inline many blanks', '  ECHO \t  hello   \r\n');
add('inline VT and FF', '\v\fECHO \v\fa\vb\fc\r\n');
add('inline CR inside', 'ECHO a\rb\r\n');
add('inline two CR', 'ECHO a\r\r\n');
add('inline zero byte waits', 'ECHO a\x00b\r\n');
add('inline high bytes', 'ECHO \xff\x80\r\n');
add('inline double quotes', 'ECHO "a b"\r\nECHO ""\r\n"ECHO" x\r\n');
add('inline escapes', 'ECHO "\\n\\r\\t\\b\\a\\x41\\xfF\\x4g\\q\\\\\\""\r\n');
add('inline hex cut short', 'ECHO "\\x4"\r\nECHO "\\x"\r\n');
add('inline single quotes', "ECHO 'a b'\r\nECHO 'it\\'s'\r\nECHO 'a\\nb'\r\nECHO '\"'\r\n");
add('inline quote in a word', 'ECHO a"b c"\r\nECHO a\'b c\'\r\n');
add('inline quote closed and glued', 'ECHO "a"b\r\n');
add('inline single quote closed and glued', "ECHO 'a'b\r\n");
add('inline two quoted words glued', 'ECHO "a""b"\r\n');
add('inline unbalanced double', 'ECHO "a b\r\n');
add('inline unbalanced single', "ECHO 'a b\r\n");
add('inline unbalanced by backslash', 'ECHO "a\\"\r\n');
add('inline single ends with backslash', "ECHO 'a\\\r\n");
add('inline double ends with backslash', 'ECHO "a\\\r\n');
add('inline quoted VT behind', 'ECHO "a"\v"b"\r\n');
add('inline $', '$4\r\n');
add('inline unknown', 'foo "b c" \'d\' e\r\n');
add('inline 65536 bytes', 'ECHO ', { count: 65536 - 5, suffix: '\nECHO b\n' });
add('inline 65537 bytes', 'ECHO ', { count: 65537 - 5, suffix: '\nECHO b\n' });
add('inline without end', '', { count: 65537 });
add('inline without end, shorter waits', '', { count: 65536 });
add('array header without end', '*', { fill: '1', count: 65536 });
add('array header without end, shorter waits', '*', { fill: '1', count: 65535 });
add('array header of 65536 bytes', '*', { fill: '1', count: 65535, suffix: '\r\n' });
add('bulk header without end', '*1\r\n$', { fill: '1', count: 65536 });
add('bulk header without end, shorter waits', '*1\r\n$', { fill: '1', count: 65535 });
add('bulk header of 65536 bytes', '*1\r\n$', { fill: '1', count: 65535, suffix: '\r\n' });

// Before AUTH.
const anonymous = { auth: false };
add('anonymous command', bulk('ECHO', 'a'), anonymous);
add('anonymous 10 arguments', bulk(...'abcdefghij'), anonymous);
add('anonymous 11 arguments', bulk(...'abcdefghijk'), anonymous);
add('anonymous invalid count wins', '*2147483648\r\n', anonymous);
add('anonymous bulk of 16384', '*2\r\n$4\r\nECHO\r\n$16384\r\n', { count: 16384, suffix: '\r\n', ...anonymous });
add('anonymous bulk of 16385', '*2\r\n$4\r\nECHO\r\n$16385\r\n', anonymous);
add('anonymous invalid length wins', '*2\r\n$4\r\nECHO\r\n$536870913\r\n', anonymous);
add('anonymous inline', 'ECHO a b c d e f g h i j k l\r\n', anonymous);

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function exchange(test) {
  const socket = net.connect(port, '127.0.0.1');
  const chunks = [];
  let isClosed = false;
  let lastMs = Date.now();
  socket.on('data', (chunk) => { chunks.push(chunk); lastMs = Date.now(); });
  socket.on('close', () => { isClosed = true; });
  socket.on('error', () => { isClosed = true; });
  socket.write(Buffer.from(test.prefix + test.fill.repeat(test.count), 'latin1'));
  if (test.suffix !== '') {
    await sleep(SILENCE_MS);
    if (!isClosed) socket.write(Buffer.from(test.suffix, 'latin1'));
    lastMs = Date.now();
  }
  while (!isClosed && Date.now() - lastMs < SILENCE_MS) await sleep(10);
  socket.destroy();
  return { reply: Buffer.concat(chunks).toString('latin1'), isClosed };
}

const command = (...args) => exchange({ prefix: bulk(...args), fill: '', count: 0, suffix: '' });

// Octal escapes end after three digits whatever follows; '?' is escaped against trigraphs.
const literal = (text) => `"${[...text].map((c) => {
  const code = c.charCodeAt(0);
  return code >= 32 && code < 127 && c !== '"' && c !== '\\' && c !== '?'
    ? c : `\\${code.toString(8).padStart(3, '0')}`;
}).join('')}"sv`;

// Long replies are a run of the fill byte again: tell only head, length and tail.
function squeezed(text, fill) {
  const run = fill.repeat(1000);
  const start = text.indexOf(run);
  if (start < 0) return `${literal(text)}, 0, ""sv`;
  let end = start;
  while (text[end] === fill) end++;
  return `${literal(text.slice(0, start))}, ${end - start}, ${literal(text.slice(end))}`;
}

console.log('// Recorded by record-protocol-cases.mjs from redis-server; do not edit.');
console.log('// {name, authenticated, prefix, fill, fill count, suffix, closes, reply head, fill count, reply tail}');
for (const test of cases) {
  await command('CONFIG', 'SET', 'requirepass', test.auth ? '' : 'secret');
  const { reply, isClosed } = await exchange(test);
  if (!test.auth) {
    await exchange({ prefix: bulk('AUTH', 'secret') + bulk('CONFIG', 'SET', 'requirepass', ''), fill: '', count: 0, suffix: '' });
  }
  console.log(`{${literal(test.name)}, ${test.auth}, ${literal(test.prefix)}, ${literal(test.fill).slice(0, -2).replaceAll('"', "'")}, ` +
    `${test.count}, ${literal(test.suffix)}, ${isClosed}, ${squeezed(reply, test.fill)}},`);
}
