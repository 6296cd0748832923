// HyperLogLog commands: bytes and answers recorded from redis-server 7.0.15, errors, encodings,
// effects and events.
#include <string>
#include <vector>

#include "base/sha1.h"
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
const std::string kNotSketch = Error("WRONGTYPE Key is not a valid HyperLogLog string value.");
const std::string kCorrupt = Error("INVALIDOBJ Corrupted HLL object detected");

std::string Joined(const Lines& lines) {
  std::string text;
  for (const std::string& line : lines) text.append(text.empty() ? "" : ", ").append(line);
  return text;
}

std::string Value(TestServer& server, std::string_view key) {
  const std::string reply = server.Run({"GET", key});
  const size_t start = reply.find('\n') + 1;
  return reply.substr(start, reply.size() - start - 2);
}

std::string SparseOf(std::string_view opcodes) {
  return std::string("HYLL\1\0\0\0\0\0\0\0\0\0\0\0"sv).append(opcodes);
}

void Add(TestServer& server, std::string_view key, std::string_view prefix, int first, int last) {
  for (int i = first; i <= last; i++) {
    server.Run({"PFADD", key, std::string(prefix) + std::to_string(i)});
  }
}

// PFADD h e1, PFADD h e2, …; at each mark GET, then PFCOUNT (which changes the header).
TEST(hyperloglog_bytes_are_those_of_redis) {
  static constexpr struct {
    int sparse_size_max;
    int elements;
    const char* sha1;
    size_t size;
    int64_t count;
  } kRecorded[] = {
      {3000, 1, "b24095a68f27899f49d5b4562745c365edd2e0be", 21, 1},
      {3000, 10, "cdfe34f83505dd20b66804a156935ff155bed3b4", 48, 10},
      {3000, 100, "28a5e5297ed9f032e1373d792aaedbacb2957b2b", 285, 100},
      {3000, 500, "7181176f28a5f04788fce30fb5dfbb78877fc527", 1068, 506},
      {3000, 1000, "de9a28e6657027573260587a35c589d09bff8ba5", 1906, 1008},
      {3000, 2000, "d060511a3f861e99949bd1f5ae354b925dfc6297", 12304, 2000},
      {3000, 5000, "69044527f2e3f1706f31a31dd3021f98abff696f", 12304, 4968},
      {3000, 20000, "c9f3512339d271bc2e2ad21054a200a248543e2b", 12304, 19899},
      {0, 1, "bf47456fab21dcbfe622e7bc129ada4574181b6d", 12304, 1},
      {0, 10, "6367a0774d8124d323e66d18c3d05591b3db967b", 12304, 10},
      {0, 500, "d4660c0e6ca7193d8e1407de10b84b90a446dd35", 12304, 506},
      {100, 10, "cdfe34f83505dd20b66804a156935ff155bed3b4", 48, 10},
      {100, 100, "a2729b98615a815a36bc1fcf743021b89a3bcc67", 12304, 100},
      {100, 1000, "cc35f39526de3bbe5c0ef8203cd1e52348a8d6f8", 12304, 1008},
      {16000, 1000, "de9a28e6657027573260587a35c589d09bff8ba5", 1906, 1008},
      {16000, 2000, "6189e10195b849caebb42ca43978d5079ad5a45e", 3473, 2000},
      {16000, 5000, "f7516c16400995b0daece6a49a6112342ba0244f", 7116, 4968},
      {16000, 20000, "bf4a1bd8b36f9889f20899152d731c38218a443b", 12975, 19899},
  };
  TestServer server;
  int sparse_size_max = -1;
  int added = 0;
  for (const auto& row : kRecorded) {
    if (row.sparse_size_max != sparse_size_max) {
      sparse_size_max = row.sparse_size_max;
      server.engine().options().hll_sparse_max_bytes.Set(sparse_size_max);
      server.Run({"DEL", "h"});
      added = 0;
    }
    // Every count at a recorded mark leaves its trace in the header, so none may be left out.
    for (const int mark : {1, 10, 100, 500, 1000, 2000, 5000, 20000}) {
      if (mark <= added || mark > row.elements) continue;
      Add(server, "h", "e", added + 1, mark);
      added = mark;
      if (mark != row.elements) server.Run({"PFCOUNT", "h"});
    }
    const std::string value = Value(server, "h");
    EXPECT_EQ(value.size(), row.size);
    EXPECT_EQ(Sha1Hex(value), row.sha1);
    EXPECT_EQ(server.Run({"PFCOUNT", "h"}), Integer(row.count));
    EXPECT_EQ(server.encoding("h"), "raw");
  }
  server.Validate();
}

