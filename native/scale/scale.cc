// sherd_scale: the engine without sockets, driven by 1 and by 2 (or more) worker threads.
//
// What redis-benchmark cannot tell on a small machine: it needs a core itself. Here each thread feeds its
// worker ready-made pipelines from memory and drops the replies, so all that is measured is parsing,
// routing, leases and the keyspace: the part that must scale with cores.
//
// Prints for each number of workers the throughput (median of several runs, alternating), the speed-up,
// and the share of commands that found their lease taken. Options: --workers 1,2 --shards N --keys N
// --pipeline N --seconds S --runs N --layout in-place|owner.
//
// --longest-insert N instead inserts N new keys into one shard and prints the longest insert by processor
// time of the thread (what a rehash would show as a pause; sockets and the scheduler are left out).
//
// The rule of thumb in ARCHITECTURE (contention ~ h * N / S) is checked with these figures.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/numbers.h"
#include "base/random.h"
#include "commands/registry.h"
#include "net/server.h"
#include "net/worker.h"

namespace sherd {
namespace {

struct Settings {
  std::vector<int> workers{1, 2};
  int shards = 64;
  uint64_t keys = 1000000;
  int pipeline = 16;
  double seconds = 1.0;
  int runs = 5;
  bool in_place = true;
  uint64_t seed = 1;
  uint64_t longest_insert = 0;
};

struct Result {
  double commands_per_second = 0;
  double contended_share = 0;
};

void AppendBulk(std::string* out, std::string_view bytes) {
  *out += "$" + std::to_string(bytes.size()) + "\r\n";
  out->append(bytes);
  *out += "\r\n";
}

/// Ready-made pipelines: 80 % GET, 20 % SET on random keys.
std::vector<std::string> MakePipelines(const Settings& settings, uint64_t seed) {
  Random random(seed);
  std::vector<std::string> pipelines(4096 / static_cast<size_t>(settings.pipeline) * 16);
  for (std::string& pipeline : pipelines) {
    for (int i = 0; i < settings.pipeline; i++) {
      char key[32];
      std::snprintf(key, sizeof key, "key:%012llu",
                    static_cast<unsigned long long>(random.Below(settings.keys)));
      const bool is_set = random.Below(5) == 0;
      pipeline += is_set ? "*3\r\n" : "*2\r\n";
      AppendBulk(&pipeline, is_set ? "SET" : "GET");
      AppendBulk(&pipeline, key);
      if (is_set) AppendBulk(&pipeline, "xxx");
    }
  }
  return pipelines;
}

class Rig {
 public:
  Rig(const Settings& settings, int workers) : settings_(settings) {
    engine::EngineConfig config;
    config.workers = workers;
    config.shards = settings.shards;
    config.databases = 1;
    config.in_place = settings.in_place;
    const engine::CounterLayout layout{static_cast<size_t>(workers), static_cast<size_t>(settings.shards), 1,
                                       AllCommands().size()};
    counters_.resize(layout.total_bytes() / sizeof(uint64_t) + 1);
    config.counter_memory = reinterpret_cast<std::byte*>(counters_.data());
    server_ = std::make_unique<net::Server>(config, &Handlers());
    for (int i = 0; i < workers; i++) {
      clients_.push_back(std::make_unique<net::Connection>());
      clients_.back()->writable = false;
      clients_.back()->session.authenticated = true;
      pipelines_.push_back(MakePipelines(settings, settings.seed + static_cast<uint64_t>(i)));
      server_->worker(static_cast<engine::WorkerId>(i)).Start([](net::ControlCall&&) {});
    }
    Fill();
  }

  Result Run() {
    const uint64_t commands_before = Commands();
    const uint64_t queued_before = Queued();
    stop_.store(false);
    running_.store(static_cast<int>(clients_.size()));
    const int64_t start_ns = Clock::MonotonicNs();
    std::vector<std::thread> threads;
    for (size_t i = 0; i < clients_.size(); i++) threads.emplace_back([this, i] { Drive(i); });
    std::this_thread::sleep_for(std::chrono::duration<double>(settings_.seconds));
    stop_.store(true);
    for (std::thread& thread : threads) thread.join();
    const double elapsed = static_cast<double>(Clock::MonotonicNs() - start_ns) / 1e9;
    const double commands = static_cast<double>(Commands() - commands_before);
    return {commands / elapsed, static_cast<double>(Queued() - queued_before) / commands};
  }

 private:
  void Fill() {
    for (uint64_t i = 0; i < settings_.keys; i++) {
      char key[32];
      std::snprintf(key, sizeof key, "key:%012llu", static_cast<unsigned long long>(i));
      std::string command = "*3\r\n";
      AppendBulk(&command, "SET");
      AppendBulk(&command, key);
      AppendBulk(&command, "xxx");
      // One thread does it all: in the owner's layout it must serve the other workers' shards too.
      const engine::Key where = server_->engine().MakeKey(key);
      server_->engine().keyspace(where.shard).SetString(0, where, {}, "xxx", engine::StringForm::kAuto,
                                                        engine::kNoExpiry);
    }
  }

  void Drive(size_t index) {
    net::Worker& worker = server_->worker(static_cast<engine::WorkerId>(index));
    net::Connection* client = clients_[index].get();
    const std::vector<std::string>& pipelines = pipelines_[index];
    for (size_t at = 0; !stop_.load(std::memory_order_relaxed); at++) {
      std::string_view input = pipelines[at % pipelines.size()];
      while (!input.empty()) {
        input.remove_prefix(worker.ServeBytes(client, input));
        while (client->state == net::ConnectionState::kParked) worker.RunOnce();
      }
      client->output.Clear();
      if (at % 4 == 0) worker.RunOnce();  // rings, as between two batches of a real loop
    }
    // Others may still wait for what we have in hand.
    running_.fetch_sub(1);
    while (running_.load() > 0) worker.RunOnce();
  }

