// Snapshots for JavaScript: see src/native/persistence.ts.
//
// A snapshot runs on a thread of libuv's pool for as long as it takes; the promise and onInstant are called on the
// main thread. One at a time, which the saver sees to.
#include <napi.h>
#include <uv.h>

#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "addon/journal.h"
#include "addon/servers.h"
#include "net/snapshot_access.h"
#include "persistence/saver.h"

namespace sherd {
namespace {

using persistence::JournalStep;
using persistence::SnapshotFormat;
using persistence::SnapshotOptions;
using persistence::Saver;
using persistence::SnapshotOutcome;

/// The savers of the process; each lives as long as its server, or a snapshot that it makes.
struct Savers {
  struct Row {
    std::weak_ptr<net::Server> server;
    std::shared_ptr<Saver> saver;
  };
  std::mutex mutex;
  std::vector<Row> rows;
};

std::shared_ptr<Saver> SaverOf(const std::shared_ptr<net::Server>& server) {
  static Savers savers;
  const std::lock_guard<std::mutex> lock(savers.mutex);
  std::erase_if(savers.rows, [](const Savers::Row& row) { return row.server.expired(); });
  for (const Savers::Row& row : savers.rows) {
    if (row.server.lock() == server) return row.saver;
  }
  savers.rows.push_back({server, std::make_shared<Saver>(server->engine(), &server->snapshot_access())});
  return savers.rows.back().saver;
}

/// A running snapshot as Node sees it.
class SnapshotJob final : public Napi::AsyncProgressQueueWorker<char> {
 public:
  /// `journal_path`: of the file that the journal begins in, or goes on in behind a cut; else empty.
  SnapshotJob(Napi::Env env, std::shared_ptr<net::Server> server, SnapshotOptions options, std::string journal_path,
              Napi::Function on_instant)
      : Napi::AsyncProgressQueueWorker<char>(env, "sherd-snapshot"),
        server_(std::move(server)),
        journal_(JournalOf(*server_)),
        options_(std::move(options)),
        journal_path_(std::move(journal_path)),
        deferred_(Napi::Promise::Deferred::New(env)),
        on_instant_(Napi::Persistent(on_instant)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute(const ExecutionProgress& progress) override {
    if (!journal_path_.empty()) {
      outcome_.error = options_.journal == JournalStep::kBegin ? journal_.Open(journal_path_, 0, 0)
                                                               : journal_.Prepare(journal_path_);
      if (outcome_.error != 0) return SaverOf(server_)->GiveUp();
    }
    outcome_ = SaverOf(server_)->Run(options_, [&progress] {
      const char done = 0;
      progress.Send(&done, 1);
    });
  }

  void OnProgress(const char*, size_t) override {
    Napi::HandleScope scope(Env());
    on_instant_.Call({});
  }

  void OnOK() override {
    Napi::HandleScope scope(Env());
    if (outcome_.error == 0 && !outcome_.is_cancelled) return deferred_.Resolve(Result());
    Napi::Error error =
        Napi::Error::New(Env(), outcome_.is_cancelled ? std::string("cancelled") : std::strerror(outcome_.error));
    if (!outcome_.is_cancelled) error.Set("code", Napi::String::New(Env(), uv_err_name(-outcome_.error)));
    error.Set("isPastInstant", Napi::Boolean::New(Env(), outcome_.is_past_instant));
    deferred_.Reject(error.Value());
  }

 private:
  Napi::Object Result() const {
    const Napi::Env env = Env();
    Napi::Object result = Napi::Object::New(env);
    result.Set("keys", Napi::BigInt::New(env, outcome_.keys));
    result.Set("bytes", Napi::BigInt::New(env, outcome_.bytes));
    result.Set("version", Napi::Number::New(env, outcome_.version));
    result.Set("extraBytesPeak", Napi::BigInt::New(env, outcome_.extra_bytes_peak));
    result.Set("longestStayUs", Napi::Number::New(env, static_cast<double>(outcome_.longest_stay_ns) / 1e3));
    result.Set("instantUs", Napi::Number::New(env, static_cast<double>(outcome_.instant_ns) / 1e3));
    result.Set("offset", Napi::BigInt::New(env, outcome_.offset));
    return result;
  }

  const std::shared_ptr<net::Server> server_;
  persistence::Journal& journal_;
  const SnapshotOptions options_;
  const std::string journal_path_;
  SnapshotOutcome outcome_;
  Napi::Promise::Deferred deferred_;
  Napi::FunctionReference on_instant_;
};

SnapshotOptions ReadRequest(const Napi::Object& request) {
  SnapshotOptions options;
  options.path = Latin1Bytes(request.Get("path"));
  options.format = Latin1Bytes(request.Get("format")) == "aof" ? SnapshotFormat::kAof : SnapshotFormat::kRdb;
  options.version = request.Get("version").As<Napi::Number>().Uint32Value();
  options.compresses = request.Get("compresses").ToBoolean();
  options.has_checksum = request.Get("hasChecksum").ToBoolean();
  options.syncs_on_the_way = request.Get("syncsOnTheWay").ToBoolean();
  options.gives_way = request.Get("givesWay").ToBoolean();
  options.key_delay_us = request.Get("keyDelayUs").As<Napi::Number>().Int64Value();
  const Napi::Array aux = request.Get("aux").As<Napi::Array>();
  for (uint32_t i = 0; i < aux.Length(); i++) {
    const Napi::Array field = aux.Get(i).As<Napi::Array>();
    options.aux.emplace_back(Latin1Bytes(field.Get(0u)), Latin1Bytes(field.Get(1u)));
  }
  const std::string journal = Latin1Bytes(request.Get("journal"));
  if (journal == "cut") options.journal = JournalStep::kCut;
  if (journal == "begin") options.journal = JournalStep::kBegin;
  return options;
}

Napi::Value StartSnapshot(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::shared_ptr<net::Server> server = ServerArgument(info);
  if (server == nullptr) return env.Undefined();
  SnapshotOptions options = ReadRequest(info[1].As<Napi::Object>());
  if (options.version < persistence::kRdbVersionMin || options.version > persistence::kRdbVersionMax) {
    Napi::RangeError::New(env, "no RDB version that can be written").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  if (!SaverOf(server)->Begin()) {
    Napi::Error::New(env, "a snapshot is running").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  std::string journal_path;
  const Napi::Value path = info[1].As<Napi::Object>().Get("journalPath");
  if (options.journal != JournalStep::kNone && !path.IsUndefined()) journal_path = Latin1Bytes(path);
  auto* job = new SnapshotJob(env, std::move(server), std::move(options), std::move(journal_path),
                              info[2].As<Napi::Function>());
  const Napi::Promise promise = job->promise();
  job->Queue();  // deletes itself when it has called back
  return promise;
}

Napi::Value CancelSnapshot(const Napi::CallbackInfo& info) {
  const std::shared_ptr<net::Server> server = ServerArgument(info);
  if (server != nullptr) SaverOf(server)->Cancel();
  return info.Env().Undefined();
}

Napi::Value SnapshotProgress(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::shared_ptr<net::Server> server = ServerArgument(info);
  if (server == nullptr) return env.Undefined();
  const Saver::Progress progress = SaverOf(server)->progress();
  Napi::Object result = Napi::Object::New(env);
  result.Set("isRunning", Napi::Boolean::New(env, progress.is_running));
  result.Set("keysDone", Napi::BigInt::New(env, progress.keys_done));
  result.Set("keysTotal", Napi::BigInt::New(env, progress.keys_total));
  result.Set("bytesWritten", Napi::BigInt::New(env, progress.bytes_written));
  return result;
}

}  // namespace

void ExportSnapshots(Napi::Env env, Napi::Object exports) {
  exports.Set("snapshot", Napi::Function::New(env, StartSnapshot));
  exports.Set("cancelSnapshot", Napi::Function::New(env, CancelSnapshot));
  exports.Set("snapshotProgress", Napi::Function::New(env, SnapshotProgress));
}

}  // namespace sherd
