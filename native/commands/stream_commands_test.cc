// Stream commands: replies in both protocols, on one and on several shards; events and effects;
// what Redis 7.2 does otherwise than 7.0 (which the differential test cannot see); edges of ids and
// numbers.
#include <string>
#include <vector>

#include "base/random.h"
#include "commands/test_util.h"
#include "engine/stream_value.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::Bulk;
using test::Error;
using test::Integer;
using test::TestServer;

using Lines = std::vector<std::string>;

const std::string kInvalidId = Error("ERR Invalid stream ID specified as stream command argument");
const std::string kNotInteger = Error("ERR value is not an integer or out of range");

std::string Array(std::initializer_list<std::string> items) {
  std::string reply = "*" + std::to_string(items.size()) + "\r\n";
  for (const std::string& item : items) reply += item;
  return reply;
}
// An entry with one field.
std::string EntryReply(std::string_view id, std::string_view field, std::string_view value) {
  return Array({Bulk(id), Array({Bulk(field), Bulk(value)})});
}

// Entries 1-0 … `count`-0, each with the field "f" and its number as value.
void Fill(TestServer& server, std::string_view key, int count) {
  for (int i = 1; i <= count; i++) {
    const std::string id = std::to_string(i) + "-0";
    const std::string value = std::to_string(i);
    EXPECT_EQ(server.Run({"XADD", key, id, "f", value}), Bulk(id));
  }
}

// ---- XADD ----

TEST(stream_add_makes_ids) {
  TestServer server;
  const std::string now = std::to_string(server.now_ms());
  EXPECT_EQ(server.Run({"XADD", "s", "*", "a", "1"}), Bulk(now + "-0"));
  EXPECT_EQ(server.Run({"XADD", "s", "*", "a", "1"}), Bulk(now + "-1"));
  EXPECT_EQ(server.Run({"XADD", "s", now + "-*", "a", "1"}), Bulk(now + "-2"));
  server.AdvanceMs(5);
  EXPECT_EQ(server.Run({"XADD", "s", "*", "a", "1"}), Bulk(std::to_string(server.now_ms()) + "-0"));
  // A stream that is ahead of the clock counts on.
  EXPECT_EQ(server.Run({"XADD", "t", "18446744073709551615-18446744073709551614", "a", "1"}),
            Bulk("18446744073709551615-18446744073709551614"));
  EXPECT_EQ(server.Run({"XADD", "t", "*", "a", "1"}),
            Bulk("18446744073709551615-18446744073709551615"));
  EXPECT_EQ(server.Run({"XADD", "t", "*", "a", "1"}),
            Error("ERR The stream has exhausted the last possible ID, unable to add more items"));
  EXPECT_EQ(server.Run({"XADD", "u", "5-18446744073709551615", "a", "1"}),
            Bulk("5-18446744073709551615"));
  const std::string too_small =
      Error("ERR The ID specified in XADD is equal or smaller than the target stream top item");
  EXPECT_EQ(server.Run({"XADD", "u", "5-*", "a", "1"}), too_small);
  EXPECT_EQ(server.Run({"XADD", "u", "4-*", "a", "1"}), too_small);
  EXPECT_EQ(server.Run({"XADD", "u", "5-18446744073709551615", "a", "1"}), too_small);
  EXPECT_EQ(server.Run({"XADD", "v", "0-*", "a", "1"}), Bulk("0-1"));
  EXPECT_EQ(server.Run({"XADD", "w", "0-0", "a", "1"}),
            Error("ERR The ID specified in XADD must be greater than 0-0"));
  EXPECT_EQ(server.Run({"EXISTS", "w"}), Integer(0));
  server.Validate();
}

TEST(stream_add_checks_its_line) {
  TestServer server;
  const std::string arity = Error("ERR wrong number of arguments for 'xadd' command");
  EXPECT_EQ(server.Run({"XADD", "s", "*", "a", "1", "b"}), arity);
  EXPECT_EQ(server.Run({"XADD", "s", "NOMKSTREAM", "*", "a"}), arity);
  EXPECT_EQ(server.Run({"XADD", "s", "NOMKSTREAM", "*", "a", "1"}), "$-1\r\n");
  EXPECT_EQ(server.Run({"XADD", "s", "MAXLEN", "-1", "*", "a", "1"}),
            Error("ERR The MAXLEN argument must be >= 0."));
  EXPECT_EQ(server.Run({"XADD", "s", "MAXLEN", "x", "*", "a", "1"}), kNotInteger);
  EXPECT_EQ(
      server.Run({"XADD", "s", "MAXLEN", "1", "MINID", "1", "*", "a", "1"}),
      Error("ERR syntax error, MAXLEN and MINID options at the same time are not compatible"));
  EXPECT_EQ(server.Run({"XADD", "s", "MAXLEN", "1", "LIMIT", "1", "*", "a", "1"}),
            Error("ERR syntax error, LIMIT cannot be used without the special ~ option"));
  EXPECT_EQ(server.Run({"XADD", "s", "MAXLEN", "~", "1", "LIMIT", "-1", "*", "a", "1"}),
            Error("ERR The LIMIT argument must be >= 0."));
  EXPECT_EQ(server.Run({"XADD", "s", "LIMIT", "1", "*", "a", "1"}),
            Error("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"));
  EXPECT_EQ(server.Run({"XTRIM", "s", "LIMIT", "1"}),
            Error("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"));
  EXPECT_EQ(server.Run({"XTRIM", "s", "LIMIT", "0"}),
            Error("ERR syntax error, XTRIM must be called with a trimming strategy"));
  EXPECT_EQ(server.Run({"XTRIM", "s", "x", "y"}), Error("ERR syntax error"));
  server.Run({"SET", "string", "x"});
  EXPECT_EQ(server.Run({"XADD", "string", "*", "a", "1"}), Error(engine::errors::kWrongType));
  EXPECT_EQ(server.Run({"EXISTS", "s"}), Integer(0));
}

