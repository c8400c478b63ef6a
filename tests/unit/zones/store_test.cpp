#include "zones/store.hpp"

#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace countersign;
using base::ErrorCode;
using base::Name;
using tests::TemporaryFolder;
using zones::Store;
using zones::StoredValue;

namespace {

Name name_of(const char* text) {
  return *Name::parse(text);
}

}  // namespace

TEST_CASE("values are kept over a restart, in the order in which they came", "[zones]") {
  TemporaryFolder folder;
  auto file = folder.path / "store.sqlite3";
  {
    auto store = Store::open(file);
    REQUIRE(store);
    REQUIRE(store->begin());
    REQUIRE(store->put(name_of("a.test"), {"zz", "control", 1, 100, 99}));
    REQUIRE(store->put(name_of("a.test"), {"aa", "control", 2, std::nullopt, 0}));
    REQUIRE(store->put(name_of("b.test"), {"bb", "other", 3, 50, 47}));
    REQUIRE(store->set_serial(name_of("test"), {7, "digest"}));
    REQUIRE(store->commit());
  }
  struct stat status{};
  REQUIRE(::stat(file.c_str(), &status) == 0);
  REQUIRE((status.st_mode & 0777U) == 0600);
  auto store = Store::open(file);
  REQUIRE(store);
  auto values = store->values(name_of("a.test"));
  REQUIRE(values->size() == 2);
  REQUIRE(values->at(0).value == "zz");
  REQUIRE(values->at(0).expires == 100);
  REQUIRE_FALSE(values->at(1).expires);
  REQUIRE(store->next_deadline()->value() == 50);
  REQUIRE(store->expired(0, 50, 10)->size() == 1);
  REQUIRE(store->expired(50, 100, 10)->size() == 1);
  REQUIRE(store->expired(0, 100, -1)->size() == 2);
  REQUIRE(store->expired(0, 49, 10)->empty());
  REQUIRE(store->serial(name_of("test"))->value().serial == 7);
  REQUIRE_FALSE(store->serial(name_of("none.test"))->has_value());
}

TEST_CASE("a scan gives each name once, with its values in the order in which they came", "[zones]") {
  TemporaryFolder folder;
  auto file = folder.path / "store.sqlite3";
  {
    auto store = Store::open(file);
    REQUIRE(store->begin());
    REQUIRE(store->put(name_of("b.test"), {"late", "control", 2, std::nullopt, 0}));
    REQUIRE(store->put(name_of("b.test"), {"zz", "control", 1, 100, 99}));
    REQUIRE(store->put(name_of("b.test"), {"aa", "control", 2, 50, 48}));
    REQUIRE(store->put(name_of("a.test"), {"one", "control", 9, std::nullopt, 0}));
    REQUIRE(store->commit());
  }
  {
    // Written by hand: not a name, and not in lower case.
    sqlite3* raw = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &raw) == SQLITE_OK);
    REQUIRE(sqlite3_exec(raw,
                         "INSERT INTO txt VALUES (x'', 'v', '', 1, NULL, 0), (x'0561', 'v', '', 1, NULL, 0),"
                         "(x'014100', 'v', '', 1, NULL, 0)",
                         nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(raw);
  }
  auto store = Store::open(file);
  std::string seen;
  REQUIRE(store->scan([&](std::string_view name, std::span<const Store::ScannedValue> values) {
    seen += Name::from_wire(countersign::base::as_bytes(name))->text() + ":";
    for (const auto& value : values)
      seen += " " + value.value + "@" + std::to_string(value.added) + (value.expires ? "!" : "");
    seen += "\n";
  }));
  REQUIRE(seen == "a.test: one@9\nb.test: zz@1! aa@2! late@2\n");
}

TEST_CASE("the same value again keeps its place and takes the new deadline", "[zones]") {
  TemporaryFolder folder;
  auto store = Store::open(folder.path / "store.sqlite3");
  REQUIRE(store->put(name_of("a.test"), {"v", "control", 1, 100, 900}));
  REQUIRE(store->put(name_of("a.test"), {"w", "control", 2, 100, 900}));
  REQUIRE(store->put(name_of("a.test"), {"v", "control", 3, 900, 900}));
  auto values = store->values(name_of("a.test"));
  REQUIRE(values->size() == 2);
  REQUIRE(values->at(0).value == "v");
  REQUIRE(values->at(0).expires == 900);
}

TEST_CASE("what is rolled back never was", "[zones]") {
  TemporaryFolder folder;
  auto store = Store::open(folder.path / "store.sqlite3");
  REQUIRE(store->begin());
  REQUIRE(store->put(name_of("a.test"), {"v", "control", 1, 100, 900}));
  store->rollback();
  store->rollback();  // harmless outside a transaction
  REQUIRE(store->values(name_of("a.test"))->empty());
}

TEST_CASE("deadlines move together, and what lives for ever stays", "[zones]") {
  TemporaryFolder folder;
  auto store = Store::open(folder.path / "store.sqlite3");
  REQUIRE(store->put(name_of("a.test"), {"v", "control", 1, 100, 900}));
  REQUIRE(store->put(name_of("a.test"), {"w", "control", 2, std::nullopt, 0}));
  REQUIRE(store->shift_deadlines(-60, 30));
  REQUIRE(store->values(name_of("a.test"))->at(0).expires == 40);
  REQUIRE_FALSE(store->values(name_of("a.test"))->at(1).expires);
}

TEST_CASE("a second process is kept out with a clear word", "[zones]") {
  TemporaryFolder folder;
  auto file = folder.path / "store.sqlite3";
  auto store = Store::open(file);
  REQUIRE(store);
  pid_t child = fork();
  if (child == 0) {
    auto second = Store::open(file);
    _exit(!second && second.error().code == ErrorCode::Exists ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
}

TEST_CASE("a foreign, a damaged and a later store are refused and left as they are", "[zones]") {
  TemporaryFolder folder;
  auto file = folder.path / "store.sqlite3";
  SECTION("no database at all") {
    std::ofstream(file) << std::string(4096, 'x');
    auto opened = Store::open(file);
    REQUIRE_FALSE(opened);
    REQUIRE(opened.error().code == ErrorCode::Invalid);
    REQUIRE(std::filesystem::file_size(file) == 4096);
  }
  SECTION("somebody else's database") {
    sqlite3* other = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &other) == SQLITE_OK);
    REQUIRE(sqlite3_exec(other, "CREATE TABLE theirs (x)", nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(other);
    auto opened = Store::open(file);
    REQUIRE_FALSE(opened);
    REQUIRE(opened.error().message.find("not a store of countersignd") != std::string::npos);
  }
  SECTION("a later version") {
    REQUIRE(Store::open(file));
    sqlite3* other = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &other) == SQLITE_OK);
    REQUIRE(sqlite3_exec(other, "PRAGMA user_version = 999", nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(other);
    auto opened = Store::open(file);
    REQUIRE_FALSE(opened);
    REQUIRE(opened.error().message.find("later") != std::string::npos);
  }
  SECTION("a link in its place") {
    std::filesystem::create_symlink(folder.path / "elsewhere", file);
    REQUIRE_FALSE(Store::open(file));
    REQUIRE_FALSE(std::filesystem::exists(folder.path / "elsewhere"));
  }
}
