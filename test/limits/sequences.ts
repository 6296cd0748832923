/**
 * Byte sequences that a server may meet on its port: well-formed, odd, broken, hostile. Each with a name; what is right
 * is what redis-server does.
 */

export type Sequence = [name: string, bytes: string];

/**
 * Sequences after which redis-server drops the connection with all replies that are still unsent. How many were sent
 * depends on how the bytes arrived, so when they are cut only the hang-up is compared.
 */
export const DROPPING: ReadonlySet<string> = new Set(['HTTP GET', 'host: lower case, later in a pipeline']);

const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;

/** A request as RESP array; arguments are Latin-1. */
export const request = (...args: string[]): string => `*${args.length}\r\n${args.map(bulk).join('')}`;

const K64 = 65_536;

export const SEQUENCES: Sequence[] = [
  // ---- Inline ----
  ['inline', 'PING\r\n'],
  ['inline with LF alone', 'PING\n'],
  ['inline with CR alone', 'PING\rPING\r\n'],
  ['blank line', '\r\n'],
  ['blank lines before a command', '\r\n\r\n\nPING\r\n'],
  ['blanks around words', '  PING \t hello  \r\n'],
  ['line of blanks', '    \r\nPING\r\n'],
  ['inline pipeline', 'PING a\r\nPING b\nECHO c\r\n'],
  ['quotes', 'ECHO "b c"\r\n'],
  ['quoted escapes', 'ECHO "\\x41\\n\\r\\t\\b\\a\\"\\\\\\q\\xzz"\r\n'],
  ['single quotes', "ECHO 'it\\'s \\n'\r\n"],
  ['empty quotes', 'ECHO ""\r\n'],
  ['command name in quotes', '"PING"\r\n'],
  ['unbalanced quotes', 'ECHO "b\r\nPING\r\n'],
  ['unbalanced single quotes', "ECHO 'b\r\n"],
  ['text behind closing quotes', 'ECHO "b"c\r\n'],
  ['quotes inside a word', 'ECHO a"b"\r\n'],
  ['NUL in an inline request', 'PI\0NG\r\n'],
  ['NUL behind the name', 'PING\0\r\n'],
  ['bytes above 127', 'ECHO \xff\xfe\r\n'],
  ['high bytes as command', '\xff\xfe\r\n'],
  ['looks like a reply', '+OK\r\nPING\r\n'],
  ['looks like an error', '-ERR x\r\n'],
  ['looks like an integer', ':1\r\n'],
  ['bulk without array', '$4\r\nPING\r\n'],
  ['HTTP GET', 'GET / HTTP/1.1\r\nHost: example\r\n\r\n'],
  ['HTTP POST', 'POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc'],
  ['Host: alone', 'Host: example\r\n'],
  ['host: lower case, later in a pipeline', 'PING\r\nhost: x\r\nPING\r\n'],
  ['POST as array', request('POST', '/')],
  ['inline of 60 KB', `ECHO ${'x'.repeat(60_000)}\r\n`],
  ['inline without end, 64 KB', 'x'.repeat(K64)],
  ['inline without end, 64 KB and one', 'x'.repeat(K64 + 1)],
  // Slightly above 64 KB it depends on the size of reads whether the end is seen in time.
  ['inline far too big, with end', `ECHO ${'x'.repeat(8_000_000)}\r\n`],
  ['many inline words', `MGET ${'a '.repeat(300)}\r\n`],

  // ---- Array header ----
  ['array', request('PING')],
  ['array pipeline', request('PING') + request('ECHO', 'a') + request('PING')],
  ['array, then blank line', `${request('PING')}\r\n${request('PING')}`],
  ['array, then LF', `${request('PING')}\n${request('PING')}`],
  ['array, then inline', `${request('PING')}ECHO b\r\n`],
  ['empty array', '*0\r\nPING\r\n'],
  ['array of -1', '*-1\r\nPING\r\n'],
  ['array of -10', '*-10\r\nPING\r\n'],
  ['array of minus 2^31', '*-2147483648\r\nPING\r\n'],
  ['array without number', '*\r\n'],
  ['array of letters', '*abc\r\n'],
  ['array of 1x', '*1x\r\n$4\r\nPING\r\n'],
  ['array of +1', '*+1\r\n$4\r\nPING\r\n'],
  ['array of 01', '*01\r\n$4\r\nPING\r\n'],
  ['array of blank 1', '* 1\r\n$4\r\nPING\r\n'],
  ['array of 1 blank', '*1 \r\n$4\r\nPING\r\n'],
  ['array of 1.0', '*1.0\r\n$4\r\nPING\r\n'],
  ['array of 2^31-1', '*2147483647\r\n'],
  ['array of 2^31', '*2147483648\r\n'],
  ['array of 2^32+1', '*4294967297\r\n$4\r\nPING\r\n'],
  ['array of 2^63', '*9223372036854775808\r\n'],
  ['array of 2^64+1', '*18446744073709551617\r\n$4\r\nPING\r\n'],
  ['array header with LF alone', '*1\n$4\nPING\n'],
  ['array header with CR and something', '*1\rX$4\r\nPING\r\n'],
  ['array header without end, 64 KB', `*${'1'.repeat(K64)}`],
  ['array header without end, 64 KB and one', `*${'1'.repeat(K64 + 1)}`],
  ['array header NUL', '*\x001\r\n'],
  ['blank line inside an array', '*1\r\n\r\n$4\r\nPING\r\n'],

  // ---- Bulk header ----
  ['integer in place of bulk', '*1\r\n:4\r\n'],
  ['word in place of bulk', '*1\r\nPING\r\n'],
  ['array in place of bulk', '*1\r\n*1\r\n$4\r\nPING\r\n'],
  ['CR in place of bulk', '*1\r\n\rPING\r\n'],
  ['NUL in place of bulk', '*1\r\n\x004\r\nPING\r\n'],
  ['high byte in place of bulk', '*1\r\n\xff\r\n'],
  ['bulk of -1', '*1\r\n$-1\r\n'],
  ['bulk of letters', '*1\r\n$abc\r\nPING\r\n'],
  ['bulk without number', '*1\r\n$\r\n\r\n'],
  ['bulk of +4', '*1\r\n$+4\r\nPING\r\n'],
  ['bulk of 04', '*1\r\n$04\r\nPING\r\n'],
  ['bulk of blank 4', '*1\r\n$ 4\r\nPING\r\n'],
  ['bulk of 512 MB and one', '*1\r\n$536870913\r\n'],
  ['bulk of 2^63', '*1\r\n$9223372036854775808\r\n'],
  ['bulk of 2^64+4', '*1\r\n$18446744073709551620\r\nPING\r\n'],
  ['bulk header with LF alone', '*1\r\n$4\nPING\r\n'],
  ['bulk header without end, 64 KB and one', `*1\r\n$${'1'.repeat(K64 + 1)}`],
  ['second bulk broken', '*2\r\n$4\r\nECHO\r\n!1\r\nx\r\n'],
  ['bulk closed by other bytes', '*1\r\n$4\r\nPINGxxPING\r\n'],
  ['bulk closed by LF and a byte', '*1\r\n$4\r\nPING\n\nPING\r\n'],
  ['bulk too short for its text', '*2\r\n$4\r\nECHO\r\n$1\r\nabc\r\n'],
  ['good, then broken', 'PING\r\n*1\r\n$x\r\nPING\r\n'],
  ['two good, then broken', `${request('PING')}${request('ECHO', 'a')}*z\r\n${request('PING')}`],
  ['empty bulk as name', '*1\r\n$0\r\n\r\n'],
  ['empty bulk as argument', request('ECHO', '')],
  ['binary argument', request('ECHO', '\0\r\n\xff*1\r\n$4')],
  ['half an array', '*2\r\n$4\r\nECHO\r\n$5\r\nab'],
  ['argument of 40 KB', request('ECHO', 'y'.repeat(40_000))],

  // ---- Commands that do not exist, or not so ----
  ['unknown command', request('FOO')],
  ['unknown command with arguments', request('FOO', 'bar', '', 'b z')],
  [
    'unknown command with many arguments',
    request('FOO', ...Array.from({ length: 50 }, (_, index) => `argument${index}`)),
  ],
  ['unknown command with a long argument', request('FOO', 'x'.repeat(300), 'y')],
  [
    'unknown command with 127 and 128 bytes',
    request('FOO', 'x'.repeat(127)) + request('FOO', 'x'.repeat(128)) + request('FOO', 'x'.repeat(129)),
  ],
  ['unknown command with a long name', request('F'.repeat(300), 'a')],
  ['CR LF in the name', request('FOO\r\n+OK', 'a')],
  ['CR LF in the arguments', request('FOO', 'a\r\n+OK\r\n', '\n')],
  ['NUL in the name', request('GET\0', 'a')],
  ['quote in the arguments', request('FOO', "it's", '"')],
  ['unknown subcommand', request('CLIENT', 'FOO', 'bar')],
  ['unknown subcommand with CR LF', request('OBJECT', 'F\r\nOO')],
  ['unknown subcommand, long', request('CONFIG', 'F'.repeat(300))],
  ['unknown subcommand, empty', request('CLIENT', '')],
  ['container alone', request('CLIENT')],
  ['wrong arity', request('GET') + request('GET', 'a', 'b') + request('PING', 'a', 'b') + request('SET', 'a')],
  ['wrong arity of subcommand', request('CLIENT', 'GETNAME', 'x') + request('OBJECT', 'ENCODING')],
  ['wrong arity in random case', request('gEt') + request('cLiEnT', 'sEtNaMe')],

  // ---- Names that could break a line ----
  ['client name with blank', request('CLIENT', 'SETNAME', 'a b') + request('CLIENT', 'GETNAME')],
  ['client name with newline', request('CLIENT', 'SETNAME', 'a\r\nb') + request('CLIENT', 'GETNAME')],
  ['client name with high bytes', request('CLIENT', 'SETNAME', 'caf\xe9') + request('CLIENT', 'GETNAME')],
  ['client name with tilde and exclamation mark', request('CLIENT', 'SETNAME', '!~') + request('CLIENT', 'GETNAME')],
  [
    'client name emptied',
    request('CLIENT', 'SETNAME', 'x') + request('CLIENT', 'SETNAME', '') + request('CLIENT', 'GETNAME'),
  ],
  ['HELLO with broken name', request('HELLO', '3', 'SETNAME', 'a b') + request('PING')],
  ['error text with CR LF from an argument', request('EXPIRE', 'k', '1', 'F\r\n+OO')],
  ['CONFIG SET with CR LF in the name', request('CONFIG', 'SET', 'no\r\nsuch', 'x')],
  ['DEBUG with CR LF', request('DEBUG', 'x\r\ny')],

  // ---- Ends ----
  ['QUIT', 'QUIT\r\nPING\r\n'],
  ['QUIT as array', request('PING') + request('quit') + request('PING')],
  ['QUIT with arguments', request('QUIT', 'x') + request('PING')],
  ['CLIENT REPLY OFF, then an error', request('CLIENT', 'REPLY', 'OFF') + request('FOO') + request('PING')],
  ['CLIENT REPLY OFF, then broken bytes', `${request('CLIENT', 'REPLY', 'OFF')}*x\r\n`],
  ['CLIENT REPLY SKIP', request('CLIENT', 'REPLY', 'SKIP') + request('PING', 'a') + request('PING', 'b')],
  ['RESET', request('CLIENT', 'SETNAME', 'n') + request('RESET') + request('CLIENT', 'GETNAME')],
  ['HELLO 3, null, error', request('HELLO', '3', 'FOO') + request('GET', 'nosuchkey')],
];

