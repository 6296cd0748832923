/**
 * What is on the disk when the power fails: replays the records of disk-shim.c and builds the states that may be
 * found afterwards.
 *
 * What a file system owes is what POSIX says: the bytes of a file when an fsync that began behind them has ended; a name
 * (made, renamed, removed) when an fsync of its directory has. Everything else may be there or not, in any mixture:
 *
 *   synced   nothing but what was synced
 *   written  all of it, as after a kill
 *   prefix   changes of names up to a moment, and of each file its unsynced changes up to one, the last of them in part
 *   mixed    any changes of names, and of each file any pages of its unsynced writes; pages left out are holes of
 *            zeros where later ones are there
 *
 * A rename is one change: never both names gone. Names are relative to the root.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import type { Prng } from '../../differential/prng.js';

export const enum Kind {
  open = 1,
  write,
  syncBegin,
  syncEnd,
  rename,
  unlink,
  truncate,
  makeDirectory,
  send,
}

export interface DiskRecord {
  kind: Kind;
  id: number;
  atMs: number;
  /** Offset, size or ticket. */
  offset: number;
  path: string;
  /** What was written or sent; of a rename the new name. */
  data: Buffer;
}

const HEAD_BYTES = 40;
const PAGE_BYTES = 4096;

/** Reads a log; paths become relative to `root`. */
export function readDiskLog(path: string, root: string): DiskRecord[] {
  const bytes = readFileSync(path);
  const records: DiskRecord[] = [];
  for (let at = 0; at + HEAD_BYTES <= bytes.length; ) {
    const pathLength = bytes.readUInt32LE(at + 4);
    const length = Number(bytes.readBigUInt64LE(at + 32));
    const dataAt = at + HEAD_BYTES + pathLength;
    const kind = bytes.readUInt32LE(at) as Kind;
    const name = bytes.toString('latin1', at + HEAD_BYTES, dataAt);
    const data = bytes.subarray(dataAt, dataAt + length);
    records.push({
      kind,
      id: Number(bytes.readBigUInt64LE(at + 8)),
      atMs: Number(bytes.readBigUInt64LE(at + 16)) / 1e6,
      offset: Number(bytes.readBigUInt64LE(at + 24)),
      path: name === '' ? '' : relative(root, name),
      data: kind === Kind.rename ? Buffer.from(relative(root, data.toString('latin1')), 'latin1') : data,
    });
    at = dataAt + length;
  }
  return records;
}

/** A change of a file's bytes that is not synced yet. */
interface Change {
  order: number;
  /** Undefined: the size becomes `offset`. */
  data: Buffer | undefined;
  offset: number;
}

/** A change of names that is not synced yet. */
interface NameChange {
  order: number;
  directory: string;
  apply: (names: Map<string, FileState>, directories: Set<string>) => void;
}

/** Bytes that grow. */
class Content {
  private bytes: Buffer;
  size: number;

  constructor(from?: Content) {
    this.bytes = from === undefined ? Buffer.alloc(0) : Buffer.from(from.all());
    this.size = this.bytes.length;
  }

  all(): Buffer {
    return this.bytes.subarray(0, this.size);
  }

  apply({ data, offset }: Omit<Change, 'order'>): void {
    const end = data === undefined ? offset : Math.max(this.size, offset + data.length);
    if (end > this.bytes.length) {
      const grown = Buffer.alloc(Math.max(end, this.bytes.length * 2));
      this.all().copy(grown);
      this.bytes = grown;
    }
    if (end < this.size) this.bytes.fill(0, end, this.size);
    this.size = end;
    data?.copy(this.bytes, offset);
  }
}

interface FileState {
  durable: Content;
  pending: Change[];
}

export type Variant = 'synced' | 'written' | 'prefix' | 'mixed';
export const VARIANTS: readonly Variant[] = ['synced', 'written', 'prefix', 'mixed'];

/** The disk, record by record. */
export class DiskModel {
  /** By inode; numbers are given again when a file is gone, so names point to files, not to numbers. */
  private readonly files = new Map<number, FileState>();
  private readonly durableNames = new Map<string, FileState>();
  private readonly durableDirectories = new Set<string>(['', '.']);
  private pendingNames: NameChange[] = [];
  private readonly syncs = new Map<number, { id: number; path: string; order: number }>();
  private order = 0;

