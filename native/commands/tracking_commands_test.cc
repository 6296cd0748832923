// CLIENT TRACKING and its kin as far as one session goes: checks, texts, what is shown. What other clients
// get is tested with several workers, in net/tracking_test.cc.
#include <string>

#include "commands/test_util.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::Bulk;
using test::Error;
using test::Integer;
using test::TestServer;

constexpr const char* kOk = "+OK\r\n";

std::string Info(const std::vector<std::string>& flags, int64_t redirect, const std::vector<std::string>& prefixes) {
  std::string reply = "*6\r\n" + Bulk("flags") + "*" + std::to_string(flags.size()) + "\r\n";
  for (const std::string& flag : flags) reply += Bulk(flag);
  reply += Bulk("redirect") + Integer(redirect) + Bulk("prefixes") + "*" + std::to_string(prefixes.size()) + "\r\n";
  for (const std::string& prefix : prefixes) reply += Bulk(prefix);
  return reply;
}

TEST(tracking_is_off_at_first) {
  TestServer server;
  EXPECT_EQ(server.Run({"CLIENT", "TRACKINGINFO"}), Info({"off"}, -1, {}));
  EXPECT_EQ(server.Run({"CLIENT", "GETREDIR"}), Integer(-1));
  EXPECT_EQ(server.Run({"CLIENT", "TRACKING", "OFF"}), kOk);
  EXPECT_EQ(server.Run({"CLIENT", "TRACKING", "on"}), kOk);
  EXPECT_EQ(server.Run({"CLIENT", "TRACKINGINFO"}), Info({"on"}, 0, {}));
  EXPECT_EQ(server.Run({"CLIENT", "GETREDIR"}), Integer(0));
  EXPECT_EQ(server.Run({"CLIENT", "TRACKING", "off"}), kOk);
  EXPECT_EQ(server.Run({"CLIENT", "TRACKINGINFO"}), Info({"off"}, -1, {}));
}

TEST(tracking_shows_its_options) {
  TestServer server;
  const std::string id = std::to_string(server.session.id);
  EXPECT_EQ(server.Run({"CLIENT", "TRACKING", "on", "NOLOOP", "OPTIN", "REDIRECT", id}), kOk);
  EXPECT_EQ(server.Run({"CLIENT", "TRACKINGINFO"}),
            Info({"on", "optin", "noloop"}, static_cast<int64_t>(server.session.id), {}));
  EXPECT_EQ(server.Run({"CLIENT", "GETREDIR"}), Integer(static_cast<int64_t>(server.session.id)));
  EXPECT_EQ(server.Run({"CLIENT", "CACHING", "Yes"}), kOk);
  EXPECT_EQ(server.Run({"CLIENT", "TRACKINGINFO"}),
            Info({"on", "optin", "caching-yes", "noloop"}, static_cast<int64_t>(server.session.id), {}));
  // What is not said again is no longer so.
  EXPECT_EQ(server.Run({"CLIENT", "TRACKING", "on"}), kOk);
  EXPECT_EQ(server.Run({"CLIENT", "TRACKINGINFO"}), Info({"on"}, 0, {}));
  EXPECT_EQ(server.Run({"CLIENT", "TRACKING", "off"}), kOk);
  EXPECT_EQ(server.Run({"CLIENT", "TRACKING", "on", "OPTOUT"}), kOk);
  EXPECT_EQ(server.Run({"CLIENT", "CACHING", "no"}), kOk);
  EXPECT_EQ(server.Run({"CLIENT", "TRACKINGINFO"}), Info({"on", "optout", "caching-no"}, 0, {}));
  EXPECT_EQ(server.Run({"RESET"}), "+RESET\r\n");
  EXPECT_EQ(server.Run({"CLIENT", "TRACKINGINFO"}), Info({"off"}, -1, {}));
}

