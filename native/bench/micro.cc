// main() of sherd_micro: runs the registered micro-benchmarks. See bench.h.
#include <string_view>

#include "bench/bench.h"

int main(int argc, char** argv) {
  int count = 0;
  for (const sherd::bench::Entry& entry : sherd::bench::Entries()) {
    bool is_selected = argc < 2;
    for (int i = 1; i < argc; i++) {
      is_selected |= std::string_view(entry.name).find(argv[i]) != std::string_view::npos;
    }
    if (!is_selected) continue;
    sherd::bench::Bench bench(entry.name);
    entry.run(bench);
    count++;
  }
  return count > 0 ? 0 : 1;
}
