// LCS: the longest common subsequence of two strings, as text, length or matching ranges.
//
// Redis fills a table of (n+1)(m+1) 32-bit lengths. We run the bit-parallel form of the same
// dynamic programme (H. Hyyrö, "Bit-parallel LCS-length computation revisited", 2004): a row is one
// bit per column, 64 columns take a handful of instructions, and a row follows from the one above
// it alone.
//
//   L(i, j)  length of the LCS of the first i bytes of a and the first j bytes of b
//   row i    bit j-1 is 0 iff L(i, j) = L(i, j-1) + 1 (a step), so L(i, m) is the number of its
//   zeros
//
// Walking back needs no lengths either. Redis goes up if L(i-1, j) > L(i, j-1) and left otherwise;
// where the bytes differ, L(i, j) is the larger of both, so it goes up exactly where row i has a
// step at j. Hence the same path, the same text and the same ranges, with a 32nd of the memory and
// a small part of the time. LEN keeps a single row.
//
// Invariant: what we allocate never exceeds what Redis would (but for 2 KiB with tiny strings);
// lines that Redis refuses for its table's size are refused here too, with its words.
//
// Thread: the one that holds the leases of both keys. Buffers live for one command.
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <string_view>

#include "commands/families.h"
#include "engine/command_context.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Entry;
using engine::Handle;
using engine::HandlerRow;
using engine::IntegerText;
using engine::Type;

struct LcsOptions {
  bool is_length = false;
  bool is_index = false;
  bool with_match_length = false;
  int64_t min_match_length = 0;
};

bool ParseLcsOptions(CommandContext& ctx, LcsOptions* options) {
  for (size_t i = 3; i < ctx.args.size(); i++) {
    if (ctx.ArgIs(i, "idx")) {
      options->is_index = true;
    } else if (ctx.ArgIs(i, "len")) {
      options->is_length = true;
    } else if (ctx.ArgIs(i, "withmatchlen")) {
      options->with_match_length = true;
    } else if (ctx.ArgIs(i, "minmatchlen") && i + 1 < ctx.args.size()) {
      if (!ctx.ParseInteger(++i, &options->min_match_length)) return false;
    } else {
      ctx.reply.Error(engine::errors::kSyntax);
      return false;
    }
  }
  if (!options->is_index || !options->is_length) return true;
  ctx.reply.Error("ERR If you want both the length and indexes, please just use IDX.");
  return false;
}

// ---- The bit-parallel table ----

class LcsTable {
 public:
  LcsTable(std::string_view a, std::string_view b) : a_(a), b_(b), words_((b.size() + 63) / 64) {}

  // Computes the last row; with `keep_rows` also all others, for Walk(). False: out of memory.
  bool Fill(bool keep_rows) {
    if (a_.empty() || b_.empty()) return true;
    if (!IndexBytes()) return false;
    rows_.reset(new (std::nothrow) uint64_t[words_ * (keep_rows ? a_.size() : 1)]);
    if (rows_ == nullptr) return false;
    uint64_t* row = rows_.get();
    FirstRow(RowOf(a_[0]), row);
    for (size_t i = 1; i < a_.size(); i++) {
      const uint64_t* above = row;
      if (keep_rows) row += words_;
      NextRow(above, RowOf(a_[i]), row);
    }
    last_row_ = row;
    return true;
  }

  size_t length() const {
    if (last_row_ == nullptr) return 0;
    size_t steps = 0;
    // Bits past the end of b stay ones, since nothing matches there.
    for (size_t w = 0; w < words_; w++) {
      steps += static_cast<size_t>(__builtin_popcountll(~last_row_[w]));
    }
    return steps;
  }

  // Calls on_match(i, j) for each pair of matching positions, from the last one to the first.
  template <class OnMatch>
  void Walk(OnMatch&& on_match) const {
    size_t i = a_.size();
    size_t j = b_.size();
    while (i > 0 && j > 0) {
      if (a_[i - 1] == b_[j - 1]) {
        on_match(--i, --j);
      } else if (HasStep(rows_.get() + (i - 1) * words_, j - 1)) {
        i--;
      } else {
        j--;
      }
    }
  }

 private:
  static bool HasStep(const uint64_t* row, size_t j) { return (row[j / 64] >> (j % 64) & 1) == 0; }

  // Builds, for each byte value of a, the set of its positions in b. Values that a has not need
  // none, which bounds the memory by the shorter string too.
  bool IndexBytes() {
    size_t kinds = 0;
    for (const char c : a_) {
      uint16_t& kind = kinds_[static_cast<unsigned char>(c)];
      if (kind == 0) kind = static_cast<uint16_t>(++kinds);
    }
    positions_.reset(new (std::nothrow) uint64_t[kinds * words_]());
    if (positions_ == nullptr) return false;
    for (size_t j = 0; j < b_.size(); j++) {
      const uint16_t kind = kinds_[static_cast<unsigned char>(b_[j])];
      if (kind != 0) positions_[(kind - 1u) * words_ + j / 64] |= uint64_t{1} << (j % 64);
    }
    return true;
  }
  const uint64_t* RowOf(char c) const {
    return positions_.get() + (kinds_[static_cast<unsigned char>(c)] - 1u) * words_;
  }

  // row = (above + (above & positions)) | (above & ~positions), as one number of b.size() bits.
  // `row` may be `above`.
  void NextRow(const uint64_t* above, const uint64_t* positions, uint64_t* row) const {
    uint64_t carry = 0;
    for (size_t w = 0; w < words_; w++) {
      const uint64_t old = above[w];
      uint64_t sum;
      const bool overflow = __builtin_add_overflow(old, old & positions[w], &sum);
      const bool carried = __builtin_add_overflow(sum, carry, &sum);
      carry = overflow || carried ? 1 : 0;
      row[w] = sum | (old & ~positions[w]);
    }
  }
  // The row above the first has no step.
  void FirstRow(const uint64_t* positions, uint64_t* row) const {
    for (size_t w = 0; w < words_; w++) row[w] = ~uint64_t{0};
    NextRow(row, positions, row);
  }

