// Connection: one client socket with its input, output and session.
//
// Input. Bytes are read into a buffer of the worker's and parsed there; only what is left of an
// incomplete command (or of commands behind a parked one) moves into a buffer of the connection's own.
// So an idle connection owns neither an input nor an output buffer.
//
// States, one at a time:
//
//          command handed over                       answered
//   ACTIVE --------------------> PARKED ------------------------------> ACTIVE
//     |                            | socket fails or client is killed
//     | error, QUIT, kill          v
//     +-----------------------> CLOSING --> freed by its worker (when parked: once answered)
//
// PARKED: a request of this connection waits at a shard, for a key or in TypeScript, or CLIENT PAUSE holds
// it back; nothing more of its input is executed until the answer is there (R3).
//
// Thread: the I/O worker that owns it, only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/command_context.h"
#include "engine/entry.h"
#include "engine/session.h"
#include "resp/reply_builder.h"
#include "resp/request_parser.h"

namespace sherd::net {

/// Unread input that outlives the call that read it. Grows to what is needed, gives memory back when
/// it is empty.
class InputBuffer {
 public:
  InputBuffer() = default;
  ~InputBuffer();
  InputBuffer(const InputBuffer&) = delete;
  InputBuffer& operator=(const InputBuffer&) = delete;

  std::string_view view() const { return {data_ + begin_, end_ - begin_}; }
  bool empty() const { return begin_ == end_; }
  size_t size() const { return end_ - begin_; }
  size_t capacity() const { return capacity_; }

  /// Room for `size` bytes behind the content; may move the content.
  char* Reserve(size_t size);
  /// Bytes of room behind the content as it is.
  size_t room() const { return capacity_ - end_; }
  void Commit(size_t size) { end_ += size; }
  void Append(std::string_view bytes);
  /// Drops bytes from the front.
  void Consume(size_t size);
  void Free();

 private:
  char* data_ = nullptr;
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t capacity_ = 0;
};

struct QueuedRequest;

/// The reply of an EXEC with holes for the replies of its control commands, which are asked one by one.
struct HoleFilling {
  std::string reply;
  std::vector<engine::TransactionHole> holes;
  std::vector<std::string> answers;  // so far
  size_t shown_max = SIZE_MAX;       // answers behind these, and all behind them, are not sent
};

enum class ConnectionState : uint8_t { kActive, kParked, kClosing };

struct Connection {
  Connection() = default;
  ~Connection() {
    if (large != nullptr) large->Unref();
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Bytes that it takes in all; and those of them that hold input.
  size_t memory() const;
  size_t input_memory() const {
    return input.capacity() + (large != nullptr ? large->capacity : 0) + session.argument_bytes;
  }

  engine::Session session;
  resp::RequestParser parser;
  InputBuffer input;
  resp::OutputBuffer output;
  // A big last argument is read straight into the block that may become the key's value; `input` then
  // holds the command's bytes in front of it. Null otherwise.
  engine::LargeString* large = nullptr;
  size_t large_received = 0;     // bytes of it that have come, its CRLF included
  ConnectionState state = ConnectionState::kActive;
  bool readable = false;         // the socket may hold bytes that we have not read (edge-triggered)
  bool writable = true;          // the last write took all it was given
  bool in_ready_list = false;
  bool has_hung_up = false;      // the peer closed or reset; no more input
  bool waits_for_answer = false;  // a request of ours is on its way (parked, or closing while parked)
  bool is_away = false;          // that request is at its shards: the transaction may be another thread's now
  bool skip_answer = false;      // CLIENT REPLY OFF or SKIP covers the answer
  bool ignores_input = false;    // after a protocol error whose answer CLIENT REPLY covered
  bool is_on_scratch = false;    // output is on loan of the worker's scratch block
  bool in_resume_list = false;   // answered; goes on when the turn comes to it
  bool in_deferred_list = false; // has replies to be sent at the end of the round
  bool in_flush_list = false;    // has messages to be sent at the end of the turn
  bool is_over_limit = false;    // messages have passed an output limit; closed at the end of the turn
  bool in_held_list = false;     // its output waits for the journal (Worker::IsHeld)
  bool is_postponed = false;     // parked by CLIENT PAUSE
  bool is_listed = false;        // a socket of a worker's, and counted there
  int8_t bucket = -1;            // by size, for maxmemory-clients (ClientMemory); -1: is not to be evicted
  QueuedRequest* blocked = nullptr;  // the command that waits, while it waits
  std::unique_ptr<HoleFilling> filling;  // EXEC whose control commands are being answered
  uint64_t written_seq = 0;      // its last own unit of effects; 0: none since the journal has been on
  int64_t soft_limit_since_ms = 0;  // when the output first passed its soft limit, 0: it has not
  size_t counted_bytes = 0;      // of its memory, in the worker's sum
  size_t index = 0;              // place in the worker's list of connections
};

}  // namespace sherd::net
