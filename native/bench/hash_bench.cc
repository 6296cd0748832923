// Hashes: what walks and changes of a table of fields cost, and what fetching ahead would be worth.
//
// A walk of 10,000 fields is HGETALL's; the table of a million does not fit a cache, so that every field is
// a miss. The variant that fetches the fields a few buckets ahead shows why ForEach does not.
#include <string>

#include "base/numbers.h"
#include "base/siphash.h"
#include "bench/bench.h"
#include "ds/field_table.h"
#include "resp/reply_builder.h"

namespace sherd::bench {
namespace {

struct BenchHasher {
  static uint64_t Hash(std::string_view name) { return SipHash(name, SipKey{1, 2}); }
};
using Fields = ds::FieldTable<BenchHasher>;

std::string NameOf(uint64_t i) { return "field:" + std::to_string(100000 + i); }

class Fixture {
 public:
  explicit Fixture(uint64_t count) : fields(Fields::Create(heap)) {
    for (uint64_t i = 0; i < count; i++) {
      const std::string name = NameOf(i);
      fields->Insert(name, BenchHasher::Hash(name), "0123456789");
    }
  }
  ~Fixture() {
    while (!Fields::FreeSlice(fields, ~size_t{0})) {
    }
  }
  SlabHeap heap;
  Fields* fields;
};

// What HGETALL does: the reply goes into an output that is drained now and then, as by a socket.
class Reply {
 public:
  template <class Walk>
  void Write(Walk&& walk) {
    constexpr size_t kDrainBytes = 64 * 1024;
    resp::ReplyBuilder reply(&out_, 2);
    {
      resp::BulkWriter writer(reply);
      walk([&](const ds::Field* field) {
        writer.Add(field->name());
        writer.Add(field->value());
      });
    }
    Keep(out_.size());
    while (!out_.empty()) out_.Consume(out_.size() < kDrainBytes ? out_.size() : kDrainBytes);
  }

 private:
  resp::OutputBuffer out_;
};

void Walk(Bench& bench, uint64_t count) {
  Fixture fixture(count);
  Reply reply;
  bench.RunBatch(count, [&] {
    reply.Write([&](auto&& write) {
      fixture.fields->table().ForEach([&](const ds::Field* field) {
        write(field);
        return true;
      });
    });
  });
}

void WalkAhead(Bench& bench, uint64_t count) {
  constexpr size_t kAhead = 3;
  Fixture fixture(count);
  Reply reply;
  bench.RunBatch(count, [&] {
    reply.Write([&](auto&& write) {
      const Fields::Table& table = fixture.fields->table();
      for (size_t index = 0; index < table.bucket_count(); index++) {
        table.VisitBuckets(index + kAhead, 1, [&](Fields::Position p) { __builtin_prefetch(p.entry()); });
        table.VisitBuckets(index, 1, [&](Fields::Position p) { write(p.entry()); });
      }
    });
  });
}

BENCH(hash_walk_10k) { Walk(bench, 10'000); }
BENCH(hash_walk_10k_fetched_ahead) { WalkAhead(bench, 10'000); }
BENCH(hash_walk_1m) { Walk(bench, 1'000'000); }
BENCH(hash_walk_1m_fetched_ahead) { WalkAhead(bench, 1'000'000); }

BENCH(hash_overwrite_in_100k) {
  Fixture fixture(100'000);
  bench.Run([&](uint64_t i) {
    const std::string name = NameOf(i * 7919 % 100'000);
    fixture.fields->SetValue(fixture.fields->Find(name), "9876543210");
  });
}

BENCH(hash_set_expiry_in_100k) {
  Fixture fixture(100'000);
  bench.Run([&](uint64_t i) {
    const std::string name = NameOf(i * 7919 % 100'000);
    fixture.fields->SetExpiry(fixture.fields->Find(name), static_cast<int64_t>(i * 104729 % 1'000'003));
  });
}

}  // namespace
}  // namespace sherd::bench
