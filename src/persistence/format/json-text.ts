/**
 * Byte strings as JSON strings, without loss.
 *
 * What is valid UTF-8 is written as that text, with JSON's escapes. Every other byte, which is always 0x80 or above,
 * becomes the lone surrogate U+DC00 plus the byte, escaped: 0xff is "\udcff". Valid UTF-8 never holds surrogates, so
 * this can be undone, and it is legal JSON. It is Python's "surrogateescape":
 * `json.loads(line)["key"].encode("utf-8", "surrogateescape")` gives the bytes back; `jsonTextBytes` does so here.
 */
import { isUtf8 } from 'node:buffer';

/** What a JSON string holds for these bytes: without the quotes and JSON's own escapes. */
export function jsonText(bytes: Buffer): string {
  return isUtf8(bytes) ? bytes.toString('utf8') : mixedText(bytes);
}

/** A JSON string, quotes included. JSON.stringify escapes lone surrogates. */
export function jsonString(bytes: Buffer): string {
  return JSON.stringify(jsonText(bytes));
}

/**
 * Calls `visit` with pieces of a long byte string, none of which cuts a character: what jsonText makes of the pieces
 * is, one behind the other, what it makes of the whole.
 */
export function forEachTextPiece(bytes: Buffer, pieceBytes: number, visit: (piece: Buffer) => void): void {
  for (let begin = 0; begin < bytes.length;) {
    let end = Math.min(begin + pieceBytes, bytes.length);
    if (end < bytes.length) end = characterStart(bytes, end);
    visit(bytes.subarray(begin, end));
    begin = end;
  }
}

/** Where the character begins that the byte at `at` continues; `at` itself when it is none's. */
function characterStart(bytes: Buffer, at: number): number {
  for (let back = 0; back < 4; back++) {
    if (((bytes[at - back] as number) & 0xc0) !== 0x80) return at - back;
  }
  return at;
}

function mixedText(bytes: Buffer): string {
  const parts: string[] = [];
  let begin = 0;
  for (let at = 0; at < bytes.length;) {
    const size = characterSize(bytes, at);
    if (size > 0) {
      at += size;
      continue;
    }
    if (at > begin) parts.push(bytes.toString('utf8', begin, at));
    parts.push(String.fromCharCode(0xdc00 + (bytes[at] as number)));
    begin = ++at;
  }
  parts.push(bytes.toString('utf8', begin));
  return parts.join('');
}

/** Bytes of the UTF-8 character at `at`; 0 when there is none. */
function characterSize(bytes: Buffer, at: number): number {
  const head = bytes[at] as number;
  if (head < 0x80) return 1;
  if (head < 0xc2 || head > 0xf4) return 0;
  const size = head >= 0xf0 ? 4 : head >= 0xe0 ? 3 : 2;
  return at + size <= bytes.length && isUtf8(bytes.subarray(at, at + size)) ? size : 0;
}

/** The bytes that `jsonText` made this text from. */
export function jsonTextBytes(text: string): Buffer {
  const parts: Buffer[] = [];
  let begin = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit >= 0xd800 && unit < 0xdc00) {
      at++; // the first half of a pair, which is a character
    } else if (unit >= 0xdc80 && unit <= 0xdcff) {
      parts.push(Buffer.from(text.slice(begin, at)), Buffer.of(unit - 0xdc00));
      begin = at + 1;
    }
  }
  parts.push(Buffer.from(text.slice(begin)));
  return Buffer.concat(parts);
}
