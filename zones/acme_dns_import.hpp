// A database of acme-dns (SQLite; 1.x and 2.x have the same tables), read as it stands and never written. Who calls
// judges what is in it: anything may be.
// Thread: one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.hpp"

namespace countersign::zones {

// Columns that are neither text nor blob, or longer than AcmeDnsDatabase::kMaxColumn, are absent.
struct AcmeDnsAccount {
  std::optional<std::string> username;
  std::optional<std::string> password;  // a bcrypt hash; SQLite has it as a blob
  std::optional<std::string> subdomain;
  std::optional<std::string> allow_from;  // a JSON array of CIDRs
};

struct AcmeDnsValue {
  std::optional<std::string> subdomain;
  std::optional<std::string> value;
  std::int64_t updated = 0;  // seconds since 1970, as it stands there
};

class AcmeDnsDatabase {
 public:
  static constexpr std::size_t kMaxColumn = 65'536;  // octets: room for a thousand CIDRs

  // Checks it whole, and keeps other processes from writing to it for as long as it lives: what is read belongs
  // together. All files are open then; who opened it may give up the right to. Error: NotFound, Denied, Exists (in use
  // now), Invalid (no database of acme-dns, a version that we do not know, or damaged), Io.
  [[nodiscard]] static base::Result<AcmeDnsDatabase> open(const std::filesystem::path& file);
  ~AcmeDnsDatabase();
  AcmeDnsDatabase(AcmeDnsDatabase&&) noexcept;
  AcmeDnsDatabase& operator=(AcmeDnsDatabase&&) noexcept;

  [[nodiscard]] base::Result<std::uint64_t> count_accounts();
  using VisitAccount = std::function<base::Result<void>(const AcmeDnsAccount& account)>;
  using VisitValue = std::function<void(const AcmeDnsValue& value)>;
  // Every row, in no order; an error of `visit` ends it. Error also: Invalid (damaged), Io.
  [[nodiscard]] base::Result<void> each_account(const VisitAccount& visit);
  // Every row that has a value, in no order.
  [[nodiscard]] base::Result<void> each_value(const VisitValue& visit);

 private:
  struct Connection;
  explicit AcmeDnsDatabase(std::unique_ptr<Connection> connection);
  std::unique_ptr<Connection> connection_;
};

}  // namespace countersign::zones
