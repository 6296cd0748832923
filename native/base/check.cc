// The cold half of CHECK: format the failure and abort.
#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace sherd {

void CheckFailed(const char* file, int line, const char* expression, const char* message) {
  std::fprintf(stderr, "CHECK failed at %s:%d: %s%s%s\n", file, line, expression,
               message[0] != '\0' ? ": " : "", message);
  std::fflush(stderr);
  std::abort();
}

}  // namespace sherd
