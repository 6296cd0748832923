// DUMP payloads: see the header.
#include "persistence/dump_payload.h"

#include "base/bytes.h"
#include "base/crc64.h"
#include "persistence/rdb_writer.h"
#include "persistence/value_writer.h"

namespace sherd::persistence {

void WriteDumpPayload(const engine::Entry& entry, uint32_t version, bool compress, std::string* out) {
  const size_t start = out->size();
  const uint32_t written = WriterVersion(entry, version);
  RdbWriter writer(out, compress);
  WriteValue(entry, written, &writer);
  writer.Little16(static_cast<uint16_t>(written));
  writer.Little64(Crc64(0, std::string_view(*out).substr(start)));
}

bool CheckDumpPayload(std::string_view payload, std::string_view* body) {
  // A payload without a value is refused here, as by Redis.
  if (payload.size() < kDumpFooterSize) return false;
  const char* footer = payload.data() + payload.size() - kDumpFooterSize;
  if (LoadLittle16(footer) > kRdbVersionMax) return false;
  // Unlike in files, a checksum of 0 is one like any other (7.0 and 7.2 refuse it).
  if (LoadLittle64(footer + 2) != Crc64(0, payload.substr(0, payload.size() - 8))) return false;
  *body = payload.substr(0, payload.size() - kDumpFooterSize);
  return true;
}

}  // namespace sherd::persistence
