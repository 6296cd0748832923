// Streams as values: groups, consumers and pending entries against a naive twin; copies; the
// builder, with what it takes and what it refuses; names in order; freeing in slices.
#include "engine/stream_value.h"

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "base/random.h"
#include "ds/name_index.h"
#include "engine/value_ops.h"
#include "test/test.h"

namespace sherd::engine {
namespace {

// ---- Names ----

struct Thing {
  std::string text;
  std::string_view name() const { return text; }
};

TEST(name_index_behaves_like_a_map) {
  Random random(test::Seed());
  SlabHeap heap;
  ds::NameIndex<Thing> index;
  std::map<std::string, Thing> model;
  for (int i = 0; i < 5000; i++) {
    // Prefixes of each other, bytes above 127, the empty name.
    std::string name(random.Below(4), static_cast<char>(random.OneIn(2) ? 'a' : 0xE0));
    if (random.OneIn(2)) name += std::to_string(random.Below(40));
    const auto at = model.find(name);
    EXPECT_TRUE(index.Find(name) == (at == model.end() ? nullptr : &at->second));
    if (at == model.end() && random.OneIn(2)) {
      index.Insert(heap, &model.emplace(name, Thing{name}).first->second);
    } else if (at != model.end()) {
      index.Erase(heap, &at->second);
      model.erase(at);
    }
    EXPECT_EQ(heap.used_bytes(), index.memory());
    if (i % 100 != 0) continue;
    index.Validate();
    ASSERT_EQ(index.size(), model.size());
    auto expected = model.begin();
    for (const Thing* thing : index) EXPECT_EQ(thing->text, (expected++)->first);
  }
  index.Clear(heap);
  EXPECT_EQ(heap.used_bytes(), 0u);
}

// ---- Groups ----

// consumer, delivery time, delivery count
using Pending = std::tuple<std::string, int64_t, uint64_t>;
using Key = std::pair<uint64_t, uint64_t>;

struct GroupTwin {
  std::map<Key, Pending> pel;
  std::map<std::string, int> consumers;
};

struct Rig {
  SlabHeap heap;
  Stream* stream = Stream::Create(heap);
  std::map<std::string, GroupTwin> twin;
  uint64_t next = 1;

