// Snapshots under full load: every worker's clients write all the time, and one snapshot after the other is
// written and looked at.
//
// Watched: money that transactions move between accounts on several shards is all there in each file; two long
// lists that EXEC makes longer and shorter together (so that commands are held back at the gate, and served again
// when the saver is done with one) are equally long in each file, and their bytes are sound; each key is there once;
// nobody waits for ever; at the end all memory is given back. TSan watches that values which are read without a
// lease are frozen indeed.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/crc64.h"
#include "engine/value_ops.h"
#include "net/snapshot_access.h"
#include "net/test_rig.h"
#include "persistence/saver.h"
#include "persistence/value_reader.h"
#include "stress/stress.h"
#include "test/files.h"

namespace sherd::stress {

namespace {

using persistence::RdbOpcode;
using test::DetachedClient;
using test::Line;
using test::ReadWhole;
using test::ServerRig;

constexpr int kAccounts = 16;
constexpr int64_t kStart = 1000;
constexpr int kPairs = 3;
constexpr int kSnapshotsMin = 20;

std::string Numbered(const char* name, uint64_t i) { return name + std::to_string(i); }

// ---- What a file says ----

class FileCheck {
 public:
  explicit FileCheck(const engine::Options& options) : options_(options) {}

  void Read(const std::string& bytes) {
    const std::string_view body = std::string_view(bytes).substr(0, bytes.size() - 8);
    STRESS_EXPECT(LoadLittle64(bytes.data() + body.size()) == Crc64(0, body));
    persistence::RdbReader reader(body);
    reader.Raw(9);
    persistence::RdbString text;
    for (uint64_t db = 0; reader.ok();) {
      const uint8_t type = reader.Byte();
      if (type == static_cast<uint8_t>(RdbOpcode::kEnd)) break;
      if (type == static_cast<uint8_t>(RdbOpcode::kSelectDb)) {
        db = reader.Length();
      } else if (type == static_cast<uint8_t>(RdbOpcode::kResizeDb)) {
        reader.Length();
        reader.Length();
      } else if (type == static_cast<uint8_t>(RdbOpcode::kExpiryMs)) {
        reader.Little64();
      } else {
        if (!ReadRecord(&reader, type, db)) return Fail("a record is malformed", type);
        keys_++;
      }
    }
    STRESS_EXPECT(reader.ok() && reader.AtEnd());
    STRESS_EXPECT(sum_ == kAccounts * kStart, sum_);
    for (int i = 0; i < kPairs; i++) STRESS_EXPECT(lengths_[i][0] == lengths_[i][1], lengths_[i][0], lengths_[i][1]);
  }
  uint64_t keys() const { return keys_; }

 private:
  bool ReadRecord(persistence::RdbReader* reader, uint8_t type, uint64_t db) {
    persistence::RdbString name;
    persistence::LoadedValue value;
    if (!reader->String(&name)) return false;
    const std::string key(name.view);
    if (!persistence::ReadValue(reader, static_cast<persistence::RdbType>(type), heap_, options_, &value)) return false;
    STRESS_EXPECT(seen_.insert(std::to_string(db) + " " + key).second);
    int64_t number = 0;
    if (key.starts_with("account:") && ParseInt64(value.text.view, &number)) sum_ += number;
    if (key.starts_with("left:") || key.starts_with("right:")) {
      const int64_t length = static_cast<int64_t>(
          engine::OpsOf(value.type).length(value.encoding, value.payload));
      lengths_[static_cast<size_t>(key.back() - '0')][key[0] == 'l' ? 0 : 1] = length;
    }
    persistence::DiscardValue(heap_, &value);
    return true;
  }

  const engine::Options& options_;
  SlabHeap heap_;
  std::set<std::string> seen_;
  int64_t sum_ = 0;
  int64_t lengths_[kPairs][2] = {};
  uint64_t keys_ = 0;
};

// ---- Clients ----

class Writer {
 public:
  Writer(ServerRig& rig, int worker) : client_(rig, worker) {}

  /// One look. True while it waits for an answer. `stops`: begins nothing new.
  bool Play(Random* random, bool stops) {
    while (client_.Serve()) {
    }
    client_.Take();
    if (client_.is_parked()) return true;
    if (stops) return false;
    std::string bytes;
    for (const std::vector<std::string>& words : Next(random)) bytes += Line(words);
    client_.Send(bytes);
    return true;
  }
  bool is_parked() const { return client_.is_parked(); }

 private:
  using Lines = std::vector<std::vector<std::string>>;

