// The Node-API edge: the only place that knows both JavaScript and the engine. Its typed face is
// src/native/addon.ts.
//
// Servers live in a registry of the process, since the main thread creates one and worker threads (each
// with an environment of its own) attach to it. Everything that belongs to one environment (the poll and
// timer handles, the control callback) hangs on that environment's instance data and goes with it.
//
// Threads: each function says in addon.ts on which thread it may be called; the registry is locked.
#include <napi.h>
#include <unistd.h>
#include <uv.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>

#include "addon/servers.h"
#include "base/clock.h"
#include "commands/client_info.h"
#include "commands/debug_commands.h"
#include "commands/registry.h"
#include "net/server.h"
#include "net/worker.h"

namespace sherd {

namespace {

// ---- Registry ----

struct Registry {
  std::mutex mutex;
  std::map<int, std::shared_ptr<net::Server>> servers;
  int next_id = 1;
};

Registry& TheRegistry() {
  // Never destroyed: worker threads may still end while the process exits.
  static Registry* registry = new Registry();
  return *registry;
}

std::shared_ptr<net::Server> FindServer(int id) {
  Registry& registry = TheRegistry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  const auto found = registry.servers.find(id);
  return found == registry.servers.end() ? nullptr : found->second;
}

}  // namespace

Napi::String Latin1(Napi::Env env, std::string_view bytes) {
  napi_value value = nullptr;
  napi_create_string_latin1(env, bytes.data(), bytes.size(), &value);
  return Napi::String(env, value);
}
std::string Latin1Bytes(const Napi::Value& value) {
  size_t length = 0;
  napi_get_value_string_latin1(value.Env(), value, nullptr, 0, &length);
  std::string bytes(length, '\0');
  napi_get_value_string_latin1(value.Env(), value, bytes.data(), length + 1, &length);
  return bytes;
}

std::shared_ptr<net::Server> ServerArgument(const Napi::CallbackInfo& info) {
  std::shared_ptr<net::Server> server;
  if (info.Length() > 0 && info[0].IsNumber()) server = FindServer(info[0].As<Napi::Number>().Int32Value());
  if (server == nullptr) Napi::TypeError::New(info.Env(), "no such engine").ThrowAsJavaScriptException();
  return server;
}

namespace {

// ---- One worker environment ----

/// A worker thread's handles on its libuv loop. Freed when both handles have closed.
struct Attachment {
  std::shared_ptr<net::Server> server;
  net::Worker* worker = nullptr;
  napi_env env = nullptr;
  Napi::FunctionReference on_control;
  Napi::FunctionReference on_log;  // empty: nobody reads the log
  std::unique_ptr<Napi::AsyncContext> async_context;
  uv_prepare_t prepare;
  uv_idle_t idle;
  uv_timer_t timer;
  uint64_t outer_events = 0;  // that libuv had processed when the worker was entered last
  bool has_slept = true;      // the worker was allowed to sleep then
  int open_handles = 0;

