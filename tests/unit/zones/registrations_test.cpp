#include <sqlite3.h>

#include <set>

#include "tests/unit/zones/server.hpp"

using namespace countersign;
using tests::Server;
using zones::Prerequisite;
using zones::Registration;
using zones::RegistrationChange;
using zones::TxtChange;
using zones::TxtUpdate;
using zones::UpdateVerdict;
namespace record_type = zones::record_type;

namespace {

constexpr const char* kUser = "c0ffee00-0000-4000-8000-000000000001";
constexpr const char* kOther = "c0ffee00-0000-4000-8000-000000000002";

base::Name name_of(const std::string& text) {
  return *base::Name::parse(text);
}

Registration registration(const std::string& username = kUser, const std::string& name = "a.auth.test") {
  Registration made;
  made.username = username;
  made.secret = std::string("\0\1\2\xff", 4) + std::string(28, 'x');
  made.name = name_of(name);
  made.subdomain = "a";
  made.allow_from = {"192.0.2.0/24", "2001:db8::/32"};
  made.domains = {name_of("example.com"), name_of("_x.example.org")};
  made.label = "the \"web\" server";
  made.created = 1'700'000'000'123;
  return made;
}

base::Result<void> change(Server& server, RegistrationChange::Kind kind, const Registration& of) {
  std::promise<base::Result<void>> promise;
  server.publisher->change_registration({kind, of, {}}, [&](base::Result<void> done) { promise.set_value(done); });
  return promise.get_future().get();
}

base::Result<UpdateVerdict> update(Server& server, TxtUpdate wanted) {
  std::promise<base::Result<UpdateVerdict>> promise;
  server.publisher->update(std::move(wanted), [&](base::Result<UpdateVerdict> done) { promise.set_value(done); });
  return promise.get_future().get();
}

std::vector<Registration> listed(Server& server, const std::string& after = "", std::size_t limit = 100) {
  std::promise<base::Result<std::vector<Registration>>> promise;
  server.publisher->list_registrations(
      after, limit, [&](base::Result<std::vector<Registration>> found) { promise.set_value(std::move(found)); });
  return *promise.get_future().get();
}

TxtChange txt(TxtChange::Kind kind, const std::string& name, const std::string& value, const std::string& owner) {
  TxtChange made;
  made.kind = kind;
  made.name = name_of(name);
  if (!value.empty()) made.value = *zones::TxtValue::parse(value);
  made.owner = owner;
  return made;
}

TxtChange add(const std::string& name, const std::string& value, const std::string& owner = "key:k") {
  return txt(TxtChange::Kind::Add, name, value, owner);
}

bool exists(Server& server, const std::string& name) {
  zones::ReadScope scope(server.reader);
  return server.table.find(name_of(name).wire()) != nullptr;
}

std::vector<std::string> values_at(Server& server, const std::string& name) {
  std::vector<std::string> values;
  for (const auto& value : server.list())
    if (value.name == name_of(name)) values.push_back(value.value);
  return values;
}

}  // namespace

TEST_CASE("a registered name exists without values, and survives a restart with all that belongs to it", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  Registration made = registration();
  {
    Server server(folder, clock);
    CHECK_FALSE(exists(server, "a.auth.test"));
    std::uint32_t serial = server.snapshot().zones[0].serial;
    REQUIRE(change(server, RegistrationChange::Kind::Add, made));
    CHECK(exists(server, "a.auth.test"));
    CHECK(server.snapshot().zones[0].serial == serial + 1);
    CHECK(server.snapshot().registrations == 1);
    CHECK(server.snapshot().values == 0);
  }
  Server server(folder, clock);
  CHECK(exists(server, "a.auth.test"));
  REQUIRE(server.registry.size() == 1);
  CHECK(*server.registry.find(kUser) == made);
  CHECK_FALSE(server.registry.find(kOther));
  CHECK(listed(server) == std::vector<Registration>{made});
  CHECK(listed(server, kUser).empty());
  CHECK(server.snapshot().registrations == 1);
}

TEST_CASE("a value that comes and goes leaves a registered name there", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  Server server(folder, clock);
  REQUIRE(change(server, RegistrationChange::Kind::Add, registration()));
  REQUIRE(server.add("a.auth.test", "one"));
  REQUIRE(server.remove("a.auth.test", "one"));
  CHECK(exists(server, "a.auth.test"));
  // Also when the registration's name is one that a deeper name made.
  REQUIRE(server.add("x.a.auth.test", "one"));
  REQUIRE(server.remove("x.a.auth.test", "one"));
  CHECK(exists(server, "a.auth.test"));
  REQUIRE(change(server, RegistrationChange::Kind::Remove, registration()));
  CHECK_FALSE(exists(server, "a.auth.test"));
}

