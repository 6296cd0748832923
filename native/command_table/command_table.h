// The native face of the command table: lookup, arity, flags, key positions. No handlers here.
//
// The source of truth is src/commands/table/*.ts; `npm run gen` writes command_ids.inc (the ids)
// and command_table.inc (specs, perfect hash) from it. This header gives the data a shape.
//
// All data is constant after load: any thread may call anything.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace sherd {

// enum class CommandId: dense ids of commands and subcommands: kGet, kClientId (client|id), kCount.
#include "command_table/command_ids.inc"

/// Command flags, as COMMAND INFO names them, plus routing flags of our own (from kRoute... on).
enum CommandFlag : uint64_t {
  kFlagWrite = 1u << 0,
  kFlagReadonly = 1u << 1,
  kFlagDenyOom = 1u << 2,
  kFlagAdmin = 1u << 3,
  kFlagPubsub = 1u << 4,
  kFlagNoScript = 1u << 5,
  kFlagBlocking = 1u << 6,
  kFlagLoading = 1u << 7,
  kFlagStale = 1u << 8,
  kFlagSkipMonitor = 1u << 9,
  kFlagSkipSlowlog = 1u << 10,
  kFlagAsking = 1u << 11,
  kFlagFast = 1u << 12,
  kFlagNoAuth = 1u << 13,
  kFlagMayReplicate = 1u << 14,
  kFlagNoMandatoryKeys = 1u << 15,
  kFlagMovableKeys = 1u << 16,
  kFlagAllowBusy = 1u << 17,
  kFlagNoMulti = 1u << 18,
  kFlagNoAsyncLoading = 1u << 19,
  kFlagSentinel = 1u << 20,
  kFlagOnlySentinel = 1u << 21,
};

/// Where a command runs.
enum class Runs : uint8_t {
  kConnection,  // on the I/O worker, touches only its session (PING, SELECT, HELLO …)
  kKeys,        // on the shards of its keys
  kAllShards,   // on all shards (DBSIZE, KEYS, FLUSHALL …)
  kControl,     // handed to TypeScript (CONFIG, INFO …)
  kRouted,      // a route function registered beside the handler decides (SCAN, DEBUG …)
  kTransaction,  // on the shards that the connection's transaction names (EXEC, DISCARD, UNWATCH)
};

/// One key spec (begin_search + find_keys), as COMMAND INFO shows it.
struct KeySpec {
  enum class Begin : uint8_t { kIndex, kKeyword, kUnknown };
  enum class Find : uint8_t { kRange, kKeynum, kUnknown };
  Begin begin;
  int16_t index;             // kIndex: position; kKeyword: startfrom
  const char* keyword;       // kKeyword only
  Find find;
  int16_t last_key, step, limit;            // kRange
  int16_t keynum_index, first_key_index;    // kKeynum (step as above)
  uint32_t flags;            // bit set of KeySpecFlag
};
enum KeySpecFlag : uint32_t {
  kKeyRO = 1, kKeyRW = 2, kKeyOW = 4, kKeyRM = 8, kKeyAccess = 16, kKeyUpdate = 32, kKeyInsert = 64,
  kKeyDelete = 128, kKeyNotKey = 256, kKeyIncomplete = 512, kKeyVariableFlags = 1024,
};

/// What tells before a command starts whether it will take long (and is run beside the I/O loops then).
enum class Effort : uint8_t {
  kNone,      // never long
  kElements,  // all elements of all keys
  kSmallest,  // the elements of the smallest key, for each key
  kRange,     // the elements between two indexes, words 2 and 3, of one key
  kProduct,   // the bytes of one key times those of another
  kAllKeys,   // all keys of the databases
};

struct CommandSpec {
  CommandId id;
  const char* full_name;        // lower case, "client|getname" for subcommands
  const char* name;             // last part of full_name
  int16_t arity;                // as COMMAND: negative means at least
  Runs runs;
  uint64_t flags;               // CommandFlag bits
  uint64_t acl_categories;      // bit per category, in the order of AclCategoryNames()
  const CommandSpec* parent;    // container of a subcommand, else nullptr
  const CommandSpec* subcommands;  // first subcommand (contiguous), or nullptr
  uint16_t subcommand_count;
  const KeySpec* key_specs;
  uint16_t key_spec_count;
  // The common case, precomputed from the key specs: one kIndex/kRange spec, or several that adjoin
  // (RENAME: 1 to 2). first_key == 0: no keys, or they have to be searched for.
  int16_t first_key, last_key, key_step;  // last_key < 0 counts from the end: -1 is the last word
  // first/last/step above say all there is about keys (also: no keys). A line that passes
  // ArityMatches then has words first_key and last_key; the table's test proves it.
  bool simple_keys;
  uint8_t group;                // index into CommandGroupNames()
  Effort effort;
};

/// Looks a command up by name in any letter case. nullptr when unknown. No allocation.
const CommandSpec* FindCommand(std::string_view name);
/// Looks up a subcommand of a container command. nullptr when unknown.
const CommandSpec* FindSubcommand(const CommandSpec& container, std::string_view name);
/// Looks a command up by "name" or "name|sub" in any letter case.
const CommandSpec* FindFullCommand(std::string_view full_name);
/// All specs, containers and subcommands, indexed by CommandId.
std::span<const CommandSpec> AllCommands();
/// ACL category names without "@", in bit order.
std::span<const char* const> AclCategoryNames();
/// Names of the command groups ("connection", "string", ...), indexed by CommandSpec::group.
std::span<const char* const> CommandGroupNames();

inline bool ArityMatches(const CommandSpec& spec, size_t argc) {
  return spec.arity >= 0 ? argc == static_cast<size_t>(spec.arity)
                         : argc >= static_cast<size_t>(-spec.arity);
}

/// Positions of the keys in a command line, in key-spec order. `args[0]` is the command's name
/// (and args[1] the subcommand's for subcommands). `positions` is emptied first. Returns false when
/// the line does not fit the specs (bad numkeys, too short, nothing that could be told from specs
/// alone), or names no key although the command needs one; `positions` then holds what was found.
/// Never trusts a count in the request: positions are smaller than args.size(). Key specs flagged
/// kKeyNotKey are left out, and one whose keyword is absent has no keys (GEORADIUS without STORE).
bool ExtractKeys(const CommandSpec& spec, std::span<const std::string_view> args,
                 std::vector<uint32_t>* positions);

}  // namespace sherd
