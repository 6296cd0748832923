// Geo: sorted sets of places. A place is a member whose score is its geohash (base/geohash.h); the key is
// an ordinary sorted set.
//
// A search asks nine cells for their range of scores, measures what is in there, and keeps what lies in
// the shape: unsorted in the order of the cells, or by distance. The first `count` of the nearest are
// found without sorting the rest.
//
// GEOADD is replayed as the ZADD that it comes to (in small letters, as Redis has it); the others as they were sent.
//
// Thread: the one that holds the leases of the keys.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/geohash.h"
#include "base/numbers.h"
#include "commands/families.h"
#include "commands/sorted_set_arguments.h"
#include "engine/command_context.h"
#include "engine/sorted_set_value.h"

namespace sherd {
namespace {

using engine::AddOutcome;
using engine::CommandContext;
using engine::Encoding;
using engine::Entry;
using engine::Handle;
using engine::HandlerRow;
using engine::IntegerText;
using engine::Key;
using engine::SortedSetLimits;
using engine::Type;
namespace errors = engine::errors;

// ---- Arguments ----

// Reads longitude and latitude. Replies with the error.
bool ParsePoint(CommandContext& ctx, size_t index, GeoPoint* point) {
  if (!ParseFloat(ctx, index, &point->longitude) || !ParseFloat(ctx, index + 1, &point->latitude))
    return false;
  if (IsOnMap(*point)) return true;
  // Two doubles in full are up to 309 digits each.
  char text[800];
  const int size = std::snprintf(text, sizeof text, "ERR invalid longitude,latitude pair %f,%f",
                                 point->longitude, point->latitude);
  ctx.reply.Error({text, static_cast<size_t>(size)});
  return false;
}

struct Unit {
  std::string_view name;
  double meters;
};
constexpr Unit kUnits[] = {{"m", 1}, {"km", 1000}, {"ft", 0.3048}, {"mi", 1609.34}};

bool ParseUnit(CommandContext& ctx, size_t index, double* meters) {
  for (const Unit& unit : kUnits) {
    if (!ctx.ArgIs(index, unit.name)) continue;
    *meters = unit.meters;
    return true;
  }
  ctx.reply.Error("ERR unsupported unit provided. please use M, KM, FT, MI");
  return false;
}

// Reads a radius and its unit.
bool ParseRadius(CommandContext& ctx, size_t index, GeoShape* shape) {
  if (!ParseFloat(ctx, index, &shape->radius, "ERR need numeric radius")) return false;
  if (shape->radius < 0) {
    ctx.reply.Error("ERR radius cannot be negative");
    return false;
  }
  shape->is_box = false;
  return ParseUnit(ctx, index + 1, &shape->meters);
}

// Reads width, height and their unit.
bool ParseBox(CommandContext& ctx, size_t index, GeoShape* shape) {
  if (!ParseFloat(ctx, index, &shape->width, "ERR need numeric width") ||
      !ParseFloat(ctx, index + 1, &shape->height, "ERR need numeric height")) {
    return false;
  }
  if (shape->width < 0 || shape->height < 0) {
    ctx.reply.Error("ERR height or width cannot be negative");
    return false;
  }
  shape->is_box = true;
  return ParseUnit(ctx, index + 2, &shape->meters);
}

// ---- Replies ----

// A coordinate is told in full, which %.17f is.
void ReplyCoordinate(CommandContext& ctx, double value) {
  char digits[kLongDoubleCharsMax];
  const std::string_view text(digits, FormatLongDoubleHuman(value, digits));
  if (ctx.reply.resp() == 2) return ctx.reply.Bulk(text);
  ctx.reply.Raw(",");
  ctx.reply.Raw(text);
  ctx.reply.Raw("\r\n");
}

void ReplyPoint(CommandContext& ctx, GeoPoint point) {
  ctx.reply.Array(2);
  ReplyCoordinate(ctx, point.longitude);
  ReplyCoordinate(ctx, point.latitude);
}

// A distance is a text with four digits behind the point in both protocols. Redis 7.2 rounds the number
// times ten thousand to an integer, halves to even.
void ReplyDistance(CommandContext& ctx, double distance) {
  constexpr int64_t kScale = 10000;
  const int64_t scaled = std::llrint(distance * static_cast<double>(kScale));
  const uint64_t magnitude =
      scaled < 0 ? 0 - static_cast<uint64_t>(scaled) : static_cast<uint64_t>(scaled);
  char text[kInt64CharsMax + 8];
  size_t size = 0;
  if (scaled < 0) text[size++] = '-';
  size += FormatUint64(magnitude / kScale, text + size);
  text[size++] = '.';
  uint64_t fraction = magnitude % kScale;
  for (size_t i = 4; i-- > 0; fraction /= 10)
    text[size + i] = static_cast<char>('0' + fraction % 10);
  ctx.reply.Bulk({text, size + 4});
}

// ---- GEOADD ----

struct GeoAddOptions {
  uint32_t flags = 0;  // engine::AddFlag
  bool counts_changed = false;
  size_t first = 2;  // argument of the first longitude
  size_t members = 0;
};

bool ParseGeoAdd(CommandContext& ctx, GeoAddOptions* options) {
  size_t first = 2;
  for (; first < ctx.args.size(); first++) {
    if (ctx.ArgIs(first, "nx")) {
      options->flags |= engine::kAddIfMissing;
    } else if (ctx.ArgIs(first, "xx")) {
      options->flags |= engine::kAddIfExists;
    } else if (ctx.ArgIs(first, "ch")) {
      options->counts_changed = true;
    } else {
      break;
    }
  }
  const size_t words = ctx.args.size() - first;
  options->first = first;
  options->members = words / 3;
  constexpr uint32_t kBoth = engine::kAddIfMissing | engine::kAddIfExists;
  if (words % 3 == 0 && words > 0 && (options->flags & kBoth) != kBoth) return true;
  ctx.reply.Error(errors::kSyntax);
  return false;
}

// The same effect as a ZADD with scores.
void PropagateAdd(CommandContext& ctx, const GeoAddOptions& options,
                  const std::vector<double>& scores) {
  if (!ctx.is_propagating()) return;
  std::vector<IntegerText> texts(scores.size());
  std::vector<std::string_view> effect = {"zadd"};
  effect.insert(effect.end(), ctx.args.begin() + 1,
                ctx.args.begin() + static_cast<std::ptrdiff_t>(options.first));
  for (size_t i = 0; i < scores.size(); i++) {
    char* text = texts[i].bytes;
    effect.push_back({text, FormatUint64(static_cast<uint64_t>(scores[i]), text)});
    effect.push_back(ctx.args[options.first + 3 * i + 2]);
  }
  ctx.Propagate(ctx.db, effect);
}

void CmdGeoAdd(CommandContext& ctx) {
  GeoAddOptions options;
  if (!ParseGeoAdd(ctx, &options)) return;
  std::vector<double> scores(options.members);
  for (size_t i = 0; i < options.members; i++) {
    GeoPoint point;
    if (!ParsePoint(ctx, options.first + 3 * i, &point)) return;
    scores[i] = static_cast<double>(GeoScore(point));
  }
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kSortedSet, &handle)) return;
  if (!handle && (options.flags & engine::kAddIfExists) != 0) return ctx.reply.Integer(0);
  const SortedSetLimits limits = SortedSetLimits::Of(ctx.options());
  handle = OpenSortedSet(ctx, key, handle, limits, options.members,
                         ctx.args[options.first + 2].size());
  int64_t added = 0;
  int64_t updated = 0;
  for (size_t i = 0; i < options.members; i++) {
    double score;
    const AddOutcome outcome =
        engine::AddMember(ctx.heap(key), *handle.entry(), limits, scores[i],
                          ctx.args[options.first + 3 * i + 2], options.flags, &score);
    added += outcome == AddOutcome::kAdded ? 1 : 0;
    updated += outcome == AddOutcome::kUpdated ? 1 : 0;
  }
  ctx.reply.Integer(added + (options.counts_changed ? updated : 0));
  if (added + updated == 0) return;
  ctx.AddDirty(added + updated);
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventSortedSet, "zadd", key);
  PropagateAdd(ctx, options, scores);
}

