// --import-acme-dns: databases in the shapes that acme-dns' releases leave, and hostile ones.
#include "dnsd/import.hpp"

#include <pwd.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>

#include "base/files.hpp"
#include "base/handle.hpp"
#include "tests/support/temporary_folder.hpp"
#include "zones/lifetime_clock.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using base::ErrorCode;
using base::Name;
using tests::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

// The tables as every release since 0.2 makes them (SQLite).
constexpr const char* kTables =
    "CREATE TABLE acmedns (Name TEXT, Value TEXT);"
    "INSERT INTO acmedns VALUES ('db_version', '1');"
    "CREATE TABLE records (Username TEXT UNIQUE NOT NULL PRIMARY KEY, Password TEXT UNIQUE NOT NULL,"
    " Subdomain TEXT UNIQUE NOT NULL, AllowFrom TEXT);"
    "CREATE TABLE txt (Subdomain TEXT NOT NULL, Value TEXT NOT NULL DEFAULT '', LastUpdate INT);";
constexpr const char* kIndex = "CREATE INDEX idx_txt_subdomain ON txt (Subdomain);";  // the unreleased one has it
// The same, where a stranger may write anything.
constexpr const char* kLooseTables =
    "CREATE TABLE acmedns (Name, Value); INSERT INTO acmedns VALUES ('db_version', '1');"
    "CREATE TABLE records (Username, Password, Subdomain, AllowFrom); CREATE TABLE txt (Subdomain, Value, LastUpdate);";

constexpr std::int64_t kNow = 1'795'000'000;  // seconds
const std::string kValue = "LPsIwTo7o8BoG0-vjCyGQGBWSVIPxI-i_X336eUOQZo";

std::string uuid(int number) {
  return fmt::format("{:08x}-1234-4abc-8def-0123456789ab", number);
}

std::string hash(int number) {
  return fmt::format("$2a$10${:022}{:031}", number, number);
}

std::string sql_text(std::string_view text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? "''" : std::string(1, c);
  return out + "'";
}

using Database = base::Handle<sqlite3, sqlite3_close>;

struct AcmeDns {
  explicit AcmeDns(fs::path path, const char* tables = kTables) : file(std::move(path)) {
    sqlite3* raw = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &raw) == SQLITE_OK);
    database.reset(raw);
    run(tables);
  }

  void run(const std::string& sql) const {
    char* message = nullptr;
    INFO(sql.substr(0, 500));
    int status = sqlite3_exec(database.get(), sql.c_str(), nullptr, nullptr, &message);
    INFO((message == nullptr ? "" : message));
    REQUIRE(status == SQLITE_OK);
  }

  // As acme-dns writes it: the hash is a blob.
  void account(int number, const std::string& subdomain, const std::string& allow_from = "[]") const {
    run(
        fmt::format("INSERT INTO records VALUES ({}, CAST({} AS BLOB), {}, {});"
                    "INSERT INTO txt (Subdomain, LastUpdate) VALUES ({}, 0), ({}, 0)",
                    sql_text(uuid(number)), sql_text(hash(number)), sql_text(subdomain), sql_text(allow_from),
                    sql_text(subdomain), sql_text(subdomain)));
  }
  void row(const std::string& username, const std::string& password, const std::string& subdomain,
           const std::string& allow_from) const {
    run(fmt::format("INSERT INTO records VALUES ({}, {}, {}, {})", username, password, subdomain, allow_from));
  }
  void value(const std::string& subdomain, const std::string& text, std::int64_t updated) const {
    run(fmt::format("INSERT INTO txt VALUES ({}, {}, {})", sql_text(subdomain), sql_text(text), updated));
  }

  fs::path file;
  Database database;
};

zones::StaticZone zone_of(const std::vector<std::string>& records = {}) {
  conf::Config config;
  conf::Zone zone;
  zone.name = *Name::parse("auth.example.org");
  zone.nameservers = {*Name::parse("ns.example.net")};
  zone.hostmaster = *Name::parse("h.example.net");
  for (const std::string& text : records) zone.records.push_back({text, {}});
  config.zones.push_back(zone);
  std::vector<conf::Problem> problems;
  auto zones = zones::build_static_zones(config, problems);
  REQUIRE(problems.empty());
  REQUIRE(zones.size() == 1);
  return zones[0];
}

