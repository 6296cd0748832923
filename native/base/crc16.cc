// The uncommon part of KeySlot(): keys with a hash tag. See crc16.h.
#include "base/crc16.h"

namespace sherd::internal {

std::string_view HashTagOf(std::string_view key) {
  const size_t open = key.find('{');
  if (open == std::string_view::npos) return key;
  const size_t close = key.find('}', open + 1);
  if (close == std::string_view::npos || close == open + 1) return key;
  return key.substr(open + 1, close - open - 1);
}

}  // namespace sherd::internal
