#include "zones/acme_dns_import.hpp"

#include <sqlite3.h>
#include <sys/stat.h>

#include <cerrno>
#include <string_view>

#include "base/files.hpp"
#include "base/handle.hpp"
#include "base/text.hpp"

namespace countersign::zones {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

using Database = base::Handle<sqlite3, sqlite3_close>;
using Statement = base::Handle<sqlite3_stmt, sqlite3_finalize>;

constexpr int kPatience = 2000;                  // milliseconds that acme-dns may be writing
constexpr std::string_view kKnownVersion = "1";  // acmedns.db_version of 0.2 and all later releases
constexpr std::size_t kShownText = 200;

std::optional<std::string> column_text(sqlite3_stmt* statement, int index) {
  int type = sqlite3_column_type(statement, index);
  if (type != SQLITE_TEXT && type != SQLITE_BLOB) return std::nullopt;
  // Before the octets: of a blob or of UTF-8 text it tells their number without a copy.
  auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement, index));
  if (size > AcmeDnsDatabase::kMaxColumn) return std::nullopt;
  const auto* octets = static_cast<const char*>(sqlite3_column_blob(statement, index));
  return octets == nullptr ? std::string() : std::string(octets, size);
}

}  // namespace

struct AcmeDnsDatabase::Connection {
  std::string file;
  Database database;

  [[nodiscard]] tl::unexpected<base::Error> failure() const {
    int status = sqlite3_extended_errcode(database.get());
    std::string reason = base::printable(sqlite3_errmsg(database.get()), kShownText);
    if (status == SQLITE_READONLY_ROLLBACK || status == SQLITE_READONLY_RECOVERY || status == SQLITE_READONLY_CANTINIT)
      return fail(
          ErrorCode::Invalid,
          "\"{}\" has a transaction that acme-dns did not finish, with a journal beside it; start acme-dns once "
          "more and stop it",
          file);
    switch (status & 0xff) {
      case SQLITE_NOTADB:
        return fail(ErrorCode::Invalid,
                    "\"{}\" is no SQLite database; name the file that connection in acme-dns' config.cfg names", file);
      case SQLITE_BUSY:
      case SQLITE_LOCKED:
        return fail(ErrorCode::Exists, "\"{}\" is being written to; stop acme-dns first", file);
      case SQLITE_CORRUPT:
        return damaged(reason);
      case SQLITE_ERROR:  // of the statement: a table or a column is not there
        return fail(ErrorCode::Invalid, "\"{}\" is not a database of acme-dns: {}", file, reason);
      case SQLITE_PERM:
      case SQLITE_AUTH:
      case SQLITE_CANTOPEN:
        return fail(ErrorCode::Denied, "cannot open \"{}\": {}; run this as a user who may read it and its folder",
                    file, reason);
      default:
        return fail(ErrorCode::Io, "cannot read \"{}\": {}", file, reason);
    }
  }

  [[nodiscard]] tl::unexpected<base::Error> damaged(std::string_view reason) const {
    return fail(ErrorCode::Invalid,
                "\"{}\" is damaged: {}; take it from a backup, or save what can be read with sqlite3's .recover", file,
                reason);
  }

  [[nodiscard]] Result<Statement> prepare(const char* sql) const {
    sqlite3_stmt* raw = nullptr;
    int status = sqlite3_prepare_v2(database.get(), sql, -1, &raw, nullptr);
    Statement statement(raw);
    if (status != SQLITE_OK) return failure();
    return statement;
  }

  // The first column of the first row; absent where there is no row, or no text in it.
  [[nodiscard]] Result<std::optional<std::string>> first_text(const char* sql) const {
    auto statement = prepare(sql);
    if (!statement) return fail(statement.error());
    int status = sqlite3_step(statement->get());
    if (status == SQLITE_DONE) return std::optional<std::string>();
    if (status != SQLITE_ROW) return failure();
    return column_text(statement->get(), 0);
  }

  template <class Row>
  [[nodiscard]] Result<void> each_row(const char* sql, Row row) const {
    auto statement = prepare(sql);
    if (!statement) return fail(statement.error());
    int status = SQLITE_ROW;
    while ((status = sqlite3_step(statement->get())) == SQLITE_ROW) {
      Result<void> visited = row(statement->get());
      if (!visited) return visited;
    }
    if (status != SQLITE_DONE) return failure();
    return {};
  }

  [[nodiscard]] Result<void> check_kind() const;
};