TEST_CASE("neither a username nor a name is given twice", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  Server server(folder, clock);
  REQUIRE(change(server, RegistrationChange::Kind::Add, registration()));
  auto same_name = change(server, RegistrationChange::Kind::Add, registration(kOther));
  REQUIRE_FALSE(same_name);
  CHECK(same_name.error().code == base::ErrorCode::Exists);
  auto same_user = change(server, RegistrationChange::Kind::Add, registration(kUser, "b.auth.test"));
  REQUIRE_FALSE(same_user);
  CHECK(same_user.error().code == base::ErrorCode::Exists);
  CHECK_FALSE(exists(server, "b.auth.test"));
  CHECK(server.snapshot().registrations == 1);
  CHECK(change(server, RegistrationChange::Kind::Add, registration(kOther, "x.elsewhere.test")).error().code ==
        base::ErrorCode::NotFound);
  CHECK(change(server, RegistrationChange::Kind::Add, registration(kOther, "alias.auth.test")).error().code ==
        base::ErrorCode::Invalid);
  CHECK(change(server, RegistrationChange::Kind::Add, registration(kOther, "x.cut.auth.test")).error().code ==
        base::ErrorCode::Invalid);
}

TEST_CASE("removing a registration takes its values and nobody else's", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  Registration made = registration();
  {
    Server server(folder, clock);
    REQUIRE(change(server, RegistrationChange::Kind::Add, made));
    REQUIRE(server.change(add("a.auth.test", "own", made.owner())));
    REQUIRE(server.change(add("a.auth.test", "control's", "control")));
    REQUIRE(change(server, RegistrationChange::Kind::Remove, made));
    CHECK(values_at(server, "a.auth.test") == std::vector<std::string>{"control's"});
    CHECK(change(server, RegistrationChange::Kind::Remove, made).error().code == base::ErrorCode::NotFound);
  }
  Server server(folder, clock);
  CHECK(server.registry.size() == 0);
  CHECK(values_at(server, "a.auth.test") == std::vector<std::string>{"control's"});
}

TEST_CASE("a new secret is kept, and the time of the last use", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  Registration made = registration();
  made.secret = "$2a$10$abcdefghijklmnopqrstuv";
  {
    Server server(folder, clock);
    REQUIRE(change(server, RegistrationChange::Kind::Add, made));
    CHECK(listed(server)[0].is_bcrypt());
    made.secret = std::string(32, '\0');
    made.label = "rotated";
    REQUIRE(change(server, RegistrationChange::Kind::Replace, made));
    std::promise<base::Result<void>> promise;
    server.publisher->change_registration(
        {RegistrationChange::Kind::MarkUsed, {}, {{kUser, 1'700'000'555'000}, {"nobody", 5}}},
        [&](base::Result<void> done) { promise.set_value(done); });
    REQUIRE(promise.get_future().get());
    CHECK(change(server, RegistrationChange::Kind::Replace, registration(kOther)).error().code ==
          base::ErrorCode::NotFound);
  }
  Server server(folder, clock);
  made.used = 1'700'000'555'000;
  CHECK(listed(server) == std::vector<Registration>{made});
  CHECK(*server.registry.find(kUser) == made);
}

TEST_CASE("a digest that begins as a bcrypt hash does is a digest all the same", "[zones]") {
  Registration made;
  made.secret = "$2a$10$" + std::string(Registration::kDigestSize - 7, 'x');
  CHECK_FALSE(made.is_bcrypt());
  made.secret = "$2a$10$" + std::string(53, 'x');
  CHECK(made.is_bcrypt());
}

TEST_CASE("a registration whose zone is configured no longer waits for its return", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  {
    Server server(folder, clock);
    REQUIRE(change(server, RegistrationChange::Kind::Add, registration()));
  }
  conf::Config other = tests::test_config();
  other.zones[0].name = name_of("other.test");
  {
    Server server(folder, clock, other);
    CHECK_FALSE(exists(server, "a.auth.test"));
    CHECK(server.registry.size() == 1);
  }
  Server server(folder, clock);
  CHECK(exists(server, "a.auth.test"));
}

