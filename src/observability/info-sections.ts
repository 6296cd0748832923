/**
 * The sections and fields of INFO as data: name, order, and how each value is made.
 *
 * Names and order are Redis 7.2's, which tools parse. A field whose subsystem does not exist yet has the value that a
 * Redis without that subsystem in use prints, and it is true here too: no replicas, no snapshot running, nothing
 * evicted. Where a Redis figure has no counterpart, docs/DIFFERENCES.md says so.
 *
 * Main thread; reads counters, changes nothing.
 */
import { cpus, release, totalmem, type as osType, arch } from 'node:os';
import type { ConfigStore } from '../config/config-store.js';
import { REDIS_VERSION } from '../config/config-file.js';
import { formatBytesHuman } from '../util/numbers.js';
import type { Counters } from './counters.js';
import { mainThreadCpu } from './main-thread-cpu.js';
import { persistenceFields } from './persistence-fields.js';
import type { PersistenceStatus } from '../persistence/status.js';
import type { Rates } from './rates.js';

/** Everything that the fields are made of. */
export interface InfoSource {
  config: ConfigStore;
  counters: Counters;
  rates: Rates;
  runId: string;
  replicationId: string;
  /** Own version. */
  version: string;
  executable: string;
  startedAtMs: number;
  nowMs: number;
  tcpPort: number;
  /** `name=tcp,bind=127.0.0.1,port=6379` and the like. */
  listeners: readonly string[];
  workers: number;
  shards: number;
  /** used_memory when the server was ready, and its highest value since. */
  memoryStartupBytes: number;
  memoryPeakBytes: number;
  errorStats: ReadonlyMap<string, bigint>;
  /** Bytes of the process in RAM. */
  rssBytes: number;
  persistence: PersistenceStatus;
}

export type Value = string | number | bigint;
export type Field = readonly [string, Value];

export interface Section {
  readonly name: string;
  readonly title: string;
  readonly fields: (source: InfoSource) => Field[];
}

const zeros = (...names: string[]): Field[] => names.map((name) => [name, 0]);
const percent = (part: number, whole: number): string => `${(whole > 0 ? (part * 100) / whole : 0).toFixed(2)}%`;
const ratio = (part: number, whole: number): string => (whole > 0 ? part / whole : 0).toFixed(2);

function serverFields(source: InfoSource): Field[] {
  const uptimeSec = Math.floor((source.nowMs - source.startedAtMs) / 1000);
  const { config } = source;
  return [
    ['redis_version', REDIS_VERSION],
    ['redis_git_sha1', '00000000'],
    ['redis_git_dirty', 0],
    ['redis_build_id', '0'],
    ['redis_mode', 'standalone'],
    ['os', `${osType()} ${release()} ${arch() === 'x64' ? 'x86_64' : arch()}`],
    ['arch_bits', 64],
    ['monotonic_clock', 'POSIX clock_gettime'],
    ['multiplexing_api', 'epoll'],
    ['atomicvar_api', 'c11-builtin'],
    ['gcc_version', '0.0.0'],
    ['process_id', process.pid],
    ['process_supervised', 'no'],
    ['run_id', source.runId],
    ['tcp_port', source.tcpPort],
    ['server_time_usec', BigInt(source.nowMs) * 1000n],
    ['uptime_in_seconds', uptimeSec],
    ['uptime_in_days', Math.floor(uptimeSec / 86400)],
    ['hz', config.number('hz')],
    ['configured_hz', config.number('hz')],
    ['lru_clock', Math.floor(source.nowMs / 1000) & 0xffffff],
    ['executable', source.executable],
    ['config_file', config.configFile],
    ['io_threads_active', 0],
    ...source.listeners.map((listener, index): Field => [`listener${index}`, listener]),
    ['sherd_version', source.version],
    ['sherd_workers', source.workers],
    ['sherd_shards', source.shards],
    ['sherd_cores', cpus().length],
  ];
}

function clientsFields({ counters, config }: InfoSource): Field[] {
  return [
    ['connected_clients', counters.worker('connected_clients')],
    ['cluster_connections', 0],
    ['maxclients', config.number('maxclients')],
    ['client_recent_max_input_buffer', counters.workerMax('max_input_buffer')],
    ['client_recent_max_output_buffer', counters.workerMax('max_output_buffer')],
    ['blocked_clients', counters.worker('blocked_clients')],
    ['tracking_clients', counters.worker('tracking_clients')],
    ['pubsub_clients', counters.worker('pubsub_clients')],
    ['watching_clients', counters.worker('watching_clients')],
    ['clients_in_timeout_table', counters.worker('clients_in_timeout_table')],
    ['total_watched_keys', counters.worker('watched_keys')],
    ['total_blocking_keys', counters.worker('blocking_keys')],
    ['total_blocking_keys_on_nokey', counters.worker('blocking_keys_on_nokey')],
  ];
}

function bytesFields(name: string, byteCount: number): Field[] {
  return [
    [name, byteCount],
    [`${name}_human`, formatBytesHuman(byteCount)],
  ];
}

