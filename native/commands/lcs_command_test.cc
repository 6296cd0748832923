// LCS: recorded answers, refusals, and random strings against the textbook table that Redis fills.
#include <string>
#include <vector>

#include "base/random.h"
#include "commands/test_util.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::Bulk;
using test::Error;
using test::Integer;
using test::TestServer;

// The dynamic programme by the book, with Redis's way back through the table.
class NaiveLcs {
 public:
  NaiveLcs(const std::string& a, const std::string& b) : a_(a), b_(b) {
    lengths_.assign(a.size() + 1, std::vector<size_t>(b.size() + 1, 0));
    for (size_t i = 1; i <= a.size(); i++) {
      for (size_t j = 1; j <= b.size(); j++) {
        lengths_[i][j] = a[i - 1] == b[j - 1] ? lengths_[i - 1][j - 1] + 1
                                              : std::max(lengths_[i - 1][j], lengths_[i][j - 1]);
      }
    }
    WalkBack();
  }

  size_t length() const { return lengths_[a_.size()][b_.size()]; }
  const std::string& text() const { return text_; }

  std::string IndexReply(int64_t min_length, bool with_length) const {
    std::string ranges;
    size_t count = 0;
    for (const Range& range : ranges_) {
      const int64_t length = static_cast<int64_t>(range.length);
      if (length < min_length) continue;
      count++;
      ranges += with_length ? "*3\r\n" : "*2\r\n";
      for (const size_t start : {range.a, range.b}) {
        ranges += "*2\r\n" + Integer(static_cast<int64_t>(start)) +
                  Integer(static_cast<int64_t>(start) + length - 1);
      }
      if (with_length) ranges += Integer(length);
    }
    return "*4\r\n" + Bulk("matches") + "*" + std::to_string(count) + "\r\n" + ranges +
           Bulk("len") + Integer(static_cast<int64_t>(length()));
  }

 private:
  struct Range {
    size_t a, b, length;
  };
  void WalkBack() {
    size_t i = a_.size();
    size_t j = b_.size();
    bool adjoins = false;
    while (i > 0 && j > 0) {
      if (a_[i - 1] == b_[j - 1]) {
        i--;
        j--;
        text_.insert(text_.begin(), a_[i]);
        if (adjoins) {
          ranges_.back() = {i, j, ranges_.back().length + 1};
        } else {
          ranges_.push_back({i, j, 1});
        }
        adjoins = true;
        continue;
      }
      if (lengths_[i - 1][j] > lengths_[i][j - 1]) {
        i--;
      } else {
        j--;
      }
      adjoins = false;
    }
  }

  std::string a_, b_, text_;
  std::vector<std::vector<size_t>> lengths_;
  std::vector<Range> ranges_;
};

TEST(lcs_recorded_answers) {
  TestServer server(8);
  server.Run({"MSET", "a", "ohmytext", "b", "mynewtext", "n", "12345"});
  EXPECT_EQ(server.Run({"LCS", "a", "b"}), Bulk("mytext"));
  EXPECT_EQ(server.Run({"LCS", "a", "b", "LEN"}), Integer(6));
  EXPECT_EQ(server.Run({"LCS", "a", "b", "idx", "minmatchlen", "4", "withmatchlen"}),
            "*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n"
            "$3\r\nlen\r\n:6\r\n");
  EXPECT_EQ(server.Run({"LCS", "a", "none"}), Bulk(""));
  EXPECT_EQ(server.Run({"LCS", "none", "none", "LEN"}), Integer(0));
  EXPECT_EQ(server.Run({"LCS", "n", "n"}), Bulk("12345"));
  server.session.resp = 3;
  EXPECT_EQ(server.Run({"LCS", "none", "a", "IDX"}),
            "%2\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n");
}

TEST(lcs_refusals) {
  TestServer server;
  server.Run({"MSET", "a", "abc", "b", "abd"});
  EXPECT_EQ(server.Run({"LCS", "a", "b", "LEN", "IDX"}),
            Error("ERR If you want both the length and indexes, please just use IDX."));
  EXPECT_EQ(server.Run({"LCS", "a", "b", "MINMATCHLEN"}), Error("ERR syntax error"));
  EXPECT_EQ(server.Run({"LCS", "a", "b", "LEN", "IDX", "foo"}), Error("ERR syntax error"));
  EXPECT_EQ(server.Run({"LCS", "a", "b", "MINMATCHLEN", "x"}),
            Error("ERR value is not an integer or out of range"));
  EXPECT_EQ(server.Run({"LCS", "a", "b", "MINMATCHLEN", "-5"}), Bulk("ab"));
  // 4 * 4 cells of 4 bytes are 64 bytes.
  server.engine().options().proto_max_bulk_len.Set(64);
  EXPECT_EQ(server.Run({"LCS", "a", "b"}), Bulk("ab"));
  server.engine().options().proto_max_bulk_len.Set(63);
  EXPECT_EQ(server.Run({"LCS", "a", "b", "LEN"}),
            Error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"));
}

// An expired second key is deleted while the first is already held.
TEST(lcs_with_an_expired_key) {
  TestServer server;
  server.Run({"SET", "a", "abc"});
  server.Run({"SET", "b", "abc", "PX", "10"});
  server.AdvanceMs(11);
  EXPECT_EQ(server.Run({"LCS", "a", "b"}), Bulk(""));
  EXPECT_EQ(server.Run({"LCS", "a", "a"}), Bulk("abc"));
}

TEST(lcs_random_against_the_textbook) {
  TestServer server(8);
  Random random(test::Seed());
  for (int round = 0; round < 300; round++) {
    // Small alphabets make long and ambiguous subsequences, fillers that the other string lacks
    // make sparse ones (whole words without a match); the lengths straddle 64-bit words.
    const uint64_t letters = 1 + random.Below(round % 3 == 0 ? 200 : 4);
    const uint64_t sparseness = 1 + random.Below(2) * random.Below(60);
    const auto make = [&](char filler) {
      std::string text(random.Below(300), filler);
      for (char& c : text) {
        if (random.OneIn(sparseness)) c = static_cast<char>('A' + random.Below(letters));
      }
      return text;
    };
    const std::string a = make('<');
    const std::string b = make('>');
    const NaiveLcs naive(a, b);
    server.Run({"MSET", "a", a, "b", b});
    EXPECT_EQ(server.Run({"LCS", "a", "b", "LEN"}), Integer(static_cast<int64_t>(naive.length())));
    EXPECT_EQ(server.Run({"LCS", "a", "b"}), Bulk(naive.text()));
    EXPECT_EQ(server.Run({"LCS", "a", "b", "IDX"}), naive.IndexReply(0, false));
    EXPECT_EQ(server.Run({"LCS", "a", "b", "IDX", "WITHMATCHLEN", "MINMATCHLEN", "3"}),
              naive.IndexReply(3, true));
  }
}

}  // namespace
}  // namespace sherd
