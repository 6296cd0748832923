// What the keyspace does with sets.
#include "engine/value_ops.h"

namespace sherd::engine {

const ValueOps kSetOps = {};

}  // namespace sherd::engine
