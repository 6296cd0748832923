/**
 * Finds functions and their lengths: TypeScript through its own parser, C++ by its layout.
 *
 * C++ is not parsed. In this tree a function's body opens with a brace at the end of a line and closes with a
 * brace alone at the indentation of the line on which the declaration began, and that is enough to measure;
 * what does not keep to the layout is not measured, rather than measured wrongly.
 */
import ts from 'typescript';
import type { SourceFile } from './source.js';

/** A function, its first line (from 1) and its length in lines. */
export interface FunctionFact {
  name: string;
  line: number;
  lines: number;
}

const measured = new WeakMap<SourceFile, FunctionFact[]>();

/** All functions of a file of TypeScript, JavaScript or C++. */
export function functionsOf(file: SourceFile): FunctionFact[] {
  const known = measured.get(file);
  if (known !== undefined) return known;
  const found = /\.(ts|mjs)$/.test(file.path) ? scriptFunctions(file) : cppFunctions(file);
  measured.set(file, found);
  return found;
}

function scriptFunctions(file: SourceFile): FunctionFact[] {
  const tree = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.ES2022, true);
  const found: FunctionFact[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined && !isSuite(node)) {
      const first = tree.getLineAndCharacterOfPosition(node.getStart(tree)).line;
      const last = tree.getLineAndCharacterOfPosition(node.end).line;
      found.push({ name: nameOf(node, tree), line: first + 1, lines: last - first + 1 });
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return found;
}

/** The function given to describe() is a chapter, not a function. */
function isSuite(node: ts.Node): boolean {
  const call = node.parent;
  return ts.isCallExpression(call) && /^describe\b/.test(call.expression.getText());
}

function nameOf(node: ts.SignatureDeclaration, tree: ts.SourceFile): string {
  if (node.name !== undefined) return node.name.getText(tree);
  const holder = node.parent;
  if (ts.isVariableDeclaration(holder) || ts.isPropertyAssignment(holder)) return holder.name.getText(tree);
  return `function at line ${tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1}`;
}

const NO_FUNCTION =
  /^\s*(namespace|class|struct|union|enum|extern|if|for|while|switch|do|else|return|case|using)\b/;

function cppFunctions(file: SourceFile): FunctionFact[] {
  const found: FunctionFact[] = [];
  for (let index = 0; index < file.lines.length; index++) {
    const start = file.lines[index] as string;
    const head = /^((?: {2})*)(?=[A-Za-z~])[^;=(]*?([~\w:]+)\((\w*)/.exec(start);
    if (head === null || NO_FUNCTION.test(start)) continue;
    const indent = head[1] as string;
    const open = findOpening(file.lines, index);
    if (open === undefined) continue;
    const close = file.lines.findIndex((line, at) => at > open && line.startsWith(`${indent}}`));
    if (close < 0) continue;
    found.push({ name: cppName(head), line: index + 1, lines: close - index + 1 });
    index = close;
  }
  return found;
}

/** A function's name; a test's is its macro and its argument. */
function cppName(head: RegExpExecArray): string {
  return head[2] === 'TEST' ? `TEST(${head[3]})` : (head[2] as string);
}

/** The line on which the body of a declaration opens, or undefined when it has none (or a body of one line). */
function findOpening(lines: readonly string[], from: number): number | undefined {
  for (let index = from; index < Math.min(lines.length, from + 12); index++) {
    const line = (lines[index] as string).replace(/\/\/.*$/, '').trimEnd();
    if (line.endsWith('{')) return index;
    if (/[;}\\]$/.test(line) || line === '') return undefined;
  }
  return undefined;
}
