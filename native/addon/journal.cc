// The journal for JavaScript: see src/native/persistence.ts.
//
// What waits for the disk runs on a thread of libuv's pool and settles a promise. Beginning and ending need an
// instant in which nobody is inside a shard: they take all leases, as a guest with a number of its own, since DEBUG
// RELOAD may be loading meanwhile. The control plane asks for one of them at a time.
//
// Thread: main; each Task's work on a pool thread.
#include "addon/journal.h"

#include <cstring>
#include <functional>

#include "addon/servers.h"
#include "net/lease_guest.h"

namespace sherd {

persistence::Journal& JournalOf(net::Server& server) {
  if (server.journal() == nullptr) {
    net::Server* const waker = &server;
    auto journal = std::make_unique<persistence::Journal>(server.engine(), [waker] { waker->WakeHolders(); });
    server.engine().snapshot_journal = journal.get();
    server.SetJournal(std::move(journal));
  }
  return *static_cast<persistence::Journal*>(server.journal());
}

namespace {

/// Does `work` on another thread, and resolves, or rejects with the errno that it returns.
class Task final : public Napi::AsyncWorker {
 public:
  static Napi::Value Run(Napi::Env env, std::shared_ptr<net::Server> server,
                         std::function<int(net::Server&, persistence::Journal&)> work) {
    Task* task = new Task(env, std::move(server), std::move(work));
    const Napi::Promise promise = task->deferred_.Promise();
    task->Queue();
    return promise;
  }

  void Execute() override {
    error_ = work_(*server_, journal_);
    if (error_ != 0) SetError(strerrordesc_np(error_));
  }
  void OnOK() override { deferred_.Resolve(Env().Undefined()); }
  void OnError(const Napi::Error& error) override {
    const Napi::Object value = error.Value();
    value.Set("code", Napi::String::New(Env(), strerrorname_np(error_)));
    deferred_.Reject(value);
  }

 private:
  Task(Napi::Env env, std::shared_ptr<net::Server> server,
       std::function<int(net::Server&, persistence::Journal&)> work)
      : Napi::AsyncWorker(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        server_(std::move(server)),
        journal_(JournalOf(*server_)),
        work_(std::move(work)) {}

  Napi::Promise::Deferred deferred_;
  const std::shared_ptr<net::Server> server_;
  persistence::Journal& journal_;
  const std::function<int(net::Server&, persistence::Journal&)> work_;
  int error_ = 0;
};

/// Calls `work` while all leases are held.
void WithAllLeases(net::Server& server, const std::function<void()>& work) {
  net::LeaseGuest& guest = server.journaler();
  guest.Attach();
  guest.WithAll(work);
  guest.Detach();
}

Napi::Value OpenJournal(const Napi::CallbackInfo& info) {
  const auto server = ServerArgument(info);
  if (server == nullptr) return info.Env().Undefined();
  const Napi::Object file = info[1].As<Napi::Object>();
  const std::string path = Latin1Bytes(file.Get("path"));
  bool lossless = true;
  const uint64_t offset = file.Get("offset").As<Napi::BigInt>().Uint64Value(&lossless);
  const uint64_t crc = file.Get("crc").As<Napi::BigInt>().Uint64Value(&lossless);
  return Task::Run(info.Env(), server, [path, offset, crc](net::Server& server, persistence::Journal& journal) {
    if (const int error = journal.Open(path, offset, crc)) return error;
    if (!journal.is_on()) WithAllLeases(server, [&] { journal.Begin(); });
    return 0;
  });
}

Napi::Value ResumeJournal(const Napi::CallbackInfo& info) {
  const auto server = ServerArgument(info);
  if (server == nullptr) return info.Env().Undefined();
  return Task::Run(info.Env(), server, [](net::Server&, persistence::Journal& journal) { return journal.Resume(); });
}

Napi::Value SyncJournal(const Napi::CallbackInfo& info) {
  const auto server = ServerArgument(info);
  if (server == nullptr) return info.Env().Undefined();
  return Task::Run(info.Env(), server, [](net::Server&, persistence::Journal& journal) { return journal.SyncAll(); });
}

Napi::Value CloseJournal(const Napi::CallbackInfo& info) {
  const auto server = ServerArgument(info);
  if (server == nullptr) return info.Env().Undefined();
  return Task::Run(info.Env(), server, [](net::Server& server, persistence::Journal& journal) {
    if (journal.is_on()) WithAllLeases(server, [&] { journal.End(); });
    return journal.Close();
  });
}

Napi::Value StatusOfJournal(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto server = ServerArgument(info);
  if (server == nullptr) return env.Undefined();
  persistence::JournalStatus status;
  if (server->journal() != nullptr) status = JournalOf(*server).status();
  const auto text = [&](int error) { return Napi::String::New(env, error == 0 ? "" : strerrordesc_np(error)); };
  Napi::Object result = Napi::Object::New(env);
  result.Set("isOn", Napi::Boolean::New(env, status.is_on));
  result.Set("fileBytes", Napi::BigInt::New(env, status.file_bytes));
  result.Set("pendingBytes", Napi::BigInt::New(env, status.pending_bytes));
  result.Set("writeError", text(status.write_error));
  result.Set("syncError", text(status.sync_error));
  result.Set("syncStartedAtMs", Napi::Number::New(env, static_cast<double>(status.sync_started_ms)));
  result.Set("delayedSyncs", Napi::BigInt::New(env, status.delayed_syncs));
  result.Set("offset", Napi::BigInt::New(env, status.offset));
  return result;
}

Napi::Value SetJournalPolicy(const Napi::CallbackInfo& info) {
  const auto server = ServerArgument(info);
  if (server == nullptr) return info.Env().Undefined();
  const std::string name = Latin1Bytes(info[1]);
  const persistence::AppendFsync policy = name == "always"     ? persistence::AppendFsync::kAlways
                                          : name == "everysec" ? persistence::AppendFsync::kEverySec
                                                               : persistence::AppendFsync::kNo;
  JournalOf(*server).SetPolicy(policy, info[2].As<Napi::Boolean>().Value());
  return info.Env().Undefined();
}

Napi::Value HoldJournalSync(const Napi::CallbackInfo& info) {
  const auto server = ServerArgument(info);
  if (server == nullptr) return info.Env().Undefined();
  JournalOf(*server).HoldSync(info[1].As<Napi::Boolean>().Value());
  return info.Env().Undefined();
}

Napi::Value RefuseWrites(const Napi::CallbackInfo& info) {
  const auto server = ServerArgument(info);
  if (server == nullptr) return info.Env().Undefined();
  server->engine().RefuseWrites(Latin1Bytes(info[1]));
  return info.Env().Undefined();
}

}  // namespace

void ExportJournal(Napi::Env env, Napi::Object exports) {
  exports.Set("openJournal", Napi::Function::New(env, OpenJournal));
  exports.Set("resumeJournal", Napi::Function::New(env, ResumeJournal));
  exports.Set("syncJournal", Napi::Function::New(env, SyncJournal));
  exports.Set("closeJournal", Napi::Function::New(env, CloseJournal));
  exports.Set("journalStatus", Napi::Function::New(env, StatusOfJournal));
  exports.Set("setJournalPolicy", Napi::Function::New(env, SetJournalPolicy));
  exports.Set("holdJournalSync", Napi::Function::New(env, HoldJournalSync));
  exports.Set("refuseWrites", Napi::Function::New(env, RefuseWrites));
}

}  // namespace sherd
