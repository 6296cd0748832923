// Quicklist against a vector of strings: random histories over all fills and depths, growing and
// shrinking; and the choices of split and merge that OBJECT ENCODING and DUMP show, one by one.
#include "ds/quicklist.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/random.h"
#include "test/test.h"

namespace sherd::ds {
namespace {

using Model = std::vector<std::string>;

class Fixture {
 public:
  explicit Fixture(int fill, int depth = 0) : list(Quicklist::Create(heap, {fill}, depth)) {}
  ~Fixture() {
    if (list != nullptr) Quicklist::Free(heap, list);
    EXPECT_EQ(heap.used_bytes(), 0u);
    EXPECT_TRUE(SetPlainThreshold(0));
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;
  void Push(std::string_view text) { list->Push(heap, ListEnd::kTail, text); }
  /// Counts of the nodes, "2 3P 1": P is a plain one, Z a compressed one.
  std::string Shape() const {
    std::string shape;
    for (const QuicklistNode* node = list->head(); node != nullptr; node = node->next) {
      if (!shape.empty()) shape += ' ';
      shape += std::to_string(node->count);
      if (node->is_plain) shape += 'P';
      if (node->is_compressed) shape += 'Z';
    }
    return shape;
  }
  SlabHeap heap;
  Quicklist* list;
};

Model Elements(const Quicklist& list, size_t start = 0, size_t count = ~size_t{0}) {
  Model elements;
  char buffer[kInt64CharsMax];
  list.Visit(start, count, [&](PackedValue value) {
    elements.emplace_back(value.View(buffer));
    return true;
  });
  return elements;
}

void Check(const Fixture& fixture, const Model& model) {
  fixture.list->Validate();
  EXPECT_EQ(fixture.list->count(), model.size());
  EXPECT_TRUE(Elements(*fixture.list) == model);
  EXPECT_EQ(fixture.heap.used_bytes(), fixture.list->Memory(0));
}

void CheckRanges(Random& random, const Fixture& fixture, const Model& model) {
  if (model.empty()) return;
  const size_t start = random.Below(model.size());
  const size_t count = random.Below(model.size() + 3);
  const auto at = model.begin() + static_cast<std::ptrdiff_t>(start);
  const size_t there = std::min(count, model.size() - start);
  EXPECT_TRUE(Elements(*fixture.list, start, count) == Model(at, at + static_cast<std::ptrdiff_t>(there)));
  Model backward;
  char buffer[kInt64CharsMax];
  fixture.list->VisitBackward(start, count, [&](PackedValue value) {
    backward.emplace_back(value.View(buffer));
    return true;
  });
  const size_t before = std::min(count, start + 1);
  std::reverse(backward.begin(), backward.end());
  EXPECT_TRUE(backward == Model(at + 1 - static_cast<std::ptrdiff_t>(before), at + 1));
  EXPECT_EQ(fixture.list->Peek(ListEnd::kHead).View(buffer), std::string_view(model.front()));
  EXPECT_EQ(fixture.list->Peek(ListEnd::kTail).View(buffer), std::string_view(model.back()));
  const ListNeedle needle(model[start]);
  fixture.list->Visit(start, 1, [&](PackedValue value) {
    EXPECT_TRUE(needle.Equals(value));
    return false;
  });
}

std::string RandomText(Random& random, size_t large) {
  switch (random.Below(10)) {
    case 0:
    case 1: return std::to_string(static_cast<int64_t>(random.Next()) >> random.Below(64));
    case 2: return std::string(random.Below(100), 'r');  // compressible
    case 3: return random.OneIn(3) ? std::string(large - 3 + random.Below(6), 'L') : "small";
    case 4: {
      std::string noise(random.Below(60), '\0');
      for (char& c : noise) c = static_cast<char>(random.Next());
      return noise;
    }
    default: return std::to_string(random.Below(20));
  }
}

size_t EraseFromModel(Model& model, const std::string& text, size_t limit, ListEnd from) {
  size_t removed = 0;
  if (from == ListEnd::kTail) std::reverse(model.begin(), model.end());
  for (auto it = model.begin(); it != model.end();) {
    const bool is_victim = removed < limit && *it == text;
    removed += is_victim ? 1 : 0;
    it = is_victim ? model.erase(it) : it + 1;
  }
  if (from == ListEnd::kTail) std::reverse(model.begin(), model.end());
  return removed;
}

void ChangeOnce(Random& random, Fixture& fixture, Model& model, bool grows, size_t large) {
  Quicklist& list = *fixture.list;
  SlabHeap& heap = fixture.heap;
  const std::string text = RandomText(random, large);
  const ListEnd end = random.OneIn(2) ? ListEnd::kHead : ListEnd::kTail;
  const size_t index = model.empty() ? 0 : random.Below(model.size());
  const auto at = model.begin() + static_cast<std::ptrdiff_t>(index);
  const bool adds = random.Below(10) < (grows ? 7u : 3u);
  if (model.empty() || (adds && random.OneIn(2))) {
    for (uint64_t i = random.OneIn(8) ? random.Below(40) : 1; i > 0; i--) {
      list.Push(heap, end, text);
      model.insert(end == ListEnd::kHead ? model.begin() : model.end(), text);
    }
  } else if (adds) {
    const bool is_after = random.OneIn(2);
    list.Insert(heap, list.Locate(index), text, is_after);
    model.insert(at + (is_after ? 1 : 0), text);
  } else if (random.OneIn(3)) {
    list.Replace(heap, list.Locate(index), text);
    *at = text;
  } else if (random.OneIn(2)) {
    list.Pop(heap, end);
    model.erase(end == ListEnd::kHead ? model.begin() : model.end() - 1);
  } else if (random.OneIn(2)) {
    const size_t count = random.Below(random.OneIn(10) ? 60 : 5);
    list.EraseRange(heap, index, count);
    const size_t erased = std::min(count, model.size() - index);
    model.erase(at, at + static_cast<std::ptrdiff_t>(erased));
  } else {
    const std::string victim = model[index];
    const size_t limit = random.OneIn(3) ? ~size_t{0} : 1 + random.Below(3);
    EXPECT_EQ(list.EraseMatches(heap, victim, limit, end), EraseFromModel(model, victim, limit, end));
  }
}

TEST(quicklist_behaves_like_a_vector) {
  Random random(test::Seed());
  constexpr int kFills[] = {0, 1, 2, 5, 16, 128, 40000, -1, -2, -5, -9};
  for (int round = 0; round < 66; round++) {
    const int fill = kFills[static_cast<size_t>(round) % std::size(kFills)];
    const int depth = round % 4 == 3 ? 5 : round % 4;
    Fixture fixture(fill, depth);
    // Plain nodes at a size that comes up often, half of the time.
    const bool has_threshold = random.OneIn(2);
    const size_t large = has_threshold ? 30 + random.Below(60) : fill >= 0 ? 8192 : ListFill{fill}.bytes_max();
    EXPECT_TRUE(SetPlainThreshold(has_threshold ? large : 0));
    Model model;
    for (int step = 0; step < 400; step++) {
      ChangeOnce(random, fixture, model, step / 100 % 2 == 0, large);
      if (step % 4 == 0) Check(fixture, model);
      CheckRanges(random, fixture, model);
    }
    Check(fixture, model);
    SlabHeap other;
    Quicklist* copy = fixture.list->Clone(other);
    copy->Validate();
    EXPECT_TRUE(Elements(*copy) == model);
    EXPECT_EQ(other.used_bytes(), copy->Memory(0));
    size_t slices = 1;
    const size_t nodes = copy->node_count();
    while (!Quicklist::FreeSlice(other, copy, 1)) slices++;
    EXPECT_EQ(slices, std::max<size_t>(nodes, 1));
    EXPECT_EQ(other.used_bytes(), 0u);
  }
}

TEST(quicklist_queue_keeps_to_its_memory) {
  // A queue that breathes must neither grow nor creep: its blocks' spare room is bounded.
  for (const bool is_reversed : {false, true}) {
    Fixture fixture(-2);
    for (int i = 0; i < 600; i++) fixture.Push("0123456789");
    for (int i = 0; i < 20000; i++) {
      fixture.list->Push(fixture.heap, is_reversed ? ListEnd::kHead : ListEnd::kTail, "0123456789");
      fixture.list->Pop(fixture.heap, is_reversed ? ListEnd::kTail : ListEnd::kHead);
    }
    EXPECT_EQ(fixture.list->count(), 600u);
    EXPECT_LE(fixture.heap.used_bytes(), 3 * size_t{8192} + 500);
    fixture.list->Validate();
  }
}

TEST(quicklist_fills_its_nodes) {
  Fixture fixture(-2);
  for (int i = 0; i < 100000; i++) fixture.Push("0123456789");
  // 12 bytes each, in nodes that hold 681 of them.
  EXPECT_EQ(fixture.list->node_count(), size_t{100000 / 681 + 1});
  EXPECT_LE(fixture.heap.used_bytes(), size_t{147} * (8192 + 48) + 100);
}

// ---- Choices ----

void Fill(Fixture& fixture, std::initializer_list<std::string_view> texts) {
  for (const std::string_view text : texts) fixture.Push(text);
}

TEST(quicklist_insert_goes_where_redis_puts_it) {
  Fixture fixture(4);
  SlabHeap& heap = fixture.heap;
  Quicklist& list = *fixture.list;
  Fill(fixture, {"a", "b", "c", "d", "e", "f", "g", "h"});
  EXPECT_EQ(fixture.Shape(), "4 4");
  // The node is full and so is its neighbour: a new one between them.
  list.Insert(heap, list.Locate(3), "x", true);
  EXPECT_EQ(fixture.Shape(), "4 1 4");
  // The neighbour's near end has room.
  list.Insert(heap, list.Locate(3), "y", true);
  EXPECT_EQ(fixture.Shape(), "4 2 4");
  list.Insert(heap, list.Locate(6), "z", false);
  EXPECT_EQ(fixture.Shape(), "4 3 4");
  EXPECT_TRUE(Elements(list) == Model({"a", "b", "c", "d", "y", "x", "z", "e", "f", "g", "h"}));
  // In the middle of a full one: split after the element, the new one before the second half; what fits
  // together is merged: 2 + (1+2)=3 | 3 | 4 gives nothing with the left, but "2 3 3 4" stays.
  list.Insert(heap, list.Locate(1), "m", true);
  EXPECT_EQ(fixture.Shape(), "2 3 3 4");
  list.Insert(heap, list.Locate(0), "n", true);
  EXPECT_EQ(fixture.Shape(), "3 3 3 4");
  list.Validate();
}

TEST(quicklist_split_merges_what_fits) {
  Fixture fixture(4);
  SlabHeap& heap = fixture.heap;
  Quicklist& list = *fixture.list;
  Fill(fixture, {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"});
  list.EraseRange(heap, 9, 3);
  list.EraseRange(heap, 1, 3);
  EXPECT_EQ(fixture.Shape(), "1 4 1");
  // "1 4 1" splits into "1 2 1+2 1": 1 and 2 fit together, and 3 and 1 after it.
  list.Insert(heap, list.Locate(2), "x", true);
  EXPECT_EQ(fixture.Shape(), "3 4");
  EXPECT_TRUE(Elements(list) == Model({"a", "e", "f", "x", "g", "h", "i"}));
}

TEST(quicklist_large_elements_lie_alone) {
  Fixture fixture(-1);
  SlabHeap& heap = fixture.heap;
  Quicklist& list = *fixture.list;
  const std::string large(4097, 'L');
  const std::string fits(4096, 'f');
  Fill(fixture, {"a", "b", "c", "d"});
  fixture.Push(large);
  fixture.Push("e");
  EXPECT_EQ(fixture.Shape(), "4 1P 1");
  list.Insert(heap, list.Locate(1), large, true);  // in the middle: split, nothing merged
  EXPECT_EQ(fixture.Shape(), "2 1P 2 1P 1");
  list.Insert(heap, list.Locate(0), large, false);  // at an edge: no split
  EXPECT_EQ(fixture.Shape(), "1P 2 1P 2 1P 1");
  list.Push(heap, ListEnd::kHead, fits);  // packed, though it fills more than a node
  EXPECT_EQ(fixture.Shape(), "1 1P 2 1P 2 1P 1");
  // Replacing: a plain one by a small one goes to the next node's head, or into one of its own.
  list.Replace(heap, list.Locate(4), "x");
  EXPECT_EQ(fixture.Shape(), "1 1P 2 3 1P 1");
  list.Replace(heap, list.Locate(1), large + "!");
  EXPECT_EQ(fixture.Shape(), "1 1P 2 3 1P 1");
  // A small one by a large one splits its node; what is beside the new node merges with its neighbour.
  list.Replace(heap, list.Locate(5), large);
  EXPECT_EQ(fixture.Shape(), "1 1P 3 1P 1 1P 1");
  EXPECT_TRUE(Elements(list) == Model({fits, large + "!", "a", "b", "x", large, "d", large, "e"}));
  list.Validate();
}

TEST(quicklist_compresses_the_middle) {
  Fixture fixture(5, 1);
  SlabHeap& heap = fixture.heap;
  Quicklist& list = *fixture.list;
  const std::string text(40, 'c');
  for (int i = 0; i < 25; i++) fixture.Push(text);
  EXPECT_EQ(fixture.Shape(), "5 5Z 5Z 5Z 5");
  list.EraseRange(heap, 0, 5);
  EXPECT_EQ(fixture.Shape(), "5 5Z 5Z 5");
  list.Push(heap, ListEnd::kHead, text);
  EXPECT_EQ(fixture.Shape(), "1 5Z 5Z 5Z 5");
  list.Replace(heap, list.Locate(8), "x");
  EXPECT_EQ(fixture.Shape(), "1 5Z 5Z 5Z 5");
  // What is small, and what would not shrink, stays as it is.
  Random random(test::Seed());
  std::string noise(200, '\0');
  for (char& c : noise) c = static_cast<char>(random.Next());
  Fixture other(1, 1);
  for (const std::string_view element : {std::string_view("a"), std::string_view("b"), std::string_view(noise),
                                         std::string_view(text), std::string_view("z")}) {
    other.Push(element);
  }
  EXPECT_EQ(other.Shape(), "1 1 1 1Z 1");
}

TEST(quicklist_takes_over_and_gives_up_a_listpack) {
  Fixture fixture(-2);
  SlabHeap& heap = fixture.heap;
  Listpack pack = Listpack::Create(heap);
  fixture.list->AppendPack(heap, pack);
  EXPECT_EQ(fixture.list->node_count(), 0u);
  pack = Listpack::Create(heap);
  for (int i = 0; i < 300; i++) pack.Append(heap, "element");
  fixture.list->AppendPack(heap, pack);
  fixture.list->AppendPlain(heap, "plain");
  EXPECT_EQ(fixture.Shape(), "300 1P");
  fixture.list->Pop(heap, ListEnd::kTail);
  fixture.list->EraseRange(heap, 0, 250);
  fixture.list->Pop(heap, ListEnd::kHead);
  Listpack taken = Quicklist::TakeOnlyPack(heap, fixture.list);
  fixture.list = nullptr;
  EXPECT_EQ(taken.count(), 49u);
  EXPECT_EQ(heap.used_bytes(), SlabHeap::GoodSize(taken.bytes()));
  taken.Append(heap, "more");
  EXPECT_TRUE(Listpack::Validate(taken.view()));
  taken.Free(heap);
}

TEST(quicklist_limits_are_redis_limits) {
  const auto exceeded = [](int fill, size_t bytes, size_t count) {
    return ListFill{fill}.IsExceeded(bytes, count);
  };
  constexpr size_t kBytes[] = {4096, 8192, 16384, 32768, 65536, 65536};
  for (int i = 0; i < 6; i++) {
    EXPECT_FALSE(exceeded(-1 - i, kBytes[i], 1 << 20));
    EXPECT_TRUE(exceeded(-1 - i, kBytes[i] + 1, 1));
  }
  EXPECT_FALSE(exceeded(3, 8192, 3));
  EXPECT_TRUE(exceeded(3, 8192, 4));
  EXPECT_TRUE(exceeded(3, 8193, 1));
  EXPECT_FALSE(exceeded(0, 10, 1));
  EXPECT_TRUE(exceeded(0, 10, 2));
  EXPECT_FALSE(ListFill{3}.IsLarge(8192));
  EXPECT_TRUE(ListFill{3}.IsLarge(8193));
  EXPECT_FALSE(SetPlainThreshold((uint64_t{1} << 32) - (1 << 20) + 1));
  EXPECT_TRUE(SetPlainThreshold(100));
  EXPECT_FALSE(ListFill{-5}.IsLarge(99));
  EXPECT_TRUE(ListFill{-5}.IsLarge(100));
  EXPECT_TRUE(SetPlainThreshold(0));
}

}  // namespace
}  // namespace sherd::ds
