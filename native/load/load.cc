// The parts of load.h, and main(): reads the command line and runs the scenario it names.
#include "load/load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/numbers.h"

namespace sherd::load {
namespace {

/// A server that says nothing for so long will not say anything any more.
constexpr int kSilenceMsMax = 10'000;
/// More than any socket holds.
constexpr size_t kDiscardBytesMax = 1 << 30;
constexpr uint32_t kConnectionsMax = 10'000;
constexpr uint32_t kDepthMax = 1'000;
constexpr std::string_view kPong = "+PONG\r\n";

double ReadClock(clockid_t clock) {
  timespec now;
  if (clock_gettime(clock, &now) != 0) Fail("the server has ended");
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

/// How long all cores of the machine have worked so far, for whomever; in ticks of 10 ms.
double ReadMachineSec() {
  FILE* file = std::fopen("/proc/stat", "r");
  unsigned long long user = 0, nice = 0, system = 0, idle = 0, waiting = 0, irq = 0, soft = 0;
  if (file == nullptr || std::fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice,
                                     &system, &idle, &waiting, &irq, &soft) != 7) {
    Fail("cannot read /proc/stat");
  }
  std::fclose(file);
  return static_cast<double>(user + nice + system + irq + soft) / sysconf(_SC_CLK_TCK);
}

/// The first line of what the server said.
std::string_view FirstLine(std::string_view bytes) {
  return bytes.substr(0, std::min<size_t>(bytes.find('\r'), 200));
}

uint32_t ParseCount(std::string_view text, uint64_t max) {
  uint64_t value = 0;
  if (!ParseUint64(text, &value) || value > max) Fail("not a number, or too large", text);
  return static_cast<uint32_t>(value);
}

void ParseOption(std::string_view name, std::string_view value, Settings* settings) {
  if (name == "--port") {
    settings->port = static_cast<uint16_t>(ParseCount(value, UINT16_MAX));
  } else if (name == "--pid") {
    settings->pid = static_cast<int>(ParseCount(value, INT32_MAX));
  } else if (name == "--seconds") {
    if (!ParseDouble(value, &settings->seconds)) Fail("not a time", value);
  } else if (name == "--seed") {
    settings->seed = ParseCount(value, UINT32_MAX);
  } else if (name == "--connections") {
    settings->connections = ParseCount(value, kConnectionsMax);
  } else if (name == "--depth") {
    settings->depth = ParseCount(value, kDepthMax);
  } else if (name == "--subscribers") {
    settings->subscribers = ParseCount(value, kConnectionsMax);
  } else if (name == "--publishers") {
    settings->publishers = ParseCount(value, kConnectionsMax);
  } else if (name == "--payload") {
    settings->payload_bytes = ParseCount(value, 1 << 16);
  } else if (name == "--pairs") {
    settings->pairs = ParseCount(value, kConnectionsMax);
  } else if (name == "--keys") {
    if (value != "tags" && value != "one-tag" && value != "any") Fail("no such keys", value);
    settings->keys = value == "tags" ? Keys::kTags : value == "any" ? Keys::kAny : Keys::kOneTag;
  } else if (name == "--tracking") {
    settings->is_tracking = value == "on";
  } else if (name == "--verb") {
    if (value != "set" && value != "get") Fail("no such verb", value);
    settings->is_reading = value == "get";
  } else if (name == "--range") {
    settings->range = ParseCount(value, 100'000'000);
  } else if (name == "--writes") {
    settings->writes_per_sec = ParseCount(value, 1'000'000);
  } else {
    Fail("no such option", name);
  }
}

}  // namespace

void Fail(const char* what, std::string_view detail) {
  // Behind an error stand the errors of all other requests that were under way.
  if (detail.starts_with('-')) detail = FirstLine(detail);
  std::fprintf(stderr, "sherd_load: %s%s%.*s\n", what, detail.empty() ? "" : ": ",
               static_cast<int>(detail.size()), detail.data());
  std::exit(1);
}

int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

void AppendBulk(std::string* out, std::string_view bytes) {
  *out += "$" + std::to_string(bytes.size()) + "\r\n";
  out->append(bytes);
  *out += "\r\n";
}

void AppendCommand(std::string* out, std::initializer_list<std::string_view> words) {
  *out += "*" + std::to_string(words.size()) + "\r\n";
  for (const std::string_view word : words) AppendBulk(out, word);
}

std::string EightDigits(uint64_t number) {
  std::string digits = std::to_string(number);
  return std::string(8 - std::min<size_t>(8, digits.size()), '0') + digits;
}

Settings ParseSettings(int argc, char** argv) {
  Settings settings;
  if (argc < 2 || argc % 2 != 0) Fail("usage: sherd_load <scenario> [--option value]...");
  settings.scenario = argv[1];
  for (int i = 2; i < argc; i += 2) ParseOption(argv[i], argv[i + 1], &settings);
  if (settings.port == 0 || settings.pid == 0) Fail("--port and --pid are needed");
  if (!(settings.seconds > 0) || settings.depth == 0) Fail("there is nothing to do");
  return settings;
}

// ---- Connection ----

Connection::Connection(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd_ < 0) Fail("no socket", std::strerror(errno));
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    Fail("cannot connect", std::strerror(errno));
  }
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // For the replies of the set-up, which are waited for.
  const timeval patience{kSilenceMsMax / 1000, 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

Connection::~Connection() { close(fd_); }

void Connection::Send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) Fail("cannot send", std::strerror(errno));
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

