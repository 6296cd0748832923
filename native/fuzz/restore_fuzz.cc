// Fuzz target of RESTORE: payloads that nobody vouches for, with a checksum that is right.
//
//   input = flags, rest
//   flags bit 0 set:    rest is type byte and value as they are
//   flags bit 0 clear:  the first byte of rest names a sample; what is changed in it, part by part
//                       (payload_parts.h), follows from a seed that is the hash of the whole input
//
// The same hash decides thresholds, the version that DUMP writes, and which commands run: an input replays,
// and neighbours of an input differ in more than one thing.
//
// CHECKed: a sample as it is gets accepted. What is accepted can be walked, read and written by every
// command of its type, and all structures are sound before and after. Its DUMP, in whatever version, is
// accepted and has the same digest, and in the versions of 7.2 and later the same encoding. No payload takes a second of processor time. FLUSHALL
// gives every byte back.
#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/crc64.h"
#include "base/numbers.h"
#include "base/random.h"
#include "fuzz/engine_rig.h"
#include "fuzz/fuzz.h"
#include "fuzz/payload_parts.h"
#include "fuzz/payload_samples.h"
#include "persistence/rdb_format.h"

namespace sherd::fuzz {

namespace {

using Words = std::vector<std::string>;

constexpr double kSecondsMax = 1.0;

// ---- Commands ----

// Words are parted by spaces. $0 to $3 stand for elements of the value, picked at random, # for a number,
// @ for an empty string. The value is k, and d is another key.

constexpr const char* kAnyCommands[] = {
    "DEBUG DIGEST-VALUE k", "MEMORY USAGE k SAMPLES 0", "OBJECT ENCODING k", "DUMP k",
    "COPY k d REPLACE", "RENAME k d", "MOVE k 1", "TYPE k", "EXPIRE k 100", "DEBUG OBJECT k",
    "SORT k ALPHA", "SORT k BY nosort LIMIT 0 3", "DEL k", "UNLINK k", "PERSIST k", "SCAN 0 COUNT 1000",
};

constexpr const char* kStringCommands[] = {
    "GET k", "STRLEN k", "APPEND k xyz", "INCR k", "INCRBYFLOAT k 1.5", "SETRANGE k # ab",
    "GETRANGE k # -1", "SETBIT k # 1", "BITCOUNT k", "BITPOS k 1", "PFADD k one two", "PFCOUNT k",
    "PFMERGE d k", "PFDEBUG DECODE k", "LCS k d", "GETDEL k", "BITFIELD k INCRBY u16 # 7",
};

constexpr const char* kListCommands[] = {
    "LRANGE k 0 -1", "LRANGE k -3 -1", "LLEN k", "LINDEX k #", "LINDEX k -#", "LPOS k $0",
    "LPOS k $1 RANK -1 COUNT 0", "LPUSH k new 12 $0", "RPUSH k new -70000", "LINSERT k BEFORE $0 x",
    "LINSERT k AFTER $1 4095", "LSET k # changed", "LSET k -# 7", "LREM k 0 $0", "LREM k -1 $1",
    "LTRIM k # -2", "LPOP k", "RPOP k 2", "LPOP k 1000", "LMOVE k d LEFT RIGHT", "LMOVE k k RIGHT LEFT",
    "LMPOP 1 k RIGHT COUNT 2", "RPOPLPUSH k k", "LPUSHX k @",
};

constexpr const char* kSetCommands[] = {
    "SMEMBERS k", "SCARD k", "SISMEMBER k $0", "SMISMEMBER k $0 $1 none", "SADD k new 5 $0",
    "SADD k 99999999999", "SREM k $0 $1", "SPOP k", "SPOP k #", "SRANDMEMBER k", "SRANDMEMBER k #",
    "SRANDMEMBER k -#", "SSCAN k 0 COUNT 1000", "SMOVE k d $0", "SUNION k d", "SINTER k k", "SDIFF k d",
    "SUNIONSTORE d k", "SINTERCARD 1 k", "SDIFFSTORE k k d",
};

constexpr const char* kHashCommands[] = {
    "HGETALL k", "HKEYS k", "HVALS k", "HLEN k", "HGET k $0", "HMGET k $0 $1 none", "HEXISTS k $2",
    "HSET k $0 changed new field", "HSET k 12 13", "HDEL k $0 $1", "HINCRBY k $0 5",
    "HINCRBYFLOAT k $1 0.5", "HRANDFIELD k", "HRANDFIELD k # WITHVALUES", "HRANDFIELD k -# WITHVALUES",
    "HSCAN k 0 COUNT 1000", "HSTRLEN k $0", "HSETNX k new x", "HTTL k FIELDS 2 $0 $1",
    "HPEXPIRETIME k FIELDS 1 $0", "HPERSIST k FIELDS 2 $0 $1", "HEXPIRE k 100 FIELDS 2 $0 $1",
    "HPEXPIREAT k 1 FIELDS 1 $0",
};

constexpr const char* kSortedSetCommands[] = {
    "ZRANGE k 0 -1 WITHSCORES", "ZRANGE k 0 -1 REV", "ZCARD k", "ZSCORE k $0", "ZMSCORE k $0 $1 none",
    "ZRANK k $0", "ZREVRANK k $1", "ZADD k # new 1.5 $0", "ZADD k inf $1", "ZADD k GT CH -inf $0",
    "ZINCRBY k 2.25 $0", "ZREM k $0 $1", "ZPOPMIN k", "ZPOPMAX k #", "ZRANGEBYSCORE k -inf +inf",
    "ZRANGEBYSCORE k (1 5 WITHSCORES LIMIT 0 2", "ZREVRANGEBYSCORE k +inf 0", "ZRANGEBYLEX k - +",
    "ZLEXCOUNT k [a (z", "ZREVRANGEBYLEX k + [a", "ZCOUNT k -inf 3", "ZREMRANGEBYRANK k # 3",
    "ZREMRANGEBYSCORE k 1 2", "ZREMRANGEBYLEX k [a [c", "ZRANDMEMBER k # WITHSCORES",
    "ZRANDMEMBER k -# WITHSCORES", "ZSCAN k 0 COUNT 1000", "ZRANGESTORE d k 0 -1", "ZUNIONSTORE d 2 k d",
    "ZINTER 2 k k WITHSCORES", "ZDIFFSTORE k 2 k d", "ZMPOP 1 k MAX COUNT #", "GEODIST k $0 $1",
    "GEOPOS k $0", "GEOSEARCH k FROMLONLAT 0 0 BYRADIUS 20000 km ASC",
};

constexpr const char* kStreamCommands[] = {
    "XRANGE k - +", "XREVRANGE k + - COUNT 3", "XLEN k", "XRANGE k $0 $1", "XADD k * a b",
    "XADD k $0 a b", "XADD k MAXLEN 3 * field 1 other 2", "XADD k NOMKSTREAM MINID ~ $0 * x y",
    "XDEL k $0 $1", "XTRIM k MAXLEN #", "XTRIM k MAXLEN ~ # LIMIT 10", "XTRIM k MINID $1",
    "XREAD COUNT 3 STREAMS k 0", "XINFO STREAM k", "XINFO STREAM k FULL COUNT 0", "XINFO GROUPS k",
    "XINFO CONSUMERS k g", "XPENDING k g", "XPENDING k g - + 100", "XPENDING k g IDLE 1 - + 10 alice",
    "XREADGROUP GROUP g alice COUNT 2 STREAMS k >", "XREADGROUP GROUP g alice STREAMS k 0",
    "XREADGROUP GROUP g new NOACK STREAMS k >", "XREADGROUP GROUP empty bob STREAMS k >",
    "XACK k g $0 $1", "XCLAIM k g bob 0 $0 $1", "XCLAIM k g carl 0 $2 FORCE JUSTID",
    "XAUTOCLAIM k g bob 0 0 COUNT 2", "XAUTOCLAIM k g dora 0 0 COUNT 100", "XGROUP CREATE k more $0",
    "XGROUP SETID k g $1", "XGROUP SETID k g 0 ENTRIESREAD #", "XGROUP CREATECONSUMER k g eve",
    "XGROUP DELCONSUMER k g alice", "XGROUP DESTROY k g", "XSETID k 99-9",
    "XSETID k 18446744073709551615-18446744073709551615 ENTRIESADDED 5 MAXDELETEDID 1-1",
};

struct TypeCommands {
  std::string_view type;
  /// Gives the elements that $0 to $3 are.
  const char* elements;
  const char* const* commands;
  size_t count;
};

constexpr TypeCommands kTypes[] = {
    {"string", "GET k", kStringCommands, std::size(kStringCommands)},
    {"list", "LRANGE k 0 -1", kListCommands, std::size(kListCommands)},
    {"set", "SMEMBERS k", kSetCommands, std::size(kSetCommands)},
    {"hash", "HKEYS k", kHashCommands, std::size(kHashCommands)},
    {"zset", "ZRANGE k 0 -1", kSortedSetCommands, std::size(kSortedSetCommands)},
    {"stream", "XRANGE k - +", kStreamCommands, std::size(kStreamCommands)},
};

Words Split(std::string_view line) {
  Words words;
  while (!line.empty()) {
    const size_t end = std::min(line.find(' '), line.size());
    words.emplace_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return words;
}

// ---- Replies ----

/// The bulk strings of a reply, nested ones included.
Words BulkStrings(std::string_view reply) {
  Words texts;
  while (!reply.empty()) {
    const size_t line = reply.find("\r\n");
    int64_t size = 0;
    const bool is_bulk = reply[0] == '$' && ParseInt64(reply.substr(1, line - 1), &size) && size >= 0;
    reply.remove_prefix(line + 2);
    if (!is_bulk) continue;
    texts.emplace_back(reply.substr(0, static_cast<size_t>(size)));
    reply.remove_prefix(static_cast<size_t>(size) + 2);
  }
  return texts;
}

double ProcessorSeconds() {
  return static_cast<double>(Clock::ThreadCpuNs()) * 1e-9;
}

// ---- One payload ----

/// Options for one input, by its random numbers; back to what they were afterwards.
class OptionScope {
 public:
  OptionScope(engine::Options& options, Random& random) {
    Set(options.proto_max_bulk_len, 1 << 20);
    Set(options.rdb_compat_version,
        random.Between(persistence::kRdbVersionMin, persistence::kRdbVersionMax));
    if (random.OneIn(2)) return;
    for (engine::Option* entries :
         {&options.hash_max_listpack_entries, &options.set_max_listpack_entries,
          &options.set_max_intset_entries, &options.zset_max_listpack_entries}) {
      Set(*entries, random.Between(0, 4));
    }
    for (engine::Option* value : {&options.hash_max_listpack_value, &options.set_max_listpack_value,
                                  &options.zset_max_listpack_value}) {
      Set(*value, random.Between(0, 9));
    }
    Set(options.list_max_listpack_size, random.Between(-2, 3));
    Set(options.stream_node_max_entries, random.Between(0, 4));
  }
  ~OptionScope() {
    for (const Saved& saved : saved_) saved.option->Set(saved.value);
  }
  OptionScope(const OptionScope&) = delete;
  OptionScope& operator=(const OptionScope&) = delete;

 private:
  struct Saved {
    engine::Option* option;
    int64_t value;
  };
  void Set(engine::Option& option, int64_t value) {
    saved_.push_back({&option, option.Get()});
    option.Set(value);
  }
  std::vector<Saved> saved_;
};

class Exercise {
 public:
  Exercise(test::ServerRig& rig, Random& random) : rig_(rig), random_(random), client_(rig, 0) {}

  bool Restore(std::string_view key, std::string_view body) {
    std::string payload(body);
    payload.append(persistence::kDumpFooterSize, '\0');
    char* footer = payload.data() + body.size();
    StoreLittle16(footer, static_cast<uint16_t>(persistence::kRdbVersionMax));
    StoreLittle64(footer + 2, Crc64(0, std::string_view(payload).substr(0, payload.size() - 8)));
    return RestorePayload(key, payload);
  }
  /// The dump of what was restored is accepted and means the same.
  void CheckRoundTrip(bool has_expiring_fields);
  void RunCommands();

 private:
  std::string Run(const Words& words) {
    const std::string output = client_.Run(test::Line(words));
    CHECK_MSG(test::ReplySize(output) == output.size(), "a command is not answered by one whole reply");
    return output;
  }
  std::string Run(std::string_view line) { return Run(Split(line)); }
  bool RestorePayload(std::string_view key, std::string_view payload) {
    const std::string reply =
        Run({"RESTORE", std::string(key), "0", std::string(payload), "REPLACE"});
    if (reply == "+OK\r\n") return true;
    CHECK_MSG(reply == "-ERR Bad data format\r\n", "an unexpected reply");
    return false;
  }
  void Fill(Words* words);

  test::ServerRig& rig_;
  Random& random_;
  test::DetachedClient client_;
  Words elements_;
};

void Exercise::CheckRoundTrip(bool has_expiring_fields) {
  const std::string digest = Run("DEBUG DIGEST-VALUE k");
  const std::string encoding = Run("OBJECT ENCODING k");
  const Words dump = BulkStrings(Run("DUMP k"));
  if (dump.empty()) {
    // A hash of which all fields have expired is gone when somebody looks.
    CHECK_MSG(Run("EXISTS k") == ":0\r\n", "a key that cannot be dumped");
    return;
  }
  CHECK_MSG(RestorePayload("d", dump[0]), "our own dump is refused");
  CHECK_MSG(Run("DEBUG DIGEST-VALUE d") == digest, "our own dump is another value");
  // Older versions have plain elements for some values, which are encoded by the thresholds of today; a
  // listpack is taken as it is.
  if (rig_.engine().options().rdb_compat_version.Get() < 11) return;
  // Fields that have expired are not dumped, so the second hash may be smaller, or have no expiries left.
  if (has_expiring_fields) return;
  const std::string again = Run("OBJECT ENCODING d");
  CHECK_MSG(again == encoding, ("our own dump gets another encoding: " + encoding + again).c_str());
}

void Exercise::Fill(Words* words) {
  for (std::string& word : *words) {
    if (word == "#") word = std::to_string(random_.Below(6));
    if (word == "-#") word = std::to_string(-static_cast<int64_t>(1 + random_.Below(6)));
    if (word == "@") word = "";
    if (word.size() == 2 && word[0] == '$') {
      word = elements_.empty() ? "0-1" : elements_[random_.Below(elements_.size())];
    }
  }
}

void Exercise::RunCommands() {
  const std::string type_name = Run("TYPE k");
  if (type_name == "+none\r\n") return;
  const TypeCommands* type = nullptr;
  for (const TypeCommands& candidate : kTypes) {
    if (type_name == "+" + std::string(candidate.type) + "\r\n") type = &candidate;
  }
  CHECK_MSG(type != nullptr, type_name.c_str());
  elements_ = BulkStrings(Run(type->elements));
  if (type->type == "stream") {
    // IDs, without the fields and values between them.
    std::erase_if(elements_, [](const std::string& text) {
      return text.find_first_not_of("0123456789-") != std::string::npos ||
             text.find('-', 1) == std::string::npos;
    });
  }
  constexpr int kCommands = 24;
  for (int i = 0; i < kCommands; i++) {
    const bool is_any = random_.OneIn(5);
    const size_t count = is_any ? std::size(kAnyCommands) : type->count;
    const char* const* commands = is_any ? kAnyCommands : type->commands;
    Words words = Split(commands[random_.Below(count)]);
    Fill(&words);
    Run(words);
  }
}

uint64_t HashOf(const uint8_t* data, size_t size) {
  // FNV-1a.
  uint64_t hash = 0xcbf29ce484222325;
  for (size_t i = 0; i < size; i++) hash = (hash ^ data[i]) * 0x100000001b3;
  return hash;
}

/// The samples as they are, and many beginnings of random changes to each.
std::vector<std::string> Inputs() {
  std::vector<std::string> inputs;
  for (const PayloadSample& sample : PayloadSamples()) inputs.push_back("1" + sample.body);
  Random random(1);
  for (size_t i = 0; i < 8 * PayloadSamples().size(); i++) {
    std::string input = "0";
    input += static_cast<char>(i % PayloadSamples().size());
    input += std::to_string(random.Next());
    inputs.push_back(input);
  }
  return inputs;
}

const SeedRegistration restore_seeds("restore", Inputs());

}  // namespace

FUZZ_TARGET(restore) {
  if (size < 2) return;
  const double started = ProcessorSeconds();
  TheClock().SetWallUs(kStartUs);
  test::ServerRig& rig = Rig();
  rig.engine().active_expire.store(true);
  Random random(HashOf(data, size));
  const OptionScope options(rig.engine().options(), random);
  const size_t used_before = rig.UsedBytes();

  std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const PayloadSample* sample = nullptr;
  if ((data[0] & 1) == 0) {
    sample = &PayloadSamples()[data[1] % PayloadSamples().size()];
    ValueParts value = SplitValue(sample->body);
    uint64_t changes = random.Below(6);
    if (changes > 0) sample = nullptr;
    for (; changes > 0; changes--) MutateValue(random, &value);
    body = JoinValue(&random, value);
  }
  {
    Exercise exercise(rig, random);
    const bool is_accepted = exercise.Restore("k", body);
    if (sample != nullptr) CHECK_MSG(is_accepted, sample->name.c_str());
    if (is_accepted) {
      rig.Validate();
      const auto type = static_cast<persistence::RdbType>(body[0]);
      exercise.CheckRoundTrip(type >= persistence::RdbType::kHashMetadataPreRelease);
      exercise.RunCommands();
    }
  }
  CheckNothingIsLeft(rig, used_before);
  CHECK_MSG(ProcessorSeconds() - started < kSecondsMax, "a payload that takes a second");
}

}  // namespace sherd::fuzz
