// What the keyspace does with sorted sets.
#include "engine/value_ops.h"

namespace sherd::engine {

const ValueOps kSortedSetOps = {};

}  // namespace sherd::engine
