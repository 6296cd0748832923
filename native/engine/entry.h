// Entry: a key, its expiry and (when small) its value, in one allocation.
//
//   0        1      2      3        6      7      8
//   +--------+------+------+--------+------+------+
//   |type:enc|flags |epoch | clock  |keylen|vallen|      8 bytes, always
//   +--------+------+------+--------+------+------+
//   | wide:    key length u32 | value length u32  |      8 bytes if kWide
//   +---------------------------------------------+
//   | expiry: unix time in ms, int64              |      8 bytes if kHasExpiry
//   +---------------------------------------------+
//   | payload: int64 or pointer                   |      8 bytes if the value is not inline
//   +---------------------------------------------+
//   | key bytes | inline value bytes              |
//   +---------------------------------------------+
//
// A 10-byte key with a 10-byte value takes 28 bytes, so 32 of the heap; with its place in the table
// (14.3 bytes) a key costs 46 bytes where Redis 7.0 spends about 90.
//
// Encodings are what OBJECT ENCODING says and follow Redis's history rules; how the bytes are stored is
// our own matter: a string of up to kInlineMax bytes is inline, whether "embstr" or "raw".
//
// Invariants: the allocation's size is a function of the header alone (AllocationSize), so an entry can
// be freed without knowing its history; an entry is moved (reallocated) when that size changes its heap
// class, so nobody keeps an Entry* beyond the next change of the entry.
//
// Thread: the holder of the lease of the entry's shard.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/check.h"
#include "base/slab_heap.h"
#include "ds/listpack.h"
#include "resp/reply_builder.h"

namespace sherd::engine {

/// Value types, numbered as Redis numbers them (RDB and modules depend on it).
enum class Type : uint8_t {
  kString = 0, kList = 1, kSet = 2, kSortedSet = 3, kHash = 4, kModule = 5, kStream = 6,
};
/// Encodings, numbered as Redis's OBJ_ENCODING_*.
enum class Encoding : uint8_t {
  kRaw = 0, kInt = 1, kHashTable = 2, kIntSet = 6, kSkipList = 7, kEmbStr = 8, kQuickList = 9,
  kStream = 10, kListPack = 11, kListPackEx = 12,
};

/// A string too large to be inline: a block that output queues may refer to while it is being sent.
/// Whoever changes it must own it alone (IsShared() == false) or copy it first.
struct LargeString final : resp::SharedBlock {
  std::atomic<uint32_t> references{1};
  size_t size = 0;
  size_t capacity = 0;

  char* data() { return reinterpret_cast<char*>(this + 1); }
  std::string_view view() { return {data(), size}; }
  /// Pairs with the release in Unref: once we see 1, nobody else reads the bytes any more.
  bool IsShared() const { return references.load(std::memory_order_acquire) != 1; }

  void Ref() override { references.fetch_add(1, std::memory_order_relaxed); }
  void Unref() override;

  /// A string with room for `capacity` bytes and size 0. Any thread.
  static LargeString* Create(size_t capacity);
  static size_t AllocationSize(size_t capacity) { return sizeof(LargeString) + capacity; }
};

struct Entry {
  // kHasFieldExpiry: a hash some of whose fields have a time to live.
  enum Flag : uint8_t { kWide = 1, kHasExpiry = 2, kInline = 4, kHasFieldExpiry = 8 };

  // Longest value kept inside the entry. Above it the second allocation costs less than moving the
  // value whenever the entry moves.
  static constexpr size_t kInlineMax = 1024;
  // Redis: strings up to 44 bytes are "embstr".
  static constexpr size_t kEmbStrMax = 44;

  uint8_t type_encoding;
  uint8_t flags;
  uint8_t epoch;     // snapshot epoch of the last write (R7)
  uint8_t clock[3];  // LRU seconds, or LFU minutes << 8 | counter
  uint8_t key_length8;
  uint8_t value_length8;

  Type type() const { return static_cast<Type>(type_encoding >> 4); }
  Encoding encoding() const { return static_cast<Encoding>(type_encoding & 15); }
  void SetType(Type type, Encoding encoding) {
    type_encoding = static_cast<uint8_t>(static_cast<uint8_t>(type) << 4 | static_cast<uint8_t>(encoding));
  }
  bool has_expiry() const { return (flags & kHasExpiry) != 0; }
  bool is_inline() const { return (flags & kInline) != 0; }
  bool has_field_expiry() const { return (flags & kHasFieldExpiry) != 0; }
  /// Whether expiry cycles must look at the entry; what the mark bit of its place in the table says.
  bool may_expire() const { return (flags & (kHasExpiry | kHasFieldExpiry)) != 0; }

  size_t key_length() const { return (flags & kWide) != 0 ? Load32(8) : key_length8; }
  size_t value_length() const { return (flags & kWide) != 0 ? Load32(12) : value_length8; }
  std::string_view key() const { return {bytes() + KeyOffset(), key_length()}; }

