// The small parts of base: bytes, strings, clock, random, result.
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "base/strings.h"
#include "test/test.h"

namespace sherd {

namespace {

Result<int> Half(int value) {
  if (value % 2 != 0) return Status::Invalid("odd");
  return value / 2;
}

Status HalveTwice(int value, int* out) {
  Result<int> half = Half(value);
  RETURN_IF_ERROR(half.status());
  Result<int> quarter = Half(half.value());
  RETURN_IF_ERROR(quarter.status());
  *out = quarter.value();
  return Status::Ok();
}

}  // namespace

TEST(bytes_order_and_alignment) {
  unsigned char bytes[16] = {};
  StoreLittle64(bytes + 1, 0x0102030405060708ULL);
  EXPECT_EQ(bytes[1], 8);
  EXPECT_EQ(bytes[8], 1);
  EXPECT_EQ(LoadLittle64(bytes + 1), 0x0102030405060708ULL);
  EXPECT_EQ(LoadBig64(bytes + 1), 0x0807060504030201ULL);
  StoreBig32(bytes + 3, 0xa1b2c3d4u);
  EXPECT_EQ(bytes[3], 0xa1);
  EXPECT_EQ(LoadBig32(bytes + 3), 0xa1b2c3d4u);
  EXPECT_EQ(LoadLittle32(bytes + 3), 0xd4c3b2a1u);
  StoreBig16(bytes + 5, 0xbeef);
  EXPECT_EQ(LoadBig16(bytes + 5), 0xbeef);
  StoreLittle16(bytes + 5, 0xbeef);
  EXPECT_EQ(LoadBig16(bytes + 5), 0xefbe);
  StoreLittle32(bytes, 5);
  StoreBig64(bytes + 7, 6);
  EXPECT_EQ(LoadLittle16(bytes), 5);
  EXPECT_EQ(bytes[14], 6);
}

TEST(equal_bytes_sees_every_byte_of_every_length) {
  char a[80], b[80];
  for (size_t size = 0; size <= sizeof(a); size++) {
    for (size_t i = 0; i < size; i++) a[i] = b[i] = static_cast<char>('a' + i % 26);
    EXPECT_TRUE(EqualBytes(a, b, size));
    for (size_t i = 0; i < size; i++) {
      b[i] = static_cast<char>(b[i] ^ 0x80);
      EXPECT_TRUE(!EqualBytes(a, b, size));
      b[i] = a[i];
    }
  }
  EXPECT_TRUE(!EqualBytes(std::string_view("ab"), std::string_view("abc")));
  EXPECT_TRUE(EqualBytes(std::string_view(), std::string_view()));
}

TEST(byte_reader_stops_at_the_end_for_good) {
  const std::string bytes("\x01\x02\x00\x00\x00\x03xyz", 9);
  ByteReader reader(bytes);
  EXPECT_EQ(reader.Byte(), 1);
  EXPECT_EQ(reader.Little32(), 2u);
  EXPECT_EQ(reader.Byte(), 3);
  EXPECT_EQ(reader.Bytes(2), "xy");
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.remaining(), size_t{1});
  EXPECT_EQ(reader.Big16(), 0);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.Byte(), 0);  // one byte is left, but a failed reader reads nothing
  EXPECT_EQ(reader.Bytes(0), "");
  EXPECT_FALSE(reader.ok());
}

TEST(byte_reader_refuses_huge_lengths) {
  ByteReader reader("abc");
  EXPECT_EQ(reader.Bytes(UINT64_MAX), "");
  EXPECT_FALSE(reader.ok());
  ByteReader whole("abc");
  EXPECT_EQ(whole.Bytes(3), "abc");
  EXPECT_TRUE(whole.AtEnd());
  EXPECT_TRUE(whole.ok());
}

