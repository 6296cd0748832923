// SORT and SORT_RO: the elements of a list, set or sorted set in another order, or what keys that
// are made from them hold.
//
//   load      the elements' texts; those of a table of members are not copied
//   weigh     each by itself or by what BY leads to; weights become keys of 64 bits (sort_order.h)
//   sort      the keys
//   give      elements, or what GET leads to, as a reply or as a list (STORE)
//
// Redis compares elements by calling a function about n log n times; here a weight is read once,
// and the sort is linear. Keys of BY and GET are looked up in batches whose buckets and entries are
// fetched together.
//
// Rules of Redis 7.2 that are easy to get wrong:
//   - elements of equal weight are ordered by their bytes, so that the result is a function of the
//     data, and DESC reverses that as well; but not where texts found by BY are equal;
//   - an element whose BY key is missing weighs 0, or less than any text;
//   - BY without "*" keeps the order of lists and sorted sets (DESC reverses it) and takes only
//     what LIMIT asks for; a set has no order: STORE sorts it by its texts, so that replicas agree;
//   - a sorted set becomes a skiplist by being sorted;
//   - one weight that is no number fails the whole command, after all keys were looked up.
// Texts are compared byte by byte; Redis does so when it stores, and else by the locale.
//
// Keys made from patterns may lie in any shard, so a line with such patterns takes all shards.
// Thread: the one that holds the leases.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/numbers.h"
#include "commands/families.h"
#include "commands/sort_options.h"
#include "commands/sort_order.h"
#include "engine/command_context.h"
#include "engine/handlers.h"
#include "engine/hash_value.h"
#include "engine/list_value.h"
#include "engine/set_value.h"
#include "engine/sorted_set_value.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Encoding;
using engine::Entry;
using engine::Handle;
using engine::HandlerRow;
using engine::IntegerText;
using engine::Key;
using engine::Type;

constexpr std::string_view kNoNumber = "ERR One or more scores can't be converted into double";

/// Texts of one command, in a few large pieces.
class TextArena {
 public:
  std::string_view Copy(std::string_view text) {
    if (text.empty()) return {"", 0};
    if (text.size() > left_) Refill(text.size());
    char* const place = cursor_;
    std::memcpy(place, text.data(), text.size());
    cursor_ += text.size();
    left_ -= text.size();
    return {place, text.size()};
  }

 private:
  static constexpr size_t kChunkBytes = 64 * 1024;
  void Refill(size_t size) {
    left_ = std::max(size, kChunkBytes);
    chunks_.push_back(std::make_unique_for_overwrite<char[]>(left_));
    cursor_ = chunks_.back().get();
  }
  std::vector<std::unique_ptr<char[]>> chunks_;
  char* cursor_ = nullptr;
  size_t left_ = 0;
};

// ---- Looking up what patterns lead to ----

/// What a pattern led to: nothing, a string, or a text that is valid until the next one.
struct Found {
  bool exists = false;
  const Entry* string = nullptr;
  std::string_view text;
};

Found FindPattern(CommandContext& ctx, const SortPattern& pattern, std::string_view element,
                  const Key& key, char (&digits)[kInt64CharsMax]) {
  if (pattern.kind == SortPattern::Kind::kElement) return {true, nullptr, element};
  if (pattern.kind == SortPattern::Kind::kNothing) return {};
  const Handle handle = ctx.LookupRead(key);
  if (!handle) return {};
  const Entry& entry = *handle.entry();
  if (pattern.kind == SortPattern::Kind::kString) {
    if (entry.type() != Type::kString) return {};
    return {true, &entry, {}};
  }
  if (entry.type() != Type::kHash) return {};
  const engine::HashValue hash(entry, ctx.now_ms);
  const engine::HashValue::Place place = hash.Find(pattern.field);
  if (!place) return {};
  return {true, nullptr, hash.ValueAt(place).View(digits)};
}

struct Request {
  const SortPattern* pattern;
  std::string_view element;
};

