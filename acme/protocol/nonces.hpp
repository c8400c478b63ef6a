// Anti-replay nonces that the CA gave and that no request used yet (RFC 8555 §6.5).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "acme/transport/http.hpp"

namespace countersign::acme {

class NoncePool {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Keeps the answer's Replay-Nonce. RFC 8555 §6.5.1: one that is not base64url is ignored.
  void keep(const HttpResponse& response, Time now);
  // Those of `fresh`, which are newer than all here.
  void add(NoncePool fresh);
  // The freshest one; absent when there is none.
  [[nodiscard]] std::optional<std::string> take(Time now);
  [[nodiscard]] std::size_t size(Time now);

 private:
  struct Nonce {
    std::string text;
    Time received;
  };
  void drop_stale(Time now);
  std::vector<Nonce> nonces_;  // the oldest first
};

}  // namespace countersign::acme
