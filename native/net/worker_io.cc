// Worker: sockets: accept, read, write, close. See worker.h.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/clock.h"
#include "net/worker.h"

namespace sherd::net {

namespace {

// A bulk of at least this size is read straight into a buffer that fits it.
constexpr size_t kBigBulkBytes = 32 * 1024;
// However much a client announces, memory grows with what has arrived.
constexpr size_t kReadAheadMax = 1024 * 1024;
// Up to here a big last argument gets its block as soon as it is announced; a longer one must arrive
// first, so that a claim alone never takes more than this.
constexpr size_t kLargeArgumentMax = 32 * 1024 * 1024;
constexpr int kAcceptMax = 64;
constexpr size_t kPiecesMax = 64;

constexpr std::string_view kMaxClientsText = "-ERR max number of clients reached\r\n";
// Redis 7.2's text: clients show it to people.
constexpr std::string_view kProtectedText =
    "-DENIED Redis is running in protected mode because protected mode is enabled and no password is set "
    "for the default user. In this mode connections are only accepted from the loopback interface. If you "
    "want to connect from external computers to Redis you may adopt one of the following solutions: 1) Just "
    "disable protected mode sending the command 'CONFIG SET protected-mode no' from the loopback interface "
    "by connecting to Redis from the same host the server is running, however MAKE SURE Redis is not "
    "publicly accessible from internet if you do so. Use CONFIG REWRITE to make this change permanent. 2) "
    "Alternatively you can just disable the protected mode by editing the Redis configuration file, and "
    "setting the protected mode option to 'no', and then restarting the server. 3) If you started the "
    "server manually just for testing, restart it with the '--protected-mode no' option. 4) Set up an "
    "authentication password for the default user. NOTE: You only need to do one of the above things in "
    "order for the server to start accepting connections from the outside.\r\n";

std::string AddressText(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address);
    inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    return std::string(text) + ":" + std::to_string(ntohs(v4->sin_port));
  }
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address);
  inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
  return "[" + std::string(text) + "]:" + std::to_string(ntohs(v6->sin6_port));
}

bool IsLoopback(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address);
    return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
  }
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address);
  return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

void SetTcpOptions(int fd, int64_t keepalive_sec) {
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (keepalive_sec <= 0) return;
  // As Redis: first probe after the interval, then three more at a third of it.
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
  const int idle = static_cast<int>(keepalive_sec);
  const int interval = idle / 3 > 0 ? idle / 3 : 1;
  const int count = 3;
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

}  // namespace

// ---- Connections come and go ----

void Worker::Accept(Listener* listener) {
  for (int i = 0; i < kAcceptMax; i++) {
    const int fd = accept4(listener->fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EMFILE || errno == ENFILE) PauseAccepting(listener);
      return;
    }
    const engine::WorkerId target = server_->AssignConnection();
    if (target == index_) {
      Adopt(fd, listener);
    } else {
      server_->mesh().Send(index_, target,
                           ring::Frame::Of(static_cast<uint8_t>(FrameType::kConnection),
                                           static_cast<uint64_t>(fd), listener));
    }
  }
}

/// Out of descriptors: a level-triggered listener would spin. Look away until the next cron tick.
void Worker::PauseAccepting(Listener* listener) {
  RemoveListener(listener);
  paused_listeners_.push_back(listener);
}

