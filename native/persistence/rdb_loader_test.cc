// LoadRdb: what the whole of a file means. The values of all types and old encodings are tested where they are
// read, and against files of servers in test/persistence.
#include "persistence/rdb_loader.h"

#include <string>
#include <vector>

#include "base/random.h"
#include "test/dataset_files.h"
#include "test/test.h"

namespace sherd {
namespace {

using persistence::LoadProgress;
using persistence::LoadRdb;
using persistence::MemorySource;
using persistence::RdbLoadOptions;
using persistence::RdbLoadResult;
using test::Bulk;
using test::DigestOf;
using test::FillAllTypes;
using test::Little;
using test::RdbEntry;
using test::RdbFile;
using test::RdbLength;
using test::RdbText;
using test::SaveAll;
using test::TestServer;

RdbLoadOptions OptionsOf(const TestServer& server, int threads) {
  RdbLoadOptions options;
  options.now_ms = server.now_ms();
  options.threads = threads;
  return options;
}

Status Load(TestServer& server, std::string_view file, RdbLoadResult* result, int threads = 0) {
  MemorySource source(file);
  return LoadRdb(server.engine(), source, OptionsOf(server, threads), nullptr, result);
}

/// The reason why a file is refused; "" if it is not.
std::string Refusal(TestServer& server, std::string_view file) {
  RdbLoadResult result;
  const Status status = Load(server, file, &result);
  server.Run({"FLUSHALL"});
  return status.message();
}

bool Mentions(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(rdb_loader_restores_every_type_with_any_number_of_threads) {
  TestServer server(8);
  FillAllTypes(server, 3000);
  const std::string big(700'000, 'y');
  server.Run({"SET", "big", big});
  const std::string digest = DigestOf(server);
  for (const int version : {9, 10, 11, 12}) {
    for (const int threads : {0, 1, 3}) {
      const std::string file = SaveAll(server, version, version % 2 == 0);
      EXPECT_EQ(server.Run({"FLUSHALL"}), "+OK\r\n");
      RdbLoadResult result;
      LoadProgress progress;
      MemorySource source(file);
      const Status status = LoadRdb(server.engine(), source, OptionsOf(server, threads), &progress, &result);
      EXPECT_EQ(status.message(), "");
      EXPECT_EQ(result.version, version);
      EXPECT_EQ(result.end_offset, file.size());
      EXPECT_EQ(result.keys_loaded, 3020u);
      EXPECT_EQ(progress.loaded_keys.load(), 3020u);
      EXPECT_EQ(progress.loaded_bytes.load(), file.size());
      EXPECT_EQ(DigestOf(server), digest);
      EXPECT_EQ(server.expiry_ms("string:5"), 4102444800123);
      server.Validate();
    }
  }
}

TEST(rdb_loader_reads_all_kinds_of_records) {
  TestServer server(4);
  const std::string past = "\xfc" + Little(static_cast<uint64_t>(server.now_ms() - 1), 8);
  const std::vector<std::string> records = {
      "\xfa" + RdbText("redis-ver") + RdbText("7.2.0"),
      std::string("\xfa") + RdbText("redis-bits") + "\xc0\x40",
      "\xf5" + RdbText("#!lua name=lib\n"),
      std::string("\xfe\x00", 2),
      "\xfb" + RdbLength(1ull << 60) + RdbLength(5),
      "\xf4" + RdbLength(1) + RdbLength(2) + RdbLength(3),
      RdbEntry(0, "plain", RdbText("value")),
      std::string("\x00", 1) + "\xc1\x39\x05" + RdbText("of an integer key"),
      "\xfd" + Little(2'000'000'000, 4) + RdbEntry(0, "seconds", RdbText("v")),
      "\xfd" + Little(1'000'000'000, 4) + RdbEntry(0, "seconds ago", RdbText("v")),
      past + RdbEntry(4, "gone", RdbLength(1) + RdbText("f") + RdbText("v")),
      "\xfc" + Little(~uint64_t{0}, 8) + RdbEntry(0, "no expiry", RdbText("v")),
      "\xf8" + RdbLength(100) + RdbEntry(0, "idle", RdbText("v")),
      std::string("\xf9\x07", 2) + RdbEntry(0, "frequency", RdbText("v")),
      RdbEntry(1, "empty list", RdbLength(0)),
      RdbEntry(14, "empty quicklist", RdbLength(0)),
      RdbEntry(18, "empty nodes", RdbLength(1) + RdbLength(2) + RdbText(std::string_view("\x07\0\0\0\0\0\xff", 7))),
      RdbEntry(16, "empty pack", RdbText(std::string_view("\x07\0\0\0\0\0\xff", 7))),
      RdbEntry(24, "empty with times", Little(5, 8) + RdbLength(0)),
      // An expiry belongs to the next entry, whatever comes first.
      past + "\xfe\x02" + RdbEntry(0, "gone, too", RdbText("v")),
      RdbEntry(22, "times", RdbLength(1) + RdbLength(4102444800001) + RdbText("f") + RdbText("v")),
      RdbEntry(0, "plain", RdbText("in another database")),
  };
  RdbLoadResult result;
  EXPECT_EQ(Load(server, RdbFile(10, records), &result).message(), "");
  EXPECT_EQ(result.keys_loaded, 8u);
  EXPECT_EQ(result.keys_expired, 3u);
  EXPECT_EQ(result.empty_keys_skipped, 5u);
  ASSERT_EQ(result.aux.size(), 2u);
  EXPECT_EQ(result.aux[0].second, "7.2.0");
  EXPECT_EQ(result.aux[1].second, "64");
  ASSERT_EQ(result.functions.size(), 1u);
  EXPECT_EQ(result.functions[0], "#!lua name=lib\n");
  EXPECT_EQ(server.Run({"GET", "1337"}), Bulk("of an integer key"));
  EXPECT_EQ(server.expiry_ms("seconds"), 2'000'000'000'000);
  EXPECT_EQ(server.expiry_ms("no expiry"), -1);
  EXPECT_EQ(server.Run({"OBJECT", "IDLETIME", "idle"}), ":100\r\n");
  server.Run({"SELECT", "2"});
  EXPECT_EQ(server.Run({"GET", "plain"}), Bulk("in another database"));
  EXPECT_EQ(server.Run({"HPEXPIRETIME", "times", "FIELDS", "1", "f"}), "*1\r\n:4102444800001\r\n");
  server.Validate();
}

TEST(rdb_loader_keeps_expired_keys_of_a_preamble) {
  TestServer server;
  const std::string record = "\xfc" + Little(1000, 8) + RdbEntry(0, "k", RdbText("v"));
  const std::string file = RdbFile(9, {record});
  RdbLoadOptions options = OptionsOf(server, 0);
  options.keeps_expired = true;
  RdbLoadResult result;
  const std::string whole = "in front" + file + "*1\r\n";
  MemorySource source(whole);
  options.offset = 8;
  EXPECT_EQ(LoadRdb(server.engine(), source, options, nullptr, &result).message(), "");
  EXPECT_EQ(server.expiry_ms("k"), 1000);
  EXPECT_EQ(result.end_offset, 8 + file.size());
}

TEST(rdb_loader_replaces_keys_if_told_to) {
  TestServer server(2);
  server.Run({"RPUSH", "a", "old"});
  server.Run({"SET", "b", "old"});
  const std::string file = RdbFile(11, {RdbEntry(0, "a", RdbText("new")), RdbEntry(1, "c", RdbLength(1) + RdbText("x"))});
  RdbLoadResult refused;
  EXPECT_TRUE(Mentions(Load(server, file, &refused).message(), "duplicated key 'a'"));
  server.Run({"DEL", "c"});
  RdbLoadOptions options = OptionsOf(server, 2);
  options.replaces_keys = true;
  RdbLoadResult result;
  MemorySource source(file);
  EXPECT_EQ(LoadRdb(server.engine(), source, options, nullptr, &result).message(), "");
  EXPECT_EQ(server.Run({"GET", "a"}), Bulk("new"));
  EXPECT_EQ(server.Run({"GET", "b"}), Bulk("old"));
  EXPECT_EQ(server.Run({"LLEN", "c"}), ":1\r\n");
  server.Validate();
}

TEST(rdb_loader_says_what_is_wrong) {
  TestServer server(2);
  const auto refusal = [&](const std::vector<std::string>& records) {
    return Refusal(server, RdbFile(11, records));
  };
  EXPECT_EQ(Refusal(server, ""), "Wrong signature trying to load DB from file");
  EXPECT_EQ(Refusal(server, "REDOS0009\xff"), "Wrong signature trying to load DB from file");
  EXPECT_EQ(Refusal(server, "REDIS0013\xff"), "Can't handle RDB format version 13");
  EXPECT_EQ(Refusal(server, "REDIS0000\xff"), "Can't handle RDB format version 0");
  EXPECT_EQ(Refusal(server, "REDIS00-1\xff"), "Can't handle RDB format version 00-1");
  EXPECT_EQ(Refusal(server, "REDIS0004\xff"), "");
  EXPECT_EQ(Refusal(server, "REDIS0009"), "Internal error in RDB reading offset 9: Unexpected EOF reading RDB file");
  const std::string entry = RdbEntry(0, "k", RdbText("v"));
  EXPECT_EQ(refusal({entry, entry}), "Internal error in RDB reading offset 14: RDB has duplicated key 'k' in DB 0");
  EXPECT_TRUE(Mentions(refusal({"\xfe\x10"}), "more databases"));
  EXPECT_TRUE(Mentions(refusal({"\xf6" + RdbText("x")}), "Pre-release function format"));
  const std::string module = "\x81\x01\x02\x03\x04\x05\x06\x07\x08";
  EXPECT_TRUE(Mentions(refusal({"\xf7" + module}), "AUX module data I can't load: no matching module 'AQIDBAUGB'"));
  EXPECT_TRUE(Mentions(refusal({RdbEntry(7, "k", module)}), "no matching module type 'AQIDBAUGB'"));
  EXPECT_TRUE(Mentions(refusal({RdbEntry(8, "k", "\x01")}), "Unknown RDB encoding type"));
  EXPECT_TRUE(Mentions(refusal({RdbEntry(2, "k", RdbLength(2) + RdbText("a") + RdbText("a"))}), "malformed value"));
  std::string file = RdbFile(9, {entry});
  file[file.size() - 1] ^= 1;
  EXPECT_TRUE(Mentions(Refusal(server, file), "Wrong RDB checksum"));
  file.replace(file.size() - 8, 8, std::string(8, '\0'));
  EXPECT_EQ(Refusal(server, file), "");
}

TEST(rdb_loader_believes_no_length) {
  TestServer server;
  const std::string huge[] = {RdbLength(~uint64_t{0}), RdbLength(1ull << 62), RdbLength(1ull << 40),
                              RdbLength(~uint64_t{0} - 3)};
  for (const std::string& length : huge) {
    for (const uint8_t type : {0, 1, 2, 3, 4, 5, 9, 14, 15, 18, 20, 21, 22, 24, 25}) {
      const std::string lead = type == 24 || type == 25 ? std::string(8, '\x01') : "";
      const std::string file = RdbFile(11, {RdbEntry(type, "k", lead + length + "some bytes")});
      EXPECT_TRUE(Mentions(Refusal(server, file), "EOF"));
    }
    EXPECT_TRUE(Mentions(Refusal(server, RdbFile(11, {std::string("\x00", 1) + length})), "EOF"));
    // A packed string that claims to become more than its bytes can.
    const std::string packed = "\xc3" + RdbLength(3) + length + "abc";
    EXPECT_TRUE(Mentions(Refusal(server, RdbFile(11, {RdbEntry(0, "k", packed)})), "malformed"));
  }
}

TEST(rdb_loader_refuses_every_cut_and_every_flipped_bit) {
  TestServer server(2);
  FillAllTypes(server, 12);
  const std::string digest = DigestOf(server);
  const std::string file = SaveAll(server, 11, true);
  server.Run({"FLUSHALL"});
  for (size_t size = 0; size < file.size(); size++) {
    EXPECT_TRUE(Refusal(server, std::string_view(file).substr(0, size)) != "");
  }
  for (size_t at = 0; at < file.size(); at++) {
    for (int bit = 0; bit < 8; bit++) {
      std::string flipped = file;
      flipped[at] = static_cast<char>(flipped[at] ^ 1 << bit);
      RdbLoadResult result;
      const Status status = Load(server, flipped, &result);
      EXPECT_TRUE(!status.ok() || DigestOf(server) == digest);
      // With the right checksum again it may be another dataset, but must be a sound one.
      server.Run({"FLUSHALL"});
      std::string body = flipped.substr(0, flipped.size() - 8);
      RdbLoadResult other;
      const Status sealed = Load(server, test::Sealed(body, 11), &other);
      if (at % 16 == 0) server.Validate();
      server.Run({"FLUSHALL"});
    }
  }
  server.Validate();
}

TEST(rdb_loader_takes_files_in_which_nothing_ends_with_a_batch) {
  TestServer server(4);
  Random random(test::Seed());
  uint64_t keys = 0;
  std::vector<std::string> records;
  for (size_t bytes = 0; bytes < 3'000'000;) {
    const uint64_t kind = random.Below(100);
    const size_t size = kind == 0 ? random.Below(600'000) : kind < 20 ? random.Below(50'000) : random.Below(100);
    records.push_back(RdbEntry(0, "key:" + std::to_string(keys++), RdbText(std::string(size, 'v'))));
    bytes += size;
  }
  const std::string file = RdbFile(9, records);
  std::string digest;
  for (const int threads : {0, 2, 4}) {
    RdbLoadResult result;
    EXPECT_EQ(Load(server, file, &result, threads).message(), "");
    EXPECT_EQ(result.keys_loaded, keys);
    if (threads == 0) digest = DigestOf(server);
    EXPECT_EQ(DigestOf(server), digest);
    server.Run({"FLUSHALL"});
  }
}

}  // namespace
}  // namespace sherd
