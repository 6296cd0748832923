// The parts that all scenarios of sherd_load are made of: a connection, an epoll, a meter.
//
// The program exists because a client that allocates or parses would be what is measured. All sizes
// are known beforehand: a scenario names every request and every reply byte for byte, requests
// stand ready in one pool and are sent from there without being copied, and replies are compared
// with what they must be, or counted by bytes. Wherever the server says something else the program
// ends with what it said: a server that answers an error is fast and wrong.
//
// One thread. On a small machine the cores belong to the server, and what reading costs is less
// than what sending cost the server: the kernel does the receiver's part of loopback traffic in the
// sender's time. How busy the thread was is reported; near 1 it was the limit, throughputs look
// alike, and the server's processor time is the figure to look at.
//
// Invariant: bytes under way on a connection are at most depth x size of a request. Sends block,
// and so few bytes always find room in the end, since servers read whatever else they do.
//
// Ownership: a Connection owns its descriptor, the Poller its epoll; a Poller knows connections by
// the pointer that was registered, which must stay where it is.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "load/settings.h"

namespace sherd::load {

/// Prints the message and ends the process: with a broken server or wrong options there is no
/// figure.
[[noreturn]] void Fail(const char* what, std::string_view detail = {});

int64_t NowNs();

/// Appends one command in RESP.
void AppendCommand(std::string* out, std::initializer_list<std::string_view> words);

/// Appends one bulk string in RESP.
void AppendBulk(std::string* out, std::string_view bytes);

/// The number in eight digits: keys are equally long.
std::string EightDigits(uint64_t number);

/// A TCP connection to the server on the loopback interface.
class Connection {
 public:
  explicit Connection(uint16_t port);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int fd() const { return fd_; }

  /// Sends everything; waits when the socket is full.
  void Send(std::string_view bytes) const;

  /// Reads what is there without waiting, at most `size` bytes; 0 when there is nothing.
  size_t Receive(char* buffer, size_t size) const;

  /// As Receive, but drops everything that is there and gives back how much it was.
  size_t Discard() const;

  /// As Receive, but waits for at least one byte.
  size_t ReceiveSome(char* buffer, size_t size) const;

  /// Waits for exactly this reply.
  void Expect(std::string_view reply) const;

  /// Sends one command, waits for its end, and gives the reply back raw. An error ends the process.
  std::string Call(std::initializer_list<std::string_view> words) const;

 private:
  size_t ReceiveNow(char* buffer, size_t size, int flags) const;

  int fd_;
};

/// An epoll over descriptors, each known by a pointer.
class Poller {
 public:
  Poller();
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  void Add(int fd, void* owner);
  void Remove(int fd);

  /// Waits for something to read and calls `handle(owner)` for each that has it. Ends the process
  /// when the server has been silent for long.
  template <typename Handle>
  void Turn(Handle handle) {
    const int count = Wait();
    for (int i = 0; i < count; i++) handle(events_[i].data.ptr);
  }

 private:
  static constexpr int kEventsMax = 256;

  int Wait();

  int epoll_fd_;
  epoll_event events_[kEventsMax];
};

/// What happened between two moments: time, and processor time of the server, of this process and
/// of the whole machine.
class Meter {
 public:
  explicit Meter(int server_pid);

  void Start();
  void Stop();

  /// Prints the result as a line of JSON: `operations` were done from Start to Stop. `latencies_ns`
  /// may be empty; it is sorted.
  void Print(uint64_t operations, std::vector<int64_t>* latencies_ns) const;

 private:
  clockid_t server_clock_;
  double seconds_ = 0;
  double server_cpu_sec_ = 0;
  double client_cpu_sec_ = 0;
  double machine_sec_ = 0;
};

/// Takes turns for a tenth of the time, then for all of it with the meter running. Returns by how
/// much `count()` has grown in the latter.
template <typename Turn, typename Count>
uint64_t Measure(const Settings& settings, Meter* meter, Turn turn, Count count) {
  const auto take_turns = [&](double seconds) {
    const int64_t end_ns = NowNs() + static_cast<int64_t>(seconds * 1e9);
    while (NowNs() < end_ns) turn();
  };
  take_turns(settings.seconds / 10);
  const uint64_t before = count();
  meter->Start();
  take_turns(settings.seconds);
  meter->Stop();
  return count() - before;
}

// ---- Scenarios ----

/// Publishers and subscribers of one channel; counts messages delivered.
void RunPublish(const Settings& settings);
/// Pairs of a consumer in BRPOP and a producer; counts elements handed over, and times them.
void RunHandover(const Settings& settings);
/// Transactions of ten SETs; counts transactions.
void RunExec(const Settings& settings);
/// Reads with tracking on or off; counts GETs.
void RunGet(const Settings& settings);
/// Plain SETs or GETs of random keys; counts and times them.
void RunOps(const Settings& settings);
/// A dataset of all types; counts commands.
void RunFill(const Settings& settings);

}  // namespace sherd::load
