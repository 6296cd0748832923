// Transactions and tracked reads: requests of one length, replies of one content, several
// pipelines.
//
//   pool of requests  |r0|r1|r2|...........|rN-1|     all equally long, in random order, sent in
//   slices
//                         ^ connection 1       ^ connection 2 ...   each from where it stands,
//                         around
//   replies           |reply|reply|push|reply|..     a push begins with '>', no reply does
//
// Transactions are MULTI, ten SETs and EXEC; their replies are +OK, ten times +QUEUED and an array
// of ten OKs. Reads are GETs in RESP3 of keys that exist; with tracking on every connection has
// read every key before the clock starts, so that the server remembers all of them for each. A
// writer sets keys at a steady pace, with and without tracking (its work is not what is asked for);
// with tracking each write sends an invalidation to those who have read the key since, and they
// read it again when they come around. How many pushes arrived is checked: none without tracking or
// writer, some with both.
#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>

#include "base/random.h"
#include "load/load.h"

namespace sherd::load {
namespace {

constexpr uint64_t kTransactions = 4'096;
constexpr int kSetsPerTransaction = 10;
constexpr uint64_t kReadKeys = 8'192;
constexpr std::string_view kValue = "xxx";
constexpr std::string_view kOk = "+OK\r\n";
constexpr size_t kBufferBytes = 64 << 10;

/// Requests of one length with replies of one content.
struct Work {
  std::string pool;
  size_t request_bytes = 0;
  std::string reply;
  /// Length of a push that may stand between replies; 0 if none may.
  size_t push_bytes = 0;

  uint64_t requests() const { return pool.size() / request_bytes; }
  void Add(const std::string& request) {
    request_bytes = request.size();
    pool += request;
  }
};

/// One connection with requests under way.
class Pipeline {
 public:
  Pipeline(const Settings& settings, const Work& work, uint64_t first)
      : connection_(settings.port),
        work_(work),
        depth_(settings.depth),
        next_(first),
        buffer_(kBufferBytes) {
    for (uint64_t i = 0; i < depth_; i++) replies_text_ += work.reply;
  }

  const Connection& connection() const { return connection_; }
  uint64_t replies() const { return replies_; }
  uint64_t pushes() const { return pushes_; }
  bool is_idle() const { return sent_ == replies_; }

  /// Sends as many requests as may be under way, at most up to `limit` since the beginning.
  void TopUp(uint64_t limit) {
    const uint64_t free = depth_ - (sent_ - replies_);
    const uint64_t room = std::min(free, limit - std::min(limit, sent_));
    // Half of the depth at least: otherwise a system call per request would be what is measured.
    if (room == 0 || (free * 2 < depth_ && room == free)) return;
    for (uint64_t left = room; left > 0;) {
      const uint64_t slice = std::min(left, work_.requests() - next_);
      const std::string_view pool = work_.pool;
      connection_.Send(pool.substr(next_ * work_.request_bytes, slice * work_.request_bytes));
      next_ = (next_ + slice) % work_.requests();
      left -= slice;
    }
    sent_ += room;
  }

  /// Takes in what has arrived.
  void Read() {
    held_ += connection_.Receive(buffer_.data() + held_, buffer_.size() - held_);
    // Nearly always whole replies and nothing else: one comparison for all of them.
    if (held_ % work_.reply.size() == 0 && held_ <= replies_text_.size() &&
        std::memcmp(buffer_.data(), replies_text_.data(), held_) == 0) {
      replies_ += held_ / work_.reply.size();
      held_ = 0;
      return;
    }
    size_t at = 0;
    while (const size_t size = TakeFrame(std::string_view(buffer_.data() + at, held_ - at)))
      at += size;
    held_ -= at;
    std::memmove(buffer_.data(), buffer_.data() + at, held_);
  }