TEST(stream_ids_are_read_as_strtoull_reads) {
  TestServer server;
  Fill(server, "s", 3);
  for (const std::string_view id : {"2-0", "2", " 2-0", "02", "+2", "2-00", "2-+0", "\t2- 0"}) {
    EXPECT_EQ(server.Run({"XRANGE", "s", id, id}), Array({EntryReply("2-0", "f", "2")}));
  }
  for (const std::string_view id :
       {"", "-2", "2-", "2-x", "x", "2-0-0", "18446744073709551616", "2 ", "2-*", "*", "1.0"}) {
    EXPECT_EQ(server.Run({"XRANGE", "s", id, "+"}), kInvalidId);
    if (id != "2-*") EXPECT_EQ(server.Run({"XDEL", "s", id}), kInvalidId);
  }
  EXPECT_EQ(server.Run({"XDEL", "s", "-"}), kInvalidId);
  EXPECT_EQ(server.Run({"XRANGE", "s", "(-", "+"}), kInvalidId);
  EXPECT_EQ(server.Run({"XRANGE", "s", std::string(127, '0'), "+", "COUNT", "1"}),
            Array({EntryReply("1-0", "f", "1")}));
  EXPECT_EQ(server.Run({"XRANGE", "s", std::string(128, '0'), "+"}), kInvalidId);
  EXPECT_EQ(server.Run({"XRANGE", "s", "(18446744073709551615-18446744073709551615", "+"}),
            Error("ERR invalid start ID for the interval"));
  EXPECT_EQ(server.Run({"XRANGE", "s", "-", "(0-0"}), Error("ERR invalid end ID for the interval"));
}

TEST(stream_numbers_at_their_edges) {
  TestServer server;
  Fill(server, "s", 3);
  server.Run({"XGROUP", "CREATE", "s", "g", "0"});
  for (const std::string_view text :
       {"", "1 ", "+1", "01", "1.0", "nan", "9223372036854775808", "-9223372036854775809"}) {
    EXPECT_EQ(server.Run({"XRANGE", "s", "-", "+", "COUNT", text}), kNotInteger);
    EXPECT_EQ(server.Run({"XADD", "s", "MAXLEN", text, "*", "a", "b"}), kNotInteger);
    EXPECT_EQ(server.Run({"XADD", "s", "MAXLEN", "~", "9", "LIMIT", text, "*", "a", "b"}),
              kNotInteger);
    EXPECT_EQ(server.Run({"XREAD", "COUNT", text, "STREAMS", "s", "0"}), kNotInteger);
    EXPECT_EQ(server.Run({"XREAD", "BLOCK", text, "STREAMS", "s", "0"}),
              Error("ERR timeout is not an integer or out of range"));
    EXPECT_EQ(server.Run({"XPENDING", "s", "g", "-", "+", text}), kNotInteger);
    EXPECT_EQ(server.Run({"XPENDING", "s", "g", "IDLE", text, "-", "+", "1"}), kNotInteger);
    EXPECT_EQ(server.Run({"XCLAIM", "s", "g", "c", text, "1-0"}),
              Error("ERR Invalid min-idle-time argument for XCLAIM"));
    EXPECT_EQ(server.Run({"XAUTOCLAIM", "s", "g", "c", text, "0"}),
              Error("ERR Invalid min-idle-time argument for XAUTOCLAIM"));
    EXPECT_EQ(server.Run({"XAUTOCLAIM", "s", "g", "c", "0", "0", "COUNT", text}),
              Error("ERR COUNT must be > 0"));
    EXPECT_EQ(server.Run({"XGROUP", "SETID", "s", "g", "0", "ENTRIESREAD", text}), kNotInteger);
    EXPECT_EQ(server.Run({"XSETID", "s", "9-0", "ENTRIESADDED", text}), kNotInteger);
    EXPECT_EQ(server.Run({"XINFO", "STREAM", "s", "FULL", "COUNT", text}), kNotInteger);
  }
  for (const std::string_view text : {"9223372036854775807", "4294967296", "9007199254740993"}) {
    EXPECT_EQ(server.Run({"XRANGE", "s", "2", "+", "COUNT", text}),
              Array({EntryReply("2-0", "f", "2"), EntryReply("3-0", "f", "3")}));
    EXPECT_EQ(server.Run({"XTRIM", "s", "MAXLEN", text}), Integer(0));
    EXPECT_EQ(server.Run({"XCLAIM", "s", "g", "c", text, "1-0"}), "*0\r\n");
  }
  EXPECT_EQ(server.Run({"XRANGE", "s", "-", "+", "COUNT", "-9223372036854775808"}), "*-1\r\n");
  EXPECT_EQ(server.Run({"XREAD", "BLOCK", "9223372036854775807", "STREAMS", "s", "0"}),
            Error("ERR timeout is out of range"));
  EXPECT_EQ(server.Run({"XREAD", "BLOCK", "-1", "STREAMS", "s", "0"}),
            Error("ERR timeout is negative"));
  // Counters that wrap do so without harm.
  EXPECT_EQ(server.Run({"XSETID", "s", "9-0", "ENTRIESADDED", "9223372036854775807"}), "+OK\r\n");
  server.Run({"XADD", "s", "10-0", "a", "b"});
  server.Run({"XGROUP", "SETID", "s", "g", "0", "ENTRIESREAD", "9223372036854775807"});
  server.Run({"XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"});
  server.Run({"XINFO", "STREAM", "s", "FULL"});
  server.Validate();
}

