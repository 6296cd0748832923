// Loading for JavaScript: see src/native/persistence.ts.
//
// Each load is a task on a libuv pool thread, which becomes the server's loader guest and holds the leases of
// all shards from the first byte to the last: clients are refused meanwhile anyway, and builders get at the
// shards without a lease each.
//
// Threads: the exported functions on the main thread; LoadTask::Execute on a pool thread. What both see is in
// LoadState.
#include <uv.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "addon/servers.h"
#include "base/clock.h"
#include "engine/command_context.h"
#include "net/lease_guest.h"
#include "persistence/aof_loader.h"
#include "persistence/rdb_loader.h"
#include "resp/reply_builder.h"

namespace sherd {

namespace {

using persistence::ByteSource;
using persistence::FileSource;
using persistence::LoadProgress;
using persistence::RdbLoadResult;

/// What loading an engine needs beside it.
struct LoadState {
  std::mutex busy;  // held by the task that is the guest
  LoadProgress progress;
};

/// Of the server that argument 0 names; kept as long as the process, since INFO may ask at any time. Main
/// thread.
std::shared_ptr<LoadState> StateOf(const Napi::CallbackInfo& info) {
  static std::mutex mutex;
  static auto* const states = new std::map<int, std::shared_ptr<LoadState>>();
  const std::lock_guard<std::mutex> lock(mutex);
  std::shared_ptr<LoadState>& state = (*states)[info[0].As<Napi::Number>().Int32Value()];
  if (state == nullptr) state = std::make_shared<LoadState>();
  return state;
}

/// Something that takes long, and the value that its promise gets.
class LoadTask final : public Napi::AsyncWorker {
 public:
  using Work = std::function<Status()>;
  using MakeValue = std::function<Napi::Value(Napi::Env)>;

  static Napi::Value Start(const Napi::CallbackInfo& info, std::shared_ptr<net::Server> server, Work work,
                           MakeValue make_value) {
    auto* task =
        new LoadTask(info.Env(), std::move(server), StateOf(info), std::move(work), std::move(make_value));
    const Napi::Promise promise = task->deferred_.Promise();
    task->Queue();  // from here on it frees itself
    return promise;
  }

  void Execute() override {
    const std::lock_guard<std::mutex> lock(state_->busy);
    net::LeaseGuest& guest = server_->loader();
    state_->progress.NextFile();
    guest.Attach();
    guest.WithAll([&] {
      status_ = work_();
      server_->ServeReady(guest.thread());
    });
    guest.Detach();
    if (!status_.ok()) SetError(status_.message());
  }

  void OnOK() override { deferred_.Resolve(make_value_(Env())); }

  void OnError(const Napi::Error& error) override {
    const int number = status_.error_number();
    if (number != 0) error.Value().Set("code", Napi::String::New(Env(), uv_err_name(-number)));
    deferred_.Reject(error.Value());
  }

 private:
  LoadTask(Napi::Env env, std::shared_ptr<net::Server> server, std::shared_ptr<LoadState> state, Work work,
           MakeValue make_value)
      : Napi::AsyncWorker(env),
        server_(std::move(server)),
        state_(std::move(state)),
        work_(std::move(work)),
        make_value_(std::move(make_value)),
        deferred_(Napi::Promise::Deferred::New(env)) {}

