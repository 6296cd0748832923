// What tests of files share. For whole RDB files made by hand see dataset_files.h.
#pragma once

#include <cstdio>
#include <string>

#include "base/check.h"

namespace sherd::test {

/// All bytes of a file, which must be there.
inline std::string ReadWhole(const std::string& path) {
  std::string bytes;
  FILE* file = std::fopen(path.c_str(), "rb");
  CHECK(file != nullptr);
  char buffer[65536];
  for (size_t size; (size = std::fread(buffer, 1, sizeof buffer, file)) > 0;) bytes.append(buffer, size);
  std::fclose(file);
  return bytes;
}

}  // namespace sherd::test
