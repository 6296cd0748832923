// Fills an empty server with keys of all types, as fast as one pipelined connection goes.
//
//   --range n          n strings of `--payload` bytes, key:00000000 ...
//   3 of 100 each      hashes, sorted sets, lists and sets of five: hash:00000000 ..., zset: ...
//   7.5 of 100 each    elements of four big sorted sets, hashes and lists, and entries of a stream
//
// With n = 4000 and 100 bytes redis-server uses about a megabyte, with more in proportion. Values
// are cut out of a random block at random places, so that nothing compresses and no two are the
// same for long; what must differ within a collection begins with a number.
//
// Replies are counted by their lines, and any error among them ends the program. At most
// kBatchesUnderWay batches are unanswered: the replies to so few always find room in the socket, so
// that a blocking send never waits for a server that waits for this reader.
#include "base/random.h"
#include "load/load.h"

namespace sherd::load {
namespace {

constexpr size_t kBlockBytes = 1 << 17;
constexpr size_t kBatchBytes = 64 << 10;
constexpr uint64_t kBatchesUnderWay = 4;
constexpr int kElementsOfSmall = 5;
constexpr uint64_t kBigCollections = 4;
constexpr size_t kReplyBytes = 64 << 10;

/// Sends commands in batches and counts the lines of what comes back.
class Filler {
 public:
  explicit Filler(const Settings& settings)
      : connection_(settings.port), replies_(kReplyBytes, '\0') {}

  /// Adds one command, whose reply has so many lines.
  void Add(std::string_view command, uint64_t reply_lines) {
    batch_ += command;
    lines_of_batch_ += reply_lines;
    commands_++;
    if (batch_.size() >= kBatchBytes) Flush();
  }

  /// Sends what has been added, and waits for all replies.
  void Finish() {
    Flush();
    while (lines_ < lines_sent_) TakeReplies();
  }

  uint64_t commands() const { return commands_; }

 private:
  void Flush() {
    connection_.Send(batch_);
    batch_.clear();
    lines_sent_ += lines_of_batch_;
    lines_due_[sent_++ % kBatchesUnderWay] = lines_sent_;
    lines_of_batch_ = 0;
    // The batch that this place of the ring held next must be answered before the place is taken.
    while (lines_ < lines_due_[sent_ % kBatchesUnderWay]) TakeReplies();
  }

  void TakeReplies() {
    const size_t size = connection_.ReceiveSome(replies_.data(), replies_.size());
    const std::string_view seen = std::string_view(replies_).substr(0, size);
    for (size_t at = 0; at < size;) {
      if (is_at_start_ && seen[at] == '-') Fail("the server answered", seen.substr(at));
      const size_t end = seen.find('\n', at);
      is_at_start_ = end != std::string_view::npos;
      if (!is_at_start_) return;
      lines_++;
      at = end + 1;
    }
  }

  Connection connection_;
  std::string replies_;
  std::string batch_;
  uint64_t commands_ = 0;
  uint64_t lines_of_batch_ = 0;
  uint64_t lines_sent_ = 0;
  /// Of the last batches: how many lines there are when each is answered.
  uint64_t lines_due_[kBatchesUnderWay] = {};
  uint64_t sent_ = 0;
  uint64_t lines_ = 0;
  /// The next byte begins a line.
  bool is_at_start_ = true;
};

/// The dataset, command by command.
class Dataset {
 public:
  Dataset(const Settings& settings, Filler* filler)
      : settings_(settings), filler_(*filler), random_(settings.seed), block_(kBlockBytes, ' ') {
    for (char& c : block_) c = static_cast<char>('!' + random_.Below(90));
  }

  void Send() {
    for (uint64_t i = 0; i < settings_.range; i++) {
      Begin("SET", "key:", i, 1);
      AppendBulk(&command_, Noise(settings_.payload_bytes));
      filler_.Add(command_, 1);
    }
    const uint64_t small = uint64_t{settings_.range} * 3 / 100;
    for (uint64_t i = 0; i < small; i++) SendSmall(i);
    const uint64_t big = uint64_t{settings_.range} * 75 / 1000;
    for (uint64_t i = 0; i < big; i++) SendToBig(i, big);
    filler_.Finish();
  }

 private:
  /// The head of a command of one key and `arguments` more.
  void Begin(std::string_view name, std::string_view prefix, uint64_t number, int arguments) {
    command_ = "*" + std::to_string(2 + arguments) + "\r\n";
    AppendBulk(&command_, name);
    key_ = prefix;
    key_ += EightDigits(number);
    AppendBulk(&command_, key_);
  }

  std::string_view Noise(size_t bytes) {
    return std::string_view(block_).substr(random_.Below(kBlockBytes - bytes), bytes);
  }

  /// Unlike all others of the same collection.
  std::string Member(uint64_t number, size_t noise_bytes) {
    std::string member = std::to_string(number);
    member += ':';
    member += Noise(noise_bytes);
    return member;
  }

  void SendSmall(uint64_t number) {
    Begin("HSET", "hash:", number, 2 * kElementsOfSmall);
    for (int i = 0; i < kElementsOfSmall; i++) {
      AppendBulk(&command_, "f" + std::to_string(i));
      AppendBulk(&command_, Noise(20));
    }
    filler_.Add(command_, 1);
    Begin("ZADD", "zset:", number, 2 * kElementsOfSmall);
    for (int i = 0; i < kElementsOfSmall; i++) {
      AppendBulk(&command_, std::to_string(random_.Below(1000)));
      AppendBulk(&command_, Member(static_cast<uint64_t>(i), 10));
    }
    filler_.Add(command_, 1);
    Begin("RPUSH", "list:", number, kElementsOfSmall);
    for (int i = 0; i < kElementsOfSmall; i++) AppendBulk(&command_, Noise(30));
    filler_.Add(command_, 1);
    Begin("SADD", "set:", number, kElementsOfSmall);
    for (int i = 0; i < kElementsOfSmall; i++) {
      AppendBulk(&command_, Member(static_cast<uint64_t>(i), 14));
    }
    filler_.Add(command_, 1);
  }

  void SendToBig(uint64_t number, uint64_t of) {
    const uint64_t collection = number % kBigCollections;
    Begin("ZADD", "big:zset:", collection, 2);
    AppendBulk(&command_, std::to_string(number * 7 % of));
    AppendBulk(&command_, "member:" + std::to_string(number));
    filler_.Add(command_, 1);
    Begin("HSET", "big:hash:", collection, 2);
    AppendBulk(&command_, "field:" + std::to_string(number));
    AppendBulk(&command_, Noise(20));
    filler_.Add(command_, 1);
    Begin("RPUSH", "big:list:", collection, 1);
    AppendBulk(&command_, Noise(20));
    filler_.Add(command_, 1);
    Begin("XADD", "big:stream:", 0, 5);
    AppendBulk(&command_, std::to_string(number + 1) + "-0");
    AppendBulk(&command_, "sensor");
    AppendBulk(&command_, std::to_string(number % 100));
    AppendBulk(&command_, "value");
    AppendBulk(&command_, std::to_string(number % 9973));
    // The length of the ID, and the ID.
    filler_.Add(command_, 2);
  }

  const Settings& settings_;
  Filler& filler_;
  Random random_;
  std::string block_;
  std::string command_;
  std::string key_;
};

}  // namespace

void RunFill(const Settings& settings) {
  Filler filler(settings);
  Dataset dataset(settings, &filler);
  Meter meter(settings.pid);
  meter.Start();
  dataset.Send();
  meter.Stop();
  std::vector<int64_t> none;
  meter.Print(filler.commands(), &none);
}

}  // namespace sherd::load
