/**
 * Loads files into the dataset, with Redis's lines in the log: an RDB file, or the files of an AOF in their order.
 *
 * The native half reads and executes; this says which file may end too early, cuts off what the load has left out,
 * and remembers where the journal may go on. Whether clients are refused meanwhile is the caller's matter.
 *
 * Main thread.
 */
import type { LoadAofResult, LoadResult } from '../native/persistence.js';
import type { PersistenceParts } from './parts.js';

/** Where the journal goes on in a file that was loaded. */
export interface JournalPoint {
  offset: bigint;
  crc: bigint;
}

export interface AofFile {
  /** Absolute. */
  path: string;
  isBase: boolean;
}

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

export class DatasetLoader {
  /** Of the last RDB file or preamble. */
  keysLoaded = 0n;
  keysExpired = 0n;

  constructor(private readonly parts: PersistenceParts) {}

  /** Loads an RDB file; rejects with the reason. */
  async loadRdb(path: string, replacesKeys = false): Promise<void> {
    const { addon, engine, settings } = this.parts;
    const verifiesChecksum = settings.isOn('rdbchecksum');
    const result = await addon.loadRdb(engine, { path, verifiesChecksum, replacesKeys });
    this.tell(result);
  }

  /** Redis's lines about an RDB that has been read. */
  private tell({ aux, keysLoaded, keysExpired }: LoadResult): void {
    const { log, now } = this.parts;
    const fields = new Map(aux);
    const version = fields.get('redis-ver');
    const createdSec = Number(fields.get('ctime') ?? NaN);
    const usedBytes = Number(fields.get('used-mem') ?? NaN);
    if (version !== undefined) log('notice', `Loading RDB produced by version ${version}`);
    if (Number.isFinite(createdSec)) {
      log('notice', `RDB age ${Math.max(Math.floor(now() / 1000) - createdSec, 0)} seconds`);
    }
    if (Number.isFinite(usedBytes)) {
      log('notice', `RDB memory usage when created ${(usedBytes / (1024 * 1024)).toFixed(2)} Mb`);
    }
    log('notice', `Done loading RDB, keys loaded: ${keysLoaded}, keys expired: ${keysExpired}.`);
    this.keysLoaded = keysLoaded;
    this.keysExpired = keysExpired;
  }

  /**
   * Loads the files of an AOF, in order, and syncs them. Only the last one that is not empty may end too early (and
   * only with aof-load-truncated); it is cut where the load ended. Rejects with the reason.
   */
  async loadAof(files: readonly AofFile[]): Promise<Map<string, JournalPoint>> {
    const { addon, engine, log, now } = this.parts;
    const sizes = await this.sizesOf(files);
    addon.setLoading(engine, true, [...sizes.values()].reduce((sum, size) => sum + size, 0n));
    const last = files.findLastIndex(({ path }) => sizes.get(path) !== 0n);
    const points = new Map<string, JournalPoint>();
    const beganAtMs = now();
    for (const [index, { path, isBase }] of files.entries()) {
      if (sizes.get(path) === 0n) continue;
      const fileBeganAtMs = now();
      points.set(path, await this.loadAofFile(path, index === last));
      const kind = isBase ? 'base' : 'incr';
      log('notice', `DB loaded from ${kind} file ${baseName(path)}: ${secondsBetween(fileBeganAtMs, now())} seconds`);
    }
    if (points.size > 0) {
      log('notice', `DB loaded from append only file: ${secondsBetween(beganAtMs, now())} seconds`);
    }
    return points;
  }

  private async sizesOf(files: readonly AofFile[]): Promise<Map<string, bigint>> {
    const sizes = new Map<string, bigint>();
    for (const { path } of files) {
      const size = await this.parts.files.size(path);
      if (size === undefined) {
        const reason = 'No such file or directory';
        throw new Error(`Unable to obtain the AOF file ${baseName(path)} length. stat: ${reason}`);
      }
      sizes.set(path, size);
    }
    return sizes;
  }

  private async loadAofFile(path: string, isLast: boolean): Promise<JournalPoint> {
    const { addon, engine, files, settings } = this.parts;
    const mayBeTorn = isLast && settings.isOn('aof-load-truncated');
    const result = await addon.loadAof(engine, { path, mayBeTorn, verifiesChecksum: settings.isOn('rdbchecksum') });
    if (result.rdbVersion > 0) this.tell(result);
    if (result.validBytes < result.fileBytes) await this.cut(path, result);
    await files.sync(path);
    return { offset: result.validBytes, crc: result.crc };
  }

  private async cut(path: string, { validBytes }: LoadAofResult): Promise<void> {
    const { files, log } = this.parts;
    const name = baseName(path);
    log('warning', `!!! Warning: short read while loading the AOF file ${name}!!!`);
    log('warning', `!!! Truncating the AOF ${name} at offset ${validBytes} !!!`);
    await files.truncate(path, validBytes);
    log('warning', `AOF ${name} loaded anyway because aof-load-truncated is enabled`);
  }
}

/** As `%.3f`. */
export function secondsBetween(fromMs: number, toMs: number): string {
  return ((toMs - fromMs) / 1000).toFixed(3);
}
