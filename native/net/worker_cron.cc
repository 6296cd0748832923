// Worker: clocks and background work: expiry, deferred frees, time-outs.
//
// Nothing here may hold up the sockets: work that can be long is done in slices of kSliceNs between
// rounds of the loop, under the lease of one shard at a time, and never waits for a lease.
#include <algorithm>
#include <iterator>

#include "base/clock.h"
#include "engine/field_expiry.h"
#include "net/worker.h"

namespace sherd::net {

namespace {

// A slice is shorter than what a client would notice in its latency.
constexpr int64_t kSliceNs = 200'000;
// Buckets looked at, and objects freed, between two looks at the clock.
constexpr size_t kExpireStep = 256;
constexpr size_t kFreeStep = 256;

}  // namespace

void Worker::RefreshClock() {
  now_ms_ = Clock::WallMs();
  if (const uint64_t version = engine_.text_version(); version != text_version_) {
    text_version_ = version;
    for (const engine::ClientClass client_class :
         {engine::ClientClass::kNormal, engine::ClientClass::kReplica, engine::ClientClass::kPubsub}) {
      output_limits_[static_cast<size_t>(client_class)] = engine_.output_limit(client_class);
    }
  }
  const auto normal = static_cast<size_t>(engine::ClientClass::kNormal);
  has_client_limits_ = output_limits_[normal].hard_bytes > 0 || engine_.options().maxmemory_clients.Get() != 0;
  const int64_t seconds = now_ms_ / 1000;
  if (seconds == last_second_) return;
  last_second_ = seconds;
  clock_ = engine::MakeAccessClock(engine_.options(), now_ms_);
  constexpr uint32_t kLfuInitial = 5;
  engine_.initial_clock.store(clock_.is_lfu ? clock_.lfu_minutes << 8 | kLfuInitial : clock_.lru_seconds,
                              std::memory_order_relaxed);
}

void Worker::Cron() {
  if (!is_running_ || engine_.cron_paused.load(std::memory_order_relaxed)) return;
  engine::SetThisThread(&thread_);
  RefreshClock();
  engine_.EndPause(now_ms_);
  counters_.heartbeat.Increment();
  const int64_t hz = engine_.options().hz.Get() > 0 ? engine_.options().hz.Get() : 10;
  size_t buckets = 0;
  for (int shard = index_; shard < engine_.shard_count(); shard += engine_.config().workers) {
    const engine::ShardId id = static_cast<engine::ShardId>(shard);
    if (server_->leases().IsLeft(id)) shards_to_poll_.push_back(id);
    UpdateShardCounters(id);
    if (engine_.shard_counters(id).lazyfree_pending_objects.Get() > 0) has_deferred_frees_ = true;
    for (int db = 0; db < engine_.database_count(); db++) {
      const engine::DatabaseCounters& counters = engine_.database_counters(id, db);
      // Five and a half keys a bucket; the cycle itself stops at the real count.
      if (counters.expires.Get() + counters.field_expires.Get() > 0) buckets += counters.keys.Get() / 5 + 1;
    }
  }
  // While CLIENT PAUSE holds writes back, nothing else deletes either; nor while the dataset is being loaded, of
  // which what deletes a key may be a part.
  if (engine_.active_expire.load(std::memory_order_relaxed) && !engine_.IsPaused(now_ms_) &&
      !engine_.is_loading.load(std::memory_order_relaxed)) {
    // Every key with an expiry is looked at once a second at effort 1, up to ten times at effort 10.
    expire_buckets_left_ = (buckets * static_cast<size_t>(engine_.options().active_expire_effort.Get()) +
                            static_cast<size_t>(hz) - 1) / static_cast<size_t>(hz);
  } else {
    expire_buckets_left_ = 0;
  }
  CheckConnections();
  UpdateWorkerCounters();
  for (Listener* listener : paused_listeners_) {
    if (listener->fd >= 0) AddListener(listener);
  }
  paused_listeners_.clear();
  RunOnce();
}

/// One slice of what is due. True while there is more.
bool Worker::RunBackgroundSlice() {
  if (engine_.IsPaused(now_ms_) || engine_.is_loading.load(std::memory_order_relaxed)) expire_buckets_left_ = 0;
  if (expire_buckets_left_ == 0 && !has_deferred_frees_) return false;
  const int64_t deadline_ns = Clock::MonotonicNs() + kSliceNs;
  const bool more_frees = has_deferred_frees_ && FreeSlice(deadline_ns);
  const bool more_expiry = expire_buckets_left_ > 0 && ExpireSlice(deadline_ns);
  return more_frees || more_expiry;
}

bool Worker::ExpireSlice(int64_t deadline_ns) {
  shard::LeaseTable& leases = server_->leases();
  const size_t shards = static_cast<size_t>(engine_.shard_count());
  const size_t step = static_cast<size_t>(engine_.config().workers);
  const size_t places = (shards / step + 1) * static_cast<size_t>(engine_.database_count());
  // Once round all places is enough: those skipped because they are busy come again with the next tick.
  for (size_t visited = 0; visited <= places && expire_buckets_left_ > 0; visited++) {
    if (expire_shard_ % step != index_ || expire_shard_ >= shards) {
      expire_shard_ = index_;
      expire_db_ = 0;
      if (expire_shard_ >= shards) break;
    }
    const engine::ShardId shard = static_cast<engine::ShardId>(expire_shard_);
    const engine::DatabaseCounters& counters = engine_.database_counters(shard, expire_db_);
    const bool may_expire = counters.expires.Get() + counters.field_expires.Get() > 0;
    if (may_expire && leases.TryAcquire(shard, index_)) {
      const bool has_time = ExpireDatabase(shard, expire_db_, deadline_ns);
      server_->ServeReady(thread_);
      leases.Release(shard, index_);
      if (!has_time) return true;
    }
    if (++expire_db_ == engine_.database_count()) {
      expire_db_ = 0;
      expire_shard_ += step;
    }
  }
  expire_buckets_left_ = 0;
  return false;
}

/// False when the deadline was reached before the database was done.
bool Worker::ExpireDatabase(engine::ShardId shard, int db, int64_t deadline_ns) {
  engine::Keyspace& space = engine_.keyspace(shard);
  size_t left = space.db(db).table.bucket_count();
  if (left > expire_buckets_left_) left = expire_buckets_left_;
  while (left > 0) {
    const size_t step = left < kExpireStep ? left : kExpireStep;
    const uint64_t first_bucket = space.db(db).expire_bucket;
    bool is_late = false;
    const size_t looked = space.ExpireCycle(
        db, now_ms_, step,
        [&](int db_index, std::string_view name) {
          const engine::Key key = engine_.MakeKey(name);
          engine::Handle handle = space.Find(db_index, key);
          if (handle) engine::ExpireKey(engine_, &counters_, db_index, key, handle);
          engine::EndUnit(thread_);
        },
        [&](int db_index, std::string_view name) {
          if (is_late) return;
          const engine::Key key = engine_.MakeKey(name);
          const engine::Handle handle = space.Find(db_index, key);
          while (handle && engine::ExpireHashFields(engine_, db_index, key, handle, now_ms_) && !is_late) {
            engine::EndUnit(thread_);
            is_late = Clock::MonotonicNs() >= deadline_ns;
          }
          engine::EndUnit(thread_);
          is_late = is_late || Clock::MonotonicNs() >= deadline_ns;
        });
    if (is_late) {
      // Hashes with more than a slice's worth of fields that are due: the next slice goes on with them.
      space.db(db).expire_bucket = first_bucket;
      counters_.expired_time_cap_reached.Increment();
      return false;
    }
    left -= step;
    expire_buckets_left_ -= step < expire_buckets_left_ ? step : expire_buckets_left_;
    engine_.database_counters(shard, db).average_ttl_ms.Set(
        static_cast<uint64_t>(space.db(db).average_ttl_ms));
    if (looked < step) return true;
    if (left > 0 && Clock::MonotonicNs() >= deadline_ns) {
      counters_.expired_time_cap_reached.Increment();
      return false;
    }
  }
  return true;
}

bool Worker::FreeSlice(int64_t deadline_ns) {
  has_deferred_frees_ = false;
  for (int shard = index_; shard < engine_.shard_count(); shard += engine_.config().workers) {
    const engine::ShardId id = static_cast<engine::ShardId>(shard);
    if (engine_.shard_counters(id).lazyfree_pending_objects.Get() == 0) continue;
    has_deferred_frees_ = true;
    if (!server_->leases().TryAcquire(id, index_)) continue;
    engine::Keyspace& space = engine_.keyspace(id);
    const size_t before = space.deferred_free_objects();
    while (space.FreeDeferred(kFreeStep) && Clock::MonotonicNs() < deadline_ns) {
    }
    counters_.lazyfreed_objects.Add(before - space.deferred_free_objects());
    server_->leases().Release(id, index_);
    if (Clock::MonotonicNs() >= deadline_ns) return true;
  }
  return has_deferred_frees_;
}

void Worker::UpdateWorkerCounters() {
  uint64_t pushes = 0, stalls = 0, high_water = 0;
  for (engine::WorkerId to = 0; to < server_->mesh().workers(); to++) {
    if (to == index_) continue;
    const ring::RingSender& sender = server_->mesh().sender(index_, to);
    pushes += server_->mesh().ring(index_, to).pushed_total();
    stalls += sender.stalls();
    if (sender.overflow_count_max() > high_water) high_water = sender.overflow_count_max();
  }
  counters_.ring_pushes.Set(pushes);
  counters_.ring_stalls.Set(stalls);
  counters_.ring_high_water.Set(high_water);
  counters_.doorbells_rung.Set(server_->mesh().bell(index_).wakes());
  // Walking all connections is for once a second.
  if (last_second_ == counted_second_) return;
  counted_second_ = last_second_;
  NotePeaks();
}

void Worker::UpdateShardCounters(engine::ShardId shard) {
  const shard::LeaseCounters leases = server_->leases().counters(shard);
  engine::ShardCounters& counters = engine_.shard_counters(shard);
  counters.leases_in_place.Set(leases.in_place);
  counters.leases_queued.Set(leases.queued);
  counters.lease_hand_overs.Set(leases.handed_over);
  counters.queue_high_water.Set(leases.queue_length_max);
  // The heap and the tables are the lease holder's; a busy shard shows its figures of the last tick.
  if (!server_->leases().TryAcquire(shard, index_)) return;
  engine::Keyspace& space = engine_.keyspace(shard);
  size_t table_bytes = 0;
  for (int db = 0; db < engine_.database_count(); db++) table_bytes += space.db(db).table.memory();
  counters.mapped_memory.Set(space.heap().mapped_bytes());
  counters.table_memory.Set(table_bytes);
  if (!space.tracking().empty()) engine::LimitTracking(engine_, space);
  counters.used_memory.Set(space.heap().used_bytes());
  server_->leases().Release(shard, index_);
}

}  // namespace sherd::net
