// SORT's order against std::stable_sort; weights and keys at their edges; patterns taken apart.
#include "commands/sort_order.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/random.h"
#include "commands/sort_options.h"
#include "test/test.h"

namespace sherd {
namespace {

double RandomNumber(Random& random) {
  static constexpr double kEdges[] = {
      0.0,    -0.0,    1.0,   -1.0,     0.5,       1e308,        -1e308,
      1e-308, -1e-308, 1e300, INFINITY, -INFINITY, 4294967296.0, 9007199254740993.0};
  if (random.OneIn(4)) return kEdges[random.Below(std::size(kEdges))];
  if (random.OneIn(2)) return static_cast<double>(random.Between(-50, 50));
  return static_cast<double>(random.Between(-1000000, 1000000)) / 7;
}

TEST(sort_order_keys_ascend_with_numbers) {
  Random random(test::Seed());
  for (int i = 0; i < 20000; i++) {
    const double a = RandomNumber(random);
    const double b = RandomNumber(random);
    EXPECT_EQ(SortKeyOfNumber(a) < SortKeyOfNumber(b), a < b);
    EXPECT_EQ(SortKeyOfNumber(a) == SortKeyOfNumber(b), a == b);
  }
}

TEST(sort_order_radix_sorts_and_is_stable) {
  Random random(test::Seed());
  for (const size_t size : {0, 1, 2, 199, 200, 201, 5000}) {
    for (const int bits : {3, 11, 40, 64}) {
      std::vector<SortItem> items(size);
      for (size_t i = 0; i < size; i++)
        items[i] = {random.Next() >> (64 - bits) << random.Below(2), i};
      std::vector<SortItem> expected = items;
      std::stable_sort(expected.begin(), expected.end(),
                       [](const SortItem& a, const SortItem& b) { return a.key < b.key; });
      SortByKey(&items);
      for (size_t i = 0; i < size; i++) {
        EXPECT_EQ(items[i].key, expected[i].key);
        EXPECT_EQ(items[i].index, expected[i].index);
      }
    }
  }
}

std::string RandomText(Random& random, const std::string& prefix) {
  std::string text = prefix;
  for (uint64_t length = random.Below(12); length > 0; length--) {
    text += static_cast<char>(random.OneIn(5) ? random.Next() : 'a' + random.Below(2));
  }
  return text;
}

TEST(sort_order_of_texts_is_that_of_bytes) {
  Random random(test::Seed());
  for (const std::string prefix : {"", "element:", "a long beginning \xff"}) {
    for (const bool is_descending : {false, true}) {
      std::vector<std::string> texts(700);
      for (std::string& text : texts) text = RandomText(random, prefix);
      const std::vector<std::string_view> views(texts.begin(), texts.end());
      const size_t skip = CommonPrefix(views);
      EXPECT_GE(skip, prefix.size());
      std::vector<SortItem> items;
      for (size_t i = 0; i < texts.size(); i++) items.push_back({SortKeyOfText(views[i], skip), i});
      SortItems(&items, is_descending,
                [&](size_t a, size_t b) { return views[a].compare(views[b]); });
      std::vector<size_t> expected(texts.size());
      for (size_t i = 0; i < expected.size(); i++) expected[i] = i;
      std::stable_sort(expected.begin(), expected.end(), [&](size_t a, size_t b) {
        return is_descending ? views[b] < views[a] : views[a] < views[b];
      });
      for (size_t i = 0; i < expected.size(); i++) EXPECT_EQ(items[i].index, expected[i]);
    }
  }
}

TEST(sort_order_weights_are_what_strtod_takes) {
  const struct {
    std::string_view text;
    double weight;
  } kNumbers[] = {
      {"0", 0},
      {"-5", -5},
      {"+5", 5},
      {" 5", 5},
      {"\t5", 5},
      {"05", 5},
      {"", 0},
      {"1.5", 1.5},
      {".5", 0.5},
      {"5.", 5},
      {"1e2", 100},
      {"0x10", 16},
      {"inf", INFINITY},
      {"-Infinity", -INFINITY},
      {"-0", 0},
      {"0.0", 0},
      {"9223372036854775807", 9223372036854775807.0},
      {"9223372036854775808", 9223372036854775808.0},
      {"1e308", 1e308},
      {std::string_view("7\0x", 3), 7},
      {std::string_view("\0x", 2), 0},
  };
  for (const auto& row : kNumbers) {
    double weight = -1;
    EXPECT_MSG(ParseSortWeight(row.text, &weight), std::string(row.text));
    EXPECT_EQ(weight, row.weight);
  }
  for (const char* text : {"abc", "5 ", "1e", "nan", "-nan", "1e400", "-1e400", "1e-400", "1e-310",
                           "1,5", "5x", "+"}) {
    double weight = 0;
    EXPECT_MSG(!ParseSortWeight(text, &weight), text);
  }
}

TEST(sort_options_take_patterns_apart) {
  using Kind = SortPattern::Kind;
  const struct {
    std::string_view text;
    Kind kind;
    std::string_view prefix;
    std::string_view suffix;
    std::string_view field;
  } kRows[] = {
      {"#", Kind::kElement, "", "", ""},
      {std::string_view("#\0x", 3), Kind::kElement, "", "", ""},
      {"##", Kind::kNothing, "", "", ""},
      {"", Kind::kNothing, "", "", ""},
      {"nostar", Kind::kNothing, "", "", ""},
      {std::string_view("no\0star*", 8), Kind::kNothing, "", "", ""},
      {"*", Kind::kString, "", "", ""},
      {"w_*", Kind::kString, "w_", "", ""},
      {"w_*_x*", Kind::kString, "w_", "_x*", ""},
      {"h_*->f", Kind::kField, "h_", "", "f"},
      {"h_*_t->f->g", Kind::kField, "h_", "_t", "f->g"},
      {"h_*->", Kind::kString, "h_", "->", ""},
      {"a->b*", Kind::kString, "a->b", "", ""},
      {std::string_view("w_*\0->f", 7), Kind::kString, "w_", std::string_view("\0->f", 4), ""},
      {std::string_view("w_*->\0f", 7), Kind::kString, "w_", std::string_view("->\0f", 4), ""},
      {std::string_view("w_*->f\0g", 8), Kind::kField, "w_", "", std::string_view("f\0g", 3)},
  };
  for (const auto& row : kRows) {
    const SortPattern pattern = SortPattern::Parse(row.text);
    EXPECT_EQ(pattern.kind, row.kind);
    EXPECT_EQ(pattern.prefix, row.prefix);
    EXPECT_EQ(pattern.suffix, row.suffix);
    EXPECT_EQ(pattern.field, row.field);
  }
}

}  // namespace
}  // namespace sherd