/// For each i below `count`, in order: looks up request(i) and calls use(i, const Found&). The keys
/// of a batch are fetched together.
template <class MakeRequest, class Use>
void LookUpAll(CommandContext& ctx, size_t count, MakeRequest&& request, Use&& use) {
  constexpr size_t kBatch = 32;
  Request requests[kBatch];
  Key keys[kBatch];
  size_t ends[kBatch];
  char digits[kInt64CharsMax];
  std::string names;
  for (size_t base = 0; base < count; base += kBatch) {
    const size_t size = std::min(kBatch, count - base);
    names.clear();
    for (size_t i = 0; i < size; i++) {
      requests[i] = request(base + i);
      const SortPattern& pattern = *requests[i].pattern;
      if (pattern.names_keys()) {
        names.append(pattern.prefix).append(requests[i].element).append(pattern.suffix);
      }
      ends[i] = names.size();
    }
    for (size_t i = 0; i < size; i++) {
      if (!requests[i].pattern->names_keys()) continue;
      const size_t begin = i == 0 ? 0 : ends[i - 1];
      keys[i] = ctx.engine.MakeKey(std::string_view(names).substr(begin, ends[i] - begin));
      ctx.keyspace(keys[i]).db(ctx.db).table.PrefetchBucket(keys[i].hash);
    }
    for (size_t i = 0; i < size; i++) {
      if (!requests[i].pattern->names_keys()) continue;
      ctx.keyspace(keys[i]).db(ctx.db).table.PrefetchEntry(keys[i].hash);
    }
    for (size_t i = 0; i < size; i++) {
      use(base + i, FindPattern(ctx, *requests[i].pattern, requests[i].element, keys[i], digits));
    }
  }
}

// ---- The elements ----

/// Of an ordered sequence: `count` elements from `start` on.
struct Window {
  size_t start = 0;
  size_t count = 0;
};

Window WindowOf(const SortOptions& options, size_t size) {
  const size_t start =
      options.limit_start <= 0 ? 0 : std::min(static_cast<size_t>(options.limit_start), size);
  const size_t rest = size - start;
  if (options.limit_count < 0) return {start, rest};
  return {start, std::min(static_cast<size_t>(options.limit_count), rest)};
}

/// The elements of one command on their way through it.
class SortJob {
 public:
  SortJob(CommandContext& ctx, const SortOptions& options) : ctx_(ctx), options_(options) {}

  /// Takes the elements out of a list, set or sorted set; `handle` may be empty.
  void Load(const Key& key, Handle handle);
  /// Brings them into order. False: a weight is no number.
  bool Sort();

  /// Elements that the result consists of, in its order.
  size_t size() const { return window_.count; }
  std::string_view element(size_t i) const {
    const size_t place = window_.start + i;
    return elements_[is_sorted_ ? items_[place].index : place];
  }
  /// Asks for the bytes of an element that is wanted soon.
  void Prefetch(size_t i) const {
    if (is_sorted_ && i < window_.count) __builtin_prefetch(element(i).data());
  }

 private:
  void LoadList(const Entry& entry);
  void LoadSet(const Entry& entry);
  void LoadSortedSet(const Entry& entry);
  void AddCopy(std::string_view text) { elements_.push_back(arena_.Copy(text)); }
  bool WeighNumbers();
  void WeighTexts();

  CommandContext& ctx_;
  const SortOptions& options_;
  TextArena arena_;
  std::vector<std::string_view> elements_;
  std::vector<std::string_view> weights_;  // texts found by BY; those without data are missing
  std::vector<SortItem> items_;
  Window window_;
  bool is_sorted_ = false;
};

/// The part of a list or sorted set that is wanted when its order stays; all of it otherwise.
Window LoadedWindow(const SortOptions& options, size_t size) {
  return options.is_unsorted ? WindowOf(options, size) : Window{0, size};
}

void SortJob::LoadList(const Entry& entry) {
  const size_t size = engine::ListLength(entry);
  const Window window = LoadedWindow(options_, size);
  elements_.reserve(window.count);
  const auto add = [&](const ds::PackedValue& value) {
    char digits[kInt64CharsMax];
    AddCopy(value.View(digits));
    return true;
  };
  if (window.count == 0) return;
  if (options_.is_unsorted && options_.is_descending) {
    engine::VisitListBackward(entry, size - 1 - window.start, window.count, add);
  } else {
    engine::VisitList(entry, window.start, window.count, add);
  }
}

void SortJob::LoadSet(const Entry& entry) {
  const engine::SetObject set(entry);
  elements_.reserve(set.size());
  set.ForEachBatch([&](std::span<std::string_view> batch) {
    for (const std::string_view member : batch) {
      // Members of a table stay where they are.
      elements_.push_back(set.is_table() ? member : arena_.Copy(member));
    }
    return true;
  });
}

void SortJob::LoadSortedSet(const Entry& entry) {
  const size_t size = engine::SortedSetLength(entry);
  const Window window = LoadedWindow(options_, size);
  const bool is_reverse = options_.is_unsorted && options_.is_descending;
  elements_.reserve(window.count);
  // Ranks count from the lowest score, the window from where the walk begins.
  const size_t first = is_reverse ? size - window.start - window.count : window.start;
  engine::VisitRange(entry, {first, window.count}, is_reverse,
                     [&](std::string_view member, double) { AddCopy(member); });
}

