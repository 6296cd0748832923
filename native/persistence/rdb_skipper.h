// RdbSkipper: finds where values of an RDB file end, without building them: looks at lengths and nothing else.
//
//   RdbSkipper at(bytes);
//   if (at.SkipValue(type)) ... at.offset()
//   else if (at.is_short()) ... at least at.wanted() bytes are needed, as far as one can tell by now
//   else ... at.fault() says what is wrong
//
// It is what one thread does while others build the values, so it must be much faster than they are. A count
// is only a bound for a loop: each turn takes a byte at least, so the end of the bytes ends it.
//
// Thread: the caller's. Owns nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "persistence/rdb_format.h"

namespace sherd::persistence {

class RdbSkipper {
 public:
  /// `start`: where in the bytes to begin.
  RdbSkipper(std::string_view bytes, size_t start) : bytes_(bytes), at_(start) {}

  bool ok() const { return fault_ == nullptr; }
  /// The bytes end too early; more of them may help.
  bool is_short() const { return is_short_; }
  /// How many bytes from the front there must be to get further. UINT64_MAX: more than any file has.
  uint64_t wanted() const { return wanted_; }
  const char* fault() const { return fault_; }
  size_t offset() const { return at_; }

  uint8_t Byte() { return Take(1) ? static_cast<uint8_t>(bytes_[at_ - 1]) : 0; }
  uint32_t Little32() { return Take(4) ? LoadLittle32(bytes_.data() + at_ - 4) : 0; }
  uint64_t Little64() { return Take(8) ? LoadLittle64(bytes_.data() + at_ - 8) : 0; }
  uint64_t Length();
  /// Steps over a string. `*plain` is its bytes if it is a plain one, else a view without data.
  bool SkipString(std::string_view* plain = nullptr);
  /// Steps over a value.
  bool SkipValue(uint8_t type);
  /// Gives up; false, for callers that answer with it.
  bool Fail(const char* fault);

 private:
  bool Take(uint64_t size) {
    if (__builtin_expect(size <= bytes_.size() - at_ && fault_ == nullptr, 1)) {
      at_ += static_cast<size_t>(size);
      return true;
    }
    return RunShort(size);
  }
  bool RunShort(uint64_t size);
  bool SkipStrings(uint64_t count);
  bool SkipScored(uint8_t size);
  bool SkipTextScored();
  bool SkipNodes();
  bool SkipTimedFields(bool has_first_expiry);
  bool SkipStream(RdbType type);
  bool SkipGroup(RdbType type);

  const std::string_view bytes_;
  size_t at_;
  const char* fault_ = nullptr;
  bool is_short_ = false;
  uint64_t wanted_ = 0;
};

}  // namespace sherd::persistence