// ---- Looking at places ----

// Finds a member's place.
bool FindPlace(Handle handle, std::string_view member, GeoPoint* point) {
  double score;
  if (!handle || !engine::FindScore(*handle.entry(), member, &score)) return false;
  *point = GeoPointOf(score);
  return true;
}

void CmdGeoPos(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kSortedSet, &handle)) return;
  ctx.reply.Array(ctx.args.size() - 2);
  for (const std::string_view member : ctx.args.subspan(2)) {
    GeoPoint point;
    if (FindPlace(handle, member, &point)) {
      ReplyPoint(ctx, point);
    } else {
      ctx.reply.NullArray();
    }
  }
}

void CmdGeoHash(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kSortedSet, &handle)) return;
  ctx.reply.Array(ctx.args.size() - 2);
  for (const std::string_view member : ctx.args.subspan(2)) {
    GeoPoint point;
    if (!FindPlace(handle, member, &point)) {
      ctx.reply.Null();
      continue;
    }
    char text[kGeoTextSize];
    FormatGeohash(point, text);
    ctx.reply.Bulk({text, sizeof text});
  }
}

void CmdGeoDist(CommandContext& ctx) {
  double meters = 1;
  if (ctx.args.size() == 5 && !ParseUnit(ctx, 4, &meters)) return;
  if (ctx.args.size() > 5) return ctx.reply.Error(errors::kSyntax);
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kSortedSet, &handle)) return;
  GeoPoint from;
  GeoPoint to;
  if (!FindPlace(handle, ctx.args[2], &from) || !FindPlace(handle, ctx.args[3], &to))
    return ctx.reply.Null();
  ReplyDistance(ctx, GeoDistance(from, to) / meters);
}

