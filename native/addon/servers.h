// The servers of the process as the addon's files find them, and what they share with JavaScript's values.
#pragma once

#include <napi.h>

#include <memory>
#include <string>
#include <string_view>

#include "net/server.h"

namespace sherd {

/// The server that argument 0 names; null, with a TypeError thrown into JavaScript, if there is none. Any
/// thread.
std::shared_ptr<net::Server> ServerArgument(const Napi::CallbackInfo& info);

/// Text crosses as Latin-1: one character for each byte, whatever the bytes are.
Napi::String Latin1(Napi::Env env, std::string_view bytes);
std::string Latin1Bytes(const Napi::Value& value);

/// Each adds its functions to the addon's exports (typed in src/native/persistence.ts).
void ExportSnapshots(Napi::Env env, Napi::Object exports);
void ExportLoading(Napi::Env env, Napi::Object exports);
void ExportJournal(Napi::Env env, Napi::Object exports);

}  // namespace sherd