  static std::string Noise(Random* random) { return Numbered("noise:", random->Below(300)); }
  static std::string Text(Random* random) { return std::string(random->Below(400), 'n'); }

  Lines Next(Random* random) {
    const std::string amount = std::to_string(random->Below(100));
    const std::string pair = std::to_string(random->Below(kPairs));
    switch (random->Below(14)) {
      case 0:
      case 1:
      case 2:
        return {{"MULTI"}, {"DECRBY", Numbered("account:", random->Below(kAccounts)), amount},
                {"INCRBY", Numbered("account:", random->Below(kAccounts)), amount}, {"EXEC"}};
      case 3: return {{"MULTI"}, {"RPUSH", "left:" + pair, amount, amount}, {"LPUSH", "right:" + pair, "1", "2"}, {"EXEC"}};
      case 4: return {{"MULTI"}, {"LPOP", "left:" + pair}, {"RPOP", "right:" + pair}, {"EXEC"}};
      // The second half is not foreseen by the gate: the database is chosen within.
      case 5: return {{"SELECT", "1"}, {"MULTI"}, {"SELECT", "0"}, {"RPUSH", "left:" + pair, amount},
                      {"RPUSH", "right:" + pair, amount}, {"EXEC"}, {"SELECT", "0"}};
      case 6: return {{"LRANGE", "left:" + pair, "0", "50"}, {"HGETALL", Noise(random)}};
      case 7: return {{"SET", Noise(random), Text(random), "PX", "20"}};
      case 8: return {{"DEL", Noise(random)}, {"RPUSH", Noise(random), Text(random), Text(random), Text(random)}};
      case 9: return {{"HSET", Noise(random), "f", Text(random), "g", Text(random)}, {"RENAME", Noise(random), Noise(random)}};
      case 10: return {{"SADD", Noise(random), amount, Text(random)}, {"ZADD", Noise(random), amount, Text(random)}};
      case 11: return {{"XADD", Noise(random), "*", "f", Text(random)}, {"COPY", Noise(random), Noise(random), "REPLACE"}};
      case 12: return OnOthers(random);
      default: return {{"APPEND", Noise(random), Text(random)}, {"LMOVE", Noise(random), Noise(random), "LEFT", "RIGHT"}};
    }
  }
  Lines OnOthers(Random* random) {
    if (!random->OneIn(4)) return {{"SELECT", "1"}, {"RPUSH", Noise(random), Text(random), Text(random)}, {"SELECT", "0"}};
    if (random->OneIn(2)) return {{"SWAPDB", "1", "2"}};
    return {{"SELECT", "1"}, {"FLUSHDB", random->OneIn(2) ? "ASYNC" : "SYNC"}, {"SELECT", "0"}};
  }

  DetachedClient client_;
};

class Studio {
 public:
  Studio(const Options& options, bool in_place)
      : options_(options),
        threads_(options.threads > 0 ? options.threads : 3),
        rig_({.workers = threads_, .shards = options.shards > 0 ? options.shards : 8, .in_place = in_place}),
        used_at_start_(rig_.UsedBytes()),
        writers_(static_cast<size_t>(threads_)) {
    DetachedClient setup(rig_, 0);
    for (uint64_t i = 0; i < kAccounts; i++) setup.Run(Line({"SET", Numbered("account:", i), std::to_string(kStart)}));
    std::vector<std::string> words(2000, "some words of text");
    for (uint64_t i = 0; i < kPairs; i++) {
      for (const char* side : {"left:", "right:"}) {
        words[0] = "RPUSH";
        words[1] = Numbered(side, i);
        setup.Run(Line(words));
      }
    }
    for (size_t thread = 0; thread < writers_.size(); thread++) {
      for (int i = 0; i < 5; i++) writers_[thread].push_back(std::make_unique<Writer>(rig_, static_cast<int>(thread)));
    }
  }

  void Run() {
    busy_threads_.store(threads_);
    std::vector<std::thread> threads;
    for (int i = 0; i < threads_; i++) threads.emplace_back([this, i] { Drive(i); });
    std::thread saver([this] { SaveAll(); });
    saver.join();
    must_stop_.store(true);
    for (std::thread& thread : threads) thread.join();
    if (is_lost_.load()) return;
    DetachedClient client(rig_, 0);
    STRESS_EXPECT(client.Run(Line({"FLUSHALL"})) == "+OK\r\n");
    rig_.FreeDeferred();
    rig_.Validate();
    STRESS_EXPECT(rig_.UsedBytes() == used_at_start_, static_cast<int64_t>(rig_.UsedBytes()));
    STRESS_EXPECT(rig_.engine().gate.load() == 0);
  }

