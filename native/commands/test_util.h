// TestServer: an engine whose commands a test runs by hand, one after the other, on one thread.
//
//   TestServer server(8);                                    // shards
//   EXPECT_EQ(server.Run({"SET", "k", "v"}), "+OK\r\n");
//   EXPECT_EQ(server.encoding("k"), "embstr");
//
// It does what the dispatcher does around a handler (key extraction, context, propagation of what
// was not propagated in another form) without leases, rings and sockets: nobody else is there. Time
// stands still but for AdvanceMs(). Effects and keyspace events are recorded while Listen() is on.
//
// Thread: the test's. The server owns all; at most one may exist at a time (it overrides the
// clock).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "command_table/command_table.h"
#include "commands/registry.h"
#include "engine/command_context.h"
#include "engine/engine.h"
#include "engine/session.h"
#include "engine/transaction.h"
#include "resp/reply_builder.h"

namespace sherd::test {

/// A reply's wire form.
inline std::string Bulk(std::string_view text) {
  std::string reply = "$" + std::to_string(text.size()) + "\r\n";
  return reply.append(text).append("\r\n");
}
inline std::string Integer(int64_t value) { return ":" + std::to_string(value) + "\r\n"; }
inline std::string Error(std::string_view text) { return "-" + std::string(text) + "\r\n"; }

class TestServer final : private engine::EventSink, private engine::PropagationSink {
 public:
  explicit TestServer(int shards = 1, int databases = 16)
      : counters_(MakeCounters(shards, databases)), engine_(Config(shards, databases)) {
    session.id = engine_.NextClientId();
    session.authenticated = true;
  }
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  /// Runs one command line in `session` and returns the reply's bytes. CHECKs name and arity, which
  /// are the dispatcher's business.
  std::string Run(std::initializer_list<std::string_view> args) {
    return RunLine({args.begin(), args.size()});
  }
  std::string RunLine(std::span<const std::string_view> args) {
    resp::OutputBuffer out;
    RunInto(&out, args);
    return Bytes(out);
  }
  /// The same with the caller's buffer, which may refer to values of the keyspace.
  void RunInto(resp::OutputBuffer* out, std::span<const std::string_view> args);
  static std::string Bytes(const resp::OutputBuffer& out);

  /// Records effects and events from now on.
  void Listen() {
    engine_.event_sink = this;
    engine_.propagation_sink = this;
  }
  /// What was recorded since the last call: "SET k v", and "set k"; with "3: " in front for another
  /// database than 0.
  std::vector<std::string> TakeEffects() { return Take(&effects_); }
  std::vector<std::string> TakeEvents() { return Take(&events_); }

  /// OBJECT ENCODING, or "" for no such key. Sees expired keys, touches nothing.
  std::string encoding(std::string_view key) {
    const engine::Handle handle = Find(key);
    return handle ? engine::EncodingName(handle.entry()->encoding()) : "";
  }
  /// The expiry in unix ms, -1 for none or no such key.
  int64_t expiry_ms(std::string_view key) {
    const engine::Handle handle = Find(key);
    return handle ? handle.entry()->expiry_ms() : engine::kNoExpiry;
  }
  int64_t now_ms() const { return Clock::WallMs(); }
  void AdvanceMs(int64_t ms) { clock_.AdvanceMs(ms); }
  engine::Engine& engine() { return engine_; }
  engine::WorkerCounters& counters() { return engine_.worker_counters(0); }
  /// dirty() of the last command.
  int64_t last_dirty() const { return last_dirty_; }
  /// Checks every structure of every shard.
  void Validate() {
    for (int shard = 0; shard < engine_.shard_count(); shard++) {
      engine_.keyspace(static_cast<engine::ShardId>(shard)).Validate();
    }
  }

  engine::Session session;

