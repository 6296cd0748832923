// What the keyspace does with hashes.
#include "engine/value_ops.h"

namespace sherd::engine {

const ValueOps kHashOps = {};

}  // namespace sherd::engine
