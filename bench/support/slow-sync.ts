/** Builds slow-sync.c and tells servers to use it: a disk on which every sync takes some milliseconds longer. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../test/support/project.js';

const SOURCE = join(projectRoot, 'bench', 'support', 'slow-sync.c');

/** The library, until it is closed. */
export class SlowSync {
  private readonly folder = mkdtempSync(join(tmpdir(), 'bench-slow-sync-'));
  private readonly library = join(this.folder, 'slow-sync.so');

  constructor() {
    execFileSync('cc', ['-shared', '-fPIC', '-O2', '-o', this.library, SOURCE, '-ldl']);
  }

  /** The environment of a server whose syncs take so much longer; with 0 the disk is as it is, without the library. */
  env(delayMs: number): NodeJS.ProcessEnv {
    // Syncs are calls that can be seen, not requests to the kernel's ring.
    if (delayMs === 0) return {};
    return { LD_PRELOAD: this.library, SHERD_SYNC_MS: String(delayMs), UV_USE_IO_URING: '0' };
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
