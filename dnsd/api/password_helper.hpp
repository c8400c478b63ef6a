// Verifies imported bcrypt hashes, which take a tenth of a second each, on a thread of its own, a few in a row. And the
// digest that stands for all other passwords.
// Thread: those of one executor; PasswordHelper's own thread does the work.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "dnsd/net/asio.hpp"

namespace countersign::dnsd {

// 32 octets.
[[nodiscard]] std::string sha256_of(std::string_view text);
// In a time that depends on the lengths alone.
[[nodiscard]] bool equal_in_constant_time(std::string_view a, std::string_view b);

// `hash`: "$2a$", "$2b$" or "$2y$", of a cost that one thread can bear. False for any other.
[[nodiscard]] bool verify_bcrypt(const std::string& password, const std::string& hash);

class PasswordHelper {
 public:
  // Each makes those behind it wait for a twentieth of a second. Not fewer: where many accounts were moved here, their
  // first renewals come together, and most clients give up when they are refused.
  static constexpr std::size_t kMaxWaiting = 64;

  PasswordHelper();
  ~PasswordHelper();
  PasswordHelper(const PasswordHelper&) = delete;
  PasswordHelper& operator=(const PasswordHelper&) = delete;

  // Resumes on `executor`. Error: Unavailable (too many wait, or stopped).
  [[nodiscard]] asio::awaitable<base::Result<bool>> verify(asio::any_io_executor executor, std::string password,
                                                           std::string hash);
  // Ends the thread; those who wait are never resumed.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::dnsd
