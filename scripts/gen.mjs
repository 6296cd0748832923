/**
 * Writes everything that derives from the command table (src/commands/table):
 *
 *   native/command_table/command_ids.inc     the CommandId enum
 *   native/command_table/command_table.inc   specs, key specs and the perfect hash of FindCommand
 *   docs/commands.md                         the reference page
 *
 * `node scripts/gen.mjs` writes the files that changed; `--check` writes nothing and fails when one is stale. The
 * files are committed, so that a native build needs no Node step.
 *
 * The table is TypeScript, which Node 20 cannot load. It is transpiled file by file into a temporary folder, so
 * the generator needs node_modules but no build, and never sees a stale dist/.
 */
import { mkdtempSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';
import { renderDocs } from './gen/docs.mjs';
import { renderIds, renderTable } from './gen/native-table.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Loads src/commands/table as modules: `{ table: index.ts, derive: derive.ts }`. */
async function loadTable() {
  const source = join(root, 'src', 'commands', 'table');
  const folder = mkdtempSync(join(tmpdir(), 'sherd-gen-'));
  try {
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    for (const name of readdirSync(source).filter((file) => file.endsWith('.ts'))) {
      const options = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, verbatimModuleSyntax: true };
      const output = ts.transpileModule(readFileSync(join(source, name), 'utf8'), { compilerOptions: options });
      writeFileSync(join(folder, name.replace(/\.ts$/, '.js')), output.outputText);
    }
    const load = (name) => import(pathToFileURL(join(folder, name)).href);
    return { table: await load('index.js'), derive: await load('derive.js') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Relative path → content of every generated file. */
export async function generate() {
  const { table, derive } = await loadTable();
  return new Map([
    ['native/command_table/command_ids.inc', renderIds(table.ENTRIES)],
    ['native/command_table/command_table.inc', renderTable(table, derive)],
    ['docs/commands.md', renderDocs(table)],
  ]);
}

/** The generated files whose content on disk differs. */
function staleFiles(files) {
  return [...files].filter(([path, content]) => {
    try {
      return readFileSync(join(root, path), 'utf8') !== content;
    } catch (error) {
      if (error.code === 'ENOENT') return true;
      throw error;
    }
  });
}

async function main(isCheck) {
  const stale = staleFiles(await generate());
  for (const [path, content] of stale) {
    if (isCheck) {
      console.error(`stale: ${path} (run npm run gen)`);
      continue;
    }
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
    console.log(`wrote ${path}`);
  }
  if (isCheck && stale.length > 0) process.exitCode = 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.includes('--check'));
