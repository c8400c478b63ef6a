// The CAs of one run of the program: one directory, one account, one set of connections and nonces each, however many
// certificates are issued. Thread: any.
#pragma once

#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "acme/protocol/session.hpp"
#include "acme/state/account_store.hpp"
#include "base/result.hpp"
#include "conf/config.hpp"

namespace countersign::acme {

class CaSessions {
 public:
  explicit CaSessions(const conf::Config& config);

  struct Access {
    std::shared_ptr<Session> session;
    std::string account;  // one line for a person; "" when it was said before
  };

  // Begins to fetch the directory, and `nonces` nonces, without waiting.
  void begin(const std::string& directory_url, std::size_t nonces);
  // The CA's directory, without an account. Error: as Session::open().
  [[nodiscard]] base::Result<std::shared_ptr<Session>> directory(const std::string& directory_url);
  // ... signing as the stored account, which is made where there is none. Error: as AccountStore::use().
  [[nodiscard]] base::Result<Access> account(const std::string& directory_url);
  // The CA does not know the account of `stale` any more: a new one with the same key.
  [[nodiscard]] base::Result<Access> account_again(const std::string& directory_url,
                                                   const std::shared_ptr<Session>& stale);

 private:
  struct Ca {
    std::mutex mutex;  // one thread opens, the others wait for it
    std::future<base::Result<Session>> opening;
    std::shared_ptr<Session> session;
    bool has_account = false;
  };
  [[nodiscard]] Ca& find(const std::string& directory_url);
  [[nodiscard]] base::Result<void> open(Ca& ca, const std::string& directory_url) const;
  [[nodiscard]] AccountStore::Consent consent(const std::string& url) const;

  std::filesystem::path acme_directory_;
  conf::Acme acme_;
  std::mutex mutex_;  // of the map
  std::map<std::string, std::unique_ptr<Ca>> cas_;
};

}  // namespace countersign::acme