TEST(tracking_prefixes_are_kept_in_order_and_do_not_overlap) {
  TestServer server;
  const auto overlaps = [](const std::string& prefix, const std::string& what, const std::string& other) {
    return Error("ERR Prefix '" + prefix + "' overlaps with " + what + " prefix '" + other +
                 "'. Prefixes for a single client must not overlap.");
  };
  EXPECT_EQ(server.Run({"CLIENT", "TRACKING", "on", "BCAST", "PREFIX", "user:", "PREFIX", "ab"}), kOk);
  EXPECT_EQ(server.Run({"CLIENT", "TRACKING", "on", "BCAST", "PREFIX", "b"}), kOk);
  EXPECT_EQ(server.Run({"CLIENT", "TRACKINGINFO"}), Info({"on", "bcast"}, 0, {"ab", "b", "user:"}));
  EXPECT_EQ(server.Run({"CLIENT", "TRACKING", "on", "BCAST", "PREFIX", "us"}), overlaps("us", "an existing", "user:"));
  EXPECT_EQ(server.Run({"CLIENT", "TRACKING", "on", "BCAST", "PREFIX", "user:1"}),
            overlaps("user:1", "an existing", "user:"));
  EXPECT_EQ(server.Run({"CLIENT", "TRACKING", "on", "BCAST", "PREFIX", "x", "PREFIX", "y", "PREFIX", "yy"}),
            overlaps("y", "another provided", "yy"));
  EXPECT_EQ(server.Run({"CLIENT", "TRACKING", "off"}), kOk);
  // No prefix is the empty one, which overlaps with all, but not with itself.
  EXPECT_EQ(server.Run({"CLIENT", "TRACKING", "on", "BCAST"}), kOk);
  EXPECT_EQ(server.Run({"CLIENT", "TRACKING", "on", "BCAST"}), kOk);
  EXPECT_EQ(server.Run({"CLIENT", "TRACKINGINFO"}), Info({"on", "bcast"}, 0, {""}));
  EXPECT_EQ(server.Run({"CLIENT", "TRACKING", "on", "BCAST", "PREFIX", "a"}), overlaps("a", "an existing", ""));
}

TEST(tracking_refuses_what_does_not_go_together) {
  TestServer server;
  const auto fails = [&](std::initializer_list<std::string_view> args, const std::string& error) {
    EXPECT_EQ(server.Run(args), Error(error));
  };
  fails({"CLIENT", "TRACKING", "maybe"}, "ERR syntax error");
  fails({"CLIENT", "TRACKING", "on", "what"}, "ERR syntax error");
  fails({"CLIENT", "TRACKING", "on", "BCAST", "PREFIX"}, "ERR syntax error");
  fails({"CLIENT", "TRACKING", "off", "REDIRECT"}, "ERR syntax error");
  fails({"CLIENT", "TRACKING", "off", "REDIRECT", "x"}, "ERR value is not an integer or out of range");
  fails({"CLIENT", "TRACKING", "on", "REDIRECT", "0"}, "ERR The client ID you want redirect to does not exist");
  const std::string id = std::to_string(server.session.id);
  fails({"CLIENT", "TRACKING", "on", "REDIRECT", id, "REDIRECT", id},
        "ERR A client can only redirect to a single other client");
  fails({"CLIENT", "TRACKING", "on", "PREFIX", "x"}, "ERR PREFIX option requires BCAST mode to be enabled");
  fails({"CLIENT", "TRACKING", "on", "BCAST", "OPTOUT"}, "ERR OPTIN and OPTOUT are not compatible with BCAST");
  fails({"CLIENT", "TRACKING", "on", "OPTIN", "OPTOUT"}, "ERR You can't specify both OPTIN mode and OPTOUT mode");
  fails({"CLIENT", "CACHING", "yes"},
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled");
  EXPECT_EQ(server.Run({"CLIENT", "TRACKING", "on", "OPTIN"}), kOk);
  fails({"CLIENT", "TRACKING", "on", "OPTOUT"},
        "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it "
        "with a different mode.");
  fails({"CLIENT", "TRACKING", "on", "BCAST"},
        "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it "
        "with a different mode.");
  fails({"CLIENT", "CACHING", "no"}, "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
  fails({"CLIENT", "CACHING", "perhaps"}, "ERR syntax error");
  EXPECT_EQ(server.Run({"CLIENT", "TRACKINGINFO"}), Info({"on", "optin"}, 0, {}));
}

}  // namespace
}  // namespace sherd
