// The keyspace against a naive twin: random operations on two keyspaces with several databases,
// then the same keys, bytes, encodings and expiries on both sides, sound structures, and every byte
// given back.
//
// Few keys and lengths around the borders (embstr 44, narrow header 255, inline 1024, shared 16 KB)
// make histories collide. The twin is a std::map and shares no code with the keyspace.
#include "engine/keyspace.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/crc16.h"
#include "base/random.h"
#include "resp/reply_builder.h"
#include "test/test.h"

namespace sherd::engine {
namespace {

constexpr int kSpaces = 2;
constexpr int kDatabases = 3;

struct Value {
  std::string bytes;
  Encoding encoding = Encoding::kRaw;
  int64_t expiry_ms = kNoExpiry;
};
using Model = std::map<std::string, Value>;

bool IsCanonicalInteger(const std::string& text) {
  char* end = nullptr;
  errno = 0;
  const long long value = std::strtoll(text.c_str(), &end, 10);
  return errno == 0 && std::to_string(value) == text;
}

Encoding EncodingOf(const std::string& bytes, StringForm form) {
  if (form == StringForm::kAuto && IsCanonicalInteger(bytes)) return Encoding::kInt;
  if (form == StringForm::kRaw) return Encoding::kRaw;
  return bytes.size() <= 44 ? Encoding::kEmbStr : Encoding::kRaw;
}

/// Keyspaces with their counters, and the twin of each database.
class Bench {
 public:
  Bench() {
    for (int i = 0; i < kSpaces; i++) {
      spaces_.push_back(std::make_unique<Keyspace>(static_cast<ShardId>(i), kDatabases,
                                                   &shard_counters_[i], database_counters_[i],
                                                   &initial_clock_));
      used_at_start_[i] = spaces_.back()->heap().used_bytes();
    }
  }

  Keyspace& space(int i) { return *spaces_[static_cast<size_t>(i)]; }
  Model& model(int space, int db) { return models_[space][db]; }
  ShardCounters& counters(int i) { return shard_counters_[i]; }
  static Key MakeKey(std::string_view name) { return {name, HashKey(name), KeySlot(name), 0}; }
  Handle Find(int space, int db, const std::string& name) {
    return this->space(space).Find(db, MakeKey(name));
  }

  /// Everything as the twin has it, and sound.
  void Compare() {
    for (int i = 0; i < kSpaces; i++) {
      space(i).Validate();
      EXPECT_EQ(shard_counters_[i].used_memory.Get(), uint64_t{space(i).heap().used_bytes()});
      for (int db = 0; db < kDatabases; db++) CompareDatabase(i, db);
    }
  }
  void ExpectEmpty() {
    for (int i = 0; i < kSpaces; i++) {
      EXPECT_EQ(space(i).heap().used_bytes(), used_at_start_[i]);
      EXPECT_FALSE(space(i).has_deferred_frees());
      EXPECT_EQ(space(i).deferred_free_objects(), size_t{0});
    }
  }
  void FreeDeferred(size_t step) {
    for (int i = 0; i < kSpaces; i++) {
      while (space(i).FreeDeferred(step)) {
      }
    }
  }

 private:
  void CompareDatabase(int i, int db) {
    const Model& expected = model(i, db);
    size_t expires = 0;
    for (const auto& [name, value] : expected) {
      const Handle handle = Find(i, db, name);
      ASSERT_TRUE(static_cast<bool>(handle));
      const Entry& entry = *handle.entry();
      IntegerText text;
      EXPECT_EQ(entry.key(), std::string_view(name));
      EXPECT_TRUE(StringBytes(entry, &text) == value.bytes);
      EXPECT_EQ(StringLength(entry), value.bytes.size());
      EXPECT_EQ(entry.encoding(), value.encoding);
      EXPECT_EQ(entry.expiry_ms(), value.expiry_ms);
      EXPECT_GE(space(i).MemoryUsage(entry, 0),
                name.size() + (value.encoding == Encoding::kInt ? 8 : value.bytes.size()));
      expires += value.expiry_ms != kNoExpiry ? 1 : 0;
    }
    const Database& database = space(i).db(db);
    EXPECT_EQ(database.table.size(), expected.size());
    EXPECT_EQ(database.expires, expires);
    EXPECT_EQ(database_counters_[i][db].keys.Get(), uint64_t{expected.size()});
    EXPECT_EQ(database_counters_[i][db].expires.Get(), uint64_t{expires});
  }