void Worker::Reject(int fd, std::string_view text) {
  // Best effort, as Redis: the socket's buffer is empty, so this does not block.
  if (send(fd, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    // The peer is gone already: nothing to tell it.
  }
  close(fd);
  counters_.connections_rejected.Increment();
  server_->UnassignConnection(index_);
}

void Worker::Adopt(int fd, Listener* listener) {
  if (!is_running_) {
    close(fd);
    server_->UnassignConnection(index_);
    return;
  }
  sockaddr_storage peer{};
  sockaddr_storage local{};
  if (!listener->is_unix) {
    socklen_t length = sizeof peer;
    getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length);
    length = sizeof local;
    getsockname(fd, reinterpret_cast<sockaddr*>(&local), &length);
  }
  const bool is_loopback = listener->is_unix || IsLoopback(peer);
  // Exact also when several workers accept at once: the count is taken before the look.
  if (engine_.connected_clients.fetch_add(1) >= engine_.options().maxclients.Get()) {
    engine_.connected_clients.fetch_sub(1);
    return Reject(fd, kMaxClientsText);
  }
  if (!is_loopback && engine_.options().protected_mode && !engine_.has_password()) {
    engine_.connected_clients.fetch_sub(1);
    return Reject(fd, kProtectedText);
  }
  if (!listener->is_unix) SetTcpOptions(fd, engine_.options().tcp_keepalive_sec.Get());

  Connection* connection = new Connection();
  engine::Session& session = connection->session;
  session.id = engine_.NextClientId();
  session.fd = fd;
  session.authenticated = !engine_.has_password();
  session.is_unix_socket = listener->is_unix;
  session.is_loopback = is_loopback;
  session.created_ms = session.last_active_ms = now_ms_;
  session.address = listener->is_unix ? listener->path + ":0" : AddressText(peer);
  session.local_address = listener->is_unix ? listener->path + ":0" : AddressText(local);
  server_->AddClient(session.id, index_, connection);
  connection->is_listed = true;
  connection->index = connections_.size();
  connections_.push_back(connection);
  Account(connection);
  counters_.connections_received.Increment();
  counters_.connected_clients.Set(connections_.size());

  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = reinterpret_cast<uint64_t>(connection);
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) Close(connection);
}

void Worker::Close(Connection* connection) {
  if (connection->state == ConnectionState::kClosing) return;
  connection->state = ConnectionState::kClosing;
  engine_.pubsub().Leave(&connection->session);
  ReleasePushes(connection);
  if (connection->is_on_scratch) {
    connection->output.Clear();
    connection->output.DetachScratch();
    connection->is_on_scratch = false;
  }
  if (connection->session.is_monitor) engine_.monitors.Remove(index_, &connection->session);
  if (connection->session.fd < 0) return;  // not a socket of ours (ServeBytes): the caller keeps it
  SetAccount(connection, 0, ClientMemory::kNoBucket);
  connection->is_listed = false;
  server_->RemoveClient(connection->session.id);
  if (connection->is_postponed) ForgetPostponed(connection);
  engine::StopTracking(&connection->session, &tracking_);
  close(connection->session.fd);           // leaves the epoll set by itself
  connection->session.fd = -1;
  connections_[connection->index] = connections_.back();
  connections_[connection->index]->index = connection->index;
  connections_.pop_back();
  counters_.connected_clients.Set(connections_.size());
  engine_.connected_clients.fetch_sub(1);
  server_->UnassignConnection(index_);
  if (connection->blocked != nullptr) return CancelWaiting(connection);  // buries it, now or when it comes home
  if (!connection->waits_for_answer) dead_.push_back(connection);
}

// ---- Input ----

void Worker::ReadAndServe(Connection* connection) {
  if (connection->large != nullptr) return ReadLargeArgument(connection);
  if (!connection->input.empty()) {
    if (ReadIntoInput(connection)) ServeInput(connection);
    return;
  }
  const ssize_t got = ReadSome(connection, read_buffer_.get(), kReadBytes);
  if (got <= 0) return;
  if (__builtin_expect(connection->session.in_multi, 0) && !CheckInputLimit(connection, static_cast<size_t>(got))) {
    return;
  }
  const std::string_view input(read_buffer_.get(), static_cast<size_t>(got));
  BorrowScratch(connection);
  const size_t consumed = Serve(connection, input);
  if (connection->state == ConnectionState::kClosing) return;
  KeepInput(connection, input.substr(consumed));
  SendSoon(connection);
}

