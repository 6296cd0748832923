// LinkedList: a doubly linked list through the elements themselves (`prev` and `next` of T), for things
// that are linked and unlinked one by one in any order. The list owns nothing.
//
// Thread: one at a time. An element is in at most one list.
#pragma once

namespace sherd {

template <class T>
class LinkedList {
 public:
  bool empty() const { return first_ == nullptr; }
  T* first() const { return first_; }
  T* last() const { return last_; }

  void PushBack(T* element) {
    element->prev = last_;
    element->next = nullptr;
    (last_ == nullptr ? first_ : last_->next) = element;
    last_ = element;
  }
  void Remove(T* element) {
    (element->prev == nullptr ? first_ : element->prev->next) = element->next;
    (element->next == nullptr ? last_ : element->next->prev) = element->prev;
    element->prev = element->next = nullptr;
  }

 private:
  T* first_ = nullptr;
  T* last_ = nullptr;
};

}  // namespace sherd
