// Runner: a thread for commands that take long.
//
// It has no sockets and no shards of its own: it is a worker to the lease table only, with the number
// behind the last I/O worker. An I/O worker that finds a command to be long (engine/effort.h) gives the
// leases back, makes a request of it, bound to the runner (Request::runs_on), and goes on with its other
// connections. The runner submits the request as a worker would; whoever meets it on the way to its leases
// hands it on to the runner. While it runs, commands on its shards queue there as at any busy shard, and
// all others go on, on every worker.
//
// The thread starts with the first long command.
//
// Threads: Run from any; the rest is the runner's own.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>

#include "engine/command_context.h"
#include "ring/doorbell.h"
#include "ring/inbox.h"

namespace sherd::net {

class Server;
struct QueuedRequest;

class Runner {
 public:
  Runner(Server* server, engine::WorkerId id);
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  engine::WorkerId id() const { return id_; }
  /// Takes a request: a new one, to be submitted, or one that was granted to the runner.
  void Run(QueuedRequest* request);
  engine::ThreadState& thread() { return state_; }

 private:
  void Loop();
  void TakeRequests();

  Server* const server_;
  const engine::WorkerId id_;
  ring::Inbox inbox_;
  ring::Doorbell bell_;
  std::atomic<bool> is_stopping_{false};
  std::once_flag started_;
  std::thread thread_;
  engine::ThreadState state_;
};

}  // namespace sherd::net
