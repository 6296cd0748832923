// Interests: see the header.
#include "engine/interests.h"

#include "base/check.h"
#include "engine/counters.h"
#include "engine/thread_state.h"

namespace sherd::engine {

namespace {

/// Moves counters of INFO. The thread that takes one off need not be the one that put it on: what is meant
/// are the sums over all.
void Count(Counter WorkerCounters::*counter, int delta) {
  WorkerCounters* counters = ThisThread().counters;
  if (counters != nullptr) (counters->*counter).Add(static_cast<uint64_t>(static_cast<int64_t>(delta)));
}

}  // namespace

KeyInterest& Interests::FindOrAdd(std::string_view name) {
  // Found first: that makes no string.
  if (const auto found = keys_.find(name); found != keys_.end()) return found->second;
  ++*total_;
  return keys_.try_emplace(std::string(name)).first->second;
}

void Interests::Watch(WatchedKey* watched) {
  DCHECK(watched->interest == nullptr);
  KeyInterest& interest = FindOrAdd(watched->name);
  interest.watchers.PushBack(watched);
  watched->interest = &interest;
}

void Interests::Unwatch(WatchedKey* watched, std::string_view name) {
  KeyInterest* interest = watched->interest;
  if (interest == nullptr) return;
  interest->watchers.Remove(watched);
  watched->interest = nullptr;
  DropIfEmpty(*interest, name);
}

void Interests::Wait(WaitNode* node, std::string_view name) {
  DCHECK(node->interest == nullptr);
  KeyInterest& interest = FindOrAdd(name);
  if (!interest.waiters.empty() && interest.waiters.last()->waiter == node->waiter) return;
  if (interest.waiters.empty()) Count(&WorkerCounters::blocking_keys, 1);
  interest.waiters.PushBack(node);
  if (node->waiter->wakes_without_key && interest.waiters_without_key++ == 0) {
    Count(&WorkerCounters::blocking_keys_on_nokey, 1);
  }
  node->interest = &interest;
}

void Interests::StopWaiting(WaitNode* node, std::string_view name) {
  KeyInterest* interest = node->interest;
  if (interest == nullptr) return;
  interest->waiters.Remove(node);
  if (node->waiter->wakes_without_key && --interest->waiters_without_key == 0) {
    Count(&WorkerCounters::blocking_keys_on_nokey, -1);
  }
  if (interest->waiters.empty()) Count(&WorkerCounters::blocking_keys, -1);
  node->interest = nullptr;
  DropIfEmpty(*interest, name);
}

void Interests::DropIfEmpty(const KeyInterest& interest, std::string_view name) {
  if (!interest.watchers.empty() || !interest.waiters.empty()) return;
  const auto found = keys_.find(name);
  DCHECK(found != keys_.end());
  keys_.erase(found);
  --*total_;
}

}  // namespace sherd::engine
