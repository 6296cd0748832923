// Changes of sparse HyperLogLog sketches.
//
// Raising a register of a run of several splits the run in up to three; afterwards neighbouring VAL
// runs of the same value are joined, near the change only. Which runs are joined, in which order and
// how far to the right, decides the bytes that a client GETs, so all of it follows Redis:
//
//   raise register 5 to 3:    Z:0…9  →  z:0…4 v:3 z:6…9
//   then register 6 to 3:               z:0…4 v:3 v:3 z:7…9  →  z:0…4 v:3,2 z:7…9
#include <cstring>

#include "base/check.h"
#include "ds/hyperloglog.h"

namespace sherd::ds {

namespace {

constexpr uint32_t kZeroLengthMax = 64;
constexpr uint32_t kValueLengthMax = 4;
constexpr uint8_t kSparseValueMax = 32;
// Opcodes looked at for joins after a change, counted from the run before it.
constexpr int kJoinScan = 5;

char* PutZeros(char* to, uint32_t length) {
  const uint32_t stored = length - 1;
  if (length > kZeroLengthMax) {
    *to++ = static_cast<char>(0x40 | stored >> 8);
    *to++ = static_cast<char>(stored & 0xff);
  } else {
    *to++ = static_cast<char>(stored);
  }
  return to;
}

char* PutValue(char* to, uint8_t value, uint32_t length) {
  *to++ = static_cast<char>(0x80 | (value - 1u) << 2 | (length - 1));
  return to;
}

char* PutRun(char* to, uint8_t value, uint32_t length) {
  if (length == 0) return to;
  return value == 0 ? PutZeros(to, length) : PutValue(to, value, length);
}

}  // namespace

HllSketch::HllSketch() : size_(kHllHeaderSize) {
  std::memset(bytes_, 0, kHllHeaderSize);
  std::memcpy(bytes_, "HYLL", 4);
  bytes_[4] = 1;
  size_ = static_cast<size_t>(PutZeros(bytes_ + size_, kHllRegisters) - bytes_);
}

HllSketch::HllSketch(std::string_view sketch) : size_(sketch.size()) {
  DCHECK(IsHll(sketch));
  if (size_ > kHllSparseSizeMax) size_ = kHllHeaderSize;
  std::memcpy(bytes_, sketch.data(), size_);
}

bool HllSketch::MakeDense() {
  if (is_dense()) return true;
  HllRegisters registers{};
  if (!HllMerge(bytes(), &registers)) return false;
  bytes_[4] = 0;
  size_ = kHllDenseSize;
  HllDenseStore(bytes_, registers);
  return true;
}

HllChange HllSketch::Promote(HllElement element) {
  if (!MakeDense()) return HllChange::kCorrupt;
  // Hostile bytes may differ from what the walk met, so this need not be a change.
  return HllDenseSet(bytes_, element) ? HllChange::kRaised : HllChange::kNone;
}

// False: the opcodes end before the register. What follows it is not looked at, as in Redis: a
// sketch whose end is broken takes elements until it has to become dense.
bool HllSketch::Find(uint32_t index, const Cursor& cursor, Place* place) const {
  *place = {};
  place->resume = cursor;
  place->first = cursor.first;
  place->previous = cursor.offset;
  Cursor previous = cursor;
  size_t offset = cursor.offset;
  while (HllReadRun(bytes(), offset, &place->run)) {
    if (index < place->first + place->run.length) return true;
    place->resume = previous;
    previous = {offset, place->first};
    place->previous = offset;
    place->first += place->run.length;
    offset += place->run.size;
  }
  return false;
}

void HllSketch::Replace(const HllRun& run, const char* opcodes, size_t size) {
  char* at = bytes_ + run.offset;
  const size_t behind = size_ - run.offset - run.size;
  std::memmove(at + size, at + run.size, behind);
  std::memcpy(at, opcodes, size);
  size_ = size_ - run.size + size;
}

void HllSketch::MergeRuns(size_t offset) {
  for (int left = kJoinScan; left > 0; left--) {
    HllRun run;
    HllRun next;
    if (!HllReadRun(bytes(), offset, &run)) return;
    const size_t behind = offset + run.size;
    if (run.value != 0 && HllReadRun(bytes(), behind, &next) && next.value == run.value &&
        run.length + next.length <= kValueLengthMax) {
      // The joined run takes the second's place and is looked at again: it may join a third.
      PutValue(bytes_ + behind, run.value, run.length + next.length);
      std::memmove(bytes_ + offset, bytes_ + behind, size_ - behind);
      size_--;
      continue;
    }
    offset = behind;
  }
}

HllChange HllSketch::SetFrom(HllElement element, size_t sparse_size_max, Cursor* cursor) {
  if (element.value > kSparseValueMax) return Promote(element);
  Place place;
  if (!Find(element.index, *cursor, &place)) return HllChange::kCorrupt;
  const HllRun& run = place.run;
  *cursor = place.resume;
  if (run.value >= element.value) return HllChange::kNone;

  char opcodes[5];
  char* end = opcodes;
  end = PutRun(end, run.value, element.index - place.first);
  end = PutValue(end, element.value, 1);
  end = PutRun(end, run.value, place.first + run.length - 1 - element.index);
  const size_t size = static_cast<size_t>(end - opcodes);
  if (size > run.size && size_ + size - run.size > sparse_size_max) return Promote(element);
  // No valid sketch gets there, as each opcode holds a register.
  if (size_ + size - run.size > sizeof bytes_) return HllChange::kCorrupt;
  Replace(run, opcodes, size);
  MergeRuns(place.previous);
  HllInvalidateCount(bytes_);
  return HllChange::kRaised;
}

HllChange HllSketch::Set(HllElement element, size_t sparse_size_max) {
  DCHECK(element.index < kHllRegisters && element.value >= 1 && element.value < 64);
  if (is_dense()) return HllDenseSet(bytes_, element) ? HllChange::kRaised : HllChange::kNone;
  Cursor cursor;
  return SetFrom(element, sparse_size_max, &cursor);
}

bool HllSketch::SetAll(const HllRegisters& registers, size_t sparse_size_max) {
  Cursor cursor;
  for (uint32_t index = 0; index < kHllRegisters; index++) {
    const HllElement element = {index, registers[index]};
    if (element.value == 0) continue;
    if (is_dense()) {
      HllDenseSet(bytes_, element);
    } else if (SetFrom(element, sparse_size_max, &cursor) == HllChange::kCorrupt) {
      return false;
    }
  }
  return true;
}

}  // namespace sherd::ds
