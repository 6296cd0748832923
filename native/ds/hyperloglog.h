// HyperLogLog: how many different elements were seen, from 16384 registers of 6 bits.
//
// An element is hashed (MurmurHash64A); 14 bits choose a register, which keeps the longest run of
// zeros (plus one) seen in the other 50. The number of elements follows from how many registers hold
// what (O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", 2017); its error
// is 0.81 %.
//
// A sketch is a string that clients may GET, SET and DUMP, so its bytes are Redis's to the bit, and
// so is the history that leads to them (when opcodes split and merge, when sparse becomes dense):
//
//   0       4          5        8                 16
//   +-------+----------+--------+-----------------+----------------------
//   | HYLL  | encoding | unused | estimate, LE 64 | registers
//   +-------+----------+--------+-----------------+----------------------
//             0: dense            top bit set: the estimate is out of date
//             1: sparse
//
//   dense:  register i in bits 6i … 6i+5 of the rest, lowest bit of a byte first; 12288 bytes
//   sparse: runs of registers, in order, together exactly 16384 of them
//           00llllll           ZERO   l+1 registers hold 0           (1 … 64)
//           01llllll llllllll  XZERO  l+1 registers hold 0           (1 … 16384)
//           1vvvvvll           VAL    l+1 registers hold v+1         (1 … 4 times 1 … 32)
//
// Sparse bytes come from clients: every reader here checks that the opcodes are whole and cover
// exactly 16384 registers, and tells when they do not; a change looks as far as its register.
//
// Cost: unpacking 16384 dense registers takes a few microseconds, since eight of them are spread
// from 48 bits into eight bytes by three masks and shifts; the maximum of two sketches runs 16
// registers at a time; the histogram counts into four tables, so that equal neighbours do not wait
// for each other. Sparse changes cost a walk over the opcodes.
//
// Any thread. No memory is allocated; a Sketch is 33 KB and belongs on the stack.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sherd::ds {

inline constexpr size_t kHllRegisters = 16384;
inline constexpr size_t kHllHeaderSize = 16;
inline constexpr size_t kHllDenseSize = kHllHeaderSize + kHllRegisters * 6 / 8;
/// The longest valid sparse sketch: an XZERO for each register.
inline constexpr size_t kHllSparseSizeMax = kHllHeaderSize + kHllRegisters * 2;

/// One byte for each register.
using HllRegisters = std::array<uint8_t, kHllRegisters>;

/// What an element does: its register and the value that this must at least have (1 … 51).
struct HllElement {
  uint32_t index;
  uint8_t value;
};
HllElement HllHash(std::string_view element);

// ---- Headers ----

/// Whether the bytes may be a sketch: magic, encoding, length. Says nothing about sparse opcodes.
bool IsHll(std::string_view bytes);
inline bool IsHllDense(std::string_view sketch) { return sketch[4] == 0; }
/// The estimate kept in the header. False: there is none that is up to date.
bool HllCachedCount(std::string_view sketch, uint64_t* count);
void HllStoreCount(char* sketch, uint64_t count);
void HllInvalidateCount(char* sketch);

// ---- Reading. IsHll() holds. False: corrupt. ----

/// The estimate from the registers.
bool HllCount(std::string_view sketch, uint64_t* count);
/// Raises each of `registers` to what the sketch holds.
bool HllMerge(std::string_view sketch, HllRegisters* registers);
/// The estimate of unpacked registers.
uint64_t HllCountRegisters(const HllRegisters& registers);

/// One run of a sparse sketch.
struct HllRun {
  size_t offset;    // of its opcode, in the sketch
  size_t size;      // of its opcode: 1 or 2
  uint32_t length;  // registers it covers
  uint8_t value;    // what they hold; 0 for ZERO and XZERO
  bool is_long;     // XZERO
};
/// Reads the opcode at `offset`. False: its bytes are not all there.
bool HllReadRun(std::string_view sketch, size_t offset, HllRun* run);

// ---- Changing ----

/// Raises a register of a dense sketch. True: it was lower.
bool HllDenseSet(char* sketch, HllElement element);
/// Writes all registers of a dense sketch.
void HllDenseStore(char* sketch, const HllRegisters& registers);

enum class HllChange : uint8_t { kNone, kRaised, kCorrupt };

/// A copy of a sketch that is being changed.
class HllSketch {
 public:
  /// Empty and sparse.
  HllSketch();
  /// A copy. IsHll(sketch) holds. If a sparse one is longer than any valid one, it is kept empty of
  /// registers, and therefore found corrupt.
  explicit HllSketch(std::string_view sketch);
  HllSketch(const HllSketch&) = delete;
  HllSketch& operator=(const HllSketch&) = delete;

  std::string_view bytes() const { return {bytes_, size_}; }
  char* data() { return bytes_; }
  bool is_dense() const { return IsHllDense(bytes()); }

  /// Raises a register. A sparse sketch becomes dense when the value is above 32 or when it would
  /// grow beyond `sparse_size_max` bytes. The kept estimate is invalidated by sparse changes only,
  /// as in Redis: callers do it for all.
  HllChange Set(HllElement element, size_t sparse_size_max);
  /// Raises many registers as Set() would, one after the other from the lowest, without walking from
  /// the start for each. False: corrupt.
  bool SetAll(const HllRegisters& registers, size_t sparse_size_max);
  /// False: corrupt, unchanged.
  bool MakeDense();

 private:
  // Where the last change in ascending order let the next walk begin.
  struct Cursor {
    size_t offset = kHllHeaderSize;
    uint32_t first = 0;  // first register of the run there
  };
  // The run that holds a register, and its neighbours in front of it.
  struct Place {
    HllRun run;
    uint32_t first = 0;
    size_t previous = kHllHeaderSize;  // offset of the run before; the first run's own when there is none
    Cursor resume;
  };
  bool Find(uint32_t index, const Cursor& cursor, Place* place) const;
  HllChange SetFrom(HllElement element, size_t sparse_size_max, Cursor* cursor);
  HllChange Promote(HllElement element);
  void Replace(const HllRun& run, const char* opcodes, size_t size);
  void MergeRuns(size_t offset);

  size_t size_;
  // A change makes a sketch two bytes longer before runs are merged.
  char bytes_[kHllSparseSizeMax + 8];
};

}  // namespace sherd::ds
