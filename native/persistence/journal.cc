// Journal: the way of a unit into the file, and the functions of control. The syncs are in journal_sync.cc.
#include "persistence/journal.h"

#include <poll.h>
#include <sys/prctl.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/check.h"
#include "base/clock.h"
#include "base/numbers.h"
#include "engine/thread_state.h"

namespace sherd::persistence {

namespace {

// Producers wait above this, so that a disk that is slower than the clients costs them and not the memory.
constexpr uint64_t kQueuedBytesMax = 256 << 20;
// One write takes about this much; while writing fails, this much is merged ahead.
constexpr size_t kBatchBytes = 4 << 20;

constexpr std::string_view kMulti = "*1\r\n$5\r\nMULTI\r\n";
constexpr std::string_view kExec = "*1\r\n$4\r\nEXEC\r\n";

}  // namespace

Journal::Journal(engine::Engine& engine, std::function<void()> on_acknowledged, OpenFile open_file)
    : engine_(engine), on_acknowledged_(std::move(on_acknowledged)), open_file_(std::move(open_file)) {
  for (size_t i = 0; i < engine.layout().threads(); i++) lanes_.push_back(std::make_unique<JournalLane>());
  thread_ = std::thread([this] { Loop(); });
  sync_thread_ = std::thread([this] { SyncLoop(); });
}

Journal::~Journal() {
  if (engine_.propagation_sink.load(std::memory_order_relaxed) == this) {
    engine_.propagation_sink.store(nullptr, std::memory_order_relaxed);
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_stopping_ = true;
  }
  bell_.Ring();
  thread_.join();
  {
    const std::lock_guard<std::mutex> lock(sync_mutex_);
    is_sync_thread_stopping_ = true;
  }
  sync_changed_.notify_all();
  sync_thread_.join();
}

// ---- Units ----

void Journal::OnEffect(int db, std::span<const std::string_view> args) {
  engine::ThisThread().effects.Add(this, db, args);
}

uint64_t Journal::EndUnit(engine::ThreadState& thread) {
  engine::EffectBuffer& unit = thread.effects;
  // relaxed: the unit's shards have been handed over with release and acquire since their last unit, so this
  // addition comes after that one's in the order of changes of this word; nothing else is read by it.
  const uint64_t seq = last_seq_.fetch_add(1, std::memory_order_relaxed) + 1;
  const bool is_new_chunk = lanes_[thread.worker]->Push(seq, unit, &queued_bytes_);
  unit.Clear();
  unit.must_wake = true;
  if (thread.port == nullptr) {
    // Not a worker, which rings at the end of its batch.
    unit.must_wake = false;
    bell_.Ring();
  }
  if (__builtin_expect(is_new_chunk, 0)) {
    // Not while writes fail (they are refused then) or are held back (which is over soon, and not by waiting).
    while (queued_bytes_.load(std::memory_order_relaxed) > kQueuedBytesMax &&
           !is_failing_.load(std::memory_order_relaxed) &&
           cut_seq_.load(std::memory_order_relaxed) == UINT64_MAX) {
      bell_.Ring();
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }
  return seq;
}

// ---- Merge ----

/// Takes frames in the order of their numbers. True if there was one.
bool Journal::Merge() {
  has_gap_ = false;
  bool has_any = false;
  const size_t count = lanes_.size();
  while (file_->pending_bytes() < kBatchBytes) {
    const uint64_t next = merged_seq_ + 1;
    JournalFrame frame;
    size_t tried = 0;
    bool is_found = false;
    for (; tried < count; tried++) {
      if (!lanes_[lane_]->Peek(&frame, &queued_bytes_)) {
        lane_ = lane_ + 1 == count ? 0 : lane_ + 1;
        continue;
      }
      if (frame.seq == next) {
        is_found = true;
        break;
      }
      CHECK(frame.seq > next);
      has_gap_ = true;
      lane_ = lane_ + 1 == count ? 0 : lane_ + 1;
    }
    if (!is_found) return has_any;
    has_gap_ = false;
    if (next > cut_seq_.load(std::memory_order_relaxed)) return has_any;
    AppendFrame(frame);
    lanes_[lane_]->Pop();
    merged_seq_ = next;
    has_any = true;
  }
  return has_any;
}

void Journal::AppendFrame(const JournalFrame& frame) {
  if (has_timestamps_.load(std::memory_order_relaxed)) AppendTimestamp();
  std::string_view rest = frame.effects;
  for (uint32_t i = 0; i < frame.effect_count; i++) {
    engine::EffectHead head;
    std::memcpy(&head, rest.data(), sizeof head);
    rest.remove_prefix(sizeof head);
    // As Redis: the MULTI belongs to the database of the first effect, so a SELECT comes in front of it.
    if (i == 0 && frame.effect_count > 1) AppendCommand(head.db, kMulti);
    AppendCommand(head.db, rest.substr(0, head.bytes));
    rest.remove_prefix(head.bytes);
  }
  CHECK(rest.empty());
  if (frame.effect_count > 1) AppendCommand(db_, kExec);
}

void Journal::AppendCommand(int64_t db, std::string_view command) {
  if (db != db_) {
    db_ = db;
    char number[24];
    const std::string_view text(number, FormatInt64(db, number));
    const std::string select =
        "*2\r\n$6\r\nSELECT\r\n$" + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n";
    file_->AddCommand(select);
    offset_ += select.size();
  }
  file_->AddCommand(command);
  offset_ += command.size();
}

/// aof-timestamp-enabled: at most one annotation a second.
void Journal::AppendTimestamp() {
  const int64_t now_sec = Clock::WallMs() / 1000;
  if (now_sec <= timestamp_sec_) return;
  timestamp_sec_ = now_sec;
  file_->AddAnnotation("#TS:" + std::to_string(now_sec) + "\r\n");
}

// ---- Control ----

int Journal::Open(const std::string& path, uint64_t offset, uint64_t crc) {
  int error = 0;
  std::unique_ptr<DiskFile> disk = open_file_(path, &error);
  if (disk == nullptr) return error;
  auto file = std::make_unique<AofFile>(std::move(disk), offset, crc);
  if ((error = file->Open()) != 0) return error;
  std::unique_lock<std::mutex> lock(mutex_);
  if (state_ == FileState::kWriting) return EBUSY;  // what is in there may not be synced
  next_file_ = std::move(file);
  bell_.Ring();
  changed_.wait(lock, [this] { return next_file_ == nullptr; });
  return 0;
}

int Journal::Prepare(const std::string& path) {
  int error = 0;
  std::unique_ptr<DiskFile> disk = open_file_(path, &error);
  if (disk == nullptr) return error;
  auto file = std::make_unique<AofFile>(std::move(disk), 0, 0);
  if ((error = file->Open()) != 0) return error;
  // The first takes what a second has left, the second what came during the first, which is little.
  for (int round = 0; round < 2; round++) {
    if ((error = SyncBeside()) != 0) return error;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  if (state_ != FileState::kWriting) return EBADF;
  prepared_ = std::move(file);
  return 0;
}

void Journal::Begin() {
  CHECK(!is_on());
  const std::lock_guard<std::mutex> lock(mutex_);
  is_on_.store(true, std::memory_order_relaxed);
  UpdateHolds();
  // relaxed: all leases are held, and their release publishes it.
  engine_.propagation_sink.store(this, std::memory_order_relaxed);
}

void Journal::End() {
  is_on_.store(false, std::memory_order_relaxed);
  engine_.propagation_sink.store(nullptr, std::memory_order_relaxed);
}

void Journal::Cut() {
  // Under the mutex: the journal's thread must not see half of it, and end the cut before it is pending.
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t seq = last_seq_.load(std::memory_order_relaxed);
  cut_seq_.store(seq, std::memory_order_relaxed);
  if (seq > sync_target_) sync_target_ = seq;
  is_cut_pending_ = true;
  is_cut_ = true;
  failures_at_cut_ = failures_;
  UpdateHolds();
  bell_.Ring();
}

engine::CutResult Journal::Wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!is_cut_) return {0, status_.offset};
  is_cut_ = false;
  changed_.wait(lock, [&] { return !is_cut_pending_ || failures_ != failures_at_cut_; });
  if (!is_cut_pending_) return {0, cut_offset_};
  // Whoever asked hears that there is no cut, so the journal must not go on in the new file by itself later.
  prepared_.reset();
  return {last_error_, 0};
}

int Journal::Resume() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (state_ == FileState::kOff) return EBADF;
  prepared_.reset();
  must_resume_ = true;
  bell_.Ring();
  changed_.wait(lock, [this] { return !must_resume_; });
  return 0;
}