 private:
  /// The length of the reply or push that `bytes` begins with; 0 when it is not whole.
  size_t TakeFrame(std::string_view bytes) {
    if (bytes.empty()) return 0;
    if (work_.push_bytes > 0 && bytes[0] == '>') {
      if (bytes.size() < work_.push_bytes) return 0;
      pushes_++;
      return work_.push_bytes;
    }
    const size_t size = std::min(bytes.size(), work_.reply.size());
    if (bytes.compare(0, size, work_.reply, 0, size) != 0) {
      Fail("the server answered", bytes.substr(0, std::min<size_t>(bytes.size(), 200)));
    }
    if (size < work_.reply.size()) return 0;
    replies_++;
    return size;
  }

  Connection connection_;
  const Work& work_;
  uint64_t depth_;
  /// Index in the pool of the request to send next.
  uint64_t next_;
  /// The replies to all that may be under way.
  std::string replies_text_;
  std::vector<char> buffer_;
  size_t held_ = 0;
  uint64_t sent_ = 0;
  uint64_t replies_ = 0;
  uint64_t pushes_ = 0;
};

/// Several pipelines on one poller, and perhaps a paced one beside them that is not counted.
class Crowd {
 public:
  Crowd(const Settings& settings, const Work& work) {
    for (uint32_t i = 0; i < settings.connections; i++) {
      // Far apart, so that they do not all come to the same keys at the same time.
      const uint64_t first = work.requests() * i / settings.connections;
      pipelines_.push_back(std::make_unique<Pipeline>(settings, work, first));
    }
  }

  const std::vector<std::unique_ptr<Pipeline>>& pipelines() const { return pipelines_; }

  void Register() {
    for (const auto& pipeline : pipelines_)
      poller_.Add(pipeline->connection().fd(), pipeline.get());
  }

  void SetWriter(std::unique_ptr<Pipeline> writer, uint32_t writes_per_sec) {
    writer_ = std::move(writer);
    writes_per_sec_ = writes_per_sec;
    poller_.Add(writer_->connection().fd(), writer_.get());
    started_at_ns_ = NowNs();
  }

  void Turn() {
    for (const auto& pipeline : pipelines_) pipeline->TopUp(limit_);
    if (writer_ != nullptr && limit_ != 0) {
      const int64_t elapsed_ns = NowNs() - started_at_ns_;
      writer_->TopUp(
          static_cast<uint64_t>(static_cast<double>(elapsed_ns) * writes_per_sec_ / 1e9));
    }
    poller_.Turn([](void* owner) { static_cast<Pipeline*>(owner)->Read(); });
  }

  uint64_t Replies() const { return Sum(&Pipeline::replies); }
  uint64_t Pushes() const { return Sum(&Pipeline::pushes); }

  /// So many requests on each connection, and their replies.
  void RunEach(uint64_t requests) {
    limit_ = requests;
    while (!IsIdle(requests)) Turn();
    limit_ = UINT64_MAX;
  }

  /// Takes the replies that are under way.
  void Drain() {
    limit_ = 0;
    while (!IsIdle(0)) Turn();
  }

 private:
  uint64_t Sum(uint64_t (Pipeline::*count)() const) const {
    return std::accumulate(
        pipelines_.begin(), pipelines_.end(), uint64_t{0},
        [&](uint64_t sum, const auto& pipeline) { return sum + (*pipeline.*count)(); });
  }

  bool IsIdle(uint64_t replies_min) const {
    if (writer_ != nullptr && !writer_->is_idle()) return false;
    return std::all_of(pipelines_.begin(), pipelines_.end(), [&](const auto& pipeline) {
      return pipeline->is_idle() && pipeline->replies() >= replies_min;
    });
  }

