// CLIENT TRACKING, CACHING, GETREDIR and TRACKINGINFO: what a client says of the cache it keeps.
//
// These only set the session; what follows from it is in engine/tracking.h. The checks, their order and their
// texts are Redis 7.2's.
//
// Thread: the connection's I/O worker.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "commands/families.h"
#include "engine/command_context.h"
#include "engine/session.h"
#include "engine/tracking.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::HandlerRow;
using engine::Session;
using engine::TrackingOptions;
namespace errors = engine::errors;

engine::WorkerTracking* TrackingOfWorker() {
  engine::WorkerPort* port = engine::ThisThread().port;
  return port == nullptr ? nullptr : &port->tracking();
}

// ---- CLIENT TRACKING ----

// REDIRECT, whose client must exist now; it may go later.
bool ParseRedirect(CommandContext& ctx, size_t index, TrackingOptions* options) {
  if (options->redirect_id != 0) {
    ctx.reply.Error("ERR A client can only redirect to a single other client");
    return false;
  }
  int64_t id;
  if (!ctx.ParseInteger(index, &id)) return false;
  options->redirect_id = static_cast<uint64_t>(id);
  engine::PostOffice* office = engine::ThisThread().post_office;
  engine::WorkerId worker;
  const bool exists = office == nullptr ? options->redirect_id == ctx.client_id
                                        : office->FindClient(options->redirect_id, &worker);
  if (!exists) ctx.reply.Error("ERR The client ID you want redirect to does not exist");
  return exists;
}

bool ParseOptions(CommandContext& ctx, TrackingOptions* options) {
  for (size_t i = 3; i < ctx.args.size(); i++) {
    const bool has_value = i + 1 < ctx.args.size();
    if (ctx.ArgIs(i, "redirect") && has_value) {
      if (!ParseRedirect(ctx, ++i, options)) return false;
    } else if (ctx.ArgIs(i, "bcast")) {
      options->flags |= engine::kTrackingBcast;
    } else if (ctx.ArgIs(i, "optin")) {
      options->flags |= engine::kTrackingOptIn;
    } else if (ctx.ArgIs(i, "optout")) {
      options->flags |= engine::kTrackingOptOut;
    } else if (ctx.ArgIs(i, "noloop")) {
      options->flags |= engine::kTrackingNoLoop;
    } else if (ctx.ArgIs(i, "prefix") && has_value) {
      options->prefixes.push_back(ctx.args[++i]);
    } else {
      ctx.reply.Error(errors::kSyntax);
      return false;
    }
  }
  return true;
}

// Why the options do not go together, or with what is set already; empty: they do.
std::string_view FindConflict(const TrackingOptions& options, const Session& session) {
  using engine::kTrackingBcast, engine::kTrackingOptIn, engine::kTrackingOptOut;
  const auto wants = [&](uint8_t flag) { return (options.flags & flag) != 0; };
  const auto has = [&](uint8_t flag) { return (session.tracking & flag) != 0; };
  if (!wants(kTrackingBcast) && !options.prefixes.empty()) {
    return "ERR PREFIX option requires BCAST mode to be enabled";
  }
  if (has(engine::kTrackingOn) && wants(kTrackingBcast) != has(kTrackingBcast)) {
    return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then "
           "re-enabling it with a different mode.";
  }
  if (wants(kTrackingBcast) && wants(kTrackingOptIn | kTrackingOptOut)) {
    return "ERR OPTIN and OPTOUT are not compatible with BCAST";
  }
  if (wants(kTrackingOptIn) && wants(kTrackingOptOut)) {
    return "ERR You can't specify both OPTIN mode and OPTOUT mode";
  }
  if ((wants(kTrackingOptIn) && has(kTrackingOptOut)) || (wants(kTrackingOptOut) && has(kTrackingOptIn))) {
    return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then "
           "re-enabling it with a different mode.";
  }
  return {};
}

bool Overlap(std::string_view a, std::string_view b) {
  const size_t size = std::min(a.size(), b.size());
  return a.substr(0, size) == b.substr(0, size);
}

std::string OverlapError(std::string_view prefix, const char* what, std::string_view other) {
  std::string text = "ERR Prefix '";
  text.append(prefix).append("' overlaps with ").append(what).append(" prefix '").append(other);
  return text.append("'. Prefixes for a single client must not overlap.");
}

