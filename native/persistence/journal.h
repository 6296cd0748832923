// Journal: one order of effects (R9), and the thread that writes it to the AOF.
//
//   worker 0 ── unit ends ──► lane 0 ─┐                                   ┌─► write, checksum line
//   worker 1 ── unit ends ──► lane 1 ─┼─► merge by number ─► AofFile ─────┤
//   runner   ── unit ends ──► lane n ─┘    + SELECT, MULTI … EXEC         └─► fdatasync ─► acknowledged
//
// A unit takes the next number of one counter while its leases are still held, so the numbers are dense and
// agree with the order of every shard (docs/internals/journal.md has the argument). The journal's thread takes
// frames from the lanes strictly by number: what it appends is one history that could have happened.
//
// States of the file, and what moves them:
//
//   off ── Open, Begin ──► writing ◄──── Resume, Open(next) ──── held
//    ▲                       │  └────────────── Cut ───────────────▲
//    └──────── Close ────────┘     (frames up to the cut written and synced, later ones stay in their lanes)
//
// With Prepare before it, a cut holds nobody up for longer than the sync of what is left of the old file: the journal's
// thread goes on in the prepared file by itself.
//
// Invariants
// 1. Frames leave the lanes in the order 1, 2, 3, …; each is appended once.
// 2. acknowledged ≤ the last unit that is in the file, and synced under always (unless syncs are held back).
// 3. What has been taken from a lane stays in memory until it is written, and under always until it is synced.
// 4. Nothing is written to a prepared file before all in front of it is synced in the old one.
// 5. While `error` is set, writes are refused; the journal tries again every kRetryMs by itself.
//
// Threads: OnEffect and EndUnit by those that run commands, Cut, Begin and End by whoever holds all leases, the
// control functions by any thread that may block; the rest is the journal's own thread, and one beside it that
// syncs under everysec.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/snapshot_journal.h"
#include "persistence/aof_file.h"
#include "persistence/group_commit.h"
#include "persistence/journal_lane.h"
#include "ring/doorbell.h"

namespace sherd::persistence {

enum class AppendFsync : uint8_t { kAlways, kEverySec, kNo };

struct JournalStatus {
  bool is_on = false;
  uint64_t file_bytes = 0;
  uint64_t pending_bytes = 0;
  int write_error = 0;
  int sync_error = 0;
  int64_t sync_started_ms = 0;  // unix; 0: none is under way
  uint64_t delayed_syncs = 0;
  uint64_t offset = 0;
};

class Journal final : public engine::PropagationSink, public engine::UnitSink, public engine::SnapshotJournal {
 public:
  /// `on_acknowledged` is called on the journal's thread after Durability has moved.
  Journal(engine::Engine& engine, std::function<void()> on_acknowledged, OpenFile open_file = OpenDiskFile);
  /// Writes what it can, and ends.
  ~Journal() override;

  // ---- engine::PropagationSink, UnitSink ----
  void OnEffect(int db, std::span<const std::string_view> args) override;
  uint64_t EndUnit(engine::ThreadState& thread) override;
  void Wake() override { bell_.Ring(); }

  // ---- engine::SnapshotJournal ----
  void Cut() override;
  void Begin() override;
  engine::CutResult Wait() override;

  // ---- Control: 0 or an errno ----

  /// The file that is written to from here on: after a cut in place of the present one, what is held back
  /// first; else the one that Begin needs.
  int Open(const std::string& path, uint64_t offset, uint64_t crc);
  /// The next cut goes on in this new file by itself. What is written so far is synced beside the journal's thread
  /// first, so that replies do not wait and little is left to sync in the instant. Returns when that is so.
  int Prepare(const std::string& path);
  /// After a cut, or instead of one that was prepared: on in the present file.
  int Resume();
  /// Everything so far is written and synced.
  int SyncAll();
  /// No more effects from here on; all leases are held. Close comes next.
  void End();
  /// Writes, syncs and closes. With an error, too, it is closed then.
  int Close();

  void SetPolicy(AppendFsync policy, bool has_timestamps);
  /// no-appendfsync-on-rewrite.
  void HoldSync(bool holds);
  JournalStatus status();
  bool is_on() const { return is_on_.load(std::memory_order_relaxed); }

