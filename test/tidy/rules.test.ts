/**
 * Tests of the house rules: each is shown something it must accept and something it must find.
 */
import { describe, expect, it } from 'vitest';
import { functionsOf } from './functions.js';
import { checkNativeLayers, checkSrcLayers } from './layers.js';
import * as rules from './rules.js';
import { formatFinding, sourceFile } from './source.js';

/** Lines on which a rule finds something in a file of this path and text. */
function found(rule: rules.Rule, path: string, text: string): number[] {
  return rule(sourceFile(path, text)).map((finding) => finding.line);
}

describe('layers', () => {
  it('let native folders look down, not up or sideways', () => {
    const text = '#include "base/check.h"\n#include "shard/lease.h"\n#include <string>\n';
    expect(found(checkNativeLayers, 'native/net/loop.cc', text)).toEqual([]);
    expect(found(checkNativeLayers, 'native/engine/keyspace.cc', text)).toEqual([2]);
    expect(found(checkNativeLayers, 'native/base/glob.h', '#include "ds/dict.h"\n')).toEqual([1]);
    expect(found(checkNativeLayers, 'native/ring/ring.h', '#include "resp/reply.h"\n')).toEqual([1]);
    expect(found(checkNativeLayers, 'native/net/loop.cc', '#include "ds/hash_table.h"\n')).toEqual([1]);
  });

  it('want includes named from native/, and every folder in the table', () => {
    expect(found(checkNativeLayers, 'native/net/loop.cc', '#include "loop.h"\n')).toEqual([1]);
    expect(found(checkNativeLayers, 'native/net/loop.cc', '#include "../base/check.h"\n')).toEqual([1]);
    expect(found(checkNativeLayers, 'native/novel/x.cc', '')).toEqual([1]);
  });

  it('leave test code free', () => {
    const text = '#include "commands/registry.h"\n';
    expect(found(checkNativeLayers, 'native/base/glob_test.cc', text)).toEqual([]);
    expect(found(checkNativeLayers, 'native/bench/micro.cc', text)).toEqual([]);
    expect(found(checkNativeLayers, 'native/base/glob.cc', text)).toEqual([1]);
  });

  it('hold for imports of src, static, dynamic, and of types', () => {
    const text = ["import { a } from '../util/a.js';", "import type { B } from '../cli/b.js';"].join('\n');
    expect(found(checkSrcLayers, 'src/config/store.ts', text)).toEqual([2]);
    expect(found(checkSrcLayers, 'src/config/store.ts', "await import('../runtime/x.js');")).toEqual([1]);
    expect(found(checkSrcLayers, 'src/cli/main.ts', text)).toEqual([]);
    expect(found(checkSrcLayers, 'src/novel/x.ts', '')).toEqual([1]);
  });

  it('keep the command table free of everything', () => {
    const path = 'src/commands/table/string.ts';
    expect(found(checkSrcLayers, path, "import { x } from './types.js';")).toEqual([]);
    expect(found(checkSrcLayers, path, "import { x } from '../docs.js';")).toEqual([1]);
    expect(found(checkSrcLayers, path, "import { x } from '../../util/a.js';")).toEqual([1]);
  });

  it('notice an import that leaves src', () => {
    expect(found(checkSrcLayers, 'src/cli/main.ts', "import x from '../../test/support/oracle.js';")).toEqual([1]);
  });
});

describe('node and the addon', () => {
  it('are known in their own folders alone', () => {
    expect(found(rules.keepsNapiInAddon, 'native/net/loop.cc', '#include <napi.h>\n')).toEqual([1]);
    expect(found(rules.keepsNapiInAddon, 'native/net/loop.cc', '#include <uv.h>\n')).toEqual([1]);
    expect(found(rules.keepsNapiInAddon, 'native/addon/addon.cc', '#include <napi.h>\n')).toEqual([]);
    const load = "require('./sherd.node');";
    expect(found(rules.keepsAddonLoadingInOnePlace, 'src/runtime/worker.ts', load)).toEqual([1]);
    expect(found(rules.keepsAddonLoadingInOnePlace, 'src/native/addon.ts', load)).toEqual([]);
  });
});

describe('families', () => {
  it('may include their own header, not another family', () => {
    const text = '#include "commands/zset_family.h"\n#include "commands/registry.h"\n';
    expect(found(rules.keepsFamiliesApart, 'native/commands/zset_family.cc', text)).toEqual([]);
    expect(found(rules.keepsFamiliesApart, 'native/commands/string_commands.cc', text)).toEqual([1]);
    expect(found(rules.keepsFamiliesApart, 'native/commands/registry.cc', text)).toEqual([]);
  });
});

describe('headers', () => {
  it('open every file of code', () => {
    expect(found(rules.hasHeader, 'a.cc', '// Why.\n')).toEqual([]);
    expect(found(rules.hasHeader, 'a.ts', '/**\n * Why.\n */\n')).toEqual([]);
    expect(found(rules.hasHeader, 'a.mjs', '#!/usr/bin/env node\n/** Why. */\n')).toEqual([]);
    expect(found(rules.hasHeader, 'a.cc', '#include <x>\n// Why.\n')).toEqual([1]);
    expect(found(rules.hasHeader, 'a.ts', '')).toEqual([1]);
    expect(found(rules.hasHeader, 'a.gen.ts', 'export {};')).toEqual([]);
  });
});

