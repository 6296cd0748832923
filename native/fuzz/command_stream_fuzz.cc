// Fuzz target of the whole engine: streams of commands from the command table through a worker.
//
// The input is a program: its bytes choose commands, how many arguments they get, and which, from a
// pool of edge values, names of options and keys, and literal bytes of the input. So every input is
// a well-formed request stream (the request parser has a target of its own), every command is
// reached by two bytes, and mutations change one decision at a time. The stream is cut where the
// input says.
//
// CHECKed: the server lives; each command is answered by exactly one whole reply (errors included)
// and nothing is left over; all structures are sound; FLUSHALL gives every byte back.
//
// Left out: what ends or stops the server on purpose (DEBUG SLEEP, SEGFAULT, ASSERT, PANIC), what
// takes long (STRINGMATCH-TEST), and CLIENT REPLY, which takes replies away (worker_test has it).
// Control commands are answered with +OK. The clock stands still but for what the input says, so
// that an input replays; the server is one for all inputs, since each leaves it empty.
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "base/strings.h"
#include "command_table/command_table.h"
#include "fuzz/engine_rig.h"
#include "fuzz/fuzz.h"

namespace sherd::fuzz {

namespace {

constexpr size_t kCommandsMax = 200;

/// Takes decisions from the input; zeros when it has run out.
class Decisions {
 public:
  Decisions(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool is_empty() const { return at_ == size_; }
  size_t Below(size_t bound) { return Byte() % bound; }
  uint8_t Byte() { return at_ < size_ ? data_[at_++] : 0; }
  size_t Word() {
    const size_t high = Byte();
    return high << 8 | Byte();
  }
  std::string Bytes(size_t count) {
    std::string bytes;
    while (count-- > 0 && at_ < size_) bytes += static_cast<char>(data_[at_++]);
    return bytes;
  }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
};

constexpr std::string_view kKeys[] = {"a", "b", "{a}c", "d", "", "__proto__"};

constexpr std::string_view kNumbers[] = {
    "0",
    "1",
    "-1",
    "2",
    "3",
    "10",
    "15",
    "16",
    "100",
    "-100",
    "1000",
    "4095",
    "2147483647",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "1700000000",
    "1700000000100",
    "0.5",
    "-3.25",
    "1e10",
    "1e400",
    "nan",
    "inf",
    "+1",
    " 1",
    "01",
    "-0",
    "0x10",
    "1.",
    "",
};

constexpr std::string_view kWords[] = {
    "EX",
    "PX",
    "EXAT",
    "PXAT",
    "NX",
    "XX",
    "GT",
    "LT",
    "GET",
    "KEEPTTL",
    "PERSIST",
    "REPLACE",
    "DB",
    "MATCH",
    "COUNT",
    "TYPE",
    "string",
    "ASYNC",
    "SYNC",
    "LEN",
    "IDX",
    "MINMATCHLEN",
    "WITHMATCHLEN",
    "AUTH",
    "default",
    "SETNAME",
    "name",
    "lib-name",
    "lib-ver",
    "ON",
    "OFF",
    "HELP",
    "SAMPLES",
    "*",
    "?",
    "[a-c]*",
    "h[^e]llo",
    "full",
    "fast",
    "2",
    "3",
    "with space",
    "with\r\nbreak",
};

constexpr std::string_view kDebugWords[] = {
    "DICT-RESIZING", "DIGEST",      "DIGEST-VALUE", "ERROR",      "HTSTATS",
    "HTSTATS-KEY",   "LOG",         "OBJECT",       "PAUSE-CRON", "POPULATE",
    "PROTOCOL",      "REPLYBUFFER", "RINGS",        "SDSLEN",     "SET-ACTIVE-EXPIRE",
    "SHARDS",        "VALIDATE",    "HELP",         "NOSUCH",
};

constexpr std::string_view kProtocolWords[] = {
    "string", "integer", "double", "bignum",   "null", "array", "set",
    "map",    "attrib",  "push",   "verbatim", "true", "false", "nosuch",
};

template <size_t kSize>
std::string Pick(Decisions& decisions, const std::string_view (&pool)[kSize]) {
  return std::string(pool[decisions.Below(kSize)]);
}

std::string Argument(Decisions& decisions) {
  static constexpr size_t kLengths[] = {44, 45, 255, 256, 1024, 1025, 2000};
  switch (decisions.Below(8)) {
    case 0:
    case 1:
    case 2: return Pick(decisions, kKeys);
    case 3:
    case 4: return Pick(decisions, kNumbers);
    case 5: return Pick(decisions, kWords);
    case 6: return std::string(kLengths[decisions.Below(std::size(kLengths))], 'v');
    default: return decisions.Bytes(decisions.Below(8));
  }
}

/// What of the table is run here.
std::vector<const CommandSpec*> Candidates() {
  std::vector<const CommandSpec*> candidates;
  for (const CommandSpec& spec : AllCommands()) {
    const std::string_view name = spec.full_name;
    // What is answered by no reply or by several, what waits for others, and what a client without a socket
    // leaves behind when it goes.
    const bool is_read = name == "xread" || name == "xreadgroup";
    const bool waits = (spec.flags & kFlagBlocking) != 0 && !is_read;
    const bool listens = (spec.flags & kFlagPubsub) != 0 || name == "monitor" || name == "client|tracking";
    if (name == "client|reply" || name == "client|pause" || name == "watch" || waits || listens) continue;
    candidates.push_back(&spec);
  }
  return candidates;
}

std::vector<std::string> DebugCommand(Decisions& decisions) {
  std::vector<std::string> words = {"DEBUG", Pick(decisions, kDebugWords)};
  if (words[1] == "POPULATE") {
    // The count is how long it takes.
    words.push_back(std::to_string(decisions.Below(100)));
  } else if (words[1] == "PROTOCOL") {
    words.push_back(Pick(decisions, kProtocolWords));
    return words;
  }
  for (size_t more = decisions.Below(3); more > 0; more--) words.push_back(Argument(decisions));
  return words;
}

bool IsKeyPosition(const CommandSpec& spec, int position) {
  if (spec.first_key <= 0 || position < spec.first_key) return false;
  if (spec.last_key > 0 && position > spec.last_key) return false;
  return spec.key_step <= 1 || (position - spec.first_key) % spec.key_step == 0;
}

std::vector<std::string> Command(Decisions& decisions) {
  static const std::vector<const CommandSpec*> candidates = Candidates();
  const CommandSpec& spec = *candidates[decisions.Word() % candidates.size()];
  const std::string_view full_name = spec.full_name;
  if (full_name == "debug") return DebugCommand(decisions);
  std::vector<std::string> words;
  const size_t bar = full_name.find('|');
  words.emplace_back(full_name.substr(0, bar));
  if (bar != std::string_view::npos) words.emplace_back(full_name.substr(bar + 1));
  // Mostly as many as it takes, else a few more or one less.
  const size_t least = static_cast<size_t>(spec.arity < 0 ? -spec.arity : spec.arity);
  const size_t choice = decisions.Below(8);
  size_t wanted = least;
  if (spec.arity < 0) wanted = least + choice;
  if (spec.arity >= 0 && choice == 7) wanted = least + 1;
  if (choice == 6) wanted = least > 1 ? least - 1 : 1;
  while (words.size() < wanted) {
    // Where a key belongs there is one, nearly always: commands that miss do little.
    const bool is_key = IsKeyPosition(spec, static_cast<int>(words.size()));
    words.push_back(is_key && decisions.Below(8) != 0 ? Pick(decisions, kKeys)
                                                      : Argument(decisions));
  }
  return words;
}

void CheckReplies(std::string_view output, size_t commands) {
  size_t replies = 0;
  while (!output.empty()) {
    const size_t size = test::ReplySize(output);
    CHECK_MSG(size != std::string_view::npos, "output is not a reply");
    CHECK_MSG(size != 0, "a reply is cut short");
    output.remove_prefix(size);
    replies++;
  }
  CHECK_MSG(replies == commands, "not every command was answered exactly once");
}

/// Sample inputs: noise makes good programs.
std::vector<std::string> Samples() {
  Random random(1);
  std::vector<std::string> samples;
  for (int i = 0; i < 64; i++) {
    std::string sample(20 + random.Below(500), '\0');
    for (char& byte : sample) byte = static_cast<char>(random.Next());
    samples.push_back(sample);
  }
  return samples;
}

const SeedRegistration command_stream_seeds("command_stream", Samples());

}  // namespace

FUZZ_TARGET(command_stream) {
  TheClock().SetWallUs(kStartUs);
  test::ServerRig& rig = Rig();
  rig.engine().active_expire.store(true);
  rig.engine().cron_paused.store(false);
  const size_t used_before = rig.UsedBytes();
  Decisions decisions(data, size);
  {
    test::DetachedClient client(rig, 0);
    size_t commands = 0;
    std::string output;
    while (!decisions.is_empty() && commands < kCommandsMax && !client.is_closing()) {
      // A batch: several commands, and the last one perhaps in two pieces.
      std::string batch;
      bool is_end = false;
      for (size_t more = 1 + decisions.Below(20); more > 0 && !is_end; more--) {
        const std::vector<std::string> words = Command(decisions);
        batch += test::Line(words);
        commands++;
        is_end = EqualsIgnoreCase(words[0], "quit");
      }
      const size_t cut = batch.size() - decisions.Below(64) % batch.size();
      client.Send(std::string_view(batch).substr(0, cut));
      output += client.Run(std::string_view(batch).substr(cut));
      CHECK(client.unread_bytes() == 0 || client.is_closing());
      if (decisions.Below(4) == 0) {
        TheClock().AdvanceMs(static_cast<int64_t>(decisions.Byte()) * 100);
        rig.worker(0).Cron();
      }
    }
    CheckReplies(output, commands);
  }
  CheckNothingIsLeft(rig, used_before);
}

}  // namespace sherd::fuzz
