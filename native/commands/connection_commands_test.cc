// Connection commands: what they reply and what they leave in the session, as redis-server told.
#include <string>

#include "commands/client_info.h"
#include "commands/test_util.h"
#include "test/test.h"

namespace sherd {
namespace {

using engine::ReplyMode;
using test::Bulk;
using test::Error;
using test::Integer;
using test::TestServer;
using std::string_view_literals::operator""sv;

constexpr const char* kOk = "+OK\r\n";
constexpr const char* kNil = "$-1\r\n";
const std::string kSyntax = Error("ERR syntax error");
const std::string kBadName =
    Error("ERR Client names cannot contain spaces, newlines or special characters.");
const std::string kWrongPass =
    Error("WRONGPASS invalid username-password pair or user is disabled.");

std::string HelloReply(const TestServer& server, const char* head, int resp) {
  return head + Bulk("server") + Bulk("redis") + Bulk("version") + Bulk("7.2.0") + Bulk("proto") +
         Integer(resp) + Bulk("id") + Integer(static_cast<int64_t>(server.session.id)) +
         Bulk("mode") + Bulk("standalone") + Bulk("role") + Bulk("master") + Bulk("modules") +
         "*0\r\n";
}

TEST(connection_ping_echo_time_quit) {
  TestServer server;
  EXPECT_EQ(server.Run({"PING"}), "+PONG\r\n");
  EXPECT_EQ(server.Run({"PING", "a\r\nb"}), Bulk("a\r\nb"));
  EXPECT_EQ(server.Run({"PING", "a", "b"}),
            Error("ERR wrong number of arguments for 'ping' command"));
  EXPECT_EQ(server.Run({"ECHO", ""}), Bulk(""));
  EXPECT_EQ(server.Run({"TIME"}),
            "*2\r\n" + Bulk(std::to_string(server.now_ms() / 1000)) + Bulk("0"));
  EXPECT_FALSE(server.session.close_after_reply);
  EXPECT_EQ(server.Run({"QUIT"}), kOk);
  EXPECT_TRUE(server.session.close_after_reply);
}

TEST(connection_select) {
  TestServer server(1, 4);
  EXPECT_EQ(server.Run({"SELECT", "3"}), kOk);
  EXPECT_EQ(server.session.db, 3);
  EXPECT_EQ(server.Run({"SELECT", "4"}), Error("ERR DB index is out of range"));
  EXPECT_EQ(server.Run({"SELECT", "-1"}), Error("ERR DB index is out of range"));
  EXPECT_EQ(server.Run({"SELECT", "x"}), Error("ERR value is not an integer or out of range"));
  EXPECT_EQ(server.Run({"SELECT", "2147483648"}),
            Error("ERR value is out of range, value must between -2147483648 and 2147483647"));
  EXPECT_EQ(server.session.db, 3);
  server.Run({"SET", "k", "v"});
  server.Run({"SELECT", "0"});
  EXPECT_EQ(server.Run({"GET", "k"}), kNil);
}

TEST(connection_auth_without_password) {
  TestServer server;
  EXPECT_EQ(server.Run({"AUTH", "x"}),
            Error("ERR AUTH <password> called without any password configured for the default "
                  "user. Are you sure your configuration is correct?"));
  EXPECT_EQ(server.Run({"AUTH", "default", "x"}), kOk);
  EXPECT_EQ(server.Run({"AUTH", "nobody", "x"}), kWrongPass);
  EXPECT_EQ(server.Run({"AUTH", "a", "b", "c"}), kSyntax);
}

TEST(connection_auth_with_password) {
  TestServer server;
  server.engine().SetPassword("secret");
  server.session.authenticated = false;
  EXPECT_EQ(server.Run({"AUTH", "wrong"}), kWrongPass);
  EXPECT_EQ(server.Run({"AUTH", ""}), kWrongPass);
  EXPECT_EQ(server.Run({"AUTH", "Default", "secret"}), kWrongPass);
  EXPECT_FALSE(server.session.authenticated);
  EXPECT_EQ(server.Run({"AUTH", "secret"}), kOk);
  EXPECT_TRUE(server.session.authenticated);
  EXPECT_EQ(server.Run({"AUTH", "wrong"}), kWrongPass);
  EXPECT_TRUE(server.session.authenticated);  // a failed attempt takes nothing away
  EXPECT_EQ(server.Run({"RESET"}), "+RESET\r\n");
  EXPECT_FALSE(server.session.authenticated);
  EXPECT_EQ(server.Run({"AUTH", "default", "secret"}), kOk);
}

TEST(connection_hello) {
  TestServer server;
  EXPECT_EQ(server.Run({"HELLO"}), HelloReply(server, "*14\r\n", 2));
  EXPECT_EQ(server.Run({"HELLO", "3"}), HelloReply(server, "%7\r\n", 3));
  EXPECT_EQ(server.Run({"HELLO"}), HelloReply(server, "%7\r\n", 3));
  EXPECT_EQ(server.Run({"HELLO", "2", "setname", "me"}), HelloReply(server, "*14\r\n", 2));
  EXPECT_EQ(server.session.name, "me");
  EXPECT_EQ(server.Run({"HELLO", "x"}),
            Error("ERR Protocol version is not an integer or out of range"));
  EXPECT_EQ(server.Run({"HELLO", "4"}), Error("NOPROTO unsupported protocol version"));
  EXPECT_EQ(server.Run({"HELLO", "1", "foo"}), Error("NOPROTO unsupported protocol version"));
  EXPECT_EQ(server.Run({"HELLO", "3", "foo\0bar"sv}),
            Error("ERR Syntax error in HELLO option 'foo'"));
  EXPECT_EQ(server.Run({"HELLO", "3", "AUTH", "a"}),
            Error("ERR Syntax error in HELLO option 'AUTH'"));
  EXPECT_EQ(server.Run({"HELLO", "3", "SETNAME", "a b"}), kBadName);
  EXPECT_EQ(server.Run({"HELLO", "3", "SETNAME", "you", "AUTH", "nobody", "x"}), kWrongPass);
  EXPECT_EQ(server.session.resp, 2);
  EXPECT_EQ(server.session.name, "me");
}

TEST(connection_hello_authenticates) {
  TestServer server;
  server.engine().SetPassword("secret");
  server.session.authenticated = false;
  EXPECT_EQ(server.Run({"HELLO", "3", "SETNAME", "me"}),
            Error("NOAUTH HELLO must be called with the client already authenticated, otherwise "
                  "the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the "
                  "client and select the RESP protocol version at the same time"));
  EXPECT_EQ(server.session.name, "");
  EXPECT_EQ(server.session.resp, 2);
  EXPECT_EQ(server.Run({"HELLO", "3", "AUTH", "default", "secret"}),
            HelloReply(server, "%7\r\n", 3));
  EXPECT_TRUE(server.session.authenticated);
}

TEST(connection_reset) {
  TestServer server;
  server.Run({"HELLO", "3", "SETNAME", "me"});
  server.Run({"SELECT", "5"});
  server.Run({"CLIENT", "NO-TOUCH", "ON"});
  server.Run({"CLIENT", "NO-EVICT", "ON"});
  server.Run({"CLIENT", "SETINFO", "LIB-NAME", "lib"});
  server.Run({"CLIENT", "REPLY", "OFF"});
  EXPECT_EQ(server.Run({"RESET"}), "+RESET\r\n");
  EXPECT_EQ(server.session.db, 0);
  EXPECT_EQ(server.session.resp, 2);
  EXPECT_EQ(server.session.name, "");
  EXPECT_FALSE(server.session.no_touch);
  EXPECT_FALSE(server.session.no_evict);
  EXPECT_TRUE(server.session.reply_mode == ReplyMode::kOn);
  EXPECT_TRUE(server.session.authenticated);
  EXPECT_EQ(server.session.library_name, "lib");
}

TEST(connection_client_names) {
  TestServer server;
  EXPECT_EQ(server.Run({"CLIENT", "ID"}), Integer(static_cast<int64_t>(server.session.id)));
  EXPECT_EQ(server.Run({"CLIENT", "GETNAME"}), kNil);
  EXPECT_EQ(server.Run({"CLIENT", "SETNAME", "me"}), kOk);
  EXPECT_EQ(server.Run({"CLIENT", "GETNAME"}), Bulk("me"));
  for (const std::string_view name : {"a b"sv, "a\nb"sv, "a\0"sv, "\x7f"sv, "\xc3\xa9"sv}) {
    EXPECT_EQ(server.Run({"CLIENT", "SETNAME", name}), kBadName);
  }
  EXPECT_EQ(server.Run({"CLIENT", "GETNAME"}), Bulk("me"));
  EXPECT_EQ(server.Run({"CLIENT", "SETNAME", ""}), kOk);
  EXPECT_EQ(server.Run({"CLIENT", "GETNAME"}), kNil);
  EXPECT_EQ(server.Run({"CLIENT", "SETINFO", "LIB-NAME", "lib"}), kOk);
  EXPECT_EQ(server.Run({"CLIENT", "SETINFO", "lib-ver", "1.2"}), kOk);
  EXPECT_EQ(server.session.library_name, "lib");
  EXPECT_EQ(server.session.library_version, "1.2");
  EXPECT_EQ(server.Run({"CLIENT", "SETINFO", "foo", "x"}), Error("ERR Unrecognized option 'foo'"));
  EXPECT_EQ(server.Run({"CLIENT", "SETINFO", "LIB-NAME", "a b"}),
            Error("ERR LIB-NAME cannot contain spaces, newlines or special characters."));
}

TEST(connection_client_switches) {
  TestServer server;
  EXPECT_EQ(server.Run({"CLIENT", "NO-TOUCH", "on"}), kOk);
  EXPECT_TRUE(server.session.no_touch);
  EXPECT_EQ(server.Run({"CLIENT", "NO-TOUCH", "maybe"}), kSyntax);
  EXPECT_TRUE(server.session.no_touch);
  EXPECT_EQ(server.Run({"CLIENT", "NO-EVICT", "ON"}), kOk);
  EXPECT_EQ(server.Run({"CLIENT", "NO-EVICT", "OFF"}), kOk);
  EXPECT_FALSE(server.session.no_evict);
  EXPECT_EQ(server.Run({"CLIENT", "REPLY", "SKIP"}), "");
  EXPECT_TRUE(server.session.reply_mode == ReplyMode::kSkipNext);
  EXPECT_EQ(server.Run({"CLIENT", "REPLY", "OFF"}), "");
  EXPECT_EQ(server.Run({"CLIENT", "REPLY", "SKIP"}), "");
  EXPECT_TRUE(server.session.reply_mode == ReplyMode::kOff);
  EXPECT_EQ(server.Run({"CLIENT", "REPLY", "x"}), kSyntax);
  EXPECT_EQ(server.Run({"CLIENT", "REPLY", "ON"}), kOk);
  EXPECT_TRUE(server.session.reply_mode == ReplyMode::kOn);
}

TEST(connection_client_info) {
  TestServer server;
  const ClientDescriber before = client_describer;
  client_describer = [](const engine::Session& session, std::string* out) {
    out->append("id=").append(std::to_string(session.id));
  };
  const std::string line = "id=" + std::to_string(server.session.id) + "\n";
  EXPECT_EQ(server.Run({"CLIENT", "INFO"}), Bulk(line));
  server.session.resp = 3;
  EXPECT_EQ(server.Run({"CLIENT", "INFO"}),
            "=" + std::to_string(line.size() + 4) + "\r\ntxt:" + line + "\r\n");
  client_describer = before;
}

// The frame is redis-server's, the lines between are our own.
TEST(connection_client_help) {
  TestServer server;
  const std::string reply = server.Run({"CLIENT", "HELP"});
  size_t lines = 0;
  for (const char c : reply) lines += c == '+' ? 1 : 0;
  const std::string head =
      "*" + std::to_string(lines) +
      "\r\n+CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n";
  EXPECT_EQ(reply.substr(0, head.size()), head);
  EXPECT_GT(lines, 20u);
  const std::string tail = "+HELP\r\n+    Print this help.\r\n";
  EXPECT_EQ(reply.substr(reply.size() - tail.size()), tail);
}

}  // namespace
}  // namespace sherd
