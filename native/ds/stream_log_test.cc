// StreamLog against a naive twin (a map from ids to pairs, a trie for Redis's radix tree), and
// stream nodes against their bytes and against hostile ones.
#include "ds/stream_log.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "test/test.h"

namespace sherd::ds {
namespace {

using Pairs = std::vector<std::string>;
using Key = std::pair<uint64_t, uint64_t>;
using Model = std::map<Key, Pairs>;

StreamId IdOf(Key key) { return {key.first, key.second}; }
Key KeyOf(StreamId id) { return {id.ms, id.seq}; }
std::vector<std::string_view> ViewsOf(const Pairs& pairs) { return {pairs.begin(), pairs.end()}; }

std::string TextOf(PackedValue value) {
  char digits[kInt64CharsMax];
  return std::string(value.View(digits));
}

Pairs PairsOf(StreamCursor& cursor) {
  Pairs pairs;
  cursor.ForEachField([&](PackedValue field, PackedValue value) {
    pairs.push_back(TextOf(field));
    pairs.push_back(TextOf(value));
  });
  return pairs;
}

// ---- The twin ----

// Mostly the same two fields, as in life; else others, integers, long ones.
Pairs RandomPairs(Random& random) {
  const auto text = [&random]() -> std::string {
    switch (random.Below(6)) {
      case 0: return std::to_string(random.Between(-70000, 70000));
      case 1: return std::to_string(static_cast<int64_t>(random.Next()));
      case 2: return "007";
      case 3: return std::string(random.Below(200), 'x');
      default: return "value:" + std::to_string(random.Below(100));
    }
  };
  if (random.Below(4) > 0) return {"temperature", text(), "12", text()};
  Pairs pairs;
  for (uint64_t i = 0; i <= random.Below(4); i++) {
    pairs.push_back(text());
    pairs.push_back(text());
  }
  return pairs;
}

void FreeAll(SlabHeap& heap, StreamLog& log) {
  while (!log.FreeSlice(heap)) {
  }
}

struct Rig {
  SlabHeap heap;
  StreamLog log;
  Model model;
  StreamId last;
  StreamNodeLimits limits;

