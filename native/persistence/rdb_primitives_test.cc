// The primitives of the RDB format: what is written is read back, what a real server wrote is read, and
// bytes that lie are refused.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"
#include "persistence/old_packs.h"
#include "persistence/rdb_reader.h"
#include "persistence/rdb_writer.h"
#include "test/test.h"

namespace sherd::persistence {
namespace {

std::string Written(std::string_view text, bool compress = true) {
  std::string out;
  RdbWriter(&out, compress).String(text);
  return out;
}

std::string ReadBack(const std::string& bytes, bool* ok) {
  RdbReader reader(bytes);
  RdbString text;
  *ok = reader.String(&text) && reader.AtEnd();
  return std::string(text.view);
}

TEST(rdb_lengths_of_every_form_are_read_back) {
  for (const uint64_t length : {uint64_t{0}, uint64_t{63}, uint64_t{64}, uint64_t{16383}, uint64_t{16384},
                                uint64_t{1} << 32, (uint64_t{1} << 32) - 1, ~uint64_t{0}}) {
    std::string out;
    RdbWriter(&out, true).Length(length);
    RdbReader reader(out);
    EXPECT_EQ(reader.Length(), length);
    EXPECT_TRUE(reader.ok());
    EXPECT_TRUE(reader.AtEnd());
  }
}

TEST(rdb_integers_are_written_short) {
  EXPECT_EQ(Written("12").size(), size_t{2});
  EXPECT_EQ(Written("-129").size(), size_t{3});
  EXPECT_EQ(Written("-2147483648").size(), size_t{5});
  EXPECT_EQ(Written("2147483648"), std::string("\x0a") + "2147483648");
  EXPECT_EQ(Written("012"), "\x03" "012");
  for (const int64_t value : {int64_t{0}, int64_t{-128}, int64_t{32767}, int64_t{-32769},
                              int64_t{std::numeric_limits<int32_t>::max()},
                              std::numeric_limits<int64_t>::min()}) {
    std::string out;
    RdbWriter(&out, true).IntegerString(value);
    EXPECT_EQ(out, Written(std::to_string(value)));
    bool ok;
    EXPECT_EQ(ReadBack(out, &ok), std::to_string(value));
    EXPECT_TRUE(ok);
  }
}

TEST(rdb_strings_are_compressed_when_it_pays) {
  const std::string repeated(1000, 'a');
  EXPECT_LT(Written(repeated).size(), size_t{40});
  EXPECT_EQ(Written(repeated, false).size(), size_t{1002});
  EXPECT_EQ(Written(std::string(20, 'a')).size(), size_t{21});
  Random random(7);
  for (int i = 0; i < 300; i++) {
    std::string text(random.Below(3000), '\0');
    const uint64_t letters = 1 + random.Below(256);
    for (char& c : text) c = static_cast<char>(random.Below(letters));
    bool ok;
    EXPECT_EQ(ReadBack(Written(text), &ok), text);
    EXPECT_TRUE(ok);
  }
}

TEST(rdb_strings_that_lie_about_their_size_are_refused) {
  const std::string repeated = Written(std::string(1000, 'a'));
  bool ok;
  for (size_t cut = 0; cut < repeated.size(); cut++) {
    ReadBack(repeated.substr(0, cut), &ok);
    EXPECT_TRUE(!ok);
  }
  // Four compressed bytes cannot stand for a gigabyte, and no memory is taken for the claim.
  const std::string claim("\xc3\x04\x80\x40\x00\x00\x00" "abcd", 11);
  ReadBack(claim, &ok);
  EXPECT_TRUE(!ok);
  ReadBack(std::string("\x80\xff\xff\xff\xff" "abc", 8), &ok);
  EXPECT_TRUE(!ok);
  ReadBack("\xc4", &ok);
  EXPECT_TRUE(!ok);
}

TEST(rdb_doubles_in_both_forms) {
  for (const double value : {0.0, -0.0, 1.5, 1e308, -std::numeric_limits<double>::infinity()}) {
    std::string out;
    RdbWriter(&out, true).BinaryDouble(value);
    RdbReader reader(out);
    const double back = reader.BinaryDouble();
    EXPECT_EQ(std::memcmp(&back, &value, sizeof back), 0);
  }
  RdbReader text("\x03" "1.5" "\xfe\xff\xfd");
  EXPECT_EQ(text.TextDouble(), 1.5);
  EXPECT_EQ(text.TextDouble(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(text.TextDouble(), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(text.TextDouble()));
  RdbReader broken("\x03" "1.x");
  broken.TextDouble();
  EXPECT_TRUE(!broken.ok());
}

// ---- Old packs ----

std::vector<std::string> Texts(const std::vector<ds::PackedValue>& values) {
  std::vector<std::string> texts;
  char buffer[kInt64CharsMax];
  for (const ds::PackedValue& value : values) texts.emplace_back(value.View(buffer));
  return texts;
}

/// A ziplist of entries given as encoding and data, without the lengths of their neighbours.
std::string Ziplist(const std::vector<std::string>& entries) {
  std::string body;
  size_t previous = 0;
  size_t last = 10;
  for (const std::string& entry : entries) {
    last = 10 + body.size();
    std::string head(1, static_cast<char>(previous));
    if (previous >= 254) {
      head.assign("\xfe" "1234");
      StoreLittle32(head.data() + 1, static_cast<uint32_t>(previous));
    }
    body += head + entry;
    previous = head.size() + entry.size();
  }
  std::string bytes(10, '\0');
  bytes += body + "\xff";
  StoreLittle32(bytes.data(), static_cast<uint32_t>(bytes.size()));
  StoreLittle32(bytes.data() + 4, static_cast<uint32_t>(last));
  StoreLittle16(bytes.data() + 8, static_cast<uint16_t>(entries.size()));
  return bytes;
}

TEST(ziplists_of_every_encoding_are_read) {
  const std::string long_text(300, 'x');
  const std::string bytes = Ziplist({
      "\x05hello", std::string("\x41\x2c", 2) + long_text, std::string("\x80\x00\x00\x00\x01z", 6),
      std::string("\xc0\x00\x80", 3), std::string("\xd0\xff\xff\xff\x7f", 5),
      std::string("\xe0\x00\x00\x00\x00\x00\x00\x00\x80", 9), std::string("\xf0\xff\xff\xff", 4),
      "\xfe\x80", "\xf1", "\xfd", std::string("\0", 1),
  });
  std::vector<ds::PackedValue> values;
  EXPECT_TRUE(ReadZiplist(bytes, &values));
  EXPECT_TRUE(Texts(values) ==
              (std::vector<std::string>{"hello", long_text, "z", "-32768", "2147483647",
                                        "-9223372036854775808", "-1", "-128", "0", "12", ""}));
}

TEST(broken_ziplists_are_refused) {
  const std::string good = Ziplist({"\x05hello", "\xf3", std::string("\xc0\x01\x02", 3)});
  std::vector<ds::PackedValue> values;
  EXPECT_TRUE(ReadZiplist(good, &values));
  for (size_t cut = 0; cut < good.size(); cut++) EXPECT_TRUE(!ReadZiplist(good.substr(0, cut), &values));
  // Any other byte count, tail, count, or length of a neighbour.
  for (const size_t at : {0, 4, 8, 10, 17}) {
    std::string bad = good;
    bad[at]++;
    EXPECT_TRUE(!ReadZiplist(bad, &values));
  }
}

TEST(zipmaps_are_read) {
  const std::string bytes("\x02\x03" "foo" "\x03\x00" "bar" "\x05" "hello" "\x05\x02" "world" "..\xff", 26);
  std::vector<ds::PackedValue> values;
  EXPECT_TRUE(ReadZipmap(bytes, &values));
  EXPECT_TRUE(Texts(values) == (std::vector<std::string>{"foo", "bar", "hello", "world"}));
  for (size_t cut = 0; cut < bytes.size(); cut++) {
    std::vector<ds::PackedValue> ignored;
    EXPECT_TRUE(!ReadZipmap(bytes.substr(0, cut), &ignored));
  }
}

}  // namespace
}  // namespace sherd::persistence