TEST_CASE("the owner's oldest value makes room, never another's", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  Server server(folder, clock);  // max_values = 3
  auto rotate = [&](const std::string& value) {
    TxtChange made = add("a.auth.test", value, "registration:u");
    made.when_full = TxtChange::WhenFull::DropOwnersOldest;
    clock.advance(std::chrono::milliseconds(1));
    return server.change(made);
  };
  REQUIRE(server.add("a.auth.test", "control's"));
  REQUIRE(rotate("1"));
  REQUIRE(rotate("2"));
  REQUIRE(rotate("1"));  // now the newest
  REQUIRE(rotate("3"));
  CHECK(values_at(server, "a.auth.test") == std::vector<std::string>{"control's", "1", "3"});
  REQUIRE(server.add("b.auth.test", "1"));
  REQUIRE(server.add("b.auth.test", "2"));
  REQUIRE(server.add("b.auth.test", "3"));
  TxtChange none_of_its_own = add("b.auth.test", "4", "registration:u");
  none_of_its_own.when_full = TxtChange::WhenFull::DropOwnersOldest;
  CHECK(server.change(none_of_its_own).error().code == base::ErrorCode::Full);
  CHECK(values_at(server, "b.auth.test").size() == 3);
}

TEST_CASE("what only the owner may remove stays when another asks", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  Server server(folder, clock);
  REQUIRE(server.change(add("a.auth.test", "1", "one")));
  REQUIRE(server.change(add("a.auth.test", "2", "two")));
  TxtChange remove = txt(TxtChange::Kind::RemoveAll, "a.auth.test", "", "two");
  remove.whose = TxtChange::Whose::Owners;
  REQUIRE(server.change(remove));
  CHECK(values_at(server, "a.auth.test") == std::vector<std::string>{"1"});
  remove.kind = TxtChange::Kind::Remove;
  remove.value = *zones::TxtValue::parse("1");
  REQUIRE(server.change(remove));
  CHECK(values_at(server, "a.auth.test") == std::vector<std::string>{"1"});
}

TEST_CASE("an update happens as a whole or not at all", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  {
    Server server(folder, clock);
    REQUIRE(server.add("a.auth.test", "before"));
    std::uint32_t serial = server.snapshot().zones[0].serial;
    TxtUpdate wanted;
    wanted.changes = {txt(TxtChange::Kind::RemoveAll, "a.auth.test", "", "key:k"), add("a.auth.test", "1"),
                      add("b.auth.test", "2"), add("a.auth.test", "3"), add("alias.auth.test", "4")};
    auto refused = update(server, wanted);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == base::ErrorCode::Invalid);
    CHECK(values_at(server, "a.auth.test") == std::vector<std::string>{"before"});
    CHECK_FALSE(exists(server, "b.auth.test"));
    CHECK(server.snapshot().zones[0].serial == serial);
    wanted.changes.pop_back();
    auto done = update(server, wanted);
    REQUIRE(done);
    CHECK(*done == UpdateVerdict::Done);
    CHECK(values_at(server, "a.auth.test") == std::vector<std::string>{"1", "3"});
    CHECK(server.snapshot().zones[0].serial == serial + 1);
  }
  Server server(folder, clock);
  CHECK(values_at(server, "a.auth.test") == std::vector<std::string>{"1", "3"});
  CHECK(values_at(server, "b.auth.test") == std::vector<std::string>{"2"});
}

TEST_CASE("a failed update of a group leaves what others of the group did to the same name", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  Server server(folder, clock);
  // Submitted at once, so that they share a group more often than not; the outcome is the same either way.
  std::promise<void> last;
  int failed = 0;
  auto count = [&](const base::Result<UpdateVerdict>& done) { failed += done ? 0 : 1; };
  server.publisher->update({{}, {add("a.auth.test", "1")}, {}}, count);
  server.publisher->update({{}, {add("a.auth.test", "2"), add("alias.auth.test", "x")}}, count);
  server.publisher->update({{}, {add("a.auth.test", "3")}}, [&](const base::Result<UpdateVerdict>& done) {
    count(done);
    last.set_value();
  });
  last.get_future().get();
  CHECK(failed == 1);
  CHECK(values_at(server, "a.auth.test") == std::vector<std::string>{"1", "3"});
}