/** Sequences for a server with `requirepass secret`. */
export const UNAUTHENTICATED_SEQUENCES: Sequence[] = [
  ['PING', request('PING')],
  ['GET', request('GET', 'a')],
  ['unknown command', request('FOO', 'bar')],
  ['wrong arity', request('GET')],
  ['ten arguments', request('MGET', ...'abcdefghi')],
  ['eleven arguments', request('MGET', ...'abcdefghij')],
  ['eleven claimed', '*11\r\n'],
  ['bulk of 16384', request('ECHO', 'x'.repeat(16_384))],
  ['bulk of 16385', request('ECHO', 'x'.repeat(16_385))],
  ['bulk of 16385 claimed', '*2\r\n$16385\r\n'],
  ['inline with eleven words', 'MGET a b c d e f g h i j\r\n'],
  ['inline of 20 KB', `ECHO ${'x'.repeat(20_000)}\r\n`],
  ['wrong password', request('AUTH', 'wrong') + request('PING')],
  ['wrong user', request('AUTH', 'nobody', 'secret')],
  ['AUTH with three arguments', request('AUTH', 'a', 'b', 'c')],
  ['AUTH', request('AUTH', 'secret') + request('PING')],
  ['AUTH default', request('AUTH', 'default', 'secret') + request('PING')],
  ['AUTH, then eleven arguments', request('AUTH', 'secret') + request('MGET', ...'abcdefghij')],
  ['AUTH, then a big bulk', request('AUTH', 'secret') + request('ECHO', 'x'.repeat(16_385))],
  ['wrong AUTH, then eleven arguments', request('AUTH', 'wrong') + request('MGET', ...'abcdefghij')],
  ['AUTH, RESET, GET', request('AUTH', 'secret') + request('RESET') + request('GET', 'a')],
  ['AUTH, RESET, eleven arguments', request('AUTH', 'secret') + request('RESET') + request('MGET', ...'abcdefghij')],
  ['HELLO', request('HELLO')],
  ['HELLO 3', request('HELLO', '3')],
  ['HELLO 3 with a wrong password', request('HELLO', '3', 'AUTH', 'default', 'wrong') + request('GET', 'a')],
  ['HELLO 9 with the password', request('HELLO', '9', 'AUTH', 'default', 'secret') + request('GET', 'a')],
  ['HELLO without protocol but AUTH', request('HELLO', 'AUTH', 'default', 'secret')],
  ['QUIT', request('QUIT')],
  ['RESET', request('RESET') + request('PING')],
  ['CLIENT', request('CLIENT', 'GETNAME')],
  ['broken bytes', '*1\r\n$x\r\n'],
];