Result<void> AcmeDnsDatabase::Connection::check_kind() const {
  // A view may be a query without an end.
  auto records = first_text("SELECT type FROM sqlite_master WHERE lower(name) = 'records'");
  auto values = first_text("SELECT type FROM sqlite_master WHERE lower(name) = 'txt'");
  auto facts = first_text("SELECT type FROM sqlite_master WHERE lower(name) = 'acmedns'");
  for (const auto* found : {&records, &values, &facts})
    if (!*found) return fail(found->error());
  if (*records != "table")
    return fail(ErrorCode::Invalid,
                "\"{}\" is not a database of acme-dns: it has no table \"records\"; name the file that connection in "
                "its config.cfg names",
                file);
  std::optional<std::string> version;
  if (*facts == "table") {
    auto found = first_text("SELECT Value FROM acmedns WHERE Name = 'db_version'");
    if (!found) return fail(found.error());
    version = std::move(*found);
  }
  if (!version || *values != "table")
    return fail(ErrorCode::Invalid,
                "\"{}\" was written by acme-dns before 0.2; start acme-dns 1.0 or later with it once, which converts "
                "it, and stop it",
                file);
  if (*version != kKnownVersion)
    return fail(ErrorCode::Invalid, "\"{}\" has version {} of acme-dns' database, and only version {} is known here",
                file, base::printable(*version, 20), kKnownVersion);
  // The whole file: a damaged page could hide accounts without a word.
  auto whole = first_text("PRAGMA quick_check(1)");
  if (!whole) return fail(whole.error());
  if (*whole != "ok") return damaged(base::printable(whole->value_or("no reason given"), kShownText));
  return {};
}

Result<AcmeDnsDatabase> AcmeDnsDatabase::open(const std::filesystem::path& file) {
  // SQLite would wait at a FIFO, and take a folder for a file that it cannot open.
  struct stat found{};
  if (stat(file.c_str(), &found) != 0) {
    int number = errno;
    return fail(base::system_code(number), "cannot open \"{}\": {}; name the database of acme-dns", file.string(),
                base::system_reason(number));
  }
  if (!S_ISREG(found.st_mode))
    return fail(ErrorCode::Invalid, "\"{}\" is no regular file; name the database of acme-dns", file.string());
  auto connection = std::make_unique<Connection>();
  connection->file = file.string();
  sqlite3* raw = nullptr;
  int opened = sqlite3_open_v2(file.c_str(), &raw, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr);
  connection->database.reset(raw);
  if (raw == nullptr) return fail(ErrorCode::Io, "cannot open \"{}\": out of memory", file.string());
  sqlite3_extended_result_codes(raw, 1);
  if (opened != SQLITE_OK) return connection->failure();
  sqlite3_busy_timeout(raw, kPatience);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  // The file is a stranger's: nothing in its schema is trusted, and every page is checked. The first SELECT of the
  // transaction takes the lock and looks for a journal.
  constexpr const char* kPrepare =
      "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; PRAGMA query_only = ON;"
      "BEGIN; SELECT count(*) FROM sqlite_master;";
  if (sqlite3_exec(raw, kPrepare, nullptr, nullptr, nullptr) != SQLITE_OK) return connection->failure();
  if (auto checked = connection->check_kind(); !checked) return fail(checked.error());
  return AcmeDnsDatabase(std::move(connection));
}

AcmeDnsDatabase::AcmeDnsDatabase(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}
AcmeDnsDatabase::~AcmeDnsDatabase() = default;
AcmeDnsDatabase::AcmeDnsDatabase(AcmeDnsDatabase&&) noexcept = default;
AcmeDnsDatabase& AcmeDnsDatabase::operator=(AcmeDnsDatabase&&) noexcept = default;

Result<std::uint64_t> AcmeDnsDatabase::count_accounts() {
  std::uint64_t count = 0;
  auto read = connection_->each_row("SELECT count(*) FROM records", [&count](sqlite3_stmt* row) -> Result<void> {
    count = static_cast<std::uint64_t>(sqlite3_column_int64(row, 0));
    return {};
  });
  if (!read) return fail(read.error());
  return count;
}

Result<void> AcmeDnsDatabase::each_account(const VisitAccount& visit) {
  AcmeDnsAccount account;
  return connection_->each_row("SELECT Username, Password, Subdomain, AllowFrom FROM records",
                               [&](sqlite3_stmt* row) -> Result<void> {
                                 account.username = column_text(row, 0);
                                 account.password = column_text(row, 1);
                                 account.subdomain = column_text(row, 2);
                                 account.allow_from = column_text(row, 3);
                                 return visit(account);
                               });
}

Result<void> AcmeDnsDatabase::each_value(const VisitValue& visit) {
  AcmeDnsValue value;
  return connection_->each_row("SELECT Subdomain, Value, LastUpdate FROM txt WHERE Value <> ''",
                               [&](sqlite3_stmt* row) -> Result<void> {
                                 value.subdomain = column_text(row, 0);
                                 value.value = column_text(row, 1);
                                 value.updated = sqlite3_column_int64(row, 2);
                                 visit(value);
                                 return {};
                               });
}

}  // namespace countersign::zones
