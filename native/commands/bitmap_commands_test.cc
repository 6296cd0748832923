// Bitmaps: answers and errors of redis-server (7.0.15; where 7.2 differs, 7.2's), the operations of
// 8.2, random ranges against a twin, encodings, effects and events.
#include <string>
#include <vector>

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
using std::string_view_literals::operator""sv;

constexpr const char* kOk = "+OK\r\n";
const std::string kBadOffset = Error("ERR bit offset is not an integer or out of range");
const std::string kBadBit = Error("ERR bit is not an integer or out of range");
const std::string kNotInteger = Error("ERR value is not an integer or out of range");
const std::string kSyntax = Error("ERR syntax error");

std::string Joined(const Lines& lines) {
  std::string text;
  for (const std::string& line : lines) text.append(text.empty() ? "" : ", ").append(line);
  return text;
}

// A key of another type than string; its type is put back before the server goes.
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
    if (handle) handle.entry()->SetType(type, engine::Encoding::kEmbStr);
  }
  TestServer& server_;
  std::string_view name_;
};

TEST(bitmap_set_and_get_a_bit) {
  TestServer server;
  EXPECT_EQ(server.Run({"GETBIT", "k", "7"}), Integer(0));
  EXPECT_EQ(server.Run({"SETBIT", "k", "7", "1"}), Integer(0));
  EXPECT_EQ(server.Run({"SETBIT", "k", "7", "1"}), Integer(1));
  EXPECT_EQ(server.last_dirty(), 0);
  EXPECT_EQ(server.Run({"GETBIT", "k", "7"}), Integer(1));
  EXPECT_EQ(server.Run({"GET", "k"}), Bulk("\x01"));
  EXPECT_EQ(server.Run({"SETBIT", "k", "16", "0"}), Integer(0));
  EXPECT_EQ(server.last_dirty(), 1);
  EXPECT_EQ(server.Run({"GET", "k"}), Bulk("\x01\0\0"sv));
  EXPECT_EQ(server.Run({"SETBIT", "k", "7", "0"}), Integer(1));
  EXPECT_EQ(server.Run({"GETBIT", "k", "4000000000"}), Integer(0));
  EXPECT_EQ(server.encoding("k"), "raw");
  server.Validate();
}

TEST(bitmap_of_an_integer) {
  TestServer server;
  server.Run({"SET", "n", "123"});
  EXPECT_EQ(server.Run({"GETBIT", "n", "2"}), Integer(1));
  EXPECT_EQ(server.Run({"BITCOUNT", "n"}), Integer(10));
  EXPECT_EQ(server.Run({"BITPOS", "n", "1"}), Integer(2));
  EXPECT_EQ(server.encoding("n"), "int");
  EXPECT_EQ(server.Run({"BITOP", "NOT", "m", "n"}), Integer(3));
  EXPECT_EQ(server.Run({"GET", "m"}), Bulk("\xce\xcd\xcc"));
  EXPECT_EQ(server.encoding("n"), "int");
  EXPECT_EQ(server.Run({"SETBIT", "n", "2", "1"}), Integer(1));  // unchanged, but opened for writing
  EXPECT_EQ(server.encoding("n"), "raw");
  EXPECT_EQ(server.Run({"GET", "n"}), Bulk("123"));
}

TEST(bitmap_offset_limits) {
  TestServer server;
  for (const char* offset : {"-1", "4294967296", "9223372036854775807", "1.0", "", "#1", " 1"}) {
    EXPECT_EQ(server.Run({"SETBIT", "k", offset, "1"}), kBadOffset);
    EXPECT_EQ(server.Run({"GETBIT", "k", offset}), kBadOffset);
  }
  for (const char* bit : {"2", "-1", "x", "01", ""}) {
    EXPECT_EQ(server.Run({"SETBIT", "k", "0", bit}), kBadBit);
  }
  EXPECT_EQ(server.Run({"SETBIT", "k", "-1", "2"}), kBadOffset);
  EXPECT_EQ(server.Run({"GETBIT", "k", "4294967295"}), Integer(0));
  server.engine().options().proto_max_bulk_len.Set(1024 * 1024);
  EXPECT_EQ(server.Run({"SETBIT", "k", "8388608", "1"}), kBadOffset);
  EXPECT_EQ(server.Run({"SETBIT", "k", "8388607", "1"}), Integer(0));
  EXPECT_EQ(server.Run({"STRLEN", "k"}), Integer(1024 * 1024));
  server.Validate();
}

