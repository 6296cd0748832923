// Options that the data plane reads while it runs: set by the control plane (CONFIG SET), read by every
// thread with relaxed loads. An option that belongs together with others across threads does not exist
// here on purpose: each is a number of its own.
//
// Names are redis.conf's; yes/no options are 1/0. `requirepass` and the output buffer limits are text
// and have their own setters in Engine.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

namespace sherd::engine {

class Option {
 public:
  explicit Option(int64_t initial) : value_(initial) {}
  int64_t Get() const { return value_.load(std::memory_order_relaxed); }
  void Set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  explicit operator bool() const { return Get() != 0; }

 private:
  std::atomic<int64_t> value_;
};

// clang-format off
//   X(field, "redis.conf name", default)
#define SHERD_OPTIONS(X)                                                                             \
  X(maxclients, "maxclients", 10000)                                                                 \
  X(timeout_sec, "timeout", 0)                                                                       \
  X(tcp_keepalive_sec, "tcp-keepalive", 300)                                                         \
  X(protected_mode, "protected-mode", 1)                                                             \
  X(proto_max_bulk_len, "proto-max-bulk-len", 512LL * 1024 * 1024)                                   \
  X(client_query_buffer_limit, "client-query-buffer-limit", 1024LL * 1024 * 1024)                    \
  X(hz, "hz", 10)                                                                                    \
  X(active_expire_effort, "active-expire-effort", 1)                                                 \
  X(maxmemory, "maxmemory", 0)                                                                       \
  X(maxmemory_clients, "maxmemory-clients", 0)                                                       \
  X(maxmemory_policy, "maxmemory-policy", 0)                                                         \
  X(lfu_log_factor, "lfu-log-factor", 10)                                                            \
  X(lfu_decay_time_minutes, "lfu-decay-time", 1)                                                     \
  X(lazyfree_lazy_user_del, "lazyfree-lazy-user-del", 0)                                             \
  X(lazyfree_lazy_user_flush, "lazyfree-lazy-user-flush", 0)                                         \
  X(lazyfree_lazy_expire, "lazyfree-lazy-expire", 0)                                                 \
  X(lazyfree_lazy_server_del, "lazyfree-lazy-server-del", 0)                                         \
  X(hll_sparse_max_bytes, "hll-sparse-max-bytes", 3000)                                              \
  X(enable_debug_command, "enable-debug-command", 0)                                                 \
  X(notify_flags, "notify-keyspace-events", 0)                                                       \
  X(list_max_listpack_size, "list-max-listpack-size", -2)                                            \
  X(list_compress_depth, "list-compress-depth", 0)                                                   \
  X(hash_max_listpack_entries, "hash-max-listpack-entries", 512)                                     \
  X(hash_max_listpack_value, "hash-max-listpack-value", 64)                                          \
  X(set_max_intset_entries, "set-max-intset-entries", 512)                                           \
  X(set_max_listpack_entries, "set-max-listpack-entries", 128)                                       \
  X(set_max_listpack_value, "set-max-listpack-value", 64)                                            \
  X(zset_max_listpack_entries, "zset-max-listpack-entries", 128)                                     \
  X(zset_max_listpack_value, "zset-max-listpack-value", 64)                                          \
  X(stream_node_max_bytes, "stream-node-max-bytes", 4096)                                            \
  X(stream_node_max_entries, "stream-node-max-entries", 100)                                         \
  X(tracking_table_max_keys, "tracking-table-max-keys", 1000000)                                     \
  X(rdb_compat_version, "rdb-compat-version", 11)
// clang-format on

/// maxmemory-policy as a number; the LFU policies are what OBJECT FREQ asks for.
enum MaxmemoryPolicy : int64_t {
  kNoEviction = 0, kAllKeysLru, kAllKeysLfu, kAllKeysRandom, kVolatileLru, kVolatileLfu,
  kVolatileRandom, kVolatileTtl,
};
inline bool IsLfuPolicy(int64_t policy) { return policy == kAllKeysLfu || policy == kVolatileLfu; }
inline bool IsLruPolicy(int64_t policy) { return policy == kAllKeysLru || policy == kVolatileLru; }

/// enable-debug-command.
enum DebugAccess : int64_t { kDebugNo = 0, kDebugYes = 1, kDebugLocal = 2 };

struct Options {
#define SHERD_DECLARE_OPTION(field, name, initial) Option field{initial};
  SHERD_OPTIONS(SHERD_DECLARE_OPTION)
#undef SHERD_DECLARE_OPTION

  /// The option with this redis.conf name, or nullptr.
  Option* Find(std::string_view name) {
#define SHERD_FIND_OPTION(field, option_name, initial) \
  if (name == option_name) return &field;
    SHERD_OPTIONS(SHERD_FIND_OPTION)
#undef SHERD_FIND_OPTION
    return nullptr;
  }
};

}  // namespace sherd::engine
