// The store's connection to SQLite, for the files that implement Store. Private to zones/.
#pragma once

#include <sqlite3.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/handle.hpp"
#include "zones/store.hpp"

namespace countersign::zones {

using Database = base::Handle<sqlite3, sqlite3_close_v2>;
using Prepared = base::Handle<sqlite3_stmt, sqlite3_finalize>;

enum StatementId : std::size_t {
  Begin,
  Commit,
  Rollback,
  Values,
  Put,
  Remove,
  RemoveMisfits,
  Each,
  Scan,
  Expired,
  NextDeadline,
  Shift,
  Serial,
  SetSerial,
  Zones,
  AddRegistration,
  ReplaceRegistration,
  RemoveRegistration,
  RemoveUse,
  FindRegistration,
  RegistrationsAfter,
  RegistrationNames,
  CountRegistrations,
  SetUsed,
  SetSignedMark,
  SignedMarks,
  StatementCount
};

struct Store::Connection {
  Database database;
  std::array<Prepared, StatementCount> statements;
  std::string file;

  [[nodiscard]] tl::unexpected<base::Error> failure(std::string_view what) const {
    return base::fail(base::ErrorCode::Unavailable, "cannot {} \"{}\": {}; free some space or repair the disk", what,
                      file, sqlite3_errmsg(database.get()));
  }
  [[nodiscard]] base::Result<int> pragma(const char* text) const;
  [[nodiscard]] base::Result<void> execute(const char* sql) const {
    if (sqlite3_exec(database.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return failure("prepare the store");
    return {};
  }
  [[nodiscard]] base::Result<void> migrate() const;
};

// Absent when it is no name, or not in our spelling: somebody wrote it by hand, and it is nobody's.
[[nodiscard]] std::optional<base::Name> our_name(std::string_view wire);

// One use of a prepared statement: bound in the order of its parameters, stepped, and reset at the end.
class Use {
 public:
  explicit Use(sqlite3_stmt* statement) : statement_(statement) {}
  ~Use() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

  Use& name(std::string_view wire) {
    // Static: the name outlives the statement's use. An empty one is a blob too, not NULL.
    const char* octets = wire.empty() ? "" : wire.data();
    sqlite3_bind_blob(statement_, ++bound_, octets, static_cast<int>(wire.size()), SQLITE_STATIC);
    return *this;
  }
  Use& name(const base::Name& name) { return this->name(name.wire()); }
  Use& text(const std::string& text) {
    sqlite3_bind_text(statement_, ++bound_, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
    return *this;
  }
  Use& integer(std::int64_t value) {
    sqlite3_bind_int64(statement_, ++bound_, value);
    return *this;
  }
  Use& optional(const std::optional<std::int64_t>& value) {
    if (value) return integer(*value);
    sqlite3_bind_null(statement_, ++bound_);
    return *this;
  }

  [[nodiscard]] int step() { return sqlite3_step(statement_); }
  [[nodiscard]] std::string column_text(int index) const {
    const unsigned char* text = sqlite3_column_text(statement_, index);
    if (text == nullptr) return {};
    return {reinterpret_cast<const char*>(text), static_cast<std::size_t>(sqlite3_column_bytes(statement_, index))};
  }
  [[nodiscard]] std::string_view column_view(int index) const {
    const auto* octets = static_cast<const char*>(sqlite3_column_blob(statement_, index));
    return {octets, octets == nullptr ? 0 : static_cast<std::size_t>(sqlite3_column_bytes(statement_, index))};
  }
  [[nodiscard]] std::int64_t column_integer(int index) const { return sqlite3_column_int64(statement_, index); }
  [[nodiscard]] std::optional<std::int64_t> column_optional(int index) const {
    if (sqlite3_column_type(statement_, index) == SQLITE_NULL) return std::nullopt;
    return column_integer(index);
  }
  [[nodiscard]] std::optional<base::Name> column_name(int index) const { return our_name(column_view(index)); }
  [[nodiscard]] bool is_text(int index) const { return sqlite3_column_type(statement_, index) == SQLITE_TEXT; }
  [[nodiscard]] bool is_misfit() const {
    return sqlite3_column_type(statement_, 0) != SQLITE_BLOB || sqlite3_column_type(statement_, 1) != SQLITE_TEXT;
  }
  [[nodiscard]] StoredValue column_value() const {
    return {column_text(1), column_text(2), column_integer(3), column_optional(4), column_integer(5)};
  }

 private:
  sqlite3_stmt* statement_;
  int bound_ = 0;
};

}  // namespace countersign::zones
