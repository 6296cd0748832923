// StreamId: the name of a stream's entry: milliseconds and a sequence number, both of the whole
// range of uint64, ordered first by the one and then by the other. Its text is "ms-seq".
//
// Thread: plain values.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/numbers.h"

namespace sherd::ds {

struct StreamId {
  uint64_t ms = 0;
  uint64_t seq = 0;

  static constexpr StreamId Min() { return {0, 0}; }
  static constexpr StreamId Max() { return {UINT64_MAX, UINT64_MAX}; }
  /// Bytes that Format may write.
  static constexpr size_t kCharsMax = 2 * kInt64CharsMax + 1;

  bool is_zero() const { return (ms | seq) == 0; }
  /// Goes on to the next id. False at the last one, which becomes 0-0, as in Redis.
  bool Increment() {
    if (++seq == 0) ++ms;
    return !is_zero();
  }
  /// Goes back to the id before. False at 0-0, which becomes the last one.
  bool Decrement() {
    const bool was_zero = is_zero();
    if (seq-- == 0) --ms;
    return !was_zero;
  }
  /// Writes "ms-seq" and returns its length.
  size_t Format(char* out) const {
    size_t size = FormatUint64(ms, out);
    out[size++] = '-';
    return size + FormatUint64(seq, out + size);
  }
};

inline bool operator==(StreamId a, StreamId b) { return a.ms == b.ms && a.seq == b.seq; }
// Without branches: binary searches compare ids that nobody can predict.
inline bool operator<(StreamId a, StreamId b) {
  return (a.ms < b.ms) | ((a.ms == b.ms) & (a.seq < b.seq));
}
inline bool operator>(StreamId a, StreamId b) { return b < a; }
inline bool operator<=(StreamId a, StreamId b) { return !(b < a); }
inline bool operator>=(StreamId a, StreamId b) { return !(a < b); }

}  // namespace sherd::ds
