// SORT: what it returns for every type, option and edge (asked of redis-server 7.0.15), what it
// stores and reports, where it runs; and random lines against a naive twin.
#include <algorithm>
#include <string>
#include <vector>

#include "base/random.h"
#include "commands/test_util.h"
#include "engine/handlers.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::Bulk;
using test::Error;
using test::Integer;
using test::TestServer;
using Lines = std::vector<std::string>;

const std::string kSyntax = Error("ERR syntax error");
const std::string kNotInteger = Error("ERR value is not an integer or out of range");
const std::string kNoNumber = Error("ERR One or more scores can't be converted into double");
const std::string kWrongType =
    Error("WRONGTYPE Operation against a key holding the wrong kind of value");

Lines Words(std::string_view line) {
  Lines words(1);
  for (const char c : line) {
    if (c == ' ') {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  return words;
}
std::string RunWords(TestServer& server, const Lines& words) {
  return server.RunLine(std::vector<std::string_view>(words.begin(), words.end()));
}
std::string Run(TestServer& server, std::string_view line) { return RunWords(server, Words(line)); }

/// The elements of a reply in a row, "-" for null; the reply itself when it is no array.
std::string Row(const std::string& reply) {
  if (reply[0] != '*') return reply;
  std::string row;
  size_t at = reply.find("\r\n") + 2;
  const size_t count = std::stoul(reply.substr(1));
  for (size_t i = 0; i < count; i++) {
    if (i > 0) row += ' ';
    if (reply[at] == '_' || reply.substr(at, 3) == "$-1") {
      row += '-';
      at = reply.find("\r\n", at) + 2;
      continue;
    }
    const size_t size = std::stoul(reply.substr(at + 1));
    at = reply.find("\r\n", at) + 2;
    row += reply.substr(at, size);
    at += size + 2;
  }
  EXPECT_EQ(at, reply.size());
  return row;
}
std::string RowOf(TestServer& server, std::string_view line) { return Row(Run(server, line)); }

void Fill(TestServer& server) {
  for (const char* line :
       {"RPUSH l 3 1 2 10 -5 2", "MSET w_3 1 w_1 5 w_2 2.5 w_10 7", "HSET h_3 f 30 g x",
        "HSET h_1 f 10", "HSET h_2 g 1", "SET h_10 text", "SADD s 5 4 1 3 2",
        "SADD texts b a c 10 9", "ZADD z 3 1 2 2 1 3 5 a",
        "RPUSH pre prefix_b prefix_a prefix_abc prefix_ab prefix_", "SET text x"}) {
    Run(server, line);
  }
}

TEST(sort_numbers_and_texts) {
  for (const int shards : {1, 8}) {
    for (const int resp : {2, 3}) {
      TestServer server(shards);
      server.session.resp = resp;
      Fill(server);
      EXPECT_EQ(RowOf(server, "SORT l"), "-5 1 2 2 3 10");
      EXPECT_EQ(RowOf(server, "SORT l DESC"), "10 3 2 2 1 -5");
      EXPECT_EQ(RowOf(server, "SORT l ALPHA"), "-5 1 10 2 2 3");
      EXPECT_EQ(RowOf(server, "SORT l alpha desc"), "3 2 2 10 1 -5");
      EXPECT_EQ(RowOf(server, "SORT s"), "1 2 3 4 5");
      EXPECT_EQ(RowOf(server, "SORT s DESC LIMIT 0 2"), "5 4");
      EXPECT_EQ(RowOf(server, "SORT texts ALPHA"), "10 9 a b c");
      EXPECT_EQ(RowOf(server, "SORT z ALPHA"), "1 2 3 a");
      EXPECT_EQ(RowOf(server, "SORT pre ALPHA"), "prefix_ prefix_a prefix_ab prefix_abc prefix_b");
      EXPECT_EQ(RowOf(server, "SORT pre ALPHA DESC LIMIT 1 2"), "prefix_abc prefix_ab");
      EXPECT_EQ(Run(server, "SORT texts"), kNoNumber);
      EXPECT_EQ(Run(server, "SORT z"), kNoNumber);
      EXPECT_EQ(Run(server, "SORT none"), "*0\r\n");
      EXPECT_EQ(Run(server, "SORT_RO l LIMIT 0 1"), "*1\r\n" + Bulk("-5"));
      EXPECT_EQ(Run(server, "SORT text"), kWrongType);
      EXPECT_EQ(Run(server, "SORT h_1"), kWrongType);
      server.Validate();
    }
  }
}

TEST(sort_limits) {
  TestServer server;
  Fill(server);
  EXPECT_EQ(RowOf(server, "SORT l LIMIT 1 2"), "1 2");
  EXPECT_EQ(RowOf(server, "SORT l LIMIT -1 2"), "-5 1");
  EXPECT_EQ(RowOf(server, "SORT l LIMIT 2 -1"), "2 2 3 10");
  EXPECT_EQ(RowOf(server, "SORT l LIMIT 2 -5"), "2 2 3 10");
  EXPECT_EQ(RowOf(server, "SORT l LIMIT 0 0"), "");
  EXPECT_EQ(RowOf(server, "SORT l LIMIT 100 5"), "");
  EXPECT_EQ(RowOf(server, "SORT l LIMIT 3 9223372036854775807"), "2 3 10");
  EXPECT_EQ(RowOf(server, "SORT l LIMIT 9223372036854775807 9223372036854775807"), "");
  EXPECT_EQ(RowOf(server, "SORT l LIMIT -9223372036854775808 1"), "-5");
  EXPECT_EQ(RowOf(server, "SORT l LIMIT 0 1 LIMIT 5 1"), "10");
  for (const char* number : {"a", "", "1 ", "+1", "1.0", "9223372036854775808", "inf"}) {
    EXPECT_EQ(server.Run({"SORT", "l", "LIMIT", number, "1"}), kNotInteger);
    EXPECT_EQ(server.Run({"SORT", "l", "LIMIT", "1", number}), kNotInteger);
  }
}

TEST(sort_refuses_what_it_does_not_know) {
  TestServer server;
  Fill(server);
  for (const char* line :
       {"SORT l FOO", "SORT l LIMIT", "SORT l LIMIT 1", "SORT l BY", "SORT l GET", "SORT l STORE",
        "SORT_RO l STORE d", "SORT text FOO", "SORT l ASC x"}) {
    EXPECT_EQ(Run(server, line), kSyntax);
  }
}

TEST(sort_by_and_get) {
  for (const int shards : {1, 8}) {
    TestServer server(shards);
    Fill(server);
    EXPECT_EQ(RowOf(server, "SORT l BY w_*"), "-5 3 2 2 1 10");
    EXPECT_EQ(RowOf(server, "SORT l BY w_* DESC"), "10 1 2 2 3 -5");
    EXPECT_EQ(RowOf(server, "SORT l BY w_* ALPHA"), "-5 3 2 2 1 10");
    EXPECT_EQ(RowOf(server, "SORT l BY w_* GET w_* GET #"), "- -5 1 3 2.5 2 2.5 2 5 1 7 10");
    EXPECT_EQ(RowOf(server, "SORT l BY w_* GET # GET w_* LIMIT 1 2"), "3 1 2 2.5");
    EXPECT_EQ(RowOf(server, "SORT l BY h_*->f"), "-5 10 2 2 1 3");
    EXPECT_EQ(RowOf(server, "SORT l BY h_*->f GET h_*->g GET h_*"), "- - - text 1 - 1 - - - x -");
    EXPECT_EQ(RowOf(server, "SORT l GET nostar LIMIT 0 2"), "- -");
    EXPECT_EQ(RowOf(server, "SORT l BY w_*->f GET # LIMIT 0 2"), "-5 1");
    Run(server, "SET w_2 abc");
    EXPECT_EQ(Run(server, "SORT l BY w_*"), kNoNumber);
    EXPECT_EQ(Run(server, "SORT l BY w_* LIMIT 0 0"), kNoNumber);
    EXPECT_EQ(RowOf(server, "SORT l BY w_* ALPHA DESC"), "2 2 10 1 3 -5");
    server.session.resp = 3;
    EXPECT_EQ(Run(server, "SORT l GET w_* LIMIT 0 1"), "*1\r\n_\r\n");
  }
}

TEST(sort_ties) {
  TestServer server;
  Run(server, "RPUSH dup b a b a c");
  EXPECT_EQ(RowOf(server, "SORT dup BY k_*"), "a a b b c");
  EXPECT_EQ(RowOf(server, "SORT dup BY k_* DESC"), "c b b a a");
  // Texts found by BY do not fall back on the elements.
  EXPECT_EQ(RowOf(server, "SORT dup ALPHA BY k_*"), "b a b a c");
  EXPECT_EQ(RowOf(server, "SORT dup ALPHA BY k_* DESC"), "b a b a c");
  server.Run({"MSET", "k_a", "", "k_b", "x"});
  EXPECT_EQ(RowOf(server, "SORT dup ALPHA BY k_*"), "c a a b b");
  EXPECT_EQ(RowOf(server, "SORT dup ALPHA BY k_* DESC"), "b b a a c");
  Run(server, "RPUSH zeros 0 -0 0.0 00");
  EXPECT_EQ(RowOf(server, "SORT zeros"), "-0 0 0.0 00");
  EXPECT_EQ(RowOf(server, "SORT zeros DESC"), "00 0.0 0 -0");
}

TEST(sort_by_constant_keeps_the_order) {
  TestServer server(4);
  Fill(server);
  EXPECT_EQ(RowOf(server, "SORT l BY nosort"), "3 1 2 10 -5 2");
  EXPECT_EQ(RowOf(server, "SORT l BY nosort DESC"), "2 -5 10 2 1 3");
  EXPECT_EQ(RowOf(server, "SORT l BY nosort LIMIT 1 3"), "1 2 10");
  EXPECT_EQ(RowOf(server, "SORT l BY nosort DESC LIMIT 1 2"), "-5 10");
  EXPECT_EQ(RowOf(server, "SORT l BY nosort LIMIT 10 3"), "");
  EXPECT_EQ(RowOf(server, "SORT z BY nosort"), "3 2 1 a");
  EXPECT_EQ(RowOf(server, "SORT z BY nosort DESC LIMIT 1 2"), "1 2");
  EXPECT_EQ(RowOf(server, "SORT z BY nosort DESC LIMIT 0 2"), "a 1");
  EXPECT_EQ(RowOf(server, "SORT z BY nosort DESC LIMIT 3 9"), "3");
  EXPECT_EQ(RowOf(server, "SORT z BY nosort LIMIT 1 2"), "2 1");
  EXPECT_EQ(RowOf(server, "SORT l BY nosort GET # GET w_* LIMIT 0 2"), "3 1 1 5");
  EXPECT_EQ(RowOf(server, "SORT l BY # LIMIT 0 1"), "3");
  EXPECT_EQ(RowOf(server, "SORT l BY nosort BY w_* LIMIT 0 1"), "3");
  // A set has no order: what is stored is sorted by text.
  EXPECT_EQ(Run(server, "SORT texts BY nosort STORE d"), Integer(5));
  EXPECT_EQ(RowOf(server, "LRANGE d 0 -1"), "10 9 a b c");
  EXPECT_EQ(Run(server, "SORT texts BY nosort DESC STORE d LIMIT 1 2"), Integer(2));
  EXPECT_EQ(RowOf(server, "LRANGE d 0 -1"), "b a");
}

TEST(sort_makes_a_sorted_set_a_skiplist) {
  TestServer server;
  Fill(server);
  EXPECT_EQ(server.encoding("z"), "listpack");
  EXPECT_EQ(Run(server, "SORT_RO z"), kNoNumber);
  EXPECT_EQ(server.encoding("z"), "skiplist");
  server.Validate();
}

TEST(sort_stores_a_list) {
  for (const int shards : {1, 8}) {
    TestServer server(shards);
    Fill(server);
    server.Listen();
    EXPECT_EQ(Run(server, "SORT l STORE d"), Integer(6));
    EXPECT_EQ(server.TakeEvents(), (Lines{"new d", "sortstore d"}));
    EXPECT_EQ(server.TakeEffects(), (Lines{"SORT l STORE d"}));
    EXPECT_EQ(server.last_dirty(), 6);
    EXPECT_EQ(server.encoding("d"), "listpack");
    EXPECT_EQ(RowOf(server, "LRANGE d 0 -1"), "-5 1 2 2 3 10");
    Run(server, "PEXPIRE d 100000");
    server.TakeEvents();
    EXPECT_EQ(Run(server, "SORT l BY w_* GET w_* GET none_* STORE d LIMIT 0 2"), Integer(4));
    EXPECT_EQ(server.TakeEvents(), (Lines{"keymiss w_-5", "keymiss w_-5", "keymiss none_-5",
                                          "keymiss none_3", "sortstore d"}));
    EXPECT_EQ(RowOf(server, "LRANGE d 0 -1"), "  1 ");
    EXPECT_EQ(server.expiry_ms("d"), -1);
    EXPECT_EQ(Run(server, "SORT l STORE l"), Integer(6));
    EXPECT_EQ(RowOf(server, "LRANGE l 0 -1"), "-5 1 2 2 3 10");
    EXPECT_EQ(Run(server, "SORT s STORE s DESC"), Integer(5));
    EXPECT_EQ(RowOf(server, "LRANGE s 0 -1"), "5 4 3 2 1");
    server.TakeEvents();
    EXPECT_EQ(Run(server, "SORT l LIMIT 0 0 STORE d"), Integer(0));
    EXPECT_EQ(server.TakeEvents(), (Lines{"del d"}));
    EXPECT_EQ(server.last_dirty(), 1);
    EXPECT_EQ(Run(server, "SORT none STORE d"), Integer(0));
    EXPECT_EQ(server.last_dirty(), 0);
    EXPECT_EQ(Run(server, "SORT l STORE d STORE text"), Integer(6));
    EXPECT_EQ(Run(server, "EXISTS d"), Integer(0));
    EXPECT_EQ(Run(server, "TYPE text"), "+list\r\n");
    EXPECT_EQ(Run(server, "SORT texts STORE d"), kNoNumber);
    server.Validate();
  }
}

TEST(sort_counts_lookups_and_drops_expired_keys) {
  TestServer server(4);
  server.Run({"RPUSH", "l", "1", "2"});
  server.Run({"MSET", "w_1", "5", "w_2", "4"});
  server.Run({"PEXPIRE", "w_2", "10"});
  server.AdvanceMs(20);
  EXPECT_EQ(RowOf(server, "SORT l BY w_* GET w_*"), "- 5");
  EXPECT_EQ(server.Run({"DBSIZE"}), Integer(2));
}

// ---- Where it runs ----

TEST(sort_runs_where_its_keys_may_be) {
  TestServer server(8);
  const auto route = [&](std::string_view line) {
    const Lines words = Words(line);
    const std::vector<std::string_view> args(words.begin(), words.end());
    engine::Route result;
    Handlers().Find(FindCommand(args[0])->id).router(server.engine(), args, &result);
    return result;
  };
  using Positions = std::vector<uint32_t>;
  EXPECT_TRUE(route("SORT l").runs == Runs::kKeys);
  EXPECT_TRUE(route("SORT l").key_positions == Positions{1});
  EXPECT_TRUE((route("SORT l BY nosort GET # STORE d").key_positions == Positions{1, 7}));
  EXPECT_TRUE((route("SORT l STORE a STORE b").key_positions == Positions{1, 5}));
  EXPECT_TRUE(route("SORT l BY w_*").runs == Runs::kAllShards);
  EXPECT_TRUE(route("SORT l GET # GET w_*->f").runs == Runs::kAllShards);
  EXPECT_TRUE(route("SORT_RO l BY w_*").runs == Runs::kAllShards);
  EXPECT_TRUE(route("SORT l BY nosort BY w_*").runs == Runs::kKeys);
  EXPECT_TRUE(route("SORT l FOO").runs == Runs::kConnection);
  EXPECT_TRUE(route("SORT l LIMIT a 1 BY w_*").runs == Runs::kConnection);
  EXPECT_TRUE(route("SORT_RO l STORE d").runs == Runs::kConnection);
}

// ---- Random lines against a twin ----

struct Element {
  std::string text;
  double weight;
};

TEST(sort_behaves_like_a_comparison_sort) {
  Random random(test::Seed());
  for (int round = 0; round < 40; round++) {
    TestServer server(random.OneIn(2) ? 1 : 8);
    const size_t size = random.Below(random.OneIn(3) ? 1500 : 40);
    std::vector<Element> elements;
    Lines push = {"RPUSH", "l"};
    for (size_t i = 0; i < size; i++) {
      const int64_t number = random.Between(-300, 300);
      const std::string text =
          random.OneIn(4) ? std::to_string(number) + ".5" : std::to_string(number);
      elements.push_back({text, std::stod(text)});
      push.push_back(text);
      if (!random.OneIn(5)) server.Run({"SET", "w:" + text, std::to_string(std::stod(text) * -1)});
    }
    if (size > 0) RunWords(server, push);
    const bool is_alpha = random.OneIn(3);
    const bool is_descending = random.OneIn(2);
    const bool has_by = !is_alpha && random.OneIn(2);
    if (has_by) {
      for (Element& element : elements) {
        const std::string reply = server.Run({"GET", "w:" + element.text});
        element.weight = reply == "$-1\r\n" ? 0 : -element.weight;
      }
    }
    std::sort(elements.begin(), elements.end(), [&](const Element& a, const Element& b) {
      if (!is_alpha && a.weight != b.weight) return a.weight < b.weight;
      return a.text < b.text;
    });
    if (is_descending) std::reverse(elements.begin(), elements.end());
    const int64_t start = random.Between(-3, static_cast<int64_t>(size) + 3);
    const int64_t count = random.Between(-3, static_cast<int64_t>(size) + 3);
    Lines words = {"SORT", "l", "LIMIT", std::to_string(start), std::to_string(count)};
    if (is_alpha) words.push_back("ALPHA");
    if (is_descending) words.push_back("DESC");
    if (has_by) words.insert(words.end(), {"BY", "w:*"});
    std::string expected;
    const int64_t first = std::max<int64_t>(start, 0);
    for (int64_t i = first; i < static_cast<int64_t>(size) && (count < 0 || i < first + count);
         i++) {
      if (i > first) expected += ' ';
      expected += elements[static_cast<size_t>(i)].text;
    }
    ASSERT_EQ(Row(RunWords(server, words)), expected);
  }
}

}  // namespace
}  // namespace sherd