TEST_CASE("prerequisites see static records, values, and what their own group did before them", "[zones]") {
  using Kind = Prerequisite::Kind;
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  conf::Config config = tests::test_config();
  config.zones[0].records.push_back({"mail MX 5 Mail.TEST.", {}});
  Server server(folder, clock, config);
  REQUIRE(server.add("v.auth.test", "one"));
  REQUIRE(server.add("fixed.auth.test", "dynamic"));
  REQUIRE(change(server, RegistrationChange::Kind::Add, registration()));
  const std::string one("\3one", 4), standing("\10standing", 9), dynamic("\7dynamic", 8);
  const std::string mail("\0\5\4mail\4test\0", 13);
  const std::string address("\xc0\0\2\1", 4);
  struct Row {
    Kind kind;
    const char* name;
    std::uint16_t type;
    std::vector<std::string> rdatas;
    UpdateVerdict verdict;
  };
  const std::vector<Row> rows{
      {Kind::NameInUse, "v.auth.test", 0, {}, UpdateVerdict::Done},
      {Kind::NameInUse, "ns1.auth.test", 0, {}, UpdateVerdict::Done},
      {Kind::NameInUse, "auth.test", 0, {}, UpdateVerdict::Done},
      {Kind::NameInUse, "alias.auth.test", 0, {}, UpdateVerdict::Done},
      {Kind::NameInUse, "none.auth.test", 0, {}, UpdateVerdict::NxDomain},
      {Kind::NameInUse, "a.auth.test", 0, {}, UpdateVerdict::NxDomain},  // registered, without records
      {Kind::NameNotInUse, "a.auth.test", 0, {}, UpdateVerdict::Done},
      {Kind::NameNotInUse, "v.auth.test", 0, {}, UpdateVerdict::YxDomain},
      {Kind::RrsetExists, "v.auth.test", record_type::kTxt, {}, UpdateVerdict::Done},
      {Kind::RrsetExists, "v.auth.test", record_type::kA, {}, UpdateVerdict::NxRrset},
      {Kind::RrsetExists, "auth.test", record_type::kSoa, {}, UpdateVerdict::Done},
      {Kind::RrsetExists, "v.auth.test", record_type::kSoa, {}, UpdateVerdict::NxRrset},
      {Kind::RrsetExists, "ns1.auth.test", record_type::kA, {}, UpdateVerdict::Done},
      {Kind::RrsetExists, "fixed.auth.test", record_type::kTxt, {}, UpdateVerdict::Done},
      {Kind::RrsetExists, "ns1.auth.test", record_type::kTxt, {}, UpdateVerdict::NxRrset},
      {Kind::RrsetNotExists, "ns1.auth.test", record_type::kTxt, {}, UpdateVerdict::Done},
      {Kind::RrsetNotExists, "v.auth.test", record_type::kTxt, {}, UpdateVerdict::YxRrset},
      {Kind::RrsetEquals, "v.auth.test", record_type::kTxt, {one}, UpdateVerdict::Done},
      {Kind::RrsetEquals, "v.auth.test", record_type::kTxt, {one, standing}, UpdateVerdict::NxRrset},
      {Kind::RrsetEquals, "none.auth.test", record_type::kTxt, {one}, UpdateVerdict::NxRrset},
      {Kind::RrsetEquals, "fixed.auth.test", record_type::kTxt, {dynamic, standing}, UpdateVerdict::Done},
      {Kind::RrsetEquals, "fixed.auth.test", record_type::kTxt, {standing}, UpdateVerdict::NxRrset},
      {Kind::RrsetEquals, "ns1.auth.test", record_type::kA, {address}, UpdateVerdict::Done},
      {Kind::RrsetEquals, "ns1.auth.test", record_type::kA, {one}, UpdateVerdict::NxRrset},
      {Kind::RrsetEquals, "mail.auth.test", record_type::kMx, {mail}, UpdateVerdict::Done},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name, static_cast<int>(row.kind), row.type);
    TxtUpdate wanted;
    wanted.prerequisites = {{row.kind, name_of(row.name), row.type, row.rdatas}};
    wanted.changes = {add("w.auth.test", "x")};
    auto done = update(server, wanted);
    REQUIRE(done);
    CHECK(*done == row.verdict);
    CHECK(values_at(server, "w.auth.test").empty() == (row.verdict != UpdateVerdict::Done));
    REQUIRE(server.remove_all("w.auth.test"));
  }
  std::promise<base::Result<UpdateVerdict>> second;
  server.publisher->update({{}, {add("g.auth.test", "1")}}, [](const base::Result<UpdateVerdict>&) {});
  server.publisher->update({{{Kind::NameNotInUse, name_of("g.auth.test"), 0, {}}}, {add("g.auth.test", "2")}},
                           [&](base::Result<UpdateVerdict> done) { second.set_value(done); });
  CHECK(*second.get_future().get() == UpdateVerdict::YxDomain);
}