  void CallControl(net::ControlCall&& call);
  void CallLog(const char* level, const std::string& text);
  void Detach();
};

struct InstanceData {
  Attachment* attachment = nullptr;
  Napi::Reference<Napi::Uint8Array> stats;  // keeps the counters' memory alive (main thread)
};

void Attachment::CallControl(net::ControlCall&& call) {
  Napi::Env environment(env);
  Napi::HandleScope scope(environment);
  Napi::Object request = Napi::Object::New(environment);
  request.Set("token", Napi::BigInt::New(environment, call.token));
  request.Set("command", Napi::String::New(environment, call.spec->full_name));
  Napi::Array args = Napi::Array::New(environment, call.args.size());
  for (size_t i = 0; i < call.args.size(); i++) {
    args.Set(static_cast<uint32_t>(i),
             Napi::Buffer<char>::Copy(environment, call.args[i].data(), call.args[i].size()));
  }
  request.Set("args", args);
  request.Set("resp", Napi::Number::New(environment, call.resp));
  request.Set("clientId", Napi::BigInt::New(environment, call.client_id));
  request.Set("db", Napi::Number::New(environment, call.db));
  // A handler that throws ends in the environment's uncaughtException, which ends the process.
  on_control.MakeCallback(environment.Global(), {request}, *async_context);
}

void Attachment::CallLog(const char* level, const std::string& text) {
  if (on_log.IsEmpty()) return;
  Napi::Env environment(env);
  Napi::HandleScope scope(environment);
  on_log.MakeCallback(environment.Global(),
                      {Napi::String::New(environment, level), Latin1(environment, text)}, *async_context);
}

/// DEBUG LOG speaks through the worker that runs it.
thread_local net::Worker* current_worker = nullptr;
void LogFromCommand(std::string_view text) {
  if (current_worker != nullptr) current_worker->Log("warning", std::string(text));
}

void Attachment::Detach() {
  if (worker == nullptr) return;
  worker->Stop();
  worker = nullptr;
  const auto on_close = [](uv_handle_t* handle) {
    Attachment* self = static_cast<Attachment*>(handle->data);
    if (--self->open_handles == 0) delete self;
  };
  uv_prepare_stop(&prepare);
  uv_idle_stop(&idle);
  uv_timer_stop(&timer);
  current_worker = nullptr;
  on_control.Reset();
  on_log.Reset();
  async_context.reset();
  uv_close(reinterpret_cast<uv_handle_t*>(&prepare), on_close);
  uv_close(reinterpret_cast<uv_handle_t*>(&idle), on_close);
  uv_close(reinterpret_cast<uv_handle_t*>(&timer), on_close);
}

// With the idle handle active, libuv looks for events without waiting: all waiting is done in OnPrepare.
void OnIdle(uv_idle_t*) {}

/// Where libuv would go to sleep: the worker serves its clients and sleeps in its own epoll_wait, which
/// libuv's descriptor wakes too. libuv enters descriptors into its set only when it polls, so those that its
/// callbacks have just added are not seen yet: the worker sleeps only after a round of libuv in which nothing
/// happened.
void OnPrepare(uv_prepare_t* handle) {
  Attachment* attachment = static_cast<Attachment*>(handle->data);
  if (attachment->worker == nullptr) return;
  uv_idle_stop(&attachment->idle);
  uv_metrics_t metrics{};
  uv_metrics_info(handle->loop, &metrics);
  const bool is_quiet = !attachment->has_slept && metrics.events == attachment->outer_events;
  attachment->has_slept = is_quiet;
  attachment->outer_events = metrics.events;
  uv_update_time(handle->loop);
  attachment->worker->RunUntil(is_quiet ? uv_backend_timeout(handle->loop) : 0);
  if (attachment->worker != nullptr) uv_idle_start(&attachment->idle, OnIdle);
}

void OnTimer(uv_timer_t* handle) {
  Attachment* attachment = static_cast<Attachment*>(handle->data);
  if (attachment->worker == nullptr) return;
  attachment->worker->Cron();
  const int64_t hz = attachment->server->engine().options().hz.Get();
  const uint64_t period_ms = static_cast<uint64_t>(1000 / (hz > 0 ? hz : 10));
  if (uv_timer_get_repeat(handle) != period_ms) uv_timer_set_repeat(handle, period_ms);
}

// ---- Functions of the main thread ----

Napi::Value StatsBytes(const Napi::CallbackInfo& info) {
  const engine::CounterLayout layout{
      info[0].As<Napi::Number>().Uint32Value(), info[1].As<Napi::Number>().Uint32Value(),
      info[2].As<Napi::Number>().Uint32Value(), AllCommands().size()};
  return Napi::Number::New(info.Env(), static_cast<double>(layout.total_bytes()));
}

Napi::Object Group(Napi::Env env, const std::vector<const char*>& names, size_t stride) {
  Napi::Array fields = Napi::Array::New(env, names.size());
  for (size_t i = 0; i < names.size(); i++) fields.Set(static_cast<uint32_t>(i), names[i]);
  Napi::Object group = Napi::Object::New(env);
  group.Set("fields", fields);
  group.Set("stride", Napi::Number::New(env, static_cast<double>(stride)));
  return group;
}

Napi::Value StatsLayout(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Object layout = Napi::Object::New(env);
#define SHERD_COUNTER_NAME(name) #name,
  layout.Set("worker", Group(env, {SHERD_WORKER_COUNTERS(SHERD_COUNTER_NAME)}, sizeof(engine::WorkerCounters)));
  layout.Set("shard", Group(env, {SHERD_SHARD_COUNTERS(SHERD_COUNTER_NAME)}, sizeof(engine::ShardCounters)));
  layout.Set("database",
             Group(env, {SHERD_DATABASE_COUNTERS(SHERD_COUNTER_NAME)}, sizeof(engine::DatabaseCounters)));
  layout.Set("command",
             Group(env, {SHERD_COMMAND_COUNTERS(SHERD_COUNTER_NAME)}, sizeof(engine::CommandCounters)));
#undef SHERD_COUNTER_NAME
  layout.Set("runners", Napi::Number::New(env, static_cast<double>(engine::kRunners)));
  const auto specs = AllCommands();
  Napi::Array commands = Napi::Array::New(env, specs.size());
  for (size_t i = 0; i < specs.size(); i++) commands.Set(static_cast<uint32_t>(i), specs[i].full_name);
  layout.Set("commands", commands);
  return layout;
}

Napi::Value CreateEngine(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object options = info[0].As<Napi::Object>();
  const auto number = [&](const char* name) { return options.Get(name).As<Napi::Number>().Int32Value(); };
  engine::EngineConfig config;
  config.workers = number("workers");
  config.shards = number("shards");
  config.databases = number("databases");
  config.in_place = options.Get("inPlace").As<Napi::Boolean>();
  const std::string run_id = options.Get("runId").As<Napi::String>();
  const bool is_power_of_two = config.shards > 0 && (config.shards & (config.shards - 1)) == 0;
  if (config.workers < 1 || config.workers > 128 || !is_power_of_two || config.shards > 1024 ||
      config.databases < 1 || run_id.size() != 40) {
    Napi::RangeError::New(env, "engine options out of range").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  std::memcpy(config.run_id, run_id.data(), 40);
  Napi::Uint8Array stats = options.Get("stats").As<Napi::Uint8Array>();
  const engine::CounterLayout layout{static_cast<size_t>(config.workers), static_cast<size_t>(config.shards),
                                     static_cast<size_t>(config.databases), AllCommands().size()};
  if (stats.ByteLength() < layout.total_bytes()) {
    Napi::RangeError::New(env, "stats memory too small").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  config.counter_memory = reinterpret_cast<std::byte*>(stats.Data());
  env.GetInstanceData<InstanceData>()->stats = Napi::Persistent(stats);

  CycleClock::Calibrate();
  static std::once_flag seeded;
  std::call_once(seeded, [] {
    std::random_device device;
    uint32_t seed[4];
    for (uint32_t& word : seed) word = device();
    engine::SeedKeyHash(reinterpret_cast<const uint8_t*>(seed));
    client_describer = net::DescribeSession;
    SetDebugLog(LogFromCommand);
  });
  Registry& registry = TheRegistry();
  auto server = std::make_shared<net::Server>(config, &Handlers());
  const std::lock_guard<std::mutex> lock(registry.mutex);
  const int id = registry.next_id++;
  registry.servers[id] = std::move(server);
  return Napi::Number::New(env, id);
}

Napi::Value SetOption(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::shared_ptr<net::Server> server = ServerArgument(info);
  if (server == nullptr) return env.Undefined();
  engine::Engine& engine = server->engine();
  const std::string name = info[1].As<Napi::String>();
  if (info[2].IsString()) {
    const std::string text = Latin1Bytes(info[2]);
    if (name == "requirepass") {
      engine.SetPassword(text);
    } else if (name != "client-output-buffer-limit" || !engine.SetOutputLimits(text)) {
      Napi::TypeError::New(env, "not a text option, or malformed: " + name).ThrowAsJavaScriptException();
    }
    return env.Undefined();
  }
  engine::Option* option = engine.options().Find(name);
  if (option == nullptr) {
    Napi::TypeError::New(env, "the engine has no option " + name).ThrowAsJavaScriptException();
    return env.Undefined();
  }
  if (info[2].IsBigInt()) {
    bool lossless;
    option->Set(info[2].As<Napi::BigInt>().Int64Value(&lossless));
  } else {
    option->Set(info[2].As<Napi::Number>().Int64Value());
  }
  if (option == &engine.options().notify_flags) engine.ApplyNotifyFlags();
  return env.Undefined();
}

Napi::Value Listen(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::shared_ptr<net::Server> server = ServerArgument(info);
  if (server == nullptr) return env.Undefined();
  const Napi::Object address = info[1].As<Napi::Object>();
  const std::string kind = address.Get("kind").As<Napi::String>();
  const int backlog = address.Get("backlog").As<Napi::Number>().Int32Value();
  const net::Server::ListenResult result =
      kind == "unix" ? server->ListenUnix(Latin1Bytes(address.Get("path")),
                                          address.Get("permissions").As<Napi::Number>().Int32Value(), backlog)
                     : server->ListenTcp(address.Get("address").As<Napi::String>().Utf8Value(),
                                         address.Get("port").As<Napi::Number>().Int32Value(), backlog);
  if (result.error != 0) {
    const bool is_unknown_name = std::strcmp(result.failed, "getaddrinfo") == 0;
    Napi::Error error =
        Napi::Error::New(env, is_unknown_name ? "Name or service not known" : std::strerror(result.error));
    error.Set("code", Napi::String::New(env, is_unknown_name ? "ENOTFOUND" : uv_err_name(-result.error)));
    error.Set("syscall", Napi::String::New(env, result.failed));
    error.ThrowAsJavaScriptException();
    return env.Undefined();
  }
  return Napi::Number::New(env, result.port);
}

Napi::Value CloseListeners(const Napi::CallbackInfo& info) {
  const std::shared_ptr<net::Server> server = ServerArgument(info);
  if (server != nullptr) server->CloseListeners();
  return info.Env().Undefined();
}

Napi::Value ResetStats(const Napi::CallbackInfo& info) {
  const std::shared_ptr<net::Server> server = ServerArgument(info);
  if (server != nullptr) server->engine().ResetStatistics();
  return info.Env().Undefined();
}

// ---- Functions of worker threads ----

Napi::Value StartWorker(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::shared_ptr<net::Server> server = ServerArgument(info);
  if (server == nullptr) return env.Undefined();
  const int index = info[1].As<Napi::Number>().Int32Value();
  InstanceData* data = env.GetInstanceData<InstanceData>();
  if (index < 0 || index >= server->engine().config().workers || data->attachment != nullptr) {
    Napi::RangeError::New(env, "bad worker index, or this thread is a worker already").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) {
    Napi::Error::New(env, "no event loop").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  Attachment* attachment = new Attachment();
  attachment->server = server;
  attachment->worker = &server->worker(static_cast<engine::WorkerId>(index));
  attachment->env = env;
  attachment->on_control = Napi::Persistent(info[2].As<Napi::Function>());
  attachment->async_context = std::make_unique<Napi::AsyncContext>(env, "sherd:control");
  attachment->prepare.data = attachment;
  attachment->idle.data = attachment;
  attachment->timer.data = attachment;
  attachment->open_handles = 3;
  uv_prepare_init(loop, &attachment->prepare);
  uv_idle_init(loop, &attachment->idle);
  uv_timer_init(loop, &attachment->timer);
  attachment->worker->WatchOuterLoop(uv_backend_fd(loop));
  uv_prepare_start(&attachment->prepare, OnPrepare);
  uv_timer_start(&attachment->timer, OnTimer, 0, 100);
  data->attachment = attachment;
  if (info.Length() > 3 && info[3].IsFunction()) {
    attachment->on_log = Napi::Persistent(info[3].As<Napi::Function>());
  }
  current_worker = attachment->worker;
  attachment->worker->Start(
      [attachment](net::ControlCall&& call) { attachment->CallControl(std::move(call)); },
      [attachment](const char* level, const std::string& text) { attachment->CallLog(level, text); });
  attachment->worker->RunOnce();
  return env.Undefined();
}

Napi::Value StopWorker(const Napi::CallbackInfo& info) {
  InstanceData* data = info.Env().GetInstanceData<InstanceData>();
  if (data->attachment != nullptr) data->attachment->Detach();
  data->attachment = nullptr;
  return info.Env().Undefined();
}

net::Worker* WorkerOf(const Napi::CallbackInfo& info) {
  InstanceData* data = info.Env().GetInstanceData<InstanceData>();
  if (data->attachment != nullptr && data->attachment->worker != nullptr) return data->attachment->worker;
  Napi::Error::New(info.Env(), "this thread is not a worker").ThrowAsJavaScriptException();
  return nullptr;
}

Napi::Value ReplyControl(const Napi::CallbackInfo& info) {
  net::Worker* worker = WorkerOf(info);
  if (worker == nullptr) return info.Env().Undefined();
  bool lossless;
  const uint64_t token = info[1].As<Napi::BigInt>().Uint64Value(&lossless);
  const Napi::Uint8Array reply = info[2].As<Napi::Uint8Array>();
  worker->AnswerControl(token, {reinterpret_cast<const char*>(reply.Data()), reply.ByteLength()});
  return info.Env().Undefined();
}

net::ClientFilter FilterArgument(const Napi::Object& object) {
  net::ClientFilter filter;
  const auto text = [&](const char* name, std::string* value) {
    const Napi::Value found = object.Get(name);
    if (!found.IsString()) return false;
    *value = Latin1Bytes(found);
    return true;
  };
  filter.has_address = text("addr", &filter.address);
  filter.has_local_address = text("laddr", &filter.local_address);
  filter.has_user = text("user", &filter.user);
  filter.has_type = text("type", &filter.type);
  bool lossless;
  const Napi::Value ids = object.Get("ids");
  if (ids.IsArray()) {
    filter.has_ids = true;
    const Napi::Array array = ids.As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); i++) {
      filter.ids.push_back(array.Get(i).As<Napi::BigInt>().Uint64Value(&lossless));
    }
  }
  const Napi::Value max_age = object.Get("maxAgeSec");
  if (max_age.IsBigInt()) filter.max_age_sec = max_age.As<Napi::BigInt>().Int64Value(&lossless);
  const Napi::Value skip = object.Get("skipId");
  if (skip.IsBigInt()) filter.skip_id = skip.As<Napi::BigInt>().Uint64Value(&lossless);
  const Napi::Value caller = object.Get("callerId");
  if (caller.IsBigInt()) filter.caller_id = caller.As<Napi::BigInt>().Uint64Value(&lossless);
  return filter;
}

Napi::Value ListClients(const Napi::CallbackInfo& info) {
  net::Worker* worker = WorkerOf(info);
  if (worker == nullptr) return info.Env().Undefined();
  const std::string lines = worker->DescribeClients(FilterArgument(info[1].As<Napi::Object>()));
  return Latin1(info.Env(), lines);
}

Napi::Value KillClients(const Napi::CallbackInfo& info) {
  net::Worker* worker = WorkerOf(info);
  if (worker == nullptr) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), worker->KillClients(FilterArgument(info[1].As<Napi::Object>())));
}

Napi::Value UnblockClient(const Napi::CallbackInfo& info) {
  net::Worker* worker = WorkerOf(info);
  if (worker == nullptr) return info.Env().Undefined();
  bool lossless;
  const uint64_t id = info[1].As<Napi::BigInt>().Uint64Value(&lossless);
  const net::Worker::Unblock result = worker->UnblockClient(id, info[2].As<Napi::Boolean>());
  if (result == net::Worker::Unblock::kBusy) return info.Env().Undefined();
  return Napi::Boolean::New(info.Env(), result == net::Worker::Unblock::kUnblocked);
}

Napi::Value Crash(const Napi::CallbackInfo& info) {
  const std::string kind = info[0].As<Napi::String>();
  if (kind == "segfault") std::raise(SIGSEGV);
  std::abort();
}

// Node's own exit waits for the threads of libuv's pool: a load, or a snapshot, to its end. Nothing that they do
// is worth that: what counts is on disk, and what is not whole has a temporary name.
Napi::Value Leave(const Napi::CallbackInfo& info) { _exit(info[0].As<Napi::Number>().Int32Value()); }

void KeepInstanceData(Napi::Env, InstanceData*) {}

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  // Left to the process's end: it is small, and a finalizer would race with the cleanup hook.
  InstanceData* data = new InstanceData();
  env.SetInstanceData<InstanceData, KeepInstanceData>(data);
  env.AddCleanupHook([data] {
    if (data->attachment != nullptr) data->attachment->Detach();
    data->attachment = nullptr;
  });
  const auto add = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("statsBytes", StatsBytes);
  add("statsLayout", StatsLayout);
  add("createEngine", CreateEngine);
  add("setOption", SetOption);
  add("listen", Listen);
  add("closeListeners", CloseListeners);
  add("resetStats", ResetStats);
  add("startWorker", StartWorker);
  add("stopWorker", StopWorker);
  add("replyControl", ReplyControl);
  add("listClients", ListClients);
  add("killClients", KillClients);
  add("unblockClient", UnblockClient);
  add("crash", Crash);
  add("leave", Leave);
  ExportSnapshots(env, exports);
  ExportLoading(env, exports);
  ExportJournal(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(sherd, Initialize)

}  // namespace sherd
