// When an account's files are put aside, and what keeps its key while certificates are issued.
#include <chrono>
#include <future>

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

TEST_CASE("a no that is not about the account does not end it", "[acme]") {
  // A user's matter, a type that nobody knows, and a firewall's page.
  const std::vector<tests::MockReply> refusals{AccountCa::problem(403, "userActionRequired", "sign the new terms"),
                                               AccountCa::problem(400, "soon", "sign the new terms"),
                                               {403, {{"Content-Type", "text/html"}}, "<h1>sign the new terms</h1>"}};
  for (const tests::MockReply& refusal : refusals) {
    for (bool killed_before : {false, true}) {
      Machine machine;
      machine.make();
      auto normal = machine.ca.replies["/me"];
      machine.ca.reply("/me", refusal);
      Session session = machine.session();
      if (killed_before) {
        auto stored = taken(machine.store.stored());
        stored.status = kDeactivating;
        machine.write("account.json", account_document(stored));
        REQUIRE(error_of(machine.store.use(session, machine.consent)).message.find("new terms") != std::string::npos);
      } else {
        REQUIRE(error_of(machine.store.deactivate(session)).message.find("new terms") != std::string::npos);
      }
      REQUIRE(taken(machine.store.stored()).status != kDeactivating);
      REQUIRE(machine.files("key.pem") == std::vector<std::string>{"key.pem"});
      machine.ca.replies["/me"] = normal;
      machine.check_whole();
    }
  }
}

TEST_CASE("an account that the CA calls revoked, unknown or unauthorized is put aside", "[acme]") {
  Machine machine;
  const std::vector<tests::MockReply> answers{
      AccountCa::json(200, R"({"status":"revoked"})"), AccountCa::json(200, R"({"status":"deactivated"})"),
      AccountCa::problem(400, "accountDoesNotExist", "who?"), AccountCa::problem(403, "unauthorized", "not you")};
  auto normal = machine.ca.replies["/me"];
  for (const tests::MockReply& answer : answers) {
    machine.ca.replies["/me"] = normal;
    machine.make();
    machine.ca.reply("/me", answer);
    Session session = machine.session();
    taken(machine.store.deactivate(session));
    REQUIRE_FALSE(machine.has("key.pem"));
  }
  REQUIRE(machine.files("key.pem.deactivated-").size() == answers.size());
}

TEST_CASE("a retirement that was killed leaves nothing that a new key is taken together with", "[acme]") {
  for (const char* status : {kDeactivating, kDeactivated}) {
    for (bool has_key : {true, false}) {
      for (bool has_next : {true, false}) {
        if (has_key && status == kDeactivating) continue;  // the CA is asked then
        Machine machine;
        machine.make();
        std::string old_key = machine.key();
        auto stored = taken(machine.store.stored());
        stored.status = status;
        machine.write("account.json", account_document(stored));
        if (has_next) static_cast<void>(machine.write_next());
        if (!has_key) fs::remove(machine.store.folder() / "key.pem");
        machine.ca.status = "deactivated";
        machine.make();
        REQUIRE(machine.key() != old_key);
        machine.check_whole();
        REQUIRE(machine.files("key.pem.next.deactivated-").size() == (has_next ? 1U : 0U));
        REQUIRE(machine.files("account.json.deactivated-").size() == 1);
      }
    }
  }
}

TEST_CASE("a retirement is noted before a file moves", "[acme]") {
  Machine machine;
  machine.make();
  // Where the key cannot be put aside, the next run still knows.
  fs::rename(machine.store.folder() / "key.pem", machine.store.folder() / "kept");
  fs::create_directories(machine.store.folder() / "key.pem" / "x");
  REQUIRE_FALSE(machine.store.retire());
  fs::remove_all(machine.store.folder() / "key.pem");
  fs::rename(machine.store.folder() / "kept", machine.store.folder() / "key.pem");
  REQUIRE(taken(machine.store.stored()).status == kDeactivated);
  machine.ca.status = "deactivated";
  machine.make();
  machine.check_whole();
}

TEST_CASE("while certificates are issued the account's key stays", "[acme]") {
  Machine machine;
  machine.make();
  std::string old_key = machine.key();
  Session session = machine.session();
  auto foreign = taken(PrivateKey::generate(kP256));
  std::string pem = taken(foreign.to_pem());
  {
    auto first = taken(machine.store.use_for_orders());
    auto second = taken(machine.store.use_for_orders());
    std::size_t asked = machine.ca.server().count("/key") + machine.ca.server().count("/me");
    for (const base::Error& error :
         {error_of(machine.store.roll_over(session, kP256)), error_of(machine.store.deactivate(session))}) {
      REQUIRE(error.code == ErrorCode::Unavailable);
      REQUIRE(error.message.find("certificates are being issued with this account") != std::string::npos);
      REQUIRE(error.message.find("try again later") != std::string::npos);
    }
    REQUIRE(machine.ca.server().count("/key") + machine.ca.server().count("/me") == asked);
    machine.ca.public_key = foreign.public_key();
    REQUIRE(error_of(machine.store.import(session, taken(PrivateKey::from_pem(pem)))).code == ErrorCode::Unavailable);
    REQUIRE(machine.key() == old_key);
    REQUIRE(machine.files("key.pem") == std::vector<std::string>{"key.pem"});
  }
  REQUIRE(taken(machine.store.import(session, std::move(foreign))) == machine.ca.url("/me"));
  taken(machine.store.roll_over(session, kP256));
  machine.check_whole();
}

TEST_CASE("an order waits for a change of the account's key", "[acme]") {
  Machine machine;
  machine.make();
  auto normal = machine.ca.replies["/key"];
  std::future<base::Result<RunLock>> order;
  machine.ca.replies["/key"] = [&](const tests::MockRequest& request) {
    order = std::async(std::launch::async, [&] { return machine.store.use_for_orders(); });
    // As long as the change is under way it waits.
    REQUIRE(order.wait_for(std::chrono::milliseconds(50)) == std::future_status::timeout);
    return normal(request);
  };
  Session session = machine.session();
  taken(machine.store.roll_over(session, kP256));
  REQUIRE(order.valid());
  REQUIRE(order.get());
}
