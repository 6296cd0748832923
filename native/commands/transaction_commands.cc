// Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//
// The network layer queues what comes between MULTI and EXEC (Worker::QueueInTransaction) and brings the
// leases of all shards that the queued and the watched keys lie in. So EXEC is plain code: nobody else is
// inside any of them, from the look at the watched keys to the last command.
//
// Control commands (CONFIG SET …) are answered by another thread, which may take milliseconds: EXEC leaves
// a hole for each in its reply (ctx.transaction_holes) and the network layer fills them in order when the
// leases are given back. Hence they take effect after all data commands of the transaction.
//
// Outside MULTI, EXEC and DISCARD come without a transaction.
//
// Thread: the one that holds the leases. A transaction with commands that touch the session runs on the
// connection's own worker.
#include "base/clock.h"
#include "commands/families.h"
#include "engine/command_context.h"
#include "engine/transaction.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Handle;
using engine::HandlerRow;
using engine::Key;
using engine::Transaction;

void CmdMulti(CommandContext& ctx) {
  engine::Session& session = *ctx.session;
  if (session.in_multi) return ctx.reply.Error("ERR MULTI calls can not be nested");
  if (session.transaction == nullptr) session.transaction = std::make_unique<Transaction>();
  session.in_multi = true;
  ctx.reply.Ok();
}

void CmdWatch(CommandContext& ctx) {
  Transaction& transaction = *ctx.transaction;
  for (const Key& key : ctx.keys) {
    if (transaction.IsWatched(ctx.db, key.name)) continue;
    engine::Keyspace& space = ctx.keyspace(key);
    const Handle handle = space.Find(ctx.db, key);
    transaction.Watch(ctx.engine, ctx.db, key, handle && space.IsExpired(*handle.entry(), ctx.now_ms));
  }
  ctx.reply.Ok();
}

void CmdUnwatch(CommandContext& ctx) {
  if (ctx.transaction != nullptr) ctx.transaction->UnwatchAll(ctx.engine);
  ctx.reply.Ok();
}

void CmdDiscard(CommandContext& ctx) {
  if (ctx.transaction == nullptr) return ctx.reply.Error("ERR DISCARD without MULTI");
  ctx.transaction->UnwatchAll(ctx.engine);
  ctx.reply.Ok();
}

// One queued command. What it does to the context of EXEC: its database may change (SELECT).
void RunQueued(CommandContext& exec, const Transaction::Command& command, std::span<const std::string_view> args,
               std::span<const Key> keys, uint64_t* tick) {
  CommandContext ctx(exec.engine, exec.reply);
  ctx.spec = command.spec;
  ctx.args = args;
  ctx.keys = keys;
  ctx.db = exec.session == nullptr ? exec.db : exec.session->db;
  ctx.no_touch = exec.no_touch;
  ctx.tracker = exec.session == nullptr ? exec.tracker : exec.session->tracker;
  ctx.client_id = exec.client_id;
  ctx.sender = exec.sender;
  ctx.now_ms = exec.now_ms;
  ctx.worker = exec.worker;
  ctx.counters = exec.counters;
  ctx.clock = exec.clock;
  if (command.runs == Runs::kConnection) ctx.session = exec.session;
  RunCommand(ctx, command.handler, tick);
}

void CmdExec(CommandContext& ctx) {
  if (ctx.transaction == nullptr) return ctx.reply.Error("ERR EXEC without MULTI");
  Transaction& transaction = *ctx.transaction;
  const bool has_changed = transaction.HasChanged(ctx.engine, ctx.now_ms);
  transaction.UnwatchAll(ctx.engine);
  if (transaction.is_aborted()) {
    return ctx.reply.Error("EXECABORT Transaction discarded because of previous errors.");
  }
  if (has_changed) return ctx.reply.NullArray();
  thread_local std::vector<std::string_view> args;
  thread_local std::vector<Key> keys;
  ctx.reply.Array(transaction.command_count());
  uint64_t tick = CycleClock::Now();
  for (const Transaction::Command& command : transaction.commands()) {
    if (command.runs == Runs::kControl) {
      CHECK(ctx.transaction_holes != nullptr);
      ctx.transaction_holes->push_back({ctx.reply.out()->size(), ctx.reply.resp()});
      if (__builtin_expect(ctx.engine.monitors.any(), 0) && ctx.sender != nullptr) {
        // Shown in its place, though it is answered later.
        transaction.Load(command, &args, &keys);
        const int db = ctx.session == nullptr ? ctx.db : ctx.session->db;
        ctx.engine.monitors.Show(*command.spec, *ctx.sender, db, args);
      }
      continue;
    }
    transaction.Load(command, &args, &keys);
    RunQueued(ctx, command, args, keys, &tick);
  }
}

constexpr HandlerRow kHandlers[] = {
    {"discard", CmdDiscard}, {"exec", CmdExec}, {"multi", CmdMulti}, {"unwatch", CmdUnwatch}, {"watch", CmdWatch},
};

}  // namespace

std::span<const HandlerRow> TransactionHandlers() { return kHandlers; }

}  // namespace sherd