TEST_CASE("a store of the version before gets its new tables and keeps its values", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  {
    Server server(folder, clock);
    REQUIRE(server.add("a.auth.test", "kept"));
  }
  sqlite3* raw = nullptr;
  REQUIRE(sqlite3_open((folder.path / "store.sqlite3").c_str(), &raw) == SQLITE_OK);
  REQUIRE(sqlite3_exec(
              raw, "DROP TABLE registration; DROP TABLE registration_use; DROP TABLE tsig_key; PRAGMA user_version = 1",
              nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(raw);
  Server server(folder, clock);
  CHECK(values_at(server, "a.auth.test") == std::vector<std::string>{"kept"});
  CHECK(change(server, RegistrationChange::Kind::Add, registration()));
}

TEST_CASE("what a key signed last is kept with its update, and only grows", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  {
    Server server(folder, clock);
    CHECK(server.publisher->signed_marks().empty());
    for (std::uint64_t time : {500U, 700U, 600U}) {
      TxtUpdate wanted;
      wanted.changes = {add("a.auth.test", std::to_string(time))};
      wanted.signed_by = zones::SignedMark{"\1k", time};
      REQUIRE(update(server, wanted));
    }
    // Not of one that was refused.
    TxtUpdate refused;
    refused.changes = {add("alias.auth.test", "x")};
    refused.signed_by = zones::SignedMark{"\1k", 900};
    REQUIRE_FALSE(update(server, refused));
  }
  Server server(folder, clock);
  REQUIRE(server.publisher->signed_marks().size() == 1);
  CHECK(server.publisher->signed_marks()[0].key == "\1k");
  CHECK(server.publisher->signed_marks()[0].time_signed == 700);
}

TEST_CASE("marks of use are due once an hour, and come back when the store refuses them", "[zones]") {
  zones::Registry registry;
  registry.put(registration());
  registry.mark_used(kUser, 10'000'000);
  registry.mark_used(kUser, 10'000'500);
  registry.mark_used("nobody", 10'000'500);
  auto marks = registry.take_marks();
  REQUIRE(marks.size() == 1);
  CHECK(marks[0].used == 10'000'000);
  CHECK(registry.take_marks().empty());
  registry.mark_again(marks);
  CHECK(registry.take_marks().size() == 1);
  registry.mark_used(kUser, 10'000'000 + 3'600'000);
  CHECK(registry.take_marks().size() == 1);
  registry.mark_used(kUser, 10'000'000 + 7'200'000);
  registry.erase(kUser);
  CHECK(registry.take_marks().empty());
  CHECK_FALSE(registry.find(kUser));
}

TEST_CASE("a login while the clock is set back does not make a registration look unused", "[zones]") {
  zones::Registry registry;
  registry.put(registration());
  registry.mark_used(kUser, 1'800'000'000'000);
  CHECK(registry.take_marks().size() == 1);
  registry.mark_used(kUser, 1'750'000'000'000);
  CHECK(registry.take_marks().empty());
  CHECK(registry.find(kUser)->used == 1'800'000'000'000);
  CHECK(registry.newest() == 1'800'000'000'000);

  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  {
    Server server(folder, clock);
    REQUIRE(change(server, RegistrationChange::Kind::Add, registration()));
    for (std::int64_t used : {std::int64_t{1'800'000'000'000}, std::int64_t{1'750'000'000'000}}) {
      std::promise<base::Result<void>> promise;
      server.publisher->change_registration({RegistrationChange::Kind::MarkUsed, {}, {{kUser, used}}},
                                            [&](base::Result<void> done) { promise.set_value(done); });
      REQUIRE(promise.get_future().get());
    }
  }
  Server server(folder, clock);
  CHECK(server.registry.find(kUser)->used == 1'800'000'000'000);
}

TEST_CASE("the unused are found slice by slice, those just made are not", "[zones]") {
  zones::Registry registry;
  for (int i = 0; i < 1000; ++i) {
    Registration made = registration(std::to_string(i));
    made.created = i % 10 == 0 ? 100 : 5000;
    registry.put(made);
  }
  registry.mark_used("0", 10'000'000);
  std::set<std::string> found;
  for (int i = 0; i < 100; ++i)
    for (const std::string& username : registry.unused_since(1000, 7, 50)) found.insert(username);
  CHECK(found.size() == 99);
  CHECK_FALSE(found.contains("0"));
}
