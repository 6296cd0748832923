// Unaligned loads and stores of fixed-width integers, and a checked reader over a span of bytes.
//
// All file and wire formats go through here: the endianness stands in the name at the call, and an
// unaligned access is a memcpy that the compiler turns into one instruction. ByteReader is for
// bytes that came from outside: it never reads past the end, and it remembers a failure, so that a
// decoder can read a whole struct and ask once at the end.
//
// Any thread. Nothing here owns memory: a ByteReader and the views it returns borrow the caller's
// bytes.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

namespace sherd {

namespace internal {

inline uint8_t SwapBytes(uint8_t value) { return value; }
inline uint16_t SwapBytes(uint16_t value) { return __builtin_bswap16(value); }
inline uint32_t SwapBytes(uint32_t value) { return __builtin_bswap32(value); }
inline uint64_t SwapBytes(uint64_t value) { return __builtin_bswap64(value); }

template <typename T, std::endian kOrder>
inline T LoadInteger(const void* from) {
  static_assert(std::is_unsigned_v<T>);
  T value;
  std::memcpy(&value, from, sizeof(value));
  return kOrder == std::endian::native ? value : SwapBytes(value);
}

template <typename T, std::endian kOrder>
inline void StoreInteger(void* to, T value) {
  static_assert(std::is_unsigned_v<T>);
  if (kOrder != std::endian::native) value = SwapBytes(value);
  std::memcpy(to, &value, sizeof(value));
}

}  // namespace internal

inline uint16_t LoadLittle16(const void* p) {
  return internal::LoadInteger<uint16_t, std::endian::little>(p);
}
inline uint32_t LoadLittle32(const void* p) {
  return internal::LoadInteger<uint32_t, std::endian::little>(p);
}
inline uint64_t LoadLittle64(const void* p) {
  return internal::LoadInteger<uint64_t, std::endian::little>(p);
}
inline uint16_t LoadBig16(const void* p) {
  return internal::LoadInteger<uint16_t, std::endian::big>(p);
}
inline uint32_t LoadBig32(const void* p) {
  return internal::LoadInteger<uint32_t, std::endian::big>(p);
}
inline uint64_t LoadBig64(const void* p) {
  return internal::LoadInteger<uint64_t, std::endian::big>(p);
}

inline void StoreLittle16(void* p, uint16_t value) {
  internal::StoreInteger<uint16_t, std::endian::little>(p, value);
}
inline void StoreLittle32(void* p, uint32_t value) {
  internal::StoreInteger<uint32_t, std::endian::little>(p, value);
}
inline void StoreLittle64(void* p, uint64_t value) {
  internal::StoreInteger<uint64_t, std::endian::little>(p, value);
}
inline void StoreBig16(void* p, uint16_t value) {
  internal::StoreInteger<uint16_t, std::endian::big>(p, value);
}
inline void StoreBig32(void* p, uint32_t value) {
  internal::StoreInteger<uint32_t, std::endian::big>(p, value);
}
inline void StoreBig64(void* p, uint64_t value) {
  internal::StoreInteger<uint64_t, std::endian::big>(p, value);
}

/// Whether `size` bytes are the same. For keys and members, which are mostly short: up to 32 bytes take a few
/// loads and no call, where the library's function takes as long to be reached as to compare.
inline bool EqualBytes(const void* a, const void* b, size_t size) {
  const char* const x = static_cast<const char*>(a);
  const char* const y = static_cast<const char*>(b);
  const auto differ = [&](size_t at) { return LoadLittle64(x + at) ^ LoadLittle64(y + at); };
  if (size > 32) return std::memcmp(x, y, size) == 0;
  // Both ends, which overlap where they must.
  if (size > 16) return (differ(0) | differ(8) | differ(size - 16) | differ(size - 8)) == 0;
  if (size >= 8) return (differ(0) | differ(size - 8)) == 0;
  if (size >= 4) {
    return ((LoadLittle32(x) ^ LoadLittle32(y)) | (LoadLittle32(x + size - 4) ^ LoadLittle32(y + size - 4))) == 0;
  }
  for (size_t i = 0; i < size; i++) {
    if (x[i] != y[i]) return false;
  }
  return true;
}
inline bool EqualBytes(std::string_view a, std::string_view b) {
  return a.size() == b.size() && EqualBytes(a.data(), b.data(), a.size());
}

/// Reads integers and slices from the front of a span that nobody vouches for.
///
///   ByteReader reader(bytes);
///   const uint32_t length = reader.Little32();
///   const std::string_view body = reader.Bytes(length);
///   if (!reader.ok()) return Status::Corrupt("truncated record");
///
/// After the first read beyond the end, ok() stays false, every read gives 0 or an empty view, and
/// nothing is consumed any more.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  bool ok() const { return is_ok_; }
  size_t remaining() const { return bytes_.size() - offset_; }
  size_t offset() const { return offset_; }
  bool AtEnd() const { return remaining() == 0; }

  uint8_t Byte() { return Read<uint8_t, std::endian::little>(); }
  uint16_t Little16() { return Read<uint16_t, std::endian::little>(); }
  uint32_t Little32() { return Read<uint32_t, std::endian::little>(); }
  uint64_t Little64() { return Read<uint64_t, std::endian::little>(); }
  uint16_t Big16() { return Read<uint16_t, std::endian::big>(); }
  uint32_t Big32() { return Read<uint32_t, std::endian::big>(); }
  uint64_t Big64() { return Read<uint64_t, std::endian::big>(); }

  /// The next `size` bytes; empty (and ok() false) when there are fewer.
  std::string_view Bytes(uint64_t size) {
    if (!Has(size)) return {};
    const std::string_view result = bytes_.substr(offset_, static_cast<size_t>(size));
    offset_ += static_cast<size_t>(size);
    return result;
  }

 private:
  bool Has(uint64_t size) {
    if (size > remaining()) is_ok_ = false;
    return is_ok_;
  }

  template <typename T, std::endian kOrder>
  T Read() {
    if (!Has(sizeof(T))) return 0;
    const T value = internal::LoadInteger<T, kOrder>(bytes_.data() + offset_);
    offset_ += sizeof(T);
    return value;
  }

  std::string_view bytes_;
  size_t offset_ = 0;
  bool is_ok_ = true;
};

}  // namespace sherd
