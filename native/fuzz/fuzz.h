// Fuzz targets: one registration for two engines.
//
//   FUZZ_TARGET(request_parser) {      // (const uint8_t* data, size_t size)
//     ...                              // CHECK what must hold
//   }
//   FUZZ_SEEDS(request_parser, "*1\r\n$4\r\nPING\r\n", "PING\r\n");
//
// A target takes arbitrary bytes and CHECKs; it must be deterministic, so that a printed input
// replays. Without libFuzzer, fuzz_main.cc drives all targets from a seed: it mutates and crosses
// the target's own sample inputs. With clang, the same sources and -DSHERD_LIBFUZZER give one
// libFuzzer program; the environment variable SHERD_FUZZ_TARGET names the target:
//
//   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -DSHERD_LIBFUZZER -Inative
//       native/fuzz/*.cc native/base/{numbers,glob,check}.cc
//       native/resp/{request_parser,inline_arguments}.cc -o sherd_libfuzzer
//   SHERD_FUZZ_TARGET=request_parser ./sherd_libfuzzer corpus/
//
// The target "canary" fails on purpose at an input that only a working fuzzer finds: a run that
// does not find it proves nothing about the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sherd::fuzz {

struct Target {
  const char* name;
  void (*run)(const uint8_t* data, size_t size);
};

/// All targets linked into the program.
inline std::vector<Target>& Targets() {
  static std::vector<Target> targets;
  return targets;
}

struct Seeds {
  const char* target;
  std::vector<std::string> inputs;
};

/// Sample inputs by target.
inline std::vector<Seeds>& AllSeeds() {
  static std::vector<Seeds> seeds;
  return seeds;
}

struct Registration {
  Registration(const char* name, void (*run)(const uint8_t*, size_t)) {
    Targets().push_back({name, run});
  }
};

struct SeedRegistration {
  SeedRegistration(const char* target, std::vector<std::string> inputs) {
    AllSeeds().push_back({target, std::move(inputs)});
  }
};

/// A copy of `bytes` in a heap block of exactly that size: a sanitizer sees any read beyond it.
class ExactCopy {
 public:
  explicit ExactCopy(std::string_view bytes) : block_(new char[bytes.size()]), size_(bytes.size()) {
    if (size_ != 0) std::memcpy(block_.get(), bytes.data(), size_);
  }
  std::string_view view() const { return {block_.get(), size_}; }

 private:
  std::unique_ptr<char[]> block_;
  size_t size_;
};

}  // namespace sherd::fuzz

#define FUZZ_TARGET(name)                                                           \
  static void name##_fuzz(const uint8_t* data, size_t size);                        \
  static const ::sherd::fuzz::Registration name##_registration(#name, name##_fuzz); \
  static void name##_fuzz(const uint8_t* data, size_t size)

/// Sample inputs of a target: string literals; a zero byte inside one ends it.
#define FUZZ_SEEDS(name, ...) \
  static const ::sherd::fuzz::SeedRegistration name##_seeds(#name, {__VA_ARGS__})