size_t Connection::Receive(char* buffer, size_t size) const { return ReceiveNow(buffer, size, 0); }

size_t Connection::Discard() const { return ReceiveNow(nullptr, kDiscardBytesMax, MSG_TRUNC); }

size_t Connection::ReceiveNow(char* buffer, size_t size, int flags) const {
  const ssize_t received = recv(fd_, buffer, size, MSG_DONTWAIT | flags);
  if (received > 0) return static_cast<size_t>(received);
  if (received == 0) Fail("the server closed a connection");
  if (errno != EAGAIN && errno != EINTR) Fail("cannot receive", std::strerror(errno));
  return 0;
}

size_t Connection::ReceiveSome(char* buffer, size_t size) const {
  const ssize_t received = recv(fd_, buffer, size, 0);
  if (received == 0) Fail("the server closed a connection");
  if (received < 0) Fail("no reply", std::strerror(errno));
  return static_cast<size_t>(received);
}

void Connection::Expect(std::string_view reply) const {
  std::string said;
  char buffer[4096];
  while (said.size() < reply.size()) {
    said.append(buffer, ReceiveSome(buffer, std::min(sizeof buffer, reply.size() - said.size())));
    if (reply.compare(0, said.size(), said) == 0) continue;
    said.append(buffer, Receive(buffer, sizeof buffer));
    Fail("the server answered", said);
  }
}

std::string Connection::Call(std::initializer_list<std::string_view> words) const {
  std::string request;
  AppendCommand(&request, words);
  // A PING behind it marks the end of its reply.
  AppendCommand(&request, {"PING"});
  Send(request);
  std::string said;
  char buffer[4096];
  while (!said.ends_with(kPong)) {
    said.append(buffer, ReceiveSome(buffer, sizeof buffer));
    if (said.front() == '-') Fail("the server answered", said);
  }
  said.resize(said.size() - kPong.size());
  return said;
}

// ---- Poller ----

Poller::Poller() : epoll_fd_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_fd_ < 0) Fail("no epoll", std::strerror(errno));
}

Poller::~Poller() { close(epoll_fd_); }

void Poller::Add(int fd, void* owner) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = owner;
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) Fail("epoll", std::strerror(errno));
}

void Poller::Remove(int fd) { epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr); }

int Poller::Wait() {
  const int count = epoll_wait(epoll_fd_, events_, kEventsMax, kSilenceMsMax);
  if (count == 0) Fail("the server is silent, though replies are missing");
  return std::max(0, count);
}

// ---- Meter ----

Meter::Meter(int server_pid) {
  if (clock_getcpuclockid(server_pid, &server_clock_) != 0) Fail("no process has that --pid");
}

void Meter::Start() {
  machine_sec_ = -ReadMachineSec();
  seconds_ = -ReadClock(CLOCK_MONOTONIC);
  server_cpu_sec_ = -ReadClock(server_clock_);
  client_cpu_sec_ = -ReadClock(CLOCK_PROCESS_CPUTIME_ID);
}

void Meter::Stop() {
  seconds_ += ReadClock(CLOCK_MONOTONIC);
  server_cpu_sec_ += ReadClock(server_clock_);
  client_cpu_sec_ += ReadClock(CLOCK_PROCESS_CPUTIME_ID);
  machine_sec_ += ReadMachineSec();
}

void Meter::Print(uint64_t operations, std::vector<int64_t>* latencies_ns) const {
  std::printf("{\"operations\":%llu,\"seconds\":%.9f", static_cast<unsigned long long>(operations),
              seconds_);
  std::printf(",\"serverCpuSec\":%.9f,\"clientCpuSec\":%.9f,\"machineSec\":%.2f", server_cpu_sec_,
              client_cpu_sec_, machine_sec_);
  if (!latencies_ns->empty()) {
    std::sort(latencies_ns->begin(), latencies_ns->end());
    // Nearest rank: the least value that so many thousandths of all do not exceed.
    const auto per_mille_us = [&](size_t per_mille) {
      const size_t rank = (latencies_ns->size() * per_mille + 999) / 1000;
      return static_cast<double>((*latencies_ns)[rank - 1]) / 1e3;
    };
    std::printf(",\"p50Us\":%.3f,\"p99Us\":%.3f,\"p999Us\":%.3f,\"maxUs\":%.3f", per_mille_us(500), per_mille_us(990),
                per_mille_us(999), per_mille_us(1000));
  }
  std::printf("}\n");
}

}  // namespace sherd::load

int main(int argc, char** argv) {
  using namespace sherd::load;
  const Settings settings = ParseSettings(argc, argv);
  if (settings.scenario == "publish") {
    RunPublish(settings);
  } else if (settings.scenario == "handover") {
    RunHandover(settings);
  } else if (settings.scenario == "exec") {
    RunExec(settings);
  } else if (settings.scenario == "get") {
    RunGet(settings);
  } else if (settings.scenario == "ops") {
    RunOps(settings);
  } else if (settings.scenario == "fill") {
    RunFill(settings);
  } else {
    Fail("no such scenario", settings.scenario);
  }
  return 0;
}