TEST(bitmap_count) {
  TestServer server;
  server.Run({"SET", "k", "foobar"});
  EXPECT_EQ(server.Run({"BITCOUNT", "k"}), Integer(26));
  EXPECT_EQ(server.Run({"BITCOUNT", "k", "0", "0"}), Integer(4));
  EXPECT_EQ(server.Run({"BITCOUNT", "k", "1", "1"}), Integer(6));
  EXPECT_EQ(server.Run({"BITCOUNT", "k", "1", "1", "byte"}), Integer(6));
  EXPECT_EQ(server.Run({"BITCOUNT", "k", "5", "30", "BIT"}), Integer(17));
  EXPECT_EQ(server.Run({"BITCOUNT", "k", "-10", "-20"}), Integer(0));
  EXPECT_EQ(server.Run({"BITCOUNT", "k", "-20", "-10"}), Integer(4));  // both ends become 0
  EXPECT_EQ(server.Run({"BITCOUNT", "k", "0"}), kSyntax);
  EXPECT_EQ(server.Run({"BITCOUNT", "k", "0", "1", "bits"}), kSyntax);
  EXPECT_EQ(server.Run({"BITCOUNT", "k", "0", "1", "bit", "x"}), kSyntax);
  EXPECT_EQ(server.Run({"BITCOUNT", "k", "0", "x", "bits"}), kNotInteger);
  // 7.2 looks at the range first, 7.0 said 0.
  EXPECT_EQ(server.Run({"BITCOUNT", "none", "0", "x"}), kNotInteger);
  EXPECT_EQ(server.Run({"BITCOUNT", "none", "0", "1", "bits"}), kSyntax);
  EXPECT_EQ(server.Run({"BITCOUNT", "none"}), Integer(0));
}

TEST(bitmap_position) {
  TestServer server;
  server.Run({"SET", "k", "\xff\xf0\x00"sv});
  EXPECT_EQ(server.Run({"BITPOS", "k", "0"}), Integer(12));
  EXPECT_EQ(server.Run({"BITPOS", "k", "1", "2"}), Integer(-1));
  EXPECT_EQ(server.Run({"BITPOS", "k", "1", "1"}), Integer(8));
  EXPECT_EQ(server.Run({"BITPOS", "k", "1", "9", "20", "BIT"}), Integer(9));
  EXPECT_EQ(server.Run({"BITPOS", "k", "1", "12", "20", "BIT"}), Integer(-1));
  EXPECT_EQ(server.Run({"BITPOS", "k", "0", "3", "11", "BIT"}), Integer(-1));
  server.Run({"SET", "ones", "\xff\xff\xff"});
  EXPECT_EQ(server.Run({"BITPOS", "ones", "0"}), Integer(24));
  EXPECT_EQ(server.Run({"BITPOS", "ones", "0", "1"}), Integer(24));
  EXPECT_EQ(server.Run({"BITPOS", "ones", "0", "1", "-1"}), Integer(-1));
  EXPECT_EQ(server.Run({"BITPOS", "ones", "0", "3"}), Integer(-1));
  server.Run({"SET", "empty", ""});
  EXPECT_EQ(server.Run({"BITPOS", "empty", "0"}), Integer(-1));
  EXPECT_EQ(server.Run({"BITPOS", "none", "0"}), Integer(0));
  EXPECT_EQ(server.Run({"BITPOS", "none", "1"}), Integer(-1));
  EXPECT_EQ(server.Run({"BITPOS", "k", "2"}), Error("ERR The bit argument must be 1 or 0."));
  EXPECT_EQ(server.Run({"BITPOS", "k", "x"}), kNotInteger);
  EXPECT_EQ(server.Run({"BITPOS", "k", "1", "0", "1", "bits"}), kSyntax);
  EXPECT_EQ(server.Run({"BITPOS", "k", "1", "0", "1", "bit", "x"}), kSyntax);
  EXPECT_EQ(server.Run({"BITPOS", "none", "1", "x"}), kNotInteger);
}

