// Publishers of one channel, and subscribers that really read.
//
//   publisher 1 ---- PUBLISH, `depth` under way ----> server ---- message ----> subscriber 1 ... 50
//   publisher n ---- PUBLISH ----------------------->        <--- :50
//
// Channel and payload never change, so that every message is equally long and subscribers only
// count bytes; of each read no more is looked at than the end of the message that it begins in.
// Every reply to a publisher must say that all subscribers were reached: the channel bears the
// process's number, so that nobody's subscribers of before are among them.
//
// A publisher's reply does not wait for the subscribers, who could fall behind until the server
// cuts them off. So publishers also stop while the subscribers together are kLagDepths pipelines
// behind: what is counted has been delivered, and the server's buffers stay small on both sides
// alike. At the end all that was published must have arrived.
//
// Between two turns this thread dozes for a moment without waiting for anything. A thread that
// sleeps in epoll is woken by the first message, which costs the sender more than the message did;
// one that is late finds more to read and is not woken at all. Which of the two it is would be
// chance and last for a whole run: redis-server delivered 1.3 or 3.3 million messages a second, by
// chance.
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <deque>

#include "load/load.h"

namespace sherd::load {
namespace {

constexpr uint64_t kLagDepths = 4;
/// A few hundred messages' worth, and less than a server needs to deliver one pipeline.
constexpr useconds_t kDozeUs = 20;
constexpr size_t kBufferBytes = 256 << 10;

/// A connection of either kind.
struct Peer {
  Peer(uint16_t port, bool publishes) : connection(port), is_publisher(publishes) {}

  Connection connection;
  bool is_publisher;
  /// Messages, of a publisher.
  uint64_t sent = 0;
  /// Of replies, or of messages.
  uint64_t received_bytes = 0;
};

class Publish {
 public:
  explicit Publish(const Settings& settings) : settings_(settings), buffer_(kBufferBytes, '\0') {
    const std::string payload(settings.payload_bytes, 'x');
    std::string request;
    AppendCommand(&request, {"PUBLISH", channel_, payload});
    request_bytes_ = request.size();
    for (uint32_t i = 0; i < settings.depth; i++) requests_ += request;
    message_ = "*3\r\n";
    for (const std::string_view word :
         {std::string_view("message"), std::string_view(channel_), std::string_view(payload)}) {
      AppendBulk(&message_, word);
    }
    reply_ = ":" + std::to_string(settings.subscribers) + "\r\n";
    for (uint32_t i = 0; i < settings.subscribers; i++) Subscribe();
    for (uint32_t i = 0; i < settings.publishers; i++) {
      Peer& publisher = publishers_.emplace_back(settings.port, true);
      poller_.Add(publisher.connection.fd(), &publisher);
    }
  }

  void Turn() {
    for (Peer& publisher : publishers_) TopUp(&publisher);
    usleep(kDozeUs);
    Read();
  }

  /// Messages that have reached a subscriber.
  uint64_t Delivered() const { return received_bytes_ / message_.size(); }

  /// Reads until everybody has everything.
  void Drain() {
    for (;;) {
      uint64_t replied_bytes = 0;
      for (const Peer& publisher : publishers_) replied_bytes += publisher.received_bytes;
      const bool is_answered = replied_bytes == published_ * reply_.size();
      if (is_answered && received_bytes_ >= Wanted()) break;
      Read();
    }
    for (const Peer& subscriber : subscribers_) {
      if (subscriber.received_bytes != published_ * message_.size()) {
        Fail("a subscriber has received something else than every message once");
      }
    }
  }

 private:
  uint64_t Wanted() const { return published_ * settings_.subscribers * message_.size(); }

  void Subscribe() {
    Peer& subscriber = subscribers_.emplace_back(settings_.port, false);
    std::string request;
    AppendCommand(&request, {"SUBSCRIBE", channel_});
    subscriber.connection.Send(request);
    std::string reply = "*3\r\n";
    AppendBulk(&reply, "subscribe");
    AppendBulk(&reply, channel_);
    subscriber.connection.Expect(reply + ":1\r\n");
    poller_.Add(subscriber.connection.fd(), &subscriber);
  }

  void TopUp(Peer* publisher) {
    const uint64_t depth = settings_.depth;
    const uint64_t room = depth - (publisher->sent - publisher->received_bytes / reply_.size());
    // Half of the room at least: otherwise a system call per command would be what is measured.
    if (room * 2 < depth) return;
    const uint64_t lag_bytes_max =
        kLagDepths * depth * settings_.publishers * settings_.subscribers * message_.size();
    if (Wanted() - received_bytes_ > lag_bytes_max) return;
    publisher->connection.Send(std::string_view(requests_).substr(0, room * request_bytes_));
    publisher->sent += room;
    published_ += room;
  }

  void Read() {
    poller_.Turn([this](void* owner) {
      Peer* peer = static_cast<Peer*>(owner);
      if (peer->is_publisher) {
        TakeReplies(peer);
      } else {
        TakeMessages(peer);
      }
    });
  }

  void TakeMessages(Peer* subscriber) {
    const size_t size = subscriber->connection.Receive(buffer_.data(), buffer_.size());
    const size_t phase = subscriber->received_bytes % message_.size();
    const size_t checked = std::min(size, message_.size() - phase);
    if (message_.compare(phase, checked, buffer_, 0, checked) != 0) {
      Fail("a subscriber received",
           std::string_view(buffer_).substr(0, std::min<size_t>(size, 60)));
    }
    subscriber->received_bytes += size;
    received_bytes_ += size;
  }

  void TakeReplies(Peer* publisher) {
    const size_t size = publisher->connection.Receive(buffer_.data(), buffer_.size());
    for (size_t i = 0; i < size; i++) {
      if (buffer_[i] == reply_[(publisher->received_bytes + i) % reply_.size()]) continue;
      Fail("PUBLISH was answered", std::string_view(buffer_).substr(0, std::min<size_t>(size, 60)));
    }
    publisher->received_bytes += size;
  }

  const Settings& settings_;
  const std::string channel_ = "news:" + EightDigits(static_cast<uint64_t>(getpid()));
  Poller poller_;
  std::deque<Peer> subscribers_;
  std::deque<Peer> publishers_;
  std::string requests_;
  std::string message_;
  std::string reply_;
  std::string buffer_;
  size_t request_bytes_ = 0;
  uint64_t published_ = 0;
  uint64_t received_bytes_ = 0;
};

}  // namespace

void RunPublish(const Settings& settings) {
  // Otherwise the kernel lets the doze last twice as long.
  prctl(PR_SET_TIMERSLACK, 1'000UL);
  Publish publish(settings);
  Meter meter(settings.pid);
  const auto turn = [&] { publish.Turn(); };
  const uint64_t delivered = Measure(settings, &meter, turn, [&] { return publish.Delivered(); });
  publish.Drain();
  std::vector<int64_t> none;
  meter.Print(delivered, &none);
}

}  // namespace sherd::load