// ---- Ranges, in nodes of every size ----

// A range by hand from the ids 1-0 … 60-0 that are not deleted.
std::string RangeOf(const std::vector<int>& ids, int low, int high, bool is_reverse, size_t count) {
  std::string items;
  size_t found = 0;
  for (size_t i = 0; i < ids.size() && found < count; i++) {
    const int id = is_reverse ? ids[ids.size() - 1 - i] : ids[i];
    if (id < low || id > high) continue;
    items += EntryReply(std::to_string(id) + "-0", "f", std::to_string(id));
    found++;
  }
  return "*" + std::to_string(found) + "\r\n" + items;
}

TEST(stream_ranges_over_nodes_of_every_size) {
  Random random(test::Seed());
  for (const int shards : {1, 8}) {
    for (const int entries : {1, 2, 7, 100}) {
      TestServer server(shards);
      server.engine().options().stream_node_max_entries.Set(entries);
      Fill(server, "s", 60);
      std::vector<int> ids;
      for (int i = 1; i <= 60; i++) {
        if (random.OneIn(4)) {
          EXPECT_EQ(server.Run({"XDEL", "s", std::to_string(i)}), Integer(1));
        } else {
          ids.push_back(i);
        }
      }
      for (int i = 0; i < 100; i++) {
        const int low = static_cast<int>(random.Below(62));
        const int high = static_cast<int>(random.Below(62));
        const std::string start = std::to_string(low);
        const std::string end = std::to_string(high);
        const size_t limit = 1 + random.Below(30);
        const std::string count = std::to_string(limit);
        EXPECT_EQ(server.Run({"XRANGE", "s", start, end}), RangeOf(ids, low, high, false, 100));
        EXPECT_EQ(server.Run({"XREVRANGE", "s", end, start}), RangeOf(ids, low, high, true, 100));
        EXPECT_EQ(server.Run({"XRANGE", "s", start, end, "COUNT", count}),
                  RangeOf(ids, low, high, false, limit));
        EXPECT_EQ(server.Run({"XREVRANGE", "s", end, start, "COUNT", count}),
                  RangeOf(ids, low, high, true, limit));
        const std::string read = RangeOf(ids, low + 1, 61, false, limit);
        EXPECT_EQ(server.Run({"XREAD", "COUNT", count, "STREAMS", "s", start}),
                  read == "*0\r\n" ? "*-1\r\n" : Array({Array({Bulk("s"), read})}));
      }
      server.Validate();
    }
  }
}

TEST(stream_trim_and_delete_keep_the_key) {
  TestServer server;
  server.engine().options().stream_node_max_entries.Set(10);
  Fill(server, "s", 35);
  EXPECT_EQ(server.Run({"XTRIM", "s", "MAXLEN", "~", "14"}), Integer(20));
  EXPECT_EQ(server.Run({"XTRIM", "s", "MAXLEN", "~", "1", "LIMIT", "9"}), Integer(0));
  EXPECT_EQ(server.Run({"XTRIM", "s", "MINID", "=", "28"}), Integer(7));
  EXPECT_EQ(server.Run({"XLEN", "s"}), Integer(8));
  EXPECT_EQ(server.Run({"XDEL", "s", "28", "28", "1", "99"}), Integer(1));
  EXPECT_EQ(server.Run({"XTRIM", "s", "MAXLEN", "0"}), Integer(7));
  EXPECT_EQ(server.Run({"XLEN", "s"}), Integer(0));
  EXPECT_EQ(server.Run({"TYPE", "s"}), "+stream\r\n");
  EXPECT_EQ(server.encoding("s"), "stream");
  EXPECT_EQ(
      server.Run({"XADD", "s", "35-0", "a", "b"}),
      Error("ERR The ID specified in XADD is equal or smaller than the target stream top item"));
  EXPECT_EQ(server.Run({"XRANGE", "nosuchkey", "-", "+", "COUNT", "0"}), "*0\r\n");
  EXPECT_EQ(server.Run({"XRANGE", "s", "-", "+", "COUNT", "0"}), "*-1\r\n");
  server.Validate();
}