  uint64_t Sum(engine::Counter engine::WorkerCounters::*counter) {
    uint64_t sum = 0;
    for (size_t i = 0; i < clients_.size(); i++) {
      sum += (server_->engine().worker_counters(static_cast<engine::WorkerId>(i)).*counter).Get();
    }
    return sum;
  }
  uint64_t Commands() { return Sum(&engine::WorkerCounters::commands_processed); }
  uint64_t Queued() { return Sum(&engine::WorkerCounters::commands_queued); }

  const Settings settings_;
  std::vector<uint64_t> counters_;
  std::unique_ptr<net::Server> server_;
  std::vector<std::unique_ptr<net::Connection>> clients_;
  std::vector<std::vector<std::string>> pipelines_;
  std::atomic<bool> stop_{false};
  std::atomic<int> running_{0};
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

bool ParseSettings(int argc, char** argv, Settings* settings) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--shards") {
      settings->shards = std::atoi(value);
    } else if (name == "--keys") {
      settings->keys = static_cast<uint64_t>(std::atoll(value));
    } else if (name == "--pipeline") {
      settings->pipeline = std::atoi(value);
    } else if (name == "--seconds") {
      settings->seconds = std::atof(value);
    } else if (name == "--runs") {
      settings->runs = std::atoi(value);
    } else if (name == "--seed") {
      settings->seed = static_cast<uint64_t>(std::atoll(value));
    } else if (name == "--layout") {
      settings->in_place = std::strcmp(value, "in-place") == 0;
    } else if (name == "--longest-insert") {
      settings->longest_insert = static_cast<uint64_t>(std::atoll(value));
    } else if (name == "--workers") {
      settings->workers.clear();
      for (const char* at = value; *at != '\0';) {
        settings->workers.push_back(std::atoi(at));
        at = std::strchr(at, ',') != nullptr ? std::strchr(at, ',') + 1 : "";
      }
    } else {
      return false;
    }
  }
  return argc % 2 == 1;
}

/// All keys go to one keyspace, so that its table grows as far as a single one ever would.
void PrintLongestInsert(uint64_t keys) {
  engine::ShardCounters shard_counters{};
  engine::DatabaseCounters database_counters{};
  std::atomic<uint32_t> clock{0};
  engine::Keyspace space(0, 1, &shard_counters, &database_counters, &clock);
  std::vector<uint32_t> nanoseconds;
  nanoseconds.reserve(keys);
  for (uint64_t i = 0; i < keys; i++) {
    char name[32];
    const int size = std::snprintf(name, sizeof name, "key:%012llu", static_cast<unsigned long long>(i));
    const engine::Key key{{name, static_cast<size_t>(size)}, engine::HashKey({name, static_cast<size_t>(size)}), 0, 0};
    const int64_t start = Clock::ThreadCpuNs();
    space.SetString(0, key, {}, "xxx", engine::StringForm::kAuto, engine::kNoExpiry);
    nanoseconds.push_back(static_cast<uint32_t>(Clock::ThreadCpuNs() - start));
  }
  std::sort(nanoseconds.begin(), nanoseconds.end());
  std::printf("%llu inserts into one table: median %u ns, p99.9 %u ns, p99.9999 %u ns, longest %u ns\n",
              static_cast<unsigned long long>(keys), nanoseconds[keys / 2], nanoseconds[keys - keys / 1000 - 1],
              nanoseconds[keys - keys / 1000000 - 1], nanoseconds.back());
}

int Main(int argc, char** argv) {
  Settings settings;
  if (!ParseSettings(argc, argv, &settings)) {
    std::fprintf(stderr,
                 "usage: sherd_scale [--workers 1,2] [--shards N] [--keys N] [--pipeline N] [--seconds S] "
                 "[--runs N] [--layout in-place|owner] [--seed N] | --longest-insert N\n");
    return 2;
  }
  CycleClock::Calibrate();
  const uint8_t seed[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  engine::SeedKeyHash(seed);
  if (settings.longest_insert > 0) {
    PrintLongestInsert(settings.longest_insert);
    return 0;
  }
  std::printf("%d shards, %llu keys, pipeline %d, 80 %% GET 20 %% SET, %s, median of %d runs of %.1f s\n",
              settings.shards, static_cast<unsigned long long>(settings.keys), settings.pipeline,
              settings.in_place ? "in place" : "on the owner", settings.runs, settings.seconds);
  std::vector<std::unique_ptr<Rig>> rigs;
  for (int workers : settings.workers) rigs.push_back(std::make_unique<Rig>(settings, workers));
  std::vector<std::vector<double>> throughput(rigs.size());
  std::vector<std::vector<double>> contended(rigs.size());
  for (int run = 0; run < settings.runs; run++) {
    for (size_t i = 0; i < rigs.size(); i++) {
      const Result result = rigs[i]->Run();
      throughput[i].push_back(result.commands_per_second);
      contended[i].push_back(result.contended_share);
    }
  }
  const double base = Median(throughput[0]);
  for (size_t i = 0; i < rigs.size(); i++) {
    const double median = Median(throughput[i]);
    std::printf("%3d workers  %12.0f commands/s  speed-up %.2f  contended %.4f %%\n", settings.workers[i],
                median, median / base, Median(contended[i]) * 100);
  }
  return 0;
}

}  // namespace
}  // namespace sherd

int main(int argc, char** argv) { return sherd::Main(argc, argv); }
