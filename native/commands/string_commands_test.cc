// Strings: answers recorded from redis-server, encodings by history, effects and events, and random
// streams against a naive map on 1 and 8 shards (string_model_test.cc).
#include <string>
#include <vector>

#include "commands/test_util.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::Bulk;
using test::Error;
using test::Integer;
using test::TestServer;
using Lines = std::vector<std::string>;
using std::string_view_literals::operator""sv;

constexpr const char* kOk = "+OK\r\n";
constexpr const char* kNil = "$-1\r\n";

std::string Joined(const Lines& lines) {
  std::string text;
  for (const std::string& line : lines) text.append(text.empty() ? "" : ", ").append(line);
  return text;
}

// A key of another type than string. No command makes one yet, so the entry's type is overwritten;
// its bytes stay those of a string, so it must be turned back before the server goes.
class ForeignKey {
 public:
  ForeignKey(TestServer& server, std::string_view name) : server_(server), name_(name) {
    server.Run({"SET", name, "some bytes"});
    SetType(engine::Type::kList);
  }
  ~ForeignKey() { SetType(engine::Type::kString); }

 private:
  void SetType(engine::Type type) {
    const engine::Key key = server_.engine().MakeKey(name_);
    const engine::Handle handle = server_.engine().keyspace(key.shard).Find(0, key);
    CHECK(handle);
    handle.entry()->SetType(type, engine::Encoding::kEmbStr);
  }
  TestServer& server_;
  std::string_view name_;
};

TEST(string_set_and_get) {
  TestServer server;
  EXPECT_EQ(server.Run({"GET", "k"}), kNil);
  EXPECT_EQ(server.Run({"SET", "k", "v"}), kOk);
  EXPECT_EQ(server.Run({"GET", "k"}), Bulk("v"));
  EXPECT_EQ(server.Run({"SET", "k", ""}), kOk);
  EXPECT_EQ(server.Run({"GET", "k"}), Bulk(""));
  EXPECT_EQ(server.Run({"SET", "", "a\r\n\0b"sv}), kOk);
  EXPECT_EQ(server.Run({"GET", ""}), Bulk("a\r\n\0b"sv));
  server.session.resp = 3;
  EXPECT_EQ(server.Run({"GET", "none"}), "_\r\n");
}

TEST(string_set_conditions) {
  TestServer server;
  EXPECT_EQ(server.Run({"SET", "k", "a", "XX"}), kNil);
  EXPECT_EQ(server.Run({"GET", "k"}), kNil);
  EXPECT_EQ(server.Run({"SET", "k", "a", "nx"}), kOk);
  EXPECT_EQ(server.Run({"SET", "k", "b", "NX"}), kNil);
  EXPECT_EQ(server.last_dirty(), 0);
  EXPECT_EQ(server.Run({"SET", "k", "c", "NX", "GET"}), Bulk("a"));
  EXPECT_EQ(server.Run({"SET", "k", "d", "XX", "GET"}), Bulk("a"));
  EXPECT_EQ(server.Run({"SET", "k", "e", "GET"}), Bulk("d"));
  EXPECT_EQ(server.Run({"SET", "new", "e", "XX", "GET"}), kNil);
  EXPECT_EQ(server.Run({"GET", "new"}), kNil);
  EXPECT_EQ(server.Run({"SET", "new", "e", "NX", "GET"}), kNil);
  EXPECT_EQ(server.Run({"GET", "new"}), Bulk("e"));
  EXPECT_EQ(server.Run({"SETNX", "new", "f"}), Integer(0));
  EXPECT_EQ(server.Run({"SETNX", "newer", "f"}), Integer(1));
}

