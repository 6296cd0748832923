// Fuzz target of streams.
//
// stream_node  any bytes as a node of a stream: refused, or taken, and then every walk over it
// agrees
//              with what the check found, and deleting and trimming leave a sound stream
#include <string>

#include "base/bytes.h"
#include "base/check.h"
#include "base/random.h"
#include "ds/stream_log.h"
#include "fuzz/fuzz.h"

namespace sherd::fuzz {

namespace {

using ds::StreamCursor;
using ds::StreamId;
using ds::StreamLog;

uint64_t Walk(const StreamLog& log, bool is_reverse) {
  uint64_t seen = 0;
  StreamId previous;
  for (StreamCursor cursor(log, StreamId::Min(), StreamId::Max(), is_reverse); cursor.Next();
       seen++) {
    CHECK(cursor.CountRest(0) == log.length() - seen);
    if (seen > 0) CHECK(is_reverse ? cursor.entry().id < previous : cursor.entry().id > previous);
    previous = cursor.entry().id;
    uint64_t fields = 0;
    cursor.ForEachField([&](ds::PackedValue, ds::PackedValue) { fields++; });
    CHECK(fields == cursor.entry().field_count);
  }
  return seen;
}

}  // namespace

FUZZ_TARGET(stream_node) {
  // The first byte chooses what happens to the node; the second makes its length true, so that
  // mutants come past the listpack's header.
  if (size < 6) return;
  std::string bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  if (data[1] % 4 != 0) StoreLittle32(bytes.data(), static_cast<uint32_t>(bytes.size()));
  const StreamId master = {1, data[0] & 1u};
  const ExactCopy copy(bytes);
  SlabHeap heap;
  StreamLog log;
  ds::StreamNodeFacts facts;
  const bool is_valid = ds::ValidateStreamNode(copy.view(), master, &facts);
  CHECK(log.AppendNode(heap, master, copy.view()) == is_valid);
  if (!is_valid) return;
  log.Validate();
  CHECK(Walk(log, false) == facts.count);
  CHECK(Walk(log, true) == facts.count);
  const std::string_view pairs[] = {"a", "1"};
  if (facts.last < StreamId::Max()) log.Append(heap, StreamId::Max(), pairs, {});
  log.Validate();
  if ((data[0] & 2) != 0) log.Delete(heap, facts.first);
  ds::StreamTrim trim;
  trim.by_id = (data[0] & 4) != 0;
  trim.min_id = facts.last;
  trim.length_max = facts.count / 2;
  log.Trim(heap, trim);
  log.Validate();
  CHECK(Walk(log, true) == log.length());
  while (!log.FreeSlice(heap)) {
  }
  CHECK(heap.used_bytes() == 0);
}

// What is in front of each node: what happens to it, and that its length is true. Zero bytes end a
// literal, so these are written with their sizes.
static const SeedRegistration stream_node_seeds(
    "stream_node", {std::string("\x01\x01\x3d\0\0\0\x18\0\x02\x01\x01\x01\x01\x01\x81\x61\x02\0\x01"
                                "\x02\x01\0\x01\0\x01\x01\x01"
                                "\x04\x01\x03\x01\0\x01\x01\x01\x02\x01\x04\x01\0\x01\x01\x01\xdf"
                                "\xff\x02\x02\x01\x81\x62\x02\x81"
                                "\x78\x02\x81\x61\x02\xc1\x2c\x02\x08\x01\xff",
                                63),
                    std::string("\x06\x01\x1d\0\0\0\x0a\0\x01\x01\0\x01\x01\x01\x81\x61\x02\0\x01"
                                "\x02\x01\0\x01\0\x01\x81\x7a\x02"
                                "\x04\x01\xff",
                                31)});

}  // namespace sherd::fuzz
