// The engine's shared parts: options by name, text options, the layout of the counters, slots and
// shards.
#include "engine/engine.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>

#include "command_table/command_table.h"
#include "test/test.h"

namespace sherd::engine {
namespace {

class TestEngine {
 public:
  TestEngine(int workers, int shards, int databases) {
    EngineConfig config;
    config.workers = workers;
    config.shards = shards;
    config.databases = databases;
    const CounterLayout layout{static_cast<size_t>(workers), static_cast<size_t>(shards),
                               static_cast<size_t>(databases), AllCommands().size()};
    size_ = (layout.total_bytes() + 63) / 64 * 64;
    memory_.reset(static_cast<std::byte*>(std::aligned_alloc(64, size_)));
    std::memset(memory_.get(), 0, size_);
    config.counter_memory = memory_.get();
    engine_ = std::make_unique<Engine>(config);
  }
  Engine* operator->() { return engine_.get(); }
  Engine& operator*() { return *engine_; }
  std::byte* memory() { return memory_.get(); }

 private:
  struct Freer {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte, Freer> memory_;
  size_t size_ = 0;
  std::unique_ptr<Engine> engine_;
};

TEST(engine_options_are_found_by_their_names) {
  Options options;
  std::set<Option*> seen;
#define SHERD_CHECK_OPTION(field, name, initial)     \
  EXPECT_TRUE(options.Find(name) == &options.field); \
  EXPECT_EQ(options.field.Get(), int64_t{initial});  \
  EXPECT_TRUE(seen.insert(options.Find(name)).second);
  SHERD_OPTIONS(SHERD_CHECK_OPTION)
#undef SHERD_CHECK_OPTION
  EXPECT_TRUE(options.Find("") == nullptr);
  EXPECT_TRUE(options.Find("HZ") == nullptr);
  EXPECT_TRUE(options.Find("__proto__") == nullptr);
  options.Find("hz")->Set(100);
  EXPECT_EQ(options.hz.Get(), int64_t{100});
  EXPECT_TRUE(IsLfuPolicy(kAllKeysLfu));
  EXPECT_TRUE(IsLruPolicy(kVolatileLru));
  EXPECT_FALSE(IsLfuPolicy(kVolatileTtl));
  EXPECT_FALSE(IsLruPolicy(kNoEviction));
}

TEST(engine_output_limits_change_by_class_and_all_or_none) {
  TestEngine engine(1, 1, 1);
  EXPECT_EQ(engine->output_limit(ClientClass::kNormal).hard_bytes, int64_t{0});
  EXPECT_EQ(engine->output_limit(ClientClass::kReplica).hard_bytes, int64_t{256} << 20);
  EXPECT_EQ(engine->output_limit(ClientClass::kPubsub).soft_seconds, int64_t{60});
  const uint64_t version = engine->text_version();
  for (const char* bad : {"normal", "normal 1 2", "normal 1 2 x", "nobody 1 2 3", "normal 1 2 3 4",
                          "normal 9 9 9 slave 1 2 x"}) {
    EXPECT_FALSE(engine->SetOutputLimits(bad));
  }
  EXPECT_EQ(engine->text_version(), version);
  EXPECT_EQ(engine->output_limit(ClientClass::kNormal).hard_bytes, int64_t{0});
  EXPECT_TRUE(engine->SetOutputLimits("normal 10 5 3 replica 7 6 5"));
  EXPECT_NE(engine->text_version(), version);
  EXPECT_EQ(engine->output_limit(ClientClass::kNormal).soft_bytes, int64_t{5});
  EXPECT_EQ(engine->output_limit(ClientClass::kReplica).hard_bytes, int64_t{7});
  EXPECT_EQ(engine->output_limit(ClientClass::kPubsub).hard_bytes, int64_t{32} << 20);
}

TEST(engine_password_matches_itself_alone) {
  TestEngine engine(1, 1, 1);
  EXPECT_FALSE(engine->has_password());
  EXPECT_FALSE(engine->PasswordMatches(""));
  const std::string password("pass\0word", 9);
  engine->SetPassword(password);
  EXPECT_TRUE(engine->has_password());
  EXPECT_TRUE(engine->PasswordMatches(password));
  for (const std::string& other :
       {std::string(), std::string("pass"), password + "x", password + password,
        std::string("pass\0wore", 9), std::string("Pass\0word", 9)}) {
    EXPECT_FALSE(engine->PasswordMatches(other));
  }
  engine->SetPassword("aa");
  EXPECT_FALSE(engine->PasswordMatches("a"));
  EXPECT_FALSE(engine->PasswordMatches("aaaa"));
  engine->SetPassword("");
  EXPECT_FALSE(engine->has_password());
  EXPECT_FALSE(engine->PasswordMatches("aa"));
  EXPECT_FALSE(engine->PasswordMatches(""));
}

// Each counter has a cell of its own, inside the memory, where the layout says.
TEST(engine_counters_lie_where_the_layout_says) {
  TestEngine engine(3, 4, 5);
  const CounterLayout& layout = engine->layout();
  std::set<const void*> cells;
  const auto add = [&](const void* group, size_t bytes) {
    for (size_t offset = 0; offset < bytes; offset += sizeof(Counter)) {
      const std::byte* cell = static_cast<const std::byte*>(group) + offset;
      EXPECT_GE(cell, engine.memory());
      EXPECT_LE(cell + sizeof(Counter), engine.memory() + layout.total_bytes());
      EXPECT_TRUE(cells.insert(cell).second);
    }
  };
  for (WorkerId worker = 0; worker < layout.threads(); worker++) {
    add(&engine->worker_counters(worker), sizeof(WorkerCounters));
    for (size_t command = 0; command < layout.commands; command++) {
      add(&engine->command_counters(worker, command), sizeof(CommandCounters));
    }
  }
  for (ShardId shard = 0; shard < 4; shard++) {
    add(&engine->shard_counters(shard), sizeof(ShardCounters));
    for (int db = 0; db < 5; db++)
      add(&engine->database_counters(shard, db), sizeof(DatabaseCounters));
  }
  EXPECT_EQ(cells.size() * sizeof(Counter), layout.total_bytes());
  EXPECT_TRUE(static_cast<const void*>(&engine->worker_counters(0)) == engine.memory());
  EXPECT_TRUE(static_cast<const void*>(&engine->command_counters(0, 0)) ==
              engine.memory() + layout.command_offset());
}

TEST(engine_reset_leaves_what_is_not_a_statistic) {
  TestEngine engine(2, 1, 1);
  for (WorkerId worker = 0; worker < 2; worker++) {
    engine->worker_counters(worker).commands_processed.Set(5);
    engine->worker_counters(worker).keyspace_hits.Set(5);
    engine->worker_counters(worker).connected_clients.Set(5);
    engine->command_counters(worker, 3).calls.Set(5);
  }
  engine->shard_counters(0).used_memory.Set(5);
  engine->ResetStatistics();
  for (WorkerId worker = 0; worker < 2; worker++) {
    EXPECT_EQ(engine->worker_counters(worker).commands_processed.Get(), uint64_t{0});
    EXPECT_EQ(engine->worker_counters(worker).keyspace_hits.Get(), uint64_t{0});
    EXPECT_EQ(engine->worker_counters(worker).connected_clients.Get(), uint64_t{5});
    EXPECT_EQ(engine->command_counters(worker, 3).calls.Get(), uint64_t{0});
  }
  EXPECT_EQ(engine->shard_counters(0).used_memory.Get(), uint64_t{5});
}

TEST(engine_slots_are_spread_over_shards_in_ranges) {
  for (const int shards : {1, 2, 64, 1024}) {
    TestEngine engine(3, shards, 1);
    ShardId last = 0;
    for (int slot = 0; slot < 16384; slot++) {
      const ShardId shard = engine->ShardOfSlot(static_cast<uint16_t>(slot));
      EXPECT_TRUE(shard == last || shard == last + 1);
      last = shard;
    }
    EXPECT_EQ(static_cast<int>(last), shards - 1);
  }
  TestEngine engine(3, 64, 1);
  EXPECT_EQ(engine->MakeKey("{tag}a").shard, engine->MakeKey("b{tag}").shard);
  EXPECT_EQ(engine->MakeKey("123456789").slot, uint16_t{12739});
  EXPECT_EQ(engine->OwnerOf(7), WorkerId{1});
}

}  // namespace
}  // namespace sherd::engine
