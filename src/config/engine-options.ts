/**
 * The values of options as the native engine takes them: numbers, except where text is all there is.
 *
 * Main thread. Pure, apart from the call into the addon.
 */
import { assertPresent } from '../util/assert.js';
import type { NativeAddon } from '../native/addon.js';
import type { ConfigStore } from './config-store.js';
import { numberValue } from './option.js';
import type { OptionRow } from './option.js';
import { findOption, ENGINE_OPTIONS } from './option-table.js';
import { eventClassBits } from './special-options.js';

/** Order of the policies inside the engine (native/engine/options.h), which is not that of Redis's error text. */
const POLICY_ORDER = [
  'noeviction',
  'allkeys-lru',
  'allkeys-lfu',
  'allkeys-random',
  'volatile-lru',
  'volatile-lfu',
  'volatile-random',
  'volatile-ttl',
];

/** Text of options is a byte string: the addon must read it as Latin-1. */
export function engineValue(row: OptionRow, text: string): number | bigint | string {
  if (row.name === 'maxmemory-policy') return POLICY_ORDER.indexOf(text);
  if (row.name === 'notify-keyspace-events') return eventClassBits(text);
  switch (row.kind.type) {
    case 'bool':
      return text === 'yes' ? 1 : 0;
    case 'enum':
      return row.kind.words.indexOf(text);
    case 'number': {
      const value = numberValue(row, text);
      return value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER)
        ? Number(value)
        : value;
    }
    case 'string':
    case 'special':
      return text;
  }
}

/** Hands every engine option to a fresh engine. */
export function applyAllToEngine(addon: NativeAddon, engine: number, store: ConfigStore): void {
  for (const name of ENGINE_OPTIONS) {
    const row = assertPresent(findOption(name), name);
    addon.setOption(engine, name, engineValue(row, store.valueOf(row)));
  }
}
