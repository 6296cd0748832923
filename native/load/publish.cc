// Publishers of one channel, and subscribers that really read.
//
//   publisher 1 ---- PUBLISH, `depth` under way ----> server ---- message ----> subscriber 1 ... 50
//   publisher n ---- PUBLISH ----------------------->        <--- :50
//
// Channel and payload never change, so that every message is equally long and subscribers only
// count bytes. Every reply to a publisher must say that all subscribers were reached: the channel
// bears the process's number, so that nobody's subscribers of before are among them.
//
// A publisher's reply does not wait for the subscribers, who could fall behind until the server
// cuts them off. So publishers also stop while the subscribers together are too far behind: what is
// counted has been delivered, and the server's buffers stay small on both sides alike.
//
// Reading must cost next to nothing: on a small machine the servers share the cores with this
// thread, which takes more of them from the faster server. Four things make it cheap:
//
//   1. A subscriber is read when kReadBytes are due to it by the replies that publishers have, not
//      when something arrives: hundreds of messages in one call, and no epoll in between.
//   2. Its socket holds more than may be due, so that it never stops the server's writes.
//   3. The kernel drops what has come instead of copying it out (MSG_TRUNC), and says how much it
//      was.
//   4. What this thread sleeps for is a publisher's reply: one wake-up for a pipeline, which is
//      thousands of messages. A thread that sleeps until a message arrives is woken by the first
//      one, which costs the sender more than the message did; one that is late is not woken at all,
//      and which of the two it is was chance and lasted for a whole run. Dozing 20 us at a time
//      instead took three quarters of what this thread used.
//
// Nothing is taken on trust all the same. Every kCheckedEvery-th read of each subscriber is copied
// and compared byte for byte, at the place in the message where the count of bytes says it is: one
// byte too many or too few ever before would show. At the end one more message, with another
// payload, is published: every subscriber must have received exactly all that was published, once,
// then that one.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>

#include "load/load.h"

namespace sherd::load {
namespace {

/// Publishers stop while more than so many pipelines of each of them are due to each subscriber, or
/// so many bytes if those are more.
constexpr uint64_t kLagDepths = 4;
constexpr uint64_t kLagBytes = 64 << 10;
/// With twice as many the kernel has more buffers to free for the other core than it puts off, and
/// does it here: this thread then used three times as much.
constexpr uint64_t kReadBytes = 32 << 10;
constexpr uint64_t kCheckedEvery = 8;
/// The kernel doubles it, for what it needs beside the bytes.
constexpr int kSocketBytes = 512 << 10;
/// For the rare moments in which only subscribers can be waited for.
constexpr useconds_t kDozeUs = 20;
constexpr int64_t kSilenceNsMax = 10'000'000'000;
constexpr size_t kBufferBytes = 256 << 10;

struct Publisher {
  explicit Publisher(uint16_t port) : connection(port) {}

  Connection connection;
  /// Messages.
  uint64_t sent = 0;
  /// Of replies.
  uint64_t received_bytes = 0;
};

struct Subscriber {
  explicit Subscriber(uint16_t port) : connection(port) {}

  Connection connection;
  uint64_t reads = 0;
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
    message_bytes_ = MessageOf(payload).size();
    while (messages_.size() < kBufferBytes + message_bytes_) messages_ += MessageOf(payload);
    reply_ = ":" + std::to_string(settings.subscribers) + "\r\n";
    const uint64_t pipelines_bytes =
        kLagDepths * settings.depth * settings.publishers * message_bytes_;
    lag_bytes_max_ = std::max(kLagBytes, pipelines_bytes) * settings.subscribers;
    for (uint32_t i = 0; i < settings.subscribers; i++) Subscribe();
    for (uint32_t i = 0; i < settings.publishers; i++) {
      Publisher& publisher = publishers_.emplace_back(settings.port);
      poller_.Add(publisher.connection.fd(), &publisher);
    }
  }

  void Turn() {
    for (Publisher& publisher : publishers_) TopUp(&publisher);
    if (answered_ * message_bytes_ - read_up_to_bytes_ >= kReadBytes) {
      ReadAll();
    } else if (answered_ < published_) {
      poller_.Turn([this](void* owner) { TakeReplies(static_cast<Publisher*>(owner)); });
    } else {
      // All publishers stand still until subscribers have what is under way.
      Doze();
      ReadAll();
    }
  }

  /// Messages that have reached a subscriber.
  uint64_t Delivered() const { return received_bytes_ / message_bytes_; }

  /// Reads until everybody has everything, and nobody anything else.
  void Drain() {
    while (answered_ < published_ || BytesDue(published_) > 0) {
      Doze();
      for (Publisher& publisher : publishers_) TakeReplies(&publisher);
      ReadAll();
    }
    for (const Subscriber& subscriber : subscribers_) {
      if (subscriber.received_bytes != published_ * message_bytes_) {
        Fail("a subscriber has received something else than every message once");
      }
    }
    const std::string last(settings_.payload_bytes, 'z');
    const Publisher& publisher = publishers_.front();
    std::string request;
    AppendCommand(&request, {"PUBLISH", channel_, last});
    publisher.connection.Send(request);
    publisher.connection.Expect(reply_);
    for (const Subscriber& subscriber : subscribers_) subscriber.connection.Expect(MessageOf(last));
  }