function memoryFields(source: InfoSource): Field[] {
  const { counters, config, rssBytes } = source;
  const used = Number(counters.shard('used_memory') + counters.worker('client_memory_bytes'));
  const mapped = Number(counters.shard('mapped_memory'));
  const clients = Number(counters.worker('client_memory_bytes'));
  const overhead = Number(counters.shard('table_memory')) + clients;
  const peak = Math.max(source.memoryPeakBytes, used);
  const dataset = Math.max(used - overhead, 0);
  const beyondStartup = Math.max(used - source.memoryStartupBytes, 0);
  return [
    ...bytesFields('used_memory', used),
    ...bytesFields('used_memory_rss', rssBytes),
    ...bytesFields('used_memory_peak', peak),
    ['used_memory_peak_perc', percent(used, peak)],
    ['used_memory_overhead', overhead],
    ['used_memory_startup', source.memoryStartupBytes],
    ['used_memory_dataset', dataset],
    ['used_memory_dataset_perc', percent(Math.min(dataset, beyondStartup), beyondStartup)],
    ['allocator_allocated', used],
    ['allocator_active', mapped],
    ['allocator_resident', mapped],
    ...bytesFields('total_system_memory', totalmem()),
    ...zeros('used_memory_lua', 'used_memory_vm_eval'),
    ['used_memory_lua_human', '0B'],
    ...zeros('used_memory_scripts_eval', 'number_of_cached_scripts', 'number_of_functions', 'number_of_libraries'),
    ...zeros('used_memory_vm_functions'),
    ...bytesFields('used_memory_vm_total', 0),
    ['used_memory_functions', 0],
    ...bytesFields('used_memory_scripts', 0),
    ['maxmemory', config.bigint('maxmemory')],
    ['maxmemory_human', formatBytesHuman(Number(config.bigint('maxmemory')))],
    ['maxmemory_policy', config.text('maxmemory-policy')],
    ['allocator_frag_ratio', ratio(mapped, used)],
    ['allocator_frag_bytes', mapped - used],
    ['allocator_rss_ratio', mapped > 0 ? '1.00' : '0.00'],
    ['allocator_rss_bytes', 0],
    ['rss_overhead_ratio', ratio(rssBytes, mapped)],
    ['rss_overhead_bytes', rssBytes - mapped],
    ['mem_fragmentation_ratio', ratio(rssBytes, used)],
    ['mem_fragmentation_bytes', rssBytes - used],
    ...zeros('mem_not_counted_for_evict', 'mem_replication_backlog', 'mem_total_replication_buffers'),
    ['mem_clients_slaves', 0],
    ['mem_clients_normal', clients],
    ...zeros('mem_cluster_links'),
    ['mem_aof_buffer', source.persistence.aof.journal.pendingBytes],
    ['mem_allocator', 'sherd-slab'],
    ['active_defrag_running', 0],
    ['lazyfree_pending_objects', counters.shard('lazyfree_pending_objects')],
    ['lazyfreed_objects', counters.worker('lazyfreed_objects')],
  ];
}

function statsFields({ counters, rates }: InfoSource): Field[] {
  const count = (field: string, cell: string): Field => [field, counters.worker(cell)];
  return [
    count('total_connections_received', 'connections_received'),
    count('total_commands_processed', 'commands_processed'),
    ['instantaneous_ops_per_sec', Math.round(rates.perSecond('commands_processed'))],
    count('total_net_input_bytes', 'net_input_bytes'),
    count('total_net_output_bytes', 'net_output_bytes'),
    ...zeros('total_net_repl_input_bytes', 'total_net_repl_output_bytes'),
    ['instantaneous_input_kbps', (rates.perSecond('net_input_bytes') / 1024).toFixed(2)],
    ['instantaneous_output_kbps', (rates.perSecond('net_output_bytes') / 1024).toFixed(2)],
    ['instantaneous_input_repl_kbps', '0.00'],
    ['instantaneous_output_repl_kbps', '0.00'],
    count('rejected_connections', 'connections_rejected'),
    ...zeros('sync_full', 'sync_partial_ok', 'sync_partial_err'),
    count('expired_keys', 'expired_keys'),
    ['expired_stale_perc', '0.00'],
    count('expired_time_cap_reached_count', 'expired_time_cap_reached'),
    ['expire_cycle_cpu_milliseconds', counters.worker('expire_cycle_us') / 1000n],
    ['evicted_keys', 0],
    count('evicted_clients', 'evicted_clients'),
    ...zeros('total_eviction_exceeded_time', 'current_eviction_exceeded_time'),
    count('keyspace_hits', 'keyspace_hits'),
    count('keyspace_misses', 'keyspace_misses'),
    count('pubsub_channels', 'pubsub_channels'),
    count('pubsub_patterns', 'pubsub_patterns'),
    count('pubsubshard_channels', 'pubsubshard_channels'),
    ...zeros('latest_fork_usec', 'total_forks'),
    ...zeros('migrate_cached_sockets', 'slave_expires_tracked_keys', 'active_defrag_hits', 'active_defrag_misses'),
    ...zeros('active_defrag_key_hits', 'active_defrag_key_misses', 'total_active_defrag_time'),
    ...zeros('current_active_defrag_time'),
    ['tracking_total_keys', counters.shard('tracking_keys')],
    ['tracking_total_items', counters.shard('tracking_items')],
    count('tracking_total_prefixes', 'tracking_prefixes'),
    ['unexpected_error_replies', 0],
    count('total_error_replies', 'error_replies'),
    ['dump_payload_sanitizations', 0],
    count('total_reads_processed', 'reads_processed'),
    count('total_writes_processed', 'writes_processed'),
    ...zeros('io_threaded_reads_processed', 'io_threaded_writes_processed'),
    count('client_query_buffer_limit_disconnections', 'query_buffer_limit_disconnections'),
    count('client_output_buffer_limit_disconnections', 'output_buffer_limit_disconnections'),
    ...zeros('reply_buffer_shrinks', 'reply_buffer_expands'),
    count('eventloop_cycles', 'loop_iterations'),
    ...zeros('eventloop_duration_sum', 'eventloop_duration_cmd_sum'),
    ['instantaneous_eventloop_cycles_per_sec', Math.round(rates.perSecond('loop_iterations'))],
    ['instantaneous_eventloop_duration_usec', 0],
    ...zeros('acl_access_denied_auth', 'acl_access_denied_cmd', 'acl_access_denied_key', 'acl_access_denied_channel'),
  ];
}

