// Server: the engine together with what moves commands between threads: leases, rings, workers,
// listeners. One per engine; created by the main thread before its workers start, destroyed after they
// have stopped.
//
// It is the Executor of the lease table: whoever completes a request's leases runs it here, and the
// answer goes to the worker whose connection sent it.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "command_table/command_table.h"
#include "engine/engine.h"
#include "engine/handlers.h"
#include "ring/mesh.h"
#include "shard/lease.h"

namespace sherd::net {

struct Connection;
class Worker;

/// A command that waits at a shard or travels to another worker. Owns copies of its arguments: the
/// connection's buffers are the worker's.
struct QueuedRequest : shard::Request {
  const CommandSpec* spec = nullptr;
  engine::Handler handler = nullptr;
  int db = 0;
  int resp = 2;
  bool no_touch = false;
  uint64_t client_id = 0;
  engine::ShardId first_shard = 0;
  Connection* connection = nullptr;
  std::string bytes;                    // arguments, back to back
  std::vector<std::string_view> args;   // views into bytes
  std::vector<engine::Key> keys;
  std::vector<shard::ShardId> shard_list;
  resp::OutputBuffer reply;
  engine::LargeString* large = nullptr;  // the last argument's block, if it has one of its own

  QueuedRequest() = default;
  ~QueuedRequest() {
    if (large != nullptr) large->Unref();
  }
  QueuedRequest(const QueuedRequest&) = delete;
  QueuedRequest& operator=(const QueuedRequest&) = delete;
};

/// Frames between workers (ring::Frame types).
enum class FrameType : uint8_t {
  kSubmit = 1,      // word1: QueuedRequest* for a shard that the target owns
  kAnswer = 2,      // word1: QueuedRequest* that has been executed
  kPollShard = 3,   // payload: shard left with work queued
  kConnection = 4,  // payload: accepted descriptor; word1: Listener*
};

/// A bound socket that all I/O workers accept from.
struct Listener {
  int fd = -1;
  bool is_unix = false;
  int port = 0;
  std::string path;  // unix socket path
};

class Server final : public shard::Executor {
 public:
  Server(const engine::EngineConfig& config, const engine::HandlerTable* handlers);
  ~Server();

  engine::Engine& engine() { return engine_; }
  shard::LeaseTable& leases() { return leases_; }
  ring::Mesh& mesh() { return mesh_; }
  Worker& worker(engine::WorkerId index) { return *workers_[index]; }
  const engine::HandlerTable& handlers() const { return *handlers_; }

  // ---- Listeners (main thread) ----

  struct ListenResult {
    int port = 0;
    int error = 0;               // errno, 0 when bound
    const char* failed = "bind";  // the call that failed: getaddrinfo, socket, bind, listen
  };
  ListenResult ListenTcp(const std::string& address, int port, int backlog);
  ListenResult ListenUnix(const std::string& path, int permissions, int backlog);
  void CloseListeners();

  /// The worker with the fewest connections; counts one more for it. Any worker.
  engine::WorkerId AssignConnection();
  void UnassignConnection(engine::WorkerId worker);

  // ---- shard::Executor ----

  void Execute(shard::Request* request, shard::WorkerId self) override;
  void RingOwner(shard::ShardId shard, shard::WorkerId self) override;

 private:
  ListenResult AddListener(std::unique_ptr<Listener> listener);

  engine::Engine engine_;
  const engine::HandlerTable* handlers_;
  shard::LeaseTable leases_;
  ring::Mesh mesh_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::unique_ptr<std::atomic<int>[]> connection_counts_;
};

/// Runs a handler with everything around it: call counters, timing, propagation. The leases of the
/// command's shards are held by the calling thread. `tick` is the CycleClock when the last command of
/// this thread ended, and is moved on: commands of a batch are timed with one clock reading each.
void RunCommand(engine::CommandContext& ctx, engine::Handler handler, uint64_t* tick);

}  // namespace sherd::net
