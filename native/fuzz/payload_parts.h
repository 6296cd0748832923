// RDB values taken apart, so that they can be changed in one place and put together again.
//
// A byte changed at random in a DUMP payload nearly always breaks a length, and then nothing behind it is
// read. Here a value is a list of parts (lengths, strings, raw bytes); after a change of one part the
// lengths around it are right again, and a change within a listpack or ziplist leaves its own header right,
// too. So mutants get past the outer checks, down to where a structure is believed or not.
//
//   ValueParts value = SplitValue(body);        // body: type byte and value
//   MutateValue(random, &value);
//   std::string mutant = JoinValue(random, value);
//
// Nothing here decides what is right: what cannot be split is one raw part. Thread: the fuzzer's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace sherd::fuzz {

struct ValuePart {
  enum class Kind : uint8_t { kLength, kString, kRaw };
  Kind kind = Kind::kRaw;
  uint64_t length = 0;  // kLength
  std::string bytes;    // kString: its text, unpacked; kRaw
};

struct ValueParts {
  uint8_t type = 0;
  std::vector<ValuePart> parts;
};

ValueParts SplitValue(std::string_view body);
/// The bytes of a value. With `random` its strings take any form that the format has for them; without,
/// they are plain.
std::string JoinValue(Random* random, const ValueParts& value);
/// One change, mostly of one part.
void MutateValue(Random& random, ValueParts* value);

/// A listpack of these elements, in the encodings of Redis; with `random` sometimes in longer ones.
std::string MakeListpack(const std::vector<std::string>& elements, Random* random = nullptr);
/// A ziplist of these elements (none longer than 16,383 bytes), integers in their shortest encoding.
std::string MakeZiplist(const std::vector<std::string>& elements);

}  // namespace sherd::fuzz
