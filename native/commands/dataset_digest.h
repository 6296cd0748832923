// Dataset digest: one hash of all data, which turns "is it the same data?" into one comparison.
//
// The construction is that of Redis's DEBUG DIGEST, so that ours can be compared with a real
// server's:
//
//   mix(d, bytes):  d = SHA1(d ^ SHA1(bytes))            order matters
//   add(d, bytes):  d = d ^ SHA1(bytes)                  order does not matter
//
//   value digest:   mix type (u32, big endian); mix the value; add "!!expire!!" if it expires
//   key digest:     mix the key, then go on as for the value
//
//   string          mix it                       list            mix each element
//   set             add each member              sorted set      add (mix member, mix score as %.17g)
//   hash            add (mix field, mix value)   stream          for each entry mix "ms.seq", then mix each
//                                                                field and value
//
//   dataset:        for each database with keys: mix its number (u32, big endian); add key digests
//
// So it depends on the data alone: not on the order of keys, the number of shards, encodings or
// history. The moment of an expiry is left out (as in Redis), since relative times are replayed
// later than they were given; whether there is one counts. Keys and fields that have expired but are
// still in memory are left out, which differs from Redis, where they count until they are deleted: to
// clients they are gone.
//
// Thread: whoever holds the leases of the data.
#pragma once

#include <cstdint>
#include <string>

#include "base/sha1.h"
#include "engine/engine.h"

namespace sherd {

struct Digest {
  uint8_t bytes[Sha1::kDigestSize] = {};

  void Add(std::string_view data);
  void Mix(std::string_view data);
  /// Xors another digest in: sums of Add() can be formed apart and joined.
  void Join(const Digest& other);
  std::string Hex() const;
};

/// Goes on from `digest` with the entry's type, value and expiry.
void MixEntry(Digest* digest, const engine::Entry& entry, int64_t now_ms);

/// The digest of all databases. All leases are held. O(bytes of data).
Digest DatasetDigest(engine::Engine& engine, int64_t now_ms);

}  // namespace sherd
