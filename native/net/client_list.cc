// CLIENT LIST, CLIENT INFO and CLIENT KILL as far as one worker's connections go.
#include <algorithm>

#include "base/check.h"
#include "base/clock.h"
#include "engine/pubsub.h"
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

/// The letters of CLIENT LIST, in Redis's order.
std::string FlagsOf(const Connection& connection) {
  const engine::Session& session = connection.session;
  std::string flags;
  if (session.is_monitor) flags += 'O';
  if (session.is_subscriber) flags += 'P';
  if (session.in_multi) flags += 'x';
  if (connection.blocked != nullptr || connection.is_postponed) flags += 'b';
  if ((session.tracking & engine::kTrackingOn) != 0) flags += 't';
  if ((session.tracking & engine::kTrackingBroken) != 0) flags += 'R';
  if ((session.tracking & engine::kTrackingBcast) != 0) flags += 'B';
  const bool is_readable = session.transaction != nullptr && !connection.is_away;
  if (is_readable && session.transaction->is_dirty()) flags += 'd';
  if (session.close_after_reply) flags += 'c';
  if (session.is_unix_socket) flags += 'U';
  if (session.no_evict) flags += 'e';
  if (session.no_touch) flags += 'T';
  return flags.empty() ? "N" : flags;
}

/// Its class as CLIENT LIST TYPE names it. Monitors are normal clients.
std::string_view TypeOf(const engine::Session& session) { return session.is_subscriber ? "pubsub" : "normal"; }

bool Matches(const ClientFilter& filter, const Connection& connection, int64_t now_ms) {
  const engine::Session& session = connection.session;
  if (filter.has_ids && std::find(filter.ids.begin(), filter.ids.end(), session.id) == filter.ids.end()) {
    return false;
  }
  if (filter.has_address && filter.address != session.address) return false;
  if (filter.has_local_address && filter.local_address != session.local_address) return false;
  if (filter.has_user && filter.user != "default") return false;
  if (filter.has_type && filter.type != TypeOf(session)) return false;
  if (filter.max_age_sec >= 0 && (now_ms - session.created_ms) / 1000 < filter.max_age_sec) return false;
  return filter.skip_id == 0 || session.id != filter.skip_id;
}

}  // namespace

void DescribeConnection(const Connection& connection, int64_t now_ms, std::string* line) {
  const engine::Session& session = connection.session;
  const engine::Transaction* transaction = session.transaction.get();
  const size_t large_bytes = connection.large != nullptr ? connection.large->capacity : 0;
  const size_t input_bytes = connection.input.size() + connection.large_received;
  const size_t input_capacity = connection.input.capacity() + large_bytes;
  AppendField(line, "id", static_cast<int64_t>(session.id));
  AppendField(line, "addr", session.address);
  AppendField(line, "laddr", session.local_address);
  AppendField(line, "fd", session.fd);
  AppendField(line, "name", session.name);
  AppendField(line, "age", (now_ms - session.created_ms) / 1000);
  AppendField(line, "idle", (now_ms - session.last_active_ms) / 1000);
  AppendField(line, "flags", FlagsOf(connection));
  AppendField(line, "db", session.db);
  AppendField(line, "sub", static_cast<int64_t>(TopicCount(session, engine::TopicKind::kChannel)));
  AppendField(line, "psub", static_cast<int64_t>(TopicCount(session, engine::TopicKind::kPattern)));
  AppendField(line, "ssub", static_cast<int64_t>(TopicCount(session, engine::TopicKind::kShardChannel)));
  AppendField(line, "multi", session.in_multi ? static_cast<int64_t>(transaction->command_count()) : -1);
  AppendField(line, "qbuf", static_cast<int64_t>(input_bytes));
  AppendField(line, "qbuf-free", static_cast<int64_t>(input_capacity - input_bytes));
  AppendField(line, "argv-mem", static_cast<int64_t>(session.argument_bytes));
  AppendField(line, "multi-mem", session.in_multi ? static_cast<int64_t>(transaction->memory()) : 0);
  // There is no reply buffer of fixed size: a connection with nothing pending has none at all.
  AppendField(line, "rbs", int64_t{0});
  AppendField(line, "rbp", int64_t{0});
  AppendField(line, "obl", int64_t{0});
  AppendField(line, "oll", static_cast<int64_t>(connection.output.piece_count()));
  AppendField(line, "omem", static_cast<int64_t>(connection.output.memory()));
  AppendField(line, "tot-mem", static_cast<int64_t>(connection.memory()));
  AppendField(line, "events", connection.output.empty() ? "r" : "rw");
  AppendField(line, "cmd", session.last_command == nullptr ? "NULL" : session.last_command);
  // The only user there is, whether or not it has authenticated.
  AppendField(line, "user", "default");
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
    if (connection->session.id == filter.caller_id) {
      connection->session.close_after_reply = true;
    } else {
      // At once, whatever it waits for: a request at a shard comes home to be thrown away.
      Close(connection);
    }
  }
  return killed;
}

}  // namespace sherd::net
