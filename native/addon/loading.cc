// Loading for JavaScript: see src/native/persistence.ts.
#include "addon/servers.h"

namespace sherd {

void ExportLoading(Napi::Env, Napi::Object) {}

}  // namespace sherd
