/**
 * Splitting a line into arguments, and writing an argument back, by the quoting rules of redis.conf.
 *
 * Double quotes know \xHH \n \r \t \b \a and take any other escaped character as itself; single quotes know only \'.
 * A closing quote must be followed by white space or the end. The text is a byte string (Latin-1: one character is
 * one byte), so that no byte is lost on the way. Pure functions, any thread.
 */

const SPACE = /[ \t\n\v\f\r]/;
const ESCAPES = new Map([['n', '\n'], ['r', '\r'], ['t', '\t'], ['b', '\b'], ['a', '\x07']]);

interface Scan {
  text: string;
  index: number;
}

/** Arguments of a line, or undefined when quotes are unbalanced. */
export function splitArgs(line: string): string[] | undefined {
  const scan: Scan = { text: line, index: 0 };
  const args: string[] = [];
  for (;;) {
    while (scan.index < line.length && SPACE.test(line.charAt(scan.index))) scan.index++;
    if (scan.index >= line.length) return args;
    const arg = scanArgument(scan);
    if (arg === undefined) return undefined;
    args.push(arg);
  }
}

function scanArgument(scan: Scan): string | undefined {
  let arg = '';
  while (scan.index < scan.text.length) {
    const char = scan.text.charAt(scan.index);
    if (char === '"' || char === "'") {
      scan.index++;
      const quoted = char === '"' ? scanDoubleQuoted(scan) : scanSingleQuoted(scan);
      if (quoted === undefined) return undefined;
      const next = scan.text.charAt(scan.index);
      if (next !== '' && !SPACE.test(next)) return undefined;
      return arg + quoted;
    }
    if (char === ' ' || char === '\n' || char === '\r' || char === '\t' || char === '\0') return arg;
    arg += char;
    scan.index++;
  }
  return arg;
}

/** Leaves `index` behind the closing quote. */
function scanDoubleQuoted(scan: Scan): string | undefined {
  let value = '';
  while (scan.index < scan.text.length) {
    const char = scan.text.charAt(scan.index++);
    if (char === '"') return value;
    if (char !== '\\' || scan.index >= scan.text.length) {
      value += char;
      continue;
    }
    const hex = /^x([0-9a-f]{2})/i.exec(scan.text.slice(scan.index, scan.index + 3));
    if (hex) {
      value += String.fromCharCode(parseInt(hex[1] as string, 16));
      scan.index += 3;
      continue;
    }
    const escaped = scan.text.charAt(scan.index++);
    value += ESCAPES.get(escaped) ?? escaped;
  }
  return undefined;
}

function scanSingleQuoted(scan: Scan): string | undefined {
  let value = '';
  while (scan.index < scan.text.length) {
    const char = scan.text.charAt(scan.index++);
    if (char === "'") return value;
    if (char === '\\' && scan.text.charAt(scan.index) === "'") {
      value += "'";
      scan.index++;
      continue;
    }
    value += char;
  }
  return undefined;
}

/** The argument in double quotes; `splitArgs` gives it back unchanged. */
export function quoteArg(arg: string): string {
  let quoted = '"';
  for (const char of arg) quoted += quoteChar(char);
  return `${quoted}"`;
}

function quoteChar(char: string): string {
  switch (char) {
    case '\\':
    case '"':
      return `\\${char}`;
    case '\n':
      return '\\n';
    case '\r':
      return '\\r';
    case '\t':
      return '\\t';
    case '\x07':
      return '\\a';
    case '\b':
      return '\\b';
  }
  const code = char.charCodeAt(0);
  return code >= 0x20 && code < 0x7f ? char : `\\x${code.toString(16).padStart(2, '0')}`;
}