TEST(string_set_syntax) {
  TestServer server;
  const std::string syntax = Error("ERR syntax error");
  EXPECT_EQ(server.Run({"SET", "k", "v", "NX", "XX"}), syntax);
  EXPECT_EQ(server.Run({"SET", "k", "v", "XX", "NX"}), syntax);
  EXPECT_EQ(server.Run({"SET", "k", "v", "EX"}), syntax);
  EXPECT_EQ(server.Run({"SET", "k", "v", "EX", "10", "PX", "10"}), syntax);
  EXPECT_EQ(server.Run({"SET", "k", "v", "EX", "10", "KEEPTTL"}), syntax);
  EXPECT_EQ(server.Run({"SET", "k", "v", "PERSIST"}), syntax);
  EXPECT_EQ(server.Run({"SET", "k", "v", "w"}), syntax);
  EXPECT_EQ(server.Run({"SET", "k", "v", "NX", "NX"}), kOk);
  // The same word twice is accepted, and the last one counts.
  EXPECT_EQ(server.Run({"SET", "k", "v", "EX", "10", "ex", "20"}), kOk);
  EXPECT_EQ(server.expiry_ms("k"), server.now_ms() + 20'000);
  EXPECT_EQ(server.Run({"GETEX", "k", "KEEPTTL"}), syntax);
  EXPECT_EQ(server.Run({"GETEX", "k", "PERSIST", "EX", "1"}), syntax);
  EXPECT_EQ(server.Run({"GETEX", "none", "EX"}), syntax);
}

TEST(string_expiry_bounds) {
  TestServer server;
  const auto bad = [](const char* name) {
    return Error(std::string("ERR invalid expire time in '") + name + "' command");
  };
  for (const char* word : {"EX", "PX", "EXAT", "PXAT"}) {
    EXPECT_EQ(server.Run({"SET", "k", "v", word, "0"}), bad("set"));
    EXPECT_EQ(server.Run({"SET", "k", "v", word, "-1"}), bad("set"));
    EXPECT_EQ(server.Run({"SET", "k", "v", word, "x"}),
              Error("ERR value is not an integer or out of range"));
  }
  EXPECT_EQ(server.Run({"SET", "k", "v", "EX", "9223372036854775"}), bad("set"));
  EXPECT_EQ(server.Run({"SET", "k", "v", "PX", "9223372036854775807"}), bad("set"));
  EXPECT_EQ(server.Run({"SET", "k", "v", "EXAT", "9223372036854776"}), bad("set"));
  EXPECT_EQ(server.Run({"SETEX", "k", "0", "v"}), bad("setex"));
  EXPECT_EQ(server.Run({"PSETEX", "k", "-1", "v"}), bad("psetex"));
  EXPECT_EQ(server.Run({"GET", "k"}), kNil);
  EXPECT_EQ(server.Run({"SET", "k", "v", "EXAT", "9223372036854775"}), kOk);
  EXPECT_EQ(server.Run({"SET", "k", "v", "PXAT", "9223372036854775807"}), kOk);
  EXPECT_EQ(server.expiry_ms("k"), INT64_MAX);
  EXPECT_EQ(server.Run({"GETEX", "k", "EX", "0"}), bad("getex"));
  EXPECT_EQ(server.Run({"GETEX", "none", "EX", "0"}), kNil);
}

TEST(string_expiry_passes) {
  TestServer server;
  EXPECT_EQ(server.Run({"SETEX", "k", "10", "v"}), kOk);
  EXPECT_EQ(server.expiry_ms("k"), server.now_ms() + 10'000);
  EXPECT_EQ(server.Run({"SET", "k", "w", "KEEPTTL"}), kOk);
  EXPECT_EQ(server.expiry_ms("k"), server.now_ms() + 10'000);
  server.AdvanceMs(10'001);
  EXPECT_EQ(server.Run({"GET", "k"}), kNil);
  EXPECT_EQ(server.Run({"PSETEX", "k", "10", "v"}), kOk);
  EXPECT_EQ(server.Run({"SET", "k", "v"}), kOk);
  EXPECT_EQ(server.expiry_ms("k"), -1);
  EXPECT_EQ(server.Run({"SET", "k", "v", "PXAT", "1"}), kOk);
  EXPECT_EQ(server.Run({"GET", "k"}), kNil);
  // Counters keep the expiry; GETSET does not.
  server.Run({"SET", "n", "1", "PX", "5000"});
  server.Run({"INCR", "n"});
  server.Run({"INCRBYFLOAT", "n", "1"});
  server.Run({"APPEND", "n", "0"});
  server.Run({"SETRANGE", "n", "0", "9"});
  EXPECT_EQ(server.expiry_ms("n"), server.now_ms() + 5000);
  EXPECT_EQ(server.Run({"GETSET", "n", "1"}), Bulk("90"));
  EXPECT_EQ(server.expiry_ms("n"), -1);
}

TEST(string_getex) {
  TestServer server;
  server.Listen();
  server.Run({"SET", "k", "v"});
  EXPECT_EQ(server.Run({"GETEX", "k"}), Bulk("v"));
  EXPECT_EQ(server.last_dirty(), 0);
  EXPECT_EQ(server.Run({"GETEX", "k", "PERSIST"}), Bulk("v"));
  EXPECT_EQ(server.last_dirty(), 0);
  server.TakeEffects();
  server.TakeEvents();
  EXPECT_EQ(server.Run({"GETEX", "k", "EX", "10"}), Bulk("v"));
  const std::string at = std::to_string(server.now_ms() + 10'000);
  EXPECT_EQ(server.Run({"GETEX", "k", "PERSIST"}), Bulk("v"));
  EXPECT_EQ(server.Run({"GETEX", "k", "PXAT", "1"}), Bulk("v"));
  EXPECT_EQ(server.Run({"GETEX", "k"}), kNil);
  EXPECT_EQ(Joined(server.TakeEffects()), "PEXPIREAT k " + at + ", PERSIST k, DEL k");
  EXPECT_EQ(Joined(server.TakeEvents()), "expire k, persist k, del k, keymiss k");
  // A moment that is now has passed.
  server.Run({"SET", "k", "v"});
  EXPECT_EQ(server.Run({"GETEX", "k", "PXAT", std::to_string(server.now_ms())}), Bulk("v"));
  EXPECT_EQ(server.encoding("k"), "");
}

TEST(string_encodings_follow_history) {
  TestServer server;
  const std::string x44(44, 'x');
  const std::string x45(45, 'x');
  const auto after = [&](std::initializer_list<std::string_view> line) {
    server.Run(line);
    return server.encoding("k");
  };
  EXPECT_EQ(after({"SET", "k", "1"}), "int");
  EXPECT_EQ(after({"SET", "k", "-9223372036854775808"}), "int");
  EXPECT_EQ(after({"SET", "k", "9223372036854775808"}), "embstr");
  EXPECT_EQ(after({"SET", "k", "01"}), "embstr");
  EXPECT_EQ(after({"SET", "k", x44}), "embstr");
  EXPECT_EQ(after({"SET", "k", x45}), "raw");
  EXPECT_EQ(after({"SETRANGE", "k", "0", ""}), "raw");
  EXPECT_EQ(after({"GETSET", "k", "12"}), "int");
  EXPECT_EQ(after({"SETRANGE", "k", "5", ""}), "int");
  EXPECT_EQ(after({"APPEND", "k", ""}), "raw");
  EXPECT_EQ(after({"INCR", "k"}), "int");
  EXPECT_EQ(after({"INCRBYFLOAT", "k", "1"}), "embstr");
  EXPECT_EQ(after({"INCRBYFLOAT", "k", "1e60"}), "raw");
  EXPECT_EQ(after({"SET", "k", "5"}), "int");
  EXPECT_EQ(after({"SETRANGE", "k", "0", "7"}), "raw");
  EXPECT_EQ(after({"DECR", "k"}), "int");
  EXPECT_EQ(server.Run({"GET", "k"}), Bulk("6"));
  EXPECT_EQ(after({"GETDEL", "k"}), "");
  EXPECT_EQ(after({"SETRANGE", "k", "0", "7"}), "raw");
  server.Run({"GETDEL", "k"});
  EXPECT_EQ(after({"APPEND", "k", "7"}), "int");
  server.Run({"GETDEL", "k"});
  EXPECT_EQ(after({"APPEND", "k", "abc"}), "embstr");
  EXPECT_EQ(after({"MSET", "k", "8"}), "int");
}

TEST(string_getdel_propagates_how_it_deletes) {
  TestServer server;
  server.Listen();
  for (const bool is_lazy : {false, true}) {
    server.engine().options().lazyfree_lazy_user_del.Set(is_lazy ? 1 : 0);
    server.Run({"SET", "k", "x"});
    server.TakeEffects();
    EXPECT_EQ(server.Run({"GETDEL", "k"}), Bulk("x"));
    EXPECT_TRUE(server.TakeEffects() == std::vector<std::string>{is_lazy ? "UNLINK k" : "DEL k"});
  }
}

TEST(string_several_keys) {
  for (const int shards : {1, 8}) {
    TestServer server(shards);
    EXPECT_EQ(server.Run({"MSET", "a", "1", "b", "2", "a", "3"}), kOk);
    EXPECT_EQ(server.Run({"MGET", "a", "none", "b", "a"}),
              "*4\r\n" + Bulk("3") + kNil + Bulk("2") + Bulk("3"));
    EXPECT_EQ(server.Run({"MSETNX", "c", "1", "a", "2"}), Integer(0));
    EXPECT_EQ(server.Run({"GET", "c"}), kNil);
    EXPECT_EQ(server.Run({"MSETNX", "c", "1", "c", "2"}), Integer(1));
    EXPECT_EQ(server.last_dirty(), 2);
    EXPECT_EQ(server.Run({"GET", "c"}), Bulk("2"));
    EXPECT_EQ(server.Run({"MSET", "a", "1", "b"}),
              Error("ERR wrong number of arguments for 'mset' command"));
    EXPECT_EQ(server.Run({"MSETNX", "a", "1", "b"}),
              Error("ERR wrong number of arguments for 'msetnx' command"));
  }
}

TEST(string_ranges) {
  TestServer server;
  server.Run({"SET", "k", "Hello World"});
  const auto range = [&](std::string_view start, std::string_view end) {
    return server.Run({"GETRANGE", "k", start, end});
  };
  EXPECT_EQ(range("0", "4"), Bulk("Hello"));
  EXPECT_EQ(range("-5", "-1"), Bulk("World"));
  EXPECT_EQ(range("0", "-1"), Bulk("Hello World"));
  EXPECT_EQ(range("-100", "2"), Bulk("Hel"));
  EXPECT_EQ(range("-100", "-50"), Bulk("H"));
  EXPECT_EQ(range("-50", "-100"), Bulk(""));
  EXPECT_EQ(range("5", "2"), Bulk(""));
  EXPECT_EQ(range("11", "20"), Bulk(""));
  EXPECT_EQ(range("-9223372036854775808", "9223372036854775807"), Bulk("Hello World"));
  EXPECT_EQ(range("9223372036854775808", "0"),
            Error("ERR value is not an integer or out of range"));
  EXPECT_EQ(server.Run({"SUBSTR", "none", "0", "1"}), Bulk(""));
  EXPECT_EQ(server.Run({"STRLEN", "k"}), Integer(11));
  EXPECT_EQ(server.Run({"STRLEN", "none"}), Integer(0));
  EXPECT_EQ(server.Run({"SETRANGE", "k", "6", "Sherd"}), Integer(11));
  EXPECT_EQ(server.Run({"GET", "k"}), Bulk("Hello Sherd"));
  EXPECT_EQ(server.Run({"SETRANGE", "p", "3", "x"}), Integer(4));
  EXPECT_EQ(server.Run({"GET", "p"}), Bulk("\0\0\0x"sv));
  EXPECT_EQ(server.Run({"SETRANGE", "none", "536870912", ""}), Integer(0));
  EXPECT_EQ(server.Run({"GET", "none"}), kNil);
  EXPECT_EQ(server.Run({"SETRANGE", "k", "-1", "x"}), Error("ERR offset is out of range"));
  const std::string too_long =
      Error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
  EXPECT_EQ(server.Run({"SETRANGE", "k", "536870911", "xx"}), too_long);
  EXPECT_EQ(server.Run({"SETRANGE", "k", "9223372036854775807", "x"}), too_long);
  server.engine().options().proto_max_bulk_len.Set(12);
  EXPECT_EQ(server.Run({"APPEND", "k", "xx"}), too_long);
  EXPECT_EQ(server.Run({"APPEND", "k", "x"}), Integer(12));
}

// A reply that refers to a large value must keep its bytes whatever happens to the key afterwards.
TEST(string_large_replies_outlive_changes) {
  TestServer server;
  const std::string large(100'000, 'a');
  const std::vector<std::vector<std::string_view>> changes = {
      {"APPEND", "k", "tail"}, {"SETRANGE", "k", "0", "head"}, {"SET", "k", "x"}, {"GETDEL", "k"}};
  for (const auto& change : changes) {
    server.Run({"SET", "k", large});
    resp::OutputBuffer whole;
    resp::OutputBuffer part;
    server.RunInto(&whole, std::vector<std::string_view>{"GET", "k"});
    server.RunInto(&part, std::vector<std::string_view>{"GETRANGE", "k", "1", "50000"});
    server.RunLine(change);
    EXPECT_TRUE(TestServer::Bytes(whole) == Bulk(large));
    EXPECT_TRUE(TestServer::Bytes(part) == Bulk(large.substr(1, 50'000)));
  }
  EXPECT_TRUE(server.Run({"SET", "k", large, "GET"}) == kNil);
  EXPECT_TRUE(server.Run({"GETDEL", "k"}) == Bulk(large));
}

TEST(string_counters) {
  TestServer server;
  const std::string overflow = Error("ERR increment or decrement would overflow");
  const std::string not_integer = Error("ERR value is not an integer or out of range");
  EXPECT_EQ(server.Run({"INCR", "n"}), Integer(1));
  EXPECT_EQ(server.Run({"DECRBY", "n", "11"}), Integer(-10));
  EXPECT_EQ(server.Run({"INCRBY", "n", "-9223372036854775807"}), overflow);
  EXPECT_EQ(server.Run({"DECRBY", "n", "-9223372036854775808"}),
            Error("ERR decrement would overflow"));
  EXPECT_EQ(server.Run({"SET", "n", "9223372036854775807"}), kOk);
  EXPECT_EQ(server.Run({"INCR", "n"}), overflow);
  EXPECT_EQ(server.Run({"DECR", "n"}), Integer(9223372036854775806));
  for (const char* text : {"", "1 ", " 1", "+1", "01", "1.0", "9223372036854775808"}) {
    server.Run({"SET", "n", text});
    EXPECT_EQ(server.Run({"INCR", "n"}), not_integer);
    EXPECT_EQ(server.Run({"GET", "n"}), Bulk(text));
  }
  EXPECT_EQ(server.Run({"INCRBY", "none", "1.5"}), not_integer);
  EXPECT_EQ(server.Run({"GET", "none"}), kNil);
}

TEST(string_float_counter) {
  TestServer server;
  const std::string not_float = Error("ERR value is not a valid float");
  EXPECT_EQ(server.Run({"INCRBYFLOAT", "f", "10.50"}), Bulk("10.5"));
  EXPECT_EQ(server.Run({"INCRBYFLOAT", "f", "0.1"}), Bulk("10.6"));
  EXPECT_EQ(server.Run({"INCRBYFLOAT", "f", "-10.6"}), Bulk("0"));
  server.Run({"SET", "f", "3.0e3"});
  EXPECT_EQ(server.Run({"INCRBYFLOAT", "f", "200"}), Bulk("3200"));
  EXPECT_EQ(server.Run({"INCRBYFLOAT", "f", "nan"}), not_float);
  EXPECT_EQ(server.Run({"INCRBYFLOAT", "f", "abc"}), not_float);
  EXPECT_EQ(server.Run({"INCRBYFLOAT", "f", "inf"}),
            Error("ERR increment would produce NaN or Infinity"));
  EXPECT_EQ(server.Run({"GET", "f"}), Bulk("3200"));
  server.Run({"SET", "f", ""});
  EXPECT_EQ(server.Run({"INCRBYFLOAT", "f", "1"}), not_float);
}

TEST(string_wrong_type) {
  TestServer server;
  const ForeignKey foreign(server, "l");
  const std::vector<std::vector<std::string_view>> lines = {{"GET", "l"},
                                                            {"GETSET", "l", "v"},
                                                            {"GETDEL", "l"},
                                                            {"GETEX", "l"},
                                                            {"GETEX", "l", "EX", "0"},
                                                            {"SET", "l", "v", "GET"},
                                                            {"STRLEN", "l"},
                                                            {"APPEND", "l", "v"},
                                                            {"SETRANGE", "l", "1", "v"},
                                                            {"SETRANGE", "l", "1", ""},
                                                            {"GETRANGE", "l", "0", "1"},
                                                            {"INCR", "l"},
                                                            {"INCRBYFLOAT", "l", "x"},
                                                            {"SET", "l", "v", "NX", "GET"}};
  for (const auto& line : lines) {
    EXPECT_EQ(server.RunLine(line),
              Error("WRONGTYPE Operation against a key holding the wrong kind of value"));
  }
  // Arguments are looked at first by these, and MGET knows no wrong type.
  EXPECT_EQ(server.Run({"SET", "l", "v", "GET", "EX", "0"}),
            Error("ERR invalid expire time in 'set' command"));
  EXPECT_EQ(server.Run({"SETRANGE", "l", "-1", "v"}), Error("ERR offset is out of range"));
  EXPECT_EQ(server.Run({"INCRBY", "l", "x"}), Error("ERR value is not an integer or out of range"));
  EXPECT_EQ(server.Run({"MGET", "l"}), "*1\r\n$-1\r\n");
}

TEST(string_effects_and_events) {
  TestServer server;
  server.Listen();
  const std::string at = std::to_string(server.now_ms() + 1000);
  const auto effects_of = [&](std::initializer_list<std::string_view> line) {
    server.Run(line);
    return Joined(server.TakeEffects());
  };
  EXPECT_EQ(effects_of({"SET", "k", "v"}), "SET k v");
  EXPECT_EQ(effects_of({"SET", "k", "v", "EX", "1"}), "SET k v PXAT " + at);
  EXPECT_EQ(effects_of({"SET", "k", "v", "KEEPTTL", "GET"}), "SET k v KEEPTTL");
  EXPECT_EQ(effects_of({"SET", "k", "v", "NX"}), "");
  EXPECT_EQ(effects_of({"SETEX", "k", "1", "v"}), "SET k v PXAT " + at);
  EXPECT_EQ(effects_of({"PSETEX", "k", "1000", "v"}), "SET k v PXAT " + at);
  EXPECT_EQ(effects_of({"GETSET", "k", "1"}), "SET k 1");
  EXPECT_EQ(effects_of({"INCR", "k"}), "INCR k");
  EXPECT_EQ(effects_of({"INCRBYFLOAT", "k", "1"}), "SET k 3 KEEPTTL");
  EXPECT_EQ(effects_of({"GETDEL", "k"}), "DEL k");
  EXPECT_EQ(effects_of({"GETDEL", "k"}), "");
  EXPECT_EQ(effects_of({"APPEND", "k", "x"}), "APPEND k x");
  EXPECT_EQ(effects_of({"SETRANGE", "k", "9", ""}), "");
  EXPECT_EQ(effects_of({"SETRANGE", "k", "1", "y"}), "SETRANGE k 1 y");
  EXPECT_EQ(Joined(server.TakeEvents()),
            "new k, set k, set k, expire k, set k, set k, expire k, set k, expire k, set k, "
            "incrby k, incrbyfloat k, del k, keymiss k, new k, append k, setrange k");
}

TEST(string_hits_and_misses) {
  TestServer server;
  server.Run({"SET", "k", "1"});
  server.Run({"INCR", "k"});
  server.Run({"APPEND", "k", "1"});
  EXPECT_EQ(server.counters().keyspace_hits.Get() + server.counters().keyspace_misses.Get(), 0u);
  server.Run({"MGET", "k", "none"});
  server.Run({"GETSET", "k", "1"});
  server.Run({"SET", "none", "1", "GET"});
  EXPECT_EQ(server.counters().keyspace_hits.Get(), 2u);
  EXPECT_EQ(server.counters().keyspace_misses.Get(), 2u);
}

}  // namespace
}  // namespace sherd
