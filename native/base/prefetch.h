// Prefetching for a write.
//
// __builtin_prefetch(p, 1) asks for a line to read unless the compiler may assume PREFETCHW, which baseline
// x86-64 does not promise; yet every x86-64 processor runs it (the oldest as a no-op). For a line that another
// core has changed, a prefetch to read leaves half of the wait to the write that follows.
//
// Thread: any. The address need not be mapped.
#pragma once

namespace sherd {

/// Fetches the line at `address` into this core's cache in a state that can be written. A hint.
inline void PrefetchForWrite(const void* address) {
#if defined(__x86_64__)
  asm volatile("prefetchw (%0)" : : "r"(address));
#else
  __builtin_prefetch(address, 1, 3);
#endif
}

}  // namespace sherd
