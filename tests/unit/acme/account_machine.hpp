// One machine with an account folder, and its CA.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <type_traits>
#include <vector>

#include "acme/state/account_store.hpp"
#include "base/files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/acme/account_ca.hpp"

namespace countersign::tests {

inline constexpr auto kP256 = conf::KeyType::P256;

template <class T>
T taken(base::Result<T> result) {
  if (!result) FAIL(result.error().message);
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

template <class T>
base::Error error_of(const base::Result<T>& result) {
  REQUIRE_FALSE(result);
  return result.error();
}

struct Machine {
  TemporaryFolder state;
  AccountCa ca;
  acme::AccountStore store;
  acme::AccountStore::Consent consent;

  explicit Machine(const std::string& meta = "")
      : ca(meta), store(*acme::AccountStore::open(state.path, ca.url("/dir"))) {
    ca.folder = store.folder().string();
  }
  [[nodiscard]] acme::Session session() const { return taken(acme::Session::open(ca.url("/dir"), {})); }
  // With an account.
  void make() {
    acme::Session fresh = session();
    taken(store.use(fresh, consent));
  }
  [[nodiscard]] std::string key(const std::string& file = "key.pem") const {
    auto pem = base::read_file(store.folder() / file);
    return pem ? acme::PrivateKey::from_pem(*pem)->public_key() : "";
  }
  [[nodiscard]] bool has(const std::string& file) const { return std::filesystem::exists(store.folder() / file); }
  // The names of files that begin so, in order.
  [[nodiscard]] std::vector<std::string> files(const std::string& beginning) const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(store.folder()))
      if (entry.path().filename().string().starts_with(beginning)) found.push_back(entry.path().filename().string());
    std::sort(found.begin(), found.end());
    return found;
  }
  void write(const std::string& file, const std::string& contents) const {
    REQUIRE(base::replace_file(store.folder() / file, contents, 0600));
  }
  // key.pem.next as a rollover leaves it; gives the public key.
  [[nodiscard]] std::string write_next() const {
    auto key = taken(acme::PrivateKey::generate(kP256));
    write("key.pem.next", taken(key.to_pem()));
    return key.public_key();
  }
  // The account works, with the key that the CA knows, and no request is needed to see that.
  void check_whole() const {
    acme::Session fresh = session();
    std::size_t before = ca.server().requests().size();
    REQUIRE(store.use_existing(fresh));
    REQUIRE(ca.server().requests().size() == before);
    REQUIRE(fresh.key().public_key() == ca.public_key);
    REQUIRE(fresh.account_url() == ca.url("/me"));
    REQUIRE(acme::fetch_account(fresh));
    REQUIRE_FALSE(has("key.pem.next"));
  }
};

}  // namespace countersign::tests