 private:
  /// Bytes of the first `messages` that have not been read yet, of all subscribers together.
  uint64_t BytesDue(uint64_t messages) const {
    const uint64_t bytes = messages * settings_.subscribers * message_bytes_;
    // Subscribers may have messages before the publisher has its reply.
    return bytes - std::min(bytes, received_bytes_);
  }

  std::string MessageOf(std::string_view payload) const {
    std::string message = "*3\r\n";
    for (const std::string_view word :
         {std::string_view("message"), std::string_view(channel_), payload}) {
      AppendBulk(&message, word);
    }
    return message;
  }

  void Subscribe() {
    const Connection& connection = subscribers_.emplace_back(settings_.port).connection;
    setsockopt(connection.fd(), SOL_SOCKET, SO_RCVBUF, &kSocketBytes, sizeof kSocketBytes);
    std::string request;
    AppendCommand(&request, {"SUBSCRIBE", channel_});
    connection.Send(request);
    std::string reply = "*3\r\n";
    AppendBulk(&reply, "subscribe");
    AppendBulk(&reply, channel_);
    connection.Expect(reply + ":1\r\n");
  }

  void TopUp(Publisher* publisher) {
    const uint64_t depth = settings_.depth;
    const uint64_t room = depth - (publisher->sent - publisher->received_bytes / reply_.size());
    // Half of the room at least: otherwise a system call per command would be what is measured.
    if (room * 2 < depth || BytesDue(published_) > lag_bytes_max_) return;
    publisher->connection.Send(std::string_view(requests_).substr(0, room * request_bytes_));
    publisher->sent += room;
    published_ += room;
  }

  void Doze() {
    usleep(kDozeUs);
    const int64_t now_ns = NowNs();
    const uint64_t seen = answered_ + received_bytes_;
    if (seen != last_seen_ || last_seen_at_ns_ == 0) {
      last_seen_ = seen;
      last_seen_at_ns_ = now_ns;
    }
    if (now_ns - last_seen_at_ns_ > kSilenceNsMax) {
      Fail("the server is silent, though replies or messages are missing");
    }
  }

  void ReadAll() {
    read_up_to_bytes_ = answered_ * message_bytes_;
    for (Subscriber& subscriber : subscribers_) TakeMessages(&subscriber);
  }

  void TakeMessages(Subscriber* subscriber) {
    const Connection& connection = subscriber->connection;
    const bool is_checked = subscriber->reads++ % kCheckedEvery == 0;
    const size_t size =
        is_checked ? connection.Receive(buffer_.data(), kBufferBytes) : connection.Discard();
    const size_t phase = subscriber->received_bytes % message_bytes_;
    if (is_checked && std::memcmp(buffer_.data(), messages_.data() + phase, size) != 0) {
      FailAtMessage(phase, size);
    }
    subscriber->received_bytes += size;
    received_bytes_ += size;
  }

  /// Shows the message that is not as it must be.
  [[noreturn]] void FailAtMessage(size_t phase, size_t size) const {
    const std::string_view seen = std::string_view(buffer_).substr(0, size);
    const std::string_view wanted = std::string_view(messages_).substr(phase, size);
    const auto [there, unused] = std::mismatch(seen.begin(), seen.end(), wanted.begin());
    const size_t at = static_cast<size_t>(there - seen.begin());
    Fail("a subscriber received", seen.substr(at - std::min<size_t>(at, 20), 80));
  }

  void TakeReplies(Publisher* publisher) {
    const size_t size = publisher->connection.Receive(buffer_.data(), kBufferBytes);
    for (size_t i = 0; i < size; i++) {
      if (buffer_[i] == reply_[(publisher->received_bytes + i) % reply_.size()]) continue;
      Fail("PUBLISH was answered", std::string_view(buffer_).substr(0, std::min<size_t>(size, 60)));
    }
    const uint64_t before = publisher->received_bytes / reply_.size();
    publisher->received_bytes += size;
    answered_ += publisher->received_bytes / reply_.size() - before;
  }

  const Settings& settings_;
  const std::string channel_ = "news:" + EightDigits(static_cast<uint64_t>(getpid()));
  std::deque<Subscriber> subscribers_;
  std::deque<Publisher> publishers_;
  /// Of publishers alone.
  Poller poller_;
  std::string requests_;
  /// One message after the other, kBufferBytes of them from any place in the first one.
  std::string messages_;
  std::string reply_;
  std::string buffer_;
  size_t request_bytes_ = 0;
  size_t message_bytes_ = 0;
  uint64_t lag_bytes_max_ = 0;
  /// Messages sent to the server, and those of them that it has answered.
  uint64_t published_ = 0;
  uint64_t answered_ = 0;
  uint64_t received_bytes_ = 0;
  /// What had been answered, for one subscriber, when all were read last.
  uint64_t read_up_to_bytes_ = 0;
  /// Replies and bytes when something came last.
  uint64_t last_seen_ = 0;
  int64_t last_seen_at_ns_ = 0;
};

}  // namespace

void RunPublish(const Settings& settings) {
  Publish publish(settings);
  Meter meter(settings.pid);
  const auto turn = [&] { publish.Turn(); };
  const uint64_t delivered = Measure(settings, &meter, turn, [&] { return publish.Delivered(); });
  publish.Drain();
  std::vector<int64_t> none;
  meter.Print(delivered, &none);
}

}  // namespace sherd::load