// ---- Searches: options ----

enum class SearchForm : uint8_t { kRadius, kRadiusByMember, kSearch };
enum class Order : uint8_t { kNone, kAscending, kDescending };

struct Search {
  SearchForm form = SearchForm::kSearch;
  bool may_store = false;        // GEORADIUS and GEORADIUSBYMEMBER
  bool is_search_store = false;  // GEOSEARCHSTORE
  Handle source;
  GeoShape shape;
  bool has_member = false;
  bool has_point = false;
  bool has_radius = false;
  bool has_box = false;
  bool with_distance = false;
  bool with_hash = false;
  bool with_point = false;
  bool is_any = false;
  bool stores = false;
  bool stores_distance = false;
  size_t store_index = 0;  // argument that names the destination
  Order order = Order::kNone;
  int64_t count = 0;  // 0: all
};

bool PlaceOfMember(CommandContext& ctx, Handle source, size_t index, GeoPoint* point) {
  if (FindPlace(source, ctx.args[index], point)) return true;
  ctx.reply.Error("ERR could not decode requested zset member");
  return false;
}

// What became of a word: taken, not one of these, or its value was refused with an error.
enum class Taken : uint8_t { kYes, kNo, kRefused };

Taken TakeFlag(const CommandContext& ctx, size_t index, Search* search) {
  const auto is = [&](std::string_view word) { return ctx.ArgIs(index, word); };
  if (is("withdist")) {
    search->with_distance = true;
  } else if (is("withhash")) {
    search->with_hash = true;
  } else if (is("withcoord")) {
    search->with_point = true;
  } else if (is("any")) {
    search->is_any = true;
  } else if (is("asc")) {
    search->order = Order::kAscending;
  } else if (is("desc")) {
    search->order = Order::kDescending;
  } else {
    return Taken::kNo;
  }
  return Taken::kYes;
}

Taken TakeCountOrStore(CommandContext& ctx, size_t* index, Search* search) {
  const bool has_value = *index + 1 < ctx.args.size();
  if (has_value && ctx.ArgIs(*index, "count")) {
    if (!ctx.ParseInteger(++*index, &search->count)) return Taken::kRefused;
    if (search->count > 0) return Taken::kYes;
    ctx.reply.Error("ERR COUNT must be > 0");
    return Taken::kRefused;
  }
  const bool is_distance = ctx.ArgIs(*index, "storedist");
  if (search->may_store && has_value && (is_distance || ctx.ArgIs(*index, "store"))) {
    search->stores = true;
    search->stores_distance = is_distance;
    search->store_index = ++*index;
    return Taken::kYes;
  }
  return Taken::kNo;
}

Taken TakeSearchWord(CommandContext& ctx, size_t* index, Search* search) {
  const size_t at = *index;
  const size_t behind = ctx.args.size() - at - 1;
  if (search->form != SearchForm::kSearch) return Taken::kNo;
  bool is_fine = true;
  if (behind >= 1 && !search->has_point && ctx.ArgIs(at, "frommember")) {
    // Without the key the rest is parsed first.
    is_fine = !search->source || PlaceOfMember(ctx, search->source, at + 1, &search->shape.center);
    search->has_member = true;
    *index += 1;
  } else if (behind >= 2 && !search->has_member && ctx.ArgIs(at, "fromlonlat")) {
    is_fine = ParsePoint(ctx, at + 1, &search->shape.center);
    search->has_point = true;
    *index += 2;
  } else if (behind >= 2 && !search->has_box && ctx.ArgIs(at, "byradius")) {
    is_fine = ParseRadius(ctx, at + 1, &search->shape);
    search->has_radius = true;
    *index += 2;
  } else if (behind >= 3 && !search->has_radius && ctx.ArgIs(at, "bybox")) {
    is_fine = ParseBox(ctx, at + 1, &search->shape);
    search->has_box = true;
    *index += 3;
  } else if (search->is_search_store && ctx.ArgIs(at, "storedist")) {
    search->stores_distance = true;
  } else {
    return Taken::kNo;
  }
  return is_fine ? Taken::kYes : Taken::kRefused;
}

