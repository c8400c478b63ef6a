// The CAs of one run of the program: one directory, one account, one set of connections and nonces each, however many
// certificates are issued. Thread: any.
#pragma once

#include <chrono>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
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

  // What failed is not tried again for a minute: the same error is given back, so that a thousand certificates do not
  // wait for a CA that is not there, nor ask it a thousand times for an account that it refuses.

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
  // Why something did not come to be, as long as it is not worth another try.
  class Failure {
   public:
    // An interruption says nothing of the CA.
    void note(const base::Error& error);
    [[nodiscard]] std::optional<base::Error> recent() const;

   private:
    std::optional<base::Error> error_;
    std::chrono::steady_clock::time_point at_;
  };
  struct Ca {
    std::mutex mutex;  // one thread opens, the others wait for it
    std::future<base::Result<Session>> opening;
    std::shared_ptr<Session> session;
    bool has_account = false;
    std::optional<RunLock> account_kept;  // its key does not change before the run ends
    Failure no_directory, no_account, no_account_again;
  };
  [[nodiscard]] Ca& find(const std::string& directory_url);
  // What follows: with the CA's lock held.
  [[nodiscard]] base::Result<void> open(Ca& ca, const std::string& directory_url) const;
  [[nodiscard]] base::Result<std::string> use_account(Ca& ca, const std::string& directory_url) const;
  [[nodiscard]] base::Result<Access> replace_account(Ca& ca, const std::string& directory_url) const;
  [[nodiscard]] AccountStore::Consent consent(const std::string& url) const;

  std::filesystem::path acme_directory_;
  conf::Acme acme_;
  std::mutex mutex_;  // of the map
  std::map<std::string, std::unique_ptr<Ca>> cas_;
};

}  // namespace countersign::acme
