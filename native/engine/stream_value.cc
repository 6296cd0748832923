// What the keyspace does with streams.
#include "engine/value_ops.h"

namespace sherd::engine {

const ValueOps kStreamOps = {};

}  // namespace sherd::engine
