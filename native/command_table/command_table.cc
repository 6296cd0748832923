// Lookup by name and key extraction over the generated table.
//
// Lookup is a perfect hash (hash and displace, built by scripts/gen): two multiplications, one byte
// of displacement, one slot, one comparison. A name is reduced to its first eight and its last
// eight bytes in lower case (they overlap in names below 16 bytes), which are both hashed and
// compared as words, so that a name of at most 16 bytes is never walked byte by byte. The letter
// case is folded in the words: only ASCII capitals change, and a byte like '@' or '[' can never
// become a letter.
//
// Always true:
//  1. kNameWords[id] are the words of AllCommands()[id].name.
//  2. Every slot that is not kNoCommand is the id of a command without a parent.
//
// Constant data, no allocation but the caller's vector. Any thread.
#include "command_table/command_table.h"

#include <bit>
#include <cstring>
#include <iterator>

#include "base/check.h"
#include "base/numbers.h"
#include "base/strings.h"

namespace sherd {
namespace {

static_assert(std::endian::native == std::endian::little, "the generated words are little-endian");

struct NameWords {
  uint64_t first;
  uint64_t last;
  uint32_t size;
};

#include "command_table/command_table.inc"

static_assert(std::size(kCommands) == static_cast<size_t>(CommandId::kCount));
static_assert(std::size(kNameWords) == std::size(kCommands));
static_assert(std::has_single_bit(std::size(kSlots)), "slots are masked");
static_assert(std::has_single_bit(std::size(kDisplacements)), "buckets are masked");

// ---- Names ----

/// Lower-cases the ASCII capitals among eight bytes. Bytes of 0x80 and above stay as they are.
constexpr uint64_t LowerBytes(uint64_t word) {
  constexpr uint64_t kOnes = 0x0101010101010101u;
  const uint64_t low_bits = word & (0x7f * kOnes);
  const uint64_t is_at_least_a = low_bits + (0x80 - 'A') * kOnes;
  const uint64_t is_above_z = low_bits + (0x7f - 'Z') * kOnes;
  const uint64_t is_capital = (is_at_least_a ^ is_above_z) & ~word & (0x80 * kOnes);
  return word | (is_capital >> 2);
}
static_assert(LowerBytes(0x5b5a40417a61c1ff) == 0x5b7a40617a61c1ff);

uint64_t Load64(const char* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

uint64_t Load32(const char* bytes) {
  uint32_t word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

uint64_t Byte(char byte) { return static_cast<unsigned char>(byte); }

/// `name` must not be empty. The same function as nameWords() in scripts/gen/native-table.mjs.
NameWords MakeNameWords(std::string_view name) {
  const char* bytes = name.data();
  const size_t size = name.size();
  NameWords words{0, 0, static_cast<uint32_t>(size)};
  if (size >= 8) {
    words.first = LowerBytes(Load64(bytes));
    words.last = LowerBytes(Load64(bytes + size - 8));
  } else if (size >= 4) {
    words.first = LowerBytes(Load32(bytes));
    words.last = LowerBytes(Load32(bytes + size - 4));
  } else {
    words.first =
        LowerBytes(Byte(bytes[0]) | Byte(bytes[size / 2]) << 8 | Byte(bytes[size - 1]) << 16);
  }
  return words;
}

/// Tells whether `name`, whose words are `words`, is the own name of the command with this id.
bool IsName(uint16_t id, const NameWords& words, std::string_view name) {
  const NameWords& known = kNameWords[id];
  if (known.first != words.first || known.last != words.last || known.size != words.size)
    return false;
  if (name.size() <= 16) return true;
  return EqualsIgnoreCase(name.substr(8, name.size() - 16),
                          std::string_view(kCommands[id].name + 8, name.size() - 16));
}

/// The same function as hashName() in scripts/gen/native-table.mjs.
uint64_t HashName(const NameWords& words) {
  uint64_t hash = (words.first + words.size * kHashLength) * kHashFirst;
  hash ^= hash >> 32;
  hash = (hash ^ words.last) * kHashLast;
  return hash ^ (hash >> 32);
}

// ---- Keys ----

/// Keys of one spec: words first, first + step, ..., last. Empty when last < first.
struct WordRange {
  size_t first;
  size_t last;
  size_t step;
};

enum class Found { kRange, kNothing, kInvalid };

/// Finds the word where the search for the spec's keys begins.
Found FindBegin(const KeySpec& spec, std::span<const std::string_view> args, size_t* begin) {
  if (spec.begin == KeySpec::Begin::kUnknown) return Found::kInvalid;
  if (spec.begin == KeySpec::Begin::kIndex) {
    *begin = static_cast<size_t>(spec.index);
    return *begin < args.size() ? Found::kRange : Found::kInvalid;
  }
  // A negative start counts from the end and searches towards the front.
  const int64_t size = static_cast<int64_t>(args.size());
  const int64_t direction = spec.index >= 0 ? 1 : -1;
  for (int64_t i = spec.index >= 0 ? spec.index : size + spec.index; i > 0 && i < size;
       i += direction) {
    if (!EqualsIgnoreCase(args[static_cast<size_t>(i)], spec.keyword)) continue;
    *begin = static_cast<size_t>(i) + 1;
    return Found::kRange;
  }
  return Found::kNothing;
}

/// Finds the words of the spec's keys from `begin` on; all of them lie inside the line.
Found FindRange(const KeySpec& spec, std::span<const std::string_view> args, size_t begin,
                WordRange* range) {
  const int64_t size = static_cast<int64_t>(args.size());
  int64_t first = static_cast<int64_t>(begin);
  int64_t last = 0;
  if (spec.find == KeySpec::Find::kRange) {
    if (spec.last_key >= 0) {
      last = first + spec.last_key;
    } else if (spec.limit <= 1) {
      last = size + spec.last_key;
    } else {
      last = first + (size - first) / spec.limit + spec.last_key;
    }
  } else if (spec.find == KeySpec::Find::kKeynum) {
    const int64_t count_index = first + spec.keynum_index;
    int64_t count = 0;
    if (count_index >= size || !ParseInt64(args[static_cast<size_t>(count_index)], &count))
      return Found::kInvalid;
    // More keys than words is refused before the count is multiplied, so nothing can overflow.
    if (count < 0 || count > size) return Found::kInvalid;
    if (count == 0) return Found::kNothing;
    first += spec.first_key_index;
    last = first + (count - 1) * spec.step;
  } else {
    return Found::kInvalid;
  }
  if (first >= size || last >= size || last < first) return Found::kInvalid;
  *range = {static_cast<size_t>(first), static_cast<size_t>(last), static_cast<size_t>(spec.step)};
  return Found::kRange;
}

}  // namespace

const CommandSpec* FindCommand(std::string_view name) {
  if (name.empty() || name.size() > UINT32_MAX) return nullptr;
  const NameWords words = MakeNameWords(name);
  const uint64_t hash = HashName(words);
  const uint64_t displacement = kDisplacements[hash & (std::size(kDisplacements) - 1)];
  const uint64_t base = (hash >> 16) & 0xffff;
  const uint64_t stride = ((hash >> 40) & 0xffff) | 1;
  const uint16_t id = kSlots[(base + displacement * stride) & (std::size(kSlots) - 1)];
  if (id == kNoCommand || !IsName(id, words, name)) return nullptr;
  return &kCommands[id];
}

const CommandSpec* FindSubcommand(const CommandSpec& container, std::string_view name) {
  if (name.empty() || name.size() > UINT32_MAX) return nullptr;
  const NameWords words = MakeNameWords(name);
  for (uint16_t i = 0; i < container.subcommand_count; i++) {
    const CommandSpec& subcommand = container.subcommands[i];
    if (IsName(static_cast<uint16_t>(subcommand.id), words, name)) return &subcommand;
  }
  return nullptr;
}

const CommandSpec* FindFullCommand(std::string_view full_name) {
  const size_t bar = full_name.find('|');
  const CommandSpec* command = FindCommand(full_name.substr(0, bar));
  if (command == nullptr || bar == std::string_view::npos) return command;
  return FindSubcommand(*command, full_name.substr(bar + 1));
}

std::span<const CommandSpec> AllCommands() { return kCommands; }

std::span<const char* const> AclCategoryNames() { return kAclCategoryNames; }

std::span<const char* const> CommandGroupNames() { return kCommandGroupNames; }

bool ExtractKeys(const CommandSpec& spec, std::span<const std::string_view> args,
                 std::vector<uint32_t>* positions) {
  positions->clear();
  CHECK_MSG(args.size() <= UINT32_MAX, "positions have 32 bits");
  bool wants_keys = false;
  for (uint16_t i = 0; i < spec.key_spec_count; i++) {
    const KeySpec& key_spec = spec.key_specs[i];
    if ((key_spec.flags & kKeyNotKey) != 0) continue;
    wants_keys = true;
    size_t begin = 0;
    WordRange range{};
    Found found = FindBegin(key_spec, args, &begin);
    if (found == Found::kRange) found = FindRange(key_spec, args, begin, &range);
    if (found == Found::kInvalid) return false;
    if (found == Found::kNothing) continue;
    for (size_t position = range.first; position <= range.last; position += range.step) {
      positions->push_back(static_cast<uint32_t>(position));
    }
  }
  return !positions->empty() || !wants_keys || (spec.flags & kFlagNoMandatoryKeys) != 0;
}

}  // namespace sherd
