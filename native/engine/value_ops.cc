// ValueOps by type.
#include "engine/value_ops.h"

namespace sherd::engine {

const ValueOps& OpsOf(Type type) {
  switch (type) {
    case Type::kList: return kListOps;
    case Type::kSet: return kSetOps;
    case Type::kSortedSet: return kSortedSetOps;
    case Type::kHash: return kHashOps;
    case Type::kStream: return kStreamOps;
    case Type::kString:
    case Type::kModule: break;
  }
  CHECK_MSG(false, "a type without operations");
  return kListOps;
}

}  // namespace sherd::engine
