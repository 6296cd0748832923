// A peer on the loopback for tests of listening servers: connects, sends, takes what has come, hangs up.
//
// How a test waits is its own affair: one that drives the server's workers from its only thread must never block here
// for long, one with a thread for each client may. So Send waits for the kernel alone, and Receive for nothing.
//
// Thread: whoever owns it.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "base/check.h"

namespace sherd::test {

class LoopbackSocket {
 public:
  /// `receive_bytes`: of the kernel's buffer, a small one lets replies pile up in the server; 0 for the usual.
  explicit LoopbackSocket(int port, int receive_bytes = 0) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    CHECK(fd_ >= 0);
    if (receive_bytes > 0) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    const int one = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  ~LoopbackSocket() { close(fd_); }
  LoopbackSocket(const LoopbackSocket&) = delete;
  LoopbackSocket& operator=(const LoopbackSocket&) = delete;

  int fd() const { return fd_; }

  /// Sends all of it; the server must be there.
  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      CHECK(sent > 0);
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }
  /// Appends what has come, at most about `max` bytes. As recv: 0 when the server has hung up, -1 (EAGAIN) when
  /// nothing is there.
  ssize_t Receive(std::string* bytes, size_t max = SIZE_MAX) {
    char buffer[65536];
    const ssize_t got = recv(fd_, buffer, std::min(max, sizeof buffer), MSG_DONTWAIT);
    if (got > 0) bytes->append(buffer, static_cast<size_t>(got));
    return got;
  }

 private:
  const int fd_;
};

}  // namespace sherd::test
