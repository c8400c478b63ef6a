#include "zones/store.hpp"

#include <fcntl.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/descriptor.hpp"
#include "base/files.hpp"
#include "zones/store_connection.hpp"

namespace countersign::zones {
namespace {

using base::ErrorCode;
using base::fail;
using base::Name;
using base::Result;

constexpr int kApplicationId = 0x43746e73;  // "Ctns": file(1) and we can tell our store from any other

// What makes a store of each version out of one of the version before; the first, out of an empty database.
constexpr std::array kMigrations{
    R"(
  CREATE TABLE zone (
    name   BLOB PRIMARY KEY NOT NULL,
    serial INTEGER NOT NULL,
    digest TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE txt (
    name    BLOB NOT NULL,
    value   TEXT NOT NULL,
    owner   TEXT NOT NULL,
    added   INTEGER NOT NULL,
    expires INTEGER,
    lifetime INTEGER NOT NULL,
    PRIMARY KEY (name, value)
  ) WITHOUT ROWID;
  CREATE INDEX txt_expires ON txt (expires) WHERE expires IS NOT NULL;
)",
    R"(
  CREATE TABLE registration (
    username   TEXT PRIMARY KEY NOT NULL,
    secret     BLOB NOT NULL,
    name       BLOB NOT NULL UNIQUE,
    subdomain  TEXT NOT NULL,
    allow_from TEXT NOT NULL,
    domains    TEXT NOT NULL,
    label      TEXT NOT NULL,
    created    INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE registration_use (
    username TEXT PRIMARY KEY NOT NULL,
    used     INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE tsig_key (
    name   BLOB PRIMARY KEY NOT NULL,
    signed INTEGER NOT NULL
  ) WITHOUT ROWID;
)"};
constexpr int kVersion = static_cast<int>(kMigrations.size());

constexpr std::array<const char*, StatementCount> kStatements{
    "BEGIN IMMEDIATE",
    "COMMIT",
    "ROLLBACK",
    "SELECT name, value, owner, added, expires, lifetime FROM txt WHERE name = ?1 ORDER BY added, value",
    "INSERT INTO txt (name, value, owner, added, expires, lifetime) VALUES (?1, ?2, ?3, ?4, ?5, ?6) "
    "ON CONFLICT (name, value) DO UPDATE SET owner = excluded.owner, expires = excluded.expires, "
    "lifetime = excluded.lifetime",
    "DELETE FROM txt WHERE name = ?1 AND value = ?2",
    "DELETE FROM txt WHERE expires <= ?1 AND (typeof(name) <> 'blob' OR typeof(value) <> 'text')",
    "SELECT name, value, owner, added, expires, lifetime FROM txt ORDER BY name, added, value",
    // The order of the table itself: nothing is sorted.
    "SELECT name, value, added, expires FROM txt ORDER BY name",
    "SELECT name, value FROM txt WHERE expires > ?1 AND expires <= ?2 ORDER BY expires LIMIT ?3",
    // What expired() can find only: a deadline that is no number would wake us for ever.
    "SELECT min(expires) FROM txt WHERE expires > -9223372036854775808 AND expires <= 9223372036854775807",
    "UPDATE txt SET expires = min(expires + ?1, ?2 + lifetime) WHERE expires IS NOT NULL",
    "SELECT serial, digest FROM zone WHERE name = ?1",
    "INSERT INTO zone (name, serial, digest) VALUES (?1, ?2, ?3) "
    "ON CONFLICT (name) DO UPDATE SET serial = excluded.serial, digest = excluded.digest",
    "SELECT name FROM zone WHERE digest <> ''",
    // Either constraint: the username, or the name.
    "INSERT INTO registration (username, secret, name, subdomain, allow_from, domains, label, created) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
    "UPDATE registration SET secret = ?2, allow_from = ?3, domains = ?4, label = ?5 WHERE username = ?1",
    "DELETE FROM registration WHERE username = ?1",
    "DELETE FROM registration_use WHERE username = ?1",
    "SELECT r.username, secret, name, subdomain, allow_from, domains, label, created, coalesce(used, 0) "
    "FROM registration AS r LEFT JOIN registration_use AS u ON u.username = r.username WHERE r.username = ?1",
    "SELECT r.username, secret, name, subdomain, allow_from, domains, label, created, coalesce(used, 0) "
    "FROM registration AS r LEFT JOIN registration_use AS u ON u.username = r.username WHERE r.username > ?1 ORDER BY "
    "r.username LIMIT ?2",
    "SELECT name FROM registration ORDER BY name",
    "SELECT count(*) FROM registration",
    "INSERT INTO registration_use (username, used) SELECT username, ?2 FROM registration WHERE username = ?1 "
    "ON CONFLICT (username) DO UPDATE SET used = max(used, excluded.used)",
    "INSERT INTO tsig_key (name, signed) VALUES (?1, ?2) "
    "ON CONFLICT (name) DO UPDATE SET signed = max(signed, excluded.signed)",
    "SELECT name, signed FROM tsig_key",
};

}  // namespace

std::optional<Name> our_name(std::string_view wire) {
  auto name = Name::from_wire(base::as_bytes(wire));
  if (!name || name->wire() != wire) return std::nullopt;
  return *name;
}

Result<int> Store::Connection::pragma(const char* text) const {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(database.get(), text, -1, &raw, nullptr) != SQLITE_OK) return failure("read");
  Prepared statement(raw);
  if (sqlite3_step(raw) != SQLITE_ROW) return failure("read");
  return sqlite3_column_int(raw, 0);
}

Result<void> Store::Connection::migrate() const {
  auto id = pragma("PRAGMA application_id");
  auto version = pragma("PRAGMA user_version");
  auto tables = pragma("SELECT count(*) FROM sqlite_master");
  if (!id || !version || !tables) return failure("read");
  if (*id == kApplicationId && *version == kVersion) return {};
  if (*id == kApplicationId && *version > kVersion)
    return fail(ErrorCode::Invalid,
                "\"{}\" was written by a later countersignd (store version {}, this one knows {}); install that one, "
                "or move the "
                "store away",
                file, *version, kVersion);
  if (*id != kApplicationId && (*id != 0 || *tables != 0))
    return fail(ErrorCode::Invalid, "\"{}\" is not a store of countersignd; move it away", file);
  std::string schema = "BEGIN;";
  std::size_t done = *id == kApplicationId ? static_cast<std::size_t>(std::max(0, *version)) : 0;
  for (std::size_t i = done; i < kMigrations.size(); ++i) schema += kMigrations[i];
  schema += fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT;", kApplicationId, kVersion);
  return execute(schema.c_str());
}

Result<Store> Store::open(const std::filesystem::path& file) {
  // Made by us, not by SQLite: the mode is right from the first moment, and a link in its place is not followed.
  base::Descriptor created(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!created) {
    int number = errno;
    return fail(base::system_code(number), "cannot open the store \"{}\": {}", file.string(),
                base::system_reason(number));
  }
  created.close();
  // SQLite syncs the folder for its own files; the name we just made is ours to sync.
  if (auto synced = base::sync_directory(file.parent_path()); !synced) return fail(synced.error());
  auto connection = std::make_unique<Connection>();
  connection->file = file.string();
  sqlite3* raw = nullptr;
  int opened = sqlite3_open_v2(file.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  connection->database.reset(raw);
  if (opened != SQLITE_OK || raw == nullptr)
    return fail(ErrorCode::Io, "cannot open the store \"{}\": {}", file.string(),
                raw == nullptr ? "out of memory" : sqlite3_errmsg(raw));
  // EXCLUSIVE keeps a second daemon out for as long as we live, and needs no shared-memory file.
  int locked = sqlite3_exec(raw,
                            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                            "PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; BEGIN EXCLUSIVE; COMMIT;",
                            nullptr, nullptr, nullptr);
  if (locked == SQLITE_BUSY || locked == SQLITE_LOCKED)
    return fail(ErrorCode::Exists, "the store \"{}\" is in use by another countersignd; stop it first", file.string());
  if (locked == SQLITE_NOTADB)
    return fail(ErrorCode::Invalid, "\"{}\" is not a store of countersignd; move it away", file.string());
  if (locked != SQLITE_OK) return connection->failure("open the store");
  if (auto migrated = connection->migrate(); !migrated) return fail(migrated.error());
  for (std::size_t i = 0; i < StatementCount; ++i) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v3(raw, kStatements[i], -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK)
      return fail(ErrorCode::Invalid, "\"{}\" is damaged or not a store of countersignd: {}; move it away",
                  file.string(), sqlite3_errmsg(raw));
    connection->statements[i].reset(statement);
  }
  return Store(std::move(connection));
}

Store::Store(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}
Store::~Store() = default;
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;

Result<void> Store::begin() {
  Use use(connection_->statements[Begin].get());
  if (use.step() != SQLITE_DONE) return connection_->failure("write to");
  return {};
}

Result<void> Store::commit() {
  Use use(connection_->statements[Commit].get());
  if (use.step() != SQLITE_DONE) return connection_->failure("write to");
  return {};
}

void Store::rollback() {
  // After a full disk SQLite may have rolled back by itself.
  if (sqlite3_get_autocommit(connection_->database.get()) != 0) return;
  Use use(connection_->statements[Rollback].get());
  static_cast<void>(use.step());
}

Result<std::vector<StoredValue>> Store::values(const Name& name) {
  Use use(connection_->statements[Values].get());
  use.name(name);
  std::vector<StoredValue> found;
  int status = SQLITE_ROW;
  while ((status = use.step()) == SQLITE_ROW) found.push_back(use.column_value());
  if (status != SQLITE_DONE) return connection_->failure("read");
  return found;
}

Result<void> Store::put(const Name& name, const StoredValue& value) {
  Use use(connection_->statements[Put].get());
  use.name(name)
      .text(value.value)
      .text(value.owner)
      .integer(value.added)
      .optional(value.expires)
      .integer(value.lifetime);
  if (use.step() != SQLITE_DONE) return connection_->failure("write to");
  return {};
}

Result<void> Store::remove(std::string_view name, const std::string& value) {
  Use use(connection_->statements[Remove].get());
  use.name(name).text(value);
  if (use.step() != SQLITE_DONE) return connection_->failure("write to");
  return {};
}

Result<void> Store::each(const Visit& visit) {
  Use use(connection_->statements[Each].get());
  int status = SQLITE_ROW;
  while ((status = use.step()) == SQLITE_ROW) {
    auto name = use.column_name(0);
    if (name) visit(*name, use.column_value());
  }
  if (status != SQLITE_DONE) return connection_->failure("read");
  return {};
}

Result<void> Store::scan(const ScanName& visit) {
  Use use(connection_->statements[Scan].get());
  std::string name;
  std::vector<ScannedValue> values;  // their memory is used again from name to name
  std::size_t count = 0;
  auto finish = [&] {
    if (count == 0) return;
    std::span all(values.data(), count);
    count = 0;
    std::ranges::sort(all, [](const ScannedValue& a, const ScannedValue& b) {
      return std::tie(a.added, a.value) < std::tie(b.added, b.value);
    });
    if (our_name(name)) visit(name, all);
  };
  int status = SQLITE_ROW;
  while ((status = use.step()) == SQLITE_ROW) {
    if (std::string_view next = use.column_view(0); next != name) {
      finish();
      name = next;
    }
    if (count == values.size()) values.emplace_back();
    ScannedValue& value = values[count++];
    value.value = use.column_view(1);
    value.added = use.column_integer(2);
    value.expires = use.column_optional(3);
  }
  finish();
  if (status != SQLITE_DONE) return connection_->failure("read");
  return {};
}

Result<std::vector<Store::ExpiredValue>> Store::expired(std::int64_t after, std::int64_t now, std::int64_t limit) {
  Use use(connection_->statements[Expired].get());
  use.integer(after).integer(now).integer(limit);
  std::vector<ExpiredValue> found;
  int status = SQLITE_ROW;
  while ((status = use.step()) == SQLITE_ROW) {
    bool is_misfit = use.is_misfit();  // first: reading a column may change its type
    found.push_back({std::string(use.column_view(0)), use.column_name(0), use.column_text(1), is_misfit});
  }
  if (status != SQLITE_DONE) return connection_->failure("read");
  return found;
}

Result<void> Store::remove_misfits(std::int64_t now) {
  Use use(connection_->statements[RemoveMisfits].get());
  use.integer(now);
  if (use.step() != SQLITE_DONE) return connection_->failure("write to");
  return {};
}

Result<std::optional<std::int64_t>> Store::next_deadline() {
  Use use(connection_->statements[NextDeadline].get());
  if (use.step() != SQLITE_ROW) return connection_->failure("read");
  return use.column_optional(0);
}

Result<void> Store::shift_deadlines(std::int64_t drift, std::int64_t now) {
  Use use(connection_->statements[Shift].get());
  use.integer(drift).integer(now);
  if (use.step() != SQLITE_DONE) return connection_->failure("write to");
  return {};
}

Result<std::optional<StoredSerial>> Store::serial(const Name& zone) {
  Use use(connection_->statements[Serial].get());
  use.name(zone);
  int status = use.step();
  if (status == SQLITE_DONE) return std::optional<StoredSerial>{};
  if (status != SQLITE_ROW) return connection_->failure("read");
  return StoredSerial{static_cast<std::uint32_t>(use.column_integer(0)), use.column_text(1)};
}

Result<void> Store::set_serial(const Name& zone, const StoredSerial& serial) {
  Use use(connection_->statements[SetSerial].get());
  use.name(zone).integer(serial.serial).text(serial.digest);
  if (use.step() != SQLITE_DONE) return connection_->failure("write to");
  return {};
}

Result<std::vector<Name>> Store::zones() {
  Use use(connection_->statements[Zones].get());
  std::vector<Name> found;
  int status = SQLITE_ROW;
  while ((status = use.step()) == SQLITE_ROW) {
    if (auto name = use.column_name(0)) found.push_back(*name);
  }
  if (status != SQLITE_DONE) return connection_->failure("read");
  return found;
}

Result<void> Store::probe() {
  // What it was; a page is written all the same.
  std::string sql = fmt::format("BEGIN IMMEDIATE; PRAGMA user_version = {}; COMMIT;", kVersion);
  if (sqlite3_exec(connection_->database.get(), sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  auto failed = connection_->failure("write to");
  rollback();
  return failed;
}

}  // namespace countersign::zones
