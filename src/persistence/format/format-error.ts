/**
 * The one error of the format readers: bytes of a file that are not what the format says.
 *
 * It always tells where (`offset`, from the beginning of the file, behind the last thing that was read whole) and
 * why. `isTruncated` parts "the bytes end too early" from "the bytes are wrong": tools word them differently, and a
 * cut file is the harmless case. Pure data, any thread; `toPlain` and `fromPlain` carry it between threads.
 */

/** A FormatError as data, for messages between threads. */
export interface PlainFormatError {
  reason: string;
  offset: number;
  isTruncated: boolean;
}

export class FormatError extends Error {
  readonly code = 'SHERD_FORMAT';
  readonly reason: string;
  readonly offset: number;
  readonly isTruncated: boolean;

  constructor(reason: string, offset: number, isTruncated = false) {
    super(`at offset ${offset}: ${reason}`);
    this.name = 'FormatError';
    this.reason = reason;
    this.offset = offset;
    this.isTruncated = isTruncated;
  }

  toPlain(): PlainFormatError {
    return { reason: this.reason, offset: this.offset, isTruncated: this.isTruncated };
  }

  static fromPlain(plain: PlainFormatError): FormatError {
    return new FormatError(plain.reason, plain.offset, plain.isTruncated);
  }
}

/**
 * Bytes inside one string of the file (a listpack, a compressed string …) are wrong. Whoever read the string turns
 * it into a FormatError, since only the reader of the file knows the offset.
 */
export class PackError extends Error {
  readonly code = 'SHERD_PACK';

  constructor(reason: string) {
    super(reason);
    this.name = 'PackError';
  }
}