  apply({ kind, id, offset, path, data }: DiskRecord): void {
    const order = ++this.order;
    switch (kind) {
      case Kind.open: {
        const file = { durable: new Content(), pending: [] };
        this.files.set(id, file);
        return this.changeNames(order, path, (names) => names.set(path, file));
      }
      case Kind.write:
        return void this.file(id).pending.push({ order, data, offset });
      case Kind.truncate:
        return void this.file(id).pending.push({ order, data: undefined, offset });
      case Kind.rename:
        return this.rename(order, path, data.toString('latin1'));
      case Kind.unlink:
        return this.changeNames(order, path, (names) => names.delete(path));
      case Kind.makeDirectory:
        return this.changeNames(order, path, (_, directories) => directories.add(path));
      case Kind.syncBegin:
        return void this.syncs.set(offset, { id, path, order });
      case Kind.syncEnd:
        return this.endSync(offset);
      case Kind.send:
    }
  }

  private file(id: number): FileState {
    const file = this.files.get(id);
    if (file === undefined) throw new Error(`file ${id} was never opened`);
    return file;
  }

  private rename(order: number, from: string, to: string): void {
    this.changeNames(order, to, (names) => {
      const file = names.get(from);
      // The name that it had may not have come to the disk.
      if (file === undefined) return;
      names.delete(from);
      names.set(to, file);
    });
  }

  private changeNames(order: number, path: string, apply: NameChange['apply']): void {
    const directory = dirname(path);
    this.pendingNames.push({ order, directory: directory === '.' ? '' : directory, apply });
  }

  private endSync(ticket: number): void {
    const sync = this.syncs.get(ticket);
    if (sync === undefined) throw new Error(`a sync ended that had not begun: ${ticket}`);
    const file = this.files.get(sync.id);
    if (file !== undefined) {
      const isCovered = ({ order }: Change): boolean => order < sync.order;
      for (const change of file.pending.filter(isCovered)) file.durable.apply(change);
      file.pending = file.pending.filter((change) => !isCovered(change));
      return;
    }
    const isCovered = ({ order, directory }: NameChange): boolean => order < sync.order && directory === sync.path;
    for (const change of this.pendingNames.filter(isCovered)) change.apply(this.durableNames, this.durableDirectories);
    this.pendingNames = this.pendingNames.filter((change) => !isCovered(change));
  }

  /** Writes a state that may be found now into an empty folder. */
  write(dir: string, variant: Variant, prng: Prng): void {
    const names = new Map(this.durableNames);
    const directories = new Set(this.durableDirectories);
    for (const change of this.chosenNames(variant, prng)) change.apply(names, directories);
    for (const directory of directories) mkdirSync(join(dir, directory), { recursive: true });
    for (const [name, file] of names) {
      const parent = dirname(name);
      if (!directories.has(parent === '.' ? '' : parent)) continue;
      writeFileSync(join(dir, name), this.contentOf(file, variant, prng));
    }
  }

  private chosenNames(variant: Variant, prng: Prng): NameChange[] {
    const pending = this.pendingNames;
    switch (variant) {
      case 'synced':
        return [];
      case 'written':
        return pending;
      case 'prefix':
        return pending.slice(0, prng.between(0, pending.length));
      case 'mixed':
        return pending.filter(() => prng.chance(0.5));
    }
  }

  private contentOf(file: FileState, variant: Variant, prng: Prng): Buffer {
    if (variant === 'synced' || file.pending.length === 0) return file.durable.all();
    const content = new Content(file.durable);
    const changes = variant === 'written' ? file.pending : chosenChanges(file.pending, variant, prng);
    for (const change of changes) content.apply(change);
    return content.all();
  }
}

function chosenChanges(pending: readonly Change[], variant: Variant, prng: Prng): Change[] {
  if (variant === 'mixed') return pending.flatMap(pagesOf).filter(() => prng.chance(0.5));
  const count = prng.between(0, pending.length);
  const next = pending[count];
  const whole = pending.slice(0, count);
  if (next?.data === undefined) return whole;
  return [...whole, { ...next, data: next.data.subarray(0, prng.below(next.data.length + 1)) }];
}

/** A change in the pieces that may come to the disk apart from each other. */
function pagesOf(change: Change): Change[] {
  const { data, offset } = change;
  if (data === undefined) return [change];
  const pieces: Change[] = [];
  for (let at = 0; at < data.length; ) {
    const end = Math.min(data.length, at + PAGE_BYTES - ((offset + at) % PAGE_BYTES));
    pieces.push({ ...change, data: data.subarray(at, end), offset: offset + at });
    at = end;
  }
  return pieces;
}
