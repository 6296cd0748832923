// Status and Result<T>: how operating errors (disk, peer, memory, hostile bytes) travel.
//
// A user's error is a reply and a programmer's error is a CHECK; what is left is this. There are no
// exceptions in native code, and both types are [[nodiscard]], so an error can not be dropped by
// accident. The message is a sentence for a log line; the code is what callers branch on.
//
//   Result<File> file = File::Open(path);
//   if (!file.ok()) return file.status();
//   Use(file.value());
//
// An OK status holds no memory. Any thread; values are owned by whoever holds the object.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace sherd {

enum class StatusCode : uint8_t {
  kOk,
  kInvalid,  // an argument or a text that is not what it should be
  kNotFound,
  kCorrupt,      // bytes that break their format
  kIo,           // the system refused; error_number() holds errno
  kLimit,        // a named limit was reached
  kUnavailable,  // not now: busy, closing, no peer
  kUnsupported,
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message, int error_number = 0)
      : code_(code), error_number_(error_number), message_(std::move(message)) {
    CHECK(code != StatusCode::kOk);
  }

  static Status Ok() { return {}; }
  static Status Invalid(std::string message) { return {StatusCode::kInvalid, std::move(message)}; }
  static Status NotFound(std::string message) {
    return {StatusCode::kNotFound, std::move(message)};
  }
  static Status Corrupt(std::string message) { return {StatusCode::kCorrupt, std::move(message)}; }
  static Status Io(std::string message, int error_number) {
    return {StatusCode::kIo, std::move(message), error_number};
  }
  static Status Limit(std::string message) { return {StatusCode::kLimit, std::move(message)}; }
  static Status Unavailable(std::string message) {
    return {StatusCode::kUnavailable, std::move(message)};
  }
  static Status Unsupported(std::string message) {
    return {StatusCode::kUnsupported, std::move(message)};
  }

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  /// errno of a kIo status, else 0.
  int error_number() const { return error_number_; }
  const std::string& message() const { return message_; }

 private:
  StatusCode code_ = StatusCode::kOk;
  int error_number_ = 0;
  std::string message_;
};

/// Either a T or a Status that is not OK.
template <typename T>
class [[nodiscard]] Result {
 public:
  // Implicit on purpose: `return value;` and `return Status::Io(...);` both read well.
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Status status) : state_(std::in_place_index<1>, std::move(status)) {
    CHECK_MSG(!std::get_if<1>(&state_)->ok(), "a Result needs a value or an error");
  }

  bool ok() const { return state_.index() == 0; }

  T& value() & {
    CHECK_MSG(ok(), "value() of an error");
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    CHECK_MSG(ok(), "value() of an error");
    return *std::get_if<0>(&state_);
  }
  /// Moves the value out: `T t = std::move(result).value();`.
  T&& value() && {
    CHECK_MSG(ok(), "value() of an error");
    return std::move(*std::get_if<0>(&state_));
  }

  /// The error, or an OK status.
  Status status() const { return ok() ? Status() : *std::get_if<1>(&state_); }

 private:
  std::variant<T, Status> state_;
};

}  // namespace sherd

/// Leaves the calling function with the status of `expression` unless it is OK.
#define RETURN_IF_ERROR(expression)                                  \
  do {                                                               \
    ::sherd::Status return_if_error_status = (expression);           \
    if (!return_if_error_status.ok()) return return_if_error_status; \
  } while (0)
