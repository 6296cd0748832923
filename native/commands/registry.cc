// Joins the families into one table. A new family needs its function in families.h and its name
// here.
//
// Thread: see registry.h. The table is built once and never destroyed, since worker threads may
// still look at it while the process exits.
#include "commands/registry.h"

#include <span>

#include "commands/families.h"

namespace sherd {

const engine::HandlerTable& Handlers() {
  static const engine::HandlerTable* const table = [] {
    // One family a line: families come and go.
    const std::span<const engine::HandlerRow> families[] = {
        StringHandlers(),
        LcsHandlers(),
        ConnectionHandlers(),
        KeyHandlers(),
        ExpireHandlers(),
        ScanHandlers(),
        ServerHandlers(),
        DebugHandlers(),
        BitmapHandlers(),
        BitfieldHandlers(),
        HyperLogLogHandlers(),
        ListHandlers(),
        SetHandlers(),
        SetCombineHandlers(),
        HashHandlers(),
        HashFieldTtlHandlers(),
        SortedSetHandlers(),
        SortedSetRangeHandlers(),
        SortedSetCombineHandlers(),
        GeoHandlers(),
        StreamHandlers(),
        StreamReadHandlers(),
        StreamGroupHandlers(),
        StreamInfoHandlers(),
        SortHandlers(),
        DumpHandlers(),
        TransactionHandlers(),
        BlockingHandlers(),
        PubsubHandlers(),
        TrackingHandlers(),
        ClientControlHandlers(),
    };
    return new engine::HandlerTable(families);
  }();
  return *table;
}

}  // namespace sherd
