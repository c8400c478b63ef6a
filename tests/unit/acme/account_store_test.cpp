// Accounts on the disk: how they are made, found again, and bound to external accounts.
#include <sys/stat.h>

#include "acme/state/external_account.hpp"
#include "base/clock.hpp"
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

TEST_CASE("what is known of an account is on the disk", "[acme]") {
  Machine machine(R"("termsOfService":"https://ca.test/terms")");
  machine.consent.terms = Terms::Agreed;
  machine.consent.contact = {"mailto:a@example.test"};
  machine.make();
  auto stored = taken(machine.store.stored());
  REQUIRE(stored.url == machine.ca.url("/me"));
  REQUIRE(stored.directory == machine.ca.url("/dir"));
  REQUIRE(stored.status == "valid");
  REQUIRE(stored.contact == std::vector<std::string>{"mailto:a@example.test"});
  REQUIRE(stored.orders == machine.ca.url("/orders"));
  REQUIRE(stored.terms == "https://ca.test/terms");
  REQUIRE(base::parse_rfc3339(stored.terms_agreed));
  REQUIRE(stored.eab_kid.empty());
  REQUIRE(stored.thumbprint == taken(taken(machine.store.key()).thumbprint()));

  // note() keeps what the CA does not tell.
  Session session = machine.session();
  REQUIRE(machine.store.use_existing(session));
  Account changed{stored.url, "valid", {"mailto:b@example.test"}, ""};
  REQUIRE(machine.store.note(session, changed));
  auto noted = taken(machine.store.stored());
  REQUIRE(noted.contact == changed.contact);
  REQUIRE(noted.orders.empty());
  REQUIRE(noted.terms == stored.terms);
  REQUIRE(noted.terms_agreed == stored.terms_agreed);
  machine.check_whole();
}

TEST_CASE("the key type of a new account is as wished", "[acme]") {
  Machine machine;
  machine.consent.key_type = conf::KeyType::Rsa2048;
  machine.make();
  REQUIRE(taken(machine.store.key()).type() == conf::KeyType::Rsa2048);
}

TEST_CASE("use_existing makes nothing", "[acme]") {
  Machine machine;
  Session session = machine.session();
  auto error = error_of(machine.store.use_existing(session));
  REQUIRE(error.code == ErrorCode::NotFound);
  REQUIRE(error.message.find("account register") != std::string::npos);
  REQUIRE_FALSE(fs::exists(machine.state.path / "accounts"));
  for (auto missing : {machine.store.roll_over(session, kP256), machine.store.deactivate(session)})
    REQUIRE(error_of(missing).code == ErrorCode::NotFound);
  REQUIRE_FALSE(fs::exists(machine.state.path / "accounts"));

  // A key whose account's URL got lost is enough; one that the CA does not know is not.
  machine.make();
  fs::remove(machine.store.folder() / "account.json");
  REQUIRE(machine.store.use_existing(session));
  machine.check_whole();
  fs::remove(machine.store.folder() / "account.json");
  machine.ca.public_key.clear();
  REQUIRE(error_of(machine.store.use_existing(session)).code == ErrorCode::NotFound);
  REQUIRE(machine.has("key.pem"));
}

TEST_CASE("a key that was changed under its account's URL is noticed", "[acme]") {
  Machine machine;
  machine.make();
  auto other = taken(PrivateKey::generate(kP256));
  machine.write("key.pem", taken(other.to_pem()));
  Session session = machine.session();
  REQUIRE(error_of(machine.store.use_existing(session)).code == ErrorCode::NotFound);
  machine.ca.public_key = other.public_key();
  REQUIRE(machine.store.use_existing(session));
  machine.check_whole();
}

TEST_CASE("a CA that wants external accounts gets the binding of the configured one", "[acme]") {
  Machine machine(R"("externalAccountRequired":true)");
  Session session = machine.session();
  auto none = error_of(machine.store.use(session, machine.consent));
  REQUIRE(none.code == ErrorCode::Refused);
  REQUIRE(none.message.find("--eab-kid") != std::string::npos);
  REQUIRE(none.message.find("acme.eab") != std::string::npos);

  fs::path file = machine.state.path / "mac";
  std::vector<std::string> warnings;
  conf::ExternalAccount eab{"kid-1", file.string()};
  machine.consent.binding = binding_of(eab, [&](const std::string& text) { warnings.push_back(text); });
  REQUIRE(error_of(machine.store.use(session, machine.consent)).code == ErrorCode::NotFound);
  REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
  REQUIRE(error_of(machine.store.use(session, machine.consent)).message.find("no regular file") != std::string::npos);
  REQUIRE(base::replace_file(file, "not base64!\n", 0600));
  REQUIRE(error_of(machine.store.use(session, machine.consent)).code == ErrorCode::Invalid);
  REQUIRE_FALSE(machine.has("key.pem"));
  REQUIRE(machine.ca.new_accounts.empty());

  REQUIRE(base::replace_file(file, "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W\n", 0644));
  taken(machine.store.use(session, machine.consent));
  REQUIRE(machine.ca.new_accounts.back().contains("externalAccountBinding"));
  REQUIRE(taken(machine.store.stored()).eab_kid == "kid-1");
  REQUIRE(warnings.size() == 1);
  REQUIRE(warnings[0].find("chmod 600") != std::string::npos);
  // Not needed any more: the account is there.
  fs::remove(file);
  machine.check_whole();
}

TEST_CASE("a CA that does not want external accounts is told of none, unless a person insists", "[acme]") {
  for (auto bind : {AccountStore::Bind::WhereRequired, AccountStore::Bind::Always}) {
    Machine machine;
    machine.consent.bind = bind;
    machine.consent.binding = [] {
      return ExternalAccountBinding{"kid", "0123456789abcdef0123456789abcdef", ExternalAccountBinding::Mac::Hs256};
    };
    machine.make();
    REQUIRE(machine.ca.new_accounts.back().contains("externalAccountBinding") == (bind == AccountStore::Bind::Always));
  }
  REQUIRE_FALSE(binding_of({}));
  REQUIRE(error_of(binding_of({"kid", ""})()).code == ErrorCode::Usage);
}

TEST_CASE("without the terms agreed to neither account nor key is made", "[acme]") {
  Machine machine(R"("termsOfService":"https://ca.test/terms")");
  Session session = machine.session();
  auto error = error_of(machine.store.obtain(session, machine.consent));
  REQUIRE(error.message.find("https://ca.test/terms") != std::string::npos);
  REQUIRE_FALSE(machine.has("key.pem"));
}
