// What the keyspace does with lists.
#include "engine/value_ops.h"

namespace sherd::engine {

const ValueOps kListOps = {};

}  // namespace sherd::engine
