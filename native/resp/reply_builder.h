// ReplyBuilder: writes RESP2 or RESP3 replies into an OutputBuffer.
//
// One builder is pointed at a connection's (or a queued request's) output and at the protocol
// version of that connection, and is passed down to the command. It only ever appends. What differs
// between the protocols (null, map, set, double, boolean, big number, verbatim string, push) is
// decided here and nowhere else.
//
// The output is a chain of segments: segments of bytes that we own, and references to large values
// that live in the keyspace (a reference keeps the value alive until the socket has taken it, so a
// 10 MB GET copies nothing). The first owned segment may be a scratch buffer of the I/O worker, so
// that a connection that has nothing pending owns no buffer at all.
//
//   segments_ (sealed, oldest first)                       open segment
//   [scratch piece] [ref to 10 MB value] [block A, piece]  [block A or B: filled | free]
//                                                           open_begin_  cursor_  limit_
//
// Bytes that go to many connections at once (messages to subscribers) are borrowed: they lie in memory of
// the I/O worker until the end of its turn, and whatever a socket has not taken by then is copied
// (OwnBorrowed). Borrowed bytes that continue each other are one segment.
//
// A block may be cut into several pieces (a reference stands between them). Only the last piece of
// a block owns it; since bytes leave in order, the block is freed when its last piece has gone.
//
// Invariants: open_begin_ <= cursor_ <= limit_; sealed_size_ is the sum of the sizes of
// segments_[first_...]; a heap block is owned by exactly one segment or by the open one; a buffer
// that has run empty holds no heap block.
//
// Specifications: redis.io "RESP protocol description", RESP3 specification.
// Thread: used by whoever executes the command; an OutputBuffer belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/numbers.h"

namespace sherd::resp {

/// A byte block that several owners may share; freed when the last one lets go. Implemented by the
/// engine's large values. Release may be called from any thread.
struct SharedBlock {
  virtual void Ref() = 0;
  virtual void Unref() = 0;

 protected:
  ~SharedBlock() = default;
};

/// Bytes waiting to be written to one socket (or to be handed to the worker that owns the socket).
class OutputBuffer {
 public:
  struct Segment {
    const char* data;
    size_t size;
    size_t block_bytes;  // what `block` was counted with in memory(), 0 without one, kBorrowed
    char* owned;  // start of a heap block that we free, or nullptr (scratch, shared, a piece)
    SharedBlock* block;  // non-null: referenced value, Unref when the segment goes
  };

  OutputBuffer() = default;
  ~OutputBuffer();
  OutputBuffer(const OutputBuffer&) = delete;
  OutputBuffer& operator=(const OutputBuffer&) = delete;

  /// Lends a scratch block as the first place to write to. Only while the buffer is empty and holds
  /// no other loan. Whenever the buffer runs empty, it starts over at the scratch block. The lender
  /// must call DetachScratch() before it uses the block for anything else.
  void AttachScratch(char* scratch, size_t capacity);

  /// Gives back what of the scratch block is not used: from now on bytes that do not fit go elsewhere. Returns
  /// how many bytes of it stay on loan.
  size_t TrimScratch();

  /// Ends the loan: bytes still in the scratch block are copied to blocks of our own.
  void DetachScratch();

  /// Room for at least `size` bytes at the returned place; call Commit() with what was used. Inline
  /// and branch-light: this is the hot path of every reply.
  char* Reserve(size_t size) {
    if (__builtin_expect(static_cast<size_t>(limit_ - cursor_) < size, 0)) Grow(size);
    return cursor_;
  }
  void Commit(size_t used) {
    DCHECK(cursor_ + used <= limit_);
    cursor_ += used;
  }
  void Append(std::string_view bytes) {
    if (bytes.empty()) return;
    std::memcpy(Reserve(bytes.size()), bytes.data(), bytes.size());
    Commit(bytes.size());
  }

  /// Bytes that Reserve() can give without another block: what a loop of small writes may fill.
  size_t room() const { return static_cast<size_t>(limit_ - cursor_); }

  /// Sets a piece of up to `capacity` bytes aside, for what is known only after the bytes behind it (how
  /// many elements follow). It is empty until FillPiece(). The returned number is valid until the next
  /// Consume(), Truncate() or AppendBuffer().
  size_t SetPieceAside(size_t capacity);
  void FillPiece(size_t piece, std::string_view bytes);

  /// Appends a reference to `bytes`, which lie in `block`. Takes one reference of its own.
  void AppendShared(std::string_view bytes, SharedBlock* block);

  /// Appends bytes that stay where and as they are until OwnBorrowed() or the end of this buffer. Short
  /// ones that do not continue the last borrowed bytes are copied instead: a piece costs more than that.
  void AppendBorrowed(std::string_view bytes);
  /// Ends all borrowing: what is left of borrowed bytes is copied.
  void OwnBorrowed();

