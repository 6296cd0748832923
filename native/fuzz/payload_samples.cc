// Sample values: see the header.
#include "fuzz/payload_samples.h"

#include <initializer_list>
#include <string_view>

#include "base/check.h"
#include "fuzz/payload_parts.h"
#include "persistence/rdb_writer.h"

namespace sherd::fuzz {

using persistence::RdbType;
using persistence::RdbWriter;
using Kind = ValuePart::Kind;
using std::string_view_literals::operator""sv;

namespace {

using Texts = std::vector<std::string>;

struct Recorded {
  std::string_view name;
  std::string_view hex;
};

constexpr Recorded kRecorded[] = {
#include "test/data/dump_cases.inc"
};

/// Around 2030 and 2100: fields that live, seen from the fuzzer's clock.
constexpr int64_t kSoonMs = 1'893'456'000'000;
constexpr int64_t kLateMs = 4'102'444'800'000;

int HexDigit(char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; }

std::string FromHex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(HexDigit(hex[i]) << 4 | HexDigit(hex[i + 1]));
  }
  return bytes;
}

Texts Members(size_t count) {
  Texts members;
  for (size_t i = 0; i < count; i++) members.push_back("member:" + std::to_string(i));
  return members;
}

/// A value that is a count and as many texts.
std::string Counted(RdbType type, const Texts& texts, size_t group = 1) {
  std::string bytes;
  RdbWriter writer(&bytes, true);
  writer.Type(type);
  writer.Length(texts.size() / group);
  for (const std::string& text : texts) writer.String(text);
  return bytes;
}

/// A value that is one string.
std::string Packed(RdbType type, const std::string& pack) {
  std::string bytes;
  RdbWriter writer(&bytes, true);
  writer.Type(type);
  writer.String(pack);
  return bytes;
}

/// Two zipmap entries, the second value with bytes to spare behind it.
std::string Zipmap() {
  return std::string("\2\1a\3\0one\2bb\3\2two..\xFF", 19);
}

std::string TextScores() {
  std::string bytes;
  RdbWriter writer(&bytes, false);
  writer.Type(RdbType::kSortedSet);
  writer.Length(4);
  writer.String("low");
  writer.Byte(255);
  writer.String("one");
  writer.Byte(1);
  writer.Raw("1");
  writer.String("half");
  writer.Byte(3);
  writer.Raw("1.5");
  writer.String("high");
  writer.Byte(254);
  return bytes;
}

/// Fields with, without, and with another expiry, in both of 7.4's forms.
std::string ExpiringTable() {
  std::string bytes;
  RdbWriter writer(&bytes, true);
  writer.Type(RdbType::kHashMetadata);
  writer.Milliseconds(kSoonMs);
  writer.Length(3);
  const auto add = [&](uint64_t ttl, std::string_view field, std::string_view value) {
    writer.Length(ttl);
    writer.String(field);
    writer.String(value);
  };
  add(1, "soon", "1");
  add(0, "never", "some value");
  add(kLateMs - kSoonMs + 1, "late", "-70000");
  return bytes;
}

std::string ExpiringPack() {
  std::string bytes;
  RdbWriter writer(&bytes, true);
  writer.Type(RdbType::kHashListpackEx);
  writer.Milliseconds(kSoonMs);
  writer.String(MakeListpack({"soon", "1", std::to_string(kSoonMs), "late", "-70000",
                              std::to_string(kLateMs), "never", "some value", "0"}));
  return bytes;
}

/// The streams of 7.0 (type 19) as an older or a newer server writes them: what the types differ in comes
/// or goes.
std::string StreamInForm(RdbType type, std::string_view body) {
  ValueParts value = SplitValue(body);
  std::vector<ValuePart> parts;
  size_t at = 0;
  const auto take = [&](bool keep = true) {
    CHECK(at < value.parts.size());
    if (keep) parts.push_back(value.parts[at]);
    return value.parts[at++].length;
  };
  const bool is_old = type == RdbType::kStreamListpacks;
  for (uint64_t nodes = 2 * take(); nodes > 0; nodes--) take();
  for (int i = 0; i < 8; i++) take(i < 3 || !is_old);
  for (uint64_t groups = take(); groups > 0; groups--) {
    take(), take(), take(), take(!is_old);
    for (uint64_t pending = 3 * take(); pending > 0; pending--) take();
    for (uint64_t consumers = take(); consumers > 0; consumers--) {
      take(), take();
      if (type == RdbType::kStreamListpacks3) parts.push_back(parts.back());  // active as seen
      for (uint64_t pending = take(); pending > 0; pending--) take();
    }
  }
  CHECK(at == value.parts.size());
  return JoinValue(nullptr, {static_cast<uint8_t>(type), std::move(parts)});
}

Texts PackElements() { return {"a", "1", "-5000", "b", std::string(70, 'z'), "100000"}; }

void AddOldForms(std::vector<PayloadSample>* samples) {
  const Texts pairs = PackElements();
  const std::string nodes[] = {MakeZiplist({"a", "12", "13", "-1"}), MakeZiplist(PackElements()),
                               MakeZiplist({std::string(300, 'l'), "8388608", "9223372036854775807"})};
  samples->push_back({"list", Counted(RdbType::kList, PackElements())});
  samples->push_back({"ziplist of a list", Packed(RdbType::kListZiplist, nodes[2])});
  samples->push_back({"quicklist of ziplists",
                      Counted(RdbType::kListQuicklist, {nodes[0], nodes[1], nodes[2]})});
  samples->push_back({"set with 130 members", Counted(RdbType::kSet, Members(130))});
  samples->push_back({"set in a listpack", Packed(RdbType::kSetListpack, MakeListpack(pairs))});
  samples->push_back({"hash", Counted(RdbType::kHash, pairs, 2)});
  samples->push_back({"hash with 70 fields", Counted(RdbType::kHash, Members(140), 2)});
  samples->push_back({"zipmap", Packed(RdbType::kHashZipmap, Zipmap())});
  samples->push_back({"ziplist of a hash", Packed(RdbType::kHashZiplist, MakeZiplist(pairs))});
  samples->push_back({"hash with expiries", ExpiringTable()});
  samples->push_back({"hash with expiries in a listpack", ExpiringPack()});
  samples->push_back({"scores as text", TextScores()});
  samples->push_back({"ziplist of a sorted set",
                      Packed(RdbType::kSortedSetZiplist,
                             MakeZiplist({"low", "-inf", "b", "-2.5", "also", "0", "zero", "0", "one",
                                          "1", "high", "inf"}))});
}

std::vector<PayloadSample> MakeSamples() {
  std::vector<PayloadSample> samples;
  for (const Recorded& recorded : kRecorded) {
    samples.push_back({std::string(recorded.name), FromHex(recorded.hex)});
    const std::string body = samples.back().body;
    if (static_cast<RdbType>(body[0]) != RdbType::kStreamListpacks2) continue;
    for (const RdbType form : {RdbType::kStreamListpacks, RdbType::kStreamListpacks3}) {
      samples.push_back({std::string(recorded.name) + ", in another form", StreamInForm(form, body)});
    }
  }
  AddOldForms(&samples);
  return samples;
}

}  // namespace

const std::vector<PayloadSample>& PayloadSamples() {
  static const std::vector<PayloadSample>* const samples =
      new std::vector<PayloadSample>(MakeSamples());
  return *samples;
}

}  // namespace sherd::fuzz
