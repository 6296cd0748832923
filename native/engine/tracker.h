// Trackers: clients that use CLIENT TRACKING, as the tables of the shards keep them.
//
// TRACKERS are sixteen neighbouring clients of one worker in a word, so that each can be reached without a
// look-up, and clients that read the same keys, which mostly came one after the other, share it:
//
//   bit 63         52                                   16                 0
//   +--------------+------------------------------------+------------------+
//   | worker       | client id / 16                     | a bit a client   |
//   +--------------+------------------------------------+------------------+
//
// Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sherd::engine {

/// One client, as a word with one bit.
using Tracker = uint64_t;
/// Up to sixteen.
using Trackers = uint64_t;
inline constexpr int kTrackerWorkerShift = 52;
inline constexpr int kTrackerNumberShift = 16;
inline constexpr int kTrackersPerWord = kTrackerNumberShift;  // a bit each, below the number
inline constexpr Trackers kTrackerBits = (uint64_t{1} << kTrackersPerWord) - 1;
inline constexpr size_t kTrackingWorkersMax = size_t{1} << (64 - kTrackerWorkerShift);

inline constexpr uint64_t kTrackingClientsMax = uint64_t{kTrackersPerWord}
                                                << (kTrackerWorkerShift - kTrackerNumberShift);

/// `client_id` is below kTrackingClientsMax, 2^40: ten thousand connections a second need three years to get there.
inline constexpr Tracker MakeTracker(uint16_t worker, uint64_t client_id) {
  return uint64_t{worker} << kTrackerWorkerShift | client_id / kTrackersPerWord << kTrackerNumberShift |
         uint64_t{1} << client_id % kTrackersPerWord;
}
inline constexpr uint16_t WorkerOf(Trackers trackers) {
  return static_cast<uint16_t>(trackers >> kTrackerWorkerShift);
}
inline constexpr bool AreNeighbours(Trackers a, Trackers b) { return (a ^ b) >> kTrackerNumberShift == 0; }
inline size_t CountTrackers(std::span<const Trackers> words) {
  size_t count = 0;
  for (const Trackers word : words) count += static_cast<size_t>(__builtin_popcountll(word & kTrackerBits));
  return count;
}
/// visit(client id), ascending.
template <class Visit>
void ForEachClient(Trackers trackers, Visit&& visit) {
  constexpr uint64_t kNumberMask = (uint64_t{1} << (kTrackerWorkerShift - kTrackerNumberShift)) - 1;
  const uint64_t first = (trackers >> kTrackerNumberShift & kNumberMask) * kTrackersPerWord;
  for (Trackers bits = trackers & kTrackerBits; bits != 0; bits &= bits - 1) {
    visit(first + static_cast<uint64_t>(__builtin_ctzll(bits)));
  }
}

}  // namespace sherd::engine
