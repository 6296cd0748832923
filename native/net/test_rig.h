// What tests need to drive a Server without node: workers, connections without sockets, and a
// reader of replies.
//
//   test::ServerRig rig({.workers = 2, .shards = 4});
//   test::DetachedClient client(rig, 0);
//   EXPECT_EQ(client.Run(test::Line({"SET", "k", "v"})), "+OK\r\n");
//
// ServerRig owns the counters' memory, the server and its started workers. Control commands are
// answered with +OK at once, unless the test takes them over (on_control). A DetachedClient is a
// connection whose bytes come through Worker::ServeBytes; it keeps what the worker has not
// consumed, as a socket would.
//
// Thread: whoever drives a worker drives it alone. Pump() drives all of them from one thread, which
// is what single-threaded tests do; the stress scenarios give each thread a worker instead.
#pragma once

#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/numbers.h"
#include "command_table/command_table.h"
#include "commands/client_info.h"
#include "commands/registry.h"
#include "net/server.h"
#include "net/worker.h"

namespace sherd::test {

/// One request in wire form.
inline std::string Line(const std::vector<std::string>& words) {
  std::string line = "*" + std::to_string(words.size()) + "\r\n";
  for (const std::string& word : words) {
    line += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  }
  return line;
}

/// Size of the RESP2 or RESP3 reply at the front of `bytes`; 0: not complete, npos: not a reply.
inline size_t ReplySize(std::string_view bytes, int depth = 0) {
  constexpr size_t kBad = std::string_view::npos;
  const size_t line = bytes.find("\r\n");
  if (line == kBad) return 0;
  if (line == 0 || depth > 8) return kBad;
  const char type = bytes[0];
  if (std::strchr("+-:_,#(", type) != nullptr) return line + 2;
  int64_t count;
  if (!ParseInt64(bytes.substr(1, line - 1), &count) || count < -1) return kBad;
  size_t size = line + 2;
  if (count == -1) return size;
  if (type == '$' || type == '=' || type == '!') {
    size += static_cast<size_t>(count) + 2;
    if (bytes.size() < size) return 0;
    return bytes.substr(size - 2, 2) == "\r\n" ? size : kBad;
  }
  if (std::strchr("*%~>|", type) == nullptr) return kBad;
  if (type == '%') count *= 2;
  if (type == '|') count = count * 2 + 1;  // an attribute belongs to the reply behind it
  for (int64_t i = 0; i < count; i++) {
    const size_t element = ReplySize(bytes.substr(size), depth + 1);
    if (element == 0 || element == kBad) return element;
    size += element;
  }
  return size;
}

/// Everything in `bytes`, cut into replies; CHECKs that it is made of whole ones.
inline std::vector<std::string> CutReplies(std::string_view bytes) {
  std::vector<std::string> replies;
  while (!bytes.empty()) {
    const size_t size = ReplySize(bytes);
    CHECK_MSG(size != 0 && size != std::string_view::npos,
              "output does not end with a whole reply");
    replies.emplace_back(bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  return replies;
}

struct RigOptions {
  int workers = 1;
  int shards = 1;
  int databases = 16;
  bool in_place = true;
};

class ServerRig {
 public:
  explicit ServerRig(const RigOptions& options) : options_(options) {
    engine::EngineConfig config;
    config.workers = options.workers;
    config.shards = options.shards;
    config.databases = options.databases;
    config.in_place = options.in_place;
    const engine::CounterLayout layout{
        static_cast<size_t>(options.workers), static_cast<size_t>(options.shards),
        static_cast<size_t>(options.databases), AllCommands().size()};
    const size_t size = (layout.total_bytes() + 63) / 64 * 64;
    counters_.reset(static_cast<std::byte*>(std::aligned_alloc(64, size)));
    CHECK(counters_ != nullptr);
    std::memset(counters_.get(), 0, size);
    config.counter_memory = counters_.get();
    client_describer = net::DescribeSession;  // as the addon does
    server_ = std::make_unique<net::Server>(config, &Handlers());
    for (int i = 0; i < options.workers; i++) {
      worker(i).Start([this, i](net::ControlCall&& call) {
        if (on_control) return on_control(i, std::move(call));
        worker(i).AnswerControl(call.token, "+OK\r\n");
      });
    }
  }
  ~ServerRig() {
    for (int i = 0; i < options_.workers; i++) worker(i).Stop();
  }
  ServerRig(const ServerRig&) = delete;
  ServerRig& operator=(const ServerRig&) = delete;

  net::Server& server() { return *server_; }
  engine::Engine& engine() { return server_->engine(); }
  net::Worker& worker(int index) { return server_->worker(static_cast<engine::WorkerId>(index)); }
  engine::WorkerCounters& counters(int index) {
    return engine().worker_counters(static_cast<engine::WorkerId>(index));
  }
  /// One turn of every worker.
  void Pump() {
    for (int i = 0; i < options_.workers; i++) worker(i).RunOnce();
  }
  /// Bytes that the keyspaces of all shards hold, when nobody else runs.
  size_t UsedBytes() {
    size_t used = 0;
    ForEachKeyspace([&](engine::Keyspace& space) { used += space.heap().used_bytes(); });
    return used;
  }
  void FreeDeferred() {
    ForEachKeyspace([](engine::Keyspace& space) {
      while (space.FreeDeferred(1000)) {
      }
    });
  }
  void Validate() {
    ForEachKeyspace([](engine::Keyspace& space) { space.Validate(); });
  }
  /// A name on `shard`, told apart from others there by `nth`.
  std::string KeyOn(int shard, int nth = 0) {
    for (int i = 0;; i++) {
      std::string name = "k" + std::to_string(i);
      if (engine().MakeKey(name).shard == shard && nth-- == 0) return name;
    }
  }

  /// Takes over the control commands of all workers; on the worker's thread.
  std::function<void(int worker, net::ControlCall&&)> on_control;

 private:
  struct Freer {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  template <class Visit>
  void ForEachKeyspace(Visit&& visit) {
    for (int shard = 0; shard < options_.shards; shard++) {
      visit(engine().keyspace(static_cast<engine::ShardId>(shard)));
    }
  }

  const RigOptions options_;
  std::unique_ptr<std::byte, Freer> counters_;  // outlives the server
  std::unique_ptr<net::Server> server_;
};

class DetachedClient {
 public:
  DetachedClient(ServerRig& rig, int worker) : rig_(rig), worker_(rig.worker(worker)) {
    connection_.writable = false;
    connection_.session.id = rig.engine().NextClientId();
    connection_.session.authenticated = !rig.engine().has_password();
  }
  ~DetachedClient() {
    // A client that has got messages stands in its worker's list until the end of a turn.
    while (connection_.in_flush_list || connection_.in_held_list) worker_.RunOnce();
  }
  DetachedClient(const DetachedClient&) = delete;
  DetachedClient& operator=(const DetachedClient&) = delete;

  net::Connection& connection() { return connection_; }
  bool is_parked() const { return connection_.state == net::ConnectionState::kParked; }
  bool is_closing() const { return connection_.session.close_after_reply; }
  size_t unread_bytes() const { return input_.size(); }

  /// Bytes that arrive; serves what can be served without waiting.
  void Send(std::string_view bytes) {
    input_.append(bytes);
    Serve();
  }
  /// Serves on after an answer. True if anything was consumed.
  bool Serve() {
    if (is_parked() || input_.empty()) return false;
    const size_t consumed = worker_.ServeBytes(&connection_, input_);
    CHECK(consumed <= input_.size());
    input_.erase(0, consumed);
    return consumed > 0;
  }
  /// The output so far, taken away.
  std::string Take() {
    std::string bytes;
    while (!connection_.output.empty()) {
      std::string_view pieces[64];
      const size_t count = connection_.output.Peek(pieces, 64);
      size_t size = 0;
      for (size_t i = 0; i < count; i++) size += pieces[i].size();
      for (size_t i = 0; i < count; i++) bytes.append(pieces[i]);
      connection_.output.Consume(size);
    }
    return bytes;
  }
  /// Sends, waits for all that was sent to be answered (driving every worker), and takes the
  /// output.
  std::string Run(std::string_view bytes) {
    Send(bytes);
    Settle();
    return Take();
  }
  /// Drives all workers until the connection waits for nothing but more input.
  void Settle() {
    constexpr int kTurnsMax = 100000;
    for (int turn = 0; is_parked() || Serve(); turn++) {
      CHECK_MSG(turn < kTurnsMax, "a connection is parked for ever");
      if (is_parked()) rig_.Pump();
    }
  }

 private:
  ServerRig& rig_;
  net::Worker& worker_;
  net::Connection connection_;
  std::string input_;
};

}  // namespace sherd::test