// All four range commands of random bytes, bit by bit.
TEST(bitmap_ranges_like_a_loop) {
  Random random(test::Seed());
  TestServer server;
  for (int round = 0; round < 400; round++) {
    std::string bytes(1 + random.Below(20), '\0');
    const bool is_mixed = random.OneIn(2);
    for (char& c : bytes) c = static_cast<char>(is_mixed ? random.Next() : random.OneIn(5) ? 0x10 : 0);
    server.Run({"SET", "k", bytes});
    const bool in_bits = random.OneIn(2);
    const int64_t length = static_cast<int64_t>(bytes.size()) * (in_bits ? 8 : 1);
    const int64_t start = random.Between(-length - 3, length + 3);
    const int64_t end = random.Between(-length - 3, length + 3);
    int64_t from = start < 0 ? std::max<int64_t>(start + length, 0) : start;
    int64_t to = end < 0 ? std::max<int64_t>(end + length, 0) : std::min(end, length - 1);
    if (!in_bits) from *= 8;
    if (!in_bits) to = to * 8 + 7;
    int64_t count = 0;
    int64_t first[2] = {-1, -1};
    for (int64_t i = to; i >= from; i--) {
      const int bit = static_cast<unsigned char>(bytes[static_cast<size_t>(i / 8)]) >> (7 - i % 8) & 1;
      count += bit;
      first[bit] = i;
    }
    if (start < 0 && end < 0 && start > end) count = 0;
    const std::string a = std::to_string(start);
    const std::string b = std::to_string(end);
    const std::string_view unit = in_bits ? "BIT" : "BYTE";
    EXPECT_EQ(server.Run({"BITCOUNT", "k", a, b, unit}), Integer(count));
    EXPECT_EQ(server.Run({"BITPOS", "k", "0", a, b, unit}), Integer(first[0]));
    EXPECT_EQ(server.Run({"BITPOS", "k", "1", a, b, unit}), Integer(first[1]));
  }
}

TEST(bitmap_operations) {
  TestServer server(8);
  server.Run({"SET", "x", "\x0f\xff"});
  server.Run({"SET", "y", "\x3c"});
  server.Run({"SET", "z", "\x55\x01\x80"});
  const auto result = [&](std::string_view operation) {
    server.Run({"BITOP", operation, "d", "x", "y", "z"});
    return server.Run({"GET", "d"});
  };
  EXPECT_EQ(result("AND"), Bulk("\x04\0\0"sv));
  EXPECT_EQ(result("or"), Bulk("\x7f\xff\x80"));
  EXPECT_EQ(result("XOR"), Bulk("\x66\xfe\x80"));
  EXPECT_EQ(result("DIFF"), Bulk("\x02\xfe\0"sv));
  EXPECT_EQ(result("DIFF1"), Bulk("\x70\0\x80"sv));
  EXPECT_EQ(result("ANDOR"), Bulk("\x0d\x01\0"sv));
  EXPECT_EQ(result("ONE"), Bulk("\x62\xfe\x80"));
  EXPECT_EQ(server.encoding("d"), "raw");
  EXPECT_EQ(server.Run({"BITOP", "NOT", "x", "x"}), Integer(2));
  EXPECT_EQ(server.Run({"GET", "x"}), Bulk("\xf0\0"sv));
  EXPECT_EQ(server.Run({"BITOP", "ONE", "d", "y"}), Integer(1));
  EXPECT_EQ(server.Run({"GET", "d"}), Bulk("\x3c"));
  server.Validate();
}

TEST(bitmap_operation_errors) {
  TestServer server;
  server.Run({"SET", "x", "abc"});
  EXPECT_EQ(server.Run({"BITOP", "NAND", "d", "x"}), kSyntax);
  EXPECT_EQ(server.Run({"BITOP", "NOT", "d", "x", "x"}),
            Error("ERR BITOP NOT must be called with a single source key."));
  for (const std::string name : {"DIFF", "DIFF1", "ANDOR"}) {
    EXPECT_EQ(server.Run({"BITOP", name, "d", "x"}),
              Error("ERR BITOP " + name + " must be called with at least two source keys."));
  }
  EXPECT_EQ(server.Run({"EXISTS", "d"}), Integer(0));
}

TEST(bitmap_operation_target) {
  TestServer server(8);
  server.Run({"SET", "x", "abc"});
  server.Run({"SET", "d", "old", "EX", "100"});
  EXPECT_EQ(server.Run({"BITOP", "OR", "d", "x", "none"}), Integer(3));
  EXPECT_EQ(server.expiry_ms("d"), engine::kNoExpiry);
  EXPECT_EQ(server.Run({"BITOP", "AND", "d", "x", "none"}), Integer(3));
  EXPECT_EQ(server.Run({"GET", "d"}), Bulk("\0\0\0"sv));
  EXPECT_EQ(server.Run({"BITOP", "AND", "d", "none", "nothing"}), Integer(0));
  EXPECT_EQ(server.last_dirty(), 1);
  EXPECT_EQ(server.Run({"EXISTS", "d"}), Integer(0));
  EXPECT_EQ(server.Run({"BITOP", "AND", "d", "none"}), Integer(0));
  EXPECT_EQ(server.last_dirty(), 0);
}

