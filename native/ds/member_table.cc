// MemberTable: the part that does not depend on the hash: a member's bytes.
#include "ds/member_table.h"

namespace sherd::ds {

Member* Member::Create(SlabHeap& heap, std::string_view text) {
  char* memory = static_cast<char*>(heap.Allocate(SizeFor(text.size())));
  char* bytes = memory + 1;
  if (text.size() < kLong) {
    memory[0] = static_cast<char>(text.size());
  } else {
    memory[0] = static_cast<char>(kLong);
    StoreLittle64(bytes, text.size());
    bytes = memory + kLongHeader;
  }
  if (!text.empty()) std::memcpy(bytes, text.data(), text.size());
  return reinterpret_cast<Member*>(memory);
}

}  // namespace sherd::ds
