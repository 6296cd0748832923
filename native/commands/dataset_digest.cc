// Dataset digest: see the header for the construction.
#include "commands/dataset_digest.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/numbers.h"
#include "engine/hash_value.h"
#include "engine/list_value.h"
#include "engine/set_value.h"
#include "engine/sorted_set_value.h"
#include "engine/stream_value.h"

namespace sherd {

namespace {

using engine::Entry;
using engine::Handle;
using engine::ShardId;
using engine::Table;

std::string_view AsText(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

void MixNumber(Digest* digest, uint32_t number) {
  uint8_t bytes[4];
  StoreBig32(bytes, number);
  digest->Mix(AsText(bytes, sizeof bytes));
}

Digest KeyDigest(const Entry& entry, int64_t now_ms) {
  Digest digest;
  digest.Mix(entry.key());
  MixEntry(&digest, entry, now_ms);
  return digest;
}

/// Adds up one database of all shards; returns how many keys there were.
size_t AddDatabase(engine::Engine& engine, int db, int64_t now_ms, Digest* sum) {
  size_t keys = 0;
  for (int shard = 0; shard < engine.shard_count(); shard++) {
    const Table& table = engine.keyspace(static_cast<ShardId>(shard)).db(db).table;
    table.VisitBuckets(0, table.bucket_count(), [&](Handle handle) {
      const Entry& entry = *handle.entry();
      if (entry.has_expiry() && entry.expiry_ms() < now_ms) return;
      sum->Add(AsText(KeyDigest(entry, now_ms).bytes, Sha1::kDigestSize));
      keys++;
    });
  }
  return keys;
}

}  // namespace

void Digest::Add(std::string_view data) {
  Digest hash;
  Sha1 sha1;
  sha1.Update(data);
  sha1.Finish(hash.bytes);
  Join(hash);
}

void Digest::Mix(std::string_view data) {
  Add(data);
  Sha1 sha1;
  sha1.Update(AsText(bytes, sizeof bytes));
  sha1.Finish(bytes);
}

void Digest::Join(const Digest& other) {
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] ^= other.bytes[i];
}

std::string Digest::Hex() const {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

namespace {

/// A pair whose order among others does not matter: mixed by itself, then added.
void AddPair(Digest* digest, std::string_view first, std::string_view second, bool expires = false) {
  Digest pair;
  pair.Mix(first);
  pair.Mix(second);
  if (expires) pair.Add("!!hexpire!!");
  digest->Add(AsText(pair.bytes, sizeof pair.bytes));
}

void MixList(Digest* digest, const Entry& entry) {
  engine::ForEachListElement(entry, [digest](std::string_view element) {
    digest->Mix(element);
    return true;
  });
}

void AddSet(Digest* digest, const Entry& entry) {
  engine::ForEachSetMember(entry, [digest](std::string_view member) {
    digest->Add(member);
    return true;
  });
}

void AddSortedSet(Digest* digest, const Entry& entry) {
  engine::ForEachScore(entry, [digest](std::string_view member, double score) {
    char text[kDoubleCharsMax];
    AddPair(digest, member, {text, FormatDouble17(score, text)});
    return true;
  });
}

void AddHash(Digest* digest, const Entry& entry, int64_t now_ms) {
  engine::ForEachHashField(entry, [=](std::string_view name, std::string_view value, int64_t at_ms) {
    if (at_ms != engine::kNoExpiry && at_ms <= now_ms) return true;
    AddPair(digest, name, value, at_ms != engine::kNoExpiry);
    return true;
  });
}

void MixStream(Digest* digest, const Entry& entry) {
  engine::ForEachStreamEntry(entry, [digest](ds::StreamId id, ds::StreamCursor& cursor) {
    char text[ds::StreamId::kCharsMax];
    const size_t size = id.Format(text);
    *static_cast<char*>(std::memchr(text, '-', size)) = '.';  // as Redis writes it here
    digest->Mix({text, size});
    cursor.ForEachField([digest](ds::PackedValue field, ds::PackedValue value) {
      char digits[kInt64CharsMax];
      digest->Mix(field.View(digits));
      digest->Mix(value.View(digits));
    });
    return true;
  });
}

}  // namespace

void MixEntry(Digest* digest, const Entry& entry, int64_t now_ms) {
  MixNumber(digest, static_cast<uint32_t>(entry.type()));
  engine::IntegerText text;
  switch (entry.type()) {
    case engine::Type::kString: digest->Mix(engine::StringBytes(entry, &text)); break;
    case engine::Type::kList: MixList(digest, entry); break;
    case engine::Type::kSet: AddSet(digest, entry); break;
    case engine::Type::kSortedSet: AddSortedSet(digest, entry); break;
    case engine::Type::kHash: AddHash(digest, entry, now_ms); break;
    case engine::Type::kStream: MixStream(digest, entry); break;
    case engine::Type::kModule: CHECK_MSG(false, "a type without a digest");
  }
  if (entry.has_expiry()) digest->Add("!!expire!!");
}

Digest DatasetDigest(engine::Engine& engine, int64_t now_ms) {
  Digest total;
  for (int db = 0; db < engine.database_count(); db++) {
    Digest sum;
    if (AddDatabase(engine, db, now_ms, &sum) == 0) continue;
    MixNumber(&total, static_cast<uint32_t>(db));
    total.Join(sum);
  }
  return total;
}

}  // namespace sherd
