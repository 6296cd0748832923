// Which keys a write command tells to have changed: what dirties WATCH, wakes those who wait and
// invalidates caches all hangs on ctx.SignalModified, so that one that is forgotten is a BLPOP that sleeps
// for ever.
//
// Method: every write command of the table runs on keys that are watched one by one, and exactly those
// named here must be dirty afterwards. The expectations are redis-server's (7.0.15, by a script that read
// these rows; commands that are younger follow their kin), also where they surprise: LTRIM and GETEX
// PERSIST of nothing to do, HSET of the same value, LSET.
#include <string>
#include <string_view>
#include <vector>

#include "commands/test_util.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::TestServer;

// Commands are split at blanks, the set-up at ';' too; '' is an empty word, @k the payload that DUMP k gives.
struct Row {
  const char* setup;
  const char* command;
  const char* dirty;  // keys among a, b, c
};

constexpr Row kRows[] = {
    // clang-format off
    // Strings
    {"", "append a x", "a"}, {"set a x", "append a ''", "a"}, {"rpush a x", "append a x", ""},
    {"", "incr a", "a"}, {"set a x", "incr a", ""}, {"", "decr a", "a"}, {"", "incrby a 0", "a"}, {"", "decrby a 3", "a"},
    {"", "incrbyfloat a 1.5", "a"}, {"set a x", "incrbyfloat a 1", ""},
    {"set a x", "getdel a", "a"}, {"", "getdel a", ""}, {"rpush a x", "getdel a", ""},
    {"set a x", "getex a", ""}, {"set a x", "getex a ex 100", "a"}, {"set a x", "getex a persist", ""},
    {"set a x ex 100", "getex a persist", "a"}, {"", "getex a ex 100", ""}, {"set a x", "getex a exat 1", "a"},
    {"", "getset a x", "a"}, {"set a x", "getset a x", "a"},
    {"", "mset a 1 b 2", "a b"}, {"", "msetnx a 1 b 2", "a b"}, {"set b 1", "msetnx a 1 b 2", ""},
    {"", "psetex a 100 x", "a"}, {"", "setex a 100 x", "a"}, {"", "set a x", "a"}, {"set a x", "set a x", "a"},
    {"set a x", "set a y nx", ""}, {"", "set a y xx", ""}, {"set a x", "set a y keepttl", "a"}, {"set a x", "set a y get", "a"},
    {"rpush a x", "set a y", "a"}, {"rpush a x", "set a y get", ""}, {"", "set a y exat 1", "a"},
    {"", "setnx a x", "a"}, {"set a x", "setnx a x", ""},
    {"", "setrange a 0 x", "a"}, {"", "setrange a 5 ''", ""}, {"set a x", "setrange a 0 ''", ""}, {"set a x", "setrange a 0 x", "a"},
    // Bitmaps and HyperLogLogs
    {"", "setbit a 3 1", "a"}, {"setbit a 3 1", "setbit a 3 1", ""}, {"setbit a 3 1", "setbit a 3 0", "a"}, {"", "setbit a 3 0", "a"},
    {"", "bitfield a get u8 0", ""}, {"", "bitfield a set u8 0 1", "a"}, {"setbit a 100 1", "bitfield a set u8 0 0", ""},
    {"setbit a 7 1", "bitfield a set u8 0 1", ""}, {"setbit a 1 1", "bitfield a overflow fail incrby u2 0 3", ""},
    {"set b x", "bitop not a b", "a"}, {"set a x", "bitop not a b", "a"}, {"", "bitop not a b", ""}, {"set b x", "bitop and a b c", "a"},
    {"", "pfadd a x", "a"}, {"pfadd a x", "pfadd a x", ""}, {"", "pfadd a", "a"}, {"pfadd a x", "pfadd a", ""},
    {"pfadd b x", "pfmerge a b", "a"}, {"", "pfmerge a b", "a"}, {"pfadd a x", "pfmerge a", "a"},
    {"pfadd a x", "pfdebug todense a", ""}, {"pfadd a x", "pfdebug encoding a", ""},
    {"pfadd a x", "pfcount a", "a"}, {"pfadd a x; pfcount a", "pfcount a", ""}, {"pfadd a x; pfadd b y", "pfcount a b", ""},
    // Keys
    {"set a x", "copy a b", "b"}, {"", "copy a b", ""}, {"set a x; set b y", "copy a b", ""}, {"set a x; set b y", "copy a b replace", "b"},
    {"set a x", "copy a b db 1", ""},
    {"set a x; set b x", "del a b c", "a b"}, {"set a x", "unlink a b", "a"},
    {"set a x", "expire a 100", "a"}, {"", "expire a 100", ""}, {"set a x", "expire a 100 xx", ""}, {"set a x", "expire a -1", "a"},
    {"set a x ex 100", "expire a 50 gt", ""},
    {"set a x", "pexpire a 100000", "a"}, {"set a x", "expireat a 1", "a"}, {"set a x", "pexpireat a 99999999999999", "a"},
    {"set a x", "persist a", ""}, {"set a x ex 100", "persist a", "a"},
    {"set a x", "move a 1", "a"}, {"", "move a 1", ""},
    {"set a x", "rename a b", "a b"}, {"set a x; set b y", "rename a b", "a b"}, {"set a x", "rename a a", ""}, {"", "rename a b", ""},
    {"set a x", "renamenx a b", "a b"}, {"set a x; set b y", "renamenx a b", ""}, {"set a x", "renamenx a a", ""},
    {"set a x", "restore b 0 @a", "b"}, {"set a x; set b y", "restore b 0 @a", ""}, {"set a x; set b y", "restore b 0 @a replace", "b"},
    {"set a x; set b y", "restore b 1 @a replace absttl", "b"}, {"set a x", "restore b 1 @a absttl", ""},
    {"rpush b 2 1", "sort b store a", "a"}, {"", "sort b store a", ""}, {"set a x", "sort b store a", "a"}, {"rpush b 2 1", "sort b", ""},
    {"set a x", "flushall", "a"}, {"set a x", "flushdb", "a"}, {"", "flushall", ""}, {"set a x", "swapdb 0 1", "a"}, {"", "swapdb 0 1", ""},
    {"set a x", "swapdb 1 2", ""}, {"set a x", "touch a", ""}, {"set a x", "get a", ""},
    // Lists
    {"", "lpush a x", "a"}, {"", "rpush a x y", "a"}, {"", "lpushx a x", ""}, {"rpush a x", "lpushx a x", "a"}, {"rpush a x", "rpushx a x", "a"},
    {"", "rpushx a x", ""}, {"set a x", "lpush a x", ""},
    {"rpush a x", "linsert a before x y", "a"}, {"rpush a x", "linsert a before z y", ""}, {"", "linsert a before z y", ""},
    {"rpush a x", "lset a 0 x", "a"}, {"rpush a x", "lset a 5 x", ""},
    {"rpush a x y", "lpop a", "a"}, {"rpush a x", "rpop a", "a"}, {"", "lpop a", ""}, {"rpush a x", "lpop a 0", ""}, {"rpush a x", "rpop a 5", "a"},
    {"rpush a x", "lrem a 0 x", "a"}, {"rpush a x", "lrem a 0 y", ""},
    {"rpush a x y", "ltrim a 1 -1", "a"}, {"rpush a x y", "ltrim a 0 -1", "a"}, {"", "ltrim a 0 -1", ""}, {"rpush a x", "ltrim a 5 9", "a"},
    {"rpush a x y", "lmove a b left right", "a b"}, {"rpush a x y", "lmove a a left right", "a"}, {"", "lmove a b left right", ""},
    {"rpush a x; set b x", "lmove a b left right", ""},
    {"rpush a x", "rpoplpush a b", "a b"}, {"rpush a x", "rpoplpush a a", "a"}, {"", "rpoplpush a b", ""},
    {"rpush b x", "lmpop 2 a b left", "b"}, {"", "lmpop 2 a b left", ""},
    {"rpush b x", "blpop a b 0", "b"}, {"rpush b x y", "brpop a b 0", "b"}, {"", "blpop a b 0", ""}, {"rpush b x", "blmpop 0 2 a b left count 3", "b"},
    {"rpush a x", "blmove a b left left 0", "a b"}, {"rpush a x", "blmove a a left right 0", "a"}, {"", "blmove a b left left 0", ""},
    {"rpush a x", "brpoplpush a b 0", "a b"},
    // Sets
    {"", "sadd a x", "a"}, {"sadd a x", "sadd a x", ""}, {"sadd a x", "srem a x", "a"}, {"sadd a x", "srem a y", ""},
    {"sadd a x", "smove a b x", "a b"}, {"sadd a x", "smove a b y", ""}, {"sadd a x; sadd b x", "smove a b x", "a"}, {"sadd a x", "smove a a x", ""},
    {"sadd a x", "spop a", "a"}, {"sadd a x y", "spop a 1", "a"}, {"sadd a x", "spop a 5", "a"}, {"sadd a x", "spop a 0", ""}, {"", "spop a", ""},
    {"sadd b x", "sunionstore a b c", "a"}, {"", "sunionstore a b c", ""}, {"set a x", "sunionstore a b c", "a"},
    {"sadd b x; sadd c x", "sinterstore a b c", "a"}, {"sadd b x", "sinterstore a b c", ""}, {"set a x; sadd b x", "sinterstore a b c", "a"},
    {"sadd b x", "sdiffstore a b c", "a"}, {"sadd a x", "sdiffstore a b c", "a"}, {"", "sdiffstore a b c", ""},
    // Hashes
    {"", "hset a f v", "a"}, {"hset a f v", "hset a f v", "a"}, {"", "hmset a f v", "a"}, {"", "hsetnx a f v", "a"}, {"hset a f v", "hsetnx a f w", ""},
    {"hset a f v", "hdel a f", "a"}, {"hset a f v", "hdel a g", ""}, {"", "hincrby a f 0", "a"}, {"hset a f x", "hincrby a f 1", ""},
    {"", "hincrbyfloat a f 1.5", "a"}, {"hset a f x", "hincrbyfloat a f 1", ""},
    {"hset a f v", "hexpire a 100 fields 1 f", "a"}, {"hset a f v", "hexpire a 100 fields 1 g", ""}, {"hset a f v", "hexpire a 0 fields 1 f", "a"},
    {"hset a f v", "hpexpire a 100000 fields 1 f", "a"}, {"hset a f v", "hexpireat a 9999999999 fields 1 f", "a"},
    {"hset a f v", "hpexpireat a 9999999999999 fields 1 f", "a"}, {"hset a f v", "hexpire a 100 xx fields 1 f", ""},
    {"hset a f v; hexpire a 100 fields 1 f", "hpersist a fields 1 f", "a"}, {"hset a f v", "hpersist a fields 1 f", ""},
    {"hset a f v", "hgetdel a fields 1 f", "a"}, {"hset a f v", "hgetdel a fields 1 g", ""},
    {"hset a f v", "hgetex a ex 100 fields 1 f", "a"}, {"hset a f v", "hgetex a fields 1 f", ""}, {"hset a f v", "hgetex a persist fields 1 f", ""},
    {"", "hsetex a ex 100 fields 1 f v", "a"}, {"hset a f v", "hsetex a fnx fields 1 f w", ""},
    // Sorted sets
    {"", "zadd a 1 m", "a"}, {"zadd a 1 m", "zadd a 1 m", ""}, {"zadd a 1 m", "zadd a 2 m", "a"}, {"zadd a 1 m", "zadd a nx 2 m", ""},
    {"zadd a 1 m", "zincrby a 0 m", ""}, {"zadd a 1 m", "zincrby a 1 m", "a"}, {"zadd a 1 m", "zadd a xx 1 n", ""},
    {"zadd a 1 m", "zrem a m", "a"}, {"zadd a 1 m", "zrem a n", ""}, {"zadd a 1 m", "zpopmin a", "a"}, {"zadd a 1 m", "zpopmax a 0", ""}, {"", "zpopmax a", ""},
    {"zadd a 1 m 2 n", "zremrangebyrank a 0 0", "a"}, {"zadd a 1 m", "zremrangebyrank a 5 6", ""}, {"zadd a 1 m", "zremrangebyscore a 1 1", "a"},
    {"zadd a 1 m", "zremrangebyscore a 5 6", ""}, {"zadd a 1 m", "zremrangebylex a - +", "a"}, {"zadd a 1 m", "zremrangebylex a [x +", ""},
    {"zadd b 1 m", "zmpop 2 a b min", "b"}, {"", "zmpop 2 a b min", ""},
    {"zadd b 1 m", "bzpopmin a b 0", "b"}, {"zadd b 1 m", "bzpopmax a b 0", "b"}, {"zadd b 1 m", "bzmpop 0 2 a b max", "b"}, {"", "bzpopmin a b 0", ""},
    {"zadd b 1 m", "zunionstore a 1 b", "a"}, {"", "zunionstore a 1 b", ""}, {"set a x", "zunionstore a 1 b", "a"},
    {"zadd b 1 m", "zinterstore a 1 b", "a"}, {"zadd a 1 m", "zinterstore a 1 b", "a"}, {"zadd b 1 m", "zdiffstore a 1 b", "a"}, {"", "zdiffstore a 1 b", ""},
    {"zadd b 1 m", "zrangestore a b 0 -1", "a"}, {"", "zrangestore a b 0 -1", ""}, {"set a x", "zrangestore a b 0 -1", "a"},
    {"", "geoadd a 1 1 p", "a"}, {"geoadd a 1 1 p", "geoadd a 1 1 p", ""}, {"geoadd b 1 1 p", "georadius b 1 1 10 km store a", "a"},
    {"geoadd b 1 1 p", "georadius b 1 1 10 km", ""}, {"geoadd b 1 1 p; set a x", "georadius b 50 50 10 km store a", "a"}, {"geoadd b 1 1 p", "georadius b 50 50 10 km store a", ""},
    {"geoadd b 1 1 p", "georadiusbymember b p 10 km storedist a", "a"}, {"geoadd b 1 1 p", "geosearchstore a b fromlonlat 1 1 byradius 10 km", "a"},
    {"set a x", "geosearchstore a b fromlonlat 1 1 byradius 10 km", "a"}, {"", "geosearchstore a b fromlonlat 1 1 byradius 10 km", ""},
    // Streams
    {"", "xadd a 1-1 f v", "a"}, {"", "xadd a nomkstream 1-1 f v", ""}, {"xadd a 1-1 f v", "xadd a 1-1 f v", ""},
    {"xadd a 1-1 f v", "xdel a 1-1", "a"}, {"xadd a 1-1 f v", "xdel a 1-2", ""}, {"xadd a 1-1 f v", "xtrim a maxlen 0", "a"}, {"xadd a 1-1 f v", "xtrim a maxlen 5", ""},
    {"xadd a 1-1 f v", "xsetid a 5-1", ""}, {"", "xsetid a 5-1", ""},
    {"", "xgroup create a g $ mkstream", "a"}, {"xadd a 1-1 f v", "xgroup create a g 0", ""}, {"xgroup create a g $ mkstream", "xgroup create a g 0", ""},
    {"xgroup create a g $ mkstream", "xgroup createconsumer a g c", ""}, {"xgroup create a g $ mkstream; xgroup createconsumer a g c", "xgroup delconsumer a g c", ""},
    {"xgroup create a g $ mkstream", "xgroup destroy a g", ""}, {"xgroup create a g $ mkstream", "xgroup destroy a h", ""}, {"xgroup create a g $ mkstream", "xgroup setid a g 5-1", ""},
    {"xadd a 1-1 f v; xgroup create a g 0", "xreadgroup group g c streams a >", ""}, {"xadd a 1-1 f v; xgroup create a g 0; xreadgroup group g c streams a >", "xack a g 1-1", ""},
    {"xadd a 1-1 f v; xgroup create a g 0; xreadgroup group g c streams a >", "xclaim a g d 0 1-1", ""},
    {"xadd a 1-1 f v; xgroup create a g 0; xreadgroup group g c streams a >", "xautoclaim a g d 0 0", ""},
    {"xadd a 1-1 f v", "xread streams a 0", ""}, {"xadd a 1-1 f v; xgroup create a g $", "xreadgroup group g c block 0 streams a >", ""},
    // clang-format on
};

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::string Payload(TestServer& server, const std::string& key) {
  const std::string reply = server.Run({"DUMP", key});
  const size_t start = reply.find("\r\n") + 2;
  return reply.substr(start, reply.size() - start - 2);
}

