// The builders' half of LoadRdb: batches of records, and the threads that make entries of them. Private to
// rdb_loader.cc; the picture is in rdb_loader.h.
//
// Threads: the scanner calls Take, Send, Finish and looks at has_failed(); builders live in Start … Finish.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "persistence/load_progress.h"
#include "persistence/rdb_loader.h"
#include "persistence/value_reader.h"

namespace sherd::persistence {

/// One key of the file. Views into the batch.
struct RdbRecord {
  std::string_view key;
  std::string_view value;  // without the type byte; exactly its bytes
  uint64_t offset;         // in the file
  int64_t expiry_ms;
  int64_t idle_sec;        // -1: not said
  int db;
  int16_t frequency;       // -1: not said
  uint16_t slot;
  uint8_t type;
};

struct RdbBatch {
  std::unique_ptr<char[]> bytes;
  size_t capacity = 0;
  size_t filled = 0;
  size_t scanned = 0;             // up to here it is cut into records
  uint64_t file_offset = 0;       // of bytes[0]
  std::deque<std::string> keys;   // those that are not plain in the file
  std::vector<std::vector<RdbRecord>> records;  // by builder
  std::atomic<int> users{0};

  std::string_view view() const { return {bytes.get(), filled}; }
};

class RdbBuilders {
 public:
  static constexpr size_t kBatchBytes = 256 * 1024;

  RdbBuilders(engine::Engine* engine, const RdbLoadOptions& options, LoadProgress* progress);
  ~RdbBuilders() { Finish(); }
  RdbBuilders(const RdbBuilders&) = delete;
  RdbBuilders& operator=(const RdbBuilders&) = delete;

  /// Which builder has the keys of a slot.
  size_t BuilderOf(uint16_t slot) const { return engine_->ShardOfSlot(slot) % lanes_.size(); }
  /// An empty batch with room for `capacity` bytes; waits while too much is in flight.
  std::unique_ptr<RdbBatch> Take(size_t capacity);
  /// Enlarges a batch without records, keeping what it holds.
  void Enlarge(RdbBatch* batch, size_t capacity);
  void Send(std::unique_ptr<RdbBatch> batch);
  /// Waits for everything sent to be built, and ends the threads.
  void Finish();

  bool has_failed() const { return has_failed_.load(std::memory_order_relaxed); }
  /// What is wrong at the lowest offset; after Finish().
  const std::string& fault() const { return fault_; }
  uint64_t fault_offset() const { return fault_offset_; }
  uint64_t keys() const;
  uint64_t empty_keys() const;

 private:
  /// One builder: its queue, and what only it touches.
  struct alignas(64) Lane {
    std::thread thread;
    std::deque<RdbBatch*> queue;  // guarded by mutex_
    LoadedValue value;            // reused, for its buffer
    uint64_t keys = 0;
    uint64_t empty_keys = 0;
  };

  void Run(size_t index);
  void Build(Lane* lane, const std::vector<RdbRecord>& records);
  bool BuildOne(Lane* lane, const RdbRecord& record, const engine::Key& key);
  void SetAccess(const RdbRecord& record, engine::Entry* entry) const;
  void Recycle(RdbBatch* batch);
  bool Fail(const RdbRecord& record, std::string reason);

  engine::Engine* const engine_;
  const bool is_inline_;
  const bool replaces_keys_;
  const engine::AccessClock clock_;
  LoadProgress* const progress_;
  std::vector<std::unique_ptr<Lane>> lanes_;

  std::mutex mutex_;  // guards what follows; taken once a batch
  std::condition_variable has_work_;
  std::condition_variable has_room_;
  std::vector<std::unique_ptr<RdbBatch>> free_;
  size_t bytes_in_flight_ = 0;
  size_t batches_out_ = 0;
  bool is_closing_ = false;
  std::string fault_;
  uint64_t fault_offset_ = 0;
  std::atomic<bool> has_failed_{false};
};

}  // namespace sherd::persistence