 private:
  struct Freer {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  using CounterMemory = std::unique_ptr<std::byte, Freer>;
  static CounterMemory MakeCounters(int shards, int databases) {
    const engine::CounterLayout layout = {1, static_cast<size_t>(shards),
                                          static_cast<size_t>(databases), AllCommands().size()};
    const size_t size = (layout.total_bytes() + 63) / 64 * 64;
    void* memory = std::aligned_alloc(64, size);
    CHECK(memory != nullptr);
    std::memset(memory, 0, size);
    return CounterMemory(static_cast<std::byte*>(memory));
  }
  engine::EngineConfig Config(int shards, int databases) const {
    engine::EngineConfig config;
    config.shards = shards;
    config.databases = databases;
    config.counter_memory = counters_.get();
    return config;
  }
  engine::Handle Find(std::string_view name) {
    const engine::Key key = engine_.MakeKey(name);
    return engine_.keyspace(key.shard).Find(session.db, key);
  }
  static const CommandSpec* FindSpec(std::span<const std::string_view> args) {
    const CommandSpec* spec = FindCommand(args[0]);
    if (spec == nullptr || spec->subcommand_count == 0) return spec;
    return args.size() > 1 ? FindSubcommand(*spec, args[1]) : nullptr;
  }
  static std::string Line(int db, std::span<const std::string_view> words) {
    std::string line = db == 0 ? "" : std::to_string(db) + ":";
    for (const std::string_view word : words) line.append(line.empty() ? "" : " ").append(word);
    return line;
  }
  static std::vector<std::string> Take(std::vector<std::string>* from) {
    std::vector<std::string> taken;
    taken.swap(*from);
    return taken;
  }
  void OnKeyEvent(engine::EventClass, const char* event, int db, std::string_view key) override {
    const std::string_view words[] = {event, key};
    events_.push_back(Line(db, words));
  }
  void OnEffect(int db, std::span<const std::string_view> args) override {
    effects_.push_back(Line(db, args));
  }

  FakeClock clock_;
  CounterMemory counters_;  // before the engine, whose destructor still counts
  engine::Engine engine_;
  std::vector<std::string> effects_;
  std::vector<std::string> events_;
  int64_t last_dirty_ = 0;
};

inline void TestServer::RunInto(resp::OutputBuffer* out, std::span<const std::string_view> args) {
  const CommandSpec* spec = FindSpec(args);
  CHECK(spec != nullptr);
  CHECK_MSG(ArityMatches(*spec, args.size()), spec->full_name);
  std::vector<uint32_t> positions;
  std::vector<engine::Key> keys;
  const engine::HandlerRow& row = Handlers().Find(spec->id);
  if (spec->runs == Runs::kRouted) {
    engine::Route route;
    row.router(engine_, args, &route);
    positions = route.key_positions;
  } else {
    ExtractKeys(*spec, args, &positions);
  }
  for (const uint32_t position : positions) keys.push_back(engine_.MakeKey(args[position]));

  resp::ReplyBuilder reply(out, session.resp);
  engine::CommandContext ctx(engine_, reply);
  ctx.spec = spec;
  ctx.args = args;
  ctx.keys = keys;
  ctx.db = session.db;
  ctx.no_touch = session.no_touch;
  ctx.client_id = session.id;
  ctx.now_ms = now_ms();
  if (session.transaction == nullptr) session.transaction = std::make_unique<engine::Transaction>();
  ctx.session = spec->runs == Runs::kConnection ? &session : nullptr;
  ctx.transaction = session.transaction.get();
  ctx.counters = &counters();
  ctx.clock.lru_seconds = static_cast<uint32_t>(ctx.now_ms / 1000) & 0xffffff;
  row.handler(ctx);
  last_dirty_ = ctx.dirty();
  if (ctx.dirty() > 0 && !ctx.has_propagated() && ctx.is_propagating()) ctx.Propagate(ctx.db, args);
}

inline std::string TestServer::Bytes(const resp::OutputBuffer& out) {
  std::vector<std::string_view> parts(1024);
  parts.resize(out.Peek(parts.data(), parts.size()));
  std::string bytes;
  for (const std::string_view part : parts) bytes.append(part);
  CHECK(bytes.size() == out.size());
  return bytes;
}

}  // namespace sherd::test
