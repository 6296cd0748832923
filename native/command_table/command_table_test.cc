// Tests of lookup and key extraction. Key extraction is tested on specs built here, since the
// commands with searched keys come with later families; lookup is tested on every command of the
// table.
#include "command_table/command_table.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <iterator>
#include <random>
#include <string>

#include "test/test.h"

namespace sherd {
namespace {

using Words = std::vector<std::string_view>;

std::string Upper(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return upper;
}

KeySpec RangeSpec(int16_t index, int16_t last_key, int16_t step, int16_t limit = 0) {
  return {KeySpec::Begin::kIndex,
          index,
          nullptr,
          KeySpec::Find::kRange,
          last_key,
          step,
          limit,
          0,
          0,
          kKeyRO};
}
KeySpec KeynumSpec(int16_t index) {
  return {KeySpec::Begin::kIndex, index, nullptr, KeySpec::Find::kKeynum, 0, 1, 0, 0, 1, kKeyRO};
}
KeySpec KeywordSpec(const char* keyword, int16_t start, int16_t last_key, int16_t limit) {
  return {KeySpec::Begin::kKeyword,
          start,
          keyword,
          KeySpec::Find::kRange,
          last_key,
          1,
          limit,
          0,
          0,
          kKeyRO};
}

/// The positions as text, "!" in front when the line does not fit.
std::string Extract(std::vector<KeySpec> key_specs, Words args, uint64_t flags = 0) {
  CommandSpec spec{};
  spec.flags = flags;
  spec.key_specs = key_specs.data();
  spec.key_spec_count = static_cast<uint16_t>(key_specs.size());
  std::vector<uint32_t> positions{77};
  const bool fits = ExtractKeys(spec, args, &positions);
  std::string text = fits ? "" : "!";
  for (uint32_t position : positions) text += std::to_string(position) + " ";
  return text;
}

TEST(command_table_every_command_is_found_in_any_case) {
  for (const CommandSpec& spec : AllCommands()) {
    EXPECT_TRUE(FindFullCommand(spec.full_name) == &spec);
    EXPECT_TRUE(FindFullCommand(Upper(spec.full_name)) == &spec);
    if (spec.parent == nullptr) {
      EXPECT_TRUE(FindCommand(spec.name) == &spec);
      EXPECT_TRUE(FindCommand(Upper(spec.name)) == &spec);
    } else {
      EXPECT_TRUE(FindSubcommand(*spec.parent, Upper(spec.name)) == &spec);
    }
    EXPECT_TRUE(&AllCommands()[static_cast<size_t>(spec.id)] == &spec);
  }
  EXPECT_EQ(AllCommands().size(), static_cast<size_t>(CommandId::kCount));
}

TEST(command_table_subcommands_hang_together) {
  for (const CommandSpec& spec : AllCommands()) {
    for (uint16_t i = 0; i < spec.subcommand_count; i++) {
      EXPECT_TRUE(spec.subcommands[i].parent == &spec);
      const std::string full_name = std::string(spec.full_name) + "|" + spec.subcommands[i].name;
      EXPECT_EQ(std::string_view(spec.subcommands[i].full_name), std::string_view(full_name));
    }
  }
}

TEST(command_table_names_groups_and_categories) {
  const CommandSpec* get = FindCommand("get");
  EXPECT_EQ(std::string_view(CommandGroupNames()[get->group]), std::string_view("string"));
  std::string categories;
  for (size_t bit = 0; bit < AclCategoryNames().size(); bit++) {
    if ((get->acl_categories >> bit & 1) != 0)
      categories += std::string(AclCategoryNames()[bit]) + " ";
  }
  EXPECT_EQ(categories, "read string fast ");
  EXPECT_EQ(get->flags, static_cast<uint64_t>(kFlagReadonly | kFlagFast));
  EXPECT_TRUE(get->runs == Runs::kKeys);
  for (const CommandSpec& spec : AllCommands())
    EXPECT_TRUE(spec.group < CommandGroupNames().size());
}

TEST(command_table_neighbours_of_names_are_unknown) {
  EXPECT_TRUE(FindCommand("") == nullptr);
  EXPECT_TRUE(FindFullCommand("") == nullptr);
  EXPECT_TRUE(FindFullCommand("|") == nullptr);
  EXPECT_TRUE(FindFullCommand("client|") == nullptr);
  EXPECT_TRUE(FindFullCommand("get|x") == nullptr);
  EXPECT_TRUE(FindFullCommand("client|id|id") == nullptr);
  EXPECT_TRUE(FindCommand("client|id") == nullptr);
  EXPECT_TRUE(FindCommand(std::string_view("get\0", 4)) == nullptr);
  EXPECT_TRUE(FindCommand("g\xc5t") == nullptr);
  EXPECT_TRUE(FindCommand(std::string(100000, 'x')) == nullptr);
  // One changed byte, one byte more or less: never the same command again, whatever the byte.
  for (const CommandSpec& spec : AllCommands()) {
    if (spec.parent != nullptr) continue;
    const std::string name = spec.name;
    for (size_t i = 0; i < name.size(); i++) {
      for (int byte = 0; byte < 256; byte++) {
        std::string changed = name;
        changed[i] = static_cast<char>(byte);
        const bool is_same =
            byte == name[i] || (name[i] >= 'a' && name[i] <= 'z' && byte == name[i] - 0x20);
        EXPECT_EQ(FindCommand(changed) == &spec, is_same);
      }
    }
    EXPECT_TRUE(FindCommand(name + "x") != &spec);
    EXPECT_TRUE(FindCommand(std::string_view(name).substr(1)) != &spec);
  }
}

TEST(command_table_arity_counts_the_name) {
  const CommandSpec* get = FindCommand("get");
  const CommandSpec* mget = FindCommand("mget");
  EXPECT_TRUE(ArityMatches(*get, 2));
  EXPECT_TRUE(!ArityMatches(*get, 3));
  EXPECT_TRUE(ArityMatches(*mget, 9));
  EXPECT_TRUE(!ArityMatches(*mget, 1));
}

TEST(command_table_simple_keys_need_no_search) {
  for (const CommandSpec& spec : AllCommands()) {
    if (!spec.simple_keys || spec.key_spec_count == 0) continue;
    const size_t argc = static_cast<size_t>(std::abs(spec.arity));
    EXPECT_TRUE(argc > static_cast<size_t>(std::max(spec.first_key, spec.last_key)));
    for (size_t extra = 0; extra < (spec.arity < 0 ? 4u : 1u); extra++) {
      const Words args(argc + extra, "x");
      std::vector<uint32_t> expected;
      const int last =
          spec.last_key >= 0 ? spec.last_key : static_cast<int>(args.size()) + spec.last_key;
      for (int i = spec.first_key; i <= last; i += spec.key_step)
        expected.push_back(static_cast<uint32_t>(i));
      std::vector<uint32_t> positions;
      // PFMERGE may end before its sources begin. As in Redis, GETKEYS then finds the line invalid,
      // but the keys that are there are found, and the command runs.
      const bool ends_early = args.size() == 2 && spec.full_name == std::string_view("pfmerge");
      EXPECT_EQ(ExtractKeys(spec, args, &positions), !ends_early);
      EXPECT_TRUE(positions == expected);
    }
  }
  const CommandSpec* rename = FindCommand("rename");
  EXPECT_TRUE(rename->simple_keys && rename->first_key == 1 && rename->last_key == 2 &&
              rename->key_step == 1);
  const CommandSpec* mset = FindCommand("mset");
  EXPECT_TRUE(mset->simple_keys && mset->first_key == 1 && mset->last_key == -1 &&
              mset->key_step == 2);
  EXPECT_TRUE(FindCommand("ping")->simple_keys && FindCommand("ping")->first_key == 0);
}

TEST(command_table_range_specs_stay_inside_the_line) {
  EXPECT_EQ(Extract({RangeSpec(1, 0, 1)}, {"get", "k"}), "1 ");
  EXPECT_EQ(Extract({RangeSpec(1, 0, 1)}, {"get"}), "!");
  EXPECT_EQ(Extract({RangeSpec(1, 1, 1)}, {"lcs", "a"}), "!");
  EXPECT_EQ(Extract({RangeSpec(1, -1, 2)}, {"mset", "a", "1", "b", "2"}), "1 3 ");
  EXPECT_EQ(Extract({RangeSpec(1, -1, 2)}, {"mset", "a", "1", "b"}), "1 3 ");
  EXPECT_EQ(Extract({RangeSpec(1, -2, 1)}, {"blpop", "a", "b", "0"}), "1 2 ");
  EXPECT_EQ(Extract({RangeSpec(1, -2, 1)}, {"blpop", "0"}), "!");
  EXPECT_EQ(Extract({RangeSpec(1, 0, 1), RangeSpec(2, 0, 1)}, {"rename", "a"}), "!1 ");
}

TEST(command_table_keynum_specs_believe_no_count) {
  EXPECT_EQ(Extract({KeynumSpec(1)}, {"zunion", "2", "a", "b", "WEIGHTS"}), "2 3 ");
  EXPECT_EQ(Extract({KeynumSpec(1)}, {"zunion", "3", "a", "b"}), "!");
  EXPECT_EQ(Extract({KeynumSpec(1)}, {"zunion", "0", "a"}), "!");
  EXPECT_EQ(Extract({KeynumSpec(1)}, {"eval", "0", "a"}, kFlagNoMandatoryKeys), "");
  EXPECT_EQ(Extract({KeynumSpec(1)}, {"zunion", "-1", "a"}), "!");
  EXPECT_EQ(Extract({KeynumSpec(1)}, {"zunion", "x", "a"}), "!");
  EXPECT_EQ(Extract({KeynumSpec(1)}, {"zunion", "9223372036854775807", "a"}), "!");
  EXPECT_EQ(Extract({KeynumSpec(1)}, {"zunion", "99999999999999999999", "a"}), "!");
  EXPECT_EQ(Extract({KeynumSpec(1)}, {"zunion"}), "!");
}

TEST(command_table_keyword_specs_search_both_ways) {
  const KeySpec streams = KeywordSpec("STREAMS", 1, -1, 2);
  EXPECT_EQ(Extract({streams}, {"xread", "COUNT", "2", "streams", "a", "b", "0", "0"}), "4 5 ");
  EXPECT_EQ(Extract({streams}, {"xread", "COUNT", "2"}), "!");
  EXPECT_EQ(Extract({streams}, {"xread", "STREAMS"}), "!");
  const KeySpec store = KeywordSpec("STORE", 2, 0, 0);
  EXPECT_EQ(Extract({RangeSpec(1, 0, 1), store}, {"georadius", "k", "1"}), "1 ");
  EXPECT_EQ(Extract({RangeSpec(1, 0, 1), store}, {"georadius", "k", "1", "STORE", "d"}), "1 4 ");
  EXPECT_EQ(Extract({RangeSpec(1, 0, 1), store}, {"georadius", "k", "1", "STORE"}), "!1 ");
  const KeySpec keys = KeywordSpec("KEYS", -2, -1, 0);
  EXPECT_EQ(Extract({keys}, {"migrate", "h", "p", "", "0", "9", "KEYS", "a", "b"}), "7 8 ");
  EXPECT_EQ(Extract({keys}, {"migrate"}), "!");
}

TEST(command_table_unknown_and_not_key_specs) {
  KeySpec unknown{
      KeySpec::Begin::kUnknown, 0, nullptr, KeySpec::Find::kUnknown, 0, 0, 0, 0, 0, kKeyRO};
  EXPECT_EQ(Extract({RangeSpec(1, 0, 1), unknown}, {"sort", "k"}), "!1 ");
  KeySpec channel = RangeSpec(1, 0, 1);
  channel.flags = kKeyNotKey;
  EXPECT_EQ(Extract({channel}, {"spublish", "c", "m"}), "");
  EXPECT_EQ(Extract({}, {"ping"}), "");
}

// Random specs and lines: no crash, no position outside the line, no position before the specs'
// own.
TEST(command_table_random_lines_never_leave_their_bounds) {
  std::mt19937_64 random(test::Seed());
  const auto below = [&](uint32_t bound) { return static_cast<int16_t>(random() % bound); };
  const char* const words[] = {
      "0", "1", "3", "-1", "STORE", "x", "", "4294967297", "9223372036854775807"};
  for (int round = 0; round < 20000; round++) {
    Words args;
    for (int i = 1 + below(8); i > 0; i--) args.push_back(words[below(std::size(words))]);
    KeySpec spec{};
    spec.begin = static_cast<KeySpec::Begin>(below(3));
    spec.keyword = "STORE";
    spec.index =
        static_cast<int16_t>(spec.begin == KeySpec::Begin::kKeyword ? below(8) - 4 : 1 + below(5));
    spec.find = static_cast<KeySpec::Find>(below(3));
    spec.last_key = static_cast<int16_t>(below(6) - 3);
    spec.step = static_cast<int16_t>(1 + below(3));
    spec.limit = below(4);
    spec.keynum_index = below(3);
    spec.first_key_index = static_cast<int16_t>(1 + below(3));
    CommandSpec command{};
    command.key_specs = &spec;
    command.key_spec_count = 1;
    std::vector<uint32_t> positions;
    ExtractKeys(command, args, &positions);
    const bool is_inside = std::all_of(positions.begin(), positions.end(), [&](uint32_t position) {
      return position > 0 && position < args.size();
    });
    EXPECT_TRUE(is_inside);
    EXPECT_TRUE(positions.size() < args.size());
  }
}

}  // namespace
}  // namespace sherd
