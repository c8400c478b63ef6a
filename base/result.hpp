// How every part reports failure: a value with a code to branch on and a message for a person.
#pragma once

#include <fmt/format.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace countersign::base {

enum class ErrorCode {
  Usage,        // the person who asked, or the configuration, wants what cannot be
  Invalid,      // input from outside that cannot be accepted as it is
  NotFound,     // the thing named does not exist
  Exists,       // the thing named exists already, or is in use
  Full,         // a limit is reached
  Denied,       // permission
  Unavailable,  // a peer, a disk or a process is not there or does not work now
  Timeout,      // no answer in the time given
  Interrupted,  // a person or a signal stopped it
  Io,           // the operating system refused
  Protocol,     // a peer said something that its protocol does not allow
  Refused,      // a peer understood and said no
};

// `message`: what failed, on what, why, what to do; lower case, no period.
struct Error {
  ErrorCode code = ErrorCode::Invalid;
  std::string message;

  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
using Result = tl::expected<T, Error>;

// return fail(ErrorCode::Io, "cannot open {}: {}", path, reason);
template <class... Args>
[[nodiscard]] tl::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> text, Args&&... args) {
  return tl::unexpected<Error>(Error{code, fmt::format(text, std::forward<Args>(args)...)});
}

[[nodiscard]] inline tl::unexpected<Error> fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace countersign::base