  std::atomic<uint32_t> initial_clock_{7};
  ShardCounters shard_counters_[kSpaces] = {};
  DatabaseCounters database_counters_[kSpaces][kDatabases] = {};
  std::vector<std::unique_ptr<Keyspace>> spaces_;
  size_t used_at_start_[kSpaces] = {};
  Model models_[kSpaces][kDatabases];
};

// ---- Random operations ----

class Player {
 public:
  Player(Bench& bench, Random& random) : bench_(bench), random_(random) {}

  void Step();
  void ExpireAll(int64_t now_ms);
  void FlushAll();

 private:
  std::string RandomName() {
    const std::string name = "key:" + std::to_string(random_.Below(120));
    // Some names need the wide header.
    return random_.OneIn(10) ? name + std::string(250 + random_.Below(10), 'n') : name;
  }
  std::string RandomBytes() {
    if (random_.OneIn(5)) return std::to_string(random_.Between(-1000, 1000));
    static constexpr size_t kLengths[] = {0,   1,   43,   44,   45,   254,
                                          255, 256, 1023, 1024, 1025, 20'480};
    size_t size = kLengths[random_.Below(std::size(kLengths))];
    if (random_.OneIn(3)) size = random_.Below(300);
    return std::string(size, static_cast<char>('a' + random_.Below(26)));
  }
  int64_t RandomExpiry() { return random_.OneIn(2) ? kNoExpiry : random_.Between(1, 10'000); }
  Key KeyOf(const std::string& name) { return Bench::MakeKey(name); }
  Keyspace& space() { return bench_.space(i_); }
  Model& model() { return bench_.model(i_, db_); }

  void Set();
  void Change();
  void Move();
  void Rare();

  Bench& bench_;
  Random& random_;
  int i_ = 0;
  int db_ = 0;
  std::string name_;
  Handle handle_;
};

void Player::Set() {
  const std::string bytes = RandomBytes();
  const int64_t expiry_ms = RandomExpiry();
  const Key key = KeyOf(name_);
  switch (random_.Below(4)) {
    case 0: {
      const int64_t number = static_cast<int64_t>(random_.Next() >> random_.Below(64));
      handle_ = space().SetInteger(db_, key, handle_, number, expiry_ms);
      model()[name_] = {std::to_string(number), Encoding::kInt, expiry_ms};
      break;
    }
    case 1: {
      // A block with more room than bytes, as a read-ahead leaves it.
      LargeString* block = LargeString::Create(bytes.size() + random_.Below(5000));
      block->size = bytes.size();
      std::memcpy(block->data(), bytes.data(), bytes.size());
      handle_ = space().SetLarge(db_, key, handle_, block, expiry_ms);
      model()[name_] = {bytes, Encoding::kRaw, expiry_ms};
      break;
    }
    default: {
      static constexpr StringForm kForms[] = {StringForm::kAuto, StringForm::kPlain,
                                              StringForm::kRaw};
      const StringForm form = kForms[random_.Below(3)];
      handle_ = space().SetString(db_, key, handle_, bytes, form, expiry_ms);
      model()[name_] = {bytes, EncodingOf(bytes, form), expiry_ms};
      // What goes beyond the entry is raw, whatever was asked; 1024 > 44 says so already.
      break;
    }
  }
  EXPECT_EQ(handle_.entry()->key(), std::string_view(name_));
}

void Player::Change() {
  Value& value = model()[name_];
  switch (random_.Below(4)) {
    case 0: {
      const std::string bytes = RandomBytes();
      char* place = space().MutableString(db_, KeyOf(name_), handle_, bytes.size());
      value.bytes.resize(bytes.size());
      EXPECT_TRUE(std::string_view(place, bytes.size()) == value.bytes);
      std::memcpy(place, bytes.data(), bytes.size());
      value.bytes = bytes;
      value.encoding = Encoding::kRaw;
      break;
    }
    case 1: {
      // Appends, which may use the room behind the bytes.
      const std::string more = RandomBytes();
      const size_t old_size = value.bytes.size();
      char* place = space().MutableString(db_, KeyOf(name_), handle_, old_size + more.size());
      std::memcpy(place + old_size, more.data(), more.size());
      value.bytes += more;
      value.encoding = Encoding::kRaw;
      if (value.bytes.size() > 100'000) Set();
      break;
    }
    case 2:
      value.expiry_ms = RandomExpiry();
      space().SetExpiry(db_, handle_, value.expiry_ms);
      break;
    default:
      space().Erase(db_, handle_, random_.OneIn(2));
      model().erase(name_);
      break;
  }
}

/// Copies or moves the key to another name, database or keyspace.
void Player::Move() {
  const int target = static_cast<int>(random_.Below(kSpaces));
  const int target_db = static_cast<int>(random_.Below(kDatabases));
  const std::string target_name = RandomName();
  if (bench_.Find(target, target_db, target_name)) return;
  Model& target_model = bench_.model(target, target_db);
  const Key key = KeyOf(target_name);
  Handle placed;
  if (random_.OneIn(2)) {
    const int64_t expiry_ms = RandomExpiry();
    placed = bench_.space(target).InsertCopy(target_db, key, *handle_.entry(), expiry_ms);
    target_model[target_name] = model()[name_];
    target_model[target_name].expiry_ms = expiry_ms;
  } else {
    handle_.entry()->set_clock24(0xabcdef);
    placed = space().MoveEntry(db_, handle_, bench_.space(target), target_db, key);
    EXPECT_EQ(placed.entry()->clock24(), uint32_t{0xabcdef});
    target_model[target_name] = model()[name_];
    model().erase(name_);
  }
  EXPECT_EQ(placed.entry()->key(), std::string_view(target_name));
}

void Player::Rare() {
  if (random_.OneIn(2)) {
    space().Flush(db_, random_.OneIn(2));
    model().clear();
  } else {
    const int other = static_cast<int>(random_.Below(kDatabases));
    space().SwapDatabases(db_, other);
    std::swap(bench_.model(i_, db_), bench_.model(i_, other));
  }
  if (random_.OneIn(2)) space().FreeDeferred(1 + random_.Below(50));
}

void Player::Step() {
  i_ = static_cast<int>(random_.Below(kSpaces));
  db_ = static_cast<int>(random_.Below(kDatabases));
  name_ = RandomName();
  handle_ = bench_.Find(i_, db_, name_);
  EXPECT_EQ(static_cast<bool>(handle_), model().contains(name_));
  if (random_.OneIn(500)) return Rare();
  if (!handle_ || random_.OneIn(3)) return Set();
  random_.OneIn(3) ? Move() : Change();
}

void Player::ExpireAll(int64_t now_ms) {
  for (int i = 0; i < kSpaces; i++) {
    for (int db = 0; db < kDatabases; db++) {
      Keyspace& space = bench_.space(i);
      Model& expected = bench_.model(i, db);
      // Some more than once round, in steps that do not divide the table.
      for (size_t looked = 0; looked <= space.db(db).table.bucket_count() + 13; looked += 13) {
        const auto expire = [&](int db_index, const std::string& name) {
          EXPECT_EQ(db_index, db);
          space.Erase(db_index, bench_.Find(i, db_index, name), random_.OneIn(2));
          EXPECT_EQ(expected.erase(name), size_t{1});
        };
        // No key here is a hash.
        const auto expire_fields = [&](int, const std::string&) { EXPECT_TRUE(false); };
        space.ExpireCycle(db, now_ms, 13, expire, expire_fields);
      }
      for (const auto& [name, value] : expected) {
        EXPECT_TRUE(value.expiry_ms == kNoExpiry || value.expiry_ms >= now_ms);
      }
    }
  }
}

void Player::FlushAll() {
  for (i_ = 0; i_ < kSpaces; i_++) {
    for (db_ = 0; db_ < kDatabases; db_++) {
      const bool lazy = random_.OneIn(2);
      const size_t keys = model().size();
      const size_t pending = space().deferred_free_objects();
      space().Flush(db_, lazy);
      EXPECT_EQ(space().deferred_free_objects(), pending + (lazy ? keys : 0));
      EXPECT_EQ(bench_.counters(i_).lazyfree_pending_objects.Get(),
                uint64_t{space().deferred_free_objects()});
      model().clear();
    }
  }
}

TEST(keyspace_behaves_like_a_map) {
  Random random(test::Seed());
  Bench bench;
  Player player(bench, random);
  for (int phase = 0; phase < 12; phase++) {
    for (int step = 0; step < 1500; step++) player.Step();
    bench.Compare();
    player.ExpireAll(phase * 1000);
    bench.Compare();
    if (phase % 3 != 2) continue;
    player.FlushAll();
    bench.Compare();
    bench.FreeDeferred(1 + random.Below(100));
    bench.ExpectEmpty();
  }
}

TEST(keyspace_gives_everything_back_when_keys_go_one_by_one) {
  Random random(test::Seed());
  Bench bench;
  Player player(bench, random);
  for (int step = 0; step < 3000; step++) player.Step();
  for (int i = 0; i < kSpaces; i++) {
    for (int db = 0; db < kDatabases; db++) {
      Model& model = bench.model(i, db);
      while (!model.empty()) {
        bench.space(i).Erase(db, bench.Find(i, db, model.begin()->first), random.OneIn(2));
        model.erase(model.begin());
      }
    }
  }
  bench.Compare();
  bench.FreeDeferred(1);
  bench.ExpectEmpty();
}

// ---- Large strings ----

TEST(keyspace_large_string_in_an_output_outlives_every_change) {
  const std::string old(30'000, 'o');
  for (int change = 0; change < 8; change++) {
    Bench bench;
    Keyspace& space = bench.space(0);
    const Key key = Bench::MakeKey("key");
    Handle handle = space.SetString(0, key, {}, old, StringForm::kAuto, kNoExpiry);
    LargeString* block = handle.entry()->large();
    resp::OutputBuffer out;
    out.AppendShared(block->view(), block);
    EXPECT_TRUE(block->IsShared());
    switch (change) {
      case 0: std::memset(space.MutableString(0, key, handle, 30'000), 'n', 30'000); break;
      case 1: std::memset(space.MutableString(0, key, handle, 10), 'n', 10); break;
      case 2: std::memset(space.MutableString(0, key, handle, 90'000), 'n', 90'000); break;
      case 3: space.SetString(0, key, handle, "n", StringForm::kAuto, kNoExpiry); break;
      case 4:
        space.SetString(0, key, handle, std::string(30'000, 'n'), StringForm::kAuto, 5);
        break;
      case 5: space.Erase(0, handle, true); break;
      case 6: space.Flush(0, true); break;
      default: space.MoveEntry(0, handle, bench.space(1), 2, Bench::MakeKey("other")); break;
    }
    while (space.FreeDeferred(10)) {
    }
    std::string_view piece;
    ASSERT_EQ(out.Peek(&piece, 1), size_t{1});
    EXPECT_TRUE(piece == old);
    out.Clear();
    for (int i = 0; i < kSpaces; i++) {
      for (int db = 0; db < kDatabases; db++) bench.space(i).Flush(db, false);
    }
    bench.ExpectEmpty();
  }
}

TEST(keyspace_unshared_large_string_grows_in_place) {
  Bench bench;
  Keyspace& space = bench.space(0);
  const Key key = Bench::MakeKey("key");
  Handle handle = space.SetString(0, key, {}, std::string(2000, 'x'), StringForm::kAuto, kNoExpiry);
  space.MutableString(0, key, handle, 2001);
  const char* bytes = handle.entry()->large()->data();
  // Growth doubles, so that appends cost O(1) each.
  EXPECT_GE(handle.entry()->large()->capacity, size_t{4000});
  for (size_t size = 2002; size <= 4000; size++) {
    char* place = space.MutableString(0, key, handle, size);
    ASSERT_TRUE(place == bytes);
    EXPECT_EQ(place[size - 1], '\0');
  }
}

TEST(keyspace_frees_big_values_later_only_when_asked) {
  Bench bench;
  Keyspace& space = bench.space(0);
  const size_t used = space.heap().used_bytes();
  for (const bool lazy : {false, true}) {
    Handle handle = space.SetString(0, Bench::MakeKey("big"), {}, std::string(2 << 20, 'x'),
                                    StringForm::kAuto, kNoExpiry);
    EXPECT_GE(space.heap().used_bytes(), used + (2 << 20));
    space.Erase(0, handle, lazy);
    EXPECT_EQ(space.has_deferred_frees(), lazy);
    if (lazy) EXPECT_GE(space.heap().used_bytes(), used + (2 << 20));
    EXPECT_FALSE(space.FreeDeferred(1));
    EXPECT_EQ(space.heap().used_bytes(), used);
  }
}

// ---- Entries ----

TEST(entry_layout_holds_for_every_combination) {
  Bench bench;
  Keyspace& space = bench.space(0);
  for (const size_t key_length : {0, 1, 10, 254, 255, 256, 257, 1000, 70'000}) {
    for (const size_t value_length : {0, 1, 44, 45, 255, 256, 1024, 1025, 5000}) {
      for (const int64_t expiry_ms : {kNoExpiry, int64_t{0}, int64_t{1} << 52}) {
        const std::string name(key_length, 'k');
        const std::string value(value_length, 'v');
        const Key key = Bench::MakeKey(name);
        Handle handle = space.SetString(1, key, {}, value, StringForm::kAuto, expiry_ms);
        const Entry& entry = *handle.entry();
        const bool is_inline = value_length <= Entry::kInlineMax;
        EXPECT_EQ((entry.flags & Entry::kWide) != 0,
                  key_length > 255 || (is_inline && value_length > 255));
        EXPECT_EQ(entry.is_inline(), is_inline);
        EXPECT_EQ(entry.key(), std::string_view(name));
        EXPECT_EQ(entry.expiry_ms(), expiry_ms);
        EXPECT_EQ(entry.clock24(), uint32_t{7});
        EXPECT_EQ(entry.AllocationSize(),
                  Entry::SizeFor(key_length, expiry_ms != kNoExpiry, is_inline, value_length));
        IntegerText text;
        EXPECT_TRUE(StringBytes(entry, &text) == value);
        space.Validate();
        space.Erase(1, handle, false);
      }
    }
  }
  bench.ExpectEmpty();
  // The promise of the header's drawing: 10-byte key, 10-byte value, 28 bytes.
  EXPECT_EQ(Entry::SizeFor(10, false, true, 10), size_t{28});
}

TEST(entry_changes_in_place_where_its_heap_class_allows) {
  Bench bench;
  Keyspace& space = bench.space(0);
  const Key key = Bench::MakeKey("key");
  Handle handle = space.SetString(0, key, {}, "twelve bytes", StringForm::kAuto, 100);
  const Entry* entry = handle.entry();
  space.SetExpiry(0, handle, 200);
  EXPECT_TRUE(handle.entry() == entry);
  handle = space.SetString(0, key, handle, "other bytes!", StringForm::kAuto, 300);
  EXPECT_TRUE(handle.entry() == entry);
  EXPECT_EQ(entry->expiry_ms(), int64_t{300});
  // As a snapshot leaves it that has begun and ended.
  space.BeginSnapshot(nullptr);
  space.EndSnapshot();
  handle = space.SetString(0, key, handle, "short", StringForm::kRaw, 300);
  EXPECT_EQ(handle.entry()->encoding(), Encoding::kRaw);
  EXPECT_EQ(handle.entry()->epoch, uint8_t{1});
  handle = space.SetInteger(0, key, handle, 1, 300);
  entry = handle.entry();
  handle = space.SetInteger(0, key, handle, INT64_MIN, 400);
  EXPECT_TRUE(handle.entry() == entry);
  IntegerText text;
  EXPECT_EQ(StringBytes(*entry, &text), std::string_view("-9223372036854775808"));
  // A moved entry keeps its clock: only an access changes it.
  handle.entry()->set_clock24(0x123456);
  space.SetExpiry(0, handle, kNoExpiry);
  EXPECT_EQ(handle.entry()->clock24(), uint32_t{0x123456});
  handle = space.SetString(0, key, handle, std::string(2000, 'x'), StringForm::kAuto, 5);
  EXPECT_EQ(handle.entry()->clock24(), uint32_t{0x123456});
  space.Validate();
}

// ---- Clocks ----

TEST(keyspace_expiry_is_past_its_millisecond) {
  Bench bench;
  Keyspace& space = bench.space(0);
  const Handle handle = space.SetString(0, Bench::MakeKey("k"), {}, "v", StringForm::kAuto, 1000);
  EXPECT_FALSE(space.IsExpired(*handle.entry(), 1000));
  EXPECT_TRUE(space.IsExpired(*handle.entry(), 1001));
}

TEST(keyspace_lfu_counter_grows_slowly_and_decays) {
  Bench bench;
  Random random(test::Seed());
  Entry* entry = bench.space(0)
                     .SetString(0, Bench::MakeKey("k"), {}, "v", StringForm::kAuto, kNoExpiry)
                     .entry();
  AccessClock clock;
  clock.is_lfu = true;
  clock.lfu_minutes = 65'530;
  entry->set_clock24(clock.lfu_minutes << 8 | 5);
  Keyspace::Touch(entry, clock, UINT32_MAX);  // certain below 6
  EXPECT_EQ(Keyspace::LfuFrequency(*entry, clock), uint8_t{6});
  for (int i = 0; i < 1'000'000; i++)
    Keyspace::Touch(entry, clock, static_cast<uint32_t>(random.Next()));
  // Redis's documentation: factor 10, a million hits: 255; a thousand: 18.
  EXPECT_EQ(Keyspace::LfuFrequency(*entry, clock), uint8_t{255});
  clock.lfu_minutes = 4;  // ten minutes on, round the 16 bits
  EXPECT_EQ(Keyspace::LfuFrequency(*entry, clock), uint8_t{245});
  clock.lfu_decay_minutes = 0;
  EXPECT_EQ(Keyspace::LfuFrequency(*entry, clock), uint8_t{255});
}

}  // namespace
}  // namespace sherd::engine
