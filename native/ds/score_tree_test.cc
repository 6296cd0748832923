// ScoreTree against std::set: random inserts, erases, changes of scores and erased ranges, over growth
// and shrinkage, with many equal scores and with all different ones; every way of asking is compared.
#include "ds/score_tree.h"

#include <iterator>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "test/test.h"

namespace sherd::ds {
namespace {

using Pair = std::pair<double, std::string>;

class Fixture {
 public:
  ~Fixture() {
    while (tree.DismantleLeaf(heap, [this](ScoreNode* node) { node->Free(heap); })) {
    }
    EXPECT_EQ(heap.used_bytes(), 0u);
  }
  void Add(double score, const std::string& member) {
    tree.Insert(heap, ScoreNode::Create(heap, score, member));
    model.insert({score, member});
  }
  ScoreNode* Node(const Pair& pair) {
    const ScoreTree::Position at = tree.Find(BeforeMember{pair.first, pair.second});
    CHECK(at && at.member() == pair.second && at.score() == pair.first);
    return at.node();
  }
  void Remove(const Pair& pair) {
    ScoreNode* node = Node(pair);
    tree.Erase(heap, node);
    node->Free(heap);
    model.erase(pair);
  }
  std::set<Pair>::iterator Nth(size_t rank) {
    return std::next(model.begin(), static_cast<std::ptrdiff_t>(rank));
  }
  void CompareWalks();

