// HandlerTable: joins names with ids once at start and refuses to start when they do not fit together.
#include "engine/handlers.h"

#include "base/check.h"

namespace sherd::engine {

HandlerTable::HandlerTable(std::span<const std::span<const HandlerRow>> families)
    : rows_(AllCommands().size(), HandlerRow{nullptr, nullptr, nullptr}) {
  for (const std::span<const HandlerRow>& family : families) {
    for (const HandlerRow& row : family) {
      const CommandSpec* spec = FindFullCommand(row.full_name);
      CHECK_MSG(spec != nullptr, row.full_name);
      HandlerRow& place = rows_[static_cast<size_t>(spec->id)];
      CHECK_MSG(place.handler == nullptr, row.full_name);
      CHECK_MSG((spec->runs == Runs::kRouted) == (row.router != nullptr), row.full_name);
      place = row;
    }
  }
  for (const CommandSpec& spec : AllCommands()) {
    if (spec.runs == Runs::kControl || spec.subcommand_count > 0) continue;
    CHECK_MSG(rows_[static_cast<size_t>(spec.id)].handler != nullptr, spec.full_name);
  }
}

}  // namespace sherd::engine