describe('leftovers', () => {
  // Spelled in pieces, or this file would be found.
  const switchedOff = ['describe.on' + "ly('x')", 'it.sk' + "ip('x')", 'test.to' + "do('x')"];
  const leftBehind = ['// FIX' + 'ME: later', 'console.l' + 'og(1);', 'debug' + 'ger;'];
  it.each([...leftBehind, ...switchedOff])('are found: %s', (line) => {
    expect(found(rules.hasNoLeftovers, 'test/a.ts', `const a = 1;\n${line}\n`)).toEqual([2]);
  });

  it('are not seen where there are none', () => {
    const text = "// only this\nit.each([1])('x', () => {});\nconsole.info('printed on purpose');\n";
    expect(found(rules.hasNoLeftovers, 'test/a.ts', text)).toEqual([]);
  });
});

describe('machines and registries', () => {
  it.each(['/wo' + 'rk/main', '"/ro' + 'ot/x"', '/home/' + 'someone/src', 'https://registry.np' + 'mjs.org/x'])(
    'are not named: %s',
    (word) => expect(found(rules.namesNoMachine, 'a.md', `see ${word}`)).toEqual([1]),
  );

  it('are not seen in harmless words', () => {
    expect(found(rules.namesNoMachine, 'a.md', 'usr/share/work/x, native/root/, the npm client')).toEqual([]);
  });
});

describe('code from text', () => {
  it('is found, words that look like it are not', () => {
    expect(found(rules.evaluatesNothing, 'a.ts', 'const f = new Func' + "tion('x');")).toEqual([1]);
    expect(found(rules.evaluatesNothing, 'a.ts', ' ev' + "al('x');")).toEqual([1]);
    expect(found(rules.evaluatesNothing, 'a.ts', "client.eval('x'); medieval('x');")).toEqual([]);
  });
});

describe('sizes', () => {
  it('of files: a thousand lines, generated ones aside', () => {
    expect(found(rules.isReadable, 'a.ts', '\n'.repeat(999))).toEqual([]);
    expect(found(rules.isReadable, 'a.ts', '\n'.repeat(1000))).toEqual([1]);
    expect(found(rules.isReadable, 'a.gen.ts', '\n'.repeat(2000))).toEqual([]);
    expect(found(rules.isSmall, 'a.json', ' '.repeat(262_145))).toEqual([1]);
    expect(found(rules.isSmall, 'test/fixtures/a.json', ' '.repeat(262_145))).toEqual([]);
  });

  it('of functions: seventy lines, known ones at their length', () => {
    const body = '  x();\n'.repeat(69);
    const text = `\nfunction long() {\n${body}}\n`;
    expect(found(rules.hasShortFunctions(new Map()), 'a.ts', text)).toEqual([2]);
    expect(found(rules.hasShortFunctions(new Map([['a.ts long', 71]])), 'a.ts', text)).toEqual([]);
    expect(found(rules.hasShortFunctions(new Map([['a.ts long', 70]])), 'a.ts', text)).toEqual([2]);
  });
});

describe('functions', () => {
  it('are measured in TypeScript, arrows and methods included, describe() left out', () => {
    const text = [
      'const arrow = () => {',
      '  return 1;',
      '};',
      'class A {',
      '  method(): void {}',
      '}',
      "describe('x', () => {",
      '});',
    ].join('\n');
    expect(functionsOf(sourceFile('a.ts', text))).toEqual([
      { name: 'arrow', line: 1, lines: 3 },
      { name: 'method', line: 5, lines: 1 },
    ]);
  });

  it('are measured in C++, members and broken signatures included, control flow left out', () => {
    const text = [
      'namespace sherd {',
      'class A {',
      '  void Short() { x(); }',
      '  int Inline(int a) {',
      '    if (a) {',
      '      return 1;',
      '    }',
      '    return 2;',
      '  }',
      '};',
      'static bool Outer(const A& a,',
      '                  int b) {',
      '  return Call(a) &&',
      '         b;',
      '}',
      'int Declared(int a);',
      'TEST(Name) {',
      '}',
      '}  // namespace sherd',
    ].join('\n');
    expect(functionsOf(sourceFile('a.cc', text))).toEqual([
      { name: 'Inline', line: 4, lines: 6 },
      { name: 'Outer', line: 11, lines: 5 },
      { name: 'TEST(Name)', line: 17, lines: 2 },
    ]);
  });
});

describe('pages', () => {
  it('have one title; a comment in a shell example is none', () => {
    expect(found(rules.hasOneTitle, 'a.md', '# A\n\n```\n# comment\n```\n## B\n')).toEqual([]);
    expect(found(rules.hasOneTitle, 'a.md', '# A\n\n# B\n')).toEqual([3]);
    expect(found(rules.hasOneTitle, 'a.md', 'words\n')).toEqual([1]);
  });
});

describe('formatFinding', () => {
  it('is what editors jump to', () => {
    expect(formatFinding({ path: 'a.ts', line: 3, what: 'no' })).toBe('a.ts:3: no');
  });
});