int Journal::SyncAll() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (state_ == FileState::kOff) return 0;
  const uint64_t cut = cut_seq_.load(std::memory_order_relaxed);
  const uint64_t last = last_seq_.load(std::memory_order_relaxed);
  const uint64_t target = last < cut ? last : cut;
  if (target > sync_target_) sync_target_ = target;
  UpdateHolds();
  const uint64_t failures = failures_;
  bell_.Ring();
  changed_.wait(lock, [&] { return synced_target_ >= target || failures_ != failures || state_ == FileState::kOff; });
  return synced_target_ >= target ? 0 : last_error_;
}

int Journal::Close() {
  std::unique_lock<std::mutex> lock(mutex_);
  CHECK(!is_on());
  if (state_ == FileState::kOff) return 0;
  must_close_ = true;
  bell_.Ring();
  changed_.wait(lock, [this] { return state_ == FileState::kOff; });
  return close_error_;
}

void Journal::SetPolicy(AppendFsync policy, bool has_timestamps) {
  has_timestamps_.store(has_timestamps, std::memory_order_relaxed);
  const std::lock_guard<std::mutex> lock(mutex_);
  policy_.store(policy, std::memory_order_relaxed);
  UpdateHolds();
  bell_.Ring();
}

void Journal::HoldSync(bool holds) {
  holds_sync_.store(holds, std::memory_order_relaxed);
  bell_.Ring();
}

