// Listpack: see the header for the format.
#include "ds/listpack.h"

#include <cstring>

namespace sherd::ds {

namespace {

constexpr uint8_t kInt13 = 0xC0;
constexpr uint8_t kString12 = 0xE0;
constexpr uint8_t kString32 = 0xF0;
constexpr uint8_t kInt16 = 0xF1;
constexpr uint8_t kInt24 = 0xF2;
constexpr uint8_t kInt32 = 0xF3;
constexpr uint8_t kInt64 = 0xF4;

// 20 digits are the longest int64.
constexpr size_t kIntegerTextMax = 20;

bool ReadsAsInteger(std::string_view text, int64_t* value) {
  return text.size() <= kIntegerTextMax && ParseInt64(text, value);
}

int64_t SignExtend(uint64_t bits, int width) {
  const int shift = 64 - width;
  return static_cast<int64_t>(bits << shift) >> shift;
}

}  // namespace

// ---- Making ----

Listpack Listpack::Create(SlabHeap& heap) {
  Listpack pack(static_cast<uint8_t*>(heap.Allocate(kEmptySize)));
  pack.SetBytes(kEmptySize);
  pack.SetCount(0);
  pack.data_[kHeaderSize] = kEnd;
  return pack;
}

Listpack Listpack::CreateFrom(SlabHeap& heap, std::string_view bytes) {
  Listpack pack(static_cast<uint8_t*>(heap.Allocate(bytes.size())));
  std::memcpy(pack.data_, bytes.data(), bytes.size());
  DCHECK(pack.bytes() == bytes.size());
  return pack;
}

// ---- Encoding ----

Listpack::Encoded Listpack::EncodeInteger(int64_t value) {
  Encoded element;
  const uint64_t bits = static_cast<uint64_t>(value);
  if (value >= 0 && value <= 127) {
    element.head[0] = static_cast<uint8_t>(value);
    element.head_size = 1;
  } else if (value >= -4096 && value <= 4095) {
    element.head[0] = static_cast<uint8_t>(kInt13 | (bits >> 8 & 0x1F));
    element.head[1] = static_cast<uint8_t>(bits);
    element.head_size = 2;
  } else if (value >= INT16_MIN && value <= INT16_MAX) {
    element.head[0] = kInt16;
    StoreLittle16(element.head + 1, static_cast<uint16_t>(bits));
    element.head_size = 3;
  } else if (value >= -(1 << 23) && value < (1 << 23)) {
    element.head[0] = kInt24;
    StoreLittle32(element.head + 1, static_cast<uint32_t>(bits));  // the fourth byte is not counted
    element.head_size = 4;
  } else if (value >= INT32_MIN && value <= INT32_MAX) {
    element.head[0] = kInt32;
    StoreLittle32(element.head + 1, static_cast<uint32_t>(bits));
    element.head_size = 5;
  } else {
    element.head[0] = kInt64;
    StoreLittle64(element.head + 1, bits);
    element.head_size = 9;
  }
  return element;
}

Listpack::Encoded Listpack::Encode(std::string_view text) {
  int64_t integer;
  if (ReadsAsInteger(text, &integer)) return EncodeInteger(integer);
  Encoded element;
  element.tail = text;
  if (text.size() < 64) {
    element.head[0] = static_cast<uint8_t>(0x80 | text.size());
    element.head_size = 1;
  } else if (text.size() < 4096) {
    element.head[0] = static_cast<uint8_t>(kString12 | text.size() >> 8);
    element.head[1] = static_cast<uint8_t>(text.size());
    element.head_size = 2;
  } else {
    element.head[0] = kString32;
    StoreLittle32(element.head + 1, static_cast<uint32_t>(text.size()));
    element.head_size = 5;
  }
  return element;
}

void Listpack::WriteBacklen(uint8_t* at, size_t data_size) {
  const size_t size = BacklenSize(data_size);
  for (size_t i = size; i-- > 0;) {
    at[i] = static_cast<uint8_t>((data_size & 0x7F) | (i > 0 ? 0x80 : 0));
    data_size >>= 7;
  }
}

void Listpack::Write(uint8_t* at, const Encoded& element) {
  std::memcpy(at, element.head, element.head_size);
  if (!element.tail.empty()) {
    std::memcpy(at + element.head_size, element.tail.data(), element.tail.size());
  }
  WriteBacklen(at + element.data_size(), element.data_size());
}

size_t Listpack::ElementSize(std::string_view text) { return Encode(text).size(); }
size_t Listpack::ElementSizeOfInteger(int64_t value) { return EncodeInteger(value).size(); }

uint8_t* Listpack::WriteElement(uint8_t* at, std::string_view text) {
  const Encoded element = Encode(text);
  Write(at, element);
  return at + element.size();
}

uint8_t* Listpack::WriteIntegerElement(uint8_t* at, int64_t value) {
  const Encoded element = EncodeInteger(value);
  Write(at, element);
  return at + element.size();
}

size_t Listpack::DataSizeOfLong(const uint8_t* p) {
  if (p[0] < 0xE0) return 2;
  if (p[0] < 0xF0) return 2 + ((p[0] & 0x0Fu) << 8 | p[1]);
  switch (p[0]) {
    case kString32: return 5 + size_t{LoadLittle32(p + 1)};
    case kInt16: return 3;
    case kInt24: return 4;
    case kInt32: return 5;
    case kInt64: return 9;
    default: break;
  }
  CHECK_MSG(false, "listpack: broken element");
  return 0;
}

// ---- Walking ----

size_t Listpack::count() const {
  const uint32_t stored = stored_count();
  if (__builtin_expect(stored != kCountUnknown, 1)) return stored;
  size_t count = 0;
  for (Position at = First(); at != kNone; at = Next(at)) count++;
  return count;
}

Listpack::Position Listpack::PreviousOf(Position at) const {
  if (at == kHeaderSize) return kNone;
  // The backlen ends right before `at`.
  const uint8_t* p = data_ + at - 1;
  size_t data_size = 0;
  size_t backlen_size = 1;
  for (int shift = 0;; shift += 7, p--, backlen_size++) {
    data_size |= size_t{*p & 0x7Fu} << shift;
    if ((*p & 0x80) == 0) break;
    DCHECK(backlen_size < 5);
  }
  return at - data_size - backlen_size;
}

Listpack::Position Listpack::Seek(int64_t index) const {
  const uint32_t stored = stored_count();
  if (stored != kCountUnknown) {
    const int64_t count = stored;
    if (index < -count || index >= count) return kNone;
    // From the nearer end.
    if (index >= 0 && index > count / 2) index -= count;
    if (index < 0 && -index > count / 2 + 1) index += count;
  }
  if (index >= 0) {
    Position at = First();
    while (index-- > 0 && at != kNone) at = Next(at);
    return at;
  }
  Position at = Last();
  while (++index < 0 && at != kNone) at = PreviousOf(at);
  return at;
}

PackedValue Listpack::DecodeLong(const uint8_t* p) {
  PackedValue value;
  const uint8_t head = p[0];
  if (head < 0xE0) {
    value.integer = SignExtend(static_cast<uint64_t>(head & 0x1F) << 8 | p[1], 13);
  } else if (head < 0xF0) {
    value.text = reinterpret_cast<const char*>(p + 2);
    value.size = static_cast<size_t>(head & 0x0F) << 8 | p[1];
  } else if (head == kString32) {
    value.text = reinterpret_cast<const char*>(p + 5);
    value.size = LoadLittle32(p + 1);
  } else if (head == kInt16) {
    value.integer = SignExtend(LoadLittle16(p + 1), 16);
  } else if (head == kInt24) {
    value.integer = SignExtend(static_cast<uint64_t>(p[3]) << 16 | LoadLittle16(p + 1), 24);
  } else if (head == kInt32) {
    value.integer = SignExtend(LoadLittle32(p + 1), 32);
  } else {
    CHECK(head == kInt64);
    value.integer = static_cast<int64_t>(LoadLittle64(p + 1));
  }
  return value;
}

bool Listpack::Equals(Position at, std::string_view text) const {
  const PackedValue value = Get(at);
  if (!value.is_integer()) {
    return std::string_view(value.text, value.size) == text;
  }
  int64_t integer;
  return ReadsAsInteger(text, &integer) && integer == value.integer;
}

bool Listpack::Matches(const uint8_t* p, const Encoded& element) {
  if (std::memcmp(p, element.head, element.head_size) != 0) return false;
  const std::string_view tail = element.tail;
  return tail.empty() || std::memcmp(p + element.head_size, tail.data(), tail.size()) == 0;
}

Listpack::Position Listpack::Find(Position from, std::string_view text, unsigned skip) const {
  if (from == kNone) return kNone;
  // An integer has one encoding only, and so has a string: comparing encoded bytes decides.
  const Encoded wanted = Encode(text);
  const uint8_t* p = data_ + from;
  while (*p != kEnd) {
    const size_t data_size = DataSizeAt(p);
    if (*p == wanted.head[0] && data_size == wanted.data_size() && Matches(p, wanted)) {
      return static_cast<Position>(p - data_);
    }
    p += data_size + BacklenSize(data_size);
    for (unsigned i = 0; i < skip && *p != kEnd; i++) {
      const size_t passed = DataSizeAt(p);
      p += passed + BacklenSize(passed);
    }
  }
  return kNone;
}

// ---- Changing ----

void Listpack::Resize(SlabHeap& heap, Position at, size_t old_size, size_t new_size) {
  const size_t old_bytes = bytes();
  const size_t new_bytes = old_bytes - old_size + new_size;
  CHECK(new_bytes <= kMaxBytes + kMaxBytes);  // far below what u32 holds
  const size_t rest = old_bytes - at - old_size;
  // The heap knows its classes: within one, the block is already large enough.
  if (SlabHeap::GoodSize(old_bytes) == SlabHeap::GoodSize(new_bytes)) {
    std::memmove(data_ + at + new_size, data_ + at + old_size, rest);
  } else {
    uint8_t* moved = static_cast<uint8_t*>(heap.Allocate(new_bytes));
    std::memcpy(moved, data_, at);
    std::memcpy(moved + at + new_size, data_ + at + old_size, rest);
    heap.Free(data_, old_bytes);
    data_ = moved;
  }
  SetBytes(new_bytes);
}

void Listpack::AddCount(int64_t delta) {
  const uint32_t stored = stored_count();
  if (stored != kCountUnknown) {
    SetCount(static_cast<size_t>(stored + delta));
  } else if (delta < 0) {
    SetCount(count());  // it may have become small enough to say
  }
}

void Listpack::InsertEncoded(SlabHeap& heap, Position at, const Encoded& element) {
  Resize(heap, at, 0, element.size());
  Write(data_ + at, element);
  AddCount(1);
}

void Listpack::Insert(SlabHeap& heap, Position at, std::string_view text) {
  InsertEncoded(heap, at, Encode(text));
}

void Listpack::InsertInteger(SlabHeap& heap, Position at, int64_t value) {
  InsertEncoded(heap, at, EncodeInteger(value));
}

void Listpack::AppendAll(SlabHeap& heap, std::span<const std::string_view> texts) {
  size_t added = 0;
  for (const std::string_view text : texts) added += ElementSize(text);
  Position at = bytes() - 1;
  Resize(heap, at, 0, added);
  for (const std::string_view text : texts) {
    const Encoded element = Encode(text);
    Write(data_ + at, element);
    at += element.size();
  }
  AddCount(static_cast<int64_t>(texts.size()));
}

void Listpack::PrependAll(SlabHeap& heap, std::span<const std::string_view> texts) {
  size_t added = 0;
  for (const std::string_view text : texts) added += ElementSize(text);
  Resize(heap, kHeaderSize, 0, added);
  Position at = kHeaderSize + added;
  for (const std::string_view text : texts) {
    const Encoded element = Encode(text);
    at -= element.size();
    Write(data_ + at, element);
  }
  AddCount(static_cast<int64_t>(texts.size()));
}

size_t Listpack::CountMatches(std::string_view text) const {
  size_t count = 0;
  for (Position at = Find(First(), text, 0); at != kNone; at = Find(Next(at), text, 0)) count++;
  return count;
}

size_t Listpack::CompactMatches(uint8_t* data, std::string_view text, size_t skip, size_t limit,
                                size_t* removed) {
  const Listpack pack(data);
  *removed = 0;
  size_t to = 0;    // end of what stays, once something has gone
  size_t from = 0;  // end of the last match that went
  for (Position at = pack.Find(pack.First(), text, 0); at != kNone && *removed < limit;) {
    const Position next = at + pack.SizeAt(at);
    if (skip > 0) {
      skip--;
    } else {
      if (*removed == 0) {
        to = at;
      } else {
        std::memmove(data + to, data + from, at - from);
        to += at - from;
      }
      from = next;
      ++*removed;
    }
    // Nothing behind `next` has moved yet.
    at = data[next] == kEnd ? kNone : pack.Find(next, text, 0);
  }
  const size_t old_bytes = pack.bytes();
  if (*removed == 0) return old_bytes;
  const size_t count = pack.stored_count();
  std::memmove(data + to, data + from, old_bytes - from);
  const size_t new_bytes = to + (old_bytes - from);
  WriteHeader(data, new_bytes, count == kCountUnknown ? count : count - *removed);
  if (count == kCountUnknown) WriteHeader(data, new_bytes, Listpack(data).count());
  return new_bytes;
}

size_t Listpack::EraseMatches(SlabHeap& heap, std::string_view text, size_t skip, size_t limit) {
  const size_t old_bytes = bytes();
  size_t removed;
  const size_t new_bytes = CompactMatches(data_, text, skip, limit, &removed);
  if (SlabHeap::GoodSize(old_bytes) != SlabHeap::GoodSize(new_bytes)) {
    const Listpack moved = CreateFrom(heap, {reinterpret_cast<const char*>(data_), new_bytes});
    heap.Free(data_, old_bytes);
    data_ = moved.data_;
  }
  return removed;
}

void Listpack::ReplaceEncoded(SlabHeap& heap, Position at, const Encoded& element) {
  const size_t old_size = SizeAt(at);
  if (old_size != element.size()) Resize(heap, at, old_size, element.size());
  Write(data_ + at, element);
}

void Listpack::Replace(SlabHeap& heap, Position at, std::string_view text) {
  ReplaceEncoded(heap, at, Encode(text));
}

void Listpack::ReplaceInteger(SlabHeap& heap, Position at, int64_t value) {
  ReplaceEncoded(heap, at, EncodeInteger(value));
}

Listpack::Position Listpack::Erase(SlabHeap& heap, Position at, size_t count) {
  Position end = at;
  size_t erased = 0;
  while (erased < count && data_[end] != kEnd) {
    end += SizeAt(end);
    erased++;
  }
  if (erased == 0) return kNone;
  Resize(heap, at, end - at, 0);
  AddCount(-static_cast<int64_t>(erased));
  return data_[at] == kEnd ? kNone : at;
}

void Listpack::EraseRange(SlabHeap& heap, int64_t index, size_t count) {
  const Position at = Seek(index);
  if (at != kNone) Erase(heap, at, count);
}

void Listpack::AppendPack(SlabHeap& heap, Listpack other) {
  const size_t added = other.bytes() - kEmptySize;
  const size_t total = count() + other.count();
  const Position at = bytes() - 1;
  Resize(heap, at, 0, added);
  std::memcpy(data_ + at, other.data_ + kHeaderSize, added);
  SetCount(total);
}

// ---- Hostile bytes ----

bool Listpack::Validate(std::string_view bytes, size_t* count) {
  const uint8_t* data = reinterpret_cast<const uint8_t*>(bytes.data());
  if (bytes.size() < kEmptySize || LoadLittle32(data) != bytes.size()) return false;
  const size_t end = bytes.size() - 1;
  if (data[end] != kEnd) return false;
  size_t elements = 0;
  size_t at = kHeaderSize;
  while (at < end) {
    const uint8_t head = data[at];
    if (head > kInt64) return false;
    // How many bytes it takes to know the size.
    const size_t needed = head < 0xC0 ? 1 : head < 0xF0 ? 2 : head == kString32 ? 5 : 1;
    if (needed > end - at) return false;
    const size_t data_size = DataSizeAt(data + at);
    const size_t size = data_size + BacklenSize(data_size);
    if (size > end - at) return false;
    uint8_t backlen[5];
    WriteBacklen(backlen, data_size);
    if (std::memcmp(backlen, data + at + data_size, size - data_size) != 0) return false;
    at += size;
    elements++;
  }
  const uint32_t stored = LoadLittle16(data + 4);
  if (stored != kCountUnknown && stored != elements) return false;
  if (count != nullptr) *count = elements;
  return true;
}

bool Listpack::IsCanonical() const {
  for (Position at = First(); at != kNone; at = Next(at)) {
    const PackedValue value = Get(at);
    const Encoded element = value.is_integer() ? EncodeInteger(value.integer)
                                               : Encode(std::string_view(value.text, value.size));
    if (DataSizeAt(data_ + at) != element.data_size() || !Matches(data_ + at, element)) return false;
  }
  return true;
}

}  // namespace sherd::ds