  const std::shared_ptr<net::Server> server_;
  const std::shared_ptr<LoadState> state_;
  const Work work_;
  const MakeValue make_value_;
  const Napi::Promise::Deferred deferred_;
  Status status_;
};

// ---- Values ----

Napi::BigInt BigInt(Napi::Env env, uint64_t value) { return Napi::BigInt::New(env, value); }

Napi::Object RdbValue(Napi::Env env, const RdbLoadResult& result) {
  Napi::Object value = Napi::Object::New(env);
  value.Set("keysLoaded", BigInt(env, result.keys_loaded));
  value.Set("keysExpired", BigInt(env, result.keys_expired));
  value.Set("rdbVersion", Napi::Number::New(env, result.version));
  Napi::Array aux = Napi::Array::New(env, result.aux.size());
  for (size_t i = 0; i < result.aux.size(); i++) {
    Napi::Array field = Napi::Array::New(env, 2);
    field.Set(uint32_t{0}, Latin1(env, result.aux[i].first));
    field.Set(uint32_t{1}, Latin1(env, result.aux[i].second));
    aux.Set(static_cast<uint32_t>(i), field);
  }
  value.Set("aux", aux);
  return value;
}

bool Flag(const Napi::Object& request, const char* name) {
  const Napi::Value value = request.Get(name);
  return value.IsBoolean() && value.As<Napi::Boolean>();
}

uint64_t NumberOr(const Napi::Value& value, uint64_t absent) {
  bool lossless;
  return value.IsBigInt() ? value.As<Napi::BigInt>().Uint64Value(&lossless) : absent;
}

// ---- Exports ----

Napi::Value SetLoading(const Napi::CallbackInfo& info) {
  const std::shared_ptr<net::Server> server = ServerArgument(info);
  if (server == nullptr) return info.Env().Undefined();
  LoadProgress& progress = StateOf(info)->progress;
  const bool is_loading = info[1].As<Napi::Boolean>();
  if (is_loading) {
    progress.loaded_bytes = 0;
    progress.file_start = 0;
    progress.loaded_keys = 0;
    progress.total_bytes = NumberOr(info[2], 0);
    progress.started_at_ms = Clock::WallMs();
  }
  server->engine().is_loading.store(is_loading, std::memory_order_relaxed);
  return info.Env().Undefined();
}

Napi::Value LoadRdb(const Napi::CallbackInfo& info) {
  const std::shared_ptr<net::Server> server = ServerArgument(info);
  if (server == nullptr) return info.Env().Undefined();
  const Napi::Object request = info[1].As<Napi::Object>();
  const std::string path = Latin1Bytes(request.Get("path"));
  persistence::RdbLoadOptions options;
  options.offset = NumberOr(request.Get("offset"), 0);
  options.verifies_checksum = Flag(request, "verifiesChecksum");
  options.replaces_keys = Flag(request, "replacesKeys");
  const auto result = std::make_shared<RdbLoadResult>();
  const std::shared_ptr<LoadState> state = StateOf(info);
  return LoadTask::Start(
      info, server,
      [=]() mutable -> Status {
        auto source = FileSource::Open(path);
        if (!source.ok()) return source.status();
        engine::Engine& engine = server->engine();
        options.now_ms = Clock::WallMs();
        options.threads = persistence::LoaderThreads(engine.shard_count());
        RETURN_IF_ERROR(
            persistence::LoadRdb(engine, *source.value(), options, &state->progress, result.get()));
        engine.function_libraries = std::move(result->functions);
        return Status::Ok();
      },
      [result](Napi::Env env) -> Napi::Value { return RdbValue(env, *result); });
}

Napi::Object AofValue(Napi::Env env, const persistence::AofLoadResult& result) {
  Napi::Object value = RdbValue(env, result.rdb);
  value.Set("commands", BigInt(env, result.commands));
  value.Set("validBytes", BigInt(env, result.valid_bytes));
  value.Set("fileBytes", BigInt(env, result.file_bytes));
  value.Set("crc", BigInt(env, result.crc));
  value.Set("coveredBytes", BigInt(env, result.covered_bytes));
  return value;
}

Napi::Value LoadAof(const Napi::CallbackInfo& info) {
  const std::shared_ptr<net::Server> server = ServerArgument(info);
  if (server == nullptr) return info.Env().Undefined();
  const Napi::Object request = info[1].As<Napi::Object>();
  const std::string path = Latin1Bytes(request.Get("path"));
  persistence::AofLoadOptions options;
  options.may_be_torn = Flag(request, "mayBeTorn");
  options.verifies_checksums = Flag(request, "verifiesChecksum");
  options.worker = server->loader().id();
  options.name = path.substr(path.rfind('/') + 1);
  options.threads = persistence::LoaderThreads(server->engine().shard_count());
  const auto result = std::make_shared<persistence::AofLoadResult>();
  const std::shared_ptr<LoadState> state = StateOf(info);
  return LoadTask::Start(
      info, server,
      [=]() -> Status {
        auto source = FileSource::Open(path);
        if (!source.ok()) return source.status();
        return persistence::LoadAof(server->engine(), server->handlers(), *source.value(), options,
                                    &state->progress, result.get());
      },
      [result](Napi::Env env) -> Napi::Value { return AofValue(env, *result); });
}

Napi::Value GetLoadProgress(const Napi::CallbackInfo& info) {
  const std::shared_ptr<net::Server> server = ServerArgument(info);
  if (server == nullptr) return info.Env().Undefined();
  const Napi::Env env = info.Env();
  const LoadProgress& progress = StateOf(info)->progress;
  Napi::Object value = Napi::Object::New(env);
  const bool is_loading = server->engine().is_loading.load(std::memory_order_relaxed);
  value.Set("isLoading", Napi::Boolean::New(env, is_loading));
  value.Set("startedAtMs", Napi::Number::New(env, static_cast<double>(progress.started_at_ms.load())));
  value.Set("loadedBytes", BigInt(env, progress.loaded_bytes));
  value.Set("totalBytes", BigInt(env, progress.total_bytes));
  value.Set("loadedKeys", BigInt(env, progress.loaded_keys));
  return value;
}

/// Empties all databases; the leases of all shards are held.
void EmptyAll(net::Server& server) {
  engine::Engine& engine = server.engine();
  resp::OutputBuffer nobody;
  resp::ReplyBuilder reply(&nobody, 2);
  engine::CommandContext ctx(engine, reply);
  server.PrepareGuestContext(server.loader().id(), &ctx);
  ctx.SignalFlushed(-1);
  for (int shard = 0; shard < engine.shard_count(); shard++) {
    engine::Keyspace& space = engine.keyspace(static_cast<engine::ShardId>(shard));
    for (int db = 0; db < engine.database_count(); db++) space.Flush(db, false);
  }
  engine.function_libraries.clear();
}

Napi::Value EmptyDataset(const Napi::CallbackInfo& info) {
  const std::shared_ptr<net::Server> server = ServerArgument(info);
  if (server == nullptr) return info.Env().Undefined();
  return LoadTask::Start(
      info, server,
      [server] {
        EmptyAll(*server);
        return Status::Ok();
      },
      [](Napi::Env env) { return env.Undefined(); });
}

}  // namespace

void ExportLoading(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("setLoading", SetLoading);
  add("loadRdb", LoadRdb);
  add("loadAof", LoadAof);
  add("loadProgress", GetLoadProgress);
  add("emptyDataset", EmptyDataset);
}

}  // namespace sherd
