/**
 * The persistence section of INFO: Redis 7.2's names and order.
 *
 * "cow" is what a fork costs there; here it is what a snapshot holds beside the dataset, which is the same question.
 * Pure.
 */
import type { LoadProgress } from '../native/persistence.js';
import type { AofStatus, PersistenceStatus } from '../persistence/status.js';

type Field = readonly [string, string | number | bigint];

const flag = (isSet: boolean): number => (isSet ? 1 : 0);
const okWord = (isOk: boolean): string => (isOk ? 'ok' : 'err');
const percent = (part: bigint, whole: bigint): string => (whole > 0n ? (Number(part) * 100) / Number(whole) : 0).toFixed(2);

export function persistenceFields({ loading, snapshot, rdb, aof }: PersistenceStatus, nowMs: number): Field[] {
  const { isRunning, keysDone, keysTotal } = snapshot;
  const isFailing = aof.journal.writeError !== '' || aof.journal.syncError !== '';
  return [
    ['loading', flag(loading.isLoading)],
    ['async_loading', 0],
    ['current_cow_peak', 0],
    ['current_cow_size', 0],
    ['current_cow_size_age', 0],
    ['current_fork_perc', isRunning ? percent(keysDone, keysTotal) : '0.00'],
    ['current_save_keys_processed', isRunning ? keysDone : 0],
    ['current_save_keys_total', isRunning ? keysTotal : 0],
    ['rdb_changes_since_last_save', rdb.changesSinceSave],
    ['rdb_bgsave_in_progress', flag(rdb.isSavingInBackground)],
    ['rdb_last_save_time', rdb.lastSaveSec],
    ['rdb_last_bgsave_status', okWord(rdb.isLastOk)],
    ['rdb_last_bgsave_time_sec', rdb.lastTookSec],
    ['rdb_current_bgsave_time_sec', rdb.currentSec],
    ['rdb_saves', rdb.saves],
    ['rdb_last_cow_size', rdb.lastExtraBytes],
    ['rdb_last_load_keys_expired', rdb.keysExpiredAtLoad],
    ['rdb_last_load_keys_loaded', rdb.keysLoaded],
    ['aof_enabled', flag(aof.isEnabled)],
    ['aof_rewrite_in_progress', flag(aof.isRewriting)],
    ['aof_rewrite_scheduled', flag(aof.isRewriteScheduled)],
    ['aof_last_rewrite_time_sec', aof.lastRewriteSec],
    ['aof_current_rewrite_time_sec', aof.currentRewriteSec],
    ['aof_last_bgrewrite_status', okWord(aof.isLastRewriteOk)],
    ['aof_rewrites', aof.rewrites],
    ['aof_rewrites_consecutive_failures', aof.failuresInRow],
    ['aof_last_write_status', okWord(!isFailing)],
    ['aof_last_cow_size', aof.lastExtraBytes],
    ['module_fork_in_progress', 0],
    ['module_fork_last_cow_size', 0],
    ...(aof.isEnabled ? aofFields(aof) : []),
    ...(loading.isLoading ? loadingFields(loading, nowMs) : []),
  ];
}

/** Shown while the AOF is on. */
function aofFields({ journal, currentBytes, baseBytes, isRewriteScheduled }: AofStatus): Field[] {
  return [
    ['aof_current_size', currentBytes],
    ['aof_base_size', baseBytes],
    ['aof_pending_rewrite', flag(isRewriteScheduled)],
    ['aof_buffer_length', journal.pendingBytes],
    ['aof_pending_bio_fsync', flag(journal.syncStartedAtMs !== 0)],
    ['aof_delayed_fsync', journal.delayedSyncs],
  ];
}

/** Shown while data is loaded. */
function loadingFields({ startedAtMs, loadedBytes, totalBytes }: LoadProgress, nowMs: number): Field[] {
  const elapsedSec = Math.max(Math.floor(nowMs / 1000) - Math.floor(startedAtMs / 1000), 0);
  const remainingBytes = totalBytes > loadedBytes ? totalBytes - loadedBytes : 0n;
  const etaSec = elapsedSec === 0 ? 1n : (BigInt(elapsedSec) * remainingBytes) / (loadedBytes + 1n);
  return [
    ['loading_start_time', Math.floor(startedAtMs / 1000)],
    ['loading_total_bytes', totalBytes],
    ['loading_rdb_used_mem', 0],
    ['loading_loaded_bytes', loadedBytes],
    ['loading_loaded_perc', percent(loadedBytes, totalBytes)],
    ['loading_eta_seconds', etaSec],
  ];
}
