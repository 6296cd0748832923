// RdbSkipper: see the header; what each type looks like is drawn in the codecs and in rdb_format.h.
#include "persistence/rdb_skipper.h"

#include <limits>

namespace sherd::persistence {

namespace {

constexpr uint64_t kRawIdSize = 16;
constexpr uint64_t kTimeSize = 8;

}  // namespace

bool RdbSkipper::Fail(const char* fault) {
  if (fault_ == nullptr) fault_ = fault;
  return false;
}

bool RdbSkipper::RunShort(uint64_t size) {
  if (fault_ != nullptr) return false;
  is_short_ = true;
  const bool overflows = size > std::numeric_limits<uint64_t>::max() - at_;
  wanted_ = overflows ? std::numeric_limits<uint64_t>::max() : at_ + size;
  return Fail("Unexpected EOF reading RDB file");
}

uint64_t RdbSkipper::Length() {
  const uint8_t head = Byte();
  if (head < 0x40) return head;
  if (head < 0x80) return static_cast<uint64_t>(head & 0x3F) << 8 | Byte();
  if (head == 0x80) return Take(4) ? LoadBig32(bytes_.data() + at_ - 4) : 0;
  if (head == 0x81) return Take(8) ? LoadBig64(bytes_.data() + at_ - 8) : 0;
  Fail(head >= 0xC0 ? "a string stands where a length must be" : "Unknown length encoding");
  return 0;
}

bool RdbSkipper::SkipString(std::string_view* plain) {
  if (plain != nullptr) *plain = {};
  if (at_ < bytes_.size() && static_cast<uint8_t>(bytes_[at_]) >= 0xC0) {
    switch (static_cast<StringForm>(Byte() & 0x3F)) {
      case StringForm::kInt8: return Take(1);
      case StringForm::kInt16: return Take(2);
      case StringForm::kInt32: return Take(4);
      case StringForm::kLzf: {
        const uint64_t packed_size = Length();
        Length();
        return ok() && Take(packed_size);
      }
    }
    return Fail("Unknown RDB string encoding type");
  }
  const uint64_t size = Length();
  if (!ok() || !Take(size)) return false;
  if (plain != nullptr) *plain = bytes_.substr(at_ - static_cast<size_t>(size), static_cast<size_t>(size));
  return true;
}

bool RdbSkipper::SkipStrings(uint64_t count) {
  for (uint64_t i = 0; i < count && SkipString(); i++) {
  }
  return ok();
}

bool RdbSkipper::SkipScored(uint8_t size) {
  const uint64_t count = Length();
  for (uint64_t i = 0; i < count && SkipString() && Take(size); i++) {
  }
  return ok();
}

bool RdbSkipper::SkipTextScored() {
  constexpr uint8_t kSpecialMin = 253;  // nan, inf, -inf
  const uint64_t count = Length();
  for (uint64_t i = 0; i < count && SkipString(); i++) {
    const uint8_t size = Byte();
    if (size < kSpecialMin && !Take(size)) return false;
  }
  return ok();
}

bool RdbSkipper::SkipNodes() {
  const uint64_t count = Length();
  for (uint64_t i = 0; i < count && ok(); i++) {
    Length();
    SkipString();
  }
  return ok();
}

bool RdbSkipper::SkipTimedFields(bool has_first_expiry) {
  if (has_first_expiry) Take(kTimeSize);
  const uint64_t count = Length();
  for (uint64_t i = 0; i < count && ok(); i++) {
    Length();
    SkipStrings(2);
  }
  return ok();
}

bool RdbSkipper::SkipGroup(RdbType type) {
  SkipString();
  const int numbers = type == RdbType::kStreamListpacks ? 2 : 3;  // last ID, entries read
  for (int i = 0; i < numbers; i++) Length();
  const uint64_t pending = Length();
  for (uint64_t i = 0; i < pending && Take(kRawIdSize + kTimeSize); i++) Length();
  const uint64_t consumers = Length();
  for (uint64_t i = 0; i < consumers && ok(); i++) {
    SkipString();
    Take(type == RdbType::kStreamListpacks3 ? 2 * kTimeSize : kTimeSize);
    const uint64_t count = Length();
    if (count > std::numeric_limits<uint64_t>::max() / kRawIdSize) return RunShort(count);
    Take(count * kRawIdSize);
  }
  return ok();
}

bool RdbSkipper::SkipStream(RdbType type) {
  const uint64_t nodes = Length();
  for (uint64_t i = 0; i < nodes && SkipStrings(2); i++) {
  }
  // Length, last ID; then first ID, max deleted ID, entries added.
  const int numbers = type == RdbType::kStreamListpacks ? 3 : 8;
  for (int i = 0; i < numbers; i++) Length();
  const uint64_t groups = Length();
  for (uint64_t i = 0; i < groups && ok(); i++) SkipGroup(type);
  return ok();
}

bool RdbSkipper::SkipValue(uint8_t type) {
  const auto rdb_type = static_cast<RdbType>(type);
  switch (rdb_type) {
    case RdbType::kString:
    case RdbType::kHashZipmap:
    case RdbType::kListZiplist:
    case RdbType::kSetIntset:
    case RdbType::kSortedSetZiplist:
    case RdbType::kHashZiplist:
    case RdbType::kHashListpack:
    case RdbType::kSortedSetListpack:
    case RdbType::kSetListpack:
    case RdbType::kHashListpackExPreRelease: return SkipString();
    case RdbType::kHashListpackEx: return Take(kTimeSize) && SkipString();
    case RdbType::kList:
    case RdbType::kSet:
    case RdbType::kListQuicklist: return SkipStrings(Length());
    case RdbType::kHash: {
      const uint64_t count = Length();
      for (uint64_t i = 0; i < count && SkipStrings(2); i++) {
      }
      return ok();
    }
    case RdbType::kSortedSet: return SkipTextScored();
    case RdbType::kSortedSet2: return SkipScored(sizeof(double));
    case RdbType::kListQuicklist2: return SkipNodes();
    case RdbType::kHashMetadata:
    case RdbType::kHashMetadataPreRelease:
      return SkipTimedFields(rdb_type == RdbType::kHashMetadata);
    case RdbType::kStreamListpacks:
    case RdbType::kStreamListpacks2:
    case RdbType::kStreamListpacks3: return SkipStream(rdb_type);
    case RdbType::kModule:
    case RdbType::kModule2: return Fail("The RDB file contains module data I can't load: no matching module type");
  }
  return Fail("Unknown RDB encoding type");
}

}  // namespace sherd::persistence
