// What changes an account, what a CA may answer to that, and what a kill in between leaves.
#include <sys/stat.h>

#include <functional>

#include "tests/unit/acme/account_machine.hpp"

using namespace countersign;
using namespace countersign::acme;
namespace fs = std::filesystem;
using base::ErrorCode;
using tests::AccountCa;
using tests::error_of;
using tests::kP256;
using tests::Machine;
using tests::taken;

TEST_CASE("a rollover puts the new key in the old one's place", "[acme]") {
  Machine machine;
  machine.make();
  std::string old_key = machine.key();
  Session session = machine.session();
  taken(machine.store.roll_over(session, kP256));
  REQUIRE(machine.key() != old_key);
  REQUIRE(machine.key() == machine.ca.public_key);
  machine.check_whole();
  // The session goes on with it; the old key is kept, readable to nobody else.
  REQUIRE(fetch_account(session));
  auto kept = machine.files("key.pem.2");
  REQUIRE(kept.size() == 1);
  REQUIRE(machine.key(kept[0]) == old_key);
  struct stat status{};
  for (const std::string& file : {kept[0], std::string("key.pem")}) {
    REQUIRE(::stat((machine.store.folder() / file).c_str(), &status) == 0);
    REQUIRE((status.st_mode & 07777U) == 0600);
  }
  // Again, within the same second: nothing is overwritten.
  taken(machine.store.roll_over(session, kP256));
  machine.check_whole();
  REQUIRE(machine.files("key.pem.2").size() == 2);
}

TEST_CASE("a CA that says yes to a new key and keeps the old one loses nobody's key", "[acme]") {
  Machine machine;
  machine.make();
  machine.ca.key_change = AccountCa::KeyChange::SayYesAndKeep;
  std::string old_key = machine.key();
  Session session = machine.session();
  auto error = error_of(machine.store.roll_over(session, kP256));
  REQUIRE(error.code == ErrorCode::Protocol);
  REQUIRE(error.message.find("still wants the old one") != std::string::npos);
  REQUIRE(machine.key() == old_key);
  REQUIRE(fetch_account(session));
  machine.check_whole();
  REQUIRE(machine.files("key.pem.next.2").size() == 1);
}

TEST_CASE("a refused rollover says why and changes nothing", "[acme]") {
  Machine machine;
  machine.make();
  std::string old_key = machine.key();
  Session session = machine.session();
  machine.ca.key_change = AccountCa::KeyChange::Refuse;
  auto error = error_of(machine.store.roll_over(session, kP256));
  REQUIRE(error.code == ErrorCode::Refused);
  REQUIRE(error.message.find("not today") != std::string::npos);
  REQUIRE(machine.key() == old_key);
  machine.check_whole();
}

TEST_CASE("a CA without keyChange is told of before a key is made", "[acme]") {
  Machine machine;
  machine.make();
  machine.ca.replies["/dir"] = [&](const tests::MockRequest&) { return AccountCa::json(200, machine.ca.directory()); };
  Session session = machine.session();
  REQUIRE(error_of(machine.store.roll_over(session, kP256)).code == ErrorCode::NotFound);
  REQUIRE(machine.files("key.pem") == std::vector<std::string>{"key.pem"});
}

TEST_CASE("a rollover whose answer got lost is a rollover", "[acme]") {
  Machine machine;
  machine.make();
  machine.ca.key_change = AccountCa::KeyChange::TakeAndCutOff;
  Session session = machine.session();
  // The retry is signed with the old key, which the CA does not take any more: only asking tells.
  taken(machine.store.roll_over(session, kP256));
  REQUIRE(machine.key() == machine.ca.public_key);
  machine.check_whole();
}

TEST_CASE("when the CA cannot say which key it knows, both stay until it can", "[acme]") {
  for (auto change : {AccountCa::KeyChange::TakeAndFail, AccountCa::KeyChange::KeepAndFail}) {
    Machine machine;
    machine.make();
    machine.ca.key_change = change;
    Session session = machine.session();
    auto error = error_of(machine.store.roll_over(session, kP256));
    REQUIRE(error.message.find("both are kept") != std::string::npos);
    REQUIRE(machine.has("key.pem"));
    REQUIRE(machine.has("key.pem.next"));
    REQUIRE(error_of(machine.store.use_existing(session)).code == ErrorCode::Unavailable);
    REQUIRE(machine.has("key.pem.next"));
    machine.ca.broken = false;
    REQUIRE(machine.store.use_existing(session));
    machine.check_whole();
  }
}

