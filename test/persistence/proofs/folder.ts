/** A folder that outlives servers, and the files of an AOF in it. */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

const MANIFEST = join('appendonlydir', 'appendonly.aof.manifest');

/** Where syncs cost nothing, for proofs that start thousands of times and lose no power. */
const MEMORY = '/dev/shm';

export class ProofFolder {
  readonly dir: string;

  constructor(isInMemory = false) {
    this.dir = mkdtempSync(join(isInMemory && existsSync(MEMORY) ? MEMORY : tmpdir(), 'sherd-proof-'));
    process.on('exit', () => this.remove());
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  forget(name: string): void {
    rmSync(this.path(name), { recursive: true, force: true });
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** The files that the manifest names as base or incremental, in the order of loading. */
export function journalFiles(dir: string): string[] {
  const manifest = join(dir, MANIFEST);
  if (!existsSync(manifest)) return [];
  const lines = readFileSync(manifest, 'latin1').split('\n');
  const names = lines.flatMap((line) => /^file (\S+) seq \d+ type [bi]/.exec(line)?.[1] ?? []);
  return names.map((name) => join(dir, 'appendonlydir', name));
}

/** Copies an AOF of a running server into `target`: the manifest, and what it names. Nobody else asks for rewrites. */
export function copyJournal(dir: string, target: string): void {
  const to = join(target, 'appendonlydir');
  mkdirSync(to, { recursive: true });
  const files = journalFiles(dir);
  for (const file of [join(dir, MANIFEST), ...files]) copyFileSync(file, join(to, basename(file)));
}
