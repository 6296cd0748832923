/**
 * Byte strings: text in which one character is one byte (Latin-1).
 *
 * Passwords, paths and names in configuration and in commands are arbitrary bytes. Kept as Latin-1 text they can be
 * compared, split and put in Maps, and nothing is lost, as it would be through UTF-8. Pure functions, any thread.
 */

/** Bytes as a byte string. */
export function toByteString(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** The bytes of a byte string. Throws on a character that is not a byte. */
export function toBytes(text: string): Buffer {
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) > 0xff) throw new RangeError('not a byte string');
  }
  return Buffer.from(text, 'latin1');
}

/** What JavaScript took as UTF-8 (an argument of the program, a message of the system) as a byte string. */
export function utf8ToByteString(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}
