/**
 * Every directive of Redis 7.2's redis.conf, and ours, as data.
 *
 * Names, aliases, defaults, bounds and flags are Redis's (checked against a running server by the test of this
 * folder). A row whose last argument is a reason is accepted, checked and kept, but has no effect yet; the reason
 * goes to docs/DIFFERENCES.md, and a test keeps the two in step.
 *
 * Directives that are not options (include, user, rename-command, loadmodule, sentinel) are config-file.ts's matter.
 * Constant after load; any thread.
 */
import { MAX_INT32, MAX_INT64, MAX_UINT32, MAX_UINT64, MIN_INT32 } from './option.js';
import type { AppliedBy, NumberStyle, OptionKind, OptionRow, SpecialParser } from './option.js';
import * as special from './special-options.js';

/** What a row may say beyond name, kind and default. */
interface Extra {
  alias?: string;
  immutable?: boolean;
  protected?: boolean;
  hidden?: boolean;
  sensitive?: boolean;
  by?: AppliedBy;
  /** Reason why it is not honoured. */
  not?: string;
}

const ACL = 'access control lists do not exist yet';
const CLUSTER = 'cluster mode does not exist yet';
const DEFRAG = 'active defragmentation does not exist yet';
const EVICTION = 'eviction does not exist yet: the limit is not enforced';
const LOADING = 'loading runs beside the workers, which always answer';
const LATENCY = 'latency figures are not recorded yet';
const MODULES = 'modules of Redis cannot be loaded';
const NO_FORK = 'Sherd never forks';
const OS = 'the operating system setting is not touched yet';
const REPLICATION = 'replication does not exist yet';
const SCRIPTING = 'scripts do not exist yet';
const SLOWLOG = 'the slow log does not exist yet';
const SYSLOG = 'logging to syslog does not exist yet';
const TLS = 'TLS does not exist yet; tls-port other than 0 is refused';

function row(name: string, kind: OptionKind, initial: string, extra: Extra): OptionRow {
  return {
    name,
    kind,
    default: initial,
    ...(extra.alias === undefined ? {} : { alias: extra.alias }),
    isImmutable: extra.immutable ?? false,
    isProtected: extra.protected ?? false,
    isHidden: extra.hidden ?? false,
    isSensitive: extra.sensitive ?? false,
    appliedBy: extra.by ?? 'nobody',
    ...(extra.not === undefined ? {} : { notHonoured: extra.not }),
  };
}

const bool = (name: string, initial: 'yes' | 'no', extra: Extra): OptionRow =>
  row(name, { type: 'bool' }, initial, extra);

function number(name: string, min: bigint, max: bigint, initial: number, extra: Extra, style: NumberStyle): OptionRow {
  return row(name, { type: 'number', style, min, max }, String(initial), extra);
}

const integer = (name: string, min: bigint, max: bigint, initial: number, extra: Extra): OptionRow =>
  number(name, min, max, initial, extra, 'integer');

const memory = (name: string, min: bigint, max: bigint, initial: number, extra: Extra): OptionRow =>
  number(name, min, max, initial, extra, 'memory');

const words = (name: string, list: string, initial: string, extra: Extra): OptionRow =>
  row(name, { type: 'enum', words: list.split(' '), several: false }, initial, extra);

/** The words that say how a signal ends the server. */
const shutdownWords = (name: string): OptionRow =>
  row(
    name,
    {
      type: 'enum',
      words: ['default', 'save', 'nosave', 'now', 'force'],
      several: true,
      check: special.checkShutdownWords,
    },
    'default',
    { by: 'read' },
  );

const text = (name: string, initial: string, extra: Extra, check?: (value: string) => string | undefined): OptionRow =>
  row(name, check ? { type: 'string', check } : { type: 'string' }, initial, extra);

const parsed = (name: string, multiArg: boolean, parse: SpecialParser, initial: string, extra: Extra): OptionRow =>
  row(name, { type: 'special', multiArg, parse }, initial, extra);

const PROTECTED_ACTION = 'no yes local';
const KB = 1024;
const MB = 1024 * KB;

// ---- Network, process, log ----

