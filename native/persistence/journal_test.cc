// Tests of the journal with threads, lanes and a disk that fails; the engine around it is real, the commands
// are not. Whole servers with a journal: native/stress/journal_stress.cc and test/persistence/journal-*.
#include "persistence/journal.h"

#include <chrono>
#include <cstring>
#include <thread>

#include "base/clock.h"
#include "command_table/command_table.h"
#include "engine/thread_state.h"
#include "persistence/journal_fake.h"
#include "test/test.h"

namespace sherd::persistence {
namespace {

using test::FakeDisk;
using test::ReadAof;

/// An engine and its counters; no server.
struct Rig {
  explicit Rig(int workers, OpenFile open_file, std::function<void()> on_acknowledged = [] {}) {
    engine::EngineConfig config;
    config.workers = workers;
    config.shards = 4;
    const engine::CounterLayout layout{static_cast<size_t>(workers), 4, 16, AllCommands().size()};
    const size_t size = (layout.total_bytes() + 63) / 64 * 64;
    memory.reset(static_cast<std::byte*>(std::aligned_alloc(64, size)));
    std::memset(memory.get(), 0, size);
    config.counter_memory = memory.get();
    engine = std::make_unique<engine::Engine>(config);
    journal = std::make_unique<Journal>(*engine, std::move(on_acknowledged), std::move(open_file));
  }
  ~Rig() { engine::SetThisThread(nullptr); }

