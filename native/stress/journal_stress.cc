// The journal under whole servers: workers with clients, the runner, expiry, a disk that fails, cuts.
//
// Every worker has clients that move money in transactions, write single keys, pop and push, and make keys that
// expire. Beside them one thread cuts the journal into new files, and one looks now and then at what would be left if
// the process were killed, or the machine lost its power. What is watched:
//
//   - every write that was acknowledged before the look is left by a kill, and under always by a power loss, too,
//     whatever fails;
//   - money is never created or lost by what is left: a transaction is in it as a whole;
//   - at the end, replaying all files gives exactly the live data (DEBUG DIGEST).
#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "net/lease_guest.h"
#include "net/test_rig.h"
#include "persistence/journal.h"
#include "persistence/journal_fake.h"
#include "stress/stress.h"

namespace sherd::stress {

namespace {

using persistence::AppendFsync;
using persistence::Journal;
using test::DetachedClient;
using test::FakeDisk;
using test::Line;
using test::ServerRig;

constexpr int kAccounts = 10;
constexpr int64_t kStart = 1000;
constexpr int kClients = 4;

std::string Account(uint64_t i) { return "account:" + std::to_string(i); }

class Office {
 public:
  Office(const Options& options, AppendFsync policy, bool disk_fails)
      : options_(options),
        policy_(policy),
        disk_fails_(disk_fails),
        threads_(options.threads > 0 ? options.threads : 3),
        disk_(options.seed),
        rig_({.workers = threads_, .shards = options.shards > 0 ? options.shards : 8}) {
    net::Server& server = rig_.server();
    auto owned = std::make_unique<Journal>(rig_.engine(), [&server] { server.WakeHolders(); }, disk_.Opener());
    journal_ = owned.get();
    server.SetJournal(std::move(owned));
    journal_->SetPolicy(policy, false);
    STRESS_EXPECT(journal_->Open("file0", 0, 0) == 0);
    journal_->Begin();
    DetachedClient setup(rig_, 0);
    for (uint64_t i = 0; i < kAccounts; i++) setup.Run(Line({"SET", Account(i), std::to_string(kStart)}));
    std::vector<std::string> words = {"RPUSH", "long"};
    for (int i = 0; i < 12'000; i++) words.push_back("x");
    setup.Run(Line(words));
    STRESS_EXPECT(journal_->SyncAll() == 0);
    is_finished_ = std::make_unique<std::atomic<bool>[]>(static_cast<size_t>(threads_));
  }

  void Run() {
    std::vector<std::thread> threads;
    for (int i = 0; i < threads_; i++) threads.emplace_back([this, i] { Drive(i); });
    std::thread cutter([this] { CutOften(); });
    std::thread looker([this] { LookOften(); });
    const auto part = std::chrono::duration<double>(options_.seconds / 4);
    for (int i = 0; i < 4; i++) {
      if (disk_fails_) disk_.FailOften(i % 2 == 0 ? 15 : 0, i % 2 == 0 ? 15 : 0, 10);
      std::this_thread::sleep_for(part);
    }
    disk_.FailOften(0, 0, 0);
    must_stop_.store(true);
    cutter.join();
    looker.join();
    for (std::thread& thread : threads) thread.join();
    CheckEnd();
  }

 private:
  using Promises = std::map<int, int64_t>;  // of a client: its counter has come as far as this
  struct Acknowledgeable {
    uint64_t seq;
    int64_t value;
  };

  void Drive(int index) {
    Random random(options_.seed * 31 + static_cast<uint64_t>(index));
    net::Worker& worker = rig_.worker(index);
    std::vector<std::unique_ptr<DetachedClient>> clients;
    for (int i = 0; i < kClients; i++) clients.push_back(std::make_unique<DetachedClient>(rig_, index));
    std::vector<int64_t> counters(kClients, 0);
    std::vector<bool> counts(kClients, false);
    for (uint64_t turn = 0;; turn++) {
      const bool stops = must_stop_.load(std::memory_order_relaxed);
      bool is_busy = false;
      for (size_t i = 0; i < kClients; i++) {
        DetachedClient& client = *clients[i];
        while (client.Serve()) {
        }
        if (client.is_parked()) {
          is_busy = true;
          continue;
        }
        const std::string reply = client.Take();
        if (counts[i] && reply[0] == ':') Note(index * kClients + static_cast<int>(i), ++counters[i], client);
        counts[i] = false;
        if (stops) continue;
        counts[i] = random.Below(3) == 0;
        client.Send(counts[i] ? Line({"INCR", Counter(index * kClients + static_cast<int>(i))}) : Next(&random));
        is_busy = true;
      }
      turn % 64 == 0 ? worker.Cron() : worker.RunOnce();
      if (stops && !is_busy) is_finished_[static_cast<size_t>(index)].store(true);
      if (stops && AllFinished()) return;
    }
  }
  bool AllFinished() const {
    for (int i = 0; i < threads_; i++) {
      if (!is_finished_[static_cast<size_t>(i)].load()) return false;
    }
    return true;
  }

  static std::string Counter(int client) { return "counter:" + std::to_string(client); }

  std::string Next(Random* random) {
    const std::string from = Account(random->Below(kAccounts));
    const std::string to = Account(random->Below(kAccounts));
    const std::string amount = std::to_string(random->Below(100));
    const auto free = [&] { return "free:" + std::to_string(random->Below(30)); };
    switch (random->Below(10)) {
      case 0:
      case 1: return Line({"MULTI"}) + Line({"DECRBY", from, amount}) + Line({"INCRBY", to, amount}) + Line({"EXEC"});
      case 2: return Line({"MSET", free(), "1", free(), "2"});
      case 3:
        // Of their own: a replay comes after their time, and would not find them for a RENAME.
        return Line({"SET", "timed:" + amount, "x", "PX", std::to_string(random->Between(1, 20))}) +
               Line({"GET", "timed:" + amount});
      case 4: return Line({"MULTI"}) + Line({"GET", free()}) + Line({"SET", free(), "y"}) + Line({"EXEC"});
      case 5: return Line({"LPUSH", "list:" + std::to_string(random->Below(4)), "a", "b"});
      case 6: return Line({"LMOVE", "list:1", "list:2", "LEFT", "RIGHT"});
      case 7: return Line({"LREM", "long", "1", "x"});  // on the runner
      case 8: return Line({"SADD", "set", amount}) + Line({"SPOP", "set"});
      default: return Line({"RENAME", free(), free()});
    }
  }

  void Note(int client, int64_t value, DetachedClient& of) {
    const std::lock_guard<std::mutex> lock(mutex_);
    notes_[client].push_back({of.connection().written_seq, value});
  }

  void CutOften() {
    Random random(options_.seed ^ 77);
    net::LeaseGuest& guest = rig_.server().saver();
    guest.Attach();
    while (!must_stop_.load()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(random.Below(40)));
      // Both ways into a new file: prepared, so that the journal goes on in it by itself, or opened behind the cut.
      const std::string next = AddFile();
      const bool is_prepared = random.Below(2) == 0 && journal_->Prepare(next) == 0;
      guest.WithAll([&] { journal_->Cut(); });
      const bool is_cut = journal_->Wait().error == 0;
      if (is_cut && is_prepared) continue;
      if (!is_cut || random.Below(2) == 0 || journal_->Open(next, 0, 0) != 0) journal_->Resume();
    }
    guest.Detach();
  }