TEST_CASE("a rollover that was killed is ended by the next run, whoever it is", "[acme]") {
  using Next = std::function<base::Result<void>(const Machine&, Session&)>;
  std::vector<Next> runs{[](const Machine& m, Session& s) { return m.store.use_existing(s); },
                         [](const Machine& m, Session& s) { return m.store.use(s, m.consent).map([](auto&&) {}); },
                         [](const Machine& m, Session& s) { return m.store.roll_over(s, kP256); }};
  for (const Next& run : runs) {
    // Before the CA heard of the new key.
    {
      Machine machine;
      machine.make();
      std::string unheard = machine.write_next();
      Session session = machine.session();
      taken(run(machine, session));
      machine.check_whole();
      auto kept = machine.files("key.pem.next.2");
      REQUIRE(kept.size() == 1);
      REQUIRE(machine.key(kept[0]) == unheard);
    }
    // After it took it.
    {
      Machine machine;
      machine.make();
      std::string old_key = machine.key();
      machine.ca.public_key = machine.write_next();
      Session session = machine.session();
      taken(run(machine, session));
      machine.check_whole();
      REQUIRE(machine.key(machine.files("key.pem.2").front()) == old_key);
    }
    // After the new key was put in force, before account.json knew.
    {
      Machine machine;
      machine.make();
      machine.ca.public_key = machine.write_next();
      fs::rename(machine.store.folder() / "key.pem.next", machine.store.folder() / "key.pem");
      Session session = machine.session();
      taken(run(machine, session));
      machine.check_whole();
    }
    // With the URL lost, too.
    {
      Machine machine;
      machine.make();
      machine.ca.public_key = machine.write_next();
      fs::remove(machine.store.folder() / "account.json");
      Session session = machine.session();
      taken(run(machine, session));
      machine.check_whole();
    }
  }
}

TEST_CASE("a CA that takes neither key leaves both on the disk", "[acme]") {
  Machine machine;
  machine.make();
  static_cast<void>(machine.write_next());
  machine.ca.public_key = taken(PrivateKey::generate(kP256)).public_key();
  Session session = machine.session();
  auto error = error_of(machine.store.use_existing(session));
  REQUIRE(error.code == ErrorCode::Refused);
  REQUIRE(error.message.find("both are kept") != std::string::npos);
  REQUIRE(machine.has("key.pem"));
  REQUIRE(machine.has("key.pem.next"));
}

TEST_CASE("a CA that forgot the account does not keep a rollover open", "[acme]") {
  Machine machine;
  machine.make();
  static_cast<void>(machine.write_next());
  machine.ca.public_key.clear();
  Session session = machine.session();
  REQUIRE(machine.store.use_existing(session));
  REQUIRE(error_of(fetch_account(session)).code == ErrorCode::NotFound);
  taken(machine.store.make_again(session, machine.consent));
  machine.check_whole();
}

TEST_CASE("where the new key cannot be written the CA never hears of it", "[acme]") {
  Machine machine;
  machine.make();
  std::string old_key = machine.key();
  // Not even root can put a file there.
  fs::create_directories(machine.store.folder() / "key.pem.next" / "x");
  Session session = machine.session();
  auto error = error_of(machine.store.roll_over(session, kP256));
  REQUIRE(error.message.find("key.pem.next") != std::string::npos);
  REQUIRE(machine.ca.server().count("/key") == 0);
  fs::remove_all(machine.store.folder() / "key.pem.next");
  REQUIRE(machine.key() == old_key);
  machine.check_whole();
}

TEST_CASE("an account that may not sign any more gets no new key", "[acme]") {
  Machine machine;
  machine.make();
  machine.ca.status = "deactivated";
  Session session = machine.session();
  REQUIRE(error_of(machine.store.roll_over(session, kP256)).code == ErrorCode::Refused);
  REQUIRE(machine.files("key.pem") == std::vector<std::string>{"key.pem"});
  // The way out: it is put aside without the CA's help.
  REQUIRE(machine.store.deactivate(session));
  REQUIRE(machine.files("key.pem.deactivated-").size() == 1);
  machine.make();
  machine.check_whole();
}

TEST_CASE("a broken key.pem.next is named and nothing is lost", "[acme]") {
  Machine machine;
  machine.make();
  machine.write("key.pem.next", "no key");
  Session session = machine.session();
  auto error = error_of(machine.store.use_existing(session));
  REQUIRE(error.code == ErrorCode::Invalid);
  REQUIRE(error.message.find("key.pem.next") != std::string::npos);
  REQUIRE(machine.has("key.pem.next"));
  REQUIRE(machine.key() == machine.ca.public_key);
}

