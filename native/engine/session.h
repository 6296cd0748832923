// Session: the state of one client connection that commands can see and change.
//
// Owned by the connection, used by its I/O worker only. Commands that run on shards may run on another
// worker's thread and do not get it: what they need of it (database, protocol, no-touch) is copied into
// their CommandContext.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace sherd::engine {

class Subscriptions;
class Transaction;

enum class ReplyMode : uint8_t { kOn, kOff, kSkipNext, kSkipping };

/// How CLIENT TRACKING is set: bits of Session::tracking. Changed by tracking.h's functions.
enum TrackingFlag : uint8_t {
  kTrackingOn = 1,
  kTrackingBcast = 2,
  kTrackingOptIn = 4,
  kTrackingOptOut = 8,
  kTrackingNoLoop = 16,
  kTrackingCaching = 32,  // CLIENT CACHING has been given for the next command
  kTrackingBroken = 64,   // the client that messages are redirected to has gone
};

struct TrackingDetails {
  uint64_t redirect_id = 0;           // 0: none
  std::vector<std::string> prefixes;  // BCAST: ascending; "" stands for all keys
};

struct Session {
  Session();
  ~Session();

  uint64_t id = 0;
  int db = 0;
  int resp = 2;
  bool authenticated = false;
  bool no_evict = false;
  bool no_touch = false;
  bool close_after_reply = false;
  bool is_monitor = false;           // gets a line for every command that runs (engine/monitor.h)
  bool is_unix_socket = false;
  bool is_loopback = false;          // peer address is local (protected mode, enable-debug-command local)
  ReplyMode reply_mode = ReplyMode::kOn;
  uint8_t tracking = 0;              // TrackingFlag
  uint64_t tracker = 0;              // under which commands enter the keys they read; 0: they do not
  std::unique_ptr<TrackingDetails> tracking_details;  // while tracking is on
  int64_t created_ms = 0;            // wall clock
  int64_t last_active_ms = 0;
  bool in_multi = false;             // between MULTI and EXEC or DISCARD
  bool is_subscriber = false;        // listens to a channel or pattern; in RESP2 it may do little else then
  bool holds_pushes = false;         // messages wait until the reply under way is complete
  std::unique_ptr<Transaction> transaction;  // from the first MULTI or WATCH on
  std::unique_ptr<Subscriptions> subscriptions;  // while there are any
  std::string name;
  std::string library_name;
  std::string library_version;
  std::string address;               // "127.0.0.1:50000" or "/path:0"
  std::string local_address;
  const char* last_command = nullptr;  // full table name
  uint64_t commands = 0;
  size_t argument_bytes = 0;         // of the command under way, where it has left the worker's buffers
  int fd = -1;
};

}  // namespace sherd::engine
