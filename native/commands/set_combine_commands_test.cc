// Set combinations: errors and their order, events, encodings of what is stored; and random sets of
// all encodings and sizes against std::set, over protocols and numbers of shards. Expected replies
// were asked of redis-server 7.0.15, encodings follow 7.2.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/numbers.h"
#include "base/random.h"
#include "commands/test_util.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::Bulk;
using test::Error;
using test::Integer;
using test::TestServer;
using Lines = std::vector<std::string>;
using Model = std::set<std::string>;

const std::string kWrongType =
    Error("WRONGTYPE Operation against a key holding the wrong kind of value");
const std::string kSyntax = Error("ERR syntax error");

Lines Elements(const std::string& reply, char prefix) {
  Lines elements;
  EXPECT_EQ(reply[0], prefix);
  size_t at = reply.find("\r\n") + 2;
  for (size_t count = std::stoul(reply.substr(1)); count > 0; count--) {
    const size_t size = std::stoul(reply.substr(at + 1));
    at = reply.find("\r\n", at) + 2;
    elements.push_back(reply.substr(at, size));
    at += size + 2;
  }
  EXPECT_EQ(at, reply.size());
  return elements;
}
Lines Sorted(Lines lines) {
  std::sort(lines.begin(), lines.end());
  return lines;
}
std::string RunWords(TestServer& server, const Lines& words) {
  return server.RunLine(std::vector<std::string_view>(words.begin(), words.end()));
}

TEST(set_combine_missing_keys_are_empty_sets) {
  for (const int shards : {1, 8}) {
    TestServer server(shards);
    server.Run({"SADD", "s", "2", "1"});
    const std::string both = "*2\r\n" + Bulk("1") + Bulk("2");
    EXPECT_EQ(server.Run({"SINTER", "s", "none"}), "*0\r\n");
    EXPECT_EQ(server.Run({"SINTER", "none"}), "*0\r\n");
    EXPECT_EQ(server.Run({"SINTER", "s", "s"}), both);
    EXPECT_EQ(server.Run({"SUNION", "none", "s", "s"}), both);
    EXPECT_EQ(server.Run({"SUNION", "none"}), "*0\r\n");
    EXPECT_EQ(server.Run({"SDIFF", "s", "none"}), both);
    EXPECT_EQ(server.Run({"SDIFF", "none", "s"}), "*0\r\n");
    EXPECT_EQ(server.Run({"SDIFF", "s", "none", "s"}), "*0\r\n");
    EXPECT_EQ(server.Run({"SINTERCARD", "2", "s", "none"}), Integer(0));
    server.session.resp = 3;
    EXPECT_EQ(server.Run({"SINTER", "s", "none"}), "~0\r\n");
    EXPECT_EQ(server.Run({"SUNION", "none"}), "~0\r\n");
    EXPECT_EQ(server.Run({"SDIFF", "none", "s"}), "~0\r\n");
    EXPECT_EQ(server.Run({"SDIFF", "s", "s"}), "~0\r\n");
    EXPECT_EQ(server.Run({"SINTER", "s"}), "~2\r\n" + Bulk("1") + Bulk("2"));
  }
}

TEST(set_combine_checks_every_type) {
  TestServer server(8);
  server.Run({"SADD", "s", "1"});
  server.Run({"SET", "text", "x"});
  for (const char* command : {"SINTER", "SUNION", "SDIFF"}) {
    EXPECT_EQ(server.Run({command, "text"}), kWrongType);
    EXPECT_EQ(server.Run({command, "s", "text"}), kWrongType);
    EXPECT_EQ(server.Run({command, "none", "text"}), kWrongType);
    const std::string store = std::string(command) + "STORE";
    EXPECT_EQ(server.Run({store, "d", "none", "text"}), kWrongType);
  }
  EXPECT_EQ(server.Run({"SINTERCARD", "2", "none", "text"}), kWrongType);
  EXPECT_EQ(server.Run({"GET", "text"}), Bulk("x"));
  // The destination may be anything: it is replaced.
  EXPECT_EQ(server.Run({"SINTERSTORE", "text", "s"}), Integer(1));
  EXPECT_EQ(server.Run({"TYPE", "text"}), "+set\r\n");
}

TEST(set_intercard_arguments) {
  TestServer server;
  server.Run({"SADD", "s", "1", "2", "3"});
  const std::string numkeys = Error("ERR numkeys should be greater than 0");
  for (const char* count : {"0", "-1", "abc", "", "9223372036854775808", "1.5", "+1"}) {
    EXPECT_EQ(server.Run({"SINTERCARD", count, "s"}), numkeys);
  }
  const std::string too_many = Error("ERR Number of keys can't be greater than number of args");
  EXPECT_EQ(server.Run({"SINTERCARD", "2", "s"}), too_many);
  EXPECT_EQ(server.Run({"SINTERCARD", "9223372036854775807", "s"}), too_many);
  EXPECT_EQ(server.Run({"SINTERCARD", "1", "s", "FOO"}), kSyntax);
  EXPECT_EQ(server.Run({"SINTERCARD", "1", "s", "LIMIT"}), kSyntax);
  EXPECT_EQ(server.Run({"SINTERCARD", "1", "s", "LIMIT", "1", "x"}), kSyntax);
  const std::string limit = Error("ERR LIMIT can't be negative");
  EXPECT_EQ(server.Run({"SINTERCARD", "1", "s", "LIMIT", "-1"}), limit);
  EXPECT_EQ(server.Run({"SINTERCARD", "1", "s", "LIMIT", "abc"}), limit);
  EXPECT_EQ(server.Run({"SINTERCARD", "1", "s", "LIMIT", "0"}), Integer(3));
  EXPECT_EQ(server.Run({"SINTERCARD", "1", "s", "limit", "2"}), Integer(2));
  EXPECT_EQ(server.Run({"SINTERCARD", "2", "s", "s", "LIMIT", "1", "LIMIT", "9"}), Integer(3));
}

