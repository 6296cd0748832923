// Values of every RDB type, as DUMP payloads have them: the seeds of what fuzzes RESTORE.
//
// Two sources: values recorded from redis-server 7.0 (test/data/dump_cases.inc, which says how), and the
// forms that it does not write any more or does not write yet, which are built here from the same elements.
//
// Thread: any, once the first call has returned.
#pragma once

#include <string>
#include <vector>

namespace sherd::fuzz {

struct PayloadSample {
  std::string name;
  /// Type byte and value, without version and checksum.
  std::string body;
};

/// All of them; each is well-formed and must be accepted.
const std::vector<PayloadSample>& PayloadSamples();

}  // namespace sherd::fuzz
