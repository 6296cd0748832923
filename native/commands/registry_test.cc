// Registry: building the table is the test, since it CHECKs that names and handlers fit together.
#include "commands/registry.h"

#include "commands/families.h"
#include "test/test.h"

namespace sherd {
namespace {

TEST(registry_finds_every_row_under_its_own_name) {
  for (const auto family :
       {StringHandlers(), LcsHandlers(), ConnectionHandlers(), KeyHandlers(), ExpireHandlers(),
        ScanHandlers(), ServerHandlers(), DebugHandlers()}) {
    EXPECT_GT(family.size(), 0u);
    for (const engine::HandlerRow& row : family) {
      const CommandSpec* spec = FindFullCommand(row.full_name);
      ASSERT_TRUE(spec != nullptr);
      EXPECT_TRUE(Handlers().Find(spec->id).handler == row.handler);
    }
  }
}

}  // namespace
}  // namespace sherd
