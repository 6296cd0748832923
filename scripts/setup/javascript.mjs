/**
 * The JavaScript half of the set-up: packages by `npm ci`, and the TypeScript build.
 *
 * Whether node_modules is right is read from npm's own record in it (node_modules/.package-lock.json) and not
 * from a stamp, so a tree that someone installed by hand counts as done.
 */
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fingerprint, isStamped, listFiles, root, run, say, stamp } from './shell.mjs';

/** Whether every package of the lock file is installed in the locked version. */
function packagesInstalled() {
  const record = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const installed = new Map(Object.entries(JSON.parse(readFileSync(record, 'utf8')).packages));
  return Object.entries(wanted).every(([path, row]) => {
    if (path === '' || row.optional === true || row.peer === true) return true;
    return installed.get(path)?.version === row.version;
  });
}

/** Installs the locked packages. */
export async function installNodePackages() {
  if (packagesInstalled()) return;
  say('installing node packages (npm ci)');
  // The compiler is a development dependency, and a production NODE_ENV would leave it out.
  await run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund']);
}

/** Removes compiled files whose source has gone: node would go on loading them. */
function removeOrphans(outDir, sourceDir) {
  for (const file of listFiles(outDir, (name) => /\.(js|d\.ts|js\.map)$/.test(name))) {
    const stem = file.slice(outDir.length).replace(/\.(js|d\.ts|js\.map)$/, '');
    if (!existsSync(join(sourceDir, `${stem}.ts`))) rmSync(file);
  }
}

/** One tsc project: where its configuration is, what it reads, where it writes. */
async function compile(title, config, sources, outDir) {
  const inputs = sources.flatMap((folder) => listFiles(join(root, folder), (name) => name.endsWith('.ts')));
  const settings = [config, 'tsconfig.json', 'package-lock.json'].map((name) => join(root, name));
  const value = fingerprint([...inputs, ...settings]);
  const stampFile = join(root, outDir, '.stamp');
  if (inputs.length === 0 || isStamped(stampFile, value)) return;
  say(`compiling ${title}`);
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const incremental = ['--incremental', '--tsBuildInfoFile', join(root, outDir, '.tsbuildinfo')];
  await run(process.execPath, [tsc, '-p', join(root, config), ...incremental]);
  stamp(stampFile, value);
}

/** Compiles src into dist. */
export async function buildTypeScript() {
  const out = join(root, 'dist');
  // tsc trusts its build info about files that were removed by hand; a dist without programs starts afresh.
  if (existsSync(out) && !hasPrograms(out)) rmSync(out, { recursive: true, force: true });
  await compile('TypeScript (src → dist)', 'tsconfig.json', ['src'], 'dist');
  if (existsSync(out)) removeOrphans(out, join(root, 'src'));
}

function hasPrograms(folder) {
  return readdirSync(folder).some((name) => statSync(join(folder, name)).isDirectory());
}

/** Compiles the tools (benchmarks, soak) and the test support they use into build/tools. */
export async function buildTools() {
  const sources = ['bench', 'test/differential', 'test/persistence', 'test/proofs', 'test/scripts', 'test/support', 'src'];
  await compile('benchmarks and soak', 'bench/tsconfig.json', sources, 'build/tools');
}