const SERVER_OPTIONS: readonly OptionRow[] = [
  parsed('bind', true, special.parseBind, '* -::*', { by: 'listeners' }),
  integer('port', 0n, 65535n, 6379, { by: 'listeners' }),
  text('unixsocket', '', { immutable: true, by: 'start' }),
  number('unixsocketperm', 0n, 0o777n, 0, { immutable: true, by: 'start' }, 'octal'),
  integer('tcp-backlog', 0n, MAX_INT32, 511, { immutable: true, by: 'start' }),
  integer('tcp-keepalive', 0n, MAX_INT32, 300, { by: 'engine' }),
  integer('timeout', 0n, MAX_INT32, 0, { by: 'engine' }),
  integer('maxclients', 1n, MAX_UINT32, 10000, { by: 'engine' }),
  bool('protected-mode', 'yes', { by: 'engine' }),
  text('bind-source-addr', '', { not: REPLICATION }),
  integer('socket-mark-id', 0n, MAX_UINT32, 0, { immutable: true, not: OS }),
  integer('max-new-connections-per-cycle', 1n, 1000n, 10, { not: 'every waiting connection is accepted at once' }),
  integer('max-new-tls-connections-per-cycle', 1n, 1000n, 1, { not: TLS }),
  integer('databases', 1n, MAX_INT32, 16, { immutable: true, by: 'start' }),
  memory('proto-max-bulk-len', BigInt(MB), MAX_INT64, 512 * MB, { by: 'engine' }),
  memory('client-query-buffer-limit', BigInt(MB), MAX_INT64, 1024 * MB, { by: 'engine' }),
  parsed(
    'client-output-buffer-limit',
    true,
    special.parseClientOutputBufferLimit,
    'normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60',
    { by: 'engine' },
  ),
  integer('hz', 0n, MAX_INT32, 10, { by: 'engine' }),
  bool('dynamic-hz', 'yes', { not: 'timers run at hz whatever the number of clients' }),
  bool('daemonize', 'no', { immutable: true, by: 'start' }),
  text('pidfile', '', { immutable: true, by: 'start' }),
  text('logfile', '', { immutable: true, by: 'start' }),
  words('loglevel', 'debug verbose notice warning', 'notice', { by: 'logger' }),
  parsed('dir', false, ([path = '']) => ({ ok: true, value: path }), '', { protected: true, by: 'directory' }),
  bool('always-show-logo', 'no', { immutable: true, by: 'start' }),
  bool('set-proc-title', 'yes', { immutable: true, by: 'start' }),
  text('proc-title-template', '{title} {listen-addr} {server-mode}', { by: 'title' }, special.checkTitleTemplate),
  text('locale-collate', '', { not: 'strings are compared by their bytes' }),
  words('supervised', 'upstart systemd auto no', 'no', { immutable: true, not: 'no supervisor is told yet' }),
  bool('syslog-enabled', 'no', { immutable: true, not: SYSLOG }),
  text('syslog-ident', 'redis', { immutable: true, not: SYSLOG }),
  words('syslog-facility', 'user local0 local1 local2 local3 local4 local5 local6 local7', 'local0', {
    immutable: true,
    not: SYSLOG,
  }),
  bool('crash-log-enabled', 'yes', { not: 'the crash report cannot be switched off' }),
  bool('crash-memcheck-enabled', 'yes', { not: 'memory is not tested after a crash' }),
  bool('use-exit-on-panic', 'no', { hidden: true, not: 'a broken invariant always aborts' }),
  integer('watchdog-period', 0n, MAX_INT32, 0, { hidden: true, not: 'the software watchdog does not exist' }),
  bool('disable-thp', 'yes', { immutable: true, not: OS }),
  text('ignore-warnings', '', { not: 'there is no warning that it could silence' }),
  shutdownWords('shutdown-on-sigint'),
  shutdownWords('shutdown-on-sigterm'),
  integer('shutdown-timeout', 0n, MAX_INT32, 10, { not: REPLICATION }),
  words('oom-score-adj', 'no yes relative absolute', 'no', { not: OS }),
  parsed('oom-score-adj-values', true, special.parseOomScoreAdjValues, '0 200 800', { not: OS }),
  text('server-cpulist', '', { alias: 'server_cpulist', immutable: true, not: OS }),
  text('bio-cpulist', '', { alias: 'bio_cpulist', immutable: true, not: OS }),
  text('aof-rewrite-cpulist', '', { alias: 'aof_rewrite_cpulist', immutable: true, not: NO_FORK }),
  text('bgsave-cpulist', '', { alias: 'bgsave_cpulist', immutable: true, not: NO_FORK }),
  integer('io-threads', 1n, 128n, 1, { immutable: true, by: 'start' }),
  bool('io-threads-do-reads', 'no', { immutable: true, not: 'every worker always reads and writes' }),
  integer('worker-threads', 0n, 128n, 0, { immutable: true, by: 'start' }),
  integer('shards', 0n, 1024n, 0, { immutable: true, by: 'start' }),
  // Ours: the RDB version that DUMP writes; a server refuses payloads newer than itself.
  integer('rdb-compat-version', 9n, 12n, 11, { by: 'engine' }),
  // Ours: where a command runs. in-place: on the worker that read it, when the shard is free. owner: always on the
  // worker that owns the shard, over the rings; slower, and kept to measure what a hop costs.
  words('execution-layout', 'in-place owner', 'in-place', { immutable: true, by: 'start' }),
];

