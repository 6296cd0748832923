// Snapshots as commands: the base of an AOF with aof-use-rdb-preamble off. Long values come in commands of
// kBatchMax elements, as Redis writes them, so that whoever loads the file never holds much of it at once.
//
// Field expiries follow their hash (HPEXPIREAT), a key's expiry follows its value (PEXPIREAT). What a stream's
// groups hold is told by XCLAIM … FORCE JUSTID; Redis cannot tell it exactly either, where an entry is pending but
// deleted.
#include <span>

#include "base/numbers.h"
#include "engine/hash_value.h"
#include "engine/list_value.h"
#include "engine/set_value.h"
#include "engine/sorted_set_value.h"
#include "engine/stream_value.h"
#include "persistence/snapshot_records.h"

namespace sherd::persistence {

using ds::StreamId;
using engine::Entry;
using engine::Type;

namespace {

// Redis's AOF_REWRITE_ITEMS_PER_CMD.
constexpr int kBatchMax = 64;

/// Decimal text of a number, or an id.
class NumberText {
 public:
  explicit NumberText(int64_t value) : size_(FormatInt64(value, text_)) {}
  explicit NumberText(uint64_t value) : size_(FormatUint64(value, text_)) {}
  explicit NumberText(StreamId id) : size_(id.Format(text_)) {}
  operator std::string_view() const { return {text_, size_}; }

 private:
  char text_[StreamId::kCharsMax];
  size_t size_;
};

/// Appends commands, and hands over what has become much.
class CommandWriter {
 public:
  CommandWriter(std::string* out, RdbSink* sink) : out_(out), sink_(sink) {}

  bool stopped() const { return stopped_; }

  void Begin(size_t words) { Header('*', words); }
  void Word(std::string_view word) {
    Header('$', word.size());
    out_->append(word).append("\r\n");
  }
  void Command(std::initializer_list<std::string_view> words) {
    Begin(words.size());
    for (const std::string_view word : words) Word(word);
    End();
  }
  /// To be called behind each command.
  void End() {
    if (sink_ == nullptr || out_->size() < RdbWriter::kSinkMin) return;
    if (!stopped_) stopped_ = !sink_->Take(out_);
    out_->clear();
  }

 private:
  void Header(char kind, size_t number) {
    char text[kInt64CharsMax];
    out_->push_back(kind);
    out_->append(text, FormatUint64(number, text)).append("\r\n");
  }

  std::string* out_;
  RdbSink* sink_;
  bool stopped_ = false;
};

/// Commands of one name and key with up to kBatchMax elements, of `words` words each.
class Batches {
 public:
  Batches(CommandWriter* writer, std::string_view name, std::string_view key, size_t count, size_t words)
      : writer_(writer), name_(name), key_(key), left_(count), words_(words) {}

  /// To be called in front of each element's words.
  void Next() {
    if (in_batch_ == 0) {
      in_batch_ = left_ < kBatchMax ? left_ : kBatchMax;
      left_ -= in_batch_;
      if (has_begun_) writer_->End();
      has_begun_ = true;
      writer_->Begin(2 + in_batch_ * words_);
      writer_->Word(name_);
      writer_->Word(key_);
    }
    in_batch_--;
  }

