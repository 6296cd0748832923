// SHA-1 (FIPS 180-4), for DEBUG DIGEST and SCRIPT LOAD names, where Redis's output is defined by
// it. Not used for anything that needs security.
//
// Any thread; an object is used by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sherd {

class Sha1 {
 public:
  static constexpr size_t kDigestSize = 20;

  Sha1();
  void Update(std::string_view bytes);
  /// Writes the digest of everything given to Update(). The object is spent afterwards.
  void Finish(uint8_t digest[kDigestSize]);

 private:
  void Block(const char* block);

  uint32_t state_[5];
  uint64_t size_ = 0;  // bytes seen
  char buffer_[64];    // the size_ % 64 bytes not yet hashed
};

/// Digest of one text as 40 lower-case hexadecimal digits.
std::string Sha1Hex(std::string_view bytes);

}  // namespace sherd