 private:
  enum class FileState : uint8_t { kOff, kWriting, kHeld };
  struct SyncJob {
    DiskFile* disk = nullptr;  // null: none
    uint64_t covered = 0;
    uint64_t seq = 0;
    int64_t started_ns = 0;
    int error = 0;
    bool is_done = false;
    bool counted_as_delayed = false;
  };

  // ---- The journal's thread ----
  void Loop();
  bool Step();
  bool Merge();
  void AppendFrame(const JournalFrame& frame);
  void AppendCommand(int64_t db, std::string_view command);
  void AppendTimestamp();
  bool WriteAndSync();
  bool WritePending();
  int SyncNow();
  bool WaitForOthers();
  bool MustSyncNow() const;
  bool TakeSyncResult();
  void StartSync();
  void WaitForSync();
  void SetError(int error, bool is_sync);
  void Publish();
  bool HasWork();
  void Rest(bool did_something);
  void Answer();
  void UpdateHolds();
  bool CloseIfAsked();
  void CloseFile();
  void TakeFile(std::unique_ptr<AofFile> file);
  bool CanEndCut() const;
  void EndCut();
  int SyncBeside();
  void SyncLoop();

  engine::Engine& engine_;
  const std::function<void()> on_acknowledged_;
  const OpenFile open_file_;
  std::vector<std::unique_ptr<JournalLane>> lanes_;  // by ThreadState::worker
  alignas(64) std::atomic<uint64_t> last_seq_{0};    // numbers given out
  alignas(64) std::atomic<uint64_t> queued_bytes_{0};  // in the lanes, about
  /// Frames above this stay in their lanes. relaxed: set while nobody has a lease, so that who finds a later
  /// frame finds this, too.
  std::atomic<uint64_t> cut_seq_{UINT64_MAX};
  std::atomic<bool> is_on_{false};
  std::atomic<bool> is_failing_{false};
  std::atomic<AppendFsync> policy_{AppendFsync::kEverySec};
  std::atomic<bool> has_timestamps_{false};
  std::atomic<bool> holds_sync_{false};
  ring::Doorbell bell_;

  // Between callers and the journal's thread; under mutex_.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<AofFile> next_file_;
  std::unique_ptr<AofFile> prepared_;  // where the next cut goes on
  bool is_cut_ = false;                // Cut has been called, and not yet Wait
  bool is_cut_pending_ = false;        // … and its frames are not all synced
  uint64_t failures_at_cut_ = 0;
  bool must_resume_ = false;
  bool must_close_ = false;
  bool is_stopping_ = false;
  uint64_t sync_target_ = 0;      // everything up to this is to be synced, whatever the policy
  uint64_t synced_target_ = 0;    // how far that has come
  uint64_t beside_target_ = 0;    // everything up to this is to be synced beside the journal's thread
  uint64_t failures_ = 0;         // counts attempts that failed, for those who wait
  int last_error_ = 0;
  JournalStatus status_;
  FileState state_ = FileState::kOff;
  int close_error_ = 0;

  // The journal's thread only.
  std::unique_ptr<AofFile> file_;
  size_t lane_ = 0;               // where the last frame came from
  uint64_t merged_seq_ = 0;       // in the buffer of the file
  uint64_t written_seq_ = 0;
  uint64_t durable_seq_ = 0;
  uint64_t published_seq_ = 0;
  uint64_t wanted_sync_ = 0;      // copy of sync_target_
  uint64_t wanted_beside_ = 0;    // copy of beside_target_
  GroupCommit group_;             // always: when the next sync begins
  int64_t db_ = -1;               // selected in the file
  uint64_t offset_ = 0;           // of the stream of effects
  uint64_t cut_offset_ = 0;       // the same at the last cut
  int64_t timestamp_sec_ = 0;
  int write_error_ = 0;
  int sync_error_ = 0;
  int new_error_ = 0;             // not yet told to those who wait
  int64_t retry_at_ns_ = 0;
  int64_t next_sync_ns_ = 0;
  bool has_gap_ = false;          // a number was given out whose frame is not there yet
  uint64_t delayed_syncs_ = 0;
  std::atomic<int64_t> sync_started_ms_{0};

  // The helper's: a job is the helper's until it is done. Under sync_mutex_.
  std::mutex sync_mutex_;
  std::condition_variable sync_changed_;
  SyncJob job_;
  bool is_sync_thread_stopping_ = false;

  std::thread thread_;
  std::thread sync_thread_;
};

}  // namespace sherd::persistence
