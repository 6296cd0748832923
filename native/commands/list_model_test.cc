// Lists against a deque of strings through random commands, with thresholds that change on the way; the
// builder that RESTORE uses, iteration over elements and nodes, copies between shards, and memory.
#include <algorithm>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "commands/test_util.h"
#include "engine/list_value.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::Bulk;
using test::Integer;
using test::TestServer;
using Words = std::vector<std::string>;
using Twin = std::deque<std::string>;

constexpr const char* kOk = "+OK\r\n";

std::string Array(const Words& elements) {
  std::string reply = "*" + std::to_string(elements.size()) + "\r\n";
  for (const std::string& element : elements) reply += Bulk(element);
  return reply;
}

std::string All(TestServer& server, std::string_view key) {
  return server.Run({"LRANGE", key, "0", "-1"});
}

// ---- The twin ----

std::string TwinText(Random& random) {
  switch (random.Below(6)) {
    case 0: return std::to_string(static_cast<int64_t>(random.Next()) >> random.Below(64));
    case 1: return std::string(random.Below(200), 'z');
    case 2: return random.OneIn(5) ? std::string(3000 + random.Below(7000), 'L') : "medium";
    default: return std::to_string(random.Below(8));
  }
}

void PopFromBoth(Random& random, TestServer& server, Twin& twin, bool is_left) {
  const size_t count = std::min<size_t>(twin.size(), random.Below(twin.size() > 100 ? 40 : 4));
  const bool exists = !twin.empty();
  Words popped;
  for (size_t i = 0; i < count; i++) {
    popped.push_back(is_left ? twin.front() : twin.back());
    if (is_left) {
      twin.pop_front();
    } else {
      twin.pop_back();
    }
  }
  EXPECT_EQ(server.Run({is_left ? "LPOP" : "RPOP", "l", std::to_string(count)}),
            exists ? Array(popped) : "*-1\r\n");
}

void RemoveFromBoth(Random& random, TestServer& server, Twin& twin, bool is_left) {
  const std::string text = TwinText(random);
  const size_t limit = random.Below(3);
  const bool is_backward = !is_left && limit > 0;
  size_t removed = 0;
  Twin kept;
  if (is_backward) std::reverse(twin.begin(), twin.end());
  for (const std::string& element : twin) {
    const bool goes = element == text && (limit == 0 || removed < limit);
    removed += goes ? 1 : 0;
    if (!goes) kept.push_back(element);
  }
  if (is_backward) std::reverse(kept.begin(), kept.end());
  twin = kept;
  const std::string count = (is_backward ? "-" : "") + std::to_string(limit);
  EXPECT_EQ(server.Run({"LREM", "l", count, text}), Integer(static_cast<int64_t>(removed)));
}

void TrimBoth(Random& random, TestServer& server, Twin& twin) {
  const size_t rest = random.Below(3);
  if (twin.size() <= 2 * rest) return;
  const std::string stop = std::to_string(-1 - static_cast<int>(rest));
  EXPECT_EQ(server.Run({"LTRIM", "l", std::to_string(rest), stop}), kOk);
  twin.erase(twin.begin(), twin.begin() + static_cast<std::ptrdiff_t>(rest));
  twin.erase(twin.end() - static_cast<std::ptrdiff_t>(rest), twin.end());
}

void InsertIntoBoth(Random& random, TestServer& server, Twin& twin, bool is_left) {
  const std::string text = TwinText(random);
  const auto pivot = std::find(twin.begin(), twin.end(), text);
  if (pivot == twin.end()) return;
  twin.insert(pivot + (is_left ? 0 : 1), "inserted");
  EXPECT_EQ(server.Run({"LINSERT", "l", is_left ? "BEFORE" : "AFTER", text, "inserted"}),
            Integer(static_cast<int64_t>(twin.size())));
}

