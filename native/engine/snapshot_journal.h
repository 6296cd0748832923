// SnapshotJournal: what a snapshot asks of the journal in its instant.
//
// A base file and the journal behind it must meet exactly: each effect is in the one or in the other. So the
// journal is cut, or begun, while the snapshot holds all leases; what takes time is waited for afterwards.
//
// Threads: Cut and Begin by the one that holds all leases; Wait by any, without leases.
#pragma once

#include <cstdint>

namespace sherd::engine {

/// What came of a cut.
struct CutResult {
  int error = 0;        // errno of what failed, 0: all is done
  uint64_t offset = 0;  // of the replication stream at the instant
};

class SnapshotJournal {
 public:
  /// Units so far go to the present file; later ones are held back until the journal is opened in another
  /// file or resumed.
  virtual void Cut() = 0;
  /// The journal was off, its file has been prepared, and it gets all units from here on.
  virtual void Begin() = 0;
  /// Until what Cut asked for is written and synced (or Begin's file is in use).
  virtual CutResult Wait() = 0;

 protected:
  ~SnapshotJournal() = default;
};

}  // namespace sherd::engine
