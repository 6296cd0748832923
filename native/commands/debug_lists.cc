// DEBUG LISTPACK, QUICKLIST and QUICKLIST-PACKED-THRESHOLD. See debug_lists.h.
#include "commands/debug_lists.h"

#include <cstdint>
#include <cstdio>
#include <string_view>

#include "base/strings.h"
#include "engine/list_value.h"

namespace sherd {

namespace {

using ds::Listpack;
using ds::PackedValue;
using ds::Quicklist;
using ds::QuicklistNode;
using engine::CommandContext;
using engine::Encoding;
using engine::Entry;

// Longer texts are cut: the output is for eyes.
constexpr size_t kShownMax = 40;

std::string Shown(std::string_view text) {
  std::string shown;
  for (const char c : text.substr(0, kShownMax)) shown += c >= ' ' && c <= '~' ? c : '?';
  if (text.size() > kShownMax) shown += "...";
  return shown;
}

void PrintPack(const Listpack& pack, const char* indent) {
  char digits[kInt64CharsMax];
  size_t index = 0;
  for (Listpack::Position at = pack.First(); at != Listpack::kNone; at = pack.Next(at)) {
    const PackedValue value = pack.Get(at);
    const std::string text = Shown(value.View(digits));
    std::printf("%s%zu: offset %zu, %zu bytes, %s %s\n", indent, index, at, pack.SizeAt(at),
                value.is_integer() ? "integer" : "string", text.c_str());
    index++;
  }
}

void PrintNode(ds::NodeReader& reader, const QuicklistNode& node, size_t index, bool is_full) {
  std::printf("  node %zu: %u elements, %zu bytes, %s", index, static_cast<unsigned>(node.count), node.size,
              node.is_plain ? "plain" : "packed");
  if (node.is_compressed) std::printf(", compressed to %u", node.capacity);
  std::printf("\n");
  if (!is_full) return;
  const std::string_view bytes = reader.Bytes(node);
  if (node.is_plain) {
    std::printf("    %s\n", Shown(bytes).c_str());
  } else {
    PrintPack(Listpack(reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data()))), "    ");
  }
}

/// A number of bytes with a unit (b, k, kb, m, mb, g, gb), as redis.conf has them. False: it is none.
bool ParseMemory(std::string_view text, uint64_t* bytes) {
  struct Unit {
    std::string_view name;
    uint64_t factor;
  };
  static constexpr Unit kUnits[] = {
      {"", 1},          {"b", 1},         {"k", 1000},         {"kb", 1 << 10},
      {"m", 1'000'000}, {"mb", 1 << 20}, {"g", 1'000'000'000}, {"gb", 1 << 30},
  };
  size_t digits = 0;
  uint64_t value = 0;
  for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; digits++) {
    if (__builtin_mul_overflow(value, uint64_t{10}, &value)) return false;
    if (__builtin_add_overflow(value, static_cast<uint64_t>(text[digits] - '0'), &value)) return false;
  }
  for (const Unit& unit : kUnits) {
    if (EqualsIgnoreCase(text.substr(digits), unit.name)) {
      return !__builtin_mul_overflow(value, unit.factor, bytes);
    }
  }
  return false;
}

}  // namespace

void DebugListpack(CommandContext& ctx, const Entry& entry) {
  if (entry.encoding() != Encoding::kListPack && entry.encoding() != Encoding::kListPackEx) {
    return ctx.reply.Error("ERR Not a listpack encoded object.");
  }
  const Listpack pack = entry.listpack();
  std::printf("listpack: %zu bytes, %zu elements\n", pack.bytes(), pack.count());
  PrintPack(pack, "  ");
  std::fflush(stdout);
  ctx.reply.SimpleString("Listpack structure printed on stdout");
}

void DebugQuicklist(CommandContext& ctx, const Entry& entry, bool is_full) {
  if (entry.encoding() != Encoding::kQuickList) {
    return ctx.reply.Error("ERR Not a quicklist encoded object.");
  }
  const Quicklist& list = *engine::QuicklistOf(entry);
  std::printf("quicklist: %zu elements, %zu nodes, fill %d, compress depth %d\n", list.count(),
              list.node_count(), list.fill().value, list.compress_depth());
  ds::NodeReader reader;
  size_t index = 0;
  for (const QuicklistNode* node = list.head(); node != nullptr; node = node->next) {
    PrintNode(reader, *node, index++, is_full);
  }
  std::fflush(stdout);
  ctx.reply.SimpleString("Quicklist structure printed on stdout");
}

void DebugPackedThreshold(CommandContext& ctx) {
  uint64_t bytes = 0;
  if (!ParseMemory(ctx.args[2], &bytes) || !ds::SetPlainThreshold(bytes)) {
    return ctx.reply.Error("ERR argument must be a memory value bigger than 1 and smaller than 4gb");
  }
  ctx.reply.Ok();
}

size_t RdbLengthSize(size_t length) {
  if (length < 64) return 1;
  if (length < 16384) return 2;
  return length <= UINT32_MAX ? 5 : 9;
}

size_t RdbListSize(const Entry& entry) {
  size_t nodes = 0;
  size_t size = 0;
  if (engine::IsPackedList(entry)) {
    nodes = 1;
    size = 1 + RdbLengthSize(entry.listpack().bytes()) + entry.listpack().bytes();
  } else {
    for (const QuicklistNode* node = engine::QuicklistOf(entry)->head(); node != nullptr; node = node->next) {
      nodes++;
      size += 1 + RdbLengthSize(node->size) + node->size;
    }
  }
  return RdbLengthSize(nodes) + size;
}

std::string QuicklistFigures(const Entry& entry) {
  const Quicklist& list = *engine::QuicklistOf(entry);
  size_t bytes = 0;
  for (const QuicklistNode* node = list.head(); node != nullptr; node = node->next) bytes += node->size;
  char text[200];
  const double average = static_cast<double>(list.count()) / static_cast<double>(list.node_count());
  const int length = std::snprintf(
      text, sizeof text,
      " ql_nodes:%zu ql_avg_node:%.2f ql_listpack_max:%d ql_compressed:%d ql_uncompressed_size:%zu",
      list.node_count(), average, list.fill().value, list.compress_depth() > 0 ? 1 : 0, bytes);
  return {text, static_cast<size_t>(length)};
}

}  // namespace sherd
