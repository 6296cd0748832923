// Lists through their commands: replies in both protocols, errors and the order of checks, encodings,
// events and effects, on one shard and on several. Replies were asked of redis-server 7.0; encodings and
// what else is newer are those of 7.2. Builder, iteration and a naive twin: list_model_test.cc.
#include <string>
#include <string_view>
#include <vector>

#include "commands/test_util.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::Bulk;
using test::Error;
using test::Integer;
using test::TestServer;
using Words = std::vector<std::string>;

constexpr const char* kOk = "+OK\r\n";
constexpr const char* kNotInteger = "ERR value is not an integer or out of range";
constexpr const char* kSyntax = "ERR syntax error";
constexpr const char* kWrongType = "WRONGTYPE Operation against a key holding the wrong kind of value";
constexpr const char* kNotPositive = "ERR value is out of range, must be positive";

std::string Array(const Words& elements) {
  std::string reply = "*" + std::to_string(elements.size()) + "\r\n";
  for (const std::string& element : elements) reply += Bulk(element);
  return reply;
}

/// Runs a line of words with a space between them.
std::string Run(TestServer& server, std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const size_t end = std::min(line.find(' '), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return server.RunLine(words);
}

std::string All(TestServer& server, std::string_view key) {
  return server.Run({"LRANGE", key, "0", "-1"});
}

TEST(list_push_and_pop) {
  TestServer server;
  EXPECT_EQ(Run(server, "RPUSH l a b 3"), Integer(3));
  EXPECT_EQ(Run(server, "LPUSH l x y"), Integer(5));
  EXPECT_EQ(All(server, "l"), Array({"y", "x", "a", "b", "3"}));
  EXPECT_EQ(server.encoding("l"), "listpack");
  EXPECT_EQ(Run(server, "LPUSHX l h"), Integer(6));
  EXPECT_EQ(Run(server, "RPUSHX l t"), Integer(7));
  EXPECT_EQ(Run(server, "LPUSHX none h"), Integer(0));
  EXPECT_EQ(Run(server, "RPUSHX none h"), Integer(0));
  EXPECT_EQ(Run(server, "LPOP l"), Bulk("h"));
  EXPECT_EQ(Run(server, "RPOP l"), Bulk("t"));
  EXPECT_EQ(Run(server, "RPOP l 2"), Array({"3", "b"}));
  EXPECT_EQ(Run(server, "LPOP l 100"), Array({"y", "x", "a"}));
  EXPECT_EQ(server.encoding("l"), "");
  EXPECT_EQ(Run(server, "LPOP l"), "$-1\r\n");
  EXPECT_EQ(Run(server, "LPOP l 1"), "*-1\r\n");
  EXPECT_EQ(Run(server, "LLEN l"), Integer(0));
  server.session.resp = 3;
  EXPECT_EQ(Run(server, "RPOP l"), "_\r\n");
  EXPECT_EQ(Run(server, "RPOP l 1"), "_\r\n");
  server.Validate();
}

// ---- Errors and edges ----

struct ErrorCase {
  const char* line;
  const char* error;
};

constexpr const char* kNotNegatable =
    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";

constexpr ErrorCase kErrorCases[] = {
    {"LPOP l 1 2", "ERR wrong number of arguments for 'lpop' command"},
    {"RPOP s 1 2", "ERR wrong number of arguments for 'rpop' command"},
    {"LPOP s -1", kNotPositive},
    {"LPOP none foo", kNotPositive},
    {"RPOP l 9223372036854775808", kNotPositive},
    {"LPUSH s x", kWrongType},
    {"LPUSHX s x", kWrongType},
    {"LLEN s", kWrongType},
    {"LINDEX s foo", kWrongType},
    {"LINDEX l foo", kNotInteger},
    {"LINDEX l 1.0", kNotInteger},
    {"LRANGE s foo 1", kNotInteger},
    {"LRANGE none 1 +1", kNotInteger},
    {"LRANGE s 0 1", kWrongType},
    {"LTRIM none foo 1", kNotInteger},
    {"LTRIM s 0 1", kWrongType},
    {"LSET none foo x", "ERR no such key"},
    {"LSET s foo x", kWrongType},
    {"LSET l foo x", kNotInteger},
    {"LSET l 3 x", "ERR index out of range"},
    {"LSET l -4 x", "ERR index out of range"},
    {"LSET l 4294967296 x", "ERR index out of range"},
    {"LINSERT s foo a b", kSyntax},
    {"LINSERT s before a b", kWrongType},
    {"LREM s foo a", kNotInteger},
    {"LREM s 1 a", kWrongType},
    {"LREM l -9223372036854775808 a", kNotNegatable},
    {"LPOS s a RANK 0",
     "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use "
     "negative to start from the end of the list"},
    {"LPOS s a RANK -9223372036854775808", kNotNegatable},
    {"LPOS s a RANK x", kNotInteger},
    {"LPOS s a COUNT -1", "ERR COUNT can't be negative"},
    {"LPOS s a COUNT x", "ERR COUNT can't be negative"},
    {"LPOS s a MAXLEN -1", "ERR MAXLEN can't be negative"},
    {"LPOS s a COUNT", kSyntax},
    {"LPOS s a FOO 1", kSyntax},
    {"LPOS s a COUNT 1", kWrongType},
    {"LMOVE s none up left", kSyntax},
    {"LMOVE s none left up", kSyntax},
    {"LMOVE s none left right", kWrongType},
    {"LMOVE l s left right", kWrongType},
    {"RPOPLPUSH s l", kWrongType},
    {"LMPOP 0 l left", "ERR numkeys should be greater than 0"},
    {"LMPOP x l left", "ERR numkeys should be greater than 0"},
    {"LMPOP 2 l left", kSyntax},
    {"LMPOP 9223372036854775807 l left", kSyntax},
    {"LMPOP 1 l up", kSyntax},
    {"LMPOP 1 l left count", kSyntax},
    {"LMPOP 1 l left count 0", "ERR count should be greater than 0"},
    {"LMPOP 1 l left count 1 count 1", kSyntax},
    {"LMPOP 1 l left foo", kSyntax},
    {"LMPOP 2 s l left", kWrongType},
};

TEST(list_errors_come_in_redis_order) {
  TestServer server;
  Run(server, "RPUSH l a b c");
  Run(server, "SET s x");
  for (const ErrorCase& item : kErrorCases) {
    EXPECT_EQ(item.line + Run(server, item.line), item.line + Error(item.error));
  }
  EXPECT_EQ(All(server, "l"), Array({"a", "b", "c"}));
  // What is not looked at when there is no key.
  EXPECT_EQ(Run(server, "LINDEX none foo"), "$-1\r\n");
  EXPECT_EQ(Run(server, "LMOVE none s left left"), "$-1\r\n");
}

TEST(list_edge_numbers) {
  TestServer server;
  Run(server, "RPUSH l a b c");
  for (const char* bad : {"", "1 ", " 1", "+1", "01", "1e3", "nan", "inf", "9223372036854775808",
                          "-9223372036854775809"}) {
    for (const char* name : {"LRANGE", "LTRIM"}) {
      EXPECT_EQ(server.Run({name, "l", bad, "1"}), Error(kNotInteger));
      EXPECT_EQ(server.Run({name, "l", "1", bad}), Error(kNotInteger));
    }
    EXPECT_EQ(server.Run({"LINDEX", "l", bad}), Error(kNotInteger));
    EXPECT_EQ(server.Run({"LSET", "l", bad, "x"}), Error(kNotInteger));
    EXPECT_EQ(server.Run({"LREM", "l", bad, "x"}), Error(kNotInteger));
    EXPECT_EQ(server.Run({"LPOP", "l", bad}), Error(kNotPositive));
  }
  for (const char* far : {"2147483647", "2147483648", "9007199254740993", "9223372036854775807"}) {
    const std::string below = std::string("-") + far;
    EXPECT_EQ(server.Run({"LRANGE", "l", below, far}), Array({"a", "b", "c"}));
    EXPECT_EQ(server.Run({"LRANGE", "l", far, below}), "*0\r\n");
    EXPECT_EQ(server.Run({"LINDEX", "l", far}), "$-1\r\n");
    EXPECT_EQ(server.Run({"LINDEX", "l", below}), "$-1\r\n");
    EXPECT_EQ(server.Run({"LTRIM", "l", below, far}), kOk);
    EXPECT_EQ(server.Run({"LREM", "l", below, "z"}), Integer(0));
    EXPECT_EQ(server.Run({"LPOS", "l", "b", "RANK", far}), "$-1\r\n");
    EXPECT_EQ(server.Run({"LPOS", "l", "b", "COUNT", far, "MAXLEN", far}), "*1\r\n:1\r\n");
  }
  EXPECT_EQ(Run(server, "LRANGE l -9223372036854775808 9223372036854775807"), Array({"a", "b", "c"}));
  EXPECT_EQ(Run(server, "RPOP l 9223372036854775807"), Array({"c", "b", "a"}));
}

// ---- In all forms ----

/// Runs `body` with all lists in each form: as short ones are, as quicklists of nodes of one or two
/// elements, and compressed; on one shard and on several; in both protocols.
template <class Body>
void InAllForms(Body body) {
  constexpr struct {
    int fill;
    int depth;
  } kForms[] = {{-2, 0}, {1, 0}, {2, 1}, {0, 0}};
  for (const int shards : {1, 8}) {
    for (const int resp : {2, 3}) {
      for (const auto& form : kForms) {
        TestServer server(shards);
        server.engine().options().list_max_listpack_size.Set(form.fill);
        server.engine().options().list_compress_depth.Set(form.depth);
        server.session.resp = resp;
        body(server);
        server.Validate();
      }
    }
  }
}

TEST(list_ranges_and_indexes) {
  InAllForms([](TestServer& server) {
    Run(server, "RPUSH l 0 one 2 three 4 five");
    EXPECT_EQ(Run(server, "LRANGE l 1 -2"), Array({"one", "2", "three", "4"}));
    EXPECT_EQ(Run(server, "LRANGE l -100 1"), Array({"0", "one"}));
    EXPECT_EQ(Run(server, "LRANGE l 5 100"), Array({"five"}));
    EXPECT_EQ(Run(server, "LRANGE l 6 7"), "*0\r\n");
    EXPECT_EQ(Run(server, "LRANGE l 3 2"), "*0\r\n");
    EXPECT_EQ(Run(server, "LRANGE none 0 -1"), "*0\r\n");
    EXPECT_EQ(Run(server, "LINDEX l 0"), Bulk("0"));
    EXPECT_EQ(Run(server, "LINDEX l -1"), Bulk("five"));
    EXPECT_EQ(Run(server, "LINDEX l 3"), Bulk("three"));
    EXPECT_EQ(Run(server, "LSET l -2 four"), kOk);
    EXPECT_EQ(Run(server, "LSET l 0 zero"), kOk);
    EXPECT_EQ(All(server, "l"), Array({"zero", "one", "2", "three", "four", "five"}));
    EXPECT_EQ(Run(server, "LTRIM l 1 -2"), kOk);
    EXPECT_EQ(All(server, "l"), Array({"one", "2", "three", "four"}));
    EXPECT_EQ(Run(server, "LTRIM l 3 2"), kOk);
    EXPECT_EQ(Run(server, "LLEN l"), Integer(0));
  });
}

TEST(list_insert_and_remove) {
  InAllForms([](TestServer& server) {
    Run(server, "RPUSH l a b a c a 7");
    EXPECT_EQ(Run(server, "LINSERT l BEFORE a x"), Integer(7));
    EXPECT_EQ(Run(server, "LINSERT l after 7 y"), Integer(8));
    EXPECT_EQ(Run(server, "LINSERT l after nope y"), Integer(-1));
    EXPECT_EQ(Run(server, "LINSERT none after nope y"), Integer(0));
    EXPECT_EQ(All(server, "l"), Array({"x", "a", "b", "a", "c", "a", "7", "y"}));
    EXPECT_EQ(Run(server, "LREM l -2 a"), Integer(2));
    EXPECT_EQ(All(server, "l"), Array({"x", "a", "b", "c", "7", "y"}));
    EXPECT_EQ(Run(server, "LREM l 0 7"), Integer(1));
    EXPECT_EQ(Run(server, "LREM l 1 z"), Integer(0));
    for (const char* rest : {"x", "a", "b", "c", "y"}) {
      EXPECT_EQ(server.Run({"LREM", "l", "5", rest}), Integer(1));
    }
    EXPECT_EQ(Run(server, "EXISTS l"), Integer(0));
  });
}

TEST(list_positions) {
  InAllForms([](TestServer& server) {
    const std::string null = server.session.resp == 2 ? "$-1\r\n" : "_\r\n";
    Run(server, "RPUSH l a b c 1 2 3 c c");
    EXPECT_EQ(Run(server, "LPOS l c"), Integer(2));
    EXPECT_EQ(Run(server, "LPOS l 3"), Integer(5));
    EXPECT_EQ(Run(server, "LPOS l c RANK 2"), Integer(6));
    EXPECT_EQ(Run(server, "LPOS l c RANK -1"), Integer(7));
    EXPECT_EQ(Run(server, "LPOS l c RANK 4"), null);
    EXPECT_EQ(Run(server, "LPOS l c COUNT 2"), "*2\r\n:2\r\n:6\r\n");
    EXPECT_EQ(Run(server, "LPOS l c COUNT 0 RANK -2"), "*2\r\n:6\r\n:2\r\n");
    EXPECT_EQ(Run(server, "LPOS l c COUNT 0 MAXLEN 7"), "*2\r\n:2\r\n:6\r\n");
    EXPECT_EQ(Run(server, "LPOS l c MAXLEN 2"), null);
    EXPECT_EQ(Run(server, "LPOS l c MAXLEN 1 RANK -1"), Integer(7));
    EXPECT_EQ(Run(server, "LPOS l z COUNT 0"), "*0\r\n");
    EXPECT_EQ(Run(server, "LPOS none z COUNT 0"), "*0\r\n");
    EXPECT_EQ(Run(server, "LPOS none z"), null);
  });
}

TEST(list_moves) {
  InAllForms([](TestServer& server) {
    Run(server, "RPUSH src a 2 c");
    EXPECT_EQ(Run(server, "RPOPLPUSH src dst"), Bulk("c"));
    EXPECT_EQ(Run(server, "LMOVE src dst RIGHT right"), Bulk("2"));
    EXPECT_EQ(All(server, "dst"), Array({"c", "2"}));
    EXPECT_EQ(Run(server, "LMOVE dst dst LEFT RIGHT"), Bulk("c"));
    EXPECT_EQ(All(server, "dst"), Array({"2", "c"}));
    EXPECT_EQ(Run(server, "LMOVE src src LEFT LEFT"), Bulk("a"));
    EXPECT_EQ(Run(server, "LMOVE src dst LEFT LEFT"), Bulk("a"));
    EXPECT_EQ(Run(server, "EXISTS src"), Integer(0));
    EXPECT_EQ(All(server, "dst"), Array({"a", "2", "c"}));
    EXPECT_EQ(Run(server, "LMPOP 3 none src dst LEFT COUNT 2"), "*2\r\n" + Bulk("dst") + Array({"a", "2"}));
    EXPECT_EQ(Run(server, "LMPOP 1 dst RIGHT"), "*2\r\n" + Bulk("dst") + Array({"c"}));
    EXPECT_EQ(Run(server, "LMPOP 1 dst RIGHT"), server.session.resp == 2 ? "*-1\r\n" : "_\r\n");
  });
}

// ---- Effects ----

TEST(list_events_and_effects) {
  TestServer server(4);
  server.Listen();
  const auto expect = [&](std::string_view line, const Words& events, const Words& effects) {
    Run(server, line);
    const Words seen = server.TakeEvents();
    const Words told = server.TakeEffects();
    EXPECT_MSG(seen == events, "events of " + std::string(line));
    EXPECT_MSG(told == effects, "effects of " + std::string(line));
  };
  const Words none;
  expect("RPUSH l a b c", {"new l", "rpush l"}, {"RPUSH l a b c"});
  EXPECT_EQ(server.last_dirty(), 3);
  expect("LPUSH l x", {"lpush l"}, {"LPUSH l x"});
  expect("LPUSHX none x", none, none);
  expect("LPOP none", none, none);
  expect("LPOP l", {"lpop l"}, {"LPOP l"});
  expect("LPOP l 0", none, none);
  expect("RPOP l 2", {"rpop l"}, {"RPOP l 2"});
  EXPECT_EQ(server.last_dirty(), 2);
  expect("LPOP l 5", {"lpop l", "del l"}, {"LPOP l 5"});
  EXPECT_EQ(server.last_dirty(), 1);
  expect("RPUSH l a b c", {"new l", "rpush l"}, {"RPUSH l a b c"});
  expect("LINSERT l before b x", {"linsert l"}, {"LINSERT l before b x"});
  expect("LINSERT l before z x", none, none);
  expect("LSET l 0 y", {"lset l"}, {"LSET l 0 y"});
  expect("LREM l 0 x", {"lrem l"}, {"LREM l 0 x"});
  expect("LREM l 0 x", none, none);
  expect("LTRIM l 0 -1", {"ltrim l"}, none);
  expect("LTRIM l 0 1", {"ltrim l"}, {"LTRIM l 0 1"});
  expect("LMOVE l m LEFT RIGHT", {"new m", "rpush m", "lpop l"}, {"LMOVE l m LEFT RIGHT"});
  expect("RPOPLPUSH l m", {"lpush m", "rpop l", "del l"}, {"RPOPLPUSH l m"});
  expect("LMOVE m m LEFT RIGHT", {"rpush m", "lpop m"}, {"LMOVE m m LEFT RIGHT"});
  expect("LMPOP 2 l m RIGHT COUNT 1", {"rpop m"}, {"RPOP m 1"});
  expect("LMPOP 2 l m LEFT COUNT 9", {"lpop m", "del m"}, {"LPOP m 1"});
  expect("LTRIM none 0 1", none, none);
  expect("RPUSH l a", {"new l", "rpush l"}, {"RPUSH l a"});
  expect("LREM l 0 a", {"lrem l", "del l"}, {"LREM l 0 a"});
  expect("RPUSH l a", {"new l", "rpush l"}, {"RPUSH l a"});
  expect("LTRIM l 1 0", {"ltrim l", "del l"}, {"LTRIM l 1 0"});
}

TEST(list_expired_keys_do_not_confuse_moves) {
  // Looking up the target deletes it, and the table that the source lies in changes.
  TestServer server;
  for (int round = 0; round < 50; round++) {
    Run(server, "RPUSH src a b");
    const std::string target = "dst" + std::to_string(round);
    server.Run({"RPUSH", target, "old"});
    server.Run({"PEXPIRE", target, "1"});
    server.AdvanceMs(5);
    EXPECT_EQ(server.Run({"LMOVE", "src", target, "LEFT", "RIGHT"}), Bulk("a"));
    EXPECT_EQ(All(server, target), Array({"a"}));
    EXPECT_EQ(server.expiry_ms(target), -1);
    Run(server, "DEL src");
    server.Validate();
  }
}

// ---- Encodings ----

TEST(list_encoding_follows_size_and_count) {
  TestServer server;
  const std::string large(8180, 'x');
  server.Run({"RPUSH", "l", large});  // 7 bytes of an empty listpack and the text: not above 8192
  EXPECT_EQ(server.encoding("l"), "listpack");
  EXPECT_EQ(Run(server, "RPUSH l 123"), Integer(2));
  EXPECT_EQ(server.encoding("l"), "quicklist");
  server.Run({"RPUSH", "big", std::string(9000, 'x')});
  EXPECT_EQ(server.encoding("big"), "quicklist");
  EXPECT_EQ(Run(server, "LPOP l 1"), Array({large}));
  EXPECT_EQ(server.encoding("l"), "listpack");
  // Shrinking happens at half of the limit.
  server.engine().options().list_max_listpack_size.Set(6);
  Run(server, "DEL l");
  Run(server, "RPUSH l a b c d e f");
  EXPECT_EQ(server.encoding("l"), "listpack");
  Run(server, "RPUSH l g");
  EXPECT_EQ(server.encoding("l"), "quicklist");
  Run(server, "RPOP l");
  EXPECT_EQ(server.encoding("l"), "quicklist");
  Run(server, "LPOP l 2");
  EXPECT_EQ(server.encoding("l"), "quicklist");
  Run(server, "LREM l 1 e");
  EXPECT_EQ(All(server, "l"), Array({"c", "d", "f"}));
  EXPECT_EQ(server.encoding("l"), "listpack");
  // LSET counts as an addition first.
  Run(server, "RPUSH l g h i");
  EXPECT_EQ(server.encoding("l"), "listpack");
  Run(server, "LSET l 0 x");
  EXPECT_EQ(server.encoding("l"), "quicklist");
  // LINSERT converts before it looks for the pivot.
  Run(server, "RPUSH m a b c d e f");
  Run(server, "LINSERT m after nope x");
  EXPECT_EQ(server.encoding("m"), "quicklist");
  // Two nodes, however small the list: it stays a quicklist, until one is left.
  Run(server, "RPUSH m g");
  Run(server, "LTRIM m 5 6");
  EXPECT_EQ(server.encoding("m"), "quicklist");
  Run(server, "LTRIM m 1 1");
  EXPECT_EQ(server.encoding("m"), "listpack");
  server.Validate();
}

TEST(list_encoding_of_moved_values) {
  TestServer server;
  server.engine().options().list_max_listpack_size.Set(-1);
  server.Run({"RPUSH", "dst", std::string(4080, 'x')});  // 4091 bytes
  EXPECT_EQ(server.encoding("dst"), "listpack");
  // An integer from a quicklist counts nothing, from a listpack its digits.
  server.Run({"RPUSH", "q", std::string(5000, 'x'), "1234567"});
  EXPECT_EQ(server.encoding("q"), "quicklist");
  Run(server, "LMOVE q dst RIGHT RIGHT");
  EXPECT_EQ(server.encoding("dst"), "listpack");
  Run(server, "RPOP dst");
  Run(server, "RPUSH p 1234567");
  Run(server, "LMOVE p dst RIGHT RIGHT");
  EXPECT_EQ(server.encoding("dst"), "quicklist");
}

TEST(list_debug_commands) {
  TestServer server;
  Run(server, "RPUSH l a 5");
  Run(server, "SET s x");
  EXPECT_EQ(Run(server, "DEBUG LISTPACK none"), Error("ERR no such key"));
  EXPECT_EQ(Run(server, "DEBUG LISTPACK s"), Error("ERR Not a listpack encoded object."));
  EXPECT_EQ(Run(server, "DEBUG QUICKLIST l"), Error("ERR Not a quicklist encoded object."));
  EXPECT_EQ(Run(server, "DEBUG QUICKLIST l 1 2"),
            Error("ERR unknown subcommand or wrong number of arguments for 'QUICKLIST'. Try DEBUG HELP."));
  const std::string threshold =
      Error("ERR argument must be a memory value bigger than 1 and smaller than 4gb");
  for (const char* bad : {"foo", "4gb", "-1", "4294967295", "99999999999999999999", "1x"}) {
    EXPECT_EQ(server.Run({"DEBUG", "QUICKLIST-PACKED-THRESHOLD", bad}), threshold);
  }
  for (const char* good : {"100b", "4095mb", "1", "3k", "0"}) {
    EXPECT_EQ(server.Run({"DEBUG", "QUICKLIST-PACKED-THRESHOLD", good}), kOk);
  }
  server.engine().options().list_max_listpack_size.Set(2);
  Run(server, "RPUSH q aaa bbb ccc");
  const std::string line = Run(server, "DEBUG OBJECT q");
  EXPECT_TRUE(line.find(" encoding:quicklist serializedlength:") != std::string::npos);
  EXPECT_TRUE(line.find(" ql_nodes:2 ql_avg_node:1.50 ql_listpack_max:2 ql_compressed:0 ql_uncompressed_size:29") !=
              std::string::npos);
  EXPECT_TRUE(Run(server, "DEBUG OBJECT l").find(" encoding:listpack ") != std::string::npos);
}

}  // namespace
}  // namespace sherd
