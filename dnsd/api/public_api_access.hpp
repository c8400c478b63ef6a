// What the faces of the public API have in common: who may do how much, answers that refuse, and the audit line.
// Thread: the control thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/socket_address.hpp"
#include "conf/config.hpp"
#include "dnsd/api/http_message.hpp"
#include "dnsd/api/rate_buckets.hpp"
#include "zones/publisher.hpp"
#include "zones/registration.hpp"

namespace countersign::dnsd {

// 429 with Retry-After.
[[nodiscard]] HttpResponse too_many_requests(std::chrono::milliseconds wait);
// What a refusal of the publisher means to a client: 409 (no room), 503 (the store), 500 (no such name here).
[[nodiscard]] HttpResponse publisher_refused(const base::Error& error);
// One line for each change. `event`: "value added", "value removed", "registration made". `by`: which face.
void log_change(std::string_view event, const zones::Registration& registration, const base::SocketAddress& client,
                std::string_view by, std::string_view value = {});

class ApiAccess {
 public:
  explicit ApiAccess(const base::Clock& clock);

  void use(const conf::Api& api, std::string_view registration_token);
  [[nodiscard]] const conf::Api& settings() const { return api_; }

  // Whether the request has api.registration_token: as a bearer, or as the password of Basic, which is what clients
  // make of https://x:TOKEN@host.
  [[nodiscard]] bool has_registration_token(const HttpRequest& request) const;
  // Absent when it may go on, else how long to wait.
  [[nodiscard]] std::optional<std::chrono::milliseconds> take_registration(const base::SocketAddress& client);
  [[nodiscard]] std::optional<std::chrono::milliseconds> take_update(const zones::Registration& registration);

  // The answer to a failed login: `answer`, or 429 when `client` has had too many of them. Only failures are counted
  // and limited: a stranger behind the same router must not lock anybody out, and a right password is cheap to verify.
  // `username`: as it was sent.
  [[nodiscard]] HttpResponse refuse_login(const base::SocketAddress& client, std::string_view username,
                                          std::string_view by, HttpResponse answer);
  // For the administrator, as the answer must not tell. The first of an address and a minute is a line even while
  // others are many; of the rest there are as many as a log can take.
  void warn(std::string_view event, const base::SocketAddress& client, std::string_view username, std::string_view by);
  // How many were no line, once a minute at most. With every request, because nothing else comes when it is over.
  void tell_unlogged();

 private:
  const base::Clock& clock_;
  conf::Api api_;
  std::string token_digest_;  // "" = there is no token: nobody has it
  RateBuckets registrations_, updates_, failures_, first_warnings_, warnings_;
  std::uint64_t unlogged_ = 0;
  base::ElapsedTime unlogged_since_{0};  // of the first of them
};

}  // namespace countersign::dnsd
