/**
 * JsonWriter: JSON written piece by piece, so that a value of any size needs no memory.
 *
 * The caller keeps the order right (begin, name, value, end); the writer puts commas, and line breaks when it is to be
 * pretty. Numbers are written exactly: bigints in full, doubles in their shortest form; what JSON has no number for
 * (infinities, nan) is a string.
 */
import { forEachTextPiece, jsonString } from './json-text.js';
import { formatDouble } from './text-numbers.js';

/** Where the text goes. */
export type TextSink = (text: string) => void;

const INDENT = '  ';
/** Longer strings are written in pieces: as one JavaScript string they could be too long. */
const PIECE_BYTES = 1024 * 1024;

export class JsonWriter {
  /** For each open bracket, whether something is in it. */
  private readonly open: boolean[] = [];
  private isNamed = false;

  constructor(
    private readonly sink: TextSink,
    private readonly isPretty = false,
  ) {}

  begin(bracket: '{' | '['): void {
    this.separate();
    this.sink(bracket);
    this.open.push(false);
  }

  end(bracket: '}' | ']'): void {
    const wasUsed = this.open.pop() === true;
    if (wasUsed) this.breakLine();
    this.sink(bracket);
  }

  name(name: string | Buffer): void {
    this.separate();
    if (typeof name === 'string') this.sink(JSON.stringify(name));
    else this.quoted(name);
    this.sink(this.isPretty ? ': ' : ':');
    this.isNamed = true;
  }

  string(value: string | Buffer): void {
    this.separate();
    if (typeof value === 'string') this.sink(JSON.stringify(value));
    else this.quoted(value);
  }

  number(value: number | bigint): void {
    this.separate();
    if (typeof value === 'bigint') this.sink(value.toString());
    else this.sink(Number.isFinite(value) ? formatDouble(value) : `"${formatDouble(value)}"`);
  }

  null(): void {
    this.separate();
    this.sink('null');
  }

  /** Ends one document. */
  newLine(): void {
    this.sink('\n');
  }

  private quoted(bytes: Buffer): void {
    if (bytes.length <= PIECE_BYTES) return this.sink(jsonString(bytes));
    this.sink('"');
    forEachTextPiece(bytes, PIECE_BYTES, (piece) => this.sink(jsonString(piece).slice(1, -1)));
    this.sink('"');
  }

  private separate(): void {
    if (this.isNamed) {
      this.isNamed = false;
      return;
    }
    const last = this.open.length - 1;
    if (last < 0) return;
    if (this.open[last] === true) this.sink(',');
    this.open[last] = true;
    this.breakLine();
  }

  private breakLine(): void {
    if (this.isPretty) this.sink(`\n${INDENT.repeat(this.open.length)}`);
  }
}