function replicationFields({ replicationId, config }: InfoSource): Field[] {
  return [
    ['role', 'master'],
    ['connected_slaves', 0],
    ['master_failover_state', 'no-failover'],
    ['master_replid', replicationId],
    ['master_replid2', '0'.repeat(40)],
    ['master_repl_offset', 0],
    ['second_repl_offset', -1],
    ['repl_backlog_active', 0],
    ['repl_backlog_size', config.bigint('repl-backlog-size')],
    ...zeros('repl_backlog_first_byte_offset', 'repl_backlog_histlen'),
  ];
}

function cpuFields(): Field[] {
  const seconds = (usec: number): string => (usec / 1e6).toFixed(6);
  const { systemCPUTime, userCPUTime } = process.resourceUsage();
  const main = mainThreadCpu();
  return [
    ['used_cpu_sys', seconds(systemCPUTime)],
    ['used_cpu_user', seconds(userCPUTime)],
    ['used_cpu_sys_children', '0.000000'],
    ['used_cpu_user_children', '0.000000'],
    // Here the main thread is the control plane; data commands run on the workers.
    ['used_cpu_sys_main_thread', seconds(main.systemUsec)],
    ['used_cpu_user_main_thread', seconds(main.userUsec)],
  ];
}

function commandStatsFields({ counters }: InfoSource): Field[] {
  return counters.commandStats().map(({ name, calls, usec, rejectedCalls, failedCalls }) => {
    const perCall = calls > 0n ? (Number(usec) / Number(calls)).toFixed(2) : '0.00';
    const value = `calls=${calls},usec=${usec},usec_per_call=${perCall}`;
    return [`cmdstat_${name}`, `${value},rejected_calls=${rejectedCalls},failed_calls=${failedCalls}`];
  });
}

function keyspaceFields({ counters }: InfoSource): Field[] {
  return counters
    .databaseStats()
    .map(({ index, keys, expires, averageTtlMs }) => [
      `db${index}`,
      `keys=${keys},expires=${expires},avg_ttl=${averageTtlMs}`,
    ]);
}

/** All sections, in the order in which they are printed. */
export const SECTIONS: readonly Section[] = [
  { name: 'server', title: 'Server', fields: serverFields },
  { name: 'clients', title: 'Clients', fields: clientsFields },
  { name: 'memory', title: 'Memory', fields: memoryFields },
  {
    name: 'persistence',
    title: 'Persistence',
    fields: ({ persistence, nowMs }) => persistenceFields(persistence, nowMs),
  },
  { name: 'stats', title: 'Stats', fields: statsFields },
  { name: 'replication', title: 'Replication', fields: replicationFields },
  { name: 'cpu', title: 'CPU', fields: cpuFields },
  { name: 'modules', title: 'Modules', fields: () => [] },
  { name: 'commandstats', title: 'Commandstats', fields: commandStatsFields },
  {
    name: 'errorstats',
    title: 'Errorstats',
    fields: ({ errorStats }) => [...errorStats].map(([code, count]) => [`errorstat_${code}`, `count=${count}`]),
  },
  { name: 'latencystats', title: 'Latencystats', fields: () => [] },
  { name: 'cluster', title: 'Cluster', fields: () => [['cluster_enabled', 0]] },
  { name: 'keyspace', title: 'Keyspace', fields: keyspaceFields },
];
