// AofReader and LoadAof: verdicts on every cut of a file, with checksum lines and without; transactions as units;
// time that has passed since; preambles.
#include "persistence/aof_loader.h"

#include <cstdio>
#include <string>
#include <vector>

#include "base/crc64.h"
#include "commands/registry.h"
#include "test/dataset_files.h"
#include "test/test.h"

namespace sherd {
namespace {

using persistence::AofLoadOptions;
using persistence::AofLoadResult;
using persistence::MemorySource;
using test::Bulk;
using test::DigestOf;
using test::TestServer;

std::string Line(const std::vector<std::string>& words) {
  std::string line = "*" + std::to_string(words.size()) + "\r\n";
  for (const std::string& word : words) line += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  return line;
}

/// Appends a checksum line; `crc` is that of `file` before and after.
void Seal(std::string* file, uint64_t* crc, size_t summed) {
  char text[64];
  *crc = Crc64(*crc, std::string_view(*file).substr(summed));
  std::snprintf(text, sizeof text, "#SHERD:%016zx:", file->size());
  *crc = Crc64(*crc, text);
  *file += text;
  std::snprintf(text, sizeof text, "%016llx\r\n", static_cast<unsigned long long>(*crc));
  *crc = Crc64(*crc, text);
  *file += text;
}

Status Load(TestServer& server, std::string_view file, AofLoadResult* result, bool may_be_torn = false,
            bool verifies = true) {
  server.engine().is_loading = true;
  AofLoadOptions options;
  options.may_be_torn = may_be_torn;
  options.verifies_checksums = verifies;
  options.name = "test.aof";
  MemorySource source(file);
  const Status status = persistence::LoadAof(server.engine(), Handlers(), source, options, nullptr, result);
  server.engine().is_loading = false;
  return status;
}

/// The reason why a file is refused, "" if it is not.
std::string Refusal(TestServer& server, std::string_view file) {
  AofLoadResult result;
  const Status status = Load(server, file, &result);
  server.Run({"FLUSHALL"});
  return status.message();
}

TEST(aof_loader_replays_commands) {
  TestServer server(4);
  server.Listen();
  std::string file = Line({"SELECT", "0"}) + Line({"SET", "a", "1"}) + "#TS:1700000000\r\n" + Line({"incr", "a"}) +
                     Line({"RPUSH", "list", "x", "y"}) + Line({"MULTI"}) + Line({"INCR", "a"}) +
                     Line({"MSET", "b", "2", "c", ""}) + Line({"EXEC"}) + Line({"SELECT", "3"}) +
                     Line({"SET", "other", std::string(3'000'000, 'x')}) + Line({"PING"}) +
                     Line({"GET", "a"}) + Line({"HINCRBY", "list", "f", "1"});
  AofLoadResult result;
  EXPECT_EQ(Load(server, file, &result).message(), "");
  EXPECT_EQ(result.commands, 11u);
  EXPECT_EQ(result.valid_bytes, file.size());
  EXPECT_EQ(result.file_bytes, file.size());
  EXPECT_EQ(result.crc, Crc64(0, file));
  EXPECT_EQ(result.covered_bytes, 0u);
  EXPECT_TRUE(server.TakeEffects().empty());
  EXPECT_TRUE(server.TakeEvents().empty());
  EXPECT_EQ(server.Run({"GET", "a"}), Bulk("3"));
  EXPECT_EQ(server.Run({"GET", "c"}), Bulk(""));
  EXPECT_EQ(server.Run({"LLEN", "list"}), ":2\r\n");
  server.Run({"SELECT", "3"});
  EXPECT_EQ(server.Run({"STRLEN", "other"}), ":3000000\r\n");
  server.Run({"SET", "seen", "again"});
  EXPECT_EQ(server.TakeEffects().size(), 1u);
}

TEST(aof_loader_expires_nothing) {
  TestServer server(2);
  const std::string past = std::to_string(server.now_ms() - 5000);
  const std::string file =
      Line({"SET", "a", "1", "PXAT", past}) + Line({"INCR", "a"}) + Line({"SET", "b", "1"}) +
      Line({"PEXPIREAT", "b", past}) + Line({"APPEND", "b", "2"}) + Line({"RPUSH", "list", "x"}) +
      Line({"PEXPIREAT", "list", past}) + Line({"RPUSH", "list", "y"}) + Line({"HSET", "hash", "f", "5"}) +
      Line({"HPEXPIREAT", "hash", past, "FIELDS", "1", "f"}) + Line({"HINCRBY", "hash", "f", "1"}) +
      Line({"SET", "relative", "v", "EX", "100"}) + Line({"SETEX", "a2", "100", "v"}) +
      Line({"XADD", "stream", "1-1", "f", "v"}) + Line({"XGROUP", "CREATE", "stream", "g", "0"}) +
      Line({"XGROUP", "CREATECONSUMER", "stream", "g", "alice"}) + Line({"SET", "c", "1", "PXAT", past}) +
      Line({"EXPIRE", "c", "100"});
  AofLoadResult result;
  EXPECT_EQ(Load(server, file, &result).message(), "");
  const int64_t past_ms = server.now_ms() - 5000;
  EXPECT_EQ(server.expiry_ms("a"), past_ms);
  EXPECT_EQ(server.expiry_ms("b"), past_ms);
  EXPECT_EQ(server.expiry_ms("list"), past_ms);
  EXPECT_EQ(server.encoding("hash"), "listpackex");
  EXPECT_EQ(server.expiry_ms("relative"), server.now_ms() + 100'000);
  EXPECT_EQ(server.expiry_ms("a2"), server.now_ms() + 100'000);
  EXPECT_EQ(server.expiry_ms("c"), server.now_ms() + 100'000);
  // Now that it is loaded, what has expired is gone.
  EXPECT_EQ(server.Run({"EXISTS", "a", "b", "list"}), ":0\r\n");
  EXPECT_EQ(server.Run({"HGET", "hash", "f"}), "$-1\r\n");
  const std::string consumers = server.Run({"XINFO", "CONSUMERS", "stream", "g"});
  EXPECT_TRUE(consumers.find("idle\r\n:0\r\n") != std::string::npos);
  server.Validate();
}

TEST(aof_loader_says_what_is_wrong) {
  TestServer server;
  const std::string good = Line({"SET", "a", "1"});
  const auto is_refused = [&](const std::string& tail, std::string_view with) {
    const std::string reason = Refusal(server, good + tail);
    EXPECT_TRUE(reason.find(with) != std::string::npos);
    if (reason.find(with) == std::string::npos) std::printf("  %s\n", reason.c_str());
  };
  is_refused("hello\r\n", "Bad file format");
  is_refused("*0\r\n", "one argument at least");
  is_refused("*-1\r\n", "one argument at least");
  is_refused("*1\r\n%4\r\nPING\r\n", "Expected prefix '$'");
  is_refused("*1x\r\n", "behind a number");
  is_refused("*1\r\n$4\r\nPINGxx*1\r\n", "behind an argument");
  is_refused("*1\r\n$-1\r\n", "suitable range");
  is_refused(Line({"EXEC"}), "Unexpected EXEC");
  is_refused(Line({"MULTI"}) + Line({"multi"}), "Unexpected MULTI");
  is_refused(Line({"NOSUCH", "x"}), "Unknown command 'NOSUCH' reading the append only file test.aof at offset 27");
  is_refused(Line({"GET"}), "Wrong number of arguments");
  is_refused(Line({"EVAL", "return 1", "0"}), "Unknown command 'EVAL'");
  is_refused("*9000000000000000000\r\n$1\r\na\r\n", "Unexpected end of file");
  is_refused("*1\r\n$9000000000000000000\r\nabc", "Unexpected end of file");
  is_refused("#TS:1", "Unexpected end of file");
  // Odd, but as strtol reads it.
  EXPECT_EQ(Refusal(server, good + "* +2\r\n$3\r\nGET\r\n$0001\r\na\r\n"), "");
}

/// A file of several blocks, and after how many of its bytes a whole command or transaction ends.
struct Sample {
  std::string file;
  std::vector<size_t> ends{0};
  std::vector<std::string> digests;
};

Sample MakeSample(TestServer& server, bool has_checksums) {
  const std::vector<std::vector<std::string>> blocks = {
      {Line({"SELECT", "0"}), Line({"SET", "a", "1"})},
      {Line({"MULTI"}) + Line({"INCR", "a"}) + Line({"SET", "b", std::string(40, 'x')}) + Line({"EXEC"})},
      {"#TS:1700000000\r\n", Line({"LPUSH", "l", "1", "2"})},
      {Line({"SET", "z", "*1\r\n$4\r\nPING\r\n"})},
  };
  Sample sample;
  uint64_t crc = 0;
  size_t summed = 0;
  for (const auto& block : blocks) {
    for (const std::string& unit : block) {
      sample.file += unit;
      sample.ends.push_back(sample.file.size());
    }
    if (!has_checksums) continue;
    Seal(&sample.file, &crc, summed);
    summed = sample.file.size();
    sample.ends.push_back(summed);
  }
  for (const size_t end : sample.ends) {
    AofLoadResult result;
    EXPECT_EQ(Load(server, std::string_view(sample.file).substr(0, end), &result).message(), "");
    EXPECT_EQ(result.valid_bytes, end);
    EXPECT_EQ(result.crc, Crc64(0, std::string_view(sample.file).substr(0, end)));
    sample.digests.push_back(DigestOf(server));
    server.Run({"FLUSHALL"});
  }
  return sample;
}

TEST(aof_loader_takes_every_cut) {
  TestServer server(2);
  for (const bool has_checksums : {false, true}) {
    const Sample sample = MakeSample(server, has_checksums);
    size_t unit = 0;
    for (size_t size = 0; size < sample.file.size(); size++) {
      while (unit + 1 < sample.ends.size() && sample.ends[unit + 1] <= size) unit++;
      const std::string_view cut = std::string_view(sample.file).substr(0, size);
      EXPECT_EQ(Refusal(server, cut) == "", size == sample.ends[unit]);
      AofLoadResult result;
      EXPECT_EQ(Load(server, cut, &result, true).message(), "");
      EXPECT_EQ(result.valid_bytes, sample.ends[unit]);
      EXPECT_EQ(result.crc, Crc64(0, cut.substr(0, sample.ends[unit])));
      EXPECT_EQ(DigestOf(server), sample.digests[unit]);
      server.Run({"FLUSHALL"});
    }
  }
}

TEST(aof_loader_lets_no_flipped_bit_pass) {
  TestServer server(2);
  const Sample sample = MakeSample(server, true);
  for (size_t at = 0; at < sample.file.size(); at++) {
    for (int bit = 0; bit < 8; bit++) {
      std::string flipped = sample.file;
      flipped[at] = static_cast<char>(flipped[at] ^ 1 << bit);
      AofLoadResult result;
      const bool is_loaded = Load(server, flipped, &result, true).ok();
      EXPECT_TRUE(!is_loaded || DigestOf(server) == sample.digests.back());
      server.Run({"FLUSHALL"});
      // Without the checksums anything may come out, but nothing may break.
      (void)Load(server, flipped, &result, true, false).ok();
      server.Run({"FLUSHALL"});
    }
  }
  server.Validate();
}

TEST(aof_loader_cuts_zeros_off_behind_a_line) {
  TestServer server(2);
  const Sample sample = MakeSample(server, true);
  const size_t first_line = sample.ends[3];
  for (size_t size = first_line; size < sample.file.size(); size++) {
    const std::string zeroed = sample.file.substr(0, size) + std::string(5000, '\0');
    AofLoadResult result;
    EXPECT_EQ(Load(server, zeroed, &result, true).message(), "");
    EXPECT_TRUE(result.valid_bytes >= first_line && result.valid_bytes <= size);
    server.Run({"FLUSHALL"});
    AofLoadResult other;
    EXPECT_TRUE(!Load(server, zeroed, &other, true, false).ok());
    server.Run({"FLUSHALL"});
  }
}

TEST(aof_loader_reads_preambles) {
  TestServer server(2);
  const std::string expired = "\xfc" + test::Little(1000, 8) + test::RdbEntry(0, "old", test::RdbText("5"));
  const std::string rdb = test::RdbFile(10, {"\xf5" + test::RdbText("#!lua name=one\ncode"), expired});
  std::string file = rdb + Line({"INCR", "old"}) + Line({"FUNCTION", "LOAD", "#!lua name=two\ncode"}) +
                     Line({"FUNCTION", "LOAD", "REPLACE", "#!lua name=one\nnew"});
  uint64_t crc = 0;
  Seal(&file, &crc, rdb.size());
  AofLoadResult result;
  EXPECT_EQ(Load(server, file, &result).message(), "");
  EXPECT_EQ(result.rdb.version, 10);
  EXPECT_EQ(result.rdb.keys_loaded, 1u);
  EXPECT_EQ(result.covered_bytes, file.size());
  EXPECT_EQ(result.crc, crc);
  EXPECT_EQ(server.expiry_ms("old"), 1000);
  ASSERT_EQ(server.engine().function_libraries.size(), 2u);
  EXPECT_EQ(server.engine().function_libraries[1], "#!lua name=one\nnew");
  server.Run({"FLUSHALL"});
  EXPECT_EQ(Load(server, rdb, &result).message(), "");
  EXPECT_TRUE(Refusal(server, rdb.substr(0, rdb.size() - 1)).find("EOF") != std::string::npos);
}

}  // namespace
}  // namespace sherd