/// read() with its outcomes: > 0 bytes, 0: nothing now, < 0: the connection was closed.
ssize_t Worker::ReadSome(Connection* connection, char* buffer, size_t size) {
  ssize_t got;
  do {
    got = recv(connection->session.fd, buffer, size, 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    connection->readable = false;
    return 0;
  }
  if (got <= 0) {
    Close(connection);
    return -1;
  }
  counters_.reads_processed.Increment();
  counters_.net_input_bytes.Add(static_cast<uint64_t>(got));
  connection->session.last_active_ms = now_ms_;
  // A short read has emptied the socket: with edge triggering there will be a new event for more.
  // But the end of the stream has been announced already, if it has.
  connection->readable = static_cast<size_t>(got) == size || connection->has_hung_up;
  if (connection->readable) MarkReady(connection);
  return got;
}

/// Reads what a connection sends while its command waits, so that its end is noticed; up to the limit of
/// input. Served later.
void Worker::ReadAhead(Connection* connection) {
  while (connection->state == ConnectionState::kParked && connection->readable && connection->large == nullptr) {
    const ssize_t got = ReadSome(connection, read_buffer_.get(), kReadBytes);
    if (got <= 0) return;
    connection->input.Append({read_buffer_.get(), static_cast<size_t>(got)});
    if (!CheckInputLimit(connection)) return;
  }
}

/// Reads behind what the connection already has. False when there is nothing new to look at.
bool Worker::ReadIntoInput(Connection* connection) {
  InputBuffer& input = connection->input;
  const size_t wanted = connection->parser.bytes_wanted();
  if (wanted < input.size() + kBigBulkBytes) {
    // Small: through the worker's buffer, so that a half-sent command owns no more than its bytes.
    const ssize_t got = ReadSome(connection, read_buffer_.get(), kReadBytes);
    if (got <= 0) return false;
    input.Append({read_buffer_.get(), static_cast<size_t>(got)});
    return CheckInputLimit(connection);
  }
  const size_t missing = wanted - input.size();
  const size_t ahead = input.size() > kReadAheadMax ? input.size() : kReadAheadMax;
  const size_t size = missing < ahead ? missing : ahead;
  char* place = input.Reserve(size);
  const ssize_t got = ReadSome(connection, place, input.room());
  if (got <= 0) return false;
  input.Commit(static_cast<size_t>(got));
  return CheckInputLimit(connection);
}

/// Serves commands from the connection's own buffer.
void Worker::ServeInput(Connection* connection) {
  BorrowScratch(connection);
  const size_t consumed = Serve(connection, connection->input.view());
  if (connection->state == ConnectionState::kClosing) return;
  connection->input.Consume(consumed);
  SendSoon(connection);
}

void Worker::KeepInput(Connection* connection, std::string_view rest) {
  if (rest.empty() || StartLargeArgument(connection, rest)) return;
  const size_t wanted = connection->parser.bytes_wanted();
  if (wanted > rest.size() + kBigBulkBytes) {
    const size_t missing = wanted - rest.size();
    connection->input.Reserve(rest.size() + (missing < kReadAheadMax ? missing : kReadAheadMax));
  }
  connection->input.Append(rest);
  CheckInputLimit(connection);
}

// ---- Big arguments ----

/// If all that `rest` lacks is a big last bulk: keeps what is in front of it as input and sends its bytes
/// into a block of their own from now on.
bool Worker::StartLargeArgument(Connection* connection, std::string_view rest) {
  size_t offset;
  size_t length;
  if (!connection->parser.AwaitsLastBulk(&offset, &length)) return false;
  if (length < kBigBulkBytes || length > kLargeArgumentMax) return false;
  engine::LargeString* block = engine::LargeString::Create(length + 2);
  const std::string_view arrived = rest.substr(offset);
  std::memcpy(block->data(), arrived.data(), arrived.size());
  connection->large = block;
  connection->large_received = arrived.size();
  connection->input.Append(rest.substr(0, offset));
  CheckInputLimit(connection);
  return true;
}

void Worker::ReadLargeArgument(Connection* connection) {
  engine::LargeString* block = connection->large;
  const size_t missing = block->capacity - connection->large_received;
  const ssize_t got = ReadSome(connection, block->data() + connection->large_received, missing);
  if (got <= 0) return;
  connection->large_received += static_cast<size_t>(got);
  if (connection->large_received == block->capacity) ServeLargeArgument(connection);
}

/// The block is full: runs the command, which may keep the block as a value.
void Worker::ServeLargeArgument(Connection* connection) {
  large_argument_ = connection->large;
  connection->large = nullptr;
  connection->large_received = 0;
  const std::string_view head = connection->input.view();
  connection->parser.FinishWithBulk(head, {large_argument_->data(), large_argument_->capacity - 2});
  BorrowScratch(connection);
  window_.clear();
  args_.clear();
  AddToWindow(connection->parser.args(), head.size(), connection->session.db);
  tick_ = CycleClock::Now();
  RunWindow(connection);
  if (connection->is_postponed) {
    // The whole command is parsed again later: back it goes into the input.
    connection->input.Append({large_argument_->data(), large_argument_->capacity});
  }
  if (large_argument_ != nullptr) large_argument_->Unref();
  large_argument_ = nullptr;
  if (connection->state == ConnectionState::kClosing) return;
  if (!connection->is_postponed) connection->input.Consume(head.size());
  SendSoon(connection);
}

/// Whether the input is within client-query-buffer-limit, with `arrived` bytes that have not been kept; what
/// MULTI has queued counts, too. Closes the connection if it is not.
bool Worker::CheckInputLimit(Connection* connection, size_t arrived) {
  size_t size = connection->input.size() + (connection->large != nullptr ? connection->large->capacity : 0);
  NotePeak(size, 0);
  size += arrived;
  if (connection->session.in_multi) size += connection->session.transaction->argument_bytes();
  if (static_cast<int64_t>(size) <= engine_.options().client_query_buffer_limit.Get()) {
    Account(connection);
    return true;
  }
  counters_.query_buffer_limit_disconnections.Increment();
  std::string line;
  DescribeConnection(*connection, now_ms_, &line);
  Log("warning", "Closing client that reached max query buffer length: " + line);
  Close(connection);
  return false;
}

// ---- Output ----

void Worker::BorrowScratch(Connection* connection) {
  if (connection->is_on_scratch || !connection->output.empty()) return;
  connection->output.AttachScratch(scratch_.get() + scratch_used_, kScratchBytes - scratch_used_);
  connection->is_on_scratch = true;
}

/// Sends what a connection has been answered: at the end of the round, together with what others get. A
/// client process with many connections is then woken once for all of them. Much at once goes at once: the
/// client has something to do while we go on.
void Worker::SendSoon(Connection* connection) {
  const size_t size = connection->output.size();
  if (connection->in_deferred_list) return;
  if (connection->is_on_scratch && size <= kDeferredBytesMax) {
    scratch_used_ += connection->output.TrimScratch();
    connection->in_deferred_list = true;
    deferred_.push_back(connection);
    if (deferred_.size() >= kDeferredMax || scratch_used_ > kScratchBytes / 2) SendDeferred();
    return;
  }
  FlushAnswered();
  Flush(connection);
  ReturnScratch(connection);
}

void Worker::SendDeferred() {
  if (deferred_.empty()) return;
  FlushAnswered();
  for (Connection* connection : deferred_) {
    connection->in_deferred_list = false;
    Flush(connection);
    ReturnScratch(connection);
  }
  deferred_.clear();
  scratch_used_ = 0;
}

/// Sends to those whose waiting the commands just run have ended, before those who ended it get their
/// replies: an element that was pushed is on its way first. They go on later, in ResumeAnswered.
void Worker::FlushAnswered() {
  for (Connection* connection : to_resume_) Flush(connection);
}

void Worker::ReturnScratch(Connection* connection) {
  if (connection->is_on_scratch) {
    connection->output.DetachScratch();
    connection->is_on_scratch = false;
  }
  Account(connection);
}

void Worker::Flush(Connection* connection) {
  if (connection->state == ConnectionState::kClosing) return;
  resp::OutputBuffer& output = connection->output;
  // Whoever another worker is to wake (a waiter that was served, subscribers) is on his way while we write.
  if (!output.empty()) RingBells();
  if (__builtin_expect(IsHeld(*connection), 0)) return Hold(connection);
  while (connection->writable && !output.empty()) {
    std::string_view pieces[kPiecesMax];
    const size_t count = output.Peek(pieces, kPiecesMax);
    size_t total = 0;
    iovec vectors[kPiecesMax];
    for (size_t i = 0; i < count; i++) {
      vectors[i] = {const_cast<char*>(pieces[i].data()), pieces[i].size()};
      total += pieces[i].size();
    }
    msghdr message{};
    message.msg_iov = vectors;
    message.msg_iovlen = count;
    const ssize_t sent = count == 1
                             ? send(connection->session.fd, pieces[0].data(), total, MSG_NOSIGNAL)
                             : sendmsg(connection->session.fd, &message, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) return Close(connection);
      connection->writable = false;
      break;
    }
    counters_.writes_processed.Increment();
    counters_.net_output_bytes.Add(static_cast<uint64_t>(sent));
    connection->session.last_active_ms = now_ms_;
    output.Consume(static_cast<size_t>(sent));
    if (static_cast<size_t>(sent) < total) connection->writable = false;
  }
  if (output.empty()) {
    connection->soft_limit_since_ms = 0;
    if (connection->session.close_after_reply) return Close(connection);
    return Account(connection);
  }
  NotePeak(0, output.memory());
  Account(connection);
  if (IsOverOutputLimit(connection)) CloseOverLimit(connection);
}