// ---- Security ----

const SECURITY_OPTIONS: readonly OptionRow[] = [
  text('requirepass', '', { sensitive: true, by: 'engine' }),
  text('aclfile', '', { immutable: true, not: ACL }),
  integer('acllog-max-len', 0n, MAX_INT64, 128, { not: ACL }),
  words('acl-pubsub-default', 'allchannels resetchannels', 'resetchannels', { not: ACL }),
  words('enable-protected-configs', PROTECTED_ACTION, 'no', { immutable: true, by: 'read' }),
  words('enable-debug-command', PROTECTED_ACTION, 'no', { immutable: true, by: 'engine' }),
  words('enable-module-command', PROTECTED_ACTION, 'no', { immutable: true, not: MODULES }),
  integer('tls-port', 0n, 65535n, 0, { not: TLS }),
  integer('tls-session-cache-size', 0n, MAX_INT32, 20 * KB, { not: TLS }),
  integer('tls-session-cache-timeout', 0n, MAX_INT32, 300, { not: TLS }),
  bool('tls-cluster', 'no', { not: TLS }),
  bool('tls-replication', 'no', { not: TLS }),
  words('tls-auth-clients', 'no yes optional', 'yes', { not: TLS }),
  bool('tls-prefer-server-ciphers', 'no', { not: TLS }),
  bool('tls-session-caching', 'yes', { not: TLS }),
  text('tls-cert-file', '', { not: TLS }),
  text('tls-key-file', '', { not: TLS }),
  text('tls-key-file-pass', '', { sensitive: true, not: TLS }),
  text('tls-client-cert-file', '', { not: TLS }),
  text('tls-client-key-file', '', { not: TLS }),
  text('tls-client-key-file-pass', '', { sensitive: true, not: TLS }),
  text('tls-dh-params-file', '', { not: TLS }),
  text('tls-ca-cert-file', '', { not: TLS }),
  text('tls-ca-cert-dir', '', { not: TLS }),
  text('tls-protocols', '', { not: TLS }),
  text('tls-ciphers', '', { not: TLS }),
  text('tls-ciphersuites', '', { not: TLS }),
];

// ---- Keyspace and memory ----

const POLICIES =
  'volatile-lru volatile-lfu volatile-random volatile-ttl allkeys-lru allkeys-lfu allkeys-random noeviction';