TEST_CASE("an imported key takes the place of the old one, which is kept", "[acme]") {
  Machine machine;
  machine.make();
  std::string old_key = machine.key();
  auto foreign = taken(PrivateKey::generate(kP256));
  std::string pem = taken(foreign.to_pem());
  Session session = machine.session();

  auto unknown = error_of(machine.store.import(session, taken(PrivateKey::from_pem(pem))));
  REQUIRE(unknown.code == ErrorCode::NotFound);
  REQUIRE(unknown.message.find("--ca") != std::string::npos);
  machine.check_whole();
  REQUIRE(machine.files("key.pem") == std::vector<std::string>{"key.pem"});

  machine.ca.public_key = foreign.public_key();
  static_cast<void>(machine.write_next());
  REQUIRE(taken(machine.store.import(session, taken(PrivateKey::from_pem(pem)))) == machine.ca.url("/me"));
  machine.check_whole();
  REQUIRE(machine.key(machine.files("key.pem.2").front()) == old_key);
  REQUIRE(machine.files("key.pem.next.2").size() == 1);
  REQUIRE(machine.files("account.json.2").size() == 1);

  REQUIRE(error_of(machine.store.import(session, taken(PrivateKey::from_pem(pem)))).code == ErrorCode::Exists);
  machine.check_whole();
}

TEST_CASE("an import that was killed half way has the old account or the new one", "[acme]") {
  Machine machine;
  machine.make();
  fs::remove(machine.store.folder() / "account.json");
  Session session = machine.session();
  REQUIRE(machine.store.use_existing(session));
  machine.check_whole();
  fs::remove(machine.store.folder() / "account.json");
  auto foreign = taken(PrivateKey::generate(kP256));
  machine.ca.public_key = foreign.public_key();
  machine.write("key.pem", taken(foreign.to_pem()));
  REQUIRE(machine.store.use_existing(session));
  machine.check_whole();
}

TEST_CASE("an import into an empty folder makes it; an unknown key leaves no trace", "[acme]") {
  Machine machine;
  auto foreign = taken(PrivateKey::generate(kP256));
  std::string pem = taken(foreign.to_pem());
  Session session = machine.session();
  REQUIRE(error_of(machine.store.import(session, taken(PrivateKey::from_pem(pem)))).code == ErrorCode::NotFound);
  REQUIRE_FALSE(fs::exists(machine.state.path / "accounts"));
  machine.ca.public_key = foreign.public_key();
  taken(machine.store.import(session, std::move(foreign)));
  machine.check_whole();
}

TEST_CASE("a deactivated account is put aside, and the next one is new", "[acme]") {
  Machine machine;
  machine.make();
  std::string old_key = machine.key();
  Session session = machine.session();
  taken(machine.store.deactivate(session));
  REQUIRE(machine.ca.status == "deactivated");
  REQUIRE_FALSE(machine.has("key.pem"));
  REQUIRE_FALSE(machine.has("account.json"));
  REQUIRE(machine.key(machine.files("key.pem.deactivated-").front()) == old_key);
  REQUIRE(machine.files("account.json.deactivated-").size() == 1);
  REQUIRE(error_of(machine.store.use_existing(session)).code == ErrorCode::NotFound);
  machine.make();
  REQUIRE(machine.key() != old_key);
  machine.check_whole();
}

TEST_CASE("a deactivation that was killed is ended by the next run", "[acme]") {
  for (bool reached : {false, true}) {
    for (bool again : {false, true}) {
      Machine machine;
      machine.make();
      std::string old_key = machine.key();
      auto stored = taken(machine.store.stored());
      stored.status = kDeactivating;
      machine.write("account.json", account_document(stored));
      if (reached) machine.ca.status = "deactivated";
      Session session = machine.session();
      if (again) {
        taken(machine.store.deactivate(session));
        REQUIRE(machine.ca.status == "deactivated");
        REQUIRE_FALSE(machine.has("key.pem"));
      } else {
        taken(machine.store.use(session, machine.consent));
        REQUIRE((machine.key() == old_key) != reached);
        machine.check_whole();
      }
    }
  }
}

TEST_CASE("a deactivation that the CA refuses changes nothing", "[acme]") {
  Machine machine;
  machine.make();
  auto normal = machine.ca.replies["/me"];
  machine.ca.replies["/me"] = [&, refused = false](const tests::MockRequest& request) mutable {
    if (!std::exchange(refused, true)) return AccountCa::problem(403, "unauthorized", "you still owe us");
    return normal(request);
  };
  Session session = machine.session();
  auto error = error_of(machine.store.deactivate(session));
  REQUIRE(error.message.find("you still owe us") != std::string::npos);
  REQUIRE(taken(machine.store.stored()).status == "valid");
  machine.check_whole();
}
