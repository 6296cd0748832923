/**
 * INFO: which sections are asked for, and how they are printed. What is in them is info-sections.ts's matter.
 *
 * The rules of Redis 7.2: no argument is `default`; `all` and `everything` are all (they differ by what loaded modules add);
 * sections come in the fixed order of SECTIONS whatever the order asked, each once; an unknown name is silently
 * left out. Main thread.
 */
import { SECTIONS } from './info-sections.js';
import type { InfoSource } from './info-sections.js';

/** Sections that `INFO` alone leaves out. */
const NOT_DEFAULT = new Set(['commandstats', 'latencystats', 'sentinel']);

/** The text of INFO for the sections named (byte strings, any letter case). */
export function infoText(source: InfoSource, names: readonly string[]): string {
  const wanted = wantedSections(names);
  const parts: string[] = [];
  for (const section of SECTIONS) {
    if (!wanted.has(section.name)) continue;
    const lines = section.fields(source).map(([field, value]) => `${field}:${value}\r\n`);
    parts.push(`# ${section.title}\r\n${lines.join('')}`);
  }
  return parts.join('\r\n');
}

function wantedSections(names: readonly string[]): Set<string> {
  const wanted = new Set<string>();
  for (const raw of names.length === 0 ? ['default'] : names) {
    const name = raw.toLowerCase();
    const isWhole = name === 'everything' || name === 'all' || name === 'default';
    if (!isWhole) wanted.add(name);
    for (const section of isWhole ? SECTIONS : []) {
      if (name === 'default' && NOT_DEFAULT.has(section.name)) continue;
      wanted.add(section.name);
    }
  }
  return wanted;
}