JournalStatus Journal::status() {
  const std::lock_guard<std::mutex> lock(mutex_);
  JournalStatus status = status_;
  status.is_on = is_on();
  status.pending_bytes += queued_bytes_.load(std::memory_order_relaxed);
  status.sync_started_ms = sync_started_ms_.load(std::memory_order_relaxed);
  return status;
}

/// Whether replies wait at all: under always until they are synced, else until they are written, so that kill -9 loses
/// nothing that was answered. Neither a cut nor a sync is an exception: what was answered meanwhile would be in memory
/// alone, for as long as the disk takes. mutex_ is held.
void Journal::UpdateHolds() {
  const bool holds = is_on();
  // seq_cst: from here on no worker lets a reply go that is not covered.
  if (engine_.durability.holds_replies.exchange(holds) && !holds) on_acknowledged_();
}

/// The journal goes on in `file`. All in front of it is in the old one, and synced. mutex_ is held.
void Journal::TakeFile(std::unique_ptr<AofFile> file) {
  WaitForSync();
  file_ = std::move(file);
  state_ = FileState::kWriting;
  cut_seq_.store(UINT64_MAX, std::memory_order_relaxed);
  is_cut_pending_ = false;
  db_ = -1;
  timestamp_sec_ = 0;
}

/// Whether there is a cut whose frames are all synced. mutex_ is held.
bool Journal::CanEndCut() const {
  const uint64_t cut = cut_seq_.load(std::memory_order_relaxed);
  return cut != UINT64_MAX && state_ == FileState::kWriting && durable_seq_ >= cut;
}

/// Ends such a cut. mutex_ is held.
void Journal::EndCut() {
  if (!CanEndCut()) return;
  cut_offset_ = offset_;
  is_cut_pending_ = false;
  if (prepared_ != nullptr) return TakeFile(std::move(prepared_));
  state_ = FileState::kHeld;
}

/// Takes what callers have asked for, and tells them how far it is. Between two steps.
void Journal::Answer() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (next_file_ != nullptr) TakeFile(std::move(next_file_));
  if (must_resume_) {
    must_resume_ = false;
    is_cut_pending_ = false;
    state_ = FileState::kWriting;
    cut_seq_.store(UINT64_MAX, std::memory_order_relaxed);
    db_ = -1;  // a snapshot's stream begins at the cut, and must not depend on what was before
  }
  if (must_close_ || (is_stopping_ && state_ != FileState::kOff)) {
    cut_seq_.store(UINT64_MAX, std::memory_order_relaxed);
    is_cut_pending_ = false;
    sync_target_ = last_seq_.load(std::memory_order_relaxed);
  }
  EndCut();
  if (new_error_ != 0) {
    failures_++;
    last_error_ = new_error_;
    new_error_ = 0;
  }
  wanted_sync_ = sync_target_;
  wanted_beside_ = beside_target_;
  synced_target_ = durable_seq_;
  if (state_ != FileState::kOff) UpdateHolds();
  status_.file_bytes = file_ == nullptr ? 0 : file_->written();
  status_.pending_bytes = file_ == nullptr ? 0 : file_->pending_bytes();
  status_.write_error = write_error_;
  status_.sync_error = sync_error_;
  status_.delayed_syncs = delayed_syncs_;
  status_.offset = offset_;
  changed_.notify_all();
}

