// GroupCommit: when the next sync of `appendfsync always` begins.
//
// A sync takes as long for one write as for fifty, and whoever writes waits for it. Clients that wait and come back are
// best served all by the same sync; but if each sync begins with whatever is there when the one before ends, they fall
// into two groups that take turns, and each waits for two syncs:
//
//   at once     sync A ██████ sync B ██████ sync A ██████        25 of 50 clients in each
//   gathered    sync   ██████·sync   ██████·sync   ██████        · A's clients come back: 50 in each
//
// So behind a sync the next waits for as many units as that one let go and as came meanwhile, though no longer than a
// quarter of what the sync took. Where that gains less than it costs (clients that think first, or don't come back), it
// is left out, for longer each time.
//
// Thread: the journal's.
#pragma once

#include <cstdint>

namespace sherd::persistence {

class GroupCommit {
 public:
  /// A sync has ended at `now_ns`, `took_ns` after it began. It let `released` units go; `waiting` have come meanwhile.
  void EndSync(int64_t now_ns, int64_t took_ns, uint64_t released, uint64_t waiting);
  /// How long to wait before this is asked again; 0: the sync of the `waiting` units (one at least) begins now.
  int64_t WaitNs(int64_t now_ns, uint64_t waiting);

 private:
  void EndWait(int64_t now_ns, uint64_t waiting);

  int64_t took_ns_ = 0;
  int64_t until_ns_ = 0;       // 0: nothing is waited for
  int64_t started_ns_ = 0;     // when WaitNs was first asked; 0: not yet
  uint64_t at_start_ = 0;      // units at that time
  uint64_t target_ = 0;
  uint32_t pause_syncs_ = 0;       // so long it was left out last
  uint32_t pause_left_syncs_ = 0;  // and so long it is yet
};

}  // namespace sherd::persistence
