// Large strings, and the words for types and encodings.
#include "engine/entry.h"

#include <new>

namespace sherd::engine {

LargeString* LargeString::Create(size_t capacity) {
  void* memory = AllocateLarge(AllocationSize(capacity));
  LargeString* string = new (memory) LargeString();
  string->capacity = capacity;
  return string;
}

void LargeString::Unref() {
  // Release: our reads of the bytes come before the free or change by whoever sees the count drop;
  // acquire on the last one pairs with the releases of all the others.
  if (references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    this->~LargeString();
    FreeLarge(this);
  }
}

const char* TypeName(Type type) {
  switch (type) {
    case Type::kString: return "string";
    case Type::kList: return "list";
    case Type::kSet: return "set";
    case Type::kSortedSet: return "zset";
    case Type::kHash: return "hash";
    case Type::kModule: return "module";
    case Type::kStream: return "stream";
  }
  return "unknown";
}

const char* EncodingName(Encoding encoding) {
  switch (encoding) {
    case Encoding::kRaw: return "raw";
    case Encoding::kInt: return "int";
    case Encoding::kHashTable: return "hashtable";
    case Encoding::kIntSet: return "intset";
    case Encoding::kSkipList: return "skiplist";
    case Encoding::kEmbStr: return "embstr";
    case Encoding::kQuickList: return "quicklist";
    case Encoding::kStream: return "stream";
    case Encoding::kListPack: return "listpack";
    case Encoding::kListPackEx: return "listpackex";
  }
  return "unknown";
}

}  // namespace sherd::engine
