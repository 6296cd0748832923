// What sherd_load is told on its command line: the scenario, then `--name value` pairs.
//
//   sherd_load publish  --subscribers 50 --publishers 4 --depth 16 --payload 512
//   sherd_load handover --pairs 8
//   sherd_load exec     --connections 50 --depth 16 --keys tags|one-tag|any
//   sherd_load get      --connections 8 --depth 16 --tracking on|off --writes 1000
//   sherd_load ops      --verb set|get --connections 50 --depth 1 --range 100000 --payload 100
//   sherd_load fill     --range 4000000 --payload 100
//   all: --port N --pid N (of the server) --seconds S --seed N
#pragma once

#include <cstdint>
#include <string_view>

namespace sherd::load {

/// Which keys the ten SETs of a transaction name.
enum class Keys {
  kTags,    // one hash tag per transaction, another one in the next: one shard each
  kOneTag,  // the same hash tag in all transactions: one shard for everybody
  kAny,     // no hash tag: as many shards as there are
};

struct Settings {
  std::string_view scenario;
  uint16_t port = 0;
  int pid = 0;
  /// Measured time; a tenth of it passes beforehand, unmeasured.
  double seconds = 1;
  uint64_t seed = 1;
  uint32_t connections = 8;
  /// Requests under way on each connection.
  uint32_t depth = 16;
  uint32_t subscribers = 50;
  uint32_t publishers = 1;
  uint32_t payload_bytes = 16;
  uint32_t pairs = 1;
  Keys keys = Keys::kTags;
  bool is_tracking = false;
  /// Plain GETs, not SETs.
  bool is_reading = false;
  /// So many keys are read or written.
  uint32_t range = 100'000;
  /// SETs a second of keys that are being read; 0 for none.
  uint32_t writes_per_sec = 0;
};

/// Reads the command line; ends the process with a message when it makes no sense.
Settings ParseSettings(int argc, char** argv);

}  // namespace sherd::load
