// Reply shapes in both protocols, and the output buffer against a plain string as its model.
#include "resp/reply_builder.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "test/test.h"

namespace sherd::resp {

namespace {

using std::string_view_literals::operator""sv;

// A shared value that counts its references.
class CountedBlock final : public SharedBlock {
 public:
  explicit CountedBlock(std::string bytes) : bytes_(std::move(bytes)) {}
  void Ref() override { refs_++; }
  void Unref() override { refs_--; }
  int refs() const { return refs_; }
  std::string_view bytes() const { return bytes_; }

 private:
  std::string bytes_;
  int refs_ = 0;
};

std::string Content(const OutputBuffer& buffer) {
  std::vector<std::string_view> pieces(64);
  size_t count = buffer.Peek(pieces.data(), pieces.size());
  while (count == pieces.size()) {
    pieces.resize(2 * count);
    count = buffer.Peek(pieces.data(), pieces.size());
  }
  pieces.resize(count);
  std::string text;
  for (const std::string_view piece : pieces) text += piece;
  return text;
}

template <typename Write>
std::string Reply(int resp, Write write) {
  OutputBuffer buffer;
  ReplyBuilder builder(&buffer, resp);
  write(builder);
  return Content(buffer);
}

// Both protocols at once: EXPECT_REPLY(code, RESP2, RESP3).
#define EXPECT_REPLY(call, resp2, resp3)                                 \
  do {                                                                   \
    EXPECT_EQ(Reply(2, [](ReplyBuilder& reply) { reply.call; }), resp2); \
    EXPECT_EQ(Reply(3, [](ReplyBuilder& reply) { reply.call; }), resp3); \
  } while (0)

}  // namespace

TEST(reply_builder_shapes) {
  EXPECT_REPLY(Ok(), "+OK\r\n", "+OK\r\n");
  EXPECT_REPLY(SimpleString("a\rb\nc\r\n"), "+a b c  \r\n", "+a b c  \r\n");
  EXPECT_REPLY(Error("ERR no\r\nway\r\n"), "-ERR no  way\r\n", "-ERR no  way\r\n");
  EXPECT_REPLY(Integer(0), ":0\r\n", ":0\r\n");
  EXPECT_REPLY(Integer(INT64_MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n");
  EXPECT_REPLY(Bulk(""), "$0\r\n\r\n", "$0\r\n\r\n");
  EXPECT_REPLY(Bulk("a\0\r\n"sv), "$4\r\na\0\r\n\r\n"sv, "$4\r\na\0\r\n\r\n"sv);
  EXPECT_REPLY(Bulk("0123456789ab"), "$12\r\n0123456789ab\r\n", "$12\r\n0123456789ab\r\n");
  EXPECT_REPLY(BulkInteger(-42), "$3\r\n-42\r\n", "$3\r\n-42\r\n");
  EXPECT_REPLY(Null(), "$-1\r\n", "_\r\n");
  EXPECT_REPLY(NullArray(), "*-1\r\n", "_\r\n");
  EXPECT_REPLY(EmptyArray(), "*0\r\n", "*0\r\n");
  EXPECT_REPLY(Array(1234), "*1234\r\n", "*1234\r\n");
  EXPECT_REPLY(Map(3), "*6\r\n", "%3\r\n");
  EXPECT_REPLY(Set(3), "*3\r\n", "~3\r\n");
  EXPECT_REPLY(Push(3), "*3\r\n", ">3\r\n");
  EXPECT_REPLY(Double(0.1), "$3\r\n0.1\r\n", ",0.1\r\n");
  EXPECT_REPLY(Double(-1.0 / 0.0), "$4\r\n-inf\r\n", ",-inf\r\n");
  EXPECT_REPLY(Double(3), "$1\r\n3\r\n", ",3\r\n");
  EXPECT_REPLY(Bool(true), ":1\r\n", "#t\r\n");
  EXPECT_REPLY(Bool(false), ":0\r\n", "#f\r\n");
  EXPECT_REPLY(BigNumber("123"), "$3\r\n123\r\n", "(123\r\n");
  EXPECT_REPLY(Verbatim("a\r\nb", "txt"), "$4\r\na\r\nb\r\n", "=8\r\ntxt:a\r\nb\r\n");
  EXPECT_REPLY(Raw(":1\r\n"), ":1\r\n", ":1\r\n");
  EXPECT_EQ(Reply(3, [](ReplyBuilder& reply) { reply.Attribute(1); }), "|1\r\n");
}

TEST(reply_builder_remembers_errors) {
  OutputBuffer buffer;
  ReplyBuilder reply(&buffer, 2);
  EXPECT_EQ(reply.errors(), 0u);
  reply.Error("WRONGTYPE Operation against a key");
  EXPECT_EQ(reply.last_error_code(), "WRONGTYPE");
  reply.Error("CUSTOM");
  EXPECT_EQ(reply.last_error_code(), "CUSTOM");
  reply.Error(std::string(100, 'X'));
  EXPECT_EQ(reply.last_error_code(), std::string(31, 'X'));
  reply.Error("");
  EXPECT_EQ(reply.last_error_code(), "");
  EXPECT_EQ(reply.errors(), 4u);
}

TEST(output_buffer_refers_to_large_values) {
  CountedBlock value(std::string(100'000, 'v'));
  {
    OutputBuffer buffer;
    ReplyBuilder reply(&buffer, 2);
    reply.BulkShared(value.bytes(), &value);
    EXPECT_EQ(value.refs(), 1);
    EXPECT_GE(buffer.memory(), value.bytes().size());
    std::string_view pieces[8];
    const size_t count = buffer.Peek(pieces, 8);
    ASSERT_EQ(count, size_t{3});
    EXPECT_TRUE(pieces[1].data() == value.bytes().data());
    buffer.Consume(9 + 50'000);
    EXPECT_EQ(value.refs(), 1);
    buffer.Consume(50'000);
    EXPECT_EQ(value.refs(), 0);
    EXPECT_EQ(Content(buffer), "\r\n");
    reply.BulkShared(value.bytes(), &value);
  }
  EXPECT_EQ(value.refs(), 0);
}

TEST(output_buffer_borrows_scratch) {
  std::vector<char> scratch(64);
  OutputBuffer buffer;
  buffer.AttachScratch(scratch.data(), scratch.size());
  buffer.Append("hello");
  EXPECT_EQ(buffer.memory(), size_t{0});
  std::string_view piece;
  EXPECT_EQ(buffer.Peek(&piece, 1), size_t{1});
  EXPECT_TRUE(piece.data() == scratch.data());
  buffer.Consume(5);
  buffer.Append("again");
  EXPECT_EQ(buffer.Peek(&piece, 1), size_t{1});
  EXPECT_TRUE(piece.data() == scratch.data());
  buffer.Append(std::string(100, 'x'));
  buffer.Consume(2);
  buffer.DetachScratch();
  std::fill(scratch.begin(), scratch.end(), '!');
  EXPECT_EQ(Content(buffer), "ain" + std::string(100, 'x'));
  buffer.Consume(buffer.size());
  EXPECT_EQ(buffer.memory(), size_t{0});
  buffer.AttachScratch(scratch.data(), scratch.size());
  buffer.DetachScratch();
  EXPECT_TRUE(buffer.empty());
}

TEST(output_buffer_borrows_what_goes_to_many) {
  std::string log = std::string(300, 'a') + std::string(300, 'b') + "short";
  OutputBuffer buffer;
  buffer.AppendBorrowed(std::string_view(log).substr(0, 300));
  buffer.AppendBorrowed(std::string_view(log).substr(300, 300));
  EXPECT_EQ(buffer.memory(), size_t{0});
  std::string_view pieces[4];
  EXPECT_EQ(buffer.Peek(pieces, 4), size_t{1});  // they continue each other
  EXPECT_TRUE(pieces[0].data() == log.data() && pieces[0].size() == 600);
  buffer.Append("own");
  buffer.AppendBorrowed(std::string_view(log).substr(600));  // too short to stand alone
  buffer.Consume(100);
  const std::string expected = log.substr(100, 500) + "ownshort";
  EXPECT_EQ(Content(buffer), expected);
  buffer.OwnBorrowed();
  std::fill(log.begin(), log.end(), '?');
  EXPECT_EQ(Content(buffer), expected);
  buffer.Consume(buffer.size());
  EXPECT_EQ(buffer.memory(), size_t{0});
}

// A piece set aside, filled when more has been written behind it. Returns what was appended.
std::string AppendAroundPiece(Random& random, OutputBuffer* buffer) {
  const size_t piece = buffer->SetPieceAside(1 + random.Below(30));
  const std::string behind(random.Below(700), 'b');
  buffer->Append(behind);
  buffer->FillPiece(piece, "p");
  return "p" + behind;
}

std::string RandomText(Random& random, char byte) {
  return std::string(random.Below(random.OneIn(5) ? 5000 : 60), byte);
}

// Two buffers and the strings that they must be equal to; all that may be done to them, at random.
struct BufferPair {
  explicit BufferPair(Random& random)
      : random(random), value(std::string(1 + random.Below(3000), 'S')) {
    scratches[0].resize(1 + random.Below(2000));
    scratches[1].resize(100);
  }

  void OwnBorrowed(size_t which) {
    buffers[which].OwnBorrowed();
    std::fill(logs[which].begin(), logs[which].end(), '?');
    log_sizes[which] = 0;
  }

  void AppendText(size_t i, int step) {
    const std::string text = RandomText(random, static_cast<char>('a' + step % 26));
    buffers[i].Append(text);
    models[i] += text;
  }

  void AppendShared(size_t i) {
    const std::string_view part = value.bytes().substr(random.Below(value.bytes().size()));
    buffers[i].AppendShared(part, &value);
    models[i] += part;
  }

  void AppendOther(size_t i) {
    OwnBorrowed(1 - i);
    buffers[i].AppendBuffer(buffers[1 - i]);
    models[i] += models[1 - i];
    models[1 - i].clear();
    marks[0].is_valid = marks[1].is_valid = false;
  }

  void AppendBorrowed(size_t i, int step) {
    const size_t size = random.Below(random.OneIn(3) ? 1000 : 300);
    if (log_sizes[i] + size > logs[i].size()) OwnBorrowed(i);
    char* place = logs[i].data() + log_sizes[i];
    log_sizes[i] += size;
    std::fill(place, place + size, static_cast<char>('A' + step % 26));
    buffers[i].AppendBorrowed({place, size});
    models[i].append(place, size);
  }

  void Consume(size_t i) {
    const size_t size = random.OneIn(3) ? models[i].size() : random.Below(models[i].size() + 1);
    buffers[i].Consume(size);
    models[i].erase(0, size);
    marks[i].is_valid = false;
  }

  void ChangeScratch(size_t i) {
    if (has_scratch[i]) {
      buffers[i].DetachScratch();
      std::fill(scratches[i].begin(), scratches[i].end(), '?');
      has_scratch[i] = false;
      marks[i].is_valid = false;
    } else if (models[i].empty()) {
      buffers[i].AttachScratch(scratches[i].data(), scratches[i].size());
      has_scratch[i] = true;
    }
  }

  void Truncate(size_t i) {
    if (!marks[i].is_valid) return;
    buffers[i].Truncate(marks[i].mark);
    models[i].resize(marks[i].size);
    marks[i].is_valid = random.OneIn(2);
  }

  void Step(int step) {
    const size_t i = random.Below(2);
    switch (random.Below(13)) {
      case 0:
      case 1:
      case 2: AppendText(i, step); break;
      case 3: AppendShared(i); break;
      case 4:
      case 5: Consume(i); break;
      case 6: AppendOther(i); break;
      case 7: ChangeScratch(i); break;
      case 8: marks[i] = {buffers[i].GetMark(), models[i].size(), true}; break;
      case 9: models[i] += AppendAroundPiece(random, &buffers[i]); break;
      case 10: AppendBorrowed(i, step); break;
      case 11: OwnBorrowed(i); break;
      default: Truncate(i); break;
    }
    ASSERT_EQ(buffers[i].size(), models[i].size());
  }

  struct MarkOf {
    OutputBuffer::Mark mark;
    size_t size;
    bool is_valid = false;
  };

  Random& random;
  CountedBlock value;
  std::vector<char> scratches[2];
  OutputBuffer buffers[2];
  std::string models[2];
  bool has_scratch[2] = {};
  std::string logs[2] = {std::string(20'000, '-'), std::string(20'000, '-')};
  size_t log_sizes[2] = {};
  MarkOf marks[2];
};

// Random operations on two buffers, compared with strings after each; references and memory must
// balance.
TEST(output_buffer_behaves_like_a_string) {
  Random random(test::Seed());
  for (int round = 0; round < 60; round++) {
    BufferPair pair(random);
    for (int step = 0; step < 100; step++) {
      pair.Step(step);
      ASSERT_EQ(Content(pair.buffers[0]), pair.models[0]);
      ASSERT_EQ(Content(pair.buffers[1]), pair.models[1]);
    }
    for (OutputBuffer& buffer : pair.buffers) {
      buffer.Consume(buffer.size());
      EXPECT_EQ(buffer.memory(), size_t{0});
    }
    EXPECT_EQ(pair.value.refs(), 0);
  }
}

TEST(reply_builder_counts_elements_afterwards) {
  for (const int resp : {2, 3}) {
    for (const size_t count : {size_t{0}, size_t{1}, size_t{9}, size_t{100}, size_t{5000}}) {
      OutputBuffer buffer;
      std::vector<char> scratch(100);
      buffer.AttachScratch(scratch.data(), scratch.size());
      std::string expected = "+OK\r\n";
      ReplyBuilder reply(&buffer, resp);
      reply.Ok();
      for (const bool is_set : {false, true}) {
        expected += (is_set && resp == 3 ? "~" : "*") + std::to_string(count) + "\r\n";
        reply.BeginDeferred();
        for (size_t i = 0; i < count; i++) {
          reply.Bulk("x");
          expected += "$1\r\nx\r\n";
        }
        if (is_set) {
          reply.EndSet(count);
        } else {
          reply.EndArray(count);
        }
      }
      reply.Integer(7);
      expected += ":7\r\n";
      EXPECT_EQ(Content(buffer), expected);
      EXPECT_EQ(buffer.size(), expected.size());
      buffer.DetachScratch();
      EXPECT_EQ(Content(buffer), expected);
      buffer.Consume(expected.size());
      EXPECT_EQ(buffer.memory(), size_t{0});
    }
  }
}

TEST(bulk_writer_writes_what_bulk_writes) {
  Random random(test::Seed());
  for (int round = 0; round < 50; round++) {
    OutputBuffer buffer;
    OutputBuffer expected;
    ReplyBuilder reply(&buffer, 2);
    ReplyBuilder plain(&expected, 2);
    {
      BulkWriter writer(reply);
      for (uint64_t count = random.Below(300); count > 0; count--) {
        std::string text(random.OneIn(10) ? random.Below(3000) : random.Below(40), '\0');
        for (char& byte : text) byte = static_cast<char>(random.Next());
        writer.Add(text);
        plain.Bulk(text);
      }
    }
    reply.Ok();
    plain.Ok();
    ASSERT_EQ(Content(buffer), Content(expected));
  }
}

TEST(output_buffer_peek_respects_its_bound) {
  CountedBlock value("shared");
  OutputBuffer buffer;
  for (int i = 0; i < 10; i++) {
    buffer.Append("own");
    buffer.AppendShared(value.bytes(), &value);
  }
  std::string_view pieces[4];
  EXPECT_EQ(buffer.Peek(pieces, 4), size_t{4});
  EXPECT_EQ(pieces[2], "own");
  EXPECT_EQ(pieces[3], "shared");
  EXPECT_EQ(buffer.size(), size_t{90});
}

}  // namespace sherd::resp
