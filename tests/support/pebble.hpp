// Pebble, the ACME test CA, on a free loopback port with a certificate of its own.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/support/temporary_folder.hpp"

namespace countersign::tests {

using Environment = std::vector<std::pair<std::string, std::string>>;

// A release of Pebble on this machine: the installed one, or one that scripts/fetch-pebble unpacked.
struct PebbleRelease {
  std::string version;  // "" = the installed one
  std::string program;
};
// The installed one first. Releases differ in what they offer: RFC 9773, profiles, experimental challenges.
[[nodiscard]] std::vector<PebbleRelease> pebble_releases();

class Pebble {
 public:
  // Validates nothing (PEBBLE_VA_ALWAYS_VALID) and refuses no nonce, unless `environment` says otherwise ("" unsets).
  explicit Pebble(Environment environment = {}, const std::string& extra_configuration = "",
                  const std::string& resolver = "", const std::string& program = "pebble");
  ~Pebble();
  Pebble(const Pebble&) = delete;
  Pebble& operator=(const Pebble&) = delete;

  [[nodiscard]] const std::string& directory_url() const { return directory_url_; }
  [[nodiscard]] std::string ca_file() const { return (folder_.path / "https.pem").string(); }

 private:
  TemporaryFolder folder_;
  std::string directory_url_;
  pid_t process_ = -1;
};

}  // namespace countersign::tests
