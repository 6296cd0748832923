// ThreadState of the calling thread: see the header.
#include "engine/thread_state.h"

namespace sherd::engine {

namespace {
thread_local ThreadState nobody;
thread_local ThreadState* current = nullptr;
}  // namespace

ThreadState& ThisThread() { return current == nullptr ? nobody : *current; }
void SetThisThread(ThreadState* state) { current = state; }

}  // namespace sherd::engine
