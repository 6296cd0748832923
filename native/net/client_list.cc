// CLIENT LIST, CLIENT INFO and CLIENT KILL as far as one worker's connections go.
#include <algorithm>

#include "base/check.h"
#include "base/clock.h"
#include "net/worker.h"

namespace sherd::net {

namespace {

void AppendField(std::string* line, const char* name, std::string_view value) {
  if (!line->empty()) line->push_back(' ');
  line->append(name).push_back('=');
  line->append(value);
}
void AppendField(std::string* line, const char* name, int64_t value) {
  AppendField(line, name, std::to_string(value));
}

bool Matches(const ClientFilter& filter, const Connection& connection, int64_t now_ms) {
  const engine::Session& session = connection.session;
  if (filter.has_ids && std::find(filter.ids.begin(), filter.ids.end(), session.id) == filter.ids.end()) {
    return false;
  }
  if (filter.has_address && filter.address != session.address) return false;
  if (filter.has_local_address && filter.local_address != session.local_address) return false;
  if (filter.has_user && (filter.user != "default" || !session.authenticated)) return false;
  if (filter.has_type && filter.type != "normal") return false;  // the only class there is so far
  if (filter.max_age_sec >= 0 && (now_ms - session.created_ms) / 1000 < filter.max_age_sec) return false;
  return filter.skip_id == 0 || session.id != filter.skip_id;
}

}  // namespace

void DescribeConnection(const Connection& connection, int64_t now_ms, std::string* line) {
  const engine::Session& session = connection.session;
  std::string flags;
  if (session.in_multi) flags += 'x';
  if (connection.blocked != nullptr) flags += 'b';
  if ((session.tracking & engine::kTrackingOn) != 0) flags += 't';
  if ((session.tracking & engine::kTrackingBroken) != 0) flags += 'R';
  if ((session.tracking & engine::kTrackingBcast) != 0) flags += 'B';
  if (session.close_after_reply) flags += 'c';
  if (session.is_unix_socket) flags += 'U';
  if (session.no_evict) flags += 'e';
  if (session.no_touch) flags += 'T';
  if (flags.empty()) flags = "N";
  AppendField(line, "id", static_cast<int64_t>(session.id));
  AppendField(line, "addr", session.address);
  AppendField(line, "laddr", session.local_address);
  AppendField(line, "fd", session.fd);
  AppendField(line, "name", session.name);
  AppendField(line, "age", (now_ms - session.created_ms) / 1000);
  AppendField(line, "idle", (now_ms - session.last_active_ms) / 1000);
  AppendField(line, "flags", flags);
  AppendField(line, "db", session.db);
  AppendField(line, "sub", int64_t{0});
  AppendField(line, "psub", int64_t{0});
  AppendField(line, "ssub", int64_t{0});
  AppendField(line, "multi", session.in_multi ? static_cast<int64_t>(session.transaction->command_count()) : -1);
  AppendField(line, "qbuf", static_cast<int64_t>(connection.input.size()));
  AppendField(line, "qbuf-free", static_cast<int64_t>(connection.input.capacity() - connection.input.size()));
  AppendField(line, "argv-mem", int64_t{0});
  AppendField(line, "multi-mem",
              session.in_multi ? static_cast<int64_t>(session.transaction->argument_bytes()) : 0);
  AppendField(line, "rbs", int64_t{0});
  AppendField(line, "rbp", int64_t{0});
  AppendField(line, "obl", int64_t{0});
  AppendField(line, "oll", static_cast<int64_t>(connection.output.empty() ? 0 : 1));
  AppendField(line, "omem", static_cast<int64_t>(connection.output.memory()));
  AppendField(line, "tot-mem", static_cast<int64_t>(sizeof(Connection) + connection.input.capacity() +
                                                    connection.output.memory()));
  AppendField(line, "events", connection.output.empty() ? "r" : "rw");
  AppendField(line, "cmd", session.last_command == nullptr ? "NULL" : session.last_command);
  AppendField(line, "user", session.authenticated ? "default" : "(superuser)");
  const bool is_tracking = (session.tracking & engine::kTrackingOn) != 0;
  AppendField(line, "redir", is_tracking ? static_cast<int64_t>(session.tracking_details->redirect_id) : -1);
  AppendField(line, "resp", session.resp);
  AppendField(line, "lib-name", session.library_name);
  AppendField(line, "lib-ver", session.library_version);
}

void DescribeSession(const engine::Session& session, std::string* line) {
  // Sessions of connections are the first member of one.
  static_assert(std::is_same_v<decltype(Connection::session), engine::Session>);
  const Connection* connection = reinterpret_cast<const Connection*>(&session);
  CHECK(&connection->session == &session);
  DescribeConnection(*connection, Clock::WallMs(), line);
}

std::string Worker::DescribeClients(const ClientFilter& filter) {
  std::string lines;
  for (const Connection* connection : connections_) {
    if (!Matches(filter, *connection, now_ms_)) continue;
    std::string line;
    DescribeConnection(*connection, now_ms_, &line);
    lines += line;
    lines += '\n';
  }
  return lines;
}

int Worker::KillClients(const ClientFilter& filter) {
  int killed = 0;
  for (size_t i = connections_.size(); i-- > 0;) {
    Connection* connection = connections_[i];
    if (!Matches(filter, *connection, now_ms_)) continue;
    killed++;
    if (connection->waits_for_answer) {
      // Perhaps the killer itself: it gets its reply first, then the connection closes.
      connection->session.close_after_reply = true;
    } else {
      Close(connection);
    }
  }
  return killed;
}

}  // namespace sherd::net