bool ParseSearchOptions(CommandContext& ctx, size_t first, Search* search) {
  for (size_t i = first; i < ctx.args.size(); i++) {
    Taken taken = TakeFlag(ctx, i, search);
    if (taken == Taken::kNo) taken = TakeCountOrStore(ctx, &i, search);
    if (taken == Taken::kNo) taken = TakeSearchWord(ctx, &i, search);
    if (taken == Taken::kYes) continue;
    if (taken == Taken::kNo) ctx.reply.Error(errors::kSyntax);
    return false;
  }
  return true;
}

// What no single option can tell.
bool CheckSearch(CommandContext& ctx, const Search& search) {
  const bool is_search = search.form == SearchForm::kSearch;
  std::string error;
  if (search.stores && (search.with_distance || search.with_hash || search.with_point)) {
    error = search.is_search_store ? "ERR GEOSEARCHSTORE" : "ERR STORE option in GEORADIUS";
    error += " is not compatible with WITHDIST, WITHHASH and WITHCOORD options";
  } else if (is_search && !search.has_member && !search.has_point) {
    error = "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ";
    error += ctx.args[0];
  } else if (is_search && !search.has_radius && !search.has_box) {
    error = "ERR exactly one of BYRADIUS and BYBOX can be specified for ";
    error += ctx.args[0];
  } else if (search.is_any && search.count == 0) {
    error = "ERR the ANY argument requires COUNT argument";
  } else {
    return true;
  }
  ctx.reply.Error(error);
  return false;
}

bool ParseSearch(CommandContext& ctx, Search* search) {
  size_t options = search->is_search_store ? 3 : 2;
  if (search->form == SearchForm::kRadius) {
    if (!ParsePoint(ctx, 2, &search->shape.center) || !ParseRadius(ctx, 4, &search->shape))
      return false;
    options = 6;
  } else if (search->form == SearchForm::kRadiusByMember) {
    if (search->source && (!PlaceOfMember(ctx, search->source, 2, &search->shape.center) ||
                           !ParseRadius(ctx, 3, &search->shape))) {
      return false;
    }
    options = 5;
  }
  if (!ParseSearchOptions(ctx, options, search) || !CheckSearch(ctx, *search)) return false;
  // The first few mean the nearest few.
  if (search->count != 0 && search->order == Order::kNone && !search->is_any) {
    search->order = Order::kAscending;
  }
  return true;
}

// ---- Searches: work ----

struct Hit {
  double distance;  // metres
  double score;
  GeoPoint point;
  std::string member;
};

void SearchCell(const Search& search, const GeoCell& cell, size_t limit, std::vector<Hit>* hits) {
  const Entry& entry = *search.source.entry();
  const engine::RankRange range =
      engine::RangeByScore(entry, {cell.first_score(), cell.last_score(), false, true});
  engine::VisitRange(entry, range, false, [&](std::string_view member, double score) {
    if (limit != 0 && hits->size() >= limit) return;
    double distance;
    const GeoPoint point = GeoPointOf(score);
    if (!IsWithin(search.shape, point, &distance)) return;
    hits->push_back({distance, score, point, std::string(member)});
  });
}

std::vector<Hit> FindHits(const Search& search) {
  std::vector<Hit> hits;
  const std::array<GeoCell, 9> cells = GeoSearchCells(search.shape);
  const size_t limit = search.is_any ? static_cast<size_t>(search.count) : 0;
  size_t last = 0;
  for (size_t i = 0; i < cells.size(); i++) {
    if (cells[i].is_none()) continue;
    // Where cells are as large as the map, neighbours are the same. (Redis compares with the cell before
    // only, and not with the centre's.)
    if (last != 0 && cells[i] == cells[last]) continue;
    if (limit != 0 && hits.size() >= limit) break;
    SearchCell(search, cells[i], limit, &hits);
    last = i;
  }
  return hits;
}

