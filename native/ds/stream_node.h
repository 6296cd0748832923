// Stream node: some entries of a stream in one listpack, in Redis's own format, so that nodes go
// into RDB files and DUMP payloads as they lie in memory.
//
//   master:  count | deleted | field count | field … | 0
//   entry:   flags | ms - master ms | seq - master seq | values …                     | elements
//            flags | ms - master ms | seq - master seq | field count | field, value … | elements
//
// Each word is one element of the listpack. The master id is the id of the first entry, and the key
// of the node. `count` are the living entries, `deleted` those that are only marked. `flags` is 1
// for deleted plus 2 for "has the master's fields"; `elements`, the number of elements of the entry
// without itself, is how one walks towards the front. Differences of ids are 64-bit and wrap.
//
// What is here reads and checks such blocks and appends to them; which block, and where it lives,
// is StreamLog's business (stream_log.h).
//
// Bytes from outside must pass ValidateStreamNode before any other function sees them: it proves
// all that the readers rely on, so that they need no checks of their own.
//
// Thread: the owner's. Nothing here owns memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "ds/listpack.h"
#include "ds/stream_id.h"

namespace sherd::ds {

enum StreamFlag : uint8_t { kEntryDeleted = 1, kEntryHasMasterFields = 2 };

/// Reads the element at `*at` and steps behind it. Small integers and short strings, which most
/// are, are decoded here.
inline PackedValue ReadElement(const uint8_t* data, size_t* at) {
  const uint8_t* p = data + *at;
  PackedValue value;
  if (p[0] < 0x80) {
    value.integer = p[0];
    *at += 2;
    return value;
  }
  if (p[0] < 0xC0) {
    value.text = reinterpret_cast<const char*>(p + 1);
    value.size = p[0] & 0x3Fu;
    *at += value.size + 2;
    return value;
  }
  // Reading does not change the block; Listpack just has no form for a constant one.
  const Listpack pack(const_cast<uint8_t*>(data));
  value = pack.Get(*at);
  *at += pack.SizeAt(*at);
  return value;
}

inline int64_t ReadInteger(const uint8_t* data, size_t* at) {
  return ReadElement(data, at).integer;
}

inline void SkipElements(const uint8_t* data, size_t* at, uint64_t count) {
  const Listpack pack(const_cast<uint8_t*>(data));
  for (; count > 0; count--) *at += pack.SizeAt(*at);
}

/// The master entry.
struct StreamNodeHeader {
  uint64_t count = 0;
  uint64_t deleted = 0;
  uint64_t field_count = 0;
  size_t deleted_at = 0;  // position of the element `deleted`; `count` is the first element
  size_t fields_at = 0;   // position of the first field
  size_t entries_at = 0;  // position of the first entry

  static StreamNodeHeader Read(const uint8_t* data);
};

/// An entry, without its fields and values.
struct StreamEntry {
  StreamId id;
  uint64_t field_count = 0;
  size_t at = 0;         // position of its flags
  size_t values_at = 0;  // position of the first value, or of the first field if it has its own
  bool is_deleted = false;
  bool has_master_fields = false;

  static StreamEntry Read(const uint8_t* data, const StreamNodeHeader& header, StreamId master,
                          size_t at);
  /// The position of what follows the entry whose fields and values end at `at`.
  static size_t EndFrom(const uint8_t* data, size_t at) {
    SkipElements(data, &at, 1);
    return at;
  }
  size_t End(const uint8_t* data) const {
    size_t end = values_at;
    SkipElements(data, &end, (has_master_fields ? field_count : 2 * field_count) + 1);
    return end;
  }
};

/// Whether `at` is behind the last entry.
inline bool IsNodeEnd(const uint8_t* data, size_t at) { return data[at] == 0xFF; }

/// The position of the entry before the one at `at` (or before the end). 0: there is none.
size_t PreviousStreamEntry(const uint8_t* data, const StreamNodeHeader& header, size_t at);

/// Bytes that a new node with this one entry takes.
size_t NewStreamNodeSize(std::span<const std::string_view> pairs);
/// Writes a node with one entry, whose id is the node's master id. `pairs`: field, value, field,
/// value… `data` has room for NewStreamNodeSize() bytes.
void WriteNewStreamNode(uint8_t* data, std::span<const std::string_view> pairs);

/// Whether the entry's fields are the master's, in the same order.
bool HasMasterFields(const uint8_t* data, const StreamNodeHeader& header,
                     std::span<const std::string_view> pairs);
/// Bytes that AppendStreamEntry adds to a node, not counting that the element `count` may grow.
size_t StreamEntrySize(StreamId difference, bool has_master_fields,
                       std::span<const std::string_view> pairs);
/// An upper bound of it that costs less to know.
inline size_t StreamEntrySizeMax(std::span<const std::string_view> pairs) {
  size_t size = 5 * Listpack::ElementSizeMax(0);
  for (const std::string_view text : pairs) size += Listpack::ElementSizeMax(text.size());
  return size;
}
/// Appends an entry to the block, which has room for it, and updates the listpack's own header; the
/// element `count` is the caller's. `difference` is the id less the master id.
void AppendStreamEntry(uint8_t* data, StreamId difference, bool has_master_fields,
                       std::span<const std::string_view> pairs);

/// What ValidateStreamNode found.
struct StreamNodeFacts {
  uint64_t count = 0;    // living entries
  uint64_t deleted = 0;  // marked ones
  StreamId first;        // ids of the first and last entry, deleted or not
  StreamId last;
};

/// Whether `bytes` are a node with this master id in every detail: a well-formed listpack; counts
/// that are true; known flags; every entry complete, with the right number of elements; ids that
/// ascend from `master` on; and at least one entry. Safe on any bytes. O(n).
bool ValidateStreamNode(std::string_view bytes, StreamId master, StreamNodeFacts* facts = nullptr);

}  // namespace sherd::ds