  /// Moves all of `other`'s bytes behind ours without copying them (scratch bytes are copied). `other` may
  /// not have borrowed any.
  void AppendBuffer(OutputBuffer& other);

  bool empty() const { return size() == 0; }
  /// Bytes not yet consumed.
  size_t size() const { return sealed_size_ + static_cast<size_t>(cursor_ - open_begin_); }
  /// Heap bytes held (for output limits): owned blocks and referenced bytes, neither scratch nor borrowed.
  size_t memory() const { return memory_; }

  /// Into how many pieces the bytes are cut.
  size_t piece_count() const { return segments_.size() - first_ + (cursor_ > open_begin_ ? 1 : 0); }

  /// Fills at most `max` iovec-like (pointer, size) pairs from the front; returns how many.
  size_t Peek(std::string_view* out, size_t max) const;
  /// Drops `size` bytes from the front (what write() took).
  void Consume(size_t size);
  /// Drops everything and frees all blocks.
  void Clear();

  /// A position that Truncate() can return to, so that a half-built reply can be taken back. Only
  /// valid until the next Consume() or AppendBuffer().
  struct Mark {
    size_t segment_count;
    size_t size;
  };
  Mark GetMark() const;
  void Truncate(const Mark& mark);

 private:
  void Grow(size_t size);
  void Seal();
  void CloseOpen();
  void OpenBlock(size_t capacity);
  void Restart();
  void FreeBlock(char* block);
  void ReleaseSegment(const Segment& segment);
  void PopSegment();
  void PushSegment(const char* data, size_t size, char* owned, SharedBlock* block);
  bool InScratch(const char* data) const;

  static constexpr size_t kBorrowed = ~size_t{0};  // Segment::block_bytes of borrowed bytes

  // The open segment: [open_begin_, cursor_) is filled, [cursor_, limit_) is free.
  char* open_begin_ = nullptr;
  char* cursor_ = nullptr;
  char* limit_ = nullptr;
  char* open_owned_ = nullptr;  // heap block of the open segment, or nullptr (scratch or none)
  char* scratch_ = nullptr;     // the block on loan, or nullptr
  size_t scratch_capacity_ = 0;
  size_t sealed_size_ = 0;
  size_t memory_ = 0;
  std::vector<Segment> segments_;  // sealed segments, oldest first
  size_t first_ = 0;               // index of the first sealed segment not yet consumed
  bool has_borrowed_ = false;      // some segment may be borrowed
};

/// Shapes of every RESP reply. All sizes are element counts; maps count pairs.
class ReplyBuilder {
 public:
  ReplyBuilder(OutputBuffer* out, int resp) : out_(out), resp_(resp) {}

  int resp() const { return resp_; }
  void set_resp(int resp) { resp_ = resp; }
  OutputBuffer* out() { return out_; }

  void Ok() { out_->Append("+OK\r\n"); }
  void SimpleString(std::string_view text);  // "+text"; CR and LF in text become spaces
  /// "-" + text. Texts without a leading upper-case code word are the caller's mistake: pass the
  /// full "ERR ..." or "WRONGTYPE ..." text. As in Redis, CR and LF at the end are dropped and
  /// become spaces elsewhere. Counts one error.
  void Error(std::string_view text);
  void Integer(int64_t value);
  void Bulk(std::string_view bytes);
  void BulkInteger(int64_t value);  // the number as a bulk string
  /// Bulk string that refers to a large shared value instead of copying it.
  void BulkShared(std::string_view bytes, SharedBlock* block);
  void Null();       // RESP2 "$-1", RESP3 "_"
  void NullArray();  // RESP2 "*-1", RESP3 "_"
  void EmptyArray() { Array(0); }
  void Array(size_t count);
  void Map(size_t pairs);                   // RESP2: array of 2 * pairs
  void Set(size_t count);                   // RESP2: array
  /// Elements whose number is known when they have been written: call this first, then write them, then
  /// give the number to EndArray() or EndSet(). Only one at a time.
  void BeginDeferred() { deferred_ = out_->SetPieceAside(kHeaderMax); }
  void EndArray(size_t count) { EndDeferred('*', count); }
  void EndSet(size_t count) { EndDeferred(resp_ == 2 ? '*' : '~', count); }
  void Push(size_t count);                  // RESP2: array
  void Attribute(size_t pairs);             // RESP3 only; CHECKs resp() == 3
  void Double(double value);                // RESP2: bulk string; text as FormatDouble()
  void Bool(bool value);                    // RESP2: :1 / :0
  void BigNumber(std::string_view digits);  // RESP2: bulk string
  void Verbatim(std::string_view text,
                const char* format3);  // RESP2: bulk string; format "txt"/"mkd"
  /// Bytes that are already RESP (recorded replies of other threads, control plane).
  void Raw(std::string_view bytes) { out_->Append(bytes); }

