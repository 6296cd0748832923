/**
 * Listening: the addresses of `bind`, `port` and `unixsocket`, with Redis's rules for what may fail.
 *
 * An address with a minus sign in front may be unavailable. An address family or address that the machine does not
 * have is left out as long as another one could be bound; anything else (a port in use) is fatal. Main thread.
 */
import { rmSync } from 'node:fs';
import type { ConfigStore } from '../config/config-store.js';
import { systemErrorText } from '../config/config-file.js';
import type { NativeAddon } from '../native/addon.js';
import { toBytes } from '../util/bytes.js';
import type { Logger } from '../observability/logger.js';

/** Errors that mean that the machine has no such address, not that something is wrong with it. */
const ABSENT = new Set(['EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EPROTONOSUPPORT', 'ESOCKTNOSUPPORT', 'EPFNOSUPPORT', 'ENOPROTOOPT']);

export interface BindAddress {
  address: string;
  /** As it stands in the configuration, for the log. */
  shown: string;
  /** May be unavailable. */
  isOptional: boolean;
}

/** `* -::*` and the like as addresses; `*` is every IPv4 address, `::*` every IPv6 one. */
export function parseBindAddresses(bind: string): BindAddress[] {
  return bind
    .split(' ')
    .filter((word) => word !== '')
    .map((word) => {
      const isOptional = word.startsWith('-');
      const shown = isOptional ? word.slice(1) : word;
      return { address: shown === '*' ? '0.0.0.0' : shown === '::*' ? '::' : shown, shown, isOptional };
    });
}

/** Binds the TCP addresses: how many; -1 when one failed that may not. The reason is in the log. */
export function listenTcp(addon: NativeAddon, engine: number, config: ConfigStore, logger: Logger): number {
  const addresses = parseBindAddresses(config.text('bind'));
  const port = config.number('port');
  if (port === 0) return 0;
  let boundCount = 0;
  for (const { address, shown, isOptional } of addresses) {
    try {
      addon.listen(engine, { kind: 'tcp', address, port, backlog: config.number('tcp-backlog') });
      boundCount++;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? '';
      const { syscall = 'bind' } = error as NodeJS.ErrnoException;
      const reason = code === 'ENOTFOUND' ? (error as Error).message : `${syscall}: ${systemErrorText(error)}`;
      logger.log('warning', `Warning: Could not create server TCP listening socket ${shown}:${port}: ${reason}`);
      if (code === 'EADDRNOTAVAIL' && isOptional) continue;
      if (ABSENT.has(code) && code !== 'EADDRNOTAVAIL') continue;
      return -1;
    }
  }
  return boundCount;
}

/** As `listenTcp` for the unix socket; a file left over from an earlier process is removed first, as in Redis. */
export function listenUnix(addon: NativeAddon, engine: number, config: ConfigStore, logger: Logger): number {
  const path = config.text('unixsocket');
  if (path === '') return 0;
  try {
    rmSync(toBytes(path), { force: true });
    addon.listen(engine, {
      kind: 'unix',
      path,
      permissions: config.number('unixsocketperm'),
      backlog: config.number('tcp-backlog'),
    });
    return 1;
  } catch (error) {
    logger.log('warning', `Failed opening Unix socket: bind: ${systemErrorText(error)}`);
    return -1;
  }
}

/** `name=tcp,bind=127.0.0.1,port=6379` for INFO. */
export function describeListeners(config: ConfigStore): string[] {
  const listeners: string[] = [];
  const port = config.number('port');
  const binds = config.text('bind').split(' ').filter((word) => word !== '');
  if (port > 0 && binds.length > 0) {
    listeners.push(`name=tcp,${binds.map((bind) => `bind=${bind}`).join(',')},port=${port}`);
  }
  if (config.text('unixsocket') !== '') listeners.push(`name=unix,bind=${config.text('unixsocket')}`);
  return listeners;
}