  SlabHeap heap;
  ScoreTree tree;
  std::set<Pair> model;
};

void Fixture::CompareWalks() {
  EXPECT_EQ(tree.size(), model.size());
  auto expected = model.begin();
  for (ScoreTree::Position at = tree.First(); at; at = at.Next(), ++expected) {
    ASSERT_TRUE(expected != model.end());
    EXPECT_TRUE(at.score() == expected->first && at.member() == expected->second);
  }
  EXPECT_TRUE(expected == model.end());
  auto backwards = model.rbegin();
  for (ScoreTree::Position at = tree.Last(); at; at = at.Previous(), ++backwards) {
    ASSERT_TRUE(backwards != model.rend());
    EXPECT_TRUE(at.member() == backwards->second);
  }
  EXPECT_TRUE(backwards == model.rend());
}

void CompareCuts(Fixture& f, Random& random, uint64_t scores) {
  const double score = static_cast<double>(random.Below(scores + 2)) - 1;
  const std::string member = "m" + std::to_string(random.Below(5000));
  const auto rank_of = [&](auto&& is_before) {
    size_t rank = 0;
    for (const Pair& pair : f.model) rank += is_before(pair) ? 1 : 0;
    return rank;
  };
  const size_t below = rank_of([&](const Pair& p) { return p.first < score; });
  EXPECT_EQ(f.tree.Rank(BeforeScore{score, false}), below);
  EXPECT_EQ(f.tree.Rank(BeforeScore{score, true}),
            rank_of([&](const Pair& p) { return p.first <= score; }));
  const size_t place = rank_of([&](const Pair& p) { return p < Pair(score, member); });
  EXPECT_EQ(f.tree.Rank(BeforeMember{score, member}), place);
  const ScoreTree::Position found = f.tree.Find(BeforeMember{score, member});
  EXPECT_EQ(static_cast<bool>(found), place < f.model.size());
  if (found) EXPECT_TRUE(found.member() == f.Nth(place)->second);
  if (f.model.empty()) return;

  const size_t start = random.Below(f.model.size());
  const size_t count = random.Below(f.model.size() - start + 1);
  EXPECT_TRUE(f.tree.Select(start).member() == f.Nth(start)->second);
  auto expected = f.Nth(start);
  f.tree.VisitRange(start, count, false, [&](std::string_view text, double at) {
    EXPECT_TRUE(text == expected->second && at == expected->first);
    ++expected;
  });
  EXPECT_TRUE(expected == f.Nth(start + count));
  f.tree.VisitRange(start, count, true, [&](std::string_view text, double) {
    --expected;
    EXPECT_TRUE(text == expected->second);
  });
  EXPECT_TRUE(expected == f.Nth(start));
}

void Step(Fixture& f, Random& random, uint64_t scores, uint64_t grow_percent) {
  const uint64_t dice = random.Below(100);
  if (dice < grow_percent || f.model.empty()) {
    const Pair pair(static_cast<double>(random.Below(scores)),
                    "m" + std::to_string(random.Below(5000)));
    if (f.model.count(pair) == 0) f.Add(pair.first, pair.second);
    return;
  }
  const Pair pair = *f.Nth(random.Below(f.model.size()));
  if (dice < grow_percent + 15) {
    const double score = static_cast<double>(random.Below(scores));
    if (f.model.count({score, pair.second}) != 0) return;
    f.tree.ChangeScore(f.heap, f.Node(pair), score);
    f.model.erase(pair);
    f.model.insert({score, pair.second});
  } else if (dice == 99) {
    const size_t start = random.Below(f.model.size());
    const size_t most = random.OneIn(3) ? f.model.size() - start : 200;
    const size_t count = random.Below(std::min(most, f.model.size() - start) + 1);
    auto expected = f.Nth(start);
    f.tree.EraseRange(f.heap, start, count, [&](ScoreNode* node) {
      EXPECT_TRUE(node->member() == expected->second);
      expected = f.model.erase(expected);
      node->Free(f.heap);
    });
  } else {
    f.Remove(pair);
  }
}

void RunModel(uint64_t seed, uint64_t scores) {
  Random random(seed);
  Fixture f;
  for (int phase = 0; phase < 6; phase++) {
    const uint64_t grow_percent = phase % 2 == 0 ? 75 : 25;
    for (int step = 0; step < 3000; step++) {
      Step(f, random, scores, grow_percent);
      if (step % 50 == 0) f.tree.Validate();
      if (step % 100 == 0) CompareCuts(f, random, scores);
    }
    f.tree.Validate();
    f.CompareWalks();
  }
}

}  // namespace

TEST(score_tree_behaves_like_a_set_with_few_scores) { RunModel(test::Seed(), 3); }
TEST(score_tree_behaves_like_a_set_with_one_score) { RunModel(test::Seed() + 1, 1); }
TEST(score_tree_behaves_like_a_set_with_many_scores) { RunModel(test::Seed() + 2, 1'000'000); }

TEST(score_tree_of_several_levels_grows_and_shrinks) {
  // 62 * 63 * 63 members are three levels deep however full; checked now and then only.
  constexpr size_t kMembers = 300'000;
  Random random(test::Seed());
  SlabHeap heap;
  {
    ScoreTree tree;
    std::vector<ScoreNode*> nodes;
    for (size_t i = 0; i < kMembers; i++) {
      nodes.push_back(
          ScoreNode::Create(heap, static_cast<double>(random.Below(kMembers)), std::to_string(i)));
      tree.Insert(heap, nodes.back());
    }
    tree.Validate();
    for (size_t i = kMembers; i > 1; i--) std::swap(nodes[i - 1], nodes[random.Below(i)]);
    while (!nodes.empty()) {
      tree.Erase(heap, nodes.back());
      nodes.back()->Free(heap);
      nodes.pop_back();
      if (nodes.size() % 50'000 == 0) tree.Validate();
    }
    EXPECT_EQ(tree.memory(), 0u);
  }
  EXPECT_EQ(heap.used_bytes(), 0u);
}

TEST(score_tree_fills_its_leaves_when_members_come_in_order) {
  for (const bool is_ascending : {true, false}) {
    Fixture f;
    constexpr int kMembers = 62 * 1000;
    for (int i = 0; i < kMembers; i++) f.Add(is_ascending ? i : -i, "member");
    f.tree.Validate();
    // 16.5 bytes each and the inner nodes.
    EXPECT_TRUE(f.tree.memory() < size_t{kMembers} * 18);
  }
  Fixture f;
  for (int i = 0; i < 10'000; i++) {
    f.tree.Append(f.heap, ScoreNode::Create(f.heap, i, "m"));
    f.model.insert({i, "m"});
  }
  f.tree.Validate();
  f.CompareWalks();
}

TEST(score_tree_orders_members_by_bytes_and_zeros_as_equal) {
  Fixture f;
  for (const char* member : {"b", "a", "ab", "", "\xff", "a\x01"})
    f.tree.Insert(f.heap, ScoreNode::Create(f.heap, 0.0, member));
  f.tree.Insert(f.heap, ScoreNode::Create(f.heap, -0.0, "aa"));
  std::string order;
  for (ScoreTree::Position at = f.tree.First(); at; at = at.Next())
    order.append(at.member()).append(",");
  EXPECT_EQ(order, std::string(",a,a\x01,aa,ab,b,\xff,"));
  EXPECT_EQ(f.tree.Rank(BeforeText{"a", false}), 1u);
  EXPECT_EQ(f.tree.Rank(BeforeText{"a", true}), 2u);
}

}  // namespace sherd::ds
