/**
 * The name that `ps` shows, from proc-title-template. Pure.
 */
import type { ConfigStore } from '../config/config-store.js';

export function processTitle(config: ConfigStore): string {
  const port = config.number('port');
  const [bind = ''] = config.text('bind').split(' ');
  const address = `${bind.replace(/^-/, '')}:${port}`;
  const values = new Map([
    ['title', 'sherd-server'],
    ['listen-addr', port > 0 && bind !== '' ? address : config.text('unixsocket')],
    ['server-mode', ''],
    ['port', String(port)],
    ['tls-port', config.text('tls-port')],
    ['unixsocket', config.text('unixsocket')],
    ['config-file', config.configFile],
  ]);
  const title = config.text('proc-title-template').replace(/\{([^}]*)\}/g, (whole, name: string) => values.get(name) ?? whole);
  return title.trimEnd();
}