void SortJob::Load(const Key& key, Handle handle) {
  if (!handle) return;
  Entry& entry = *handle.entry();
  if (entry.type() == Type::kList) {
    LoadList(entry);
  } else if (entry.type() == Type::kSet) {
    LoadSet(entry);
  } else {
    // Seen by OBJECT ENCODING: Redis converts the sorted set, and leaves it so.
    if (entry.encoding() == Encoding::kListPack) {
      engine::ConvertToSkipList(ctx_.heap(key), ctx_.Mutate(key, handle));
      ctx_.keyspace(key).PublishMemory();
    }
    LoadSortedSet(entry);
  }
  const bool is_cut_already = options_.is_unsorted && entry.type() != Type::kSet;
  window_ = is_cut_already ? Window{0, elements_.size()} : WindowOf(options_, elements_.size());
}

// ---- Order ----

bool SortJob::WeighNumbers() {
  bool are_numbers = true;
  items_.resize(elements_.size());
  const auto weigh = [&](size_t i, std::string_view text) {
    double weight = 0;
    are_numbers = ParseSortWeight(text, &weight) && are_numbers;
    items_[i] = {are_numbers ? SortKeyOfNumber(weight) : 0, i};
  };
  if (!options_.has_by) {
    for (size_t i = 0; i < elements_.size(); i++) weigh(i, elements_[i]);
    return are_numbers;
  }
  LookUpAll(
      ctx_, elements_.size(),
      [&](size_t i) {
        return Request{&options_.by, elements_[i]};
      },
      [&](size_t i, const Found& found) {
        IntegerText digits;
        if (!found.exists) {
          items_[i] = {SortKeyOfNumber(0), i};
        } else {
          weigh(i,
                found.string == nullptr ? found.text : engine::StringBytes(*found.string, &digits));
        }
      });
  return are_numbers;
}

void SortJob::WeighTexts() {
  if (options_.has_by) {
    weights_.resize(elements_.size());
    LookUpAll(
        ctx_, elements_.size(),
        [&](size_t i) {
          return Request{&options_.by, elements_[i]};
        },
        [&](size_t i, const Found& found) {
          if (!found.exists) return;
          // A string stays where it is; what is found in a hash may move when fields expire.
          IntegerText digits;
          const bool is_stable =
              found.string != nullptr && found.string->encoding() != Encoding::kInt;
          const std::string_view text =
              found.string == nullptr ? found.text : engine::StringBytes(*found.string, &digits);
          weights_[i] = is_stable ? text : arena_.Copy(text);
        });
  }
  const std::vector<std::string_view>& texts = options_.has_by ? weights_ : elements_;
  const size_t skip = CommonPrefix(texts);
  items_.resize(elements_.size());
  for (size_t i = 0; i < texts.size(); i++) items_[i] = {SortKeyOfText(texts[i], skip), i};
}

/// Missing texts come first.
int CompareTexts(std::string_view a, std::string_view b) {
  if (a.data() == nullptr || b.data() == nullptr)
    return (a.data() != nullptr) - (b.data() != nullptr);
  return a.compare(b);
}

bool SortJob::Sort() {
  if (options_.is_unsorted) return true;
  if (options_.is_alpha) {
    WeighTexts();
  } else if (!WeighNumbers()) {
    return false;
  }
  is_sorted_ = true;
  const std::vector<std::string_view>& ties =
      options_.is_alpha && options_.has_by ? weights_ : elements_;
  SortItems(&items_, options_.is_descending,
            [&](size_t a, size_t b) { return CompareTexts(ties[a], ties[b]); });
  return true;
}

// ---- Results ----

/// How far ahead of their use elements are fetched.
constexpr size_t kPrefetchAhead = 12;

/// Calls use(const Found&) for each GET of each element.
template <class Use>
void GetAll(CommandContext& ctx, const SortOptions& options, const SortJob& job, Use&& use) {
  const size_t gets = options.gets.size();
  LookUpAll(
      ctx, job.size() * gets,
      [&](size_t i) {
        return Request{&options.gets[i % gets], job.element(i / gets)};
      },
      [&](size_t, const Found& found) { use(found); });
}