  /// The name of a new file, the last in the order of the stream. It may stay empty.
  std::string AddFile() {
    const std::lock_guard<std::mutex> lock(files_mutex_);
    files_.push_back("file" + std::to_string(files_.size()));
    return files_.back();
  }

  /// Everything that is left after such a loss now.
  std::vector<std::vector<std::string>> Left(FakeDisk::Loss loss, bool may_be_torn) {
    std::vector<std::vector<std::string>> commands;
    const std::lock_guard<std::mutex> lock(files_mutex_);
    for (const std::string& bytes : disk_.Left(files_, loss)) {
      for (auto& command : test::ReadAof(bytes, may_be_torn)) commands.push_back(std::move(command));
    }
    return commands;
  }

  void LookOften() {
    while (!must_stop_.load()) {
      std::this_thread::sleep_for(std::chrono::duration<double>(options_.seconds / 12));
      // In this order: what is acknowledged now must be in what is read afterwards.
      const uint64_t acknowledged = rig_.engine().durability.acknowledged.load(std::memory_order_acquire);
      Promises promised;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (const auto& [client, notes] : notes_) {
          for (const Acknowledgeable& note : notes) {
            if (note.seq <= acknowledged) promised[client] = note.value;
          }
        }
      }
      Judge(Left(FakeDisk::Loss::kKill, true), promised);
      const bool is_always = policy_ == AppendFsync::kAlways;
      // Otherwise a failed sync may leave a hole, which a load refuses.
      if (is_always || !disk_fails_) Judge(Left(FakeDisk::Loss::kPower, true), is_always ? promised : Promises());
      looks_++;
    }
  }

