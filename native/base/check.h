// CHECK: assertions that stay on in release builds.
//
// Three kinds of failure are kept apart in Sherd: a user's error is a reply, an operating error is a
// Status, and a programmer's error ends the process. This file is the third kind. A failed CHECK prints
// one line (file, line, expression, message) to stderr and aborts, so that a core dump and the crash
// report show the broken invariant and not its consequences.
//
// Any thread may call. Never put a side effect in the condition of a DCHECK: it is compiled out when
// NDEBUG is defined.
#pragma once

namespace sherd {

/// Prints "CHECK failed" with its place to stderr and aborts. Never returns; any thread.
[[noreturn]] void CheckFailed(const char* file, int line, const char* expression, const char* message);

}  // namespace sherd

#define CHECK_MSG(condition, message)                                        \
  do {                                                                       \
    if (__builtin_expect(!(condition), 0)) {                                 \
      ::sherd::CheckFailed(__FILE__, __LINE__, #condition, message);         \
    }                                                                        \
  } while (0)
#define CHECK(condition) CHECK_MSG(condition, "")

#ifdef NDEBUG
#define DCHECK(condition) \
  do {                    \
  } while (0)
#else
#define DCHECK(condition) CHECK(condition)
#endif