std::string RunText(TestServer& server, std::string_view line) {
  std::vector<std::string> words = Split(line, ' ');
  for (std::string& word : words) {
    if (word == "''") word.clear();
    if (word.size() == 2 && word[0] == '@') word = Payload(server, word.substr(1));
  }
  const std::vector<std::string_view> views(words.begin(), words.end());
  return server.RunLine(views);
}

/// The keys that the row's command dirties.
std::string Dirtied(const Row& row) {
  std::string dirty;
  for (const char* key : {"a", "b", "c"}) {
    TestServer server;
    for (const std::string& line : Split(row.setup, ';')) {
      const std::string reply = RunText(server, line);
      CHECK_MSG(reply[0] != '-', line.c_str());
    }
    server.Run({"WATCH", key});
    RunText(server, row.command);
    if (!server.session.transaction->HasChanged(server.engine(), server.now_ms())) continue;
    dirty += (dirty.empty() ? "" : " ") + std::string(key);
  }
  return dirty;
}

TEST(watched_keys_are_dirty_exactly_when_a_command_changes_them) {
  for (const Row& row : kRows) {
    const std::string dirty = Dirtied(row);
    if (dirty != row.dirty) std::printf("  after '%s': %s\n", row.setup, row.command);
    EXPECT_EQ(dirty, row.dirty);
  }
}

TEST(every_write_command_has_its_rows) {
  for (const CommandSpec& spec : AllCommands()) {
    if ((spec.flags & kFlagWrite) == 0) continue;
    std::string name = spec.full_name;
    for (char& c : name) c = c == '|' ? ' ' : c;
    bool is_there = false;
    for (const Row& row : kRows) is_there = is_there || (std::string(row.command) + " ").starts_with(name + " ");
    if (!is_there) std::printf("  %s\n", name.c_str());
    EXPECT_TRUE(is_there);
  }
}

}  // namespace
}  // namespace sherd