const ENGINE_OPTIONS_ROWS: readonly OptionRow[] = [
  memory('maxmemory', 0n, MAX_UINT64, 0, { by: 'engine', not: EVICTION }),
  words('maxmemory-policy', POLICIES, 'noeviction', { by: 'engine', not: 'eviction does not exist yet' }),
  integer('maxmemory-samples', 1n, MAX_INT32, 5, { not: EVICTION }),
  integer('maxmemory-eviction-tenacity', 0n, 100n, 10, { not: EVICTION }),
  number('maxmemory-clients', -100n, MAX_INT64, 0, { by: 'engine' }, 'memory-or-percent'),
  integer('lfu-log-factor', 0n, MAX_INT32, 10, { by: 'engine' }),
  integer('lfu-decay-time', 0n, MAX_INT32, 1, { by: 'engine' }),
  integer('active-expire-effort', 1n, 10n, 1, { by: 'engine' }),
  bool('activerehashing', 'yes', { not: 'tables always grow incrementally, with the writes' }),
  bool('lazyfree-lazy-eviction', 'no', { not: EVICTION }),
  bool('lazyfree-lazy-expire', 'no', { by: 'engine' }),
  bool('lazyfree-lazy-server-del', 'no', { by: 'engine' }),
  bool('lazyfree-lazy-user-del', 'no', { by: 'engine' }),
  bool('lazyfree-lazy-user-flush', 'no', { by: 'engine' }),
  bool('activedefrag', 'no', { not: DEFRAG }),
  memory('active-defrag-ignore-bytes', 1n, MAX_INT64, 100 * MB, { not: DEFRAG }),
  integer('active-defrag-cycle-min', 1n, 99n, 1, { not: DEFRAG }),
  integer('active-defrag-cycle-max', 1n, 99n, 25, { not: DEFRAG }),
  integer('active-defrag-threshold-lower', 0n, 1000n, 10, { not: DEFRAG }),
  integer('active-defrag-threshold-upper', 0n, 1000n, 100, { not: DEFRAG }),
  integer('active-defrag-max-scan-fields', 1n, MAX_INT64, 1000, { not: DEFRAG }),
  bool('jemalloc-bg-thread', 'yes', { not: 'the allocator is not jemalloc' }),
  integer('hash-max-listpack-entries', 0n, MAX_INT64, 512, { alias: 'hash-max-ziplist-entries', by: 'engine' }),
  memory('hash-max-listpack-value', 0n, MAX_INT64, 64, { alias: 'hash-max-ziplist-value', by: 'engine' }),
  integer('set-max-intset-entries', 0n, MAX_INT64, 512, { by: 'engine' }),
  integer('set-max-listpack-entries', 0n, MAX_INT64, 128, { by: 'engine' }),
  memory('set-max-listpack-value', 0n, MAX_INT64, 64, { by: 'engine' }),
  integer('zset-max-listpack-entries', 0n, MAX_INT64, 128, { alias: 'zset-max-ziplist-entries', by: 'engine' }),
  memory('zset-max-listpack-value', 0n, MAX_INT64, 64, { alias: 'zset-max-ziplist-value', by: 'engine' }),
  integer('list-max-listpack-size', MIN_INT32, MAX_INT32, -2, { alias: 'list-max-ziplist-size', by: 'engine' }),
  integer('list-compress-depth', 0n, MAX_INT32, 0, { by: 'engine' }),
  memory('hll-sparse-max-bytes', 0n, MAX_INT64, 3000, { by: 'engine' }),
  memory('stream-node-max-bytes', 0n, MAX_INT64, 4096, { by: 'engine' }),
  integer('stream-node-max-entries', 0n, MAX_INT64, 100, { by: 'engine' }),
  integer('tracking-table-max-keys', 0n, MAX_INT64, 1000000, { by: 'engine' }),
  parsed('notify-keyspace-events', false, special.parseNotifyKeyspaceEvents, '', { by: 'engine' }),
  integer('busy-reply-threshold', 0n, MAX_INT64, 5000, { alias: 'lua-time-limit', not: SCRIPTING }),
];

// ---- Observability ----

const OBSERVABILITY_OPTIONS: readonly OptionRow[] = [
  integer('slowlog-log-slower-than', -1n, MAX_INT64, 10000, { not: SLOWLOG }),
  integer('slowlog-max-len', 0n, MAX_INT64, 128, { not: SLOWLOG }),
  integer('latency-monitor-threshold', 0n, MAX_INT64, 0, { not: LATENCY }),
  bool('latency-tracking', 'yes', { not: LATENCY }),
  parsed('latency-tracking-info-percentiles', true, special.parseLatencyPercentiles, '50 99 99.9', { not: LATENCY }),
];

