// Inbox: messages for one worker from all other threads, in one order.
//
// WHY NOT THE RINGS. A ring keeps the order of one sender. What is sent to connections must keep more:
// the order of cause and effect across senders. A GET of worker 0's client is executed by worker 1
// (the old value, an answer on its way), then worker 2 writes the key and sends worker 0 the client's
// invalidation. Over two rings worker 0 may take the invalidation first and the old value last, and the
// client keeps a stale value for ever. In an inbox the two were pushed one after the other, since the
// second pusher entered the shard after the first had left it; so they come out in that order.
//
// It is a stack that its owner takes as a whole and turns round: a push is one compare-and-swap, taking
// is one exchange.
//
//   push C:  head -> C -> B -> A        take all:  A, B, C
//
// Order: if push X happened before push Y (same thread, or X's thread let go of a lease that Y's thread
// then took), X comes out before Y.
//
// Thread: Push from any; TakeAll and empty by the owner (empty also as a hint by others). Ownership: a
// node is its pusher's until Push, then the owner's.
#pragma once

#include <atomic>

namespace sherd::ring {

/// What can be pushed; embedded in the message.
struct InboxNode {
  InboxNode* next_in_inbox = nullptr;  // private to Inbox
};

class alignas(64) Inbox {
 public:
  void Push(InboxNode* node) {
    InboxNode* head = head_.load(std::memory_order_relaxed);
    do {
      node->next_in_inbox = head;
      // release: publishes the node and all that its pusher did; each later push continues the release
      // sequence. relaxed on failure: we look again.
    } while (!head_.compare_exchange_weak(head, node, std::memory_order_release,
                                          std::memory_order_relaxed));
  }

  /// relaxed: a hint; TakeAll orders what must be ordered. A pusher rings the owner's bell, whose fences
  /// make this look see the push before the owner sleeps.
  bool empty() const { return head_.load(std::memory_order_relaxed) == nullptr; }

  /// All nodes, oldest first, linked by next_in_inbox; null when there are none.
  InboxNode* TakeAll() {
    // acquire: pairs with the releases of all pushers in the chain.
    InboxNode* newest_first = head_.exchange(nullptr, std::memory_order_acquire);
    InboxNode* oldest_first = nullptr;
    while (newest_first != nullptr) {
      InboxNode* next = newest_first->next_in_inbox;
      newest_first->next_in_inbox = oldest_first;
      oldest_first = newest_first;
      newest_first = next;
    }
    return oldest_first;
  }

 private:
  std::atomic<InboxNode*> head_{nullptr};
};

}  // namespace sherd::ring
