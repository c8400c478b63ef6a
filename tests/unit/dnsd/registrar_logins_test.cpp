#include "dnsd/api/registrar_turns.hpp"
#include "tests/unit/dnsd/registrar_setting.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using namespace countersign::tests;
using base::ErrorCode;

TEST_CASE("a bcrypt hash that the store replaces late is replaced in memory", "[dnsd][api]") {
  PublicApiSetting setting;
  Registrar registrar(setting.context.get_executor(), setting.zone.registry(), setting.zone.publisher(),
                      setting.zone.clock(), std::chrono::milliseconds(20));
  registrar.use(setting.config);
  zones::Registration imported = setting.import_bcrypt(kPassword);
  HungStore hung(setting.zone.publisher());
  std::optional<base::Result<zones::Registration>> login;
  setting.begin(registrar.log_in(imported.username, kPassword, kClient), login);
  wait_for(setting, login);
  CHECK(*login);
  CHECK(registrar.find(imported.username)->is_bcrypt());
  hung.release();
  setting.go_on();
  CHECK(registrar.find(imported.username)->secret == sha256_of(kPassword));
  CHECK(stored(setting).front().secret == sha256_of(kPassword));
}

TEST_CASE("an imported bcrypt hash is replaced at its first success", "[dnsd][api]") {
  PublicApiSetting setting;
  zones::Registration imported = setting.import_bcrypt(kPassword);
  CHECK(log_in(setting, imported.username, kPassword + "x") == ErrorCode::Denied);
  CHECK(setting.registrar.find(imported.username)->is_bcrypt());
  CHECK_FALSE(log_in(setting, imported.username, kPassword));
  CHECK(setting.registrar.find(imported.username)->secret == sha256_of(kPassword));
  CHECK(stored(setting).front().secret == sha256_of(kPassword));
  CHECK_FALSE(log_in(setting, imported.username, kPassword));
  CHECK(log_in(setting, imported.username, kPassword + "x") == ErrorCode::Denied);
}

TEST_CASE("a bcrypt hash works without a store to replace it", "[dnsd][api]") {
  PublicApiSetting setting;
  zones::Registration imported = setting.import_bcrypt(kPassword);
  {
    FullDisk full;
    CHECK_FALSE(log_in(setting, imported.username, kPassword));
    CHECK(setting.registrar.find(imported.username)->is_bcrypt());
  }
  CHECK_FALSE(log_in(setting, imported.username, kPassword));
  CHECK_FALSE(setting.registrar.find(imported.username)->is_bcrypt());
}

TEST_CASE("many logins by bcrypt at once are bounded, and all that are verified are right", "[dnsd][api]") {
  PublicApiSetting setting;
  zones::Registration imported = setting.import_bcrypt(kPassword);
  int in = 0, busy = 0;
  std::vector<std::optional<base::Result<zones::Registration>>> logins(100);
  for (std::size_t i = 0; i < logins.size(); ++i) {
    base::SocketAddress client = address("198.51.100." + std::to_string(i));
    setting.begin(setting.registrar.log_in(imported.username, kPassword, client), logins[i]);
  }
  setting.go_on();
  for (auto& login : logins) {
    REQUIRE(login);
    if (*login)
      ++in;
    else if (login->error().code == ErrorCode::Unavailable)
      ++busy;
  }
  CHECK(in >= static_cast<int>(BcryptTurns::kMaxWaitingOfOne));
  CHECK(busy > 0);
  CHECK(in + busy == 100);
  CHECK(setting.registrar.find(imported.username)->secret == sha256_of(kPassword));
}

TEST_CASE("wrong logins by bcrypt at once are no more than one after another", "[dnsd][api]") {
  PublicApiSetting setting;
  zones::Registration imported = setting.import_bcrypt(kPassword);
  std::vector<std::optional<base::Result<zones::Registration>>> logins(60);
  for (auto& login : logins) setting.begin(setting.registrar.log_in(imported.username, "wrong", kClient), login);
  setting.go_on();
  int verified = 0;
  for (auto& login : logins) {
    REQUIRE(login);
    REQUIRE_FALSE(*login);
    if (login->error().code == ErrorCode::Denied) ++verified;
  }
  CHECK(verified == 10);
  CHECK(log_in(setting, imported.username, kPassword) == ErrorCode::Unavailable);
}

