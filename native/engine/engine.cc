// Engine: creation, counters, text options.
#include "engine/engine.h"

#include <algorithm>
#include <cstring>

#include "base/clock.h"
#include "command_table/command_table.h"

namespace sherd::engine {

namespace {

// Splits at single spaces; enough for the output limits' canonical form.
std::vector<std::string_view> SplitWords(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const size_t end = text.find(' ');
    const std::string_view word = text.substr(0, end);
    if (!word.empty()) words.push_back(word);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return words;
}

bool ParseClientClass(std::string_view word, ClientClass* client_class) {
  if (word == "normal") {
    *client_class = ClientClass::kNormal;
  } else if (word == "slave" || word == "replica") {
    *client_class = ClientClass::kReplica;
  } else if (word == "pubsub") {
    *client_class = ClientClass::kPubsub;
  } else {
    return false;
  }
  return true;
}

}  // namespace

// The first worker's counters stand at the start of the memory.
Engine::Engine(const EngineConfig& config)
    : monitors(config.workers),
      tracking(static_cast<size_t>(config.workers),
               &reinterpret_cast<WorkerCounters*>(config.counter_memory)->tracking_prefixes),
      config_(config),
      pubsub_(config.workers),
      key_events_(&pubsub_, &options_) {
  CHECK(config.shards >= 1 && config.shards <= 1024 && (config.shards & (config.shards - 1)) == 0);
  CHECK(config.workers >= 1 && config.databases >= 1 && config.counter_memory != nullptr);
  slot_shift_ = 14 - __builtin_ctz(static_cast<unsigned>(config.shards));
  layout_ = {static_cast<size_t>(config.workers), static_cast<size_t>(config.shards),
             static_cast<size_t>(config.databases), AllCommands().size()};
  start_time_ms_ = Clock::WallMs();
  for (int shard = 0; shard < config.shards; shard++) {
    const ShardId id = static_cast<ShardId>(shard);
    keyspaces_.push_back(std::make_unique<Keyspace>(id, config.databases, &shard_counters(id),
                                                    &database_counters(id, 0), &initial_clock));
  }
  output_limits_[static_cast<size_t>(ClientClass::kReplica)] = {256LL << 20, 64LL << 20, 60};
  output_limits_[static_cast<size_t>(ClientClass::kPubsub)] = {32LL << 20, 8LL << 20, 60};
}

Engine::~Engine() = default;

void Engine::ApplyNotifyFlags() {
  event_sink.store(key_events_.is_on() ? &key_events_ : nullptr, std::memory_order_relaxed);
}

WorkerCounters& Engine::worker_counters(WorkerId worker) {
  DCHECK(worker < layout_.threads());
  return reinterpret_cast<WorkerCounters*>(config_.counter_memory + layout_.worker_offset())[worker];
}

CommandCounters& Engine::command_counters(WorkerId worker, size_t command) {
  DCHECK(worker < layout_.threads() && command < layout_.commands);
  return reinterpret_cast<CommandCounters*>(config_.counter_memory +
                                            layout_.command_offset())[worker * layout_.commands + command];
}

ShardCounters& Engine::shard_counters(ShardId shard) {
  return reinterpret_cast<ShardCounters*>(config_.counter_memory + layout_.shard_offset())[shard];
}

DatabaseCounters& Engine::database_counters(ShardId shard, int db) {
  const size_t index = shard * layout_.databases + static_cast<size_t>(db);
  return reinterpret_cast<DatabaseCounters*>(config_.counter_memory + layout_.database_offset())[index];
}

void Engine::ResetStatistics() {
  for (size_t worker = 0; worker < layout_.threads(); worker++) {
    WorkerCounters& c = worker_counters(static_cast<WorkerId>(worker));
    for (Counter* counter :
         {&c.connections_received, &c.connections_rejected, &c.commands_processed, &c.net_input_bytes,
          &c.net_output_bytes, &c.keyspace_hits, &c.keyspace_misses, &c.expired_keys, &c.error_replies,
          &c.reads_processed, &c.writes_processed, &c.query_buffer_limit_disconnections,
          &c.output_buffer_limit_disconnections, &c.expired_time_cap_reached, &c.expire_cycle_us,
          &c.lazyfreed_objects, &c.evicted_clients}) {
      counter->Set(0);
    }
    for (size_t command = 0; command < layout_.commands; command++) {
      CommandCounters& of_command = command_counters(static_cast<WorkerId>(worker), command);
      of_command.calls.Set(0);
      of_command.nanoseconds.Set(0);
      of_command.rejected_calls.Set(0);
      of_command.failed_calls.Set(0);
    }
  }
}

// ---- CLIENT PAUSE ----

void Engine::Pause(int64_t until_ms, bool holds_all, int64_t now_ms) {
  const std::lock_guard<std::mutex> lock(pause_mutex_);
  if (IsPaused(now_ms)) {
    until_ms = std::max(until_ms, pause_until_ms.load(std::memory_order_relaxed));
    holds_all = holds_all || (gate.load(std::memory_order_relaxed) & kGatePauseAll) != 0;
  }
  pause_until_ms.store(until_ms, std::memory_order_relaxed);
  const uint32_t bits = until_ms <= now_ms ? 0 : holds_all ? kGatePauseAll : kGatePauseWrites;
  // The new bit first: there is no moment without any.
  gate.fetch_or(bits, std::memory_order_relaxed);
  gate.fetch_and(~kGatePause | bits, std::memory_order_relaxed);
}

void Engine::Unpause() {
  const std::lock_guard<std::mutex> lock(pause_mutex_);
  pause_until_ms.store(0, std::memory_order_relaxed);
  gate.fetch_and(~kGatePause, std::memory_order_relaxed);
}

void Engine::EndPause(int64_t now_ms) {
  if ((gate.load(std::memory_order_relaxed) & kGatePause) == 0) return;
  const std::lock_guard<std::mutex> lock(pause_mutex_);
  if (!IsPaused(now_ms)) gate.fetch_and(~kGatePause, std::memory_order_relaxed);
}

// ---- Text options ----

void Engine::SetPassword(std::string_view password) {
  const std::lock_guard<std::mutex> lock(text_mutex_);
  password_ = password;
  has_password_.store(!password_.empty(), std::memory_order_release);
  text_version_.fetch_add(1, std::memory_order_release);
}

void Engine::RefuseWrites(std::string_view error) {
  const std::lock_guard<std::mutex> lock(text_mutex_);
  write_refusal_ = error;
  // release: whoever sees it finds the text.
  refuses_writes_.store(!error.empty(), std::memory_order_release);
}

std::string Engine::write_refusal() const {
  const std::lock_guard<std::mutex> lock(text_mutex_);
  return write_refusal_;
}

bool Engine::PasswordMatches(std::string_view password) const {
  const std::lock_guard<std::mutex> lock(text_mutex_);
  if (password_.empty()) return false;
  // Every byte of the candidate is looked at, whatever differs, so that timing tells nothing about the
  // password but its length class.
  unsigned difference = password.size() != password_.size() ? 1u : 0u;
  for (size_t i = 0; i < password.size(); i++) {
    difference |= static_cast<unsigned char>(password[i]) ^
                  static_cast<unsigned char>(password_[i % password_.size()]);
  }
  return difference == 0;
}

bool Engine::SetOutputLimits(std::string_view text) {
  const std::vector<std::string_view> words = SplitWords(text);
  if (words.size() % 4 != 0) return false;
  OutputLimit limits[3];
  {
    const std::lock_guard<std::mutex> lock(text_mutex_);
    std::memcpy(limits, output_limits_, sizeof limits);
  }
  for (size_t i = 0; i < words.size(); i += 4) {
    ClientClass client_class;
    OutputLimit limit;
    if (!ParseClientClass(words[i], &client_class) || !ParseInt64(words[i + 1], &limit.hard_bytes) ||
        !ParseInt64(words[i + 2], &limit.soft_bytes) || !ParseInt64(words[i + 3], &limit.soft_seconds)) {
      return false;
    }
    limits[static_cast<size_t>(client_class)] = limit;
  }
  const std::lock_guard<std::mutex> lock(text_mutex_);
  std::memcpy(output_limits_, limits, sizeof limits);
  text_version_.fetch_add(1, std::memory_order_release);
  return true;
}

OutputLimit Engine::output_limit(ClientClass client_class) const {
  const std::lock_guard<std::mutex> lock(text_mutex_);
  return output_limits_[static_cast<size_t>(client_class)];
}

}  // namespace sherd::engine