 private:
  void SaveAll() {
    Random random(options_.seed);
    persistence::Saver saver(rig_.engine(), &rig_.server().snapshot_access());
    const char* folder = std::getenv("TMPDIR");
    persistence::SnapshotOptions request;
    request.path = std::string(folder == nullptr ? "/tmp" : folder) + "/sherd-snapshot-stress-" + std::to_string(getpid());
    request.syncs_on_the_way = false;
    const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(options_.seconds);
    int whole = 0;
    uint64_t keys = 0;
    uint64_t extra = 0;
    uint64_t held_back = 0;
    for (int i = 0; (whole < kSnapshotsMin || std::chrono::steady_clock::now() < until) && !is_lost_.load(); i++) {
      request.gives_way = random.OneIn(2);
      request.compresses = random.OneIn(2);
      request.big_bytes = random.OneIn(2) ? 4096 : 64 * 1024;
      request.slice_bytes = random.OneIn(2) ? 500 : 64 * 1024;
      request.key_delay_us = random.OneIn(3) ? 5 : 0;
      const bool is_cancelled = random.OneIn(6);
      STRESS_EXPECT(saver.Begin());
      const auto cancel = [&] { is_cancelled ? saver.Cancel() : void(); };
      const persistence::SnapshotOutcome outcome = saver.Run(request, cancel);
      STRESS_EXPECT(outcome.error == 0, outcome.error);
      STRESS_EXPECT(outcome.is_cancelled == is_cancelled);
      if (is_cancelled) continue;
      FileCheck check(rig_.engine().options());
      check.Read(ReadWhole(request.path));
      STRESS_EXPECT(check.keys() == outcome.keys, static_cast<int64_t>(check.keys()), static_cast<int64_t>(outcome.keys));
      whole++;
      keys += outcome.keys;
      extra = std::max(extra, outcome.extra_bytes_peak);
      held_back += outcome.held_back;
    }
    std::printf("  threads %d shards %d: %d snapshots, %llu keys, at most %llu bytes beside the data, %llu held back\n",
                threads_, rig_.engine().shard_count(), whole, static_cast<unsigned long long>(keys),
                static_cast<unsigned long long>(extra), static_cast<unsigned long long>(held_back));
    STRESS_EXPECT(held_back > 0);
    unlink(request.path.c_str());
  }

  void Drive(int index) {
    Random random(options_.seed * 977 + static_cast<uint64_t>(index));
    net::Worker& worker = rig_.worker(index);
    auto& writers = writers_[static_cast<size_t>(index)];
    bool is_counted_out = false;
    for (uint64_t turn = 0; busy_threads_.load() > 0 && !is_lost_.load(); turn++) {
      bool is_busy = false;
      for (auto& writer : writers) {
        if (writer->Play(&random, must_stop_.load(std::memory_order_relaxed))) is_busy = true;
      }
      turn % 128 == 0 ? worker.Cron() : worker.RunOnce();
      if (!is_busy && must_stop_.load() && !is_counted_out) {
        is_counted_out = true;
        busy_threads_.fetch_sub(1);
      }
      const bool all_parked =
          std::all_of(writers.begin(), writers.end(), [](const auto& writer) { return writer->is_parked(); });
      if (all_parked) Sleep(index, kLostAfterMs);
      if (is_counted_out) Sleep(index, 1);
    }
  }

  /// All clients of the thread are parked: only an answer can go on, and it must wake us.
  void Sleep(int index, int timeout_ms) {
    pollfd waits = {rig_.worker(index).epoll_fd(), POLLIN, 0};
    if (poll(&waits, 1, timeout_ms) != 0 || timeout_ms != kLostAfterMs) return;
    Fail("clients wait for ever", index);
    is_lost_.store(true);
  }

  const Options options_;
  const int threads_;
  ServerRig rig_;
  const size_t used_at_start_;
  std::vector<std::vector<std::unique_ptr<Writer>>> writers_;
  std::atomic<int> busy_threads_{0};
  std::atomic<bool> must_stop_{false};
  std::atomic<bool> is_lost_{false};
};

}  // namespace

STRESS(snapshots_in_place) { Studio(options, true).Run(); }
STRESS(snapshots_on_owner) { Studio(options, false).Run(); }

}  // namespace sherd::stress
