/**
 * Makes changed options take effect while the server runs (CONFIG SET), by the option's `appliedBy`. Main thread.
 */
import { clampHz } from '../config/config-file.js';
import { systemErrorText } from '../config/config-file.js';
import type { Applier, ConfigStore } from '../config/config-store.js';
import { engineValue } from '../config/engine-options.js';
import type { OptionRow } from '../config/option.js';
import type { NativeAddon } from '../native/addon.js';
import type { Logger, LogLevel } from '../observability/logger.js';
import { toBytes } from '../util/bytes.js';
import { assertNever } from '../util/assert.js';
import { maxClientsPossible } from './descriptors.js';

export interface ApplierParts {
  addon: NativeAddon;
  engine: number;
  config: ConfigStore;
  logger: Logger;
  /** Closes all listeners and binds them anew; false when one failed. */
  relisten: () => boolean;
  updateTitle: () => void;
  /** An option of persistence has another value. */
  persistenceChanged: (name: string) => void;
}

export function createApplier(parts: ApplierParts): Applier {
  return (row, value) => applyOption(parts, row, value);
}

function applyOption(parts: ApplierParts, row: OptionRow, value: string): string | undefined {
  switch (row.appliedBy) {
    case 'engine':
      return applyToEngine(parts, row);
    case 'logger':
      parts.logger.setLevel(value as LogLevel);
      return undefined;
    case 'listeners':
      if (parts.relisten()) return undefined;
      return row.name === 'port'
        ? 'Unable to listen on this port. Check server logs.'
        : 'Failed to bind to specified addresses.';
    case 'title':
      parts.updateTitle();
      return undefined;
    case 'directory':
      return enterDirectory(parts.config, value);
    case 'persistence':
      parts.persistenceChanged(row.name);
      return undefined;
    case 'nobody':
      return warnUseless(parts, row, value);
    case 'read':
    case 'start':
      return undefined;
    default:
      return assertNever(row.appliedBy);
  }
}

function applyToEngine({ addon, engine, config, logger }: ApplierParts, row: OptionRow): string | undefined {
  if (row.name === 'hz') clampHz(config);
  if (row.name === 'maxclients') {
    const possible = maxClientsPossible();
    if (config.number('maxclients') > possible) {
      return `The operating system is not able to handle the specified number of clients, try with ${possible}`;
    }
  }
  addon.setOption(engine, row.name, engineValue(row, config.valueOf(row)));
  if (row.notHonoured !== undefined && !config.isDefault(row)) {
    logger.log('warning', uselessText(row));
  }
  return undefined;
}

/** Changes the working directory; the option then holds the path that the system reports. */
function enterDirectory(config: ConfigStore, path: string): string | undefined {
  try {
    process.chdir(toBytes(path).toString('utf8'));
  } catch (error) {
    return systemErrorText(error);
  }
  config.overwrite('dir', Buffer.from(process.cwd(), 'utf8').toString('latin1'));
  return undefined;
}

function warnUseless({ config, logger }: ApplierParts, row: OptionRow, value: string): string | undefined {
  if (row.name === 'tls-port' && value !== '0') return 'Unable to update TLS configuration. Check server logs.';
  if (!config.isDefault(row)) logger.log('warning', uselessText(row));
  return undefined;
}

/** What an administrator must know who sets an option that does nothing. */
export function uselessText(row: OptionRow): string {
  return `WARNING option '${row.name}' is accepted but has no effect: ${row.notHonoured ?? ''}`;
}