// Redis lets XSETID go below entries that are only marked as deleted, and then adds their ids
// again.
TEST(stream_setid_can_go_below_deleted_entries) {
  for (const int entries : {1, 100}) {
    TestServer server;
    server.engine().options().stream_node_max_entries.Set(entries);
    Fill(server, "s", 4);
    server.Run({"XDEL", "s", "4"});
    server.Run({"XTRIM", "s", "MINID", "4"});
    EXPECT_EQ(server.Run({"XSETID", "s", "4", "MAXDELETEDID", "1"}), "+OK\r\n");
    EXPECT_EQ(server.Run({"XSETID", "s", "2"}), "+OK\r\n");
    EXPECT_EQ(server.Run({"XADD", "s", "3-0", "f", "new"}), Bulk("3-0"));
    EXPECT_EQ(server.Run({"XRANGE", "s", "-", "+"}), Array({EntryReply("3-0", "f", "new")}));
    server.Validate();
    EXPECT_EQ(server.Run({"XDEL", "s", "3"}), Integer(1));
    server.Validate();
  }
}

TEST(stream_setid_checks) {
  TestServer server;
  EXPECT_EQ(server.Run({"XSETID", "s", "1-0"}), Error("ERR no such key"));
  Fill(server, "s", 3);
  server.Run({"XDEL", "s", "2"});
  EXPECT_EQ(server.Run({"XSETID", "s", "1-0"}),
            Error("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"));
  EXPECT_EQ(server.Run({"XSETID", "s", "2-5"}),
            Error("ERR The ID specified in XSETID is smaller than the target stream top item"));
  EXPECT_EQ(
      server.Run({"XSETID", "s", "5-0", "ENTRIESADDED", "1"}),
      Error("ERR The entries_added specified in XSETID is smaller than the target stream length"));
  EXPECT_EQ(server.Run({"XSETID", "s", "5-0", "ENTRIESADDED", "-1"}),
            Error("ERR entries_added must be positive"));
  EXPECT_EQ(
      server.Run({"XSETID", "s", "5-0", "MAXDELETEDID", "6-0"}),
      Error("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id"));
  EXPECT_EQ(server.Run({"XSETID", "s", "5-0", "MAXDELETEDID"}), Error("ERR syntax error"));
  EXPECT_EQ(server.Run({"XSETID", "s", "5-0", "ENTRIESADDED", "9", "MAXDELETEDID", "4-0"}),
            "+OK\r\n");
}

// ---- XREAD ----

TEST(stream_read_in_both_protocols_and_across_shards) {
  for (const int shards : {1, 8}) {
    TestServer server(shards);
    for (const char* key : {"a", "b", "c"}) Fill(server, key, 2);
    const std::string second = Array({EntryReply("2-0", "f", "2")});
    EXPECT_EQ(server.Run({"XREAD", "STREAMS", "a", "nosuchkey", "b", "c", "1", "0", "$", "1-0"}),
              Array({Array({Bulk("a"), second}), Array({Bulk("c"), second})}));
    EXPECT_EQ(server.Run({"XREAD", "STREAMS", "a", "b", "2", "$"}), "*-1\r\n");
    EXPECT_EQ(server.Run({"XREAD", "BLOCK", "0", "STREAMS", "a", "2"}), "*-1\r\n");
    server.session.resp = 3;
    EXPECT_EQ(server.Run({"XREAD", "STREAMS", "a", "nosuchkey", "b", "c", "1", "0", "$", "1-0"}),
              "%2\r\n" + Bulk("a") + second + Bulk("c") + second);
    EXPECT_EQ(server.Run({"XREAD", "STREAMS", "a", "1"}), "%1\r\n" + Bulk("a") + second);
    EXPECT_EQ(server.Run({"XREAD", "STREAMS", "a", "$"}), "_\r\n");
  }
}

TEST(stream_read_of_the_last_entry) {
  TestServer server(8);
  Fill(server, "a", 3);
  Fill(server, "b", 2);
  EXPECT_EQ(server.Run({"XREAD", "COUNT", "9", "STREAMS", "a", "nosuchkey", "b", "+", "+", "+"}),
            Array({Array({Bulk("a"), Array({EntryReply("3-0", "f", "3")})}),
                   Array({Bulk("b"), Array({EntryReply("2-0", "f", "2")})})}));
  server.Run({"XDEL", "a", "3-0"});
  EXPECT_EQ(server.Run({"XREAD", "STREAMS", "a", "+"}), "*-1\r\n");
  server.Run({"XGROUP", "CREATE", "c", "g", "$", "MKSTREAM"});
  EXPECT_EQ(server.Run({"XREAD", "STREAMS", "c", "+"}),
            Error("ERR the stream last element ID is 0-0"));
  EXPECT_EQ(server.Run({"XREADGROUP", "GROUP", "g", "x", "STREAMS", "c", "+"}),
            Error("ERR The + ID is meaningless in the context of XREADGROUP: you want to read the "
                  "history of this consumer by specifying a proper ID, or use the > ID to get new "
                  "messages. The + ID would just return an empty result set."));
}

