/**
 * Small tools of the set-up: run programs, look for programs, say what happens, remember what was done.
 *
 * The set-up runs before `npm ci`, so nothing here may import a package. A step that was done leaves a
 * stamp (a hash over what it was made from) inside the folder it made; whoever removes the folder removes
 * the stamp with it, so the two cannot disagree. The hash takes path, size and modification time of
 * each input instead of its content: a check has to cost milliseconds.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync } from 'node:fs';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project's root folder. */
export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** An error whose message is the whole story for the user: printed without a stack. */
export class SetupError extends Error {}

/** Tells the user what the set-up is about to do. On stderr: a server's own output stays alone on stdout. */
export function say(text) {
  process.stderr.write(`[set-up] ${text}\n`);
}

/** Folder of the first `name` on PATH that can be executed, or undefined. */
export function findProgram(name) {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    try {
      if (folder === '') continue;
      accessSync(join(folder, name), constants.X_OK);
      return join(folder, name);
    } catch {
      // Not here; the next folder may have it.
    }
  }
  return undefined;
}

/** Runs a program quietly and gives back exit code and output; never throws for a non-zero exit. */
export function capture(file, args, options = {}) {
  const result = spawnSync(file, args, { encoding: 'utf8', cwd: root, maxBuffer: 1 << 26, ...options });
  return { code: result.status ?? 1, stdout: result.stdout ?? '', stderr: result.stderr ?? String(result.error ?? '') };
}

/**
 * Runs a program with its output shown on stderr; throws SetupError when it fails. Its standard input is
 * closed, so that nothing can stop to ask.
 */
export function run(file, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd: root, stdio: ['ignore', 2, 2], ...options });
    child.once('error', (error) => reject(new SetupError(`${file}: ${error.message}`)));
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new SetupError(`${file} ${args.join(' ')} ended with ${signal ?? `exit code ${code}`}`));
    });
  });
}

/** All files under `folder` for which `keep(name)` holds, sorted; folders named in `skip` are not entered. */
export function listFiles(folder, keep, skip = new Set()) {
  const found = [];
  const visit = (path) => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const full = join(path, entry.name);
      if (entry.isDirectory()) {
        if (!skip.has(entry.name) && !entry.name.startsWith('build')) visit(full);
      } else if (keep(entry.name)) {
        found.push(full);
      }
    }
  };
  if (existsSync(folder)) visit(folder);
  return found.sort();
}

/** Hash over path, size and modification time of `files`, and over the words in `extra`. */
export function fingerprint(files, extra = []) {
  const hash = createHash('sha256');
  for (const word of extra) hash.update(`${word}\n`);
  for (const file of files) {
    const facts = statSync(file, { bigint: true, throwIfNoEntry: false });
    hash.update(`${file} ${facts?.size ?? 'none'} ${facts?.mtimeNs ?? ''}\n`);
  }
  return hash.digest('hex');
}

/** Whether the stamp file holds this fingerprint. */
export function isStamped(stampFile, value) {
  return existsSync(stampFile) && readFileSync(stampFile, 'utf8') === value;
}

/** Writes the stamp. Call only when the step has succeeded. */
export function stamp(stampFile, value) {
  mkdirSync(dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, value);
}
