// Help: the shape of the HELP subcommands' replies.
//
// Redis answers with simple strings: a line about the container, two or more for each subcommand,
// and two about HELP itself. Header and end are made here; the lines between them are the family's.
// Syntax lines follow Redis, since people read them against its manual; the explanations are our
// own.
//
// Thread: the one that runs the command.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "resp/reply_builder.h"

namespace sherd {

/// Replies with the help of `container` (upper case): `lines` between the usual first and last
/// lines.
inline void ReplyHelp(resp::ReplyBuilder& reply, std::string_view container,
                      std::span<const std::string_view> lines) {
  reply.Array(lines.size() + 3);
  reply.SimpleString(std::string(container) +
                     " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
  for (const std::string_view line : lines) reply.SimpleString(line);
  reply.SimpleString("HELP");
  reply.SimpleString("    Print this help.");
}

}  // namespace sherd