  Poller poller_;
  std::vector<std::unique_ptr<Pipeline>> pipelines_;
  std::unique_ptr<Pipeline> writer_;
  uint32_t writes_per_sec_ = 0;
  int64_t started_at_ns_ = 0;
  /// Requests that each pipeline may send since its beginning; 0 for no more of any kind.
  uint64_t limit_ = UINT64_MAX;
};

/// 0 … count - 1 in random order.
std::vector<uint64_t> Shuffled(uint64_t count, Random* random) {
  std::vector<uint64_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  for (uint64_t i = count; i > 1; i--) std::swap(numbers[i - 1], numbers[random->Below(i)]);
  return numbers;
}

/// The key of SET number `set` in a transaction; `number` is the transaction's.
std::string TransactionKey(Keys keys, uint64_t number, int set, Random* random) {
  // Equally long in all three cases, so that only the shards differ.
  const std::string tag = EightDigits(keys == Keys::kOneTag ? 0 : number);
  if (keys != Keys::kAny)
    return "{tag:" + tag + "}:" + EightDigits(number * kSetsPerTransaction + set);
  return "<key:" + tag + ">:" + EightDigits(random->Below(kTransactions * kSetsPerTransaction));
}

Work MakeTransactions(const Settings& settings) {
  Random random(settings.seed);
  Work work;
  for (const uint64_t number : Shuffled(kTransactions, &random)) {
    std::string request;
    AppendCommand(&request, {"MULTI"});
    for (int set = 0; set < kSetsPerTransaction; set++) {
      AppendCommand(&request, {"SET", TransactionKey(settings.keys, number, set, &random), kValue});
    }
    AppendCommand(&request, {"EXEC"});
    work.Add(request);
  }
  work.reply = kOk;
  for (int set = 0; set < kSetsPerTransaction; set++) work.reply += "+QUEUED\r\n";
  work.reply += "*" + std::to_string(kSetsPerTransaction) + "\r\n";
  for (int set = 0; set < kSetsPerTransaction; set++) work.reply += kOk;
  return work;
}

std::string ReadKey(uint64_t number) { return "cached:" + EightDigits(number); }

Work MakeReads(Random* random) {
  Work work;
  for (const uint64_t number : Shuffled(kReadKeys, random)) {
    std::string request;
    AppendCommand(&request, {"GET", ReadKey(number)});
    work.Add(request);
  }
  AppendBulk(&work.reply, kValue);
  std::string push = ">2\r\n";
  AppendBulk(&push, "invalidate");
  push += "*1\r\n";
  AppendBulk(&push, ReadKey(0));
  work.push_bytes = push.size();
  return work;
}

Work MakeWrites(Random* random) {
  Work work;
  for (const uint64_t number : Shuffled(kReadKeys, random)) {
    std::string request;
    AppendCommand(&request, {"SET", ReadKey(number), kValue});
    work.Add(request);
  }
  work.reply = kOk;
  return work;
}

/// Gives the server every key, and forgets what earlier clients have tracked.
void FillKeys(const Settings& settings, const Work& writes) {
  Settings single = settings;
  single.connections = 1;
  Crowd crowd(single, writes);
  crowd.Register();
  crowd.RunEach(writes.requests());
}

void MeasureCrowd(const Settings& settings, Crowd* crowd) {
  Meter meter(settings.pid);
  const auto turn = [&] { crowd->Turn(); };
  const uint64_t replies = Measure(settings, &meter, turn, [&] { return crowd->Replies(); });
  crowd->Drain();
  std::vector<int64_t> none;
  meter.Print(replies, &none);
}

}  // namespace

void RunExec(const Settings& settings) {
  const Work transactions = MakeTransactions(settings);
  Crowd crowd(settings, transactions);
  crowd.Register();
  MeasureCrowd(settings, &crowd);
}

void RunGet(const Settings& settings) {
  Random random(settings.seed);
  const Work reads = MakeReads(&random);
  const Work writes = MakeWrites(&random);
  FillKeys(settings, writes);
  Crowd crowd(settings, reads);
  for (const auto& pipeline : crowd.pipelines()) {
    pipeline->connection().Call({"HELLO", "3"});
    if (settings.is_tracking) pipeline->connection().Call({"CLIENT", "TRACKING", "ON"});
  }
  crowd.Register();
  crowd.RunEach(reads.requests());
  if (crowd.Pushes() != 0) Fail("an invalidation came before any write");
  if (settings.writes_per_sec > 0) {
    auto writer = std::make_unique<Pipeline>(settings, writes, 0);
    crowd.SetWriter(std::move(writer), settings.writes_per_sec);
  }
  MeasureCrowd(settings, &crowd);
  const bool is_pushed_to = settings.is_tracking && settings.writes_per_sec > 0;
  if (is_pushed_to != (crowd.Pushes() > 0))
    Fail("invalidations came where none were due, or none where some were");
}

}  // namespace sherd::load