void PushToBoth(Random& random, TestServer& server, Twin& twin, bool is_left) {
  const std::string first = TwinText(random);
  const std::string second = TwinText(random);
  twin.insert(is_left ? twin.begin() : twin.end(), first);
  twin.insert(is_left ? twin.begin() : twin.end(), second);
  EXPECT_EQ(server.Run({is_left ? "LPUSH" : "RPUSH", "l", first, second}),
            Integer(static_cast<int64_t>(twin.size())));
}

void StepBoth(Random& random, TestServer& server, Twin& twin) {
  const bool is_left = random.OneIn(2);
  switch (twin.empty() ? 6 : random.Below(twin.size() > 150 ? 6 : 9)) {
    case 0: return PopFromBoth(random, server, twin, is_left);
    case 1: return RemoveFromBoth(random, server, twin, is_left);
    case 2: {
      const size_t index = random.Below(twin.size());
      twin[index] = TwinText(random);
      EXPECT_EQ(server.Run({"LSET", "l", std::to_string(index), twin[index]}), kOk);
      return;
    }
    case 3: return TrimBoth(random, server, twin);
    case 4:
      EXPECT_EQ(server.Run({"LMOVE", "l", "l", "LEFT", "RIGHT"}), Bulk(twin.front()));
      twin.push_back(twin.front());
      twin.pop_front();
      return;
    case 5: return InsertIntoBoth(random, server, twin, is_left);
    default: return PushToBoth(random, server, twin, is_left);
  }
}

TEST(list_commands_behave_like_a_deque) {
  Random random(test::Seed());
  for (int round = 0; round < 40; round++) {
    TestServer server(round % 2 == 0 ? 1 : 4);
    Twin twin;
    for (int step = 0; step < 250; step++) {
      if (random.OneIn(40)) {
        const int64_t fill = random.OneIn(2) ? random.Between(-6, -1) : random.Between(0, 20);
        server.engine().options().list_max_listpack_size.Set(fill);
        server.engine().options().list_compress_depth.Set(random.Between(0, 3));
      }
      StepBoth(random, server, twin);
      EXPECT_EQ(server.Run({"LLEN", "l"}), Integer(static_cast<int64_t>(twin.size())));
      if (step % 10 != 0) continue;
      server.Validate();
      EXPECT_EQ(All(server, "l"), Array(Words(twin.begin(), twin.end())));
    }
    // Equal elements have equal digests, however they are stored.
    server.engine().options().list_max_listpack_size.Set(random.Between(-5, 10));
    for (const std::string& element : twin) server.Run({"RPUSH", "again", element});
    const std::string digests = server.Run({"DEBUG", "DIGEST-VALUE", "l", "again"});
    constexpr size_t kDigest = 43;  // "+", 40 digits, CRLF
    if (!twin.empty()) EXPECT_EQ(digests.substr(4, kDigest), digests.substr(4 + kDigest, kDigest));
  }
}

// ---- Whole values ----

TEST(list_survives_copies_and_moves_between_shards) {
  TestServer server(8);
  server.engine().options().list_max_listpack_size.Set(3);
  server.engine().options().list_compress_depth.Set(1);
  const std::string text(60, 'c');
  for (int i = 0; i < 20; i++) server.Run({"RPUSH", "source", text, std::to_string(i)});
  const std::string all = All(server, "source");
  for (int i = 0; i < 8; i++) {
    const std::string copy = "copy" + std::to_string(i);
    EXPECT_EQ(server.Run({"COPY", "source", copy}), Integer(1));
    EXPECT_EQ(All(server, copy), all);
    EXPECT_EQ(server.encoding(copy), "quicklist");
    const std::string moved = "moved" + std::to_string(i);
    EXPECT_EQ(server.Run({"RENAME", copy, moved}), kOk);
    EXPECT_EQ(All(server, moved), all);
    EXPECT_EQ(server.Run({"SET", moved, "string"}), kOk);
  }
  server.Validate();
}

