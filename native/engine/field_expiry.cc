// Expiry of hash fields: see the header.
#include "engine/field_expiry.h"

#include "base/check.h"

namespace sherd::engine {

void ExpireHashFields(Engine&, WorkerCounters*, int, const Key&, Handle, int64_t) {
  CHECK_MSG(false, "no hash has fields that expire");
}

}  // namespace sherd::engine
