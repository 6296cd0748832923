// A consumer blocked in BRPOP, and a producer that pushes what it waits for: how long is the way?
//
//   consumer  BRPOP list 0 ............................|-> element, next BRPOP
//   producer           (pause)  LPUSH list element ----|-> :1
//                               ^ clock starts         ^ clock stops when the consumer has read
//
// The pause is long compared with the time a BRPOP takes to arrive and block, and random, so that
// pairs do not fall into step; while it lasts the server has nothing to do for this pair and may go
// to sleep, which is what a queue's workers find in real life. This thread sleeps between events as
// clients do, so its own waking is part of every figure, on both servers alike.
//
// A server with several threads may hold consumer and producer on one thread or on two, depending
// on the order in which they came. So the measured time is cut into kLives lives with connections
// of their own, and before every other one an additional connection shifts that order.
//
// That the consumers do block is asserted once in each life: no LPUSH is sent before the server
// says in INFO that so many clients are blocked.
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/random.h"
#include "load/load.h"

namespace sherd::load {
namespace {

constexpr int kLives = 10;
constexpr std::string_view kElement = "sixteen bytes ..";
constexpr std::string_view kPushed = ":1\r\n";
constexpr int64_t kPauseNsMin = 300'000;
constexpr int64_t kPauseNsMax = 700'000;
constexpr int64_t kBlockedPatienceNs = 5'000'000'000;

class Pair;

/// What the poller knows of a pair.
struct Source {
  Pair* pair;
  enum { kConsumer, kProducer, kTimer } kind;
};

class Pair {
 public:
  Pair(const Settings& settings, uint32_t number, Random* random,
       std::vector<int64_t>* latencies_ns)
      : consumer_(settings.port),
        producer_(settings.port),
        timer_fd_(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)),
        random_(*random),
        latencies_ns_(latencies_ns) {
    if (timer_fd_ < 0) Fail("no timer", std::strerror(errno));
    const std::string list = "queue:" + EightDigits(number);
    AppendCommand(&pop_, {"BRPOP", list, "0"});
    AppendCommand(&push_, {"LPUSH", list, kElement});
    popped_ = "*2\r\n";
    AppendBulk(&popped_, list);
    AppendBulk(&popped_, kElement);
    producer_.Call({"DEL", list});
    consumer_.Send(pop_);
  }
  ~Pair() { close(timer_fd_); }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  void Register(Poller* poller) {
    poller->Add(consumer_.fd(), &sources_[0]);
    poller->Add(producer_.fd(), &sources_[1]);
    poller->Add(timer_fd_, &sources_[2]);
    Pause();
  }

  void Handle(const Source& source) {
    switch (source.kind) {
      case Source::kConsumer: return TakeElement();
      case Source::kProducer: return TakeReply();
      case Source::kTimer: return Push();
    }
  }

  /// Whether an element is under way.
  bool is_busy() const { return is_pushed_ || is_reply_due_; }
  /// No more elements after the one under way.
  void End() { is_over_ = true; }

 private:
  void Pause() {
    const int64_t range = kPauseNsMax - kPauseNsMin;
    itimerspec when{};
    when.it_value.tv_nsec =
        kPauseNsMin + static_cast<int64_t>(random_.Below(static_cast<uint64_t>(range)));
    timerfd_settime(timer_fd_, 0, &when, nullptr);
  }

  void Push() {
    uint64_t expirations = 0;
    if (read(timer_fd_, &expirations, sizeof expirations) != sizeof expirations || is_over_) return;
    is_pushed_ = is_reply_due_ = true;
    pushed_at_ns_ = NowNs();
    producer_.Send(push_);
  }

  void TakeElement() {
    char buffer[256];
    const size_t size = consumer_.Receive(buffer, sizeof buffer);
    const int64_t now_ns = NowNs();
    if (size == 0) return;
    if (!is_pushed_ || std::string_view(buffer, size) != popped_) {
      Fail("BRPOP was answered", std::string_view(buffer, size));
    }
    latencies_ns_->push_back(now_ns - pushed_at_ns_);
    is_pushed_ = false;
    if (is_over_) return;
    consumer_.Send(pop_);
    if (!is_reply_due_) Pause();
  }

  void TakeReply() {
    char buffer[256];
    const size_t size = producer_.Receive(buffer, sizeof buffer);
    if (size == 0) return;
    if (!is_reply_due_ || std::string_view(buffer, size) != kPushed) {
      Fail("LPUSH was answered", std::string_view(buffer, size));
    }
    is_reply_due_ = false;
    if (!is_over_ && !is_pushed_) Pause();
  }

  Connection consumer_;
  Connection producer_;
  int timer_fd_;
  Source sources_[3] = {
      {this, Source::kConsumer}, {this, Source::kProducer}, {this, Source::kTimer}};
  Random& random_;
  std::vector<int64_t>* latencies_ns_;
  std::string pop_;
  std::string push_;
  std::string popped_;
  int64_t pushed_at_ns_ = 0;
  bool is_pushed_ = false;
  bool is_reply_due_ = false;
  bool is_over_ = false;
};

/// Waits until INFO says that so many clients are blocked.
void AwaitBlocked(const Connection& control, uint32_t clients) {
  const std::string wanted = "blocked_clients:" + std::to_string(clients) + "\r\n";
  const int64_t give_up_ns = NowNs() + kBlockedPatienceNs;
  while (control.Call({"INFO", "clients"}).find(wanted) == std::string::npos) {
    if (NowNs() > give_up_ns) Fail("INFO never says", wanted);
    usleep(1000);
  }
}

/// One life of all pairs.
void Live(const Settings& settings, Random* random, std::vector<int64_t>* latencies_ns) {
  const Connection control(settings.port);
  Poller poller;
  std::vector<std::unique_ptr<Pair>> pairs;
  for (uint32_t i = 0; i < settings.pairs; i++) {
    pairs.push_back(std::make_unique<Pair>(settings, i, random, latencies_ns));
  }
  AwaitBlocked(control, settings.pairs);
  for (const auto& pair : pairs) pair->Register(&poller);
  const auto turn = [&] {
    poller.Turn([](void* owner) {
      const Source* source = static_cast<const Source*>(owner);
      source->pair->Handle(*source);
    });
  };
  const int64_t end_ns = NowNs() + static_cast<int64_t>(settings.seconds * 1e9 / kLives);
  while (NowNs() < end_ns) turn();
  for (const auto& pair : pairs) pair->End();
  for (const auto& pair : pairs) {
    while (pair->is_busy()) turn();
  }
}

}  // namespace

void RunHandover(const Settings& settings) {
  Random random(settings.seed);
  std::vector<int64_t> latencies_ns;
  Meter meter(settings.pid);
  meter.Start();
  for (int life = 0; life < kLives; life++) {
    std::unique_ptr<Connection> shift;
    if (life % 2 == 1) shift = std::make_unique<Connection>(settings.port);
    Live(settings, &random, &latencies_ns);
  }
  meter.Stop();
  meter.Print(latencies_ns.size(), &latencies_ns);
}

}  // namespace sherd::load