ImportCounts imported(const fs::path& from, const fs::path& store_file, const zones::StaticZone& zone = zone_of(),
                      unsigned max_values = 16) {
  auto source = zones::AcmeDnsDatabase::open(from);
  if (!source) FAIL(source.error().message);
  auto store = zones::Store::open(store_file);
  if (!store) FAIL(store.error().message);
  auto counts = import_accounts(*source, *store,
                                {zone, std::chrono::hours(1), max_values, zones::from_milliseconds(kNow * 1000)});
  if (!counts) FAIL(counts.error().message);
  return *counts;
}

// Everything in the store, as text.
std::string contents(const fs::path& store_file) {
  auto store = zones::Store::open(store_file);
  REQUIRE(store);
  std::string out;
  REQUIRE(store->each_registration("", 1'000'000, [&out](const zones::Registration& each) {
    out += fmt::format("{} {} {} {} [{}] {} {}\n", each.username, each.secret, each.name.text(), each.subdomain,
                       zones::join_words(each.allow_from), each.created, each.used);
  }));
  REQUIRE(store->each([&out](const Name& name, const zones::StoredValue& value) {
    out += fmt::format("{} {} {} {} {} {}\n", name.text(), value.value, value.owner, value.added,
                       value.expires.value_or(0), value.lifetime);
  }));
  return out;
}

base::Error refusal(const fs::path& file) {
  auto source = zones::AcmeDnsDatabase::open(file);
  REQUIRE(!source);
  return source.error();
}

