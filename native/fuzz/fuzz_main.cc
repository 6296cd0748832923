// Driver of the fuzz targets without libFuzzer: seeded mutations of each target's sample inputs.
//
//   sherd_fuzz [--seed N] [--runs N] [target]...
//
// Without names all targets but the canary run. Input number i of a target depends on the seed, the
// target and i alone. Before an input is tried it is written to memory that the abort handler
// prints, so a CHECK or a sanitizer's finding comes with the bytes and the command that replays it.
// With --seed and the printed --first, exactly the failing input is run again.
//
// This is no replacement for coverage-guided fuzzing (fuzz.h tells how to build that); it is what
// runs in every test run, everywhere, in seconds. Single-threaded.
#ifndef SHERD_LIBFUZZER

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/numbers.h"
#include "base/random.h"
#include "fuzz/fuzz.h"

namespace sherd::fuzz {

namespace {

constexpr size_t kInputBytesMax = 4096;

struct Options {
  uint64_t seed = 0;
  uint64_t runs = 20'000;
  uint64_t first = 0;
  std::vector<std::string_view> names;
};

// The input being tried, for the abort handler.
const char* current_target = nullptr;
uint64_t current_run = 0;
uint64_t current_seed = 0;
const std::string* current_input = nullptr;

void PrintCurrentInput() {
  std::fprintf(stderr,
               "fuzz target %s failed, replay with: --seed %llu --first %llu --runs 1 %s\ninput:",
               current_target, static_cast<unsigned long long>(current_seed),
               static_cast<unsigned long long>(current_run), current_target);
  for (const char c : *current_input) std::fprintf(stderr, " %02x", static_cast<unsigned char>(c));
  std::fprintf(stderr, "\n");
}

// Printing from a signal handler is fine here: the signal is raised by abort() in our own code.
void OnAbort(int) {
  PrintCurrentInput();
  std::fflush(stderr);
  std::_Exit(1);
}

bool ParseOptions(int argc, char** argv, Options* options) {
  options->seed = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch() /
                                        std::chrono::microseconds(1));
  for (int i = 1; i < argc; i++) {
    const std::string_view name = argv[i];
    if (name.substr(0, 2) != "--") {
      options->names.push_back(name);
      continue;
    }
    uint64_t* number = name == "--seed"    ? &options->seed
                       : name == "--runs"  ? &options->runs
                       : name == "--first" ? &options->first
                                           : nullptr;
    if (number == nullptr || i + 1 == argc || !ParseUint64(argv[++i], number)) return false;
  }
  return true;
}

// ---- Mutations ----

char InterestingByte(Random& random) {
  static constexpr char kBytes[] = "\r\n\0*$ \"'\\0123456789-+.eExainf[]^?\x7f\x80\xff";
  return random.OneIn(2) ? kBytes[random.Below(sizeof(kBytes) - 1)]
                         : static_cast<char>(random.Next());
}

void MutateOnce(Random& random, const std::vector<std::string>& samples, std::string* input) {
  const size_t at = random.Below(input->size() + 1);
  switch (random.Below(7)) {
    case 0: input->insert(at, 1, InterestingByte(random)); break;
    case 1: input->erase(at, 1 + random.Below(4)); break;
    case 2:
    case 3:
      if (at < input->size()) (*input)[at] = InterestingByte(random);
      break;
    case 4: {  // A part of ourselves again, somewhere else.
      const std::string part = input->substr(at, 1 + random.Below(16));
      input->insert(random.Below(input->size() + 1), part);
      break;
    }
    case 5: {  // The tail of another sample.
      const std::string& other = samples[random.Below(samples.size())];
      input->replace(at, std::string::npos, other.substr(random.Below(other.size() + 1)));
      break;
    }
    default: {
      char digits[kInt64CharsMax];
      input->insert(at, digits, FormatUint64(random.Next() >> random.Below(64), digits));
      break;
    }
  }
  if (input->size() > kInputBytesMax) input->resize(kInputBytesMax);
}

std::string MakeInput(const Options& options, const std::vector<std::string>& samples,
                      uint64_t run) {
  Random random(options.seed * 0x9e3779b97f4a7c15ULL + run);
  std::string input = samples[random.Below(samples.size())];
  const uint64_t mutations = random.Below(8);
  for (uint64_t i = 0; i < mutations; i++) MutateOnce(random, samples, &input);
  return input;
}

// ---- Running ----

void RunTarget(const Options& options, const Target& target) {
  std::vector<std::string> samples;
  for (const Seeds& seeds : AllSeeds()) {
    if (std::string_view(seeds.target) == target.name) samples = seeds.inputs;
  }
  if (samples.empty()) samples.emplace_back();
  current_target = target.name;
  for (uint64_t run = options.first; run < options.first + options.runs; run++) {
    const std::string input = MakeInput(options, samples, run);
    current_run = run;
    current_input = &input;
    const ExactCopy copy(input);
    target.run(reinterpret_cast<const uint8_t*>(copy.view().data()), input.size());
  }
  std::printf("%s: %llu runs\n", target.name, static_cast<unsigned long long>(options.runs));
}

bool IsSelected(const Options& options, std::string_view name) {
  if (options.names.empty()) return name != "canary";
  for (const std::string_view selected : options.names) {
    if (selected == name) return true;
  }
  return false;
}

int RunAll(const Options& options) {
  current_seed = options.seed;
  std::signal(SIGABRT, OnAbort);
  size_t count = 0;
  for (const Target& target : Targets()) {
    if (!IsSelected(options, target.name)) continue;
    RunTarget(options, target);
    count++;
  }
  std::printf("%zu targets, seed %llu\n", count, static_cast<unsigned long long>(options.seed));
  return count > 0 && count >= options.names.size() ? 0 : 2;
}

}  // namespace

}  // namespace sherd::fuzz

#if defined(__SANITIZE_ADDRESS__)
// A sanitizer's finding ends in abort(), so that OnAbort can name the input.
extern "C" const char* __asan_default_options() { return "abort_on_error=1"; }
extern "C" const char* __ubsan_default_options() { return "abort_on_error=1"; }
#endif

int main(int argc, char** argv) {
  sherd::fuzz::Options options;
  if (!sherd::fuzz::ParseOptions(argc, argv, &options)) {
    std::fprintf(stderr, "usage: %s [--seed N] [--runs N] [--first N] [target]...\n", argv[0]);
    return 2;
  }
  return sherd::fuzz::RunAll(options);
}

#else

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "fuzz/fuzz.h"

// libFuzzer's entry: the target is named by the environment.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const sherd::fuzz::Target* const target = [] {
    const char* const name = std::getenv("SHERD_FUZZ_TARGET");
    for (const sherd::fuzz::Target& candidate : sherd::fuzz::Targets()) {
      if (name != nullptr && std::string_view(candidate.name) == name) return &candidate;
    }
    std::fprintf(stderr, "SHERD_FUZZ_TARGET must name one of:\n");
    for (const sherd::fuzz::Target& candidate : sherd::fuzz::Targets()) {
      std::fprintf(stderr, "  %s\n", candidate.name);
    }
    std::exit(2);
  }();
  target->run(data, size);
  return 0;
}

#endif