TEST(hyperloglog_merged_bytes_are_those_of_redis) {
  static constexpr struct {
    int a;
    int b;
    const char* sha1;
    size_t size;
    int64_t count;
    int64_t count_of_sources;
  } kRecorded[] = {
      {100, 100, "d2f79f51595b5d6951affb63d909f2253081b4e6", 514, 202, 199},
      {700, 400, "b56b3466c7516452f3863d808938f56edec0e46a", 2050, 1100, 1098},
      {900, 900, "3333c1648cf263b5b5e61fe5c3bf3221bb3bd3fa", 12304, 1811, 1809},
      {5000, 10, "2e6b22d08b1e59032cb9dc0583de911aae3c3087", 12304, 5015, 5012},
      {10, 5000, "61a03d838172eb3a623c65b24187d4f095473df5", 12304, 5073, 5070},
  };
  TestServer server(8);
  for (const auto& row : kRecorded) {
    server.Run({"DEL", "a", "b", "d"});
    Add(server, "a", "a", 1, row.a);
    Add(server, "b", "b", 1, row.b);
    server.Run({"PFADD", "d", "d1", "d2", "d3"});
    EXPECT_EQ(server.Run({"PFMERGE", "d", "a", "b"}), kOk);
    const std::string value = Value(server, "d");
    EXPECT_EQ(value.size(), row.size);
    EXPECT_EQ(Sha1Hex(value), row.sha1);
    EXPECT_EQ(server.Run({"PFCOUNT", "d"}), Integer(row.count));
    EXPECT_EQ(server.Run({"PFCOUNT", "a", "b"}), Integer(row.count_of_sources));
    EXPECT_EQ(server.Run({"PFCOUNT", "a", "none", "b", "a"}), Integer(row.count_of_sources));
  }
  server.Validate();
}

// Elements of 0 to 39 bytes: each tail of the hash.
TEST(hyperloglog_hash_is_that_of_redis) {
  TestServer server;
  std::string element;
  for (int i = 0; i < 40; i++) {
    server.Run({"PFADD", "m", element});
    element += static_cast<char>('A' + i);
  }
  // From 'A' + 26 on the recording's characters are those of ASCII too.
  EXPECT_EQ(Sha1Hex(Value(server, "m")), "ef798532f4d5c32cf35c8216f09e28073da4c0a4");
}

TEST(hyperloglog_add) {
  TestServer server;
  EXPECT_EQ(server.Run({"PFCOUNT", "h"}), Integer(0));
  EXPECT_EQ(server.Run({"PFADD", "h"}), Integer(1));
  EXPECT_EQ(Value(server, "h"), std::string("HYLL\1\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff"sv));
  EXPECT_EQ(server.encoding("h"), "raw");
  EXPECT_EQ(server.Run({"PFADD", "h"}), Integer(0));
  EXPECT_EQ(server.Run({"PFADD", "h", "a", "b", "a"}), Integer(1));
  EXPECT_EQ(server.last_dirty(), 2);
  EXPECT_EQ(server.Run({"PFADD", "h", "b"}), Integer(0));
  EXPECT_EQ(server.last_dirty(), 0);
  EXPECT_EQ(server.Run({"PFCOUNT", "h"}), Integer(2));
  EXPECT_EQ(server.last_dirty(), 1);
  EXPECT_EQ(server.Run({"PFCOUNT", "h"}), Integer(2));
  EXPECT_EQ(server.last_dirty(), 0);
}

TEST(hyperloglog_keeps_the_expiry) {
  TestServer server;
  server.engine().options().hll_sparse_max_bytes.Set(100);
  server.Run({"PFADD", "h", "x"});
  server.Run({"PEXPIRE", "h", "100000"});
  const int64_t at_ms = server.expiry_ms("h");
  Add(server, "h", "e", 1, 100);  // sparse, longer, then dense
  server.Run({"PFCOUNT", "h"});
  server.Run({"PFADD", "other", "y"});
  server.Run({"PFMERGE", "h", "other"});
  EXPECT_EQ(server.Run({"PFDEBUG", "ENCODING", "h"}), "+dense\r\n");
  EXPECT_EQ(server.expiry_ms("h"), at_ms);
  server.Validate();
}

TEST(hyperloglog_refuses_other_values) {
  TestServer server;
  server.Run({"SET", "text", "not a sketch but long enough"});
  server.Run({"SET", "number", "12345"});
  server.Run({"SET", "dense", "HYLL\0 but not of that length"sv});
  server.Run({"SET", "unknown", "HYLL\2.................."});
  server.Run({"PFADD", "good", "a"});
  for (const char* key : {"text", "number", "dense", "unknown"}) {
    EXPECT_EQ(server.Run({"PFADD", key, "a"}), kNotSketch);
    EXPECT_EQ(server.Run({"PFCOUNT", key}), kNotSketch);
    EXPECT_EQ(server.Run({"PFCOUNT", "good", key}), kNotSketch);
    EXPECT_EQ(server.Run({"PFMERGE", "good", key}), kNotSketch);
    EXPECT_EQ(server.Run({"PFMERGE", key, "good"}), kNotSketch);
    EXPECT_EQ(server.Run({"PFDEBUG", "ENCODING", key}), kNotSketch);
  }
  EXPECT_EQ(server.encoding("number"), "int");
}