TEST(set_stores_report_and_replace) {
  for (const int shards : {1, 8}) {
    TestServer server(shards);
    server.Run({"SADD", "a", "1", "2"});
    server.Run({"SADD", "b", "2", "3"});
    server.Run({"SADD", "far", "9"});
    server.Listen();
    const struct {
      const char* command;
      const char* event;
      int64_t size;
    } kRows[] = {{"SINTERSTORE", "sinterstore d", 1},
                 {"SUNIONSTORE", "sunionstore d", 3},
                 {"SDIFFSTORE", "sdiffstore d", 1}};
    for (const auto& row : kRows) {
      EXPECT_EQ(server.Run({row.command, "d", "a", "b"}), Integer(row.size));
      EXPECT_EQ(server.TakeEvents(), (Lines{"new d", row.event}));
      EXPECT_EQ(server.last_dirty(), 1);
      server.Run({"PEXPIRE", "d", "100000"});
      server.TakeEvents();
      EXPECT_EQ(server.Run({row.command, "d", "a", "b"}), Integer(row.size));
      EXPECT_EQ(server.TakeEvents(), (Lines{row.event}));
      EXPECT_EQ(server.expiry_ms("d"), -1);
      EXPECT_EQ(server.Run({"DEL", "d"}), Integer(1));
      server.TakeEvents();
    }
    // Nothing left: the destination goes.
    server.Run({"SET", "d", "x"});
    server.TakeEvents();
    EXPECT_EQ(server.Run({"SINTERSTORE", "d", "a", "far"}), Integer(0));
    EXPECT_EQ(server.TakeEvents(), (Lines{"del d"}));
    EXPECT_EQ(server.last_dirty(), 1);
    EXPECT_EQ(server.Run({"SINTERSTORE", "d", "a", "none"}), Integer(0));
    EXPECT_EQ(server.TakeEvents(), (Lines{"keymiss none"}));
    EXPECT_EQ(server.last_dirty(), 0);
    EXPECT_EQ(server.Run({"SDIFFSTORE", "d", "a", "a"}), Integer(0));
    EXPECT_EQ(server.Run({"SDIFFSTORE", "d", "none", "a"}), Integer(0));
    // The destination may be a source.
    EXPECT_EQ(server.Run({"SUNIONSTORE", "a", "a", "b"}), Integer(3));
    EXPECT_EQ(server.Run({"SINTERSTORE", "b", "b", "a"}), Integer(2));
    EXPECT_EQ(server.Run({"SDIFFSTORE", "a", "a", "b"}), Integer(1));
    EXPECT_EQ(server.Run({"SMEMBERS", "a"}), "*1\r\n" + Bulk("1"));
    server.Validate();
  }
}

TEST(set_stores_choose_encodings) {
  TestServer server;
  server.engine().options().set_max_intset_entries.Set(20);
  server.engine().options().set_max_listpack_entries.Set(10);
  const auto add = [&](const char* key, int first, int count, std::string prefix = "") {
    Lines words = {"SADD", key};
    for (int i = 0; i < count; i++) words.push_back(prefix + std::to_string(first + i));
    RunWords(server, words);
  };
  const auto stored = [&](Lines words) {
    RunWords(server, words);
    return server.encoding("d");
  };
  add("ints", 0, 15);
  add("table", 0, 30);
  add("mixed", 0, 30);
  server.Run({"SADD", "mixed", "x"});
  add("texts", 0, 8, "t");
  server.Run({"SADD", "texts", "1"});
  EXPECT_EQ(server.encoding("table"), "hashtable");
  EXPECT_EQ(server.encoding("texts"), "listpack");
  EXPECT_EQ(stored({"SINTERSTORE", "d", "ints", "table"}), "intset");
  add("ints2", 5, 18);
  // All integers of a table: an intset in the end, by way of a table.
  server.Run({"SADD", "table2", "x"});
  add("table2", 0, 30);
  server.Run({"SREM", "table2", "x"});
  RunWords(server, {"SPOP", "table2", "12"});
  EXPECT_EQ(server.encoding("table2"), "hashtable");
  EXPECT_EQ(stored({"SINTERSTORE", "d", "table2"}), "intset");
  EXPECT_EQ(stored({"SINTERSTORE", "d", "table"}), "hashtable");
  EXPECT_EQ(stored({"SINTERSTORE", "d", "mixed", "mixed"}), "hashtable");
  EXPECT_EQ(stored({"SINTERSTORE", "d", "texts", "mixed"}), "intset");  // only "1"
  EXPECT_EQ(stored({"SINTERSTORE", "d", "texts"}), "listpack");
  EXPECT_EQ(stored({"SUNIONSTORE", "d", "ints"}), "intset");
  EXPECT_EQ(stored({"SUNIONSTORE", "d", "table"}), "hashtable");
  EXPECT_EQ(stored({"SUNIONSTORE", "d", "texts"}), "listpack");
  EXPECT_EQ(stored({"SUNIONSTORE", "d", "texts", "ints"}), "hashtable");
  EXPECT_EQ(stored({"SUNIONSTORE", "d", "ints", "ints2"}), "hashtable");
  EXPECT_EQ(stored({"SDIFFSTORE", "d", "table", "ints"}), "intset");
  EXPECT_EQ(stored({"SDIFFSTORE", "d", "mixed", "table"}), "listpack");
  EXPECT_EQ(stored({"SDIFFSTORE", "d", "mixed", "ints"}), "hashtable");
  server.Validate();
}