TEST(stream_read_checks_its_line) {
  TestServer server;
  EXPECT_EQ(server.Run({"XREAD", "COUNT", "2", "x"}), Error("ERR syntax error"));
  EXPECT_EQ(server.Run({"XREAD", "COUNT", "2", "STREAMS"}), Error("ERR syntax error"));
  EXPECT_EQ(server.Run({"XREAD", "STREAMS", "a", "b", "0"}),
            Error("ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must "
                  "be specified."));
  EXPECT_EQ(server.Run({"XREADGROUP", "GROUP", "g", "c", "STREAMS", "a", "b", "0"}),
            Error("ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' "
                  "must be specified."));
  EXPECT_EQ(
      server.Run({"XREAD", "GROUP", "g", "c", "STREAMS", "a", "0"}),
      Error("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead."));
  EXPECT_EQ(
      server.Run({"XREAD", "NOACK", "STREAMS", "a", "0"}),
      Error("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead."));
  EXPECT_EQ(server.Run({"XREADGROUP", "COUNT", "1", "NOACK", "NOACK", "STREAMS", "a", "0"}),
            Error("ERR Missing GROUP option for XREADGROUP"));
  EXPECT_EQ(server.Run({"XREAD", "STREAMS", "a", ">"}),
            Error("ERR The > ID can be specified only when calling XREADGROUP using the GROUP "
                  "<group> <consumer> "
                  "option."));
  EXPECT_EQ(server.Run({"XREADGROUP", "GROUP", "g", "c", "STREAMS", "a", ">"}),
            Error("NOGROUP No such key 'a' or consumer group 'g' in XREADGROUP with GROUP option"));
}

TEST(stream_read_finds_its_keys_whatever_groups_are_called) {
  TestServer server(8);
  Fill(server, "k", 1);
  server.Run({"XGROUP", "CREATE", "k", "streams", "0"});
  EXPECT_EQ(
      server.Run({"XREADGROUP", "COUNT", "1", "GROUP", "streams", "STREAMS", "STREAMS", "k", ">"}),
      Array({Array({Bulk("k"), Array({EntryReply("1-0", "f", "1")})})}));
  const engine::Router router = Handlers().Find(FindCommand("xreadgroup")->id).router;
  const std::vector<std::string_view> line = {"XREADGROUP", "NOACK", "GROUP", "streams", "c",
                                              "streams",    "a",     "b",     ">",       ">"};
  engine::Route route;
  router(server.engine(), line, &route);
  EXPECT_TRUE(route.runs == Runs::kKeys);
  EXPECT_TRUE((route.key_positions == std::vector<uint32_t>{6, 7}));
  engine::Route none;
  router(server.engine(), std::span(line).first(5), &none);
  EXPECT_TRUE(none.runs == Runs::kConnection);
}

// ---- Groups ----

TEST(stream_group_life) {
  TestServer server;
  EXPECT_EQ(server.Run({"XGROUP", "CREATE", "s", "g", "$"}),
            Error("ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you "
                  "may want to use the "
                  "MKSTREAM option to create an empty stream automatically."));
  EXPECT_EQ(server.Run({"XGROUP", "CREATE", "s", "g", "$", "MKSTREAM"}), "+OK\r\n");
  EXPECT_EQ(server.Run({"XGROUP", "CREATE", "s", "g", "$", "MKSTREAM"}),
            Error("BUSYGROUP Consumer Group name already exists"));
  EXPECT_EQ(server.Run({"XGROUP", "CREATE", "s", "h", "-"}), kInvalidId);
  EXPECT_EQ(
      server.Run({"XGROUP", "CREATE", "s", "h", "0", "x"}),
      Error("ERR unknown subcommand or wrong number of arguments for 'CREATE'. Try XGROUP HELP."));
  EXPECT_EQ(server.Run({"XGROUP", "CREATE", "s", "h", "0", "ENTRIESREAD", "-2"}),
            Error("ERR value for ENTRIESREAD must be positive or -1"));
  EXPECT_EQ(server.Run({"XGROUP", "SETID", "s", "h", "0"}),
            Error("NOGROUP No such consumer group 'h' for key name 's'"));
  Fill(server, "s", 3);
  const std::string two = Array({EntryReply("1-0", "f", "1"), EntryReply("2-0", "f", "2")});
  EXPECT_EQ(server.Run({"XREADGROUP", "GROUP", "g", "alice", "COUNT", "2", "STREAMS", "s", ">"}),
            Array({Array({Bulk("s"), two})}));
  EXPECT_EQ(server.Run({"XREADGROUP", "GROUP", "g", "bob", "STREAMS", "s", ">"}),
            Array({Array({Bulk("s"), Array({EntryReply("3-0", "f", "3")})})}));
  EXPECT_EQ(server.Run({"XREADGROUP", "GROUP", "g", "bob", "STREAMS", "s", ">"}), "*-1\r\n");
  EXPECT_EQ(server.Run({"XREADGROUP", "GROUP", "g", "alice", "STREAMS", "s", "0"}),
            Array({Array({Bulk("s"), two})}));
  EXPECT_EQ(server.Run({"XPENDING", "s", "g"}),
            Array({Integer(3), Bulk("1-0"), Bulk("3-0"),
                   Array({Array({Bulk("alice"), Bulk("2")}), Array({Bulk("bob"), Bulk("1")})})}));
  server.AdvanceMs(70);
  EXPECT_EQ(server.Run({"XPENDING", "s", "g", "IDLE", "70", "-", "+", "9", "bob"}),
            Array({Array({Bulk("3-0"), Bulk("bob"), Integer(70), Integer(1)})}));
  EXPECT_EQ(server.Run({"XPENDING", "s", "g", "IDLE", "71", "-", "+", "9"}), "*0\r\n");
  EXPECT_EQ(server.Run({"XPENDING", "s", "g", "-", "+", "9", "nobody"}), "*0\r\n");
  EXPECT_EQ(server.Run({"XACK", "s", "g", "1-0", "1-0", "7-0"}), Integer(1));
  EXPECT_EQ(server.Run({"XDEL", "s", "2-0"}), Integer(1));
  EXPECT_EQ(server.Run({"XREADGROUP", "GROUP", "g", "alice", "STREAMS", "s", "0"}),
            Array({Array({Bulk("s"), Array({Array({Bulk("2-0"), "*-1\r\n"})})})}));
  server.Validate();
  EXPECT_EQ(server.Run({"XAUTOCLAIM", "s", "g", "carol", "0", "-"}),
            Array({Bulk("0-0"), Array({EntryReply("3-0", "f", "3")}), Array({Bulk("2-0")})}));
  EXPECT_EQ(server.Run({"XGROUP", "DELCONSUMER", "s", "g", "carol"}), Integer(1));
  EXPECT_EQ(server.Run({"XPENDING", "s", "g"}),
            Array({Integer(0), "$-1\r\n", "$-1\r\n", "*-1\r\n"}));
  EXPECT_EQ(server.Run({"XGROUP", "DESTROY", "s", "g"}), Integer(1));
  EXPECT_EQ(server.Run({"XGROUP", "DESTROY", "s", "g"}), Integer(0));
  server.Validate();
}