TEST(hyperloglog_refuses_corrupt_sketches) {
  TestServer server;
  server.Run({"PFADD", "good", "a"});
  server.Run({"PFCOUNT", "good"});
  std::string short_one = SparseOf("\x7f\xfe");
  short_one[15] = '\x80';
  server.Run({"SET", "short", short_one});
  EXPECT_EQ(server.Run({"PFCOUNT", "short"}), kCorrupt);
  EXPECT_EQ(server.Run({"PFCOUNT", "good", "short"}), kCorrupt);
  EXPECT_EQ(server.Run({"PFMERGE", "good", "short"}), kCorrupt);
  EXPECT_EQ(server.Run({"PFMERGE", "short", "good"}), kCorrupt);
  EXPECT_EQ(server.Run({"PFDEBUG", "TODENSE", "short"}), kCorrupt);
  EXPECT_EQ(server.Run({"PFDEBUG", "GETREG", "short"}), kCorrupt);
  EXPECT_EQ(Value(server, "short"), short_one);
  // Without any register no element finds its place.
  server.Run({"SET", "none", SparseOf("")});
  EXPECT_EQ(server.Run({"PFADD", "none", "a"}), kCorrupt);
  EXPECT_EQ(server.last_dirty(), 0);
  // An estimate in the header is believed, whatever follows it, as in Redis.
  EXPECT_EQ(server.Run({"PFCOUNT", "none"}), Integer(0));
  server.Validate();
}

TEST(hyperloglog_debug) {
  TestServer server;
  EXPECT_EQ(server.Run({"PFDEBUG", "GETREG", "h"}), Error("ERR The specified key does not exist"));
  server.Run({"PFADD", "h", "a", "b", "c"});
  EXPECT_EQ(server.Run({"PFDEBUG", "DECODE", "h"}),
            Bulk("Z:8436 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:603"));
  EXPECT_EQ(server.Run({"pfdebug", "encoding", "h"}), "+sparse\r\n");
  EXPECT_EQ(server.Run({"PFDEBUG", "FOO", "h"}), Error("ERR Unknown PFDEBUG subcommand 'FOO'"));
  EXPECT_EQ(server.Run({"PFDEBUG", "TODENSE", "h"}), Integer(1));
  EXPECT_EQ(server.last_dirty(), 1);
  EXPECT_EQ(server.Run({"PFDEBUG", "TODENSE", "h"}), Integer(0));
  EXPECT_EQ(server.last_dirty(), 0);
  EXPECT_EQ(server.Run({"PFDEBUG", "DECODE", "h"}), Error("ERR HLL encoding is not sparse"));
  server.Run({"PFADD", "i", "a"});
  const std::string registers = server.Run({"PFDEBUG", "GETREG", "i"});
  EXPECT_EQ(registers.substr(0, 8), "*16384\r\n");
  EXPECT_EQ(server.Run({"PFDEBUG", "ENCODING", "i"}), "+dense\r\n");
  EXPECT_EQ(server.Run({"PFSELFTEST"}), kOk);
}

TEST(hyperloglog_effects_and_events) {
  TestServer server(8);
  server.Listen();
  server.Run({"PFADD", "h", "a"});
  EXPECT_EQ(Joined(server.TakeEffects()), "PFADD h a");
  EXPECT_EQ(Joined(server.TakeEvents()), "new h, pfadd h");
  server.Run({"PFADD", "h", "a"});
  server.Run({"PFMERGE", "d", "h", "none"});
  EXPECT_EQ(Joined(server.TakeEffects()), "PFMERGE d h none");
  EXPECT_EQ(Joined(server.TakeEvents()), "keymiss d, keymiss none, new d, pfadd d");
  server.Run({"PFCOUNT", "d"});
  server.Run({"PFCOUNT", "d"});
  server.Run({"PFCOUNT", "d", "h"});
  EXPECT_EQ(Joined(server.TakeEffects()), "PFCOUNT d");
  EXPECT_EQ(Joined(server.TakeEvents()), "");
  server.Run({"PFMERGE", "d"});
  EXPECT_EQ(Joined(server.TakeEffects()), "PFMERGE d");
}

}  // namespace
}  // namespace sherd