// ---- Replies that wait for the journal ----

/// Whether the output has a reply in it to a write that is not yet on disk, under appendfsync always.
bool Worker::IsHeld(const Connection& connection) const {
  if (__builtin_expect(connection.written_seq == 0, 1) || connection.output.empty()) return false;
  const engine::Durability& durability = engine_.durability;
  // relaxed: a switch to always counts from the next look. acquire: pairs with the journal's release.
  return durability.holds_replies.load(std::memory_order_relaxed) &&
         connection.written_seq > durability.acknowledged.load(std::memory_order_acquire);
}

/// Its commands go on, and its output grows, up to its limits as that of a client that does not read.
void Worker::Hold(Connection* connection) {
  if (held_replies_.empty() || connection->written_seq < held_seq_min_) held_seq_min_ = connection->written_seq;
  if (!connection->in_held_list) {
    connection->in_held_list = true;
    held_replies_.push_back(connection);
    // relaxed: the fence before this worker sleeps orders it before its last look at what is acknowledged.
    has_held_.store(true, std::memory_order_relaxed);
  }
  NotePeak(0, connection->output.memory());
  Account(connection);
  if (IsOverOutputLimit(connection)) CloseOverLimit(connection);
}

bool Worker::MayFlushHeld() const {
  if (held_replies_.empty()) return false;
  const engine::Durability& durability = engine_.durability;
  return !durability.holds_replies.load(std::memory_order_relaxed) ||
         held_seq_min_ <= durability.acknowledged.load(std::memory_order_acquire);
}

