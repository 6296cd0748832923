/**
 * The project's own files, as the house rules see them.
 *
 * The tree is walked and not asked of git, so that the rules hold in an unpacked archive as well; what is built,
 * cached or installed is left out by name.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** One file. */
export interface SourceFile {
  /** Path from the project's root, with slashes. */
  path: string;
  text: string;
  lines: readonly string[];
  /** Size in bytes. */
  size: number;
}

/** Something a rule does not like. */
export interface Finding {
  path: string;
  /** From 1. */
  line: number;
  what: string;
}

const LEFT_OUT = /^(node_modules|dist|build|build-.*|\.git|\.cache)$/;
const TEXT = /\.(ts|mjs|js|cc|h|inc|md|json|jsonl|yml|sh|gyp|pml|txt|conf)$|(^|\/)(run|\.gitignore)$/;

/** Makes a SourceFile out of a path and a text (tests of the rules do so too). */
export function sourceFile(path: string, text: string): SourceFile {
  return { path, text, lines: text.split('\n'), size: Buffer.byteLength(text) };
}

/** Reads all files of the project that hold text. */
export function readProject(root: string): SourceFile[] {
  const files: SourceFile[] = [];
  const visit = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!LEFT_OUT.test(entry.name)) visit(path);
      } else if (TEXT.test(path) && statSync(join(root, path)).isFile()) {
        files.push(sourceFile(path, readFileSync(join(root, path), 'utf8')));
      }
    }
  };
  visit('');
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Whether a file is code that people wrote (and not data or generated). */
export function isCode(file: SourceFile): boolean {
  return /\.(ts|mjs|cc|h|pml)$/.test(file.path) && !isGenerated(file);
}

/** Whether a file is made by a program and never edited. */
export function isGenerated(file: SourceFile): boolean {
  return /\.gen\.ts$|\.inc$/.test(file.path);
}

/** A finding as one line, in the form that editors jump to. */
export function formatFinding(finding: Finding): string {
  return `${finding.path}:${finding.line}: ${finding.what}`;
}