// No prefix of a client may contain another: it would be told twice.
bool CheckPrefixes(CommandContext& ctx, const std::vector<std::string_view>& prefixes) {
  static const std::vector<std::string> kNone;
  const Session& session = *ctx.session;
  const auto& existing = session.tracking_details == nullptr ? kNone : session.tracking_details->prefixes;
  for (size_t i = 0; i < prefixes.size(); i++) {
    for (const std::string& other : existing) {
      if (!Overlap(other, prefixes[i])) continue;
      ctx.reply.Error(OverlapError(prefixes[i], "an existing", other));
      return false;
    }
    for (size_t j = i + 1; j < prefixes.size(); j++) {
      if (!Overlap(prefixes[i], prefixes[j])) continue;
      ctx.reply.Error(OverlapError(prefixes[i], "another provided", prefixes[j]));
      return false;
    }
  }
  return true;
}

void CmdClientTracking(CommandContext& ctx) {
  TrackingOptions options;
  if (!ParseOptions(ctx, &options)) return;
  Session& session = *ctx.session;
  if (ctx.ArgIs(2, "on")) {
    const std::string_view conflict = FindConflict(options, session);
    if (!conflict.empty()) return ctx.reply.Error(conflict);
    if ((options.flags & engine::kTrackingBcast) != 0 && !CheckPrefixes(ctx, options.prefixes)) return;
    engine::StartTracking(&session, TrackingOfWorker(), options);
  } else if (ctx.ArgIs(2, "off")) {
    engine::StopTracking(&session, TrackingOfWorker());
  } else {
    return ctx.reply.Error(errors::kSyntax);
  }
  ctx.reply.Ok();
}

// ---- CLIENT CACHING ----

void CmdClientCaching(CommandContext& ctx) {
  Session& session = *ctx.session;
  if ((session.tracking & engine::kTrackingOn) == 0) {
    return ctx.reply.Error(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode "
        "enabled");
  }
  const bool is_yes = ctx.ArgIs(2, "yes");
  if (!is_yes && !ctx.ArgIs(2, "no")) return ctx.reply.Error(errors::kSyntax);
  if ((session.tracking & (is_yes ? engine::kTrackingOptIn : engine::kTrackingOptOut)) == 0) {
    return ctx.reply.Error(
        is_yes ? "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."
               : "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
  }
  engine::SetCaching(&session, TrackingOfWorker(), true);
  ctx.reply.Ok();
}

// ---- What is set ----

int64_t RedirectOf(const Session& session) {
  return session.tracking_details == nullptr ? -1 : static_cast<int64_t>(session.tracking_details->redirect_id);
}

void CmdClientGetRedir(CommandContext& ctx) { ctx.reply.Integer(RedirectOf(*ctx.session)); }

void CmdClientTrackingInfo(CommandContext& ctx) {
  const Session& session = *ctx.session;
  const auto has = [&](uint8_t flag) { return (session.tracking & flag) != 0; };
  std::vector<const char*> flags = {has(engine::kTrackingOn) ? "on" : "off"};
  if (has(engine::kTrackingBcast)) flags.push_back("bcast");
  if (has(engine::kTrackingOptIn)) flags.push_back("optin");
  if (has(engine::kTrackingOptIn) && has(engine::kTrackingCaching)) flags.push_back("caching-yes");
  if (has(engine::kTrackingOptOut)) flags.push_back("optout");
  if (has(engine::kTrackingOptOut) && has(engine::kTrackingCaching)) flags.push_back("caching-no");
  if (has(engine::kTrackingNoLoop)) flags.push_back("noloop");
  if (has(engine::kTrackingBroken)) flags.push_back("broken_redirect");
  ctx.reply.Map(3);
  ctx.reply.Bulk("flags");
  ctx.reply.Set(flags.size());
  for (const char* flag : flags) ctx.reply.Bulk(flag);
  ctx.reply.Bulk("redirect");
  ctx.reply.Integer(RedirectOf(session));
  ctx.reply.Bulk("prefixes");
  ctx.reply.Array(session.tracking_details == nullptr ? 0 : session.tracking_details->prefixes.size());
  if (session.tracking_details == nullptr) return;
  for (const std::string& prefix : session.tracking_details->prefixes) ctx.reply.Bulk(prefix);
}

constexpr HandlerRow kHandlers[] = {
    {"client|caching", CmdClientCaching},
    {"client|getredir", CmdClientGetRedir},
    {"client|tracking", CmdClientTracking},
    {"client|trackinginfo", CmdClientTrackingInfo},
};

}  // namespace

std::span<const HandlerRow> TrackingHandlers() { return kHandlers; }

}  // namespace sherd