TEST_CASE("one address that asks for all there is of bcrypt does not keep others out", "[dnsd][api]") {
  PublicApiSetting setting;
  zones::Registration imported = setting.import_bcrypt(kPassword);
  std::vector<zones::Registration> others;
  for (const char* username : {"c36f50e8-4632-44f0-83fe-e070fef28a11", "c36f50e8-4632-44f0-83fe-e070fef28a12"}) {
    others.push_back(imported);
    others.back().username = username;
    setting.zone.registry().put(others.back());
  }
  std::vector<std::optional<base::Result<zones::Registration>>> wrong(200);
  for (auto& login : wrong) setting.begin(setting.registrar.log_in(imported.username, "wrong", kClient), login);
  // They are before the others, who wait for two of them at most.
  std::optional<base::Result<zones::Registration>> first, second;
  setting.begin(setting.registrar.log_in(others[0].username, kPassword, address("198.51.100.1")), first);
  setting.begin(setting.registrar.log_in(others[1].username, kPassword, address("198.51.100.2")), second);
  setting.go_on();
  CHECK(first.value().has_value());
  CHECK(second.value().has_value());
}

TEST_CASE("one address gets few wrong logins by bcrypt", "[dnsd][api]") {
  PublicApiSetting setting;
  zones::Registration imported = setting.import_bcrypt(kPassword);
  for (int i = 0; i < 10; ++i) CHECK(log_in(setting, imported.username, "wrong") == ErrorCode::Denied);
  CHECK(log_in(setting, imported.username, "wrong") == ErrorCode::Unavailable);
  setting.zone.clock().advance(std::chrono::seconds(1));
  CHECK_FALSE(log_in(setting, imported.username, kPassword));
}

TEST_CASE("one address may log in to all of its imported accounts at once", "[dnsd][api]") {
  PublicApiSetting setting;
  zones::Registration imported = setting.import_bcrypt(kPassword);
  FullDisk full;  // the hash stays
  std::vector<std::optional<base::Result<zones::Registration>>> logins(30);
  for (auto& login : logins) setting.begin(setting.registrar.log_in(imported.username, kPassword, kClient), login);
  setting.go_on();
  for (auto& login : logins) CHECK(login.value().has_value());
}

TEST_CASE("a password rotated while the old one is verified is not undone", "[dnsd][api]") {
  PublicApiSetting setting;
  zones::Registration imported = setting.import_bcrypt(kPassword);
  std::optional<base::Result<zones::Registration>> login;
  std::optional<base::Result<IssuedRegistration>> rotated;
  setting.begin(setting.registrar.log_in(imported.username, kPassword, kClient), login);
  setting.begin(setting.registrar.rotate(imported.username), rotated);
  setting.go_on();
  REQUIRE(login);
  REQUIRE(rotated);
  REQUIRE(rotated->has_value());
  CHECK(setting.registrar.find(imported.username)->secret == sha256_of((*rotated)->password));
  CHECK(stored(setting).front().secret == sha256_of((*rotated)->password));
}

TEST_CASE("a hash that is no bcrypt, or of a cost that would stop the thread, lets nobody in", "[dnsd][api]") {
  // Known answers: the first is of the author's own tests.
  CHECK(verify_bcrypt("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"));
  CHECK_FALSE(verify_bcrypt("U*V", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"));
  std::string tail = "CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
  for (const std::string& hash :
       {std::string("$"), std::string("$2a$"), "$2a$31$" + tail, "$2a$99$" + tail, "$2a$-1$" + tail, "$1$05$" + tail,
        "$2a$05$" + tail + "x", "$6$rounds=999999999$" + tail, "$2a$05$" + std::string(53, '*'),
        "$2a$05$" + std::string(53, '\0'), std::string("*0"), std::string(60, '$')}) {
    INFO(hash);
    CHECK_FALSE(verify_bcrypt("U*U", hash));
  }
  CHECK_FALSE(verify_bcrypt(std::string("U*U\0x", 5), "$2a$05$" + tail));
  PublicApiSetting setting;
  zones::Registration broken = setting.import_bcrypt("", "$2a$31$" + tail);
  CHECK(log_in(setting, broken.username, "U*U") == ErrorCode::Denied);
}

namespace {
asio::awaitable<void> count_login(Registrar& registrar, int& answered) {
  base::Result<zones::Registration> login = co_await registrar.log_in(kUuid, "U*U", kClient);
  static_cast<void>(login);
  ++answered;
}
}  // namespace

TEST_CASE("a registrar that ends while passwords wait leaves nothing behind", "[dnsd][api]") {
  asio::io_context context;
  LiveZone zone;
  int answered = 0;
  {
    Registrar registrar(context.get_executor(), zone.registry(), zone.publisher(), zone.clock());
    zones::Registration slow;
    slow.username = kUuid;
    slow.secret = "$2a$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    slow.name = *base::Name::parse("slow.auth.test");
    zone.registry().put(slow);
    for (int i = 0; i < 5; ++i) asio::co_spawn(context, count_login(registrar, answered), kEndOnException);
    context.poll();
  }
  CHECK(answered == 0);
}