/// Sends what may be sent now. Those that have been closed meanwhile leave the list.
void Worker::FlushHeld() {
  std::vector<Connection*> connections;
  connections.swap(held_replies_);
  for (Connection* connection : connections) {
    connection->in_held_list = false;
    Flush(connection);  // which holds it again, if need be
  }
  has_held_.store(!held_replies_.empty(), std::memory_order_relaxed);
}

void Worker::CloseOverLimit(Connection* connection) {
  counters_.output_buffer_limit_disconnections.Increment();
  std::string line;
  DescribeConnection(*connection, now_ms_, &line);
  Log("warning", "Client " + line + " scheduled to be closed ASAP for overcoming of output buffer limits.");
  Close(connection);
}

const engine::OutputLimit& Worker::OutputLimitOf(const Connection& connection) const {
  using engine::ClientClass;
  return output_limits_[static_cast<size_t>(connection.session.is_subscriber ? ClientClass::kPubsub
                                                                             : ClientClass::kNormal)];
}

bool Worker::IsOverOutputLimit(Connection* connection) {
  const engine::OutputLimit& limit = OutputLimitOf(*connection);
  const int64_t pending = static_cast<int64_t>(PendingOutput(*connection));
  // Who has not said who it is gets errors only, and has to read them.
  constexpr size_t kStrangerMax = 1024;
  if (!connection->session.authenticated && connection->output.memory() > kStrangerMax && engine_.has_password()) {
    return true;
  }
  if (limit.hard_bytes > 0 && pending >= limit.hard_bytes) return true;
  if (limit.soft_bytes == 0 || pending < limit.soft_bytes) {
    connection->soft_limit_since_ms = 0;
    return false;
  }
  if (connection->soft_limit_since_ms == 0) connection->soft_limit_since_ms = now_ms_;
  return now_ms_ - connection->soft_limit_since_ms > limit.soft_seconds * 1000;
}

}  // namespace sherd::net
