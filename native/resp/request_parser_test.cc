// The request parser against recorded answers of redis-server, and against itself: a byte stream
// gives the same commands and the same error however it is cut.
#include "resp/request_parser.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/strings.h"
#include "test/test.h"

namespace sherd::resp {

namespace {

using std::string_view_literals::operator""sv;

struct ProtocolCase {
  std::string_view name;
  bool is_authenticated;
  // Input: prefix, fill repeated, suffix.
  std::string_view prefix;
  char fill;
  size_t fill_count;
  std::string_view suffix;
  bool closes;
  // Reply: head, fill repeated, tail.
  std::string_view reply_head;
  size_t reply_fill_count;
  std::string_view reply_tail;
};
const ProtocolCase kCases[] = {
#include "test/data/protocol_cases.inc"
};

// What redis-server answers to the few commands of the recorded cases.
std::string ReplyTo(const std::vector<std::string_view>& args, bool is_authenticated) {
  std::string reply;
  if (EqualsIgnoreCase(args[0], "echo")) {
    if (args.size() != 2) return "-ERR wrong number of arguments for 'echo' command\r\n";
    if (!is_authenticated) return "-NOAUTH Authentication required.\r\n";
    reply = "$" + std::to_string(args[1].size()) + "\r\n";
    return reply.append(args[1]).append("\r\n");
  }
  reply.append("-ERR unknown command '").append(args[0]).append("', with args beginning with: ");
  for (size_t i = 1; i < args.size(); i++) reply.append("'").append(args[i]).append("' ");
  return reply.append("\r\n");
}

// Feeds `input` to a parser; after every kNeedMore it sees `next_piece()` bytes more. Each view
// that is parsed is a heap block of exactly its size, at a new address, so that a sanitizer sees a
// byte read too many and a view kept too long. `on_command` gets the arguments; returns the error
// or "".
template <typename NextPiece, typename OnCommand>
std::string Feed(std::string_view input, const ParserLimits& limits, NextPiece next_piece,
                 OnCommand on_command) {
  RequestParser parser;
  size_t start = 0;
  size_t visible = std::min(input.size(), next_piece());
  while (true) {
    const size_t size = visible - start;
    const std::unique_ptr<char[]> block(new char[size]);
    if (size != 0) std::memcpy(block.get(), input.data() + start, size);
    const ParseStatus status = parser.Parse({block.get(), size}, limits);
    if (status == ParseStatus::kError) return std::string(parser.error());
    if (status == ParseStatus::kNeedMore) {
      if (visible == input.size()) return "";
      visible = std::min(input.size(), visible + next_piece());
      continue;
    }
    EXPECT_GT(parser.consumed(), size_t{0});
    EXPECT_LE(parser.consumed(), size);
    if (status == ParseStatus::kCommand) {
      EXPECT_FALSE(parser.args().empty());
      on_command(parser.args());
    }
    start += parser.consumed();
  }
}

template <typename NextPiece>
void CheckCase(const ProtocolCase& c, NextPiece next_piece, const char* how) {
  const std::string input =
      std::string(c.prefix) + std::string(c.fill_count, c.fill) + std::string(c.suffix);
  const std::string expected = std::string(c.reply_head) + std::string(c.reply_fill_count, c.fill) +
                               std::string(c.reply_tail);
  ParserLimits limits;
  limits.authenticated = c.is_authenticated;
  std::string reply;
  const std::string error =
      Feed(input, limits, next_piece, [&](const std::vector<std::string_view>& args) {
        reply += ReplyTo(args, c.is_authenticated);
      });
  if (!error.empty()) {
    reply += "-ERR " + error + "\r\n";
    for (size_t i = 0; i + 2 < reply.size(); i++) {
      if (reply[i] == '\r' || reply[i] == '\n') {
        if (reply.size() - i > 2 && reply[i - 1] == '\'') reply[i] = ' ';  // as ReplyBuilder::Error
      }
    }
  }
  EXPECT_MSG(reply == expected, std::string(c.name) + " (" + how + "): " + test::Quoted(reply) +
                                    " instead of " + test::Quoted(expected));
  EXPECT_MSG(c.closes == !error.empty(), std::string(c.name) + " (" + how + ")");
}

std::string Multibulk(const std::vector<std::string>& args) {
  std::string text = "*" + std::to_string(args.size()) + "\r\n";
  for (const std::string& arg : args) {
    text += "$" + std::to_string(arg.size()) + "\r\n" + arg + "\r\n";
  }
  return text;
}

std::vector<std::string> Copied(const std::vector<std::string_view>& args) {
  return {args.begin(), args.end()};
}

}  // namespace

TEST(request_parser_answers_as_redis_at_once) {
  for (const ProtocolCase& c : kCases)
    CheckCase(
        c, [] { return SIZE_MAX / 2; }, "at once");
}

TEST(request_parser_answers_as_redis_byte_by_byte) {
  for (const ProtocolCase& c : kCases) {
    if (c.fill_count < 1000)
      CheckCase(
          c, [] { return size_t{1}; }, "byte by byte");
  }
}

TEST(request_parser_answers_as_redis_in_random_pieces) {
  Random random(test::Seed());
  for (const ProtocolCase& c : kCases) {
    const size_t longest = c.fill_count < 1000 ? 20 : 20'000;
    CheckCase(
        c, [&] { return 1 + random.Below(longest); }, "in pieces");
  }
}

TEST(request_parser_reads_back_random_commands) {
  Random random(test::Seed());
  for (int round = 0; round < 200; round++) {
    std::vector<std::vector<std::string>> commands(1 + random.Below(5));
    std::string input;
    for (auto& command : commands) {
      command.resize(1 + random.Below(random.OneIn(20) ? 300 : 6));
      for (std::string& arg : command) {
        arg.resize(random.Below(random.OneIn(50) ? 3000 : 20));
        for (char& c : arg)
          c = random.OneIn(4) ? "\r\n$*\0"[random.Below(5)] : static_cast<char>(random.Next());
      }
      if (random.OneIn(4)) input += random.OneIn(2) ? "\r\n" : "*0\r\n";
      input += Multibulk(command);
    }
    const size_t longest =
        random.OneIn(3) ? input.size() : 1 + input.size() / 100 + random.Below(40);
    std::vector<std::vector<std::string>> parsed;
    const std::string error = Feed(
        input, ParserLimits(), [&] { return 1 + random.Below(longest); },
        [&](const std::vector<std::string_view>& args) { parsed.push_back(Copied(args)); });
    EXPECT_EQ(error, "");
    EXPECT_TRUE(parsed == commands);
  }
}

TEST(request_parser_tells_how_many_bytes_a_bulk_wants) {
  RequestParser parser;
  const ParserLimits limits;
  const std::string head = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n";
  EXPECT_TRUE(parser.Parse(head, limits) == ParseStatus::kNeedMore);
  EXPECT_EQ(parser.bytes_wanted(), size_t{0});
  const std::string partial = head + "$1000\r\nabc";
  EXPECT_TRUE(parser.Parse(partial, limits) == ParseStatus::kNeedMore);
  EXPECT_EQ(parser.bytes_wanted(), head.size() + 7 + 1000 + 2);
  const std::string whole = head + "$1000\r\n" + std::string(1000, 'v') + "\r\n";
  EXPECT_EQ(whole.size(), parser.bytes_wanted());
  EXPECT_TRUE(parser.Parse(whole, limits) == ParseStatus::kCommand);
  EXPECT_EQ(parser.args()[2].size(), size_t{1000});
  EXPECT_EQ(parser.consumed(), whole.size());
}

TEST(request_parser_views_point_into_the_last_input) {
  RequestParser parser;
  const std::string first = "*2\r\n$4\r\nECHO\r\n$5\r\nhel";
  EXPECT_TRUE(parser.Parse(first, ParserLimits()) == ParseStatus::kNeedMore);
  const std::string second = "*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n";
  EXPECT_TRUE(parser.Parse(second, ParserLimits()) == ParseStatus::kCommand);
  EXPECT_TRUE(parser.args()[0].data() == second.data() + 8);
  EXPECT_TRUE(parser.args()[1].data() == second.data() + 18);
}

TEST(request_parser_reset_forgets_half_a_command) {
  RequestParser parser;
  EXPECT_TRUE(parser.Parse("*2\r\n$4\r\nEC", ParserLimits()) == ParseStatus::kNeedMore);
  parser.Reset();
  EXPECT_TRUE(parser.Parse("PING\r\n", ParserLimits()) == ParseStatus::kCommand);
  EXPECT_EQ(parser.args()[0], "PING");
}

TEST(request_parser_obeys_configured_limits) {
  RequestParser parser;
  ParserLimits limits;
  limits.max_bulk_length = 1024;
  EXPECT_TRUE(parser.Parse("*1\r\n$1025\r\n", limits) == ParseStatus::kError);
  EXPECT_EQ(parser.error(), "Protocol error: invalid bulk length");
  EXPECT_TRUE(parser.Parse("*1\r\n$1024\r\n", limits) == ParseStatus::kNeedMore);
  parser.Reset();
  limits.max_multibulk_length = 5;
  EXPECT_TRUE(parser.Parse("*6\r\n$1\r\na\r\n", limits) == ParseStatus::kError);
  EXPECT_EQ(parser.error(), "Protocol error: invalid multibulk length");
  limits.max_bulk_length = 10;
  limits.authenticated = false;
  EXPECT_TRUE(parser.Parse("*1\r\n$11\r\n", limits) == ParseStatus::kError);
  EXPECT_EQ(parser.error(), "Protocol error: invalid bulk length");
}

// A claim of two thousand million arguments or of 512 MB must not cost memory before the bytes are
// there.
TEST(request_parser_allocates_for_bytes_not_for_claims) {
  RequestParser parser;
  EXPECT_TRUE(parser.Parse("*2147483647\r\n$1\r\na\r\n", ParserLimits()) == ParseStatus::kNeedMore);
  EXPECT_LE(parser.args().capacity(), size_t{64});
}

TEST(request_parser_gives_memory_of_long_commands_back) {
  RequestParser parser;
  const std::string many = Multibulk(std::vector<std::string>(10'000, "x"));
  EXPECT_TRUE(parser.Parse(many, ParserLimits()) == ParseStatus::kCommand);
  EXPECT_EQ(parser.args().size(), size_t{10'000});
  EXPECT_TRUE(parser.Parse("*1\r\n$4\r\nPING\r\n", ParserLimits()) == ParseStatus::kCommand);
  EXPECT_LE(parser.args().capacity(), size_t{64});
}

}  // namespace sherd::resp
