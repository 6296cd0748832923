// Types whose RDB form is still to come.
#include "base/check.h"
#include "persistence/value_reader_types.h"
#include "persistence/value_writer_types.h"

namespace sherd::persistence {

#define SHERD_MISSING_CODEC(Name)                                                              \
  bool Read##Name##Value(const ReadContext&, RdbType, LoadedValue*) { return false; }         \
  RdbType TypeOf##Name(const engine::Entry&, uint32_t) { CHECK(false); return RdbType::kList; } \
  void Write##Name##Value(const engine::Entry&, RdbType, RdbWriter*) {}

SHERD_MISSING_CODEC(List)
SHERD_MISSING_CODEC(Hash)
SHERD_MISSING_CODEC(Stream)

}  // namespace sherd::persistence
