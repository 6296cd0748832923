// What a thread does while it waits awake.
#pragma once

namespace sherd {

/// Tells the processor that this is a waiting loop: saves power and the sibling's time. A hint; any thread.
inline void SpinPause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace sherd