  /// How many Error() replies this builder has written, and the last one's text start, so that the
  /// dispatcher can count failed calls and error codes without parsing replies.
  uint32_t errors() const { return errors_; }
  /// The push frame begun by Push() is complete. CLIENT REPLY never holds back what was written up to
  /// here (RESP3 only).
  void EndPush() {
    if (resp_ == 3) KeepWritten();
  }
  /// The same whatever the protocol: confirmations of SUBSCRIBE are messages, not replies.
  void KeepWritten() {
    has_push_ = true;
    push_end_ = out_->GetMark();
  }
  bool has_push() const { return has_push_; }
  const OutputBuffer::Mark& push_end() const { return push_end_; }
  std::string_view last_error_code() const { return {last_error_code_, last_error_code_size_}; }

 private:
  static constexpr size_t kHeaderMax = 1 + kInt64CharsMax + 2;

  void Header(char prefix, size_t count);         // e.g. "*3\r\n"
  void EndDeferred(char prefix, size_t count);
  void Line(char prefix, std::string_view text);  // e.g. "+text\r\n", without CR and LF inside

  OutputBuffer* out_;
  int resp_;
  size_t deferred_ = 0;  // piece of the elements being counted
  uint32_t errors_ = 0;
  bool has_push_ = false;
  OutputBuffer::Mark push_end_;
  uint8_t last_error_code_size_ = 0;
  char last_error_code_[31];
};

/// Writes bulk strings in a row, for replies of many elements: one look at the room for each, everything
/// else in registers, and no call for short ones. While it lives, nothing else may use the reply's output.
///
///   BulkWriter writer(ctx.reply);
///   for (...) writer.Add(member);
class BulkWriter {
 public:
  explicit BulkWriter(ReplyBuilder& reply) : out_(reply.out()) { Refill(0); }
  ~BulkWriter() { out_->Commit(static_cast<size_t>(cursor_ - start_)); }
  BulkWriter(const BulkWriter&) = delete;
  BulkWriter& operator=(const BulkWriter&) = delete;

  void Add(std::string_view bytes) {
    // The longest header, the bytes and CRLF.
    const size_t needed = 1 + kInt64CharsMax + 2 + bytes.size() + 2;
    if (__builtin_expect(static_cast<size_t>(limit_ - cursor_) < needed, 0)) Refill(needed);
    char* out = CopyShort(WriteHeader(bytes.size()), bytes);
    std::memcpy(out, "\r\n", 2);
    cursor_ = out + 2;
  }
  /// The number as a bulk string.
  void AddInteger(int64_t value) {
    char digits[kInt64CharsMax];
    Add({digits, FormatInt64(value, digits)});
  }

 private:
  void Refill(size_t needed) {
    if (start_ != nullptr) out_->Commit(static_cast<size_t>(cursor_ - start_));
    start_ = cursor_ = out_->Reserve(needed);
    limit_ = cursor_ + out_->room();
  }
  char* WriteHeader(size_t size) {
    char* out = cursor_;
    *out++ = '$';
    if (size < 100) {
      if (size >= 10) *out++ = static_cast<char>('0' + size / 10);
      *out++ = static_cast<char>('0' + size % 10);
    } else {
      out += FormatUint64(size, out);
    }
    std::memcpy(out, "\r\n", 2);
    return out + 2;
  }
  /// Copies without a call up to 32 bytes: two copies of a fixed size that may overlap.
  static char* CopyShort(char* out, std::string_view bytes) {
    const size_t size = bytes.size();
    const char* from = bytes.data();
    if (size >= 8) {
      if (__builtin_expect(size > 32, 0)) {
        std::memcpy(out, from, size);
      } else if (size >= 16) {
        std::memcpy(out, from, 16);
        std::memcpy(out + size - 16, from + size - 16, 16);
      } else {
        std::memcpy(out, from, 8);
        std::memcpy(out + size - 8, from + size - 8, 8);
      }
    } else if (size >= 4) {
      std::memcpy(out, from, 4);
      std::memcpy(out + size - 4, from + size - 4, 4);
    } else if (size > 0) {
      const char last = from[size - 1];
      const char middle = from[size / 2];
      out[0] = from[0];
      out[size / 2] = middle;
      out[size - 1] = last;
    }
    return out + size;
  }

  OutputBuffer* out_;
  char* start_ = nullptr;
  char* cursor_ = nullptr;
  char* limit_ = nullptr;
};

}  // namespace sherd::resp