// ---- Durability ----

const DURABILITY_OPTIONS: readonly OptionRow[] = [
  parsed('save', true, special.parseSave, '3600 1 300 100 60 10000', { by: 'persistence' }),
  text('dbfilename', 'dump.rdb', { protected: true, by: 'read' }, special.checkBaseName('dbfilename')),
  bool('rdbcompression', 'yes', { by: 'read' }),
  bool('rdbchecksum', 'yes', { immutable: true, by: 'start' }),
  bool('rdb-save-incremental-fsync', 'yes', { by: 'read' }),
  bool('rdb-del-sync-files', 'no', { not: REPLICATION }),
  bool('stop-writes-on-bgsave-error', 'yes', { by: 'persistence' }),
  words('sanitize-dump-payload', 'no yes clients', 'no', { not: 'payloads are always checked in depth' }),
  integer('rdb-key-save-delay', MIN_INT32, MAX_INT32, 0, { hidden: true, by: 'read' }),
  integer('key-load-delay', MIN_INT32, MAX_INT32, 0, { hidden: true, not: LOADING }),
  integer('loading-process-events-interval-bytes', 1024n, MAX_INT32, 2 * MB, { hidden: true, not: LOADING }),
  bool('appendonly', 'no', { by: 'persistence' }),
  text('appendfilename', 'appendonly.aof', { immutable: true, by: 'start' }, special.checkAppendName('appendfilename')),
  text('appenddirname', 'appendonlydir', { immutable: true, by: 'start' }, special.checkAppendName('appenddirname')),
  words('appendfsync', 'everysec always no', 'everysec', { by: 'persistence' }),
  bool('no-appendfsync-on-rewrite', 'no', { by: 'persistence' }),
  integer('auto-aof-rewrite-percentage', 0n, MAX_INT32, 100, { by: 'read' }),
  memory('auto-aof-rewrite-min-size', 0n, MAX_INT64, 64 * MB, { by: 'read' }),
  bool('aof-load-truncated', 'yes', { by: 'read' }),
  bool('aof-use-rdb-preamble', 'yes', { by: 'persistence' }),
  bool('aof-timestamp-enabled', 'no', { by: 'persistence' }),
  bool('aof-rewrite-incremental-fsync', 'yes', { by: 'read' }),
  bool('aof-disable-auto-gc', 'no', { hidden: true, by: 'persistence' }),
];

// ---- Replication and cluster ----

