// DUMP and RESTORE: events, effects, what counts as a change, and what is kept when a payload is refused.
// Events were asked of redis-server 7.0.15. The format itself and the error texts are compared with a real
// server by test/differential/exchange.test.ts, and hostile payloads are fuzz/restore_fuzz.cc's.
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/crc64.h"
#include "commands/test_util.h"
#include "persistence/rdb_format.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::Bulk;
using test::Error;
using test::Integer;
using test::TestServer;
using Lines = std::vector<std::string>;

constexpr const char* kOk = "+OK\r\n";
const std::string kBadChecksum = Error("ERR DUMP payload version or checksum are wrong");
const std::string kBadFormat = Error("ERR Bad data format");

/// A payload with a right checksum.
std::string Sealed(std::string_view body, uint16_t version = 9) {
  std::string payload(body);
  payload.append(persistence::kDumpFooterSize, '\0');
  StoreLittle16(payload.data() + body.size(), version);
  const std::string_view covered = std::string_view(payload).substr(0, body.size() + 2);
  StoreLittle64(payload.data() + covered.size(), Crc64(0, covered));
  return payload;
}

std::string Hello() { return Sealed({"\0\5hello", 7}); }

std::string Dump(TestServer& server, std::string_view key) {
  const std::string reply = server.Run({"DUMP", key});
  CHECK(reply[0] == '$');
  const size_t at = reply.find("\r\n") + 2;
  return reply.substr(at, reply.size() - at - 2);
}

TEST(dump_of_a_missing_key_is_null_and_changes_nothing) {
  TestServer server(4);
  EXPECT_EQ(server.Run({"DUMP", "k"}), "$-1\r\n");
  server.Run({"SET", "k", "hello"});
  server.Listen();
  server.Run({"DUMP", "k"});
  EXPECT_EQ(server.last_dirty(), 0);
  EXPECT_TRUE(server.TakeEvents().empty());
  EXPECT_TRUE(server.TakeEffects().empty());
}

TEST(dump_names_the_version_that_is_asked_for) {
  TestServer server;
  server.Run({"SET", "k", "hello"});
  for (const uint16_t version : {9, 10, 11, 12}) {
    server.engine().options().rdb_compat_version.Set(version);
    EXPECT_TRUE(Dump(server, "k") == Sealed({"\0\5hello", 7}, version));
  }
}

TEST(restore_tells_of_a_new_key) {
  for (const int shards : {1, 8}) {
    TestServer server(shards);
    server.Listen();
    EXPECT_EQ(server.Run({"RESTORE", "k", "0", Hello()}), kOk);
    EXPECT_EQ(server.last_dirty(), 1);
    EXPECT_TRUE(server.TakeEvents() == (Lines{"new k", "restore k"}));
    EXPECT_TRUE(server.TakeEffects() == Lines{"RESTORE k 0 " + Hello()});
    EXPECT_EQ(server.Run({"GET", "k"}), Bulk("hello"));
    EXPECT_EQ(server.expiry_ms("k"), engine::kNoExpiry);

    EXPECT_EQ(server.Run({"RESTORE", "k", "0", Hello()}),
              Error("BUSYKEY Target key name already exists."));
    EXPECT_EQ(server.last_dirty(), 0);
    EXPECT_TRUE(server.TakeEvents().empty());
    EXPECT_TRUE(server.TakeEffects().empty());
    server.Validate();
  }
}

TEST(restore_replaces_without_a_del) {
  TestServer server(4);
  server.Run({"RPUSH", "k", "a", "b"});
  server.Run({"EXPIRE", "k", "100"});
  server.Listen();
  EXPECT_EQ(server.Run({"RESTORE", "k", "0", Hello(), "REPLACE"}), kOk);
  EXPECT_EQ(server.last_dirty(), 1);
  EXPECT_TRUE(server.TakeEvents() == (Lines{"new k", "restore k"}));
  EXPECT_TRUE(server.TakeEffects() == Lines{"RESTORE k 0 " + Hello() + " REPLACE"});
  EXPECT_EQ(server.Run({"GET", "k"}), Bulk("hello"));
  EXPECT_EQ(server.expiry_ms("k"), engine::kNoExpiry);
  server.Validate();
}

TEST(restore_is_replayed_with_an_absolute_time) {
  TestServer server(4);
  server.Listen();
  const std::string at_ms = std::to_string(server.now_ms() + 5000);
  EXPECT_EQ(server.Run({"RESTORE", "k", "5000", Hello()}), kOk);
  EXPECT_EQ(server.expiry_ms("k"), server.now_ms() + 5000);
  EXPECT_TRUE(server.TakeEffects() == Lines{"RESTORE k " + at_ms + " " + Hello() + " ABSTTL"});
  EXPECT_EQ(server.Run({"RESTORE", "k", at_ms, Hello(), "REPLACE", "absttl"}), kOk);
  EXPECT_EQ(server.expiry_ms("k"), server.now_ms() + 5000);
  EXPECT_TRUE(server.TakeEffects() ==
              Lines{"RESTORE k " + at_ms + " " + Hello() + " REPLACE absttl"});
  server.AdvanceMs(5001);
  EXPECT_EQ(server.Run({"GET", "k"}), "$-1\r\n");
}

