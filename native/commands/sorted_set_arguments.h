// What the families on sorted sets share: how their arguments are read, how results are stored, how a
// member with its score is told.
//
// Thread: the one that runs the command.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/command_context.h"
#include "engine/sorted_set_value.h"

namespace sherd {

/// Reads the ends of a range of scores: "5", "(5", "-inf". By Redis's rules, which are strtod's: leading
/// spaces, an empty text (0) and overflow (infinity) are fine, NaN is not. Replies with the error.
bool ParseScoreRange(engine::CommandContext& ctx, size_t min_index, size_t max_index,
                     engine::ScoreRange* range);
/// Reads the ends of a range of texts: "-", "+", "[text", "(text". Replies with the error.
bool ParseTextRange(engine::CommandContext& ctx, size_t min_index, size_t max_index,
                    engine::TextRange* range);
/// Reads an integer that may not be negative. Replies with `error`, or Redis's usual ones.
bool ParseNotNegative(engine::CommandContext& ctx, size_t index, int64_t* value,
                      std::string_view error);
/// Reads a floating-point argument. Replies with the error.
bool ParseFloat(engine::CommandContext& ctx, size_t index, double* value,
                std::string_view error = engine::errors::kNotFloat);

/// Ranks `start` to `end`, both inclusive, counted from the back when negative, within `length` members.
engine::RankRange ClampRanks(int64_t start, int64_t end, size_t length);

/// The key that stands at args[index], if the key specs have found it there, else null.
const engine::Key* KeyOfArgument(const engine::CommandContext& ctx, size_t index);

/// The sorted set that `members` members are going to be added to, the first of them `first_length` bytes
/// long: the one at `handle`, in an encoding that has room by their number, or a new one ("new" is told).
engine::Handle OpenSortedSet(engine::CommandContext& ctx, const engine::Key& key, engine::Handle handle,
                             const engine::SortedSetLimits& limits, size_t members,
                             size_t first_length);

/// Deletes the key if its sorted set is empty, and tells so.
void DeleteIfEmpty(engine::CommandContext& ctx, const engine::Key& key, engine::Handle handle);

/// Removes members (at least one), the key with the last of them, and tells so.
void RemoveRanks(engine::CommandContext& ctx, const engine::Key& key, engine::Handle handle,
                 engine::RankRange range, const char* event);

/// Stores what a *STORE command has gathered, or deletes the key when that is nothing; replies with the
/// number of members.
void StoreSortedSet(engine::CommandContext& ctx, const engine::Key& key,
                    engine::SortedSetBuilder& builder, const char* event);

/// A list of members, flat in RESP2, of pairs in RESP3 where scores are asked for.
class MemberReply {
 public:
  MemberReply(engine::CommandContext& ctx, bool with_scores)
      : reply_(ctx.reply),
        with_scores_(with_scores),
        nests_(with_scores && ctx.reply.resp() == 3) {}
  void Begin(size_t members) { reply_.Array(with_scores_ && !nests_ ? 2 * members : members); }
  void Add(std::string_view member, double score) {
    if (nests_) reply_.Array(2);
    reply_.Bulk(member);
    if (with_scores_) reply_.Double(score);
  }

 private:
  resp::ReplyBuilder& reply_;
  bool with_scores_;
  bool nests_;
};

}  // namespace sherd