 private:
  CommandWriter* writer_;
  std::string_view name_;
  std::string_view key_;
  size_t left_;
  size_t words_;
  size_t in_batch_ = 0;
  bool has_begun_ = false;
};

void WriteHash(const Entry& entry, CommandWriter* writer) {
  const std::string_view key = entry.key();
  Batches batches(writer, "HSET", key, engine::HashValue(entry).stored_size(), 2);
  engine::ForEachHashField(entry, [&](std::string_view name, std::string_view value, int64_t) {
    batches.Next();
    writer->Word(name);
    writer->Word(value);
    return !writer->stopped();
  });
  if (!entry.has_field_expiry()) return;
  engine::ForEachHashField(entry, [&](std::string_view name, std::string_view, int64_t at_ms) {
    if (at_ms != engine::kNoExpiry) {
      writer->Command({"HPEXPIREAT", key, NumberText(at_ms), "FIELDS", "1", name});
    }
    return !writer->stopped();
  });
}

void WriteSortedSet(const Entry& entry, CommandWriter* writer) {
  Batches batches(writer, "ZADD", entry.key(), engine::SortedSetLength(entry), 2);
  engine::ForEachScore(entry, [&](std::string_view member, double score) {
    char text[kDoubleCharsMax];
    batches.Next();
    writer->Word({text, FormatDouble(score, text)});
    writer->Word(member);
    return !writer->stopped();
  });
}

// ---- Streams ----

void WriteGroup(std::string_view key, const engine::StreamGroup& group, CommandWriter* writer) {
  writer->Command({"XGROUP", "CREATE", key, group.name(), NumberText(group.last_id), "ENTRIESREAD",
                   NumberText(group.entries_read)});
  for (const engine::StreamConsumer* consumer : group.consumers) {
    writer->Command({"XGROUP", "CREATECONSUMER", key, group.name(), consumer->name()});
    for (auto at = consumer->pel.First(); at && !writer->stopped(); at = consumer->pel.Next(at)) {
      const engine::StreamNack& nack = *consumer->pel.ValueAt(at);
      writer->Command({"XCLAIM", key, group.name(), consumer->name(), "0", NumberText(consumer->pel.IdAt(at)), "TIME",
                       NumberText(nack.delivery_time_ms), "RETRYCOUNT", NumberText(nack.delivery_count), "JUSTID",
                       "FORCE"});
    }
  }
}

void WriteStream(const Entry& entry, CommandWriter* writer) {
  const std::string_view key = entry.key();
  const engine::Stream& stream = engine::StreamOf(entry);
  engine::ForEachStreamEntry(entry, [&](StreamId id, ds::StreamCursor& cursor) {
    writer->Begin(3 + cursor.entry().field_count * 2);
    writer->Word("XADD");
    writer->Word(key);
    writer->Word(NumberText(id));
    cursor.ForEachField([&](ds::PackedValue field, ds::PackedValue value) {
      char digits[kInt64CharsMax];
      writer->Word(field.View(digits));
      writer->Word(value.View(digits));
    });
    writer->End();
    return !writer->stopped();
  });
  if (stream.length() == 0) {
    // A stream without entries is made of one that is trimmed at once. No entry has the id 0-0.
    const StreamId id = stream.last_id.is_zero() ? StreamId{0, 1} : stream.last_id;
    writer->Command({"XADD", key, "MAXLEN", "0", NumberText(id), "x", "y"});
  }
  writer->Command({"XSETID", key, NumberText(stream.last_id), "ENTRIESADDED", NumberText(stream.entries_added),
                   "MAXDELETEDID", NumberText(stream.max_deleted_id)});
  for (const engine::StreamGroup* group : stream.groups) WriteGroup(key, *group, writer);
}

void WriteList(const Entry& entry, CommandWriter* writer) {
  Batches batches(writer, "RPUSH", entry.key(), engine::ListLength(entry), 1);
  engine::ForEachListElement(entry, [&](std::string_view element) {
    batches.Next();
    writer->Word(element);
    return !writer->stopped();
  });
}

void WriteSet(const Entry& entry, CommandWriter* writer) {
  Batches batches(writer, "SADD", entry.key(), engine::SetObject(entry).size(), 1);
  engine::ForEachSetMember(entry, [&](std::string_view member) {
    batches.Next();
    writer->Word(member);
    return !writer->stopped();
  });
}

void WriteString(const Entry& entry, CommandWriter* writer) {
  engine::IntegerText text;
  writer->Command({"SET", entry.key(), engine::StringBytes(entry, &text)});
}

class AofRecords final : public SnapshotRecords {
 public:
  void FileHead(const SnapshotHead& head, std::string* out) override {
    CommandWriter writer(out, nullptr);
    for (const std::string& code : head.function_libraries) writer.Command({"FUNCTION", "LOAD", code});
  }
  void Select(int db, std::string* out) override {
    CommandWriter(out, nullptr).Command({"SELECT", NumberText(int64_t{db})});
  }
  void Head(const Entry&, std::string*) override {}
  void Body(const Entry& entry, std::string* out, RdbSink* sink) override {
    CommandWriter writer(out, sink);
    switch (entry.type()) {
      case Type::kString: WriteString(entry, &writer); break;
      case Type::kList: WriteList(entry, &writer); break;
      case Type::kSet: WriteSet(entry, &writer); break;
      case Type::kSortedSet: WriteSortedSet(entry, &writer); break;
      case Type::kHash: WriteHash(entry, &writer); break;
      case Type::kStream: WriteStream(entry, &writer); break;
      case Type::kModule: CHECK_MSG(false, "a type without commands that make it");
    }
    if (entry.has_expiry()) writer.Command({"PEXPIREAT", entry.key(), NumberText(entry.expiry_ms())});
  }
  void FileEnd(std::string*) override {}
  bool has_checksum() const override { return false; }
};

}  // namespace

std::unique_ptr<SnapshotRecords> MakeAofRecords() { return std::make_unique<AofRecords>(); }

}  // namespace sherd::persistence
