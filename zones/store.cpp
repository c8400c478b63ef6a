#include "zones/store.hpp"

#include <fcntl.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "base/descriptor.hpp"
#include "base/files.hpp"
#include "base/handle.hpp"

namespace countersign::zones {
namespace {

using base::ErrorCode;
using base::fail;
using base::Name;
using base::Result;
using Database = base::Handle<sqlite3, sqlite3_close_v2>;
using Prepared = base::Handle<sqlite3_stmt, sqlite3_finalize>;

constexpr int kApplicationId = 0x43746e73;  // "Ctns": file(1) and we can tell our store from any other
constexpr int kVersion = 1;

constexpr const char* kSchema = R"(
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
)";

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
  StatementCount
};

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
};

}  // namespace

struct Store::Connection {
  Database database;
  std::array<Prepared, StatementCount> statements;
  std::string file;

  tl::unexpected<base::Error> failure(std::string_view what) const {
    return fail(ErrorCode::Unavailable, "cannot {} \"{}\": {}; free some space or repair the disk", what, file,
                sqlite3_errmsg(database.get()));
  }
  Result<int> pragma(const char* text) const;
  Result<void> execute(const char* sql) const {
    if (sqlite3_exec(database.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return failure("prepare the store");
    return {};
  }
  Result<void> migrate() const;
};

namespace {

std::optional<Name> our_name(std::string_view wire) {
  auto name = Name::from_wire(base::as_bytes(wire));
  if (!name || name->wire() != wire) return std::nullopt;
  return *name;
}

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
  Use& name(const Name& name) { return this->name(name.wire()); }
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
  // Absent when it is no name, or not in our spelling: somebody wrote it by hand, and it is nobody's.
  [[nodiscard]] std::optional<Name> column_name(int index) const { return our_name(column_view(index)); }
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

}  // namespace

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
  if (*id != 0 || *tables != 0)
    return fail(ErrorCode::Invalid, "\"{}\" is not a store of countersignd; move it away", file);
  std::string schema = fmt::format("BEGIN; {} PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT;", kSchema,
                                   kApplicationId, kVersion);
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