void ReplySorted(CommandContext& ctx, const SortOptions& options, const SortJob& job) {
  if (options.gets.empty()) {
    ctx.reply.Array(job.size());
    resp::BulkWriter writer(ctx.reply);
    for (size_t i = 0; i < job.size(); i++) {
      job.Prefetch(i + kPrefetchAhead);
      writer.Add(job.element(i));
    }
    return;
  }
  ctx.reply.Array(job.size() * options.gets.size());
  GetAll(ctx, options, job, [&](const Found& found) {
    if (!found.exists) {
      ctx.reply.Null();
    } else if (found.string != nullptr) {
      ctx.ReplyString(*found.string);
    } else {
      ctx.reply.Bulk(found.text);
    }
  });
}

/// Makes the result a list at `target`; an empty one deletes it.
void StoreSorted(CommandContext& ctx, const SortOptions& options, const SortJob& job,
                 const Key& target) {
  engine::ListBuilder builder(ctx.heap(target), engine::ListLimits::Of(ctx.options()));
  if (options.gets.empty()) {
    for (size_t i = 0; i < job.size(); i++) {
      job.Prefetch(i + kPrefetchAhead);
      builder.Append(job.element(i));
    }
  } else {
    GetAll(ctx, options, job, [&](const Found& found) {
      IntegerText digits;
      builder.Append(found.string == nullptr ? found.text
                                             : engine::StringBytes(*found.string, &digits));
    });
  }
  const size_t size = builder.count();
  if (size > 0) {
    const engine::ListBuilder::Value list = builder.Finish();
    const Handle existing = ctx.LookupWrite(target);
    const bool existed = static_cast<bool>(existing);
    ctx.SetValue(target, existing, Type::kList, list.encoding, list.payload);
    if (!existed) ctx.Notify(engine::kEventNew, "new", target);
    ctx.SignalModified(target);
    ctx.Notify(engine::kEventList, "sortstore", target);
    ctx.AddDirty(static_cast<int64_t>(size));
  } else if (const Handle existing = ctx.keyspace(target).Find(ctx.db, target)) {
    ctx.Delete(target, existing, static_cast<bool>(ctx.options().lazyfree_lazy_server_del));
    ctx.SignalModified(target);
    ctx.Notify(engine::kEventGeneric, "del", target);
    ctx.AddDirty(1);
  }
  ctx.reply.Integer(static_cast<int64_t>(size));
}

// ---- Handlers ----

bool IsSortable(Type type) {
  return type == Type::kList || type == Type::kSet || type == Type::kSortedSet;
}

void SortBy(CommandContext& ctx, bool may_store) {
  SortOptions options;
  const std::string_view error = ParseSortOptions(ctx.args, may_store, &options);
  if (!error.empty()) return ctx.reply.Error(error);
  // Not ctx.key(): a line that runs on all shards comes without keys.
  const Key key = ctx.engine.MakeKey(ctx.args[1]);
  const Handle handle = ctx.LookupRead(key);
  if (handle && !IsSortable(handle.entry()->type()))
    return ctx.reply.Error(engine::errors::kWrongType);
  const bool is_set = handle && handle.entry()->type() == Type::kSet;
  if (options.is_unsorted && is_set && options.store_index != 0) {
    options.is_unsorted = false;
    options.is_alpha = true;
    options.has_by = false;
  }
  SortJob job(ctx, options);
  job.Load(key, handle);
  if (!job.Sort()) return ctx.reply.Error(kNoNumber);
  if (options.store_index == 0) return ReplySorted(ctx, options, job);
  StoreSorted(ctx, options, job, ctx.engine.MakeKey(ctx.args[options.store_index]));
}

void CmdSort(CommandContext& ctx) { SortBy(ctx, true); }
void CmdSortRo(CommandContext& ctx) { SortBy(ctx, false); }

void RouteBy(std::span<const std::string_view> args, bool may_store, engine::Route* route) {
  SortOptions options;
  route->runs = Runs::kConnection;
  if (args.size() < 2 || !ParseSortOptions(args, may_store, &options).empty()) return;
  if (options.names_keys()) {
    route->runs = Runs::kAllShards;
    return;
  }
  route->runs = Runs::kKeys;
  route->key_positions.push_back(1);
  if (options.store_index != 0)
    route->key_positions.push_back(static_cast<uint32_t>(options.store_index));
}
void RouteSort(const engine::Engine&, std::span<const std::string_view> args,
               engine::Route* route) {
  RouteBy(args, true, route);
}
void RouteSortRo(const engine::Engine&, std::span<const std::string_view> args,
                 engine::Route* route) {
  RouteBy(args, false, route);
}

constexpr HandlerRow kHandlers[] = {
    {"sort", CmdSort, RouteSort},
    {"sort_ro", CmdSortRo, RouteSortRo},
};

}  // namespace

std::span<const HandlerRow> SortHandlers() { return kHandlers; }

}  // namespace sherd