bool mentions(const std::string& text, std::string_view part) {
  INFO(text);
  INFO(part);
  CHECK(text.find(part) != std::string::npos);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("accounts and values of acme-dns come into the store as they were", "[dnsd][import]") {
  for (const char* index : {"", kIndex}) {
    TemporaryFolder folder;
    AcmeDns acme_dns(folder.path / "acme-dns.db");
    acme_dns.run(index);
    acme_dns.account(1, "8e5700ea-a4bf-41c7-8a77-e990661dcc6a");
    acme_dns.account(2, "Preseeded", R"(["192.0.2.0/24","2001:DB8::1/32"])");
    acme_dns.account(3, "idle", "null");
    std::string other = kValue;
    std::ranges::reverse(other);
    acme_dns.value("Preseeded", kValue, kNow - 50);
    acme_dns.value("Preseeded", other, kNow - 40);

    ImportCounts counts = imported(acme_dns.file, folder.path / "store.sqlite3");
    CHECK(counts.taken == 3);
    CHECK(counts.skipped == 0);
    CHECK(counts.there == 0);
    CHECK(counts.values == 2);
    CHECK(counts.skipped_values == 0);
    const std::int64_t now = kNow * 1000;
    CHECK(contents(folder.path / "store.sqlite3") ==
          fmt::format("{} {} 8e5700ea-a4bf-41c7-8a77-e990661dcc6a.auth.example.org "
                      "8e5700ea-a4bf-41c7-8a77-e990661dcc6a [] {} 0\n"
                      "{} {} preseeded.auth.example.org Preseeded [192.0.2.0/24 2001:DB8::1/32] {} {}\n"
                      "{} {} idle.auth.example.org idle [] {} 0\n"
                      "preseeded.auth.example.org {} registration:{} {} {} 3600000\n"
                      "preseeded.auth.example.org {} registration:{} {} {} 3600000\n",
                      uuid(1), hash(1), now, uuid(2), hash(2), now, now - 40'000, uuid(3), hash(3), now, kValue,
                      uuid(2), now - 50'000, now + 3'600'000, other, uuid(2), now - 40'000, now + 3'600'000));
  }
}

TEST_CASE("importing twice changes nothing", "[dnsd][import]") {
  TemporaryFolder folder;
  fs::path store = folder.path / "store.sqlite3";
  AcmeDns acme_dns(folder.path / "acme-dns.db");
  acme_dns.account(1, "one");
  acme_dns.value("one", kValue, kNow - 1);
  CHECK(imported(acme_dns.file, store).taken == 1);
  std::string before = contents(store);
  ImportCounts again = imported(acme_dns.file, store);
  CHECK(again.taken == 0);
  CHECK(again.there == 1);
  CHECK(again.other_key == 0);
  CHECK(again.skipped == 0);
  CHECK(again.values == 0);
  CHECK(contents(store) == before);
  // What is new since is taken.
  acme_dns.account(2, "two");
  ImportCounts more = imported(acme_dns.file, store);
  CHECK(more.taken == 1);
  CHECK(more.there == 1);
}

TEST_CASE("a registration that has another key by now keeps it", "[dnsd][import]") {
  TemporaryFolder folder;
  fs::path file = folder.path / "store.sqlite3";
  AcmeDns acme_dns(folder.path / "acme-dns.db");
  acme_dns.account(1, "one");
  acme_dns.account(2, "two");
  acme_dns.account(3, "three");
  {
    auto store = zones::Store::open(file);
    REQUIRE(store);
    zones::Registration registration;
    registration.username = uuid(1);
    registration.secret = std::string(32, 's');
    registration.name = *Name::parse("one.auth.example.org");
    registration.subdomain = "one";
    REQUIRE(store->begin());
    REQUIRE(store->add_registration(registration));
    // The username is here with another name, and the name with another username.
    registration.username = uuid(2);
    registration.name = *Name::parse("elsewhere.auth.example.org");
    REQUIRE(store->add_registration(registration));
    registration.username = uuid(77);
    registration.name = *Name::parse("three.auth.example.org");
    REQUIRE(store->add_registration(registration));
    REQUIRE(store->set_serial(*Name::parse("auth.example.org"), {7, "digest"}));
    REQUIRE(store->commit());
  }
  std::string before = contents(file);
  acme_dns.value("one", kValue, kNow);
  ImportCounts counts = imported(acme_dns.file, file);
  CHECK(counts.taken == 0);
  CHECK(counts.there == 1);
  CHECK(counts.other_key == 1);
  CHECK(counts.skipped == 2);
  CHECK(counts.skipped_values == 1);
  CHECK(contents(file) == before);
  auto store = zones::Store::open(file);
  REQUIRE(store);
  CHECK((*store->serial(*Name::parse("auth.example.org")))->serial == 7);
}

TEST_CASE("imported values make a new serial", "[dnsd][import]") {
  TemporaryFolder folder;
  fs::path file = folder.path / "store.sqlite3";
  {
    auto store = zones::Store::open(file);
    REQUIRE(store);
    REQUIRE(store->set_serial(*Name::parse("auth.example.org"), {0xffffffff, "digest"}));
  }
  AcmeDns acme_dns(folder.path / "acme-dns.db");
  acme_dns.account(1, "one");
  acme_dns.value("one", kValue, kNow);
  CHECK(imported(acme_dns.file, file).values == 1);
  auto store = zones::Store::open(file);
  REQUIRE(store);
  auto serial = store->serial(*Name::parse("auth.example.org"));
  REQUIRE(serial);
  CHECK((*serial)->serial == 0);
  CHECK((*serial)->digest == "digest");
}

TEST_CASE("an account that cannot be taken is skipped, and the others are not", "[dnsd][import]") {
  TemporaryFolder folder;
  AcmeDns bad(folder.path / "acme-dns.db", kLooseTables);
  const std::string good_hash = sql_text(hash(1));
  int count = 0;
  auto row = [&](const std::string& username, const std::string& password, const std::string& subdomain,
                 const std::string& allow_from) {
    bad.row(username, password, subdomain, allow_from);
    ++count;
  };
  for (const std::string& username :
       {std::string("NULL"), std::string("''"), std::string("5"), sql_text("admin"), sql_text(uuid(1) + " "),
        sql_text(uuid(1).substr(1)), sql_text("{" + uuid(1) + "}"), sql_text("0123456g-1234-4abc-8def-0123456789ab"),
        sql_text("00000001x1234-4abc-8def-0123456789ab"), sql_text("x'; DROP TABLE registration; --"),
        std::string("zeroblob(70000)"), std::string("CAST(X'ff00fe' AS TEXT)")})
    row(username, good_hash, sql_text(fmt::format("u{}", count)), "'[]'");
  for (const std::string& password :
       {std::string("NULL"), std::string("''"), std::string("1.5"), sql_text("password"), sql_text(hash(1) + "a"),
        sql_text(hash(1).substr(1)), sql_text("$1$10$" + std::string(54, 'a')),
        sql_text("$2a$99$" + std::string(53, 'a')), sql_text("$2a$03$" + std::string(53, 'a')),
        sql_text("$2a$31$" + std::string(53, 'a')), sql_text("$2x$10$" + std::string(53, 'a')),
        sql_text("$2a$10$" + std::string(52, 'a') + "!"), std::string("zeroblob(60)")})
    row(sql_text(uuid(100 + count)), password, sql_text(fmt::format("p{}", count)), "'[]'");
  for (const std::string& subdomain :
       {std::string("NULL"), std::string("''"), std::string("7"), sql_text("a.b"), sql_text("a/b"), sql_text("."),
        sql_text(std::string(64, 'a')), sql_text(std::string(65, 'a')), sql_text("-a"), sql_text("a-"), sql_text("a_b"),
        sql_text("a b"), sql_text("*"), sql_text("@"), sql_text("ü"), sql_text("a\\.b"), std::string("X'610062'"),
        std::string("zeroblob(10000000)")})
    row(sql_text(uuid(100 + count)), good_hash, subdomain, "'[]'");
  for (const std::string& allow_from :
       {std::string("NULL"), std::string("''"), std::string("1"), sql_text("["), sql_text("{}"), sql_text("[1]"),
        sql_text("\"192.0.2.0/24\""), sql_text("[\"192.0.2.1\"]"), sql_text("[\"192.0.2.0/24\", \"any\"]"),
        sql_text("[\"192.0.2.0/24 \"]"), sql_text("[] x"), sql_text("[[]]"), sql_text(std::string(60'000, '[')),
        sql_text("[\"" + std::string(70'000, ' ') + "\"]"), sql_text("true"), sql_text("[null]")})
    row(sql_text(uuid(100 + count)), good_hash, sql_text(fmt::format("a{}", count)), allow_from);
  bad.row(sql_text("ABCDEF01-1234-4ABC-8DEF-0123456789AB"), good_hash, sql_text(std::string(63, 'A')), "'[]'");
  bad.row(sql_text(uuid(3)), sql_text("$2b$14$" + std::string(53, 'a')), sql_text("x"), sql_text("[\"::/0\"]"));

  ImportCounts counts = imported(bad.file, folder.path / "store.sqlite3");
  CHECK(counts.taken == 2);
  CHECK(counts.skipped == static_cast<std::uint64_t>(count));
  std::string text = contents(folder.path / "store.sqlite3");
  CHECK(mentions(text, "abcdef01-1234-4abc-8def-0123456789ab"));
  CHECK(mentions(text, uuid(3)));
  CHECK(std::ranges::count(text, '\n') == 2);
}

TEST_CASE("accounts that come twice are taken once", "[dnsd][import]") {
  TemporaryFolder folder;
  AcmeDns bad(folder.path / "acme-dns.db", kLooseTables);
  bad.row(sql_text(uuid(1)), sql_text(hash(1)), "'one'", "'[]'");
  bad.row(sql_text("00000001-1234-4ABC-8DEF-0123456789AB"), sql_text(hash(2)), "'two'", "'[]'");
  bad.row(sql_text(uuid(3)), sql_text(hash(3)), "'ONE'", "'[]'");
  ImportCounts counts = imported(bad.file, folder.path / "store.sqlite3");
  CHECK(counts.taken == 1);
  CHECK(counts.skipped == 2);
}

TEST_CASE("what is no challenge value is passed over", "[dnsd][import]") {
  TemporaryFolder folder;
  AcmeDns bad(folder.path / "acme-dns.db", kLooseTables);
  bad.row(sql_text(uuid(1)), sql_text(hash(1)), "'one'", "'[]'");
  bad.row("'nobody'", sql_text(hash(1)), "'two'", "'[]'");
  for (const std::string& value : {sql_text(kValue.substr(1)), sql_text(kValue + "a"), sql_text(std::string(43, '+')),
                                   std::string("5"), std::string("zeroblob(43)"), std::string("zeroblob(9000000)")})
    bad.run(fmt::format("INSERT INTO txt VALUES ('one', {}, 5)", value));
  bad.run("INSERT INTO txt VALUES ('one', NULL, 5), ('one', '', 5), (NULL, NULL, NULL)");
  bad.value("two", kValue, 5);
  bad.value("ONE", kValue, 5);
  bad.run(fmt::format("INSERT INTO txt VALUES (NULL, '{}', 5)", kValue));
  ImportCounts counts = imported(bad.file, folder.path / "store.sqlite3");
  CHECK(counts.values == 0);
  CHECK(counts.skipped_values == 9);
}

TEST_CASE("of too many values the newest are taken, whatever their times are", "[dnsd][import]") {
  TemporaryFolder folder;
  AcmeDns bad(folder.path / "acme-dns.db", kLooseTables);
  bad.row(sql_text(uuid(1)), sql_text(hash(1)), "'one'", "'[]'");
  auto value = [](int number) { return fmt::format("{:043}", number); };
  for (int i = 0; i < 100; ++i) bad.value("one", value(i), kNow - 1000 + (i * 37) % 100);
  bad.value("one", value(50), kNow);  // the same once more
  bad.value("one", value(200), INT64_MAX);
  bad.value("one", value(201), INT64_MIN);
  bad.run(fmt::format("INSERT INTO txt VALUES ('one', '{}', 'yesterday')", value(202)));
  ImportCounts counts = imported(bad.file, folder.path / "store.sqlite3", zone_of(), 3);
  CHECK(counts.values == 3);
  CHECK(counts.skipped_values == 101);  // value 50 twice: it was pushed out, and came again
  std::string text = contents(folder.path / "store.sqlite3");
  CHECK(mentions(text, value(200)));
  CHECK(mentions(text, value(50)));
  CHECK(text.find(value(201)) == std::string::npos);
  CHECK(text.find(fmt::format("{} 0\n", kNow * 1000)) == std::string::npos);
}

TEST_CASE("an account whose name the configuration holds already is skipped", "[dnsd][import]") {
  TemporaryFolder folder;
  AcmeDns acme_dns(folder.path / "acme-dns.db");
  acme_dns.account(1, "www");
  acme_dns.account(2, "sub");
  acme_dns.account(3, "host");
  zones::StaticZone zone = zone_of({"www CNAME www.example.net.", "sub NS ns.example.net.", "host A 192.0.2.1"});
  ImportCounts counts = imported(acme_dns.file, folder.path / "store.sqlite3", zone);
  CHECK(counts.taken == 1);
  CHECK(counts.skipped == 2);
  zone = zone_of();
  zone.nested = {*Name::parse("host.auth.example.org")};
  CHECK(imported(acme_dns.file, folder.path / "second.sqlite3", zone).skipped == 1);
}

TEST_CASE("what is no database of acme-dns is refused", "[dnsd][import]") {
  TemporaryFolder folder;
  CHECK(refusal(folder.path / "none").code == ErrorCode::NotFound);
  CHECK(mentions(refusal(folder.path).message, "is no regular file"));
  CHECK(mentions(refusal("/dev/zero").message, "is no regular file"));
  REQUIRE(mkfifo((folder.path / "fifo").c_str(), 0600) == 0);
  CHECK(mentions(refusal(folder.path / "fifo").message, "is no regular file"));
  std::ofstream(folder.path / "empty").flush();
  CHECK(mentions(refusal(folder.path / "empty").message, "has no table \"records\""));
  std::ofstream(folder.path / "text") << std::string(5000, 'x');
  CHECK(mentions(refusal(folder.path / "text").message, "is no SQLite database"));
  {
    auto store = zones::Store::open(folder.path / "ours");
    REQUIRE(store);
  }
  CHECK(mentions(refusal(folder.path / "ours").message, "has no table \"records\""));
  AcmeDns other(folder.path / "other",
                "CREATE TABLE records (a, b); CREATE TABLE txt (c);"
                "CREATE TABLE acmedns (Name, Value); INSERT INTO acmedns VALUES ('db_version', 1),"
                "('db_version', '1')");
  other.run("DELETE FROM acmedns WHERE typeof(Value) <> 'text'");
  auto opened = zones::AcmeDnsDatabase::open(other.file);
  REQUIRE(opened);
  auto visited = opened->each_account([](const zones::AcmeDnsAccount&) -> base::Result<void> { return {}; });
  REQUIRE(!visited);
  CHECK(visited.error().code == ErrorCode::Invalid);
  CHECK(mentions(visited.error().message, "is not a database of acme-dns: no such column: Username"));
  // A query without an end in the place of a table.
  AcmeDns trap(folder.path / "trap",
               "CREATE TABLE acmedns (Name, Value); INSERT INTO acmedns VALUES ('db_version', '1');"
               "CREATE VIEW records AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM "
               "c) SELECT x AS Username FROM c; CREATE TABLE txt (Subdomain, Value, LastUpdate)");
  CHECK(mentions(refusal(trap.file).message, "has no table \"records\""));
}

TEST_CASE("databases of other versions are refused with what to do", "[dnsd][import]") {
  TemporaryFolder folder;
  AcmeDns old(folder.path / "old",
              "CREATE TABLE records (Username TEXT UNIQUE NOT NULL PRIMARY KEY, Password TEXT UNIQUE NOT NULL,"
              " Subdomain TEXT UNIQUE NOT NULL, Value TEXT, LastActive INT, AllowFrom TEXT)");
  CHECK(mentions(refusal(old.file).message, "before 0.2; start acme-dns 1.0 or later with it once"));
  AcmeDns unversioned(folder.path / "unversioned", kTables);
  unversioned.run("DELETE FROM acmedns");
  CHECK(mentions(refusal(unversioned.file).message, "before 0.2"));
  AcmeDns later(folder.path / "later", kTables);
  later.run("UPDATE acmedns SET Value = '2'");
  CHECK(mentions(refusal(later.file).message, "has version 2 of acme-dns' database"));
  later.run("UPDATE acmedns SET Value = CAST(X'1b5b306d' AS TEXT)");
  CHECK(refusal(later.file).message.find('\x1b') == std::string::npos);
}

TEST_CASE("a damaged database is refused, and nothing of it is taken", "[dnsd][import]") {
  TemporaryFolder folder;
  {
    AcmeDns acme_dns(folder.path / "whole");
    acme_dns.run("BEGIN");
    for (int i = 0; i < 2000; ++i) acme_dns.account(i, fmt::format("s{}", i));
    acme_dns.run("COMMIT");
  }
  auto whole = base::read_file(folder.path / "whole");
  REQUIRE(whole);
  fs::path broken = folder.path / "broken";
  int refused = 0;
  for (std::size_t page = 4096; page + 4096 <= whole->size(); page += 8192) {
    std::string text = *whole;
    std::fill_n(text.begin() + static_cast<std::ptrdiff_t>(page), 600, '\xa5');
    std::ofstream(broken, std::ios::binary | std::ios::trunc) << text;
    auto source = zones::AcmeDnsDatabase::open(broken);
    if (source) continue;
    ++refused;
    CHECK(source.error().code == ErrorCode::Invalid);
  }
  CHECK(refused >= 20);
  std::ofstream(broken, std::ios::binary | std::ios::trunc) << whole->substr(0, whole->size() / 2);
  CHECK(mentions(refusal(broken).message, "is damaged"));
}

TEST_CASE("what fails halfway leaves nothing behind", "[dnsd][import]") {
  TemporaryFolder folder;
  AcmeDns bad(folder.path / "acme-dns.db", kLooseTables);
  bad.account(1, "one");
  bad.run("DROP TABLE txt; CREATE TABLE txt (Subdomain, Value)");
  auto source = zones::AcmeDnsDatabase::open(bad.file);
  auto store = zones::Store::open(folder.path / "store.sqlite3");
  REQUIRE(source);
  REQUIRE(store);
  zones::StaticZone zone = zone_of();
  auto counts = import_accounts(*source, *store, {zone, std::chrono::hours(1), 16, {}});
  REQUIRE(!counts);
  CHECK(mentions(counts.error().message, "no such column: LastUpdate"));
  CHECK(store->count_registrations() == 0);
  CHECK(store->begin());  // the transaction is over
}

TEST_CASE("a database that acme-dns is writing to, or did not finish, is refused with what to do", "[dnsd][import]") {
  TemporaryFolder folder;
  AcmeDns acme_dns(folder.path / "acme-dns.db");
  acme_dns.account(1, "one");
  acme_dns.run("BEGIN EXCLUSIVE");
  base::Error busy = refusal(acme_dns.file);
  CHECK(busy.code == ErrorCode::Exists);
  CHECK(mentions(busy.message, "stop acme-dns first"));
  // A copy of it in the middle of a transaction is what a killed one leaves: pages written, and the journal beside.
  acme_dns.run("PRAGMA cache_size = 1; UPDATE records SET AllowFrom = 'x'");
  for (int i = 2; i < 500; ++i) acme_dns.account(i, fmt::format("s{}", i));
  fs::copy_file(acme_dns.file, folder.path / "killed.db");
  fs::copy_file(acme_dns.file.string() + "-journal", folder.path / "killed.db-journal");
  acme_dns.run("ROLLBACK");
  CHECK(mentions(refusal(folder.path / "killed.db").message, "start acme-dns once more and stop it"));
}

TEST_CASE("the database of acme-dns is never written to", "[dnsd][import]") {
  TemporaryFolder folder;
  fs::path file = folder.path / "acme-dns.db";
  {
    AcmeDns acme_dns(file);
    acme_dns.account(1, "one");
  }
  auto before = base::read_file(file);
  fs::permissions(file, fs::perms::owner_read);
  CHECK(imported(file, folder.path / "store.sqlite3").taken == 1);
  CHECK(base::read_file(file) == before);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder.path)) names.push_back(entry.path().filename());
  CHECK(std::ranges::none_of(names, [](const std::string& name) { return name.starts_with("acme-dns.db-"); }));
}

namespace {

// The command with its output in files; in a process of its own, because it may become another user.
struct Command {
  TemporaryFolder folder;
  std::string user;
  fs::path config = folder.path / "countersign.toml", cfg = folder.path / "config.cfg",
           database = folder.path / "acme-dns.db";

  explicit Command(std::string as = "") : user(std::move(as)) {
    REQUIRE(chmod(folder.path.c_str(), 0755) == 0);
    std::ofstream(cfg)
        << "[general]\ndomain = \"auth.example.org\"\nnsname = \"ns.example.net\"\n"
           "nsadmin = \"admin.example.org\"\nrecords = [\"auth.example.org. A 192.0.2.1\", "
           "\"auth.example.org. NS ns.example.net.\", \"x.other.example. A 192.0.2.1\",\n"
           "\"c.auth.example.org. CNAME a.b\", \"c.auth.example.org. A 192.0.2.1\", \"bad line\"]\n"
           "[api]\nip = \"127.0.0.1\"\nport = \"8080\"\ntls = \"none\"\n[database]\nengine = \"sqlite3\"\n";
  }

  void write_config(const std::string& zone, const std::string& more = "") const {
    std::ofstream(config) << "state_dir = \"" << (folder.path / "state").string() << "\"\nuser = \"" << user
                          << "\"\n[[zone]]\nname = \"" << zone
                          << "\"\nnameservers = [\"ns.example.net\"]\nhostmaster = \"h@example.net\"\n"
                          << more;
  }

  int run(bool with_cfg = true) {
    std::fflush(nullptr);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      bool opened = freopen((folder.path / "out").c_str(), "w", stdout) != nullptr &&
                    freopen((folder.path / "err").c_str(), "w", stderr) != nullptr;
      int status = opened ? import_acme_dns({database, with_cfg ? cfg : fs::path(), config}) : 99;
      std::fflush(nullptr);
      _exit(status);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
  }
  [[nodiscard]] std::string out() const { return base::read_file(folder.path / "out").value_or("nothing"); }
  [[nodiscard]] std::string err() const { return base::read_file(folder.path / "err").value_or("nothing"); }
  [[nodiscard]] fs::path store() const { return folder.path / "state" / "dnsd" / "store.sqlite3"; }
};

}  // namespace

TEST_CASE("without a configuration of ours it is printed, and used the second time", "[dnsd][import]") {
  Command command;
  AcmeDns acme_dns(command.database);
  acme_dns.account(1, "one");
  CHECK(command.run() == 2);
  CHECK(mentions(command.err(), "does not exist, so nothing was imported: save what was printed"));
  CHECK(!fs::exists(command.folder.path / "state"));
  std::string printed = command.out();
  CHECK(mentions(printed, "name = \"auth.example.org\""));
  CHECK(mentions(printed, "# record \"x.other.example. A 192.0.2.1\": "));
  CHECK(mentions(printed, "# record \"bad line\": "));
  // One of the two that go not together is left.
  CHECK(mentions(printed, "# record \"c.auth.example.org. "));
  CHECK(mentions(printed, "  \"c.auth.example.org. "));
  CHECK(printed.find("/var/lib") == std::string::npos);

  std::ofstream(command.config) << "state_dir = \"" << (command.folder.path / "state").string() << "\"\nuser = \"\"\n"
                                << printed;
  CHECK(command.run() == 0);
  CHECK(command.out() == printed);
  CHECK(mentions(command.err(), "accounts=1"));
  CHECK(mentions(contents(command.store()), "one.auth.example.org one"));
  CHECK(command.run() == 0);
  CHECK(mentions(command.err(), "accounts=0 there_already=1"));
}

TEST_CASE("an import into a zone that is not ours says which to add", "[dnsd][import]") {
  Command command;
  AcmeDns acme_dns(command.database);
  acme_dns.account(1, "one");
  command.write_config("auth.example.net");
  CHECK(command.run() == 2);
  CHECK(mentions(command.err(), "has no [[zone]] \"auth.example.org\""));
  CHECK(mentions(command.err(), "\"auth.example.net\""));
  CHECK(mentions(command.out(), "[[zone]]\nname = \"auth.example.org\""));
  CHECK(!fs::exists(command.folder.path / "state"));
  // Without config.cfg nobody knows; it is api.zone, or the first.
  CHECK(command.run(false) == 0);
  CHECK(command.out().empty());
  CHECK(mentions(contents(command.store()), "one.auth.example.net"));
}

TEST_CASE("the accounts get their names in api.zone, or where config.cfg had them", "[dnsd][import]") {
  const std::string more =
      "[[zone]]\nname = \"auth.example.org\"\nnameservers = [\"ns.example.net\"]\n"
      "hostmaster = \"h@example.net\"\n[[zone]]\nname = \"c.example\"\nnameservers = "
      "[\"ns.example.net\"]\nhostmaster = \"h@example.net\"\n[api]\nzone = \"c.example\"\n";
  Command command;
  AcmeDns acme_dns(command.database);
  acme_dns.account(1, "one");
  command.write_config("auth.example.net", more);
  CHECK(command.run(false) == 0);
  CHECK(mentions(contents(command.store()), "one.c.example one"));
  fs::remove_all(command.folder.path / "state");
  CHECK(command.run() == 0);
  CHECK(mentions(contents(command.store()), "one.auth.example.org one"));
}

TEST_CASE("what stops an import is told, and leaves everything as it was", "[dnsd][import]") {
  Command command;
  command.write_config("auth.example.org");
  CHECK(command.run() == 1);
  CHECK(mentions(command.err(), "acme-dns.db"));
  AcmeDns acme_dns(command.database);
  acme_dns.account(1, "one");
  std::ofstream(command.cfg) << "[general\n";
  CHECK(command.run() == 2);
  CHECK(mentions(command.err(), "config.cfg:1:"));
  fs::remove(command.cfg);
  CHECK(command.run() == 2);
  CHECK(command.run(false) == 0);
  command.write_config("");
  CHECK(command.run(false) == 2);
  CHECK(mentions(command.err(), "zone[1].name"));
  fs::remove(command.config);
  CHECK(command.run(false) == 2);
  CHECK(mentions(command.err(), "cannot be read"));
  command.write_config("auth.example.org");
  auto running = zones::Store::open(command.store());
  REQUIRE(running);
  CHECK(command.run(false) == 1);
  CHECK(mentions(command.err(), "in use by another countersignd; stop it first"));
}

TEST_CASE("what root imports belongs to the daemon's user", "[dnsd][import]") {
  const passwd* entry = getpwnam("nobody");
  if (geteuid() != 0 || entry == nullptr) return;
  Command command("nobody");
  {
    AcmeDns acme_dns(command.database);
    acme_dns.account(1, "one");
  }
  // As it is with acme-dns, whose files only its own user and root may read.
  REQUIRE(chmod(command.database.c_str(), 0600) == 0);
  command.write_config("auth.example.org");
  CHECK(command.run() == 0);
  for (const auto& each : fs::directory_iterator(command.folder.path / "state" / "dnsd")) {
    struct stat found{};
    REQUIRE(stat(each.path().c_str(), &found) == 0);
    INFO(each.path());
    CHECK(found.st_uid == entry->pw_uid);
    CHECK((found.st_mode & 077U) == 0U);
  }
  CHECK(mentions(contents(command.store()), "one.auth.example.org"));
}

TEST_CASE("hundreds of bad accounts make few lines", "[dnsd][import]") {
  Command command;
  AcmeDns bad(command.database, kLooseTables);
  bad.run("BEGIN");
  for (int i = 0; i < 500; ++i) bad.row(sql_text("user\x1b[31m" + std::to_string(i)), "'x'", "'y'", "'z'");
  bad.run("COMMIT");
  command.write_config("auth.example.org");
  CHECK(command.run(false) == 0);
  std::string err = command.err();
  CHECK(std::ranges::count(err, '\n') < 30);
  CHECK(mentions(err, "more accounts were not taken"));
  CHECK(mentions(err, "accounts=480"));
  CHECK(mentions(err, "skipped=500"));
  CHECK(err.find('\x1b') == std::string::npos);
}