TEST(restore_of_what_has_expired_deletes_what_was_there) {
  for (const bool is_lazy : {false, true}) {
    TestServer server(4);
    server.engine().options().lazyfree_lazy_server_del.Set(is_lazy);
    server.Run({"SET", "k", "old"});
    server.Listen();
    EXPECT_EQ(server.Run({"RESTORE", "k", "1", Hello(), "ABSTTL", "REPLACE"}), kOk);
    EXPECT_EQ(server.last_dirty(), 1);
    EXPECT_TRUE(server.TakeEvents() == Lines{"del k"});
    EXPECT_TRUE(server.TakeEffects() == Lines{is_lazy ? "UNLINK k" : "DEL k"});

    EXPECT_EQ(server.Run({"RESTORE", "k", "1", Hello(), "ABSTTL"}), kOk);
    EXPECT_EQ(server.last_dirty(), 0);
    EXPECT_TRUE(server.TakeEvents().empty());
    EXPECT_TRUE(server.TakeEffects().empty());
    EXPECT_EQ(server.Run({"EXISTS", "k"}), Integer(0));
    server.Validate();
  }
}

TEST(restore_of_a_bad_payload_keeps_the_old_value) {
  TestServer server(4);
  server.Run({"SET", "k", "old"});
  server.Listen();
  std::string broken = Hello();
  broken[3] = 'H';
  EXPECT_EQ(server.Run({"RESTORE", "k", "0", broken, "REPLACE"}), kBadChecksum);
  EXPECT_EQ(server.Run({"RESTORE", "k", "0", Sealed({"\0\6hello", 7}), "REPLACE"}), kBadFormat);
  EXPECT_EQ(server.Run({"RESTORE", "k", "0", Sealed({"\0\5hello", 7}, 13), "REPLACE"}), kBadChecksum);
  EXPECT_EQ(server.Run({"RESTORE", "k", "0", "", "REPLACE"}), kBadChecksum);
  EXPECT_EQ(server.last_dirty(), 0);
  EXPECT_TRUE(server.TakeEvents().empty());
  EXPECT_TRUE(server.TakeEffects().empty());
  EXPECT_EQ(server.Run({"GET", "k"}), Bulk("old"));
}

TEST(restore_sets_the_idle_time) {
  TestServer server;
  EXPECT_EQ(server.Run({"RESTORE", "k", "0", Hello(), "IDLETIME", "1000"}), kOk);
  EXPECT_EQ(server.Run({"OBJECT", "IDLETIME", "k"}), Integer(1000));
  EXPECT_EQ(server.Run({"RESTORE", "k", "0", Hello(), "REPLACE", "IDLETIME", "0"}), kOk);
  EXPECT_EQ(server.Run({"OBJECT", "IDLETIME", "k"}), Integer(0));
}

/// Field expiries come along, in the version that has them, whatever version is asked for.
TEST(dump_of_a_hash_with_expiring_fields_is_restored_with_them) {
  for (const char* entries : {"0", "512"}) {
    TestServer server(4);
    server.engine().options().rdb_compat_version.Set(10);
    server.engine().options().hash_max_listpack_entries.Set(std::stoi(entries));
    server.Run({"HSET", "h", "soon", "1", "late", "2", "never", "3"});
    server.Run({"HPEXPIRE", "h", "1000", "FIELDS", "1", "soon"});
    server.Run({"HPEXPIRE", "h", "90000", "FIELDS", "1", "late"});
    const std::string payload = Dump(server, "h");
    EXPECT_EQ(LoadLittle16(payload.data() + payload.size() - persistence::kDumpFooterSize), 12);
    EXPECT_EQ(server.Run({"RESTORE", "copy", "0", payload}), kOk);
    EXPECT_EQ(server.Run({"HPTTL", "copy", "FIELDS", "3", "soon", "late", "never"}),
              "*3\r\n:1000\r\n:90000\r\n:-1\r\n");
    EXPECT_EQ(server.encoding("copy"), server.encoding("h"));
    server.AdvanceMs(1001);
    EXPECT_EQ(server.Run({"HLEN", "copy"}), server.Run({"HLEN", "h"}));
    EXPECT_EQ(server.Run({"HGET", "copy", "soon"}), "$-1\r\n");
    server.Validate();
  }
}

/// A payload may state the time 0, which no field can have.
TEST(restore_refuses_a_field_that_expires_at_zero) {
  TestServer server;
  std::string body(1, static_cast<char>(persistence::RdbType::kHashMetadata));
  body.append(8, '\0').append({1, 1, 1, 'f', 1, 'v'});
  EXPECT_EQ(server.Run({"RESTORE", "h", "0", Sealed(body)}), kBadFormat);
  body[10] = 0;
  EXPECT_EQ(server.Run({"RESTORE", "h", "0", Sealed(body)}), kOk);
  EXPECT_EQ(server.Run({"HGETALL", "h"}), "*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
  server.Validate();
}

}  // namespace
}  // namespace sherd