// ---- The thread ----

void Journal::Loop() {
  // Otherwise a short sleep (WaitForOthers) lasts 50 us longer.
  prctl(PR_SET_TIMERSLACK, 1'000UL);
  for (;;) {
    Answer();
    const bool did_something = file_ != nullptr && Step();
    const bool must_stop = CloseIfAsked();
    if (must_stop && file_ == nullptr) return;
    Rest(did_something);
  }
}

/// Closes the file if that was asked for and all is in it, or cannot be written. True: the thread is to end.
bool Journal::CloseIfAsked() {
  bool is_closing;
  bool is_stopping;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_stopping = is_stopping_;
    is_closing = must_close_ || (is_stopping && file_ != nullptr);
  }
  const bool has_failed = (write_error_ | sync_error_) != 0;
  if (!is_closing || (durable_seq_ < last_seq_.load(std::memory_order_relaxed) && !has_failed)) return is_stopping;
  WaitForSync();  // may take its time; nobody waits for the mutex meanwhile
  const std::lock_guard<std::mutex> lock(mutex_);
  close_error_ = write_error_ != 0 ? write_error_ : sync_error_;
  if (file_ != nullptr) CloseFile();
  must_close_ = false;
  state_ = FileState::kOff;
  changed_.notify_all();
  return is_stopping;
}

/// Ends the present file; what is not in it then is dropped, as far as a caller has decided so. mutex_ is held.
void Journal::CloseFile() {
  WaitForSync();
  file_.reset();
  prepared_.reset();
  // Off: what is still in the lanes has no file to go to.
  const uint64_t last = last_seq_.load(std::memory_order_relaxed);
  JournalFrame frame;
  while (merged_seq_ < last) {
    for (auto& lane : lanes_) {
      while (lane->Peek(&frame, &queued_bytes_)) {
        lane->Pop();
        merged_seq_++;
      }
    }
  }
  written_seq_ = durable_seq_ = merged_seq_;
  write_error_ = sync_error_ = 0;
  engine_.durability.error.store(0, std::memory_order_relaxed);
  is_failing_.store(false, std::memory_order_relaxed);
  engine_.durability.holds_replies.store(false);
  Publish();
  on_acknowledged_();
}

/// Something to do that a bell is rung for.
bool Journal::HasWork() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (next_file_ != nullptr || must_resume_ || must_close_ || is_stopping_ || sync_target_ != wanted_sync_ ||
        beside_target_ != wanted_beside_) {
      return true;
    }
    // One that came after everything in front of it had been synced brings no work but its end.
    if (CanEndCut()) return true;
  }
  if (file_ == nullptr) return false;
  if (durable_seq_ < written_seq_ && MustSyncNow()) return true;
  {
    const std::lock_guard<std::mutex> lock(sync_mutex_);
    if (job_.disk != nullptr && job_.is_done) return true;
  }
  return state_ == FileState::kWriting && last_seq_.load(std::memory_order_relaxed) != merged_seq_;
}

/// Sleeps until there is something to do.
void Journal::Rest(bool did_something) {
  const bool has_failed = (write_error_ | sync_error_) != 0;
  if (!has_failed) {
    if (has_gap_) return std::this_thread::yield();
    if (did_something) return;
    // A unit whose number is taken is a moment from being there.
    if (!bell_.PrepareToSleep([this] { return HasWork(); })) return std::this_thread::yield();
  } else {
    (void)bell_.PrepareToSleep([] { return false; });
  }
  // A sync that falls due, and another try, come by the clock.
  constexpr int kSleepMs = 50;
  const bool is_unsynced = durable_seq_ < written_seq_ && policy_.load(std::memory_order_relaxed) != AppendFsync::kNo;
  const bool waits_for_clock = file_ != nullptr && (has_failed || is_unsynced);
  pollfd wait{bell_.fd(), POLLIN, 0};
  poll(&wait, 1, waits_for_clock ? kSleepMs : -1);
  bell_.Awake();
  bell_.Drain();
}

}  // namespace sherd::persistence