TEST(stream_claims) {
  TestServer server;
  Fill(server, "s", 5);
  server.Run({"XGROUP", "CREATE", "s", "g", "0"});
  server.Run({"XREADGROUP", "GROUP", "g", "a", "COUNT", "3", "STREAMS", "s", ">"});
  server.AdvanceMs(1000);
  EXPECT_EQ(server.Run({"XCLAIM", "s", "g", "b", "1001", "1-0"}), "*0\r\n");
  EXPECT_EQ(server.Run({"XCLAIM", "s", "g", "b", "1000", "1-0", "5-0", "9-0", "RETRYCOUNT", "7",
                        "JUSTID"}),
            Array({Bulk("1-0")}));
  EXPECT_EQ(server.Run({"XCLAIM", "s", "g", "b", "5000", "5-0", "FORCE", "IDLE", "400", "JUSTID",
                        "LASTID", "4-4"}),
            Array({Bulk("5-0")}));
  EXPECT_EQ(server.Run({"XPENDING", "s", "g", "-", "+", "9", "b"}),
            Array({Array({Bulk("1-0"), Bulk("b"), Integer(0), Integer(7)}),
                   Array({Bulk("5-0"), Bulk("b"), Integer(400), Integer(1)})}));
  EXPECT_EQ(server.Run({"XCLAIM", "s", "g", "b", "0", "1-0", "x"}),
            Error("ERR Unrecognized XCLAIM option 'x'"));
  EXPECT_EQ(server.Run({"XCLAIM", "s", "h", "b", "0", "1-0"}),
            Error("NOGROUP No such key 's' or consumer group 'h'"));
  // At most COUNT entries, ten times as many are looked at; the cursor is what comes next.
  EXPECT_EQ(server.Run({"XAUTOCLAIM", "s", "g", "c", "0", "(1-0", "COUNT", "1", "JUSTID"}),
            Array({Bulk("3-0"), Array({Bulk("2-0")}), "*0\r\n"}));
  EXPECT_EQ(server.Run({"XAUTOCLAIM", "s", "g", "c", "0", "0", "COUNT", "9007199254740991"}),
            Error("ERR Insufficient memory, failed allocating transient memory, COUNT too high."));
  server.Validate();
}

