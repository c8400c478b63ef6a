// ACME accounts on the disk: STATE/acme/accounts/HOST_PORT/PATH/{key.pem,account.json}, one for each directory URL.
// No key that a CA may know is ever deleted: what goes out of use stays beside it as key.pem.DATE.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "acme/protocol/account.hpp"
#include "acme/protocol/session.hpp"
#include "acme/state/account_file.hpp"
#include "acme/state/run_lock.hpp"
#include "base/result.hpp"

namespace countersign::acme {

class AccountStore {
 public:
  // `acme_directory`: STATE/acme. Error: Invalid, for what is no URL; Denied, where others can write.
  [[nodiscard]] static base::Result<AccountStore> open(const std::filesystem::path& acme_directory,
                                                       const std::string& directory_url);

  // Acme.eab is one CA's: a CA that does not ask for a binding is told of none, unless a person wants it.
  enum class Bind { WhereRequired, Always };
  // What a new account is made with; `binding` is only asked for when one is made.
  struct Consent {
    std::vector<std::string> contact;
    Terms terms = Terms::NotAgreed;
    std::function<base::Result<ExternalAccountBinding>()> binding;  // empty: there is none
    conf::KeyType key_type = conf::KeyType::P256;                   // RFC 8555 §6.2 makes every server take ES256
    Bind bind = Bind::WhereRequired;
  };
  enum class How { Stored, Found, New };
  struct Used {
    std::string url;
    How how = How::Stored;
  };
  // Makes the session sign as the stored account, which is made first where there is none. The key is on the disk
  // before the CA hears of it; an account whose URL got lost is found again by its key. An interrupted rollover or
  // deactivation is brought to its end. Error: Invalid (a broken file), Denied, Io, and what the CA says.
  [[nodiscard]] base::Result<Used> obtain(Session& session, const Consent& consent) const;
  // obtain(), told in one line for a person.
  [[nodiscard]] base::Result<std::string> use(Session& session, const Consent& consent) const;
  // The CA does not know the account any more: makes a new one with the same key.
  [[nodiscard]] base::Result<std::string> make_again(Session& session, const Consent& consent) const;

  // Taken before use() and held until the last order is done: another key, or another account, would have another
  // thumbprint than the values that are published (RFC 8555 §8.1). Any number of runs hold it at once; where
  // roll_over(), deactivate() or import() are under way it waits for them, and while it is held they fail with
  // Unavailable. Error: Interrupted, Denied, Io.
  [[nodiscard]] base::Result<RunLock> use_for_orders() const;

  // The stored account only. Error: NotFound, when there is none (says how to make one); else as obtain().
  [[nodiscard]] base::Result<void> use_existing(Session& session) const;
  // Puts `key` in the place of what is there after the CA knows it as an account's: what was there is kept beside it
  // (key.pem.DATE, account.json.DATE). Gives the account's URL. Error: NotFound (the CA knows no account of that key),
  // Exists (it is the stored one; the session signs as it), and what CA and disk say.
  [[nodiscard]] base::Result<std::string> import(Session& session, PrivateKey key) const;
  // RFC 8555 §7.3.5: a new key of that type. It is on the disk (key.pem.next) before the CA hears of it, and takes
  // key.pem's place only when the CA has confirmed it; a rollover that was interrupted is ended by the next call and by
  // obtain(), which ask the CA which of the two it knows. Error: Protocol, when the CA said yes and still wants the old
  // key (Pebble 2.10): the old one stays.
  [[nodiscard]] base::Result<void> roll_over(Session& session, conf::KeyType type) const;
  // RFC 8555 §7.3.6: deactivates the stored account at the CA, then retire()s it; a run that is killed between the two
  // is ended by the next call and by obtain(). It cannot be undone.
  [[nodiscard]] base::Result<void> deactivate(Session& session) const;
  // Puts the files aside (key.pem.deactivated-DATE, account.json.deactivated-DATE), so that the next obtain() makes a
  // new account. The folder stays: that of another directory URL may be in it.
  [[nodiscard]] base::Result<void> retire() const;
  // Writes what the CA said about the account.
  [[nodiscard]] base::Result<void> note(const Session& session, const Account& account) const;

  // What is on the disk, without asking anybody. Error: NotFound, Invalid, Denied, Io.
  [[nodiscard]] base::Result<StoredAccount> stored() const;
  [[nodiscard]] base::Result<PrivateKey> key() const;

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

 private:
  explicit AccountStore(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // All below but use_stored(): with the folder's lock held.
  enum class Answer { Known, Unknown, Refused };
  enum class KeyInUse { Old, Next };
  // True when key and URL are both there, belong together, and nothing is left to be ended.
  [[nodiscard]] base::Result<bool> use_stored(Session& session) const;
  // By the URL, else by the key. NotFound: no key, or the CA knows no account of it.
  [[nodiscard]] base::Result<void> use_there(Session& session) const;
  [[nodiscard]] base::Result<void> make_key(Session& session, conf::KeyType type) const;
  [[nodiscard]] base::Result<Account> make_account(Session& session, const NewAccount& wanted) const;
  [[nodiscard]] base::Result<void> settle(Session& session) const;
  [[nodiscard]] base::Result<void> settle_deactivation(Session& session) const;
  [[nodiscard]] base::Result<KeyInUse> settle_rollover(Session& session) const;
  [[nodiscard]] base::Result<Answer> ask(Session& session, const std::filesystem::path& key_file) const;
  [[nodiscard]] base::Result<void> adopt_next(Session& session) const;
  [[nodiscard]] base::Result<void> save(const Session& session, const Account& account) const;
  [[nodiscard]] base::Result<void> write(StoredAccount account) const;
  [[nodiscard]] base::Result<void> retire_files() const;
  // Error: Unavailable, while use_for_orders() is held anywhere.
  [[nodiscard]] base::Result<RunLock> keep_orders_out() const;
  // A copy of the file beside it, durable; nothing where there is no such file.
  [[nodiscard]] base::Result<void> keep_copy(const std::string& file, const std::string& why) const;
  [[nodiscard]] base::Result<void> put_aside(const std::string& file, const std::string& why) const;
  [[nodiscard]] bool has(const std::string& file) const;

  std::filesystem::path folder_;
};

}  // namespace countersign::acme
