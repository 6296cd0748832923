// Plain SETs or GETs of random keys by many connections, each of which sends again when all it has sent is
// answered; every wait is kept.
//
//   connection 1  |send depth|.........|replies|send depth|......|replies|
//                  ^ clock starts               ^ clock stops, and starts anew
//
// Keys are key:00000000 … below --range, values --payload bytes cut out of a random block at random places, so that
// nothing compresses and no two values are the same for long. GET expects keys that exist with values of that length.
#include <algorithm>
#include <cstring>
#include <memory>

#include "base/random.h"
#include "load/load.h"

namespace sherd::load {
namespace {

constexpr size_t kBlockBytes = 1 << 17;
constexpr std::string_view kOk = "+OK\r\n";
constexpr std::string_view kDigits = "00000000";

class Client {
 public:
  Client(const Settings& settings, std::string_view block, Random* random, std::vector<int64_t>* latencies_ns)
      : connection_(settings.port), settings_(settings), block_(block), random_(*random), latencies_ns_(*latencies_ns) {
    const std::string name = "key:" + std::string(kDigits);
    if (settings.is_reading) {
      AppendCommand(&request_, {"GET", name});
      std::string value;
      AppendBulk(&value, block.substr(0, settings.payload_bytes));
      reply_bytes_ = value.size();
    } else {
      AppendCommand(&request_, {"SET", name, block.substr(0, settings.payload_bytes)});
      reply_bytes_ = kOk.size();
    }
    digits_at_ = request_.find(kDigits);
    buffer_.resize(std::max<size_t>(reply_bytes_ * settings.depth, 256));
  }

  const Connection& connection() const { return connection_; }
  uint64_t replies() const { return replies_; }

  void Send() {
    batch_.clear();
    for (uint32_t i = 0; i < settings_.depth; i++) {
      const std::string digits = EightDigits(random_.Below(settings_.range));
      std::memcpy(request_.data() + digits_at_, digits.data(), digits.size());
      if (!settings_.is_reading) {
        const size_t place = random_.Below(block_.size() - settings_.payload_bytes);
        std::memcpy(request_.data() + request_.size() - 2 - settings_.payload_bytes, block_.data() + place,
                    settings_.payload_bytes);
      }
      batch_ += request_;
    }
    sent_at_ns_ = NowNs();
    connection_.Send(batch_);
  }

  /// Takes in what has arrived; sends again when that was all.
  void Turn() {
    const size_t expected = reply_bytes_ * settings_.depth;
    const size_t got = connection_.Receive(buffer_.data() + held_, buffer_.size() - held_);
    held_ += got;
    const std::string_view seen(buffer_.data(), held_);
    if (!seen.empty() && seen[0] != (settings_.is_reading ? '$' : '+')) Fail("the server answered", seen.substr(0, 200));
    if (held_ < expected) return;
    if (seen.substr(expected - 2) != "\r\n") Fail("the server answered", seen.substr(0, 200));
    latencies_ns_.push_back(NowNs() - sent_at_ns_);
    replies_ += settings_.depth;
    held_ = 0;
    Send();
  }

 private:
  Connection connection_;
  const Settings& settings_;
  const std::string_view block_;
  Random& random_;
  std::vector<int64_t>& latencies_ns_;
  std::string request_;
  std::string batch_;
  std::string buffer_;
  size_t digits_at_ = 0;
  size_t reply_bytes_ = 0;
  size_t held_ = 0;
  uint64_t replies_ = 0;
  int64_t sent_at_ns_ = 0;
};

}  // namespace

void RunOps(const Settings& settings) {
  Random random(settings.seed);
  std::string block(kBlockBytes, ' ');
  for (char& c : block) c = static_cast<char>('!' + random.Below(90));
  std::vector<int64_t> latencies_ns;
  // A vector that grows to millions stands still for 10 to 40 ms, and all that is under way would have waited so long.
  constexpr double kBatchesPerSecMax = 400'000;
  latencies_ns.resize(static_cast<size_t>(settings.seconds * 1.2 * kBatchesPerSecMax));
  latencies_ns.clear();
  std::vector<std::unique_ptr<Client>> clients;
  Poller poller;
  for (uint32_t i = 0; i < settings.connections; i++) {
    clients.push_back(std::make_unique<Client>(settings, block, &random, &latencies_ns));
    poller.Add(clients.back()->connection().fd(), clients.back().get());
    clients.back()->Send();
  }
  Meter meter(settings.pid);
  size_t first = 0;
  const auto count = [&] {
    uint64_t replies = 0;
    for (const auto& client : clients) replies += client->replies();
    if (first == 0) first = latencies_ns.size();
    return replies;
  };
  const auto turn = [&] { poller.Turn([](void* client) { static_cast<Client*>(client)->Turn(); }); };
  const uint64_t operations = Measure(settings, &meter, turn, count);
  latencies_ns.erase(latencies_ns.begin(), latencies_ns.begin() + static_cast<ptrdiff_t>(first));
  meter.Print(operations, &latencies_ns);
}

}  // namespace sherd::load