  /// Unix time in ms, or -1 when the key has no expiry.
  int64_t expiry_ms() const { return has_expiry() ? static_cast<int64_t>(Load64(ExpiryOffset())) : -1; }
  void set_expiry_ms(int64_t at_ms) { Store64(ExpiryOffset(), static_cast<uint64_t>(at_ms)); }

  /// The int64 of an int-encoded string, or the pointer of a value that lives outside.
  uint64_t payload() const { return Load64(PayloadOffset()); }
  void set_payload(uint64_t payload) { Store64(PayloadOffset(), payload); }
  LargeString* large() const { return reinterpret_cast<LargeString*>(payload()); }
  /// The payload of a list, set, hash, sorted set or stream: what it points to depends on the encoding.
  template <class T>
  T* object() const {
    return reinterpret_cast<T*>(payload());
  }
  /// A collection of one listpack.
  ds::Listpack listpack() const { return ds::Listpack(object<uint8_t>()); }
  /// The listpack moved.
  void set_listpack(ds::Listpack pack) { set_payload(reinterpret_cast<uint64_t>(pack.data())); }

  char* inline_value() { return bytes() + KeyOffset() + key_length(); }
  const char* inline_value() const { return bytes() + KeyOffset() + key_length(); }

  uint32_t clock24() const {
    return static_cast<uint32_t>(clock[0]) | static_cast<uint32_t>(clock[1]) << 8 |
           static_cast<uint32_t>(clock[2]) << 16;
  }
  void set_clock24(uint32_t value) {
    clock[0] = static_cast<uint8_t>(value);
    clock[1] = static_cast<uint8_t>(value >> 8);
    clock[2] = static_cast<uint8_t>(value >> 16);
  }

  size_t KeyOffset() const { return PayloadOffset() + (is_inline() ? 0u : 8u); }
  size_t AllocationSize() const {
    return KeyOffset() + key_length() + (is_inline() ? value_length() : 0);
  }

  /// Size of an entry with these properties.
  static size_t SizeFor(size_t key_length, bool has_expiry, bool is_inline, size_t value_length) {
    return 8u + (NeedsWide(key_length, value_length, is_inline) ? 8u : 0u) + (has_expiry ? 8u : 0u) +
           (is_inline ? value_length : 8u) + key_length;
  }
  static bool NeedsWide(size_t key_length, size_t value_length, bool is_inline) {
    return key_length > 255 || (is_inline && value_length > 255);
  }

  /// Fills the header and copies the key; type, encoding, clock, epoch, expiry and value are the
  /// caller's to set.
  void Initialize(std::string_view key, bool has_expiry, bool is_inline, size_t value_length) {
    const bool wide = NeedsWide(key.size(), value_length, is_inline);
    flags = static_cast<uint8_t>((wide ? kWide : 0) | (has_expiry ? kHasExpiry : 0) |
                                 (is_inline ? kInline : 0));
    SetLengths(key.size(), is_inline ? value_length : 0);
    std::memcpy(bytes() + KeyOffset(), key.data(), key.size());
  }
  /// Changes the inline value's length; the header form (wide or not) must already fit.
  void SetInlineLength(size_t value_length) { SetLengths(key_length(), value_length); }

 private:
  void SetLengths(size_t key_length, size_t value_length) {
    if ((flags & kWide) != 0) {
      key_length8 = 0;
      value_length8 = 0;
      Store32(8, static_cast<uint32_t>(key_length));
      Store32(12, static_cast<uint32_t>(value_length));
    } else {
      DCHECK(key_length <= 255 && value_length <= 255);
      key_length8 = static_cast<uint8_t>(key_length);
      value_length8 = static_cast<uint8_t>(value_length);
    }
  }
  char* bytes() { return reinterpret_cast<char*>(this); }
  const char* bytes() const { return reinterpret_cast<const char*>(this); }
  size_t ExpiryOffset() const { return 8u + ((flags & kWide) != 0 ? 8u : 0u); }
  size_t PayloadOffset() const { return ExpiryOffset() + (has_expiry() ? 8u : 0u); }
  uint32_t Load32(size_t offset) const {
    uint32_t value;
    std::memcpy(&value, bytes() + offset, sizeof value);
    return value;
  }
  void Store32(size_t offset, uint32_t value) { std::memcpy(bytes() + offset, &value, sizeof value); }
  uint64_t Load64(size_t offset) const {
    uint64_t value;
    std::memcpy(&value, bytes() + offset, sizeof value);
    return value;
  }
  void Store64(size_t offset, uint64_t value) { std::memcpy(bytes() + offset, &value, sizeof value); }
};
static_assert(sizeof(Entry) == 8);
static_assert(offsetof(Entry, key_length8) == 6);

/// The words of TYPE and OBJECT ENCODING.
const char* TypeName(Type type);
const char* EncodingName(Encoding encoding);

}  // namespace sherd::engine
