// MONITOR: see the header.
#include "engine/monitor.h"

#include <algorithm>
#include <cstdio>

#include "base/check.h"
#include "base/clock.h"
#include "base/numbers.h"
#include "base/strings.h"
#include "command_table/command_table.h"
#include "engine/command_context.h"
#include "engine/session.h"
#include "engine/thread_state.h"
#include "resp/reply_builder.h"

namespace sherd::engine {

namespace {

constexpr std::string_view kRedacted = "(redacted)";

class MonitorMessage final : public Message {
 public:
  MonitorMessage(Monitors* monitors, MonitorLine line) : monitors_(monitors), line_(std::move(line)) {}

  void Deliver(WorkerPort& port) override {
    for (Session* session : monitors_->OfWorker(port.index())) {
      // After QUIT, or with replies switched off, it gets nothing, as nothing else that it has not asked for.
      if (session->close_after_reply || session->reply_mode == ReplyMode::kOff) continue;
      port.OutputOf(session)->Append(*line_);
      port.EndPush(session);
    }
    delete this;
  }

 private:
  Monitors* monitors_;
  MonitorLine line_;
};

/// As Redis quotes: what can be read stays, the rest is escaped.
void AppendQuoted(std::string_view bytes, std::string* line) {
  line->push_back('"');
  for (const char c : bytes) {
    switch (c) {
      case '\\':
      case '"': line->append({'\\', c}); continue;
      case '\n': line->append("\\n"); continue;
      case '\r': line->append("\\r"); continue;
      case '\t': line->append("\\t"); continue;
      case '\a': line->append("\\a"); continue;
      case '\b': line->append("\\b"); continue;
      default: break;
    }
    if (c >= ' ' && c <= '~') {
      line->push_back(c);
      continue;
    }
    constexpr char kHex[] = "0123456789abcdef";
    const unsigned char byte = static_cast<unsigned char>(c);
    line->append({'\\', 'x', kHex[byte >> 4], kHex[byte & 15]});
  }
  line->push_back('"');
}

/// Which arguments hold credentials, in the very lines in which Redis finds any.
class Redaction {
 public:
  Redaction(const CommandSpec& spec, std::span<const std::string_view> args) {
    if (spec.id == CommandId::kAuth && args.size() <= 3) {
      for (size_t i = 1; i < args.size(); i++) Cover(i);
    } else if (spec.id == CommandId::kHello) {
      FindInHello(args);
    }
  }
  /// Far behind, in a line that has credentials at all, nothing is shown.
  bool Covers(size_t index) const { return covered_ != 0 && (index >= 64 || (covered_ >> index & 1) != 0); }

 private:
  void Cover(size_t index) {
    if (index < 64) covered_ |= uint64_t{1} << index;
  }
  /// HELLO version [AUTH user password] [SETNAME name], read as far as it makes sense.
  void FindInHello(std::span<const std::string_view> args) {
    int64_t version;
    if (args.size() < 2 || !ParseInt64(args[1], &version) || version < 2 || version > 3) return;
    for (size_t i = 2; i < args.size(); i++) {
      const size_t left = args.size() - 1 - i;
      if (EqualsIgnoreCase(args[i], "auth") && left >= 2) {
        Cover(i + 1);
        Cover(i + 2);
        i += 2;
      } else if (EqualsIgnoreCase(args[i], "setname") && left >= 1) {
        i++;
      } else {
        return;
      }
    }
  }

  uint64_t covered_ = 0;  // a bit for each of the first arguments
};

}  // namespace

Monitors::Monitors(int workers)
    : workers_(static_cast<size_t>(workers)), lists_(new List[static_cast<size_t>(workers)]) {}

void Monitors::Add(WorkerId worker, Session* session) {
  List& list = lists_[worker];
  list.sessions.push_back(session);
  list.count.fetch_add(1, std::memory_order_relaxed);
  count_.fetch_add(1, std::memory_order_relaxed);
}

void Monitors::Remove(WorkerId worker, Session* session) {
  List& list = lists_[worker];
  const auto found = std::find(list.sessions.begin(), list.sessions.end(), session);
  if (found == list.sessions.end()) return;
  list.sessions.erase(found);
  list.count.fetch_sub(1, std::memory_order_relaxed);
  count_.fetch_sub(1, std::memory_order_relaxed);
}

void Monitors::Post(const MonitorLine& line) {
  PostOffice* office = ThisThread().post_office;
  if (office == nullptr) return;
  for (size_t worker = 0; worker < workers_; worker++) {
    // relaxed: as any().
    if (lists_[worker].count.load(std::memory_order_relaxed) == 0) continue;
    office->Post(static_cast<WorkerId>(worker), new MonitorMessage(this, line));
  }
}

void Monitors::Show(const CommandSpec& spec, const Session& sender, int db,
                    std::span<const std::string_view> args) {
  const MonitorLine line = MakeMonitorLine(spec, sender, db, args);
  if (line != nullptr) Post(line);
}

MonitorLine MakeMonitorLine(const CommandSpec& spec, const Session& sender, int db,
                            std::span<const std::string_view> args) {
  if ((spec.flags & (kFlagSkipMonitor | kFlagAdmin)) != 0) return nullptr;
  const int64_t now_us = Clock::WallUs();
  char time[48];
  const int size = std::snprintf(time, sizeof time, "+%lld.%06lld [%d ", static_cast<long long>(now_us / 1'000'000),
                                 static_cast<long long>(now_us % 1'000'000), db);
  CHECK(size > 0 && static_cast<size_t>(size) < sizeof time);
  auto line = std::make_shared<std::string>(time, static_cast<size_t>(size));
  size_t total = line->size() + sender.address.size() + 8;
  for (const std::string_view arg : args) total += arg.size() + 3;
  line->reserve(total);
  if (sender.is_unix_socket) {
    // "/path:0" without its port.
    line->append("unix:").append(sender.address, 0, sender.address.rfind(':'));
  } else {
    line->append(sender.address);
  }
  line->push_back(']');
  const Redaction redaction(spec, args);
  for (size_t i = 0; i < args.size(); i++) {
    line->push_back(' ');
    AppendQuoted(redaction.Covers(i) ? kRedacted : args[i], line.get());
  }
  line->append("\r\n");
  return line;
}

void FeedMonitors(const CommandContext& ctx) {
  if (ctx.sender == nullptr || ctx.spec == nullptr) return;
  // After the command, as Redis: SELECT shows the database that it has chosen.
  const int db = ctx.session == nullptr ? ctx.db : ctx.session->db;
  ctx.engine.monitors.Show(*ctx.spec, *ctx.sender, db, ctx.args);
}

}  // namespace sherd::engine