TEST(list_memory_comes_back) {
  TestServer server;
  engine::Keyspace& keyspace = server.engine().keyspace(0);
  const auto used = [&] { return keyspace.heap().used_bytes(); };
  server.Run({"SET", "warm", "up"});
  const size_t before = used();
  for (int i = 0; i < 30000; i++) server.Run({"RPUSH", "l", "element:" + std::to_string(i)});
  EXPECT_TRUE(used() > before + size_t{30000} * 10);
  // Nodes of 8 KB hold more than 500 elements of at most 15 bytes, and cost 8240 bytes each.
  EXPECT_LE(used() - before, size_t{30000} / 500 * 8240 + 1000);
  server.Run({"DEL", "l"});
  for (int slices = 0; keyspace.FreeDeferred(1) && slices < 1000; slices++) {
  }
  EXPECT_EQ(used(), before);
}

// ---- Builder and iteration ----

/// Puts what was built under "built"; false: it is empty.
bool Place(TestServer& server, engine::ListBuilder& builder) {
  const engine::ListBuilder::Value value = builder.Finish();
  if (value.payload == nullptr) return false;
  const engine::Key key = server.engine().MakeKey("built");
  engine::Keyspace& keyspace = server.engine().keyspace(key.shard);
  keyspace.SetValue(0, key, keyspace.Find(0, key), engine::Type::kList, value.encoding,
                    reinterpret_cast<uint64_t>(value.payload), engine::kNoExpiry);
  server.Validate();
  return true;
}

TEST(list_builder_builds_what_commands_would) {
  TestServer server;
  server.engine().options().list_max_listpack_size.Set(-1);
  SlabHeap& heap = server.engine().keyspace(0).heap();
  const auto limits = engine::ListLimits::Of(server.engine().options());
  {
    engine::ListBuilder builder(heap, limits);
    EXPECT_FALSE(Place(server, builder));
  }
  {
    engine::ListBuilder builder(heap, limits);
    for (int i = 0; i < 10; i++) builder.Append(std::to_string(i));
    EXPECT_EQ(builder.count(), 10u);
    EXPECT_TRUE(Place(server, builder));
    EXPECT_EQ(server.encoding("built"), "listpack");
  }
  {
    engine::ListBuilder given_up(heap, limits);
    given_up.AppendPlain("x");
  }
  // Valid, but "5" as text: it must be found as what it is.
  const std::string odd("\xA\0\0\0\1\0\x81\x35\2\xFF", 10);
  engine::ListBuilder builder(heap, limits);
  builder.AppendPack(odd);
  builder.AppendPack(std::string("\7\0\0\0\0\0\xFF", 7));
  builder.AppendPlain("bare");
  builder.AppendPlain("");
  EXPECT_TRUE(Place(server, builder));
  EXPECT_EQ(server.encoding("built"), "quicklist");
  EXPECT_EQ(All(server, "built"), Array({"5", "bare", ""}));
  EXPECT_EQ(server.Run({"LPOS", "built", "5"}), Integer(0));
}

TEST(list_iterates_over_elements_and_nodes) {
  TestServer server;
  server.engine().options().list_max_listpack_size.Set(-1);
  SlabHeap& heap = server.engine().keyspace(0).heap();
  engine::ListBuilder builder(heap, engine::ListLimits::Of(server.engine().options()));
  builder.AppendPlain("bare");
  builder.Append("5");
  builder.Append("text");
  EXPECT_TRUE(Place(server, builder));
  const engine::Key key = server.engine().MakeKey("built");
  const engine::Entry& entry = *server.engine().keyspace(0).Find(0, key).entry();
  Words nodes;
  engine::ForEachListNode(entry, [&](std::string_view bytes, bool is_plain) {
    nodes.push_back((is_plain ? "plain " : "packed ") + std::to_string(bytes.size()));
    return true;
  });
  EXPECT_TRUE(nodes == Words({"plain 4", "packed 15"}));
  Words elements;
  engine::ForEachListElement(entry, [&](std::string_view element) {
    elements.emplace_back(element);
    return elements.size() < 2;
  });
  EXPECT_TRUE(elements == Words({"bare", "5"}));
}

}  // namespace
}  // namespace sherd