  StreamId NextId(Random& random) {
    StreamId id = last;
    if (random.OneIn(4)) {
      id.ms += random.Below(300);
    } else if (random.OneIn(200)) {
      id.ms += random.Next() >> (8 + random.Below(50));
    }
    if (id.ms == last.ms) id.Increment();
    return id > last ? id : StreamId::Max();
  }
  void Append(Random& random) {
    const StreamId id = NextId(random);
    if (id == StreamId::Max()) return;
    const Pairs pairs = RandomPairs(random);
    log.Append(heap, id, ViewsOf(pairs), limits);
    model[KeyOf(id)] = pairs;
    last = id;
  }
  StreamId AnyId(Random& random) const {
    if (model.empty() || random.OneIn(4)) return {random.Below(last.ms + 2), random.Below(4)};
    auto at = model.lower_bound({random.Below(last.ms + 1), 0});
    if (at == model.end()) at = model.begin();
    return IdOf(at->first);
  }
  void Delete(Random& random) {
    const StreamId id = AnyId(random);
    EXPECT_EQ(log.Delete(heap, id), model.erase(KeyOf(id)) == 1);
  }
  void Trim(Random& random) {
    StreamTrim trim;
    trim.by_id = random.OneIn(2);
    trim.is_exact = random.OneIn(2);
    trim.min_id = AnyId(random);
    trim.length_max = random.Below(model.size() + 2);
    if (!trim.is_exact && random.OneIn(3)) trim.limit = random.Below(100);
    const size_t nodes = log.node_count();
    const uint64_t gone = log.Trim(heap, trim);
    // What an exact trim would have deleted; an approximate one deletes part of it, from the front.
    uint64_t due = 0;
    for (auto at = model.begin(); at != model.end(); ++at, due++) {
      if (trim.by_id ? IdOf(at->first) >= trim.min_id : model.size() - due <= trim.length_max)
        break;
    }
    if (trim.is_exact) EXPECT_EQ(gone, due);
    EXPECT_LE(gone, due);
    if (trim.limit != 0) EXPECT_LE(gone, trim.limit);
    // What an approximate trim leaves fits into one node, unless the limit stopped it.
    if (!trim.is_exact && trim.limit == 0 && limits.entries_max != 0) {
      EXPECT_LT(due - gone, limits.entries_max);
    }
    EXPECT_LE(log.node_count(), nodes);
    for (uint64_t i = 0; i < gone; i++) model.erase(model.begin());
  }
};

// Compares a range both ways, with the count of what is left from a random place on.
void CompareRange(const Rig& rig, StreamId start, StreamId end, Random& random) {
  std::vector<Model::const_iterator> expected;
  for (auto at = rig.model.lower_bound(KeyOf(start));
       at != rig.model.end() && IdOf(at->first) <= end; ++at) {
    expected.push_back(at);
  }
  if (start > end) expected.clear();
  for (const bool is_reverse : {false, true}) {
    StreamCursor cursor(rig.log, start, end, is_reverse);
    for (size_t i = 0; i < expected.size(); i++) {
      const auto at = is_reverse ? expected[expected.size() - 1 - i] : expected[i];
      ASSERT_TRUE(cursor.Next());
      EXPECT_TRUE(cursor.entry().id == IdOf(at->first));
      if (random.OneIn(40)) {
        EXPECT_EQ(cursor.CountRest(0), expected.size() - i);
        const uint64_t limit = 1 + random.Below(200);
        EXPECT_EQ(cursor.CountRest(limit), std::min<uint64_t>(limit, expected.size() - i));
      }
      if (!random.OneIn(5)) EXPECT_TRUE(PairsOf(cursor) == at->second);
    }
    EXPECT_FALSE(cursor.Next());
  }
}

void Compare(const Rig& rig, Random& random) {
  rig.log.Validate();
  EXPECT_EQ(rig.heap.used_bytes(), rig.log.memory());
  ASSERT_EQ(rig.log.length(), rig.model.size());
  StreamId id;
  EXPECT_EQ(rig.log.FirstId(&id), !rig.model.empty());
  if (!rig.model.empty()) {
    EXPECT_TRUE(id == IdOf(rig.model.begin()->first));
    EXPECT_TRUE(rig.log.LastId(&id));
    EXPECT_TRUE(id == IdOf(rig.model.rbegin()->first));
    EXPECT_TRUE(rig.log.LastStoredId(&id));
    EXPECT_TRUE(id >= IdOf(rig.model.rbegin()->first));
  }
  CompareRange(rig, StreamId::Min(), StreamId::Max(), random);
  for (int i = 0; i < 4; i++) {
    const StreamId any = rig.AnyId(random);
    EXPECT_EQ(rig.log.Contains(any), rig.model.count(KeyOf(any)) == 1);
    CompareRange(rig, any, rig.AnyId(random), random);
  }
}

TEST(stream_log_behaves_like_a_map) {
  Random random(test::Seed());
  for (int round = 0; round < 10; round++) {
    Rig rig;
    rig.limits.bytes_max = random.OneIn(3) ? 0 : 100 + random.Below(6000);
    rig.limits.entries_max = random.OneIn(5) ? 0 : 1 + random.Below(300);
    if (rig.limits.bytes_max + rig.limits.entries_max == 0) rig.limits.bytes_max = 100000;
    for (int phase = 0; phase < 8; phase++) {
      const uint64_t append_weight = phase % 2 == 0 ? 90 : 30;
      for (int i = 0; i < 400; i++) {
        if (random.Below(100) < append_weight) {
          rig.Append(random);
        } else {
          rig.Delete(random);
        }
        if (random.OneIn(300)) rig.Trim(random);
      }
      Compare(rig, random);
    }
    StreamLog copy;
    copy.CloneFrom(rig.heap, rig.log);
    copy.Validate();
    EXPECT_EQ(copy.length(), rig.log.length());
    FreeAll(rig.heap, copy);
    Compare(rig, random);
    FreeAll(rig.heap, rig.log);
    EXPECT_EQ(rig.heap.used_bytes(), 0u);
  }
}

TEST(stream_log_appends_below_what_was_deleted) {
  const std::string_view pair[] = {"a", "b"};
  for (const uint64_t entries_max : {1, 2, 3, 100, 1000}) {
    SlabHeap heap;
    StreamLog log;
    const StreamNodeLimits limits = {0, entries_max};
    for (uint64_t i = 1; i <= 300; i++) log.Append(heap, {i, 0}, pair, limits);
    // 120 stays; of its node, everything behind it is only marked.
    for (uint64_t i = 121; i <= 300; i++) EXPECT_TRUE(log.Delete(heap, {i, 0}));
    log.Append(heap, {121, 0}, pair, limits);
    log.Validate();
    EXPECT_EQ(log.length(), 121u);
    EXPECT_TRUE(log.Contains({121, 0}));
    EXPECT_TRUE(log.Delete(heap, {121, 0}));
    EXPECT_FALSE(log.Contains({121, 0}));
    // A node whose entries are all marked: its last one was deleted, the others trimmed.
    StreamTrim trim;
    trim.by_id = true;
    trim.min_id = {121, 0};
    log.Trim(heap, trim);
    log.Validate();
    EXPECT_EQ(log.length(), 0u);
    log.Append(heap, {1, 1}, pair, limits);
    log.Validate();
    StreamId id;
    EXPECT_TRUE(log.FirstId(&id));
    EXPECT_TRUE((id == StreamId{1, 1}));
    FreeAll(heap, log);
    EXPECT_EQ(heap.used_bytes(), 0u);
  }
}

TEST(stream_log_takes_its_own_nodes_back) {
  Random random(test::Seed());
  Rig rig;
  rig.limits.entries_max = 20;
  for (int i = 0; i < 2000; i++) rig.Append(random);
  for (int i = 0; i < 300; i++) rig.Delete(random);
  StreamLog copy;
  StreamId previous;
  rig.log.ForEachNode([&](StreamId master, std::string_view bytes) {
    EXPECT_TRUE(copy.AppendNode(rig.heap, master, bytes));
    EXPECT_FALSE(copy.AppendNode(rig.heap, master, bytes));  // not above what is there
    previous = master;
    return true;
  });
  EXPECT_FALSE(copy.AppendNode(rig.heap, StreamId::Max(), ""));
  EXPECT_EQ(copy.length(), rig.log.length());
  EXPECT_EQ(copy.node_count(), rig.log.node_count());
  EXPECT_EQ(copy.RadixNodeCount(), rig.log.RadixNodeCount());
  copy.Validate();
  // And goes on from there.
  const std::string_view pair[] = {"a", "b"};
  copy.Append(rig.heap, StreamId::Max(), pair, rig.limits);
  copy.Validate();
  FreeAll(rig.heap, copy);
  FreeAll(rig.heap, rig.log);
}

TEST(stream_log_long_ones_take_little_more_than_their_bytes) {
  SlabHeap heap;
  StreamLog log;
  const std::string_view pairs[] = {"field", "0123456789"};
  constexpr uint64_t kCount = 20000;
  for (uint64_t i = 1; i <= kCount; i++) log.Append(heap, {1700000000000 + i, 0}, pairs, {});
  size_t bytes = 0;
  log.ForEachNode([&](StreamId, std::string_view node) {
    bytes += node.size();
    return true;
  });
  EXPECT_EQ(log.node_count(), kCount / 100);
  EXPECT_LT(log.memory(), bytes + bytes / 6);
  EXPECT_EQ(log.memory(), heap.used_bytes());
  FreeAll(heap, log);
}

// ---- Redis's radix tree ----

// Nodes of a radix tree over 16-byte keys, from its definition.
size_t CountNodes(const std::set<std::string>& keys, size_t depth) {
  if (keys.empty()) return 1;
  if (depth == 16) return 1;
  size_t shared = depth;
  const std::string& first = *keys.begin();
  while (shared < 16 && (*keys.rbegin())[shared] == first[shared]) shared++;
  size_t nodes = shared > depth ? 1 : 0;
  if (shared == 16) return nodes + 1;
  nodes++;
  std::map<char, std::set<std::string>> children;
  for (const std::string& key : keys) children[key[shared]].insert(key);
  for (const auto& [byte, below] : children) nodes += CountNodes(below, shared + 1);
  return nodes;
}

TEST(stream_log_counts_the_nodes_of_a_radix_tree) {
  Random random(test::Seed());
  for (int round = 0; round < 200; round++) {
    SlabHeap heap;
    StreamLog log;
    std::set<std::pair<uint64_t, uint64_t>> ids;
    for (uint64_t i = 0; i < random.Below(60); i++) {
      const uint64_t ms =
          random.OneIn(3) ? random.Next() : random.Below(uint64_t{1} << random.Below(40));
      ids.insert({ms, random.OneIn(2) ? 0 : random.Below(uint64_t{1} << random.Below(64))});
    }
    ids.erase({0, 0});
    std::set<std::string> keys;
    const std::string_view pair[] = {"a", "b"};
    for (const auto& [ms, seq] : ids) {
      log.Append(heap, {ms, seq}, pair, {4096, 1});
      std::string key(16, '\0');
      StoreBig64(key.data(), ms);
      StoreBig64(key.data() + 8, seq);
      keys.insert(key);
    }
    EXPECT_EQ(log.node_count(), keys.size());
    EXPECT_EQ(log.RadixNodeCount(), CountNodes(keys, 0));
    FreeAll(heap, log);
  }
}

// ---- Bytes ----

// What Redis 7.0.15 dumped for XADD s 1-1 a 1, XADD s 1-2 a 2, XADD s 2-0 b x a 300, XDEL s 1-2.
constexpr std::string_view kRedisNode(
    "\x3d\x00\x00\x00\x18\x00\x02\x01\x01\x01\x01\x01\x81\x61\x02\x00\x01"
    "\x02\x01\x00\x01\x00\x01\x01\x01\x04\x01"
    "\x03\x01\x00\x01\x01\x01\x02\x01\x04\x01"
    "\x00\x01\x01\x01\xdf\xff\x02\x02\x01\x81\x62\x02\x81\x78\x02\x81\x61\x02\xc1\x2c\x02\x08\x01"
    "\xff",
    61);

TEST(stream_node_bytes_are_those_of_redis) {
  SlabHeap heap;
  StreamLog log;
  const std::string_view first[] = {"a", "1"};
  const std::string_view second[] = {"a", "2"};
  const std::string_view third[] = {"b", "x", "a", "300"};
  log.Append(heap, {1, 1}, first, {});
  log.Append(heap, {1, 2}, second, {});
  log.Append(heap, {2, 0}, third, {});
  EXPECT_TRUE(log.Delete(heap, {1, 2}));
  log.ForEachNode([&](StreamId master, std::string_view bytes) {
    EXPECT_TRUE((master == StreamId{1, 1}));
    EXPECT_EQ(bytes, kRedisNode);
    return true;
  });
  FreeAll(heap, log);
}

bool IsValid(const std::string& bytes, StreamId master = {1, 1}) {
  // In a block of exactly its size, so that the sanitizer sees every read beyond it.
  const std::unique_ptr<char[]> copy(new char[bytes.size()]);
  std::copy(bytes.begin(), bytes.end(), copy.get());
  return ValidateStreamNode({copy.get(), bytes.size()}, master);
}

std::string With(size_t at, uint8_t byte) {
  std::string bytes(kRedisNode);
  bytes[at] = static_cast<char>(byte);
  return bytes;
}

TEST(stream_node_validation_sees_what_is_wrong) {
  EXPECT_TRUE(IsValid(std::string(kRedisNode)));
  EXPECT_FALSE(IsValid(With(6, 1)));   // count
  EXPECT_FALSE(IsValid(With(8, 2)));   // deleted
  EXPECT_FALSE(IsValid(With(10, 2)));  // number of fields
  EXPECT_FALSE(IsValid(With(15, 1)));  // the master entry's end
  EXPECT_FALSE(IsValid(With(17, 3)));  // a flag that the counts do not know of
  EXPECT_FALSE(IsValid(With(17, 4)));  // an unknown flag
  EXPECT_FALSE(IsValid(With(17, 0)));  // no fields of the master's
  EXPECT_FALSE(IsValid(With(25, 5)));  // number of elements
  EXPECT_FALSE(IsValid(With(31, 0)));  // the same id twice
  EXPECT_FALSE(IsValid(With(4, 25)));  // the listpack's own count
  StreamNodeFacts facts;
  EXPECT_TRUE(ValidateStreamNode(kRedisNode, {1, 1}, &facts));
  EXPECT_EQ(facts.count, 2u);
  EXPECT_EQ(facts.deleted, 1u);
  EXPECT_TRUE((facts.first == StreamId{1, 1}));
  EXPECT_TRUE((facts.last == StreamId{2, 0}));
  EXPECT_FALSE(IsValid(std::string(kRedisNode), StreamId::Max()));  // ids that wrap
}

TEST(stream_node_validation_survives_anything) {
  Random random(test::Seed());
  for (int i = 0; i < 20000; i++) {
    std::string bytes(kRedisNode);
    for (uint64_t j = 0; j <= random.Below(4); j++) {
      bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
    }
    if (random.OneIn(4)) bytes.resize(random.Below(bytes.size() + 1));
    if (random.OneIn(2) && bytes.size() >= 4)
      StoreLittle32(bytes.data(), static_cast<uint32_t>(bytes.size()));
    if (!IsValid(bytes)) continue;
    SlabHeap heap;
    StreamLog log;
    EXPECT_TRUE(log.AppendNode(heap, {1, 1}, bytes));
    log.Validate();
    uint64_t seen = 0;
    for (StreamCursor cursor(log, StreamId::Min(), StreamId::Max(), random.OneIn(2));
         cursor.Next();) {
      PairsOf(cursor);
      seen++;
    }
    EXPECT_EQ(seen, log.length());
    FreeAll(heap, log);
  }
}

}  // namespace
}  // namespace sherd::ds
