// Lists as values: a listpack while small, a quicklist above; find, push, pop, cut and convert, over an
// Entry whose type is known to be a list.
//
//   encoding    payload
//   listpack    address of one ds::Listpack block
//   quicklist   ds::Quicklist*
//
// When a list becomes a quicklist and when it turns back is Redis 7.2's rule, which OBJECT ENCODING
// shows: it grows into one as soon as its listpack with all that is to be added (texts counted bare)
// would exceed list-max-listpack-size; it shrinks back when deletions leave one packed node of at most
// half that limit. LSET counts as both. The fill and the depth of a quicklist are those of the moment it
// came to be.
//
// The caller reports the change (Mutate before it, SignalModified after it), and deletes the key when
// the list has become empty. Texts passed in must not lie in the list itself.
//
// Thread: the holder of the lease of the value's shard.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/slab_heap.h"
#include "ds/listpack.h"
#include "ds/quicklist.h"
#include "engine/entry.h"
#include "engine/options.h"

namespace sherd::engine {

using ds::ListEnd;

/// list-max-listpack-size and list-compress-depth.
struct ListLimits {
  ds::ListFill fill;
  int compress_depth = 0;

  static ListLimits Of(const Options& options) {
    return {{static_cast<int>(options.list_max_listpack_size.Get())},
            static_cast<int>(options.list_compress_depth.Get())};
  }
};

inline bool IsPackedList(const Entry& entry) { return entry.encoding() == Encoding::kListPack; }
inline ds::Quicklist* QuicklistOf(const Entry& entry) { return entry.object<ds::Quicklist>(); }

inline size_t ListLength(const Entry& entry) {
  return IsPackedList(entry) ? entry.listpack().count() : QuicklistOf(entry)->count();
}

// ---- Conversions ----

/// Before `count` texts of `bytes` together come in: a listpack that could not hold them becomes a
/// quicklist.
void GrowList(SlabHeap& heap, Entry& entry, const ListLimits& limits, size_t bytes, size_t count);
/// After elements went: a quicklist of one packed node that is at most half full becomes a listpack.
void ShrinkList(SlabHeap& heap, Entry& entry, const ListLimits& limits);

// ---- Changing. The list is what GrowList made of it. ----

/// Pushes one after the other.
void PushToList(SlabHeap& heap, Entry& entry, ListEnd end, std::span<const std::string_view> texts);
void PopFromList(SlabHeap& heap, Entry& entry, ListEnd end);
/// Removes `count` elements from `start` on; they exist.
void EraseFromList(SlabHeap& heap, Entry& entry, size_t start, size_t count);
/// Removes up to `limit` elements equal to `text`, from this end on. Returns how many.
size_t EraseMatchesFromList(SlabHeap& heap, Entry& entry, std::string_view text, size_t limit,
                            ListEnd from);
/// `index` < ListLength().
void ReplaceInList(SlabHeap& heap, Entry& entry, size_t index, std::string_view text);
/// Before or after the first element that equals `pivot`; false: there is none.
bool InsertIntoList(SlabHeap& heap, Entry& entry, std::string_view pivot, std::string_view text,
                    bool is_after);

// ---- Reading ----

/// The first or last element of a list that is not empty. Valid until the next change.
ds::PackedValue PeekList(const Entry& entry, ListEnd end);

/// Calls f(ds::PackedValue) -> bool for `count` elements from `start` on, until one says false.
template <class F>
void VisitList(const Entry& entry, size_t start, size_t count, F&& f) {
  if (IsPackedList(entry)) {
    const ds::Listpack pack = entry.listpack();
    pack.Visit(pack.Seek(static_cast<int64_t>(start)), count, f);
  } else {
    QuicklistOf(entry)->Visit(start, count, f);
  }
}

/// The same towards the head: the element at `start` first, then the one before it.
template <class F>
void VisitListBackward(const Entry& entry, size_t start, size_t count, F&& f) {
  if (IsPackedList(entry)) {
    const ds::Listpack pack = entry.listpack();
    pack.VisitBackward(pack.Seek(static_cast<int64_t>(start)), count, f);
  } else {
    QuicklistOf(entry)->VisitBackward(start, count, f);
  }
}

/// Calls f(std::string_view) -> bool for every element in order, until one says false.
template <class F>
void ForEachListElement(const Entry& entry, F&& f) {
  char digits[kInt64CharsMax];
  VisitList(entry, 0, ~size_t{0}, [&](ds::PackedValue value) { return f(value.View(digits)); });
}

/// Calls f(std::string_view bytes, bool is_plain) -> bool for every node, uncompressed: those of a listpack,
/// or (is_plain) of one bare element. A list of one listpack is one node.
template <class F>
void ForEachListNode(const Entry& entry, F&& f) {
  if (IsPackedList(entry)) {
    f(entry.listpack().view(), false);
    return;
  }
  ds::NodeReader reader;
  for (const ds::QuicklistNode* node = QuicklistOf(entry)->head(); node != nullptr; node = node->next) {
    if (!f(reader.Bytes(*node), static_cast<bool>(node->is_plain))) return;
  }
}

// ---- Building (RESTORE, SORT … STORE) ----

/// Builds a list from elements or whole nodes, in order.
///
///   ListBuilder builder(heap, limits);
///   if (!builder.AppendPack(bytes)) …;           // validated before; see there
///   const ListBuilder::Value value = builder.Finish();
///   ctx.SetValue(key, existing, Type::kList, value.encoding, value.payload);
///
/// Frees what it holds when it is given up without Finish().
class ListBuilder {
 public:
  struct Value {
    Encoding encoding = Encoding::kListPack;
    const void* payload = nullptr;  // null: the list is empty, and there must be no such key
  };

  ListBuilder(SlabHeap& heap, const ListLimits& limits);
  ~ListBuilder();
  ListBuilder(const ListBuilder&) = delete;
  ListBuilder& operator=(const ListBuilder&) = delete;

  size_t count() const { return list_->count(); }
  /// One element, into the last node or a new one, as RPUSH onto a quicklist.
  void Append(std::string_view text) { list_->Push(heap_, ListEnd::kTail, text); }
  /// A node with these elements, which must be a valid listpack (Listpack::Validate). One whose elements
  /// are not encoded as we would is built anew; an empty one is left out, as Redis does.
  void AppendPack(std::string_view bytes);
  /// A node of one bare element.
  void AppendPlain(std::string_view bytes);
  /// The finished list, now the caller's: a listpack if it is one packed node within the limit.
  Value Finish();

 private:
  SlabHeap& heap_;
  ListLimits limits_;
  ds::Quicklist* list_;
};

}  // namespace sherd::engine