  ~Rig() {
    if (stream != nullptr) Stream::Free(heap, stream);
    CHECK(heap.used_bytes() == 0);
  }
  StreamConsumer* Consumer(StreamGroup* group, GroupTwin& model, Random& random) {
    const std::string name = "c" + std::to_string(random.Below(6));
    StreamConsumer* consumer = group->FindConsumer(name);
    EXPECT_EQ(consumer != nullptr, model.consumers.count(name) == 1);
    model.consumers[name];
    return consumer != nullptr ? consumer : group->AddConsumer(heap, name, 5);
  }
  void StepInGroup(StreamGroup* group, GroupTwin& model, Random& random) {
    const StreamId id = {1 + random.Below(next + 1), 0};
    const int64_t now_ms = static_cast<int64_t>(random.Below(1000));
    if (random.Below(10) < 5) {
      StreamConsumer* consumer = Consumer(group, model, random);
      group->Deliver(heap, consumer, id, now_ms);
      model.pel[{id.ms, id.seq}] = {std::string(consumer->name()), now_ms, 1};
    } else if (random.Below(10) < 5) {
      EXPECT_EQ(group->Acknowledge(heap, id), model.pel.erase({id.ms, id.seq}) == 1);
    } else if (random.Below(10) < 8) {
      StreamConsumer* consumer = Consumer(group, model, random);
      StreamNack* nack = group->pel.Get(id);
      EXPECT_EQ(nack != nullptr, model.pel.count({id.ms, id.seq}) == 1);
      if (nack == nullptr) return;
      group->Assign(heap, id, nack, consumer);
      std::get<0>(model.pel[{id.ms, id.seq}]) = std::string(consumer->name());
    } else {
      StreamConsumer* consumer = Consumer(group, model, random);
      const std::string name(consumer->name());
      std::erase_if(model.pel, [&](const auto& item) { return std::get<0>(item.second) == name; });
      model.consumers.erase(name);
      group->DeleteConsumer(heap, consumer);
    }
  }
  void Step(Random& random) {
    if (random.OneIn(3)) {
      const std::string_view pair[] = {"f", "v"};
      stream->Append(heap, {next++, 0}, pair, {4096, 10});
    }
    const std::string name = "g" + std::to_string(random.Below(3));
    StreamGroup* group = stream->FindGroup(name);
    EXPECT_EQ(group != nullptr, twin.count(name) == 1);
    if (group == nullptr) {
      stream->AddGroup(heap, name, {}, -1);
      twin[name] = {};
    } else if (random.OneIn(400)) {
      stream->DeleteGroup(heap, group);
      twin.erase(name);
    } else {
      StepInGroup(group, twin[name], random);
    }
  }
};

void Compare(const Stream& stream, const std::map<std::string, GroupTwin>& twin) {
  stream.Validate();
  ASSERT_EQ(stream.groups.size(), twin.size());
  for (const auto& [name, model] : twin) {
    const StreamGroup* group = stream.FindGroup(name);
    ASSERT_TRUE(group != nullptr);
    ASSERT_EQ(group->pel.size(), model.pel.size());
    EXPECT_EQ(group->consumers.size(), model.consumers.size());
    auto at = group->pel.First();
    for (const auto& [key, pending] : model.pel) {
      const StreamNack* nack = group->pel.ValueAt(at);
      EXPECT_TRUE((group->pel.IdAt(at) == StreamId{key.first, key.second}));
      EXPECT_EQ(nack->consumer->name(), std::get<0>(pending));
      EXPECT_EQ(nack->delivery_time_ms, std::get<1>(pending));
      EXPECT_EQ(nack->delivery_count, std::get<2>(pending));
      at = group->pel.Next(at);
    }
  }
}

// Through the builder, as RESTORE would.
Stream* Rebuild(SlabHeap& heap, const Stream& stream) {
  StreamBuilder builder(heap);
  stream.log.ForEachNode(
      [&](StreamId id, std::string_view bytes) { return builder.AddNode(id, bytes); });
  StreamBuilder::Ids ids;
  ids.length = stream.length();
  ids.last = stream.last_id;
  ids.first = stream.first_id;
  ids.max_deleted = stream.max_deleted_id;
  ids.entries_added = stream.entries_added;
  EXPECT_TRUE(builder.SetIds(ids));
  for (const StreamGroup* from : stream.groups) {
    StreamGroup* group = builder.AddGroup(from->name(), from->last_id, from->entries_read);
    EXPECT_TRUE(builder.AddGroup(from->name(), {}, 0) == nullptr);
    for (auto at = from->pel.First(); at; at = from->pel.Next(at)) {
      const StreamNack* nack = from->pel.ValueAt(at);
      EXPECT_TRUE(builder.AddPending(group, from->pel.IdAt(at), nack->delivery_time_ms,
                                     nack->delivery_count));
      EXPECT_FALSE(builder.AddPending(group, from->pel.IdAt(at), 0, 0));
    }
    for (const StreamConsumer* other : from->consumers) {
      StreamConsumer* consumer =
          builder.AddConsumer(group, other->name(), other->seen_time_ms, other->active_time_ms);
      EXPECT_TRUE(builder.AddConsumer(group, other->name(), 0, 0) == nullptr);
      for (auto at = other->pel.First(); at; at = other->pel.Next(at)) {
        EXPECT_TRUE(builder.AssignPending(group, consumer, other->pel.IdAt(at)));
        EXPECT_FALSE(builder.AssignPending(group, consumer, other->pel.IdAt(at)));
      }
    }
  }
  return builder.Finish();
}

TEST(stream_groups_behave_like_maps) {
  Random random(test::Seed());
  for (int round = 0; round < 4; round++) {
    Rig rig;
    for (int i = 0; i < 6000; i++) {
      rig.Step(random);
      if (i % 500 == 0) Compare(*rig.stream, rig.twin);
    }
    Compare(*rig.stream, rig.twin);
    EXPECT_EQ(rig.heap.used_bytes(), rig.stream->Memory(0));
    Stream* copy = rig.stream->Clone(rig.heap);
    Compare(*copy, rig.twin);
    Stream::Free(rig.heap, copy);
    Stream* rebuilt = Rebuild(rig.heap, *rig.stream);
    ASSERT_TRUE(rebuilt != nullptr);
    Compare(*rebuilt, rig.twin);
    EXPECT_EQ(rebuilt->length(), rig.stream->length());
    Stream::Free(rig.heap, rebuilt);
    EXPECT_EQ(rig.heap.used_bytes(), rig.stream->Memory(0));
  }
}

TEST(stream_is_freed_in_slices) {
  Random random(test::Seed());
  Rig rig;
  for (int i = 0; i < 20000; i++) rig.Step(random);
  StreamGroup* group = rig.stream->AddGroup(rig.heap, "big", {}, -1);
  StreamConsumer* consumer = group->AddConsumer(rig.heap, "c", 1);
  for (uint64_t i = 1; i <= 2000; i++) group->Deliver(rig.heap, consumer, {i, 0}, 1);
  EXPECT_LT(100u,
            kStreamOps.free_effort(Encoding::kStream, reinterpret_cast<uint64_t>(rig.stream)));
  uint64_t payload = reinterpret_cast<uint64_t>(rig.stream);
  size_t slices = 1;
  size_t before = rig.heap.used_bytes();
  while (!kStreamOps.free_slice(rig.heap, Encoding::kStream, &payload, 50)) {
    // A slice frees a leaf of pending entries or of nodes, never all at once.
    EXPECT_LT(before - rig.heap.used_bytes(), 64 * 1024u);
    before = rig.heap.used_bytes();
    slices++;
  }
  EXPECT_LT(20u, slices);
  rig.stream = nullptr;
}

TEST(stream_builder_refuses_what_makes_no_stream) {
  Rig rig;
  const std::string_view pair[] = {"f", "v"};
  for (uint64_t i = 1; i <= 3; i++) rig.stream->Append(rig.heap, {i, 0}, pair, {});
  std::string node;
  rig.stream->log.ForEachNode([&](StreamId, std::string_view bytes) {
    node = bytes;
    return true;
  });
  StreamBuilder builder(rig.heap);
  EXPECT_FALSE(builder.AddNode({1, 0}, node.substr(1)));
  EXPECT_TRUE(builder.AddNode({1, 0}, node));
  EXPECT_FALSE(builder.AddNode({3, 0}, node));
  StreamBuilder::Ids ids;
  ids.length = 2;
  ids.last = {3, 0};
  EXPECT_FALSE(builder.SetIds(ids));
  ids.length = 3;
  ids.last = {2, 9};
  EXPECT_FALSE(builder.SetIds(ids));
  ids.last = {3, 0};
  ids.entries_added = UINT64_MAX;
  EXPECT_FALSE(builder.SetIds(ids));
  ids.has_details = false;
  EXPECT_TRUE(builder.SetIds(ids));
  EXPECT_TRUE(builder.AddGroup("g", {}, -2) == nullptr);
  StreamGroup* group = builder.AddGroup("g", {9, 9}, -1);
  StreamConsumer* consumer = builder.AddConsumer(group, "c", 1, -1);
  EXPECT_FALSE(builder.AssignPending(group, consumer, {1, 0}));
  EXPECT_TRUE(builder.AddPending(group, {1, 0}, 7, 8));
  EXPECT_TRUE(builder.Finish() == nullptr);  // nobody has it; the builder frees all
}

}  // namespace
}  // namespace sherd::engine