  static void Judge(const std::vector<std::vector<std::string>>& commands, const Promises& promised) {
    std::map<std::string, int64_t> counters;
    std::map<std::string, int64_t> money;
    bool is_in_multi = false;
    std::vector<std::pair<std::string, int64_t>> moves;
    for (const auto& command : commands) {
      if (command[0] == "MULTI") is_in_multi = true;
      if (command[0] == "EXEC") {
        is_in_multi = false;
        for (const auto& [account, by] : moves) money[account] += by;
        moves.clear();
      }
      if (command[0] == "INCR") counters[command[1]]++;
      if (command[0] == "SET" && command[1].starts_with("account:")) money[command[1]] = kStart;
      if (command[0] != "INCRBY" && command[0] != "DECRBY") continue;
      STRESS_EXPECT(is_in_multi);
      const int64_t by = std::atoll(command[2].c_str());
      moves.emplace_back(command[1], command[0] == "INCRBY" ? by : -by);
    }
    int64_t sum = 0;
    for (const auto& [account, amount] : money) sum += amount;
    STRESS_EXPECT(sum == kAccounts * kStart, sum);
    for (const auto& [client, value] : promised) {
      STRESS_EXPECT(counters[Counter(client)] >= value, counters[Counter(client)], value);
    }
  }

  void CheckEnd() {
    for (int i = 0; i < 300 && journal_->SyncAll() != 0; i++) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    STRESS_EXPECT(journal_->SyncAll() == 0);
    DetachedClient client(rig_, 0);
    const std::string digest = client.Run(Line({"DEBUG", "DIGEST"}));
    STRESS_EXPECT(journal_->SyncAll() == 0);
    const std::vector<std::vector<std::string>> commands = Left(FakeDisk::Loss::kPower, false);
    Judge(commands, {});
    ServerRig copy({.workers = 1, .shards = 2});
    DetachedClient reader(copy, 0);
    for (const auto& command : commands) {
      const std::string reply = reader.Run(Line(command));
      STRESS_EXPECT(reply[0] != '-');
    }
    STRESS_EXPECT(reader.Run(Line({"DEBUG", "DIGEST"})) == digest);
    STRESS_EXPECT(looks_ > 0);
    STRESS_EXPECT(!disk_fails_ || disk_.failures() > 0);
    std::printf("  threads %d: %zu commands in %zu files, %d looks, %d syncs, %d failures of the disk\n", threads_,
                commands.size(), files_.size(), looks_, disk_.syncs(), disk_.failures());
  }

  const Options options_;
  const AppendFsync policy_;
  const bool disk_fails_;
  const int threads_;
  FakeDisk disk_;
  ServerRig rig_;
  Journal* journal_ = nullptr;
  std::atomic<bool> must_stop_{false};
  std::unique_ptr<std::atomic<bool>[]> is_finished_;
  std::mutex mutex_;
  std::map<int, std::vector<Acknowledgeable>> notes_;
  std::mutex files_mutex_;
  std::vector<std::string> files_ = {"file0"};
  int looks_ = 0;
};

}  // namespace

STRESS(journal_always) { Office(options, AppendFsync::kAlways, false).Run(); }
STRESS(journal_always_on_a_failing_disk) { Office(options, AppendFsync::kAlways, true).Run(); }
STRESS(journal_everysec_on_a_failing_disk) { Office(options, AppendFsync::kEverySec, true).Run(); }
STRESS(journal_everysec) { Office(options, AppendFsync::kEverySec, false).Run(); }

}  // namespace sherd::stress