const REPLICATION_OPTIONS: readonly OptionRow[] = [
  parsed('replicaof', true, special.parseReplicaOf, '', { alias: 'slaveof', immutable: true, not: REPLICATION }),
  text('masteruser', '', { sensitive: true, not: REPLICATION }),
  text('masterauth', '', { sensitive: true, not: REPLICATION }),
  bool('replica-serve-stale-data', 'yes', { alias: 'slave-serve-stale-data', not: REPLICATION }),
  bool('replica-read-only', 'yes', { alias: 'slave-read-only', not: REPLICATION }),
  bool('replica-lazy-flush', 'no', { alias: 'slave-lazy-flush', not: REPLICATION }),
  bool('replica-ignore-maxmemory', 'yes', { alias: 'slave-ignore-maxmemory', not: REPLICATION }),
  bool('replica-ignore-disk-write-errors', 'no', { not: REPLICATION }),
  bool('replica-announced', 'yes', { not: REPLICATION }),
  text('replica-announce-ip', '', { alias: 'slave-announce-ip', not: REPLICATION }),
  integer('replica-announce-port', 0n, 65535n, 0, { alias: 'slave-announce-port', not: REPLICATION }),
  integer('replica-priority', 0n, MAX_INT32, 100, { alias: 'slave-priority', not: REPLICATION }),
  integer('min-replicas-to-write', 0n, MAX_INT32, 0, { alias: 'min-slaves-to-write', not: REPLICATION }),
  integer('min-replicas-max-lag', 0n, MAX_INT32, 10, { alias: 'min-slaves-max-lag', not: REPLICATION }),
  integer('repl-ping-replica-period', 1n, MAX_INT32, 10, { alias: 'repl-ping-slave-period', not: REPLICATION }),
  integer('repl-timeout', 1n, MAX_INT32, 60, { not: REPLICATION }),
  memory('repl-backlog-size', 1n, MAX_INT64, MB, { not: REPLICATION }),
  integer('repl-backlog-ttl', 0n, MAX_INT64, 3600, { not: REPLICATION }),
  bool('repl-disable-tcp-nodelay', 'no', { not: REPLICATION }),
  bool('repl-diskless-sync', 'yes', { not: REPLICATION }),
  integer('repl-diskless-sync-delay', 0n, MAX_INT32, 5, { not: REPLICATION }),
  integer('repl-diskless-sync-max-replicas', 0n, MAX_INT32, 0, { not: REPLICATION }),
  words('repl-diskless-load', 'disabled on-empty-db swapdb', 'disabled', { not: REPLICATION }),
  words('propagation-error-behavior', 'ignore panic panic-on-replicas', 'ignore', { not: REPLICATION }),
  bool('cluster-enabled', 'no', { immutable: true, not: CLUSTER }),
  text('cluster-config-file', 'nodes.conf', { immutable: true, not: CLUSTER }),
  integer('cluster-node-timeout', 0n, MAX_INT64, 15000, { not: CLUSTER }),
  integer('cluster-port', 0n, 65535n, 0, { immutable: true, not: CLUSTER }),
  text('cluster-announce-ip', '', { not: CLUSTER }),
  integer('cluster-announce-port', 0n, 65535n, 0, { not: CLUSTER }),
  integer('cluster-announce-bus-port', 0n, 65535n, 0, { not: CLUSTER }),
  integer('cluster-announce-tls-port', 0n, 65535n, 0, { not: CLUSTER }),
  text('cluster-announce-hostname', '', { not: CLUSTER }, special.checkHostname),
  text('cluster-announce-human-nodename', '', { not: CLUSTER }, special.checkNodeName),
  words('cluster-preferred-endpoint-type', 'ip hostname unknown-endpoint', 'ip', { not: CLUSTER }),
  integer('cluster-migration-barrier', 0n, MAX_INT32, 1, { not: CLUSTER }),
  integer('cluster-replica-validity-factor', 0n, MAX_INT32, 10, {
    alias: 'cluster-slave-validity-factor',
    not: CLUSTER,
  }),
  bool('cluster-replica-no-failover', 'no', { alias: 'cluster-slave-no-failover', not: CLUSTER }),
  bool('cluster-require-full-coverage', 'yes', { not: CLUSTER }),
  bool('cluster-allow-reads-when-down', 'no', { not: CLUSTER }),
  bool('cluster-allow-pubsubshard-when-down', 'yes', { not: CLUSTER }),
  bool('cluster-allow-replica-migration', 'yes', { not: CLUSTER }),
  memory('cluster-link-sendbuf-limit', 0n, MAX_UINT64, 0, { not: CLUSTER }),
];

/** All options. */
export const OPTIONS: readonly OptionRow[] = [
  ...SERVER_OPTIONS,
  ...SECURITY_OPTIONS,
  ...ENGINE_OPTIONS_ROWS,
  ...OBSERVABILITY_OPTIONS,
  ...DURABILITY_OPTIONS,
  ...REPLICATION_OPTIONS,
];

/** Names of the options that go to the native engine with setOption. */
export const ENGINE_OPTIONS: readonly string[] = OPTIONS.filter((option) => option.appliedBy === 'engine').map(
  (option) => option.name,
);

const byName = new Map<string, OptionRow>();
for (const option of OPTIONS) {
  byName.set(option.name, option);
  if (option.alias !== undefined) byName.set(option.alias, option);
}

/** The option of this name or alias, in any letter case. */
export function findOption(name: string): OptionRow | undefined {
  return byName.get(name.toLowerCase());
}

/** All names and aliases with their options. */
export function optionNames(): ReadonlyMap<string, OptionRow> {
  return byName;
}
