// Registrar: what happens by the clock, at the end, and when the store is late.
#include <algorithm>

#include "dnsd/api/registrar_marks.hpp"
#include "tests/unit/dnsd/registrar_setting.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using namespace countersign::tests;
using base::ErrorCode;

TEST_CASE("the last marks of use are stored, also those that come while the daemon drains", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration issued = setting.account();
  setting.registrar.start();
  setting.registrar.stop();
  CHECK(stored(setting).front().used == 0);
  CHECK_FALSE(log_in(setting, issued.registration.username, issued.password));
  setting.registrar.flush();
  CHECK(stored(setting).front().used == setting.zone.clock().wall().time_since_epoch().count());
}

TEST_CASE("the end comes between two slices of marks and loses none", "[dnsd][api]") {
  PublicApiSetting setting;
  constexpr std::size_t kMany = UseMarks::kAtOnce * 2 + 200;
  std::vector<std::optional<base::Result<IssuedRegistration>>> made(kMany);
  for (auto& result : made) setting.begin(setting.registrar.create(RegistrationWishes()), result);
  setting.go_on();
  for (const auto& result : made)
    setting.zone.registry().mark_used(result.value()->registration.username, 1'795'000'000'000);
  HungStore hung(setting.zone.publisher());
  asio::co_spawn(setting.context, setting.registrar.tell_marks(), kEndOnException);
  setting.context.restart();
  setting.context.poll();  // the first slice waits for the store
  setting.registrar.stop();
  setting.registrar.flush();
  hung.release();
  // Without the loop, which has ended.
  std::promise<base::Result<std::vector<zones::Registration>>> promise;
  setting.zone.publisher().list_registrations("", 10'000, [&](auto found) { promise.set_value(std::move(found)); });
  auto all = promise.get_future().get();
  REQUIRE(all);
  CHECK(all->size() == kMany);
  CHECK(std::all_of(all->begin(), all->end(), [](const auto& each) { return each.used == 1'795'000'000'000; }));
  setting.go_on();  // a loop that goes on after all finds nothing to do
}

TEST_CASE("registrations that nobody used for prune_unused go, the others stay", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration idle = setting.account();
  IssuedRegistration busy = setting.account();
  CHECK(setting.run(setting.registrar.prune_some()) == 0);
  setting.zone.clock().advance(std::chrono::hours(24 * 401));
  CHECK(setting.run(setting.registrar.prune_some()) == 0);  // not configured
  CHECK_FALSE(log_in(setting, busy.registration.username, busy.password));
  setting.config.api.prune_unused = std::chrono::hours(24 * 400);
  setting.use();
  CHECK(setting.run(setting.registrar.prune_some()) == 1);
  CHECK_FALSE(setting.registrar.find(idle.registration.username));
  CHECK(setting.registrar.find(busy.registration.username));
  CHECK(stored(setting).size() == 1);
}

TEST_CASE("a clock that was set prunes nothing by itself", "[dnsd][api]") {
  PublicApiSetting setting;
  setting.config.api.prune_unused = std::chrono::hours(24 * 400);
  setting.use();
  setting.account();
  setting.zone.clock().advance(std::chrono::hours(25));
  CHECK(setting.run(setting.registrar.prune_some()) == 0);
  setting.zone.clock().jump(std::chrono::hours(24 * 4000));
  for (int i = 0; i < 3; ++i) CHECK(setting.run(setting.registrar.prune_some()) == 0);
  // It was a mistake, and is put right.
  setting.zone.clock().jump(std::chrono::hours(24 * -4000));
  setting.zone.clock().advance(std::chrono::hours(25));
  CHECK(setting.run(setting.registrar.prune_some()) == 0);
  // It was none: the clock stays as it was set. Nobody has been away for longer by that.
  setting.zone.clock().jump(std::chrono::hours(24 * 4000));
  for (int days = 0; days < 390; ++days) {
    CHECK(setting.run(setting.registrar.prune_some()) == 0);
    setting.zone.clock().advance(std::chrono::hours(24));
  }
  CHECK(setting.registrar.size() == 1);
  setting.zone.clock().advance(std::chrono::hours(24 * 10));
  CHECK(setting.run(setting.registrar.prune_some()) == 1);
}

TEST_CASE("a daemon that starts with a wrong clock prunes nothing, nor when the clock is put right", "[dnsd][api]") {
  PublicApiSetting setting;
  setting.config.api.prune_unused = std::chrono::hours(48);
  IssuedRegistration idle = setting.account();
  IssuedRegistration busy = setting.account();
  std::chrono::hours wrong(24 * GENERATE(30, -30));
  CAPTURE(wrong.count());
  setting.zone.clock().jump(wrong);
  Registrar restarted(setting.context.get_executor(), setting.zone.registry(), setting.zone.publisher(),
                      setting.zone.clock());
  restarted.use(setting.config);
  // Used while the clock is wrong, and then told by it.
  auto login = setting.run(restarted.log_in(busy.registration.username, busy.password, kClient));
  CHECK(login);
  for (int hours = 0; hours < 47; ++hours) {
    CHECK(setting.run(restarted.prune_some()) == 0);
    setting.zone.clock().advance(std::chrono::hours(1));
  }
  setting.zone.clock().jump(-wrong);
  CHECK(setting.run(restarted.prune_some()) == 0);
  CHECK(restarted.size() == 2);
  // What nobody has used for as long as the daemon can tell goes.
  setting.zone.clock().advance(std::chrono::hours(25));
  CHECK(setting.run(restarted.prune_some()) > 0);
  CHECK_FALSE(restarted.find(idle.registration.username));
}

TEST_CASE("nothing is pruned on a daemon's first day", "[dnsd][api]") {
  PublicApiSetting setting;
  setting.config.api.prune_unused = std::chrono::hours(48);
  IssuedRegistration idle = setting.account();
  IssuedRegistration busy = setting.account();
  // A login by a clock that was wrong, before the restart: the newest time that is known is wrong, too.
  setting.zone.clock().jump(std::chrono::hours(24 * 30));
  CHECK_FALSE(log_in(setting, busy.registration.username, busy.password));
  Registrar restarted(setting.context.get_executor(), setting.zone.registry(), setting.zone.publisher(),
                      setting.zone.clock());
  restarted.use(setting.config);
  for (int hours = 0; hours < 24; ++hours) {
    CHECK(setting.run(restarted.prune_some()) == 0);
    setting.zone.clock().advance(std::chrono::hours(1));
  }
  CHECK(setting.run(restarted.prune_some()) == 1);
  CHECK_FALSE(restarted.find(idle.registration.username));
}

TEST_CASE("what the store does when nobody waits any more is followed in memory", "[dnsd][api]") {
  PublicApiSetting setting;
  setting.config.api.max_registrations = 3;
  Registrar registrar(setting.context.get_executor(), setting.zone.registry(), setting.zone.publisher(),
                      setting.zone.clock(), std::chrono::milliseconds(20));
  registrar.use(setting.config);
  IssuedRegistration leaving = setting.account();
  IssuedRegistration rotated = setting.account();
  HungStore hung(setting.zone.publisher());
  std::optional<base::Result<void>> removal, again;
  std::optional<base::Result<IssuedRegistration>> rotation, addition, one_too_many;
  setting.begin(registrar.remove(leaving.registration.username), removal);
  setting.begin(registrar.rotate(rotated.registration.username), rotation);
  setting.begin(registrar.create(RegistrationWishes()), addition);
  wait_for(setting, removal);
  wait_for(setting, rotation);
  wait_for(setting, addition);
  REQUIRE_FALSE(*removal);
  REQUIRE_FALSE(*rotation);
  REQUIRE_FALSE(*addition);
  for (const base::Error& error : {removal->error(), rotation->error(), addition->error()}) {
    CHECK(error.code == ErrorCode::Unavailable);
    CHECK(error.message.ends_with("What was asked for may still happen; try again"));
  }
  // All is on its way still: what goes cannot be used, the password that is being replaced can, no place is free.
  setting.begin(registrar.remove(leaving.registration.username), again);
  setting.begin(registrar.create(RegistrationWishes()), one_too_many);
  std::optional<base::Result<zones::Registration>> gone, old;
  setting.begin(registrar.log_in(leaving.registration.username, leaving.password, kClient), gone);
  setting.begin(registrar.log_in(rotated.registration.username, rotated.password, kClient), old);
  wait_for(setting, old);
  REQUIRE(again);
  REQUIRE_FALSE(*again);
  CHECK(again->error().code == ErrorCode::Unavailable);
  REQUIRE(one_too_many);
  REQUIRE_FALSE(*one_too_many);
  CHECK(one_too_many->error().code == ErrorCode::Full);
  REQUIRE(gone);
  CHECK_FALSE(*gone);
  CHECK(*old);
  hung.release();
  setting.go_on();
  CHECK_FALSE(registrar.find(leaving.registration.username));
  CHECK(log_in(setting, leaving.registration.username, leaving.password) == ErrorCode::Denied);
  CHECK(log_in(setting, rotated.registration.username, rotated.password) == ErrorCode::Denied);
  // Nobody was told of the one that was made.
  CHECK(registrar.size() == 1);
  std::vector<zones::Registration> left = stored(setting);
  REQUIRE(left.size() == 1);
  CHECK(left.front().secret == registrar.find(rotated.registration.username)->secret);
  // Trying again works.
  auto second = setting.run(registrar.rotate(rotated.registration.username));
  REQUIRE(second);
  CHECK_FALSE(log_in(setting, rotated.registration.username, second->password));
  auto removed_again = setting.run(registrar.remove(leaving.registration.username));
  REQUIRE_FALSE(removed_again);
  CHECK(removed_again.error().code == ErrorCode::NotFound);
}

TEST_CASE("what a store refuses late leaves everything as it was", "[dnsd][api]") {
  PublicApiSetting setting;
  Registrar registrar(setting.context.get_executor(), setting.zone.registry(), setting.zone.publisher(),
                      setting.zone.clock(), std::chrono::milliseconds(20));
  registrar.use(setting.config);
  IssuedRegistration issued = setting.account();
  {
    FullDisk full;
    HungStore hung(setting.zone.publisher());
    std::optional<base::Result<void>> removal;
    std::optional<base::Result<IssuedRegistration>> rotation, addition;
    setting.begin(registrar.rotate(issued.registration.username), rotation);
    setting.begin(registrar.create(RegistrationWishes()), addition);
    setting.begin(registrar.remove(issued.registration.username), removal);
    wait_for(setting, rotation);
    wait_for(setting, addition);
    wait_for(setting, removal);
    hung.release();
    setting.go_on();
  }
  CHECK(registrar.size() == 1);
  CHECK_FALSE(log_in(setting, issued.registration.username, issued.password));
  CHECK(setting.run(registrar.remove(issued.registration.username)));
}