TEST(strings_fold_ascii_only) {
  EXPECT_TRUE(EqualsIgnoreCase("GeTeX", "getex"));
  EXPECT_FALSE(EqualsIgnoreCase("get", "gett"));
  EXPECT_FALSE(EqualsIgnoreCase("[", "{"));
  EXPECT_FALSE(EqualsIgnoreCase("@", "`"));
  EXPECT_FALSE(EqualsIgnoreCase("\xc4", "\xe4"));
  EXPECT_TRUE(StartsWithIgnoreCase("TrueType", "true"));
  EXPECT_FALSE(StartsWithIgnoreCase("tr", "true"));
  EXPECT_EQ(ToAsciiLower("A\xc4Z1"), "a\xc4z1");
  EXPECT_EQ(ToAsciiUpper("a{z"), "A{Z");
  EXPECT_EQ(HexDigitValue('g'), -1);
  EXPECT_EQ(HexDigitValue('F'), 15);
  EXPECT_EQ(HexDigitValue('0'), 0);
  EXPECT_TRUE(IsAsciiSpace('\v'));
  EXPECT_FALSE(IsAsciiSpace('\0'));
}

TEST(fake_clock_takes_over_and_gives_back) {
  const int64_t before_ns = Clock::MonotonicNs();
  {
    FakeClock fake(5'000'000);
    EXPECT_EQ(Clock::WallMs(), 5000);
    const int64_t start_ns = Clock::MonotonicNs();
    fake.AdvanceMs(250);
    EXPECT_EQ(Clock::MonotonicNs() - start_ns, 250'000'000);
    EXPECT_EQ(Clock::WallUs(), 5'250'000);
    fake.SetWallUs(1);
    EXPECT_EQ(Clock::WallUs(), 1);
    EXPECT_EQ(Clock::MonotonicNs() - start_ns, 250'000'000);
  }
  EXPECT_GE(Clock::MonotonicNs(), before_ns);
  EXPECT_GT(Clock::WallMs(), int64_t{1'600'000'000'000});
}

TEST(cycle_clock_agrees_with_the_system) {
  CycleClock::Calibrate();
  const int64_t start_ns = Clock::MonotonicNs();
  const uint64_t start = CycleClock::Now();
  while (Clock::MonotonicNs() - start_ns < 5'000'000) {
  }
  const int64_t system_ns = Clock::MonotonicNs() - start_ns;
  const auto measured_ns = static_cast<int64_t>(CycleClock::ToNs(CycleClock::Now() - start));
  // 1 %, and the time that a busy machine may take between two readings.
  const int64_t difference_ns =
      measured_ns > system_ns ? measured_ns - system_ns : system_ns - measured_ns;
  EXPECT_LT(difference_ns, system_ns / 100 + 2'000'000);
}

TEST(random_replays_from_its_seed) {
  Random a(42);
  Random b(42);
  Random c(43);
  bool is_different = false;
  for (int i = 0; i < 100; i++) {
    const uint64_t value = a.Next();
    EXPECT_EQ(value, b.Next());
    is_different |= value != c.Next();
  }
  EXPECT_TRUE(is_different);
}

TEST(random_stays_in_bounds_and_reaches_all) {
  Random random(test::Seed());
  std::vector<int> hits(7);
  for (int i = 0; i < 70'000; i++) hits[random.Below(7)]++;
  for (const int count : hits) {
    EXPECT_GT(count, 9'000);  // 10,000 expected, deviation about 93
    EXPECT_LT(count, 11'000);
  }
  EXPECT_EQ(random.Below(1), 0u);
  std::set<int64_t> seen;
  for (int i = 0; i < 1000; i++) seen.insert(random.Between(-2, 2));
  EXPECT_EQ(seen.size(), size_t{5});
  EXPECT_EQ(*seen.begin(), -2);
  EXPECT_EQ(random.Between(INT64_MIN, INT64_MIN), INT64_MIN);
  (void)random.Between(INT64_MIN, INT64_MAX);
  for (int i = 0; i < 1000; i++) {
    const double unit = random.Unit();
    EXPECT_TRUE(unit >= 0 && unit < 1);
  }
}

TEST(result_carries_a_value_or_an_error) {
  int quarter = 0;
  EXPECT_TRUE(HalveTwice(12, &quarter).ok());
  EXPECT_EQ(quarter, 3);
  const Status status = HalveTwice(6, &quarter);
  EXPECT_EQ(status.code(), StatusCode::kInvalid);
  EXPECT_EQ(status.message(), "odd");
  EXPECT_EQ(quarter, 3);
  Result<std::unique_ptr<int>> owned(std::make_unique<int>(5));
  const std::unique_ptr<int> taken = std::move(owned).value();
  EXPECT_EQ(*taken, 5);
  EXPECT_EQ(Status::Io("write", 28).error_number(), 28);
}

}  // namespace sherd
