// The table that joins command specs with the C++ functions that run them.
//
// Families in native/commands each end in a table of rows; commands/registry.cc collects them; the addon
// hands the result to the network layer. Metadata never appears here: it is the command table's.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "command_table/command_table.h"
#include "engine/command_context.h"

namespace sherd::engine {

/// Where a command line of a `routed` command runs.
struct Route {
  Runs runs = Runs::kConnection;        // any but kRouted
  std::vector<uint32_t> key_positions;  // kKeys: arguments that are keys
  ShardId first_shard = 0;              // kAllShards: from this shard on (SCAN)
};

/// Decides the route from the arguments. Must not fail: malformed lines are routed to kConnection, where
/// the handler replies with the error. Any I/O worker's thread.
using Router = void (*)(const Engine& engine, std::span<const std::string_view> args, Route* route);

struct HandlerRow {
  const char* full_name;  // as in the command table, "client|getname"
  Handler handler;
  Router router = nullptr;  // Runs::kRouted commands only
};

/// Handlers by CommandId.
class HandlerTable {
 public:
  /// Every row's name must exist in the command table, every non-control command must have a row.
  explicit HandlerTable(std::span<const std::span<const HandlerRow>> families);
  const HandlerRow& Find(CommandId id) const { return rows_[static_cast<size_t>(id)]; }

 private:
  std::vector<HandlerRow> rows_;
};

}  // namespace sherd::engine
