// Worker: its clients as a whole: what they hold in memory, which of them have to go, and how those are let
// go that wait (CLIENT UNBLOCK, CLIENT PAUSE).
//
// MEMORY. Account() is called wherever the buffers of a connection have changed and are at rest: after a
// batch, after a message, when input was kept. It moves the worker's sum by the difference and costs a few
// loads when there is none. With a limit (maxmemory-clients) it also looks at the sum over all workers, and
// EvictClients() runs before the turn ends; in the middle of a long batch KeepsLimits() sees to it after
// each command.
#include <algorithm>

#include "base/check.h"
#include "base/clock.h"
#include "net/worker.h"

namespace sherd::net {

namespace {

/// Asks a worker that has the largest clients to evict some.
class EvictionCall final : public engine::Message {
 public:
  void Deliver(engine::WorkerPort& port) override {
    static_cast<Worker&>(port).EvictLater();
    delete this;
  }
};

}  // namespace

// ---- Memory ----

void Worker::Account(Connection* connection) {
  if (!connection->is_listed) return;
  const size_t bytes = connection->memory();
  const ClientMemory::Bucket bucket =
      connection->session.no_evict ? ClientMemory::kNoBucket : ClientMemory::BucketOf(bytes);
  if (__builtin_expect(bytes == connection->counted_bytes && bucket == connection->bucket, 1)) return;
  const bool has_grown = bytes > connection->counted_bytes || bucket > connection->bucket;
  SetAccount(connection, bytes, bucket);
  if (has_grown && server_->client_memory().IsOver()) must_evict_ = true;
}

void Worker::SetAccount(Connection* connection, size_t bytes, ClientMemory::Bucket bucket) {
  counters_.client_memory_bytes.Add(bytes - connection->counted_bytes);
  connection->counted_bytes = bytes;
  if (bucket == connection->bucket) return;
  server_->client_memory().Move(index_, connection->bucket, bucket);
  connection->bucket = bucket;
}

/// Closes the largest clients until the sum is below the limit, as far as they are this worker's.
void Worker::EvictClients() {
  must_evict_ = false;
  ClientMemory& memory = server_->client_memory();
  if (!memory.IsOver()) return;
  std::vector<Connection*> largest_first;
  for (Connection* connection : connections_) {
    if (connection->bucket != ClientMemory::kNoBucket) largest_first.push_back(connection);
  }
  std::sort(largest_first.begin(), largest_first.end(), [](const Connection* a, const Connection* b) {
    return a->counted_bytes > b->counted_bytes;
  });
  size_t next = 0;
  const std::lock_guard<std::mutex> lock(memory.mutex());
  while (memory.IsOver()) {
    engine::WorkerId worker;
    if (!memory.FindLargest(index_, &worker)) {
      if (over_memory_logged_second_ != last_second_) {
        Log("warning", "Over client maxmemory after evicting all evictable clients");
      }
      over_memory_logged_second_ = last_second_;
      return;
    }
    if (worker != index_) {
      if (memory.Ask(worker)) server_->Post(worker, new EvictionCall());
      return;
    }
    CHECK(next < largest_first.size());
    Connection* connection = largest_first[next++];
    std::string line;
    DescribeConnection(*connection, now_ms_, &line);
    Log("notice", "Evicting client: " + line);
    counters_.evicted_clients.Increment();
    Close(connection);
  }
}

void Worker::EvictLater() {
  server_->client_memory().TakeQuestion(index_);
  must_evict_ = true;
}

/// After a command, while there are limits: false when they cost this client its connection.
bool Worker::KeepsLimits(Connection* connection) {
  if (OutputLimitOf(*connection).hard_bytes > 0 && IsOverOutputLimit(connection)) {
    CloseOverLimit(connection);
    return false;
  }
  Account(connection);
  if (must_evict_) EvictClients();
  return connection->state != ConnectionState::kClosing;
}

/// Once a second: what the largest buffers of the last seconds were (INFO), and sums that only time changes.
void Worker::NotePeaks() {
  BufferPeaks& now = peaks_[static_cast<size_t>(last_second_) % peaks_.size()];
  now = {};
  for (Connection* connection : connections_) {
    Account(connection);
    now.input = std::max(now.input, connection->input_memory());
    now.output = std::max(now.output, connection->output.memory());
  }
  BufferPeaks recent;
  for (const BufferPeaks& peak : peaks_) {
    recent.input = std::max(recent.input, peak.input);
    recent.output = std::max(recent.output, peak.output);
  }
  counters_.max_input_buffer.Set(recent.input);
  counters_.max_output_buffer.Set(recent.output);
}

void Worker::NotePeak(size_t input, size_t output) {
  BufferPeaks& now = peaks_[static_cast<size_t>(last_second_) % peaks_.size()];
  now.input = std::max(now.input, input);
  now.output = std::max(now.output, output);
  if (input > counters_.max_input_buffer.Get()) counters_.max_input_buffer.Set(input);
  if (output > counters_.max_output_buffer.Get()) counters_.max_output_buffer.Set(output);
}

// ---- Time ----

/// Whether `timeout` ends this connection: not while it waits for something, and not one that only listens.
bool Worker::IsIdle(const Connection& connection, int64_t timeout_ms) const {
  const engine::Session& session = connection.session;
  return connection.state == ConnectionState::kActive && !session.is_monitor && !session.is_subscriber &&
         now_ms_ - session.last_active_ms > timeout_ms;
}

void Worker::CheckConnections() {
  const int64_t timeout_ms = engine_.options().timeout_sec.Get() * 1000;
  const bool has_limits = std::any_of(
      std::begin(output_limits_), std::end(output_limits_),
      [](const engine::OutputLimit& limit) { return limit.hard_bytes > 0 || limit.soft_bytes > 0; });
  if (server_->client_memory().IsOver()) must_evict_ = true;
  if (timeout_ms == 0 && !has_limits) return;
  for (size_t i = connections_.size(); i-- > 0;) {
    Connection* connection = connections_[i];
    if (timeout_ms > 0 && IsIdle(*connection, timeout_ms)) {
      Log("verbose", "Closing idle client");
      counters_.timeouts.Increment();
      Close(connection);
    } else if (has_limits && IsOverOutputLimit(connection)) {
      CloseOverLimit(connection);
    }
  }
}

// ---- CLIENT UNBLOCK ----

Worker::Unblock Worker::UnblockClient(uint64_t client_id, bool with_error) {
  Connection* connection = server_->FindConnection(client_id, index_);
  if (connection == nullptr || connection->blocked == nullptr) return Unblock::kWasNotBlocked;
  QueuedRequest* request = connection->blocked;
  using TakenBack = engine::Waiter::TakenBack;
  const TakenBack taken_back = request->TryTakeBack();
  // Its answer is under way: it does not wait any more.
  if (taken_back == TakenBack::kTooLate) return Unblock::kWasNotBlocked;
  if (taken_back == TakenBack::kNotYet) return Unblock::kBusy;
  request->unblocked_with_error = with_error;
  if (taken_back == TakenBack::kTaken) FinishCancelled(connection);
  server_->mesh().bell(index_).Ring();
  return Unblock::kUnblocked;
}

// ---- CLIENT PAUSE ----

void Worker::NotePostponed(Connection* connection) {
  connection->is_postponed = true;
  counters_.blocked_clients.Add(1);
}

void Worker::NoteResumed(Connection* connection) {
  connection->is_postponed = false;
  counters_.blocked_clients.Add(~uint64_t{0});
}

/// Parks a connection in front of a command that may not run yet; it is parsed again later.
Worker::Outcome Worker::Postpone(Connection* connection, bool awaits_snapshot) {
  was_paused_ = was_paused_ || !awaits_snapshot;
  connection->state = ConnectionState::kParked;
  NotePostponed(connection);
  postponed_.push_back(connection);
  return Outcome::kPostponed;
}

/// The same for one whose request has come home from its shards not executed.
void Worker::PostponeRequest(QueuedRequest* request) {
  Connection* connection = request->connection;
  if (connection->state == ConnectionState::kClosing) {
    connection->waits_for_answer = false;
    dead_.push_back(connection);
    return Dispose(request);
  }
  connection->is_away = false;
  NotePostponed(connection);
  postponed_requests_.push_back(request);
  // Whoever held it back may have let go since. A snapshot counts that, and tells us afterwards.
  const uint32_t releases = engine_.snapshot_releases.load(std::memory_order_relaxed);
  if (!request->awaits_snapshot || releases != request->snapshot_releases) must_look_at_postponed_ = true;
  was_paused_ = was_paused_ || !request->awaits_snapshot;
  // What it sends meanwhile is kept, so that its end is seen.
  if (connection->readable) MarkReady(connection);
}

/// The connection is being closed: what was held back of it never runs.
void Worker::ForgetPostponed(Connection* connection) {
  NoteResumed(connection);
  std::erase(postponed_, connection);
  std::vector<QueuedRequest*> requests;
  requests.swap(postponed_requests_);
  for (QueuedRequest* request : requests) {
    if (request->connection != connection) {
      postponed_requests_.push_back(request);
      continue;
    }
    connection->waits_for_answer = false;
    Dispose(request);
  }
}

void Worker::ResumePostponed() {
  if (postponed_.empty() && postponed_requests_.empty()) return;
  const bool is_paused = engine_.IsPaused(now_ms_);
  const bool must_look = must_look_at_postponed_ || (was_paused_ && !is_paused);
  was_paused_ = is_paused;
  if ((is_paused || engine_.HoldsForSnapshot()) && !must_look) return;
  must_look_at_postponed_ = false;
  std::vector<Connection*> connections;
  connections.swap(postponed_);
  // What is still held back will come back here.
  for (Connection* connection : connections) {
    NoteResumed(connection);
    ResumeLater(connection);
  }
  if (is_paused) return;
  for (QueuedRequest* request : postponed_requests_) {
    NoteResumed(request->connection);
    prepared_.push_back(request);
  }
  postponed_requests_.clear();
}

}  // namespace sherd::net