// Large values are written over where they lie, unless somebody else still reads them.
TEST(bitmap_operation_on_large_values) {
  TestServer server(8);
  const std::string a(40'000, '\x0f');
  const std::string b(30'000, '\xf0');
  server.Run({"SET", "a", a});
  server.Run({"SET", "b", b});
  const std::string united = std::string(30'000, '\xff') + std::string(10'000, '\x0f');
  server.Run({"SET", "d", a, "EX", "100"});
  EXPECT_EQ(server.Run({"BITOP", "OR", "d", "a", "b"}), Integer(40'000));
  EXPECT_EQ(server.Run({"GET", "d"}), Bulk(united));
  EXPECT_EQ(server.expiry_ms("d"), engine::kNoExpiry);
  resp::OutputBuffer reading;
  const std::string_view get[] = {"GET", "d"};
  server.RunInto(&reading, get);
  EXPECT_EQ(server.Run({"BITOP", "XOR", "d", "a", "d"}), Integer(40'000));
  EXPECT_EQ(TestServer::Bytes(reading), Bulk(united));
  EXPECT_EQ(server.Run({"GET", "d"}), Bulk(std::string(30'000, '\xf0') + std::string(10'000, '\0')));
  // As one of its own sources, shorter than the result.
  EXPECT_EQ(server.Run({"BITOP", "OR", "b", "b", "a"}), Integer(40'000));
  EXPECT_EQ(server.Run({"GET", "b"}), Bulk(united));
  server.Validate();
}

TEST(bitmap_of_many_sources) {
  TestServer server(8);
  std::vector<std::string> line = {"BITOP", "XOR", "d"};
  for (int i = 0; i < 20; i++) {
    line.push_back("k" + std::to_string(i));
    server.Run({"SET", line.back(), std::to_string(i)});  // as integers: each needs a text of its own
  }
  const std::vector<std::string_view> views(line.begin(), line.end());
  EXPECT_EQ(server.RunLine(views), Integer(2));
  // '0' ^ … ^ '9' = 1, ten times '1' = 0; second digits: 1.
  EXPECT_EQ(server.Run({"GET", "d"}), Bulk("\x01\x01"));
}

TEST(bitmap_wrong_type) {
  TestServer server;
  const ForeignKey list(server, "list");
  server.Run({"SET", "x", "abc"});
  const std::string wrong = Error(engine::errors::kWrongType);
  EXPECT_EQ(server.Run({"SETBIT", "list", "0", "1"}), wrong);
  EXPECT_EQ(server.Run({"GETBIT", "list", "0"}), wrong);
  EXPECT_EQ(server.Run({"BITCOUNT", "list"}), wrong);
  EXPECT_EQ(server.Run({"BITPOS", "list", "0"}), wrong);
  EXPECT_EQ(server.Run({"BITOP", "AND", "d", "x", "list"}), wrong);
  EXPECT_EQ(server.Run({"BITCOUNT", "list", "x", "0"}), kNotInteger);
}

TEST(bitmap_effects_and_events) {
  TestServer server(8);
  server.Listen();
  server.Run({"SETBIT", "k", "9", "0"});
  EXPECT_EQ(Joined(server.TakeEffects()), "SETBIT k 9 0");
  EXPECT_EQ(Joined(server.TakeEvents()), "new k, setbit k");
  server.Run({"SETBIT", "k", "9", "0"});
  EXPECT_EQ(Joined(server.TakeEffects()) + Joined(server.TakeEvents()), "");
  server.Run({"BITOP", "NOT", "d", "k"});
  server.Run({"BITOP", "OR", "d", "k"});
  EXPECT_EQ(Joined(server.TakeEffects()), "BITOP NOT d k, BITOP OR d k");
  EXPECT_EQ(Joined(server.TakeEvents()), "new d, set d, set d");
  server.Run({"BITOP", "OR", "d", "none"});
  EXPECT_EQ(Joined(server.TakeEffects()), "BITOP OR d none");
  EXPECT_EQ(Joined(server.TakeEvents()), "keymiss none, del d");
}

}  // namespace
}  // namespace sherd