// Puts the hits to be returned in front, in order, and drops the others.
void OrderHits(const Search& search, std::vector<Hit>* hits) {
  const size_t count = search.count == 0 || static_cast<uint64_t>(search.count) > hits->size()
                           ? hits->size()
                           : static_cast<size_t>(search.count);
  const bool is_descending = search.order == Order::kDescending;
  const auto is_less = [&](const Hit& a, const Hit& b) {
    return is_descending ? a.distance > b.distance : a.distance < b.distance;
  };
  if (search.order != Order::kNone) {
    if (count < hits->size() / 4) {
      std::partial_sort(hits->begin(), hits->begin() + static_cast<std::ptrdiff_t>(count),
                        hits->end(), is_less);
    } else {
      std::stable_sort(hits->begin(), hits->end(), is_less);
    }
  }
  hits->resize(count);
}

void ReplyHits(CommandContext& ctx, const Search& search, const std::vector<Hit>& hits) {
  const size_t extras = static_cast<size_t>(search.with_distance) +
                        static_cast<size_t>(search.with_hash) +
                        static_cast<size_t>(search.with_point);
  ctx.reply.Array(hits.size());
  for (const Hit& hit : hits) {
    if (extras > 0) ctx.reply.Array(extras + 1);
    ctx.reply.Bulk(hit.member);
    if (search.with_distance) ReplyDistance(ctx, hit.distance / search.shape.meters);
    if (search.with_hash) ctx.reply.Integer(static_cast<int64_t>(hit.score));
    if (search.with_point) ReplyPoint(ctx, hit.point);
  }
}

void StoreHits(CommandContext& ctx, const Search& search, const std::vector<Hit>& hits) {
  const Key* destination = KeyOfArgument(ctx, search.store_index);
  // STORE twice: the router has taken the first one's key only.
  if (destination == nullptr) return ctx.reply.Error(errors::kSyntax);
  engine::SortedSetBuilder builder(ctx.heap(*destination));
  for (const Hit& hit : hits) {
    const double distance = hit.distance / search.shape.meters;
    // Rounding can make the distance of antipodes the arc sine of more than 1.
    const double stored_distance = std::isnan(distance) ? 0 : distance;
    builder.Add(hit.member, search.stores_distance ? stored_distance : hit.score);
  }
  StoreSortedSet(ctx, *destination, builder,
                 search.form == SearchForm::kSearch ? "geosearchstore" : "georadiusstore");
}

void RunSearch(CommandContext& ctx, Search search) {
  const Key& source = ctx.key(search.is_search_store ? 1 : 0);
  if (search.is_search_store) {
    search.stores = true;
    search.store_index = 1;
  }
  if (!ctx.FindRead(source, Type::kSortedSet, &search.source)) return;
  if (!ParseSearch(ctx, &search)) return;
  std::vector<Hit> hits;
  if (search.source) {
    hits = FindHits(search);
    OrderHits(search, &hits);
  }
  if (search.stores) return StoreHits(ctx, search, hits);
  ReplyHits(ctx, search, hits);
}

Search SearchAs(SearchForm form, bool may_store) {
  Search search;
  search.form = form;
  search.may_store = may_store;
  return search;
}

void CmdGeoRadius(CommandContext& ctx) { RunSearch(ctx, SearchAs(SearchForm::kRadius, true)); }
void CmdGeoRadiusRo(CommandContext& ctx) { RunSearch(ctx, SearchAs(SearchForm::kRadius, false)); }
void CmdGeoRadiusByMember(CommandContext& ctx) {
  RunSearch(ctx, SearchAs(SearchForm::kRadiusByMember, true));
}
void CmdGeoRadiusByMemberRo(CommandContext& ctx) {
  RunSearch(ctx, SearchAs(SearchForm::kRadiusByMember, false));
}
void CmdGeoSearch(CommandContext& ctx) { RunSearch(ctx, SearchAs(SearchForm::kSearch, false)); }
void CmdGeoSearchStore(CommandContext& ctx) {
  Search search = SearchAs(SearchForm::kSearch, false);
  search.is_search_store = true;
  RunSearch(ctx, search);
}

constexpr HandlerRow kHandlers[] = {
    {"geoadd", CmdGeoAdd},
    {"geodist", CmdGeoDist},
    {"geohash", CmdGeoHash},
    {"geopos", CmdGeoPos},
    {"georadius", CmdGeoRadius},
    {"georadius_ro", CmdGeoRadiusRo},
    {"georadiusbymember", CmdGeoRadiusByMember},
    {"georadiusbymember_ro", CmdGeoRadiusByMemberRo},
    {"geosearch", CmdGeoSearch},
    {"geosearchstore", CmdGeoSearchStore},
};

}  // namespace

std::span<const HandlerRow> GeoHandlers() { return kHandlers; }

}  // namespace sherd