  struct Freer {
    void operator()(std::byte* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<std::byte, Freer> memory;
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<Journal> journal;
};

void Effect(Rig& rig, int db, std::initializer_list<std::string_view> words) {
  rig.journal->OnEffect(db, std::span<const std::string_view>(words.begin(), words.size()));
}

TEST(journal_selects_databases_and_wraps_units_of_several_effects) {
  FakeDisk disk(test::Seed());
  Rig rig(1, disk.Opener());
  engine::ThreadState thread;
  engine::SetThisThread(&thread);
  EXPECT_EQ(rig.journal->Open("a", 0, 0), 0);
  rig.journal->Begin();
  Effect(rig, 0, {"SET", "a", ""});
  EXPECT_EQ(engine::EndUnit(thread), uint64_t{1});
  EXPECT_EQ(engine::EndUnit(thread), uint64_t{0});
  Effect(rig, 3, {"DEL", "b"});
  Effect(rig, 12, {"INCR", "c"});
  EXPECT_EQ(engine::EndUnit(thread), uint64_t{2});
  EXPECT_EQ(rig.journal->SyncAll(), 0);
  const std::vector<std::vector<std::string>> expected = {{"SELECT", "0"}, {"SET", "a", ""}, {"SELECT", "3"},
                                                          {"MULTI"},       {"DEL", "b"},     {"SELECT", "12"},
                                                          {"INCR", "c"},   {"EXEC"}};
  EXPECT_TRUE(ReadAof(disk.Synced("a")) == expected);
  EXPECT_EQ(rig.engine->durability.acknowledged.load(), uint64_t{2});
  // The stream is what is in the file but for the checksum lines.
  size_t stream = 0;
  for (const auto& command : expected) {
    stream += 3 + std::to_string(command.size()).size();
    for (const std::string& word : command) stream += 5 + std::to_string(word.size()).size() + word.size();
  }
  EXPECT_EQ(rig.journal->status().offset, uint64_t{stream});
  rig.journal->End();
  EXPECT_EQ(rig.journal->Close(), 0);
}

TEST(journal_goes_on_behind_what_a_file_has_and_covers_it) {
  FakeDisk disk(test::Seed());
  const std::string old = "*1\r\n$4\r\nPING\r\n";
  int error = 0;
  auto file = disk.Opener()("a", &error);
  EXPECT_EQ(file->WriteAt(0, old + "*1\r\n$4\r\nto"), 0);  // a torn tail, which the load has cut off
  Rig rig(1, disk.Opener());
  engine::ThreadState thread;
  engine::SetThisThread(&thread);
  EXPECT_EQ(rig.journal->Open("a", old.size(), Crc64(0, old)), 0);
  rig.journal->Begin();
  Effect(rig, 0, {"SET", "a", "1"});
  engine::EndUnit(thread);
  EXPECT_EQ(rig.journal->SyncAll(), 0);
  const std::vector<std::vector<std::string>> expected = {{"PING"}, {"SELECT", "0"}, {"SET", "a", "1"}};
  EXPECT_TRUE(ReadAof(disk.Bytes("a")) == expected);
}

TEST(journal_puts_a_checksum_line_after_every_64_kib) {
  FakeDisk disk(test::Seed());
  Rig rig(1, disk.Opener());
  engine::ThreadState thread;
  engine::SetThisThread(&thread);
  EXPECT_EQ(rig.journal->Open("a", 0, 0), 0);
  rig.journal->Begin();
  const std::string value(1000, 'x');
  for (int i = 0; i < 1000; i++) {
    Effect(rig, 0, {"SET", "a", value});
    engine::EndUnit(thread);
  }
  const std::string huge(3 << 20, 'y');  // larger than a chunk
  Effect(rig, 0, {"SET", "b", huge});
  engine::EndUnit(thread);
  EXPECT_EQ(rig.journal->SyncAll(), 0);
  const std::string bytes = disk.Bytes("a");
  EXPECT_EQ(ReadAof(bytes).size(), size_t{1002});
  size_t lines = 0;
  size_t last = 0;
  for (size_t at = bytes.find("#SHERD:"); at != std::string::npos; at = bytes.find("#SHERD:", at + 1)) {
    if (at < 1'000'000) EXPECT_TRUE(at - last < 64 * 1024 + 2000);
    last = at;
    lines++;
  }
  EXPECT_TRUE(lines >= 15);
  EXPECT_EQ(last + 42, bytes.size());
}

/// `threads` threads that end units under locks, as commands end them under leases; each unit says which shards
/// it was for and how often each of them has been entered.
class Crowd {
 public:
  Crowd(Rig& rig, int threads, uint64_t seed) : rig_(rig) {
    for (int i = 0; i < threads; i++) {
      states_.push_back(std::make_unique<engine::ThreadState>());
      states_.back()->worker = static_cast<engine::WorkerId>(i);
      threads_.emplace_back([this, i, seed] { Run(i, seed + static_cast<uint64_t>(i) * 1000); });
    }
  }
  void Stop() {
    is_stopping_.store(true);
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  /// Holds all "leases".
  template <class Work>
  void WithAll(Work&& work) {
    for (std::mutex& mutex : mutexes_) mutex.lock();
    work();
    for (std::mutex& mutex : mutexes_) mutex.unlock();
  }
  uint64_t entered(int shard) const { return counts_[shard]; }
  uint64_t acknowledged_lost = 0;

 private:
  void Run(int index, uint64_t seed) {
    engine::ThreadState& state = *states_[static_cast<size_t>(index)];
    engine::SetThisThread(&state);
    Random random(seed);
    while (!is_stopping_.load(std::memory_order_relaxed)) {
      // Writes are refused while the disk fails; and a test's disk is a string.
      const bool is_refused = rig_.engine->durability.error.load(std::memory_order_relaxed) != 0;
      if (is_refused || random.Below(8) == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
      if (is_refused) continue;
      const int first = static_cast<int>(random.Below(4));
      const int last = random.Below(4) == 0 ? 3 : first;
      for (int shard = first; shard <= last; shard++) mutexes_[shard].lock();
      for (int shard = first; shard <= last; shard++) {
        const std::string name = std::to_string(shard);
        const std::string count = std::to_string(++counts_[shard]);
        const std::string filler(random.Below(1000) == 0 ? random.Below(200'000) : random.Below(60), 'z');
        if (rig_.engine->propagation_sink.load(std::memory_order_relaxed) != nullptr) {
          Effect(rig_, static_cast<int>(random.Below(2)), {"ENTER", name, count, filler});
        }
      }
      engine::EndUnit(state);
      for (int shard = first; shard <= last; shard++) mutexes_[shard].unlock();
    }
    engine::SetThisThread(nullptr);
  }

  Rig& rig_;
  std::mutex mutexes_[4];
  uint64_t counts_[4] = {};
  std::vector<std::unique_ptr<engine::ThreadState>> states_;
  std::atomic<bool> is_stopping_{false};
  std::vector<std::thread> threads_;
};

/// Every shard's entries are there once each, in order, from `first` on; returns how far each goes.
std::vector<uint64_t> CheckEntries(const std::vector<std::vector<std::string>>& commands) {
  std::vector<uint64_t> seen(4, 0);
  bool is_in_multi = false;
  for (const auto& command : commands) {
    if (command[0] == "MULTI") {
      EXPECT_FALSE(is_in_multi);
      is_in_multi = true;
    }
    if (command[0] == "EXEC") {
      EXPECT_TRUE(is_in_multi);
      is_in_multi = false;
    }
    if (command[0] != "ENTER") continue;
    const size_t shard = static_cast<size_t>(std::atoi(command[1].c_str()));
    EXPECT_EQ(std::strtoull(command[2].c_str(), nullptr, 10), seen[shard] + 1);
    seen[shard]++;
  }
  return seen;
}

TEST(journal_merges_units_of_threads_in_the_order_of_each_shard) {
  for (const AppendFsync policy : {AppendFsync::kAlways, AppendFsync::kEverySec, AppendFsync::kNo}) {
    FakeDisk disk(test::Seed());
    Rig rig(4, disk.Opener());
    rig.journal->SetPolicy(policy, policy == AppendFsync::kNo);
    EXPECT_EQ(rig.journal->Open("a", 0, 0), 0);
    rig.journal->Begin();
    Crowd crowd(rig, 4, test::Seed());
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    crowd.Stop();
    rig.journal->End();
    EXPECT_EQ(rig.journal->Close(), 0);
    const std::vector<uint64_t> seen = CheckEntries(ReadAof(disk.Synced("a")));
    for (int shard = 0; shard < 4; shard++) EXPECT_EQ(seen[static_cast<size_t>(shard)], crowd.entered(shard));
    EXPECT_TRUE(seen[0] > 10);
  }
}

TEST(journal_loses_nothing_when_writes_and_syncs_fail) {
  for (const AppendFsync policy : {AppendFsync::kAlways, AppendFsync::kEverySec}) {
    FakeDisk disk(test::Seed());
    Rig rig(3, disk.Opener());
    rig.journal->SetPolicy(policy, false);
    EXPECT_EQ(rig.journal->Open("a", 0, 0), 0);
    rig.journal->Begin();
    disk.FailOften(20, 20, 20);
    Crowd crowd(rig, 3, test::Seed());
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    EXPECT_TRUE(disk.failures() > 0);
    disk.FailOften(0, 0, 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    EXPECT_EQ(rig.engine->durability.error.load(), 0);  // it works again by itself
    crowd.Stop();
    EXPECT_EQ(rig.journal->SyncAll(), 0);
    const std::vector<uint64_t> seen = CheckEntries(ReadAof(disk.Synced("a")));
    for (int shard = 0; shard < 4; shard++) EXPECT_EQ(seen[static_cast<size_t>(shard)], crowd.entered(shard));
  }
}

TEST(journal_acknowledges_only_what_a_power_loss_leaves) {
  FakeDisk disk(test::Seed());
  Rig rig(1, disk.Opener());
  rig.journal->SetPolicy(AppendFsync::kAlways, false);
  EXPECT_EQ(rig.journal->Open("a", 0, 0), 0);
  rig.journal->Begin();
  engine::ThreadState thread;
  engine::SetThisThread(&thread);
  Random random(test::Seed());
  uint64_t last = 0;
  int looks = 0;
  for (int i = 0; i < 3000; i++) {
    if (i % 500 == 0) disk.FailOften(i % 1000 == 0 ? 30 : 0, i % 1000 == 0 ? 30 : 0, 10);
    const std::string number = std::to_string(i + 1);
    Effect(rig, 0, {"ENTER", "0", number});
    last = engine::EndUnit(thread);
    if (random.Below(20) != 0) continue;
    const uint64_t acknowledged = rig.engine->durability.acknowledged.load(std::memory_order_acquire);
    // The power fails now.
    const std::vector<uint64_t> seen = CheckEntries(ReadAof(disk.Synced("a"), true));
    EXPECT_TRUE(seen[0] >= acknowledged);
    looks++;
    if (random.Below(4) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  disk.FailOften(0, 0, 0);
  for (int i = 0; i < 2000 && rig.engine->durability.acknowledged.load() < last; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(rig.engine->durability.acknowledged.load(), last);
  EXPECT_TRUE(looks > 50);
}

TEST(journal_switched_to_always_syncs_what_is_pending) {
  FakeDisk disk(test::Seed());
  std::atomic<int> calls{0};
  Rig rig(1, disk.Opener(), [&] { calls++; });
  rig.journal->SetPolicy(AppendFsync::kNo, false);
  EXPECT_EQ(rig.journal->Open("a", 0, 0), 0);
  rig.journal->Begin();
  engine::ThreadState thread;
  engine::SetThisThread(&thread);
  Effect(rig, 0, {"ENTER", "0", "1"});
  const uint64_t seq = engine::EndUnit(thread);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(disk.Synced("a").size(), size_t{0});
  rig.journal->SetPolicy(AppendFsync::kAlways, false);
  EXPECT_TRUE(rig.engine->durability.holds_replies.load());
  for (int i = 0; i < 2000 && disk.Synced("a").empty(); i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(CheckEntries(ReadAof(disk.Synced("a")))[0], uint64_t{1});
  EXPECT_EQ(rig.engine->durability.acknowledged.load(), seq);
  // no-appendfsync-on-rewrite: a write is enough meanwhile.
  rig.journal->HoldSync(true);
  const int syncs = disk.syncs();
  Effect(rig, 0, {"ENTER", "0", "2"});
  const uint64_t next = engine::EndUnit(thread);
  for (int i = 0; i < 2000 && rig.engine->durability.acknowledged.load() < next; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(disk.syncs(), syncs);
  rig.journal->HoldSync(false);
  EXPECT_EQ(rig.journal->SyncAll(), 0);
  EXPECT_EQ(CheckEntries(ReadAof(disk.Synced("a")))[0], uint64_t{2});
  EXPECT_TRUE(calls.load() >= 2);
}

/// Cuts the journal while the crowd stands still. Returns how many had entered each shard.
std::vector<uint64_t> CutNow(Rig& rig, Crowd& crowd) {
  std::vector<uint64_t> at_cut;
  crowd.WithAll([&] {
    rig.journal->Cut();
    for (int shard = 0; shard < 4; shard++) at_cut.push_back(crowd.entered(shard));
  });
  EXPECT_EQ(rig.journal->Wait().error, 0);
  return at_cut;
}

/// Nothing is to be synced then, so that the cut alone must keep the journal's thread from its sleep.
TEST(journal_cuts_that_find_nothing_to_sync_end) {
  FakeDisk disk(test::Seed());
  Random random(test::Seed());
  Rig rig(1, disk.Opener());
  EXPECT_EQ(rig.journal->Open("a", 0, 0), 0);
  rig.journal->Begin();
  for (int round = 0; round < 3000; round++) {
    const bool is_prepared = random.Below(2) == 0;
    if (is_prepared) EXPECT_EQ(rig.journal->Prepare("next" + std::to_string(round)), 0);
    // Meanwhile the journal's thread is somewhere between what it was woken for and its sleep.
    const int64_t until_ns = Clock::MonotonicNs() + static_cast<int64_t>(random.Below(15'000));
    while (Clock::MonotonicNs() < until_ns) {
    }
    rig.journal->Cut();
    EXPECT_EQ(rig.journal->Wait().error, 0);
    if (!is_prepared) EXPECT_EQ(rig.journal->Resume(), 0);
  }
  rig.journal->End();
  EXPECT_EQ(rig.journal->Close(), 0);
}

/// Ends the crowd and the journal: its files together must have every entry, in order, and each stand on its own.
void EndAndCheck(Rig& rig, FakeDisk& disk, Crowd& crowd, const std::vector<std::string>& files) {
  crowd.Stop();
  rig.journal->End();
  EXPECT_EQ(rig.journal->Close(), 0);
  std::vector<std::vector<std::string>> all;
  for (const std::string& file : files) {
    const auto commands = ReadAof(disk.Synced(file));
    if (!commands.empty()) EXPECT_TRUE(commands[0][0] == "SELECT" || commands[0][0] == "MULTI");
    for (const auto& command : commands) all.push_back(command);
  }
  const std::vector<uint64_t> seen = CheckEntries(all);
  for (int shard = 0; shard < 4; shard++) EXPECT_EQ(seen[static_cast<size_t>(shard)], crowd.entered(shard));
}

TEST(journal_cut_parts_the_stream_at_one_instant) {
  FakeDisk disk(test::Seed());
  Rig rig(3, disk.Opener());
  rig.journal->SetPolicy(AppendFsync::kEverySec, false);
  EXPECT_EQ(rig.journal->Open("file0", 0, 0), 0);
  rig.journal->Begin();
  Crowd crowd(rig, 3, test::Seed());
  Random random(test::Seed());
  std::vector<std::string> files = {"file0"};
  std::vector<std::vector<uint64_t>> counts;  // at each cut that led to a new file
  for (int round = 0; round < 12; round++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(random.Below(15)));
    const std::vector<uint64_t> at_cut = CutNow(rig, crowd);
    // All before the cut is synced, nothing behind it is in the file.
    std::vector<std::vector<std::string>> all;
    for (const std::string& file : files) {
      for (auto& command : ReadAof(disk.Synced(file))) all.push_back(std::move(command));
    }
    EXPECT_TRUE(CheckEntries(all) == at_cut);
    EXPECT_EQ(disk.Bytes(files.back()), disk.Synced(files.back()));
    if (random.Below(3) == 0) {
      EXPECT_EQ(rig.journal->Resume(), 0);
      continue;
    }
    files.push_back("file" + std::to_string(files.size()));
    EXPECT_EQ(rig.journal->Open(files.back(), 0, 0), 0);
  }
  EndAndCheck(rig, disk, crowd, files);
}

TEST(journal_prepared_cut_goes_on_in_the_new_file_by_itself) {
  for (const AppendFsync policy : {AppendFsync::kAlways, AppendFsync::kEverySec, AppendFsync::kNo}) {
    FakeDisk disk(test::Seed());
    Rig rig(3, disk.Opener());
    rig.journal->SetPolicy(policy, false);
    EXPECT_EQ(rig.journal->Open("file0", 0, 0), 0);
    rig.journal->Begin();
    Crowd crowd(rig, 3, test::Seed());
    Random random(test::Seed());
    std::vector<std::string> files = {"file0"};
    for (int round = 0; round < 8; round++) {
      std::this_thread::sleep_for(std::chrono::milliseconds(random.Below(15)));
      const std::string next = "file" + std::to_string(files.size());
      EXPECT_EQ(rig.journal->Prepare(next), 0);
      if (random.Below(3) == 0) {
        // It did not come to the instant.
        EXPECT_EQ(rig.journal->Resume(), 0);
        EXPECT_EQ(disk.Bytes(next), std::string());
        continue;
      }
      const std::vector<uint64_t> at_cut = CutNow(rig, crowd);
      // All before the cut is synced in the files up to the old one, nothing behind it is there.
      std::vector<std::vector<std::string>> all;
      for (const std::string& file : files) {
        EXPECT_EQ(disk.Bytes(file), disk.Synced(file));
        for (auto& command : ReadAof(disk.Synced(file))) all.push_back(std::move(command));
      }
      EXPECT_TRUE(CheckEntries(all) == at_cut);
      files.push_back(next);
    }
    EndAndCheck(rig, disk, crowd, files);
  }
}

TEST(journal_prepared_cut_that_fails_stays_in_the_old_file) {
  FakeDisk disk(test::Seed());
  Rig rig(1, disk.Opener());
  EXPECT_EQ(rig.journal->Open("a", 0, 0), 0);
  rig.journal->Begin();
  engine::ThreadState thread;
  engine::SetThisThread(&thread);
  Effect(rig, 0, {"ENTER", "0", "1"});
  engine::EndUnit(thread);
  EXPECT_EQ(rig.journal->Prepare("b"), 0);
  disk.FailOften(0, 100, 0);
  Effect(rig, 0, {"ENTER", "0", "2"});
  engine::EndUnit(thread);
  rig.journal->Cut();
  EXPECT_EQ(rig.journal->Wait().error, EIO);
  // The disk works again before anybody has said what is to be done: the new file is not the journal's all the same.
  disk.FailOften(0, 0, 0);
  Effect(rig, 0, {"ENTER", "0", "3"});
  engine::EndUnit(thread);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(disk.Bytes("b"), std::string());
  EXPECT_EQ(rig.journal->Resume(), 0);
  EXPECT_EQ(rig.journal->SyncAll(), 0);
  EXPECT_EQ(CheckEntries(ReadAof(disk.Synced("a")))[0], uint64_t{3});
  EXPECT_EQ(disk.Bytes("b"), std::string());
  // A disk that does not work is met before the instant.
  disk.FailOften(100, 0, 0);
  Effect(rig, 0, {"ENTER", "0", "4"});
  engine::EndUnit(thread);
  EXPECT_EQ(rig.journal->Prepare("b"), ENOSPC);
  disk.FailOften(0, 0, 0);
  EXPECT_EQ(rig.journal->Resume(), 0);
  EXPECT_EQ(rig.journal->SyncAll(), 0);
  EXPECT_EQ(CheckEntries(ReadAof(disk.Synced("a")))[0], uint64_t{4});
  rig.journal->End();
  EXPECT_EQ(rig.journal->Close(), 0);
}

TEST(journal_cut_that_cannot_be_written_fails_and_can_be_taken_back) {
  FakeDisk disk(test::Seed());
  Rig rig(1, disk.Opener());
  EXPECT_EQ(rig.journal->Open("a", 0, 0), 0);
  rig.journal->Begin();
  engine::ThreadState thread;
  engine::SetThisThread(&thread);
  disk.FailOften(100, 0, 0);
  Effect(rig, 0, {"ENTER", "0", "1"});
  engine::EndUnit(thread);
  rig.journal->Cut();
  EXPECT_EQ(rig.journal->Wait().error, ENOSPC);
  EXPECT_EQ(rig.engine->durability.error.load(), ENOSPC);
  EXPECT_EQ(rig.journal->Open("b", 0, 0), EBUSY);
  EXPECT_EQ(rig.journal->Resume(), 0);
  Effect(rig, 0, {"ENTER", "0", "2"});
  engine::EndUnit(thread);
  disk.FailOften(0, 0, 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(250));
  EXPECT_EQ(rig.journal->SyncAll(), 0);
  EXPECT_EQ(CheckEntries(ReadAof(disk.Synced("a")))[0], uint64_t{2});
  disk.FailOften(0, 100, 0);
  Effect(rig, 0, {"ENTER", "0", "3"});
  engine::EndUnit(thread);
  rig.journal->End();
  EXPECT_EQ(rig.journal->Close(), EIO);
  EXPECT_EQ(rig.engine->durability.error.load(), 0);
  EXPECT_EQ(rig.journal->Open("c", 0, 0), 0);
  rig.journal->Begin();
  Effect(rig, 0, {"ENTER", "0", "1"});
  engine::EndUnit(thread);
  disk.FailOften(0, 0, 0);
  EXPECT_EQ(rig.journal->SyncAll(), 0);
  EXPECT_EQ(CheckEntries(ReadAof(disk.Synced("c")))[0], uint64_t{1});
}

}  // namespace
}  // namespace sherd::persistence
