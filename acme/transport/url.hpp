// The parts of an http or https URL that the client must judge (RFC 3986 §3).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace countersign::acme {

class Url {
 public:
  // Absolute, http or https, with a host, without a user name. Error: Invalid.
  [[nodiscard]] static base::Result<Url> parse(std::string_view text);

  [[nodiscard]] bool is_https() const { return https_; }
  // 127.0.0.0/8, ::1 and localhost: what is sent there never leaves this machine.
  [[nodiscard]] bool is_loopback() const;
  [[nodiscard]] const std::string& host() const { return host_; }  // lower case; IPv6 without brackets
  [[nodiscard]] std::uint16_t port() const { return port_; }       // the scheme's own where none is written
  [[nodiscard]] const std::string& path() const { return path_; }  // with its leading "/" and the query behind
  [[nodiscard]] std::string origin() const;                        // "host" or "host:port", for messages

 private:
  bool https_ = false;
  std::string host_;
  std::uint16_t port_ = 0;
  std::string path_;
};

}  // namespace countersign::acme
