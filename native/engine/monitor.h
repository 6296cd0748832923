// Monitors: clients in MONITOR, which see every command that runs on any worker.
//
// The line of a command is made once, by the thread that has run it, while it still holds the leases; and
// a message with it goes to each worker that has monitors, which appends it to theirs. So the lines of
// commands on the same shard come in the order in which they ran, to all monitors alike, and a line never
// comes before what its command has set off.
//
//   +1700000000.123456 [0 127.0.0.1:50000] "SET" "key" "value\r\n"
//
// While nobody monitors, a command pays one look at a count.
//
// Thread: any(), Post and Feed: any. The list of a worker: that worker only.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sherd {
struct CommandSpec;
}

namespace sherd::engine {

class CommandContext;
struct Session;
using WorkerId = uint16_t;
using MonitorLine = std::shared_ptr<const std::string>;

class Monitors {
 public:
  explicit Monitors(int workers);
  Monitors(const Monitors&) = delete;
  Monitors& operator=(const Monitors&) = delete;

  /// relaxed: who monitors sees the commands that come after its +OK; a worker that has not heard of it
  /// yet runs a command that came before.
  bool any() const { return count_.load(std::memory_order_relaxed) != 0; }

  // ---- The worker of the session ----
  void Add(WorkerId worker, Session* session);
  /// Does nothing if it is none.
  void Remove(WorkerId worker, Session* session);
  std::span<Session* const> OfWorker(WorkerId worker) const { return lists_[worker].sessions; }

  /// Sends a line to all monitors. Any thread with a ThreadState.
  void Post(const MonitorLine& line);
  /// Makes the line of a command (MakeMonitorLine) and sends it, if it is to be shown.
  void Show(const CommandSpec& spec, const Session& sender, int db, std::span<const std::string_view> args);

 private:
  struct alignas(64) List {
    std::atomic<uint32_t> count{0};    // of `sessions`, for those who post
    std::vector<Session*> sessions;    // in the order of MONITOR
  };
  std::atomic<uint32_t> count_{0};
  size_t workers_;
  std::unique_ptr<List[]> lists_;
};

/// The line of a command of `sender`, which has database `db`. Null: it is not shown (administration).
/// Passwords are blotted out.
MonitorLine MakeMonitorLine(const CommandSpec& spec, const Session& sender, int db,
                            std::span<const std::string_view> args);

/// Shows the command that has just run to all monitors.
void FeedMonitors(const CommandContext& ctx);

}  // namespace sherd::engine