// Since 7.2 a consumer exists as soon as it has asked, and has two times: seen, and active.
TEST(stream_consumers_exist_once_they_have_asked) {
  TestServer server;
  server.Run({"XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"});
  EXPECT_EQ(server.Run({"XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">"}), "*-1\r\n");
  EXPECT_EQ(server.Run({"XCLAIM", "s", "g", "b", "0", "1-0"}), "*0\r\n");
  EXPECT_EQ(server.Run({"XAUTOCLAIM", "s", "g", "c", "0", "0"}),
            Array({Bulk("0-0"), "*0\r\n", "*0\r\n"}));
  server.AdvanceMs(30);
  Fill(server, "s", 1);
  server.Run({"XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">"});
  server.AdvanceMs(12);
  server.Run({"XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">"});
  server.session.resp = 3;
  const auto consumer = [](const char* name, int pending, int idle, int inactive) {
    return "%4\r\n" + Bulk("name") + Bulk(name) + Bulk("pending") + Integer(pending) +
           Bulk("idle") + Integer(idle) + Bulk("inactive") + Integer(inactive);
  };
  EXPECT_EQ(server.Run({"XINFO", "CONSUMERS", "s", "g"}),
            Array({consumer("a", 1, 0, 12), consumer("b", 0, 42, -1), consumer("c", 0, 42, -1)}));
}

TEST(stream_info_in_full) {
  TestServer server;
  Fill(server, "s", 2);
  server.Run({"XGROUP", "CREATE", "s", "g", "0"});
  server.Run({"XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "STREAMS", "s", ">"});
  server.session.resp = 3;
  const std::string now = ":" + std::to_string(server.now_ms()) + "\r\n";
  const std::string head = Bulk("length") + Integer(2) + Bulk("radix-tree-keys") + Integer(1) +
                           Bulk("radix-tree-nodes") + Integer(2) + Bulk("last-generated-id") +
                           Bulk("2-0") + Bulk("max-deleted-entry-id") + Bulk("0-0") +
                           Bulk("entries-added") + Integer(2) + Bulk("recorded-first-entry-id") +
                           Bulk("1-0");
  EXPECT_EQ(server.Run({"XINFO", "STREAM", "s"}),
            "%10\r\n" + head + Bulk("groups") + Integer(1) + Bulk("first-entry") +
                EntryReply("1-0", "f", "1") + Bulk("last-entry") + EntryReply("2-0", "f", "2"));
  const std::string group = "%7\r\n" + Bulk("name") + Bulk("g") + Bulk("last-delivered-id") +
                            Bulk("1-0") + Bulk("entries-read") + Integer(1) + Bulk("lag") +
                            Integer(1) + Bulk("pel-count") + Integer(1) + Bulk("pending") +
                            Array({Array({Bulk("1-0"), Bulk("c"), now, Integer(1)})}) +
                            Bulk("consumers");
  const std::string consumer = "%5\r\n" + Bulk("name") + Bulk("c") + Bulk("seen-time") + now +
                               Bulk("active-time") + now + Bulk("pel-count") + Integer(1) +
                               Bulk("pending") + Array({Array({Bulk("1-0"), now, Integer(1)})});
  EXPECT_EQ(server.Run({"XINFO", "STREAM", "s", "FULL", "COUNT", "1"}),
            "%9\r\n" + head + Bulk("entries") + Array({EntryReply("1-0", "f", "1")}) +
                Bulk("groups") + "*1\r\n" + group + "*1\r\n" + consumer);
  EXPECT_EQ(
      server.Run({"XINFO", "STREAM", "s", "FULL", "COUNT"}),
      Error("ERR unknown subcommand or wrong number of arguments for 'STREAM'. Try XINFO HELP."));
  EXPECT_EQ(server.Run({"XINFO", "GROUPS", "nosuchkey"}), Error("ERR no such key"));
}

// ---- Effects and events ----

TEST(stream_effects_do_not_depend_on_clock_and_nodes) {
  TestServer server;
  server.engine().options().stream_node_max_entries.Set(2);
  server.Listen();
  const std::string now = std::to_string(server.now_ms());
  server.Run({"XADD", "s", "1-1", "a", "b"});
  server.Run({"XADD", "s", "2-*", "a", "b"});
  server.Run({"XADD", "s", "*", "a", "b"});
  server.Run({"XADD", "s", "MAXLEN", "~", "1", "*", "a", "b"});
  EXPECT_TRUE(
      (server.TakeEffects() == Lines{"XADD s 1-1 a b", "XADD s 2-0 a b", "XADD s " + now + "-0 a b",
                                     "XADD s MAXLEN = 2 " + now + "-1 a b"}));
  EXPECT_TRUE(
      (server.TakeEvents() == Lines{"new s", "xadd s", "xadd s", "xadd s", "xadd s", "xtrim s"}));
  server.Run({"XADD", "s", "MINID", "~", "9", now + "-5", "a", "b"});
  server.Run({"XTRIM", "s", "MAXLEN", "~", "1"});
  server.Run({"XTRIM", "s", "MAXLEN", "~", "1"});
  server.Run({"XTRIM", "s", "MAXLEN", "5"});
  EXPECT_TRUE((server.TakeEffects() ==
               Lines{"XADD s MINID = " + now + "-0 " + now + "-5 a b", "XTRIM s MAXLEN = 1"}));
  EXPECT_TRUE((server.TakeEvents() == Lines{"xadd s", "xtrim s"}));
  server.Run({"XDEL", "s", "7", now + "-5"});
  server.Run({"XDEL", "s", "7"});
  server.Run({"XSETID", "s", now + "-9"});
  EXPECT_TRUE((server.TakeEffects() == Lines{"XDEL s 7 " + now + "-5", "XSETID s " + now + "-9"}));
  EXPECT_TRUE((server.TakeEvents() == Lines{"xdel s", "xsetid s"}));
}

TEST(stream_group_effects) {
  TestServer server;
  Fill(server, "s", 4);
  server.Listen();
  const std::string now = std::to_string(server.now_ms());
  server.Run({"XGROUP", "CREATE", "s", "g", "0"});
  server.Run({"XREADGROUP", "GROUP", "g", "a", "COUNT", "2", "STREAMS", "s", ">"});
  EXPECT_TRUE((server.TakeEffects() ==
               Lines{"XGROUP CREATE s g 0",
                     "XCLAIM s g a 0 1-0 TIME " + now + " RETRYCOUNT 1 FORCE JUSTID LASTID 1-0",
                     "XCLAIM s g a 0 2-0 TIME " + now + " RETRYCOUNT 1 FORCE JUSTID LASTID 2-0",
                     "XGROUP SETID s g 2-0 ENTRIESREAD 2"}));
  EXPECT_TRUE((server.TakeEvents() == Lines{"xgroup-create s", "xgroup-createconsumer s"}));
  server.Run({"XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", "0"});
  server.Run({"XREADGROUP", "GROUP", "g", "b", "NOACK", "COUNT", "1", "STREAMS", "s", ">"});
  EXPECT_TRUE((server.TakeEffects() ==
               Lines{"XGROUP CREATECONSUMER s g b", "XGROUP SETID s g 3-0 ENTRIESREAD 3"}));
  server.Run({"XCLAIM", "s", "g", "c", "0", "1-0", "4-0", "TIME", "77", "FORCE", "LASTID", "3-3"});
  EXPECT_TRUE((server.TakeEffects() ==
               Lines{"XCLAIM s g c 0 1-0 TIME 77 RETRYCOUNT 3 FORCE JUSTID LASTID 3-3",
                     "XCLAIM s g c 0 4-0 TIME 77 RETRYCOUNT 2 FORCE JUSTID LASTID 3-3"}));
  server.Run({"XCLAIM", "s", "g", "c", "0", "9-0", "LASTID", "3-4"});
  EXPECT_TRUE((server.TakeEffects() == Lines{"XGROUP SETID s g 3-4 ENTRIESREAD 3"}));
  server.Run({"XDEL", "s", "2-0"});
  server.Run({"XAUTOCLAIM", "s", "g", "d", "0", "(1-0", "COUNT", "1"});
  EXPECT_TRUE((server.TakeEffects() ==
               Lines{"XDEL s 2-0",
                     "XCLAIM s g a 0 2-0 TIME " + now + " RETRYCOUNT 2 FORCE JUSTID LASTID 3-4"}));
  server.Run({"XACK", "s", "g", "2-0"});
  server.Run({"XACK", "s", "g", "1-0"});
  server.Run({"XGROUP", "SETID", "s", "g", "$"});
  server.Run({"XGROUP", "DELCONSUMER", "s", "g", "c"});
  server.Run({"XGROUP", "DELCONSUMER", "s", "g", "nobody"});
  server.Run({"XGROUP", "DESTROY", "s", "g"});
  EXPECT_TRUE((server.TakeEffects() == Lines{"XACK s g 1-0", "XGROUP SETID s g $",
                                             "XGROUP DELCONSUMER s g c", "XGROUP DESTROY s g"}));
  EXPECT_TRUE((server.TakeEvents() == Lines{"xgroup-createconsumer s", "xgroup-createconsumer s",
                                            "xdel s", "xgroup-createconsumer s", "xgroup-setid s",
                                            "xgroup-delconsumer s", "xgroup-destroy s"}));
  server.Validate();
}

// ---- Values ----

TEST(stream_copies_are_whole_and_memory_comes_back) {
  Random random(test::Seed());
  TestServer server(8);
  server.engine().options().stream_node_max_entries.Set(5);
  const auto used = [&server] {
    size_t bytes = 0;
    for (int shard = 0; shard < 8; shard++)
      bytes += server.engine().keyspace(static_cast<engine::ShardId>(shard)).heap().used_bytes();
    return bytes;
  };
  const size_t before = used();
  Fill(server, "s", 500);
  for (const char* group : {"g", "h"}) {
    server.Run({"XGROUP", "CREATE", "s", group, "0"});
    for (int i = 0; i < 20; i++) {
      const std::string consumer = "consumer:" + std::to_string(random.Below(8));
      server.Run({"XREADGROUP", "GROUP", group, consumer, "COUNT", "20", "STREAMS", "s", ">"});
    }
  }
  server.Run({"XDEL", "s", "1", "2", "3", "4", "5", "77"});
  const std::string full = server.Run({"XINFO", "STREAM", "s", "FULL", "COUNT", "0"});
  for (const char* copy : {"{s}copy", "other", "third"}) {
    EXPECT_EQ(server.Run({"COPY", "s", copy}), Integer(1));
    EXPECT_EQ(server.Run({"XINFO", "STREAM", copy, "FULL", "COUNT", "0"}), full);
    server.Validate();
  }
  EXPECT_EQ(server.Run({"RENAME", "s", "moved"}), "+OK\r\n");
  EXPECT_EQ(server.Run({"XINFO", "STREAM", "moved", "FULL", "COUNT", "0"}), full);
  EXPECT_EQ(server.Run({"DEL", "moved", "{s}copy", "other", "third"}), Integer(4));
  for (int shard = 0; shard < 8; shard++) {
    while (server.engine().keyspace(static_cast<engine::ShardId>(shard)).FreeDeferred(16)) {
    }
  }
  EXPECT_EQ(used(), before);
}

}  // namespace
}  // namespace sherd