// ---- Random sets against a twin ----

Model RandomSet(Random& random) {
  static constexpr size_t kSizes[] = {1, 3, 17, 60, 128, 130, 600, 2500};
  Model model;
  const bool is_integers = random.OneIn(2);
  const bool is_mixed = random.OneIn(3);
  const size_t size = kSizes[random.Below(8)];
  while (model.size() < size) {
    const bool is_text = !is_integers && (!is_mixed || random.OneIn(2));
    model.insert((is_text ? "t" : "") + std::to_string(random.Below(size * 2)));
  }
  return model;
}

Model Combined(const std::string& command, const std::vector<Model>& sets) {
  Model result = sets[0];
  for (size_t i = 1; i < sets.size(); i++) {
    if (command == "SUNION") {
      result.insert(sets[i].begin(), sets[i].end());
      continue;
    }
    const bool keeps_common = command == "SINTER";
    std::erase_if(result,
                  [&](const std::string& m) { return (sets[i].count(m) != 0) != keeps_common; });
  }
  return result;
}

void RunStream(uint64_t seed, int shards, int resp) {
  Random random(seed);
  TestServer server(shards);
  server.session.resp = resp;
  const char prefix = resp == 3 ? '~' : '*';
  std::map<std::string, Model> keys;
  for (int round = 0; round < 60; round++) {
    const std::string key = "k" + std::to_string(random.Below(12));
    server.Run({"DEL", key});
    keys[key].clear();
    if (!random.OneIn(10)) {
      keys[key] = RandomSet(random);
      Lines words = {"SADD", key};
      words.insert(words.end(), keys[key].begin(), keys[key].end());
      RunWords(server, words);
    }
    // More sets than are probed one by one, too.
    const size_t count = 1 + random.Below(random.OneIn(4) ? 14 : 4);
    Lines names;
    std::vector<Model> sets;
    for (size_t i = 0; i < count; i++) {
      names.push_back("k" + std::to_string(random.Below(12)));
      sets.push_back(keys[names.back()]);
    }
    for (const std::string command : {"SINTER", "SUNION", "SDIFF"}) {
      const Model expected = Combined(command, sets);
      Lines words = {command};
      words.insert(words.end(), names.begin(), names.end());
      ASSERT_EQ(Sorted(Elements(RunWords(server, words), prefix)),
                Lines(expected.begin(), expected.end()));
      words.insert(words.begin() + 1, "d");
      words[0] += "STORE";
      EXPECT_EQ(RunWords(server, words), Integer(static_cast<int64_t>(expected.size())));
      EXPECT_EQ(Sorted(Elements(server.Run({"SMEMBERS", "d"}), prefix)),
                Lines(expected.begin(), expected.end()));
      if (command != "SINTER") continue;
      words = {"SINTERCARD", std::to_string(count)};
      words.insert(words.end(), names.begin(), names.end());
      EXPECT_EQ(RunWords(server, words), Integer(static_cast<int64_t>(expected.size())));
      words.insert(words.end(), {"LIMIT", "5"});
      EXPECT_EQ(RunWords(server, words),
                Integer(static_cast<int64_t>(std::min<size_t>(expected.size(), 5))));
    }
    server.Validate();
  }
}

TEST(set_combinations_behave_like_sets) {
  uint64_t seed = test::Seed();
  for (const int shards : {1, 8}) {
    for (const int resp : {2, 3}) RunStream(seed++, shards, resp);
  }
}

TEST(set_union_of_integers_ascends) {
  TestServer server;
  server.Run({"SADD", "a", "5", "1"});
  server.Run({"SADD", "b", "3", "1"});
  EXPECT_EQ(server.Run({"SUNION", "a", "b"}), "*3\r\n" + Bulk("1") + Bulk("3") + Bulk("5"));
}

}  // namespace
}  // namespace sherd