  std::string_view a_;
  std::string_view b_;
  size_t words_;
  uint16_t kinds_[256] = {};  // 1 + place in positions_, 0: the byte is not in a
  std::unique_ptr<uint64_t[]> positions_;
  std::unique_ptr<uint64_t[]> rows_;
  const uint64_t* last_row_ = nullptr;
};

// ---- Ranges ----

// Bytes [a_start, a_end] of a equal bytes [b_start, …] of b.
struct Match {
  size_t a_start;
  size_t a_end;
  size_t b_start;
  size_t length() const { return a_end - a_start + 1; }
  size_t b_end() const { return b_start + length() - 1; }
};

// Joins the matches of a walk to ranges as long as they adjoin in both strings, and hands those
// that are long enough to on_range, the last one of the strings first.
template <class OnRange>
void VisitRanges(const LcsTable& table, const LcsOptions& options, OnRange&& on_range) {
  Match match = {};
  bool is_open = false;
  const auto close = [&] {
    if (is_open && static_cast<int64_t>(match.length()) >= options.min_match_length)
      on_range(match);
    is_open = false;
  };
  table.Walk([&](size_t i, size_t j) {
    if (is_open && i + 1 == match.a_start && j + 1 == match.b_start) {
      match.a_start = i;
      match.b_start = j;
    } else {
      close();
      match = {i, i, j};
      is_open = true;
    }
  });
  close();
}

void ReplyRange(CommandContext& ctx, const LcsOptions& options, const Match& match) {
  ctx.reply.Array(options.with_match_length ? 3 : 2);
  ctx.reply.Array(2);
  ctx.reply.Integer(static_cast<int64_t>(match.a_start));
  ctx.reply.Integer(static_cast<int64_t>(match.a_end));
  ctx.reply.Array(2);
  ctx.reply.Integer(static_cast<int64_t>(match.b_start));
  ctx.reply.Integer(static_cast<int64_t>(match.b_end()));
  if (options.with_match_length) ctx.reply.Integer(static_cast<int64_t>(match.length()));
}

// The number of ranges comes first in the reply; walking twice is cheaper than to keep them.
void ReplyRanges(CommandContext& ctx, const LcsOptions& options, const LcsTable& table) {
  size_t count = 0;
  VisitRanges(table, options, [&](const Match&) { count++; });
  ctx.reply.Map(2);
  ctx.reply.Bulk("matches");
  ctx.reply.Array(count);
  VisitRanges(table, options, [&](const Match& match) { ReplyRange(ctx, options, match); });
  ctx.reply.Bulk("len");
  ctx.reply.Integer(static_cast<int64_t>(table.length()));
}

void ReplyText(CommandContext& ctx, const LcsTable& table, std::string_view a) {
  size_t at = table.length();
  std::string text(at, '\0');
  table.Walk([&](size_t i, size_t) { text[--at] = a[i]; });
  ctx.reply.Bulk(text);
}

// ---- The command ----

// The limits of Redis's table, so that what Redis refuses is refused.
bool ExpectSize(CommandContext& ctx, size_t a_size, size_t b_size) {
  if (a_size >= UINT32_MAX - 1 || b_size >= UINT32_MAX - 1) {
    ctx.reply.Error("ERR String too long for LCS");
    return false;
  }
  const uint64_t cells = (uint64_t{a_size} + 1) * (uint64_t{b_size} + 1);
  // Divided rather than multiplied: cells * 4 does not always fit.
  if (cells > static_cast<uint64_t>(ctx.options().proto_max_bulk_len.Get()) / sizeof(uint32_t)) {
    ctx.reply.Error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
    return false;
  }
  return true;
}

// Entries, not handles: looking up the second key may delete it, and erasing moves handles.
const Entry* LookupEntry(CommandContext& ctx, size_t key_index) {
  const Handle handle = ctx.LookupRead(ctx.key(key_index));
  return handle ? handle.entry() : nullptr;
}

void CmdLcs(CommandContext& ctx) {
  const Entry* entry_a = LookupEntry(ctx, 0);
  const Entry* entry_b = LookupEntry(ctx, 1);
  for (const Entry* entry : {entry_a, entry_b}) {
    if (entry == nullptr || entry->type() == Type::kString) continue;
    return ctx.reply.Error("ERR The specified keys must contain string values");
  }
  LcsOptions options;
  if (!ParseLcsOptions(ctx, &options)) return;
  IntegerText text_a;
  IntegerText text_b;
  const auto a = entry_a != nullptr ? engine::StringBytes(*entry_a, &text_a) : std::string_view();
  const auto b = entry_b != nullptr ? engine::StringBytes(*entry_b, &text_b) : std::string_view();
  if (!ExpectSize(ctx, a.size(), b.size())) return;

  LcsTable table(a, b);
  if (!table.Fill(!options.is_length)) {
    return ctx.reply.Error("ERR Insufficient memory, failed allocating transient memory for LCS");
  }
  if (options.is_length) return ctx.reply.Integer(static_cast<int64_t>(table.length()));
  if (options.is_index) return ReplyRanges(ctx, options, table);
  ReplyText(ctx, table, a);
}

constexpr HandlerRow kHandlers[] = {{"lcs", CmdLcs}};

}  // namespace

std::span<const HandlerRow> LcsHandlers() { return kHandlers; }

}  // namespace sherd
