// Micro-benchmarks of resp: parsing of pipelined requests and building of replies.
#include <string>
#include <vector>

#include "base/check.h"
#include "bench/bench.h"
#include "resp/reply_builder.h"
#include "resp/request_parser.h"

namespace sherd::resp {

namespace {

using bench::Keep;

constexpr int kPipeline = 50;

std::string Command(const std::vector<std::string>& args) {
  std::string text = "*" + std::to_string(args.size()) + "\r\n";
  for (const std::string& arg : args) {
    text += "$" + std::to_string(arg.size()) + "\r\n" + arg + "\r\n";
  }
  return text;
}

std::string Key(int i) { return "key:" + std::to_string(100000000000 + i * 7919); }

void ParsePipeline(bench::Bench& bench, const std::string& input) {
  RequestParser parser;
  const ParserLimits limits;
  bench.RunBatch(kPipeline, [&] {
    std::string_view rest = input;
    while (!rest.empty()) {
      CHECK(parser.Parse(rest, limits) == ParseStatus::kCommand);
      Keep(parser.args().data());
      rest.remove_prefix(parser.consumed());
    }
  });
}

std::string Repeated(std::vector<std::string> (*command)(int)) {
  std::string input;
  for (int i = 0; i < kPipeline; i++) input += Command(command(i));
  return input;
}

// Writes kPipeline replies into scratch and takes them off again, as one turn of the loop does.
template <typename Write>
void Build(bench::Bench& bench, Write write) {
  std::vector<char> scratch(64 * 1024);
  OutputBuffer buffer;
  buffer.AttachScratch(scratch.data(), scratch.size());
  ReplyBuilder reply(&buffer, 2);
  bench.RunBatch(kPipeline, [&] {
    for (int i = 0; i < kPipeline; i++) write(reply, i);
    Keep(scratch.data());
    buffer.Consume(buffer.size());
  });
}

}  // namespace

BENCH(parse_set_pipelined) {
  ParsePipeline(bench, Repeated([](int i) {
                  return std::vector<std::string>{"SET", Key(i), "xxx"};
                }));
}
BENCH(parse_get_pipelined) {
  ParsePipeline(bench, Repeated([](int i) { return std::vector<std::string>{"GET", Key(i)}; }));
}
BENCH(parse_set_512_bytes_pipelined) {
  ParsePipeline(bench, Repeated([](int i) {
                  return std::vector<std::string>{"SET", Key(i), std::string(512, 'x')};
                }));
}
BENCH(parse_mset_10_pipelined) {
  ParsePipeline(bench, Repeated([](int i) {
                  std::vector<std::string> args = {"MSET"};
                  for (int k = 0; k < 10; k++) {
                    args.push_back(Key(10 * i + k));
                    args.emplace_back("xxx");
                  }
                  return args;
                }));
}
BENCH(parse_ping_inline_pipelined) {
  std::string input;
  for (int i = 0; i < kPipeline; i++) input += "PING\r\n";
  ParsePipeline(bench, input);
}
BENCH(parse_set_split_in_two) {
  const std::string command = Command({"SET", Key(1), "xxx"});
  RequestParser parser;
  const ParserLimits limits;
  bench.Run([&](uint64_t i) {
    const std::string_view half = std::string_view(command).substr(0, 1 + i % (command.size() - 1));
    CHECK(parser.Parse(half, limits) == ParseStatus::kNeedMore);
    CHECK(parser.Parse(command, limits) == ParseStatus::kCommand);
    Keep(parser.args().data());
  });
}

BENCH(reply_ok) {
  Build(bench, [](ReplyBuilder& reply, int) { reply.Ok(); });
}
BENCH(reply_integer) {
  Build(bench, [](ReplyBuilder& reply, int i) { reply.Integer(1000 + i); });
}
BENCH(reply_bulk_3_bytes) {
  Build(bench, [](ReplyBuilder& reply, int) { reply.Bulk("xxx"); });
}
BENCH(reply_bulk_512_bytes) {
  const std::string value(512, 'x');
  Build(bench, [&](ReplyBuilder& reply, int) { reply.Bulk(value); });
}
BENCH(reply_null) {
  Build(bench, [](ReplyBuilder& reply, int) { reply.Null(); });
}
BENCH(reply_error) {
  Build(bench, [](ReplyBuilder& reply, int) {
    reply.Error("WRONGTYPE Operation against a key holding the wrong kind of value");
  });
}

}  // namespace sherd::resp
