/** Builds disk-shim.c and tells a server to use it: a log of all it does to its folder, and a disk that fails. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../support/project.js';
import type { ProofFolder } from './folder.js';

const SOURCE = join(projectRoot, 'test', 'persistence', 'proofs', 'disk-shim.c');
const FAULTS = 4;
const SPACE = 3;

/** What the disk answers from now on. */
export interface DiskFault {
  /** Error of writes, syncs, and of what changes directories; 'none' when left out. */
  write?: 'ENOSPC' | 'EIO';
  sync?: 'ENOSPC' | 'EIO';
  names?: 'ENOSPC' | 'EIO';
  /** No write is longer than this: writes end short. */
  bytesMax?: number;
}

const numberOf = (name: 'ENOSPC' | 'EIO' | undefined): number => (name === undefined ? 0 : constants.errno[name]);

/** The shim for one server that lives in `root`. */
export class DiskShim {
  readonly logPath: string;
  readonly env: NodeJS.ProcessEnv;
  private readonly faults: number;

  constructor(folder: ProofFolder, root: string, hasLog: boolean) {
    const library = folder.path('disk-shim.so');
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, SOURCE, '-ldl', '-pthread']);
    this.logPath = folder.path('disk.log');
    const faultPath = folder.path('disk-faults');
    this.faults = openSync(faultPath, 'w+');
    this.set({});
    this.env = {
      LD_PRELOAD: library,
      SHERD_DISK_ROOT: root,
      SHERD_DISK_FAULTS: faultPath,
      // Files are written by calls that can be seen.
      UV_USE_IO_URING: '0',
      ...(hasLog ? { SHERD_DISK_LOG: this.logPath } : {}),
    };
  }

  /** From the next call on. */
  set({ write, sync, names, bytesMax = -1 }: DiskFault): void {
    const words = Buffer.alloc(FAULTS * 8);
    for (const [at, name] of [write, sync, names].entries()) words.writeBigInt64LE(BigInt(numberOf(name)), at * 8);
    words.writeBigInt64LE(BigInt(bytesMax), SPACE * 8);
    writeSync(this.faults, words, 0, words.length, 0);
  }

  close(): void {
    closeSync(this.faults);
  }
}
