// What happens to an account after it was made: its key changes, it ends, another takes its place.
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "acme/protocol/problem.hpp"
#include "acme/state/account_store.hpp"
#include "base/clock.hpp"
#include "base/files.hpp"

namespace countersign::acme {
namespace {

namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr int kMostOfOneSecond = 100;  // files put aside
constexpr const char* kOrdersLock = "orders.lock";

// 20261122T100000Z
std::string date_text() {
  std::string text = base::format_rfc3339(base::SystemClock().wall());
  text.erase(std::remove_if(text.begin(), text.end(), [](char c) { return c == ':' || c == '-'; }), text.end());
  return text;
}

Result<PrivateKey> read_key(const fs::path& file) {
  auto pem = base::read_file(file);
  if (!pem) return fail(pem.error());
  auto key = PrivateKey::from_pem(*pem);
  if (!key) return fail(ErrorCode::Invalid, "the account key \"{}\": {}", file.string(), key.error().message);
  return key;
}

}  // namespace

Result<void> AccountStore::keep_copy(const std::string& file, const std::string& why) const {
  auto contents = base::read_file(folder_ / file);
  if (!contents) return contents.error().code == ErrorCode::NotFound ? Result<void>() : fail(contents.error());
  std::string name = fmt::format("{}.{}{}", file, why, date_text());
  auto kept = base::create_file(folder_ / name, *contents, 0600);
  for (int i = 2; !kept && kept.error().code == ErrorCode::Exists && i <= kMostOfOneSecond; ++i)
    kept = base::create_file(folder_ / fmt::format("{}-{}", name, i), *contents, 0600);
  if (!kept) return kept;
  return base::sync_directory(folder_);
}

Result<void> AccountStore::put_aside(const std::string& file, const std::string& why) const {
  if (auto kept = keep_copy(file, why); !kept) return kept;
  if (::unlink((folder_ / file).c_str()) != 0 && errno != ENOENT) {
    int number = errno;
    return fail(base::system_code(number), "cannot put \"{}\" aside: {}", (folder_ / file).string(),
                base::system_reason(number));
  }
  return base::sync_directory(folder_);
}

Result<RunLock> AccountStore::use_for_orders() const {
  if (auto made = base::make_directories(folder_, 0700); !made) return fail(made.error());
  return RunLock::share(folder_ / kOrdersLock);
}

Result<RunLock> AccountStore::keep_orders_out() const {
  auto lock = RunLock::take(folder_ / kOrdersLock, "");
  if (!lock && lock.error().code == ErrorCode::Exists)
    return fail(ErrorCode::Unavailable,
                "certificates are being issued with this account ({}), and their challenges depend on its key; try "
                "again later",
                folder_.string());
  return lock;
}

// Whether the CA takes the key for the stored account, or as any account's where no URL is stored. Error: the CA did
// not say.
Result<AccountStore::Answer> AccountStore::ask(Session& session, const fs::path& key_file) const {
  auto key = read_key(key_file);
  if (!key) return fail(key.error());
  session.set_key(*std::move(key));
  auto known = stored();
  if (!known && known.error().code != ErrorCode::NotFound) return fail(known.error());
  if (known) session.set_account(known->url);
  auto account = known ? fetch_account(session) : find_account(session);
  if (account) return Answer::Known;
  if (account.error().code == ErrorCode::NotFound) return Answer::Unknown;
  if (account.error().code == ErrorCode::Refused) return Answer::Refused;
  return fail(account.error());
}

Result<void> AccountStore::adopt_next(Session& session) const {
  if (auto kept = keep_copy("key.pem", ""); !kept) return kept;
  fs::path next = folder_ / "key.pem.next";
  if (::rename(next.c_str(), (folder_ / "key.pem").c_str()) != 0) {
    int number = errno;
    return fail(base::system_code(number), "cannot put \"{}\" in force: {}", next.string(),
                base::system_reason(number));
  }
  if (auto synced = base::sync_directory(folder_); !synced) return synced;
  // Killed before this: the thumbprint does not match, and the account is found again by its key.
  auto account = stored();
  if (!account) return account.error().code == ErrorCode::NotFound ? Result<void>() : fail(account.error());
  auto thumbprint = session.key().thumbprint();
  if (!thumbprint) return fail(thumbprint.error());
  account->thumbprint = *std::move(thumbprint);
  return write(*std::move(account));
}

// With key.pem.next there: the CA says which of the two keys it knows. The session signs with that one then.
Result<AccountStore::KeyInUse> AccountStore::settle_rollover(Session& session) const {
  auto next = ask(session, folder_ / "key.pem.next");
  if (!next) return fail(next.error());
  if (*next == Answer::Known) {
    if (auto adopted = adopt_next(session); !adopted) return fail(adopted.error());
    return KeyInUse::Next;
  }
  auto old = ask(session, folder_ / "key.pem");
  if (!old) return fail(old.error());
  // A CA that does not know the account at all says nothing about its key.
  if (*old == Answer::Refused)
    return fail(
        ErrorCode::Refused,
        "the CA {} takes neither the account's key nor the one that was to follow it; both are kept: key.pem and "
        "key.pem.next in {}; ask the CA about {}",
        session.directory().url, folder_.string(), session.account_url());
  // Not deleted: a request that was cut off may still reach the CA.
  if (auto aside = put_aside("key.pem.next", ""); !aside) return fail(aside.error());
  return KeyInUse::Old;
}

Result<void> AccountStore::settle_deactivation(Session& session) const {
  auto account = stored();
  if (!account || account->status != kDeactivating) return {};
  auto stored_key = key();
  if (!stored_key) return fail(stored_key.error());
  session.set_key(*std::move(stored_key));
  session.set_account(account->url);
  Problem problem;
  auto now = fetch_account(session, &problem);
  if (now && now->status != kDeactivated && now->status != "revoked") return save(session, *now);
  // RFC 8555 §7.3.6: a deactivated account may sign nothing any more.
  if (now || problem.is("accountDoesNotExist") || problem.is("unauthorized")) return retire_files();
  if (now.error().code != ErrorCode::Refused) return fail(now.error());
  // Any other no (userActionRequired, a firewall's page) is one to the request: the account may be as good as before.
  account->status.clear();
  if (auto written = write(*std::move(account)); !written) return written;
  return fail(now.error());
}

Result<void> AccountStore::settle(Session& session) const {
  // A broken file is told of by whoever needs it.
  auto account = stored();
  if (account && (account->status == kDeactivated || (account->status == kDeactivating && !has("key.pem"))))
    return retire_files();
  if (has("key.pem.next") && has("key.pem")) {
    if (auto settled = settle_rollover(session); !settled)
      return fail(settled.error().code, "an interrupted change of the account's key cannot be ended: {}",
                  settled.error().message);
  }
  return settle_deactivation(session);
}

Result<void> AccountStore::roll_over(Session& session, conf::KeyType type) const {
  if (!has("key.pem")) {
    if (auto there = use_existing(session); !there) return there;  // says that there is none
  }
  auto lock = RunLock::await(folder_ / "lock");
  if (!lock) return fail(lock.error());
  auto alone = keep_orders_out();
  if (!alone) return fail(alone.error());
  if (auto settled = settle(session); !settled) return settled;
  if (auto there = use_there(session); !there) return there;
  auto next = PrivateKey::generate(type);
  if (!next) return fail(next.error());
  if (session.directory().key_change.empty()) return change_key(session, *next);  // says so, and asks nobody
  // Of an account that may not sign any more neither key would be known afterwards.
  if (auto account = fetch_account(session); !account) return fail(account.error());
  auto pem = next->to_pem();
  if (!pem) return fail(pem.error());
  if (auto written = base::replace_file(folder_ / "key.pem.next", *pem, 0600); !written) return written;
  auto asked = change_key(session, *next);
  // Also after an error: the CA may have taken the key, and only its answer got lost.
  auto settled = settle_rollover(session);
  if (!settled)
    return fail(settled.error().code,
                "{}; whether the CA took the new key is not known: both are kept, and the next run with this account "
                "asks",
                asked ? settled.error().message : asked.error().message);
  if (*settled == KeyInUse::Next) return {};
  if (!asked) return asked;
  return fail(ErrorCode::Protocol,
              "the CA {} said yes to the account's new key, but still wants the old one; the old one stays in use",
              session.directory().url);
}

Result<std::string> AccountStore::import(Session& session, PrivateKey key) const {
  std::string public_key = key.public_key();
  auto pem = key.to_pem();
  if (!pem) return pem;
  session.set_key(std::move(key));
  // Before anything on the disk: a key that the CA does not know leaves no trace.
  auto account = find_account(session);
  if (!account && account.error().code == ErrorCode::NotFound)
    return fail(ErrorCode::NotFound,
                "the CA {} knows no account of this key; if it is another CA's, name that one with --ca, and if the "
                "key was changed since, import the newer one",
                session.directory().url);
  if (!account) return fail(account.error());
  if (auto made = base::make_directories(folder_, 0700); !made) return fail(made.error());
  auto lock = RunLock::await(folder_ / "lock");
  if (!lock) return fail(lock.error());
  auto before = this->key();
  if (before && before->public_key() == public_key) {
    if (auto saved = save(session, *account); !saved) return fail(saved.error());
    return fail(ErrorCode::Exists, "{} is the account in use already", account->url);
  }
  auto alone = keep_orders_out();
  if (!alone) return fail(alone.error());
  // Killed between two of these: a key without an URL, whose account is found again by it.
  for (const char* file : {"key.pem.next", "account.json"})
    if (auto aside = put_aside(file, ""); !aside) return fail(aside.error());
  if (auto kept = keep_copy("key.pem", ""); !kept) return fail(kept.error());
  if (auto written = base::replace_file(folder_ / "key.pem", *pem, 0600); !written) return fail(written.error());
  if (auto saved = save(session, *account); !saved) return fail(saved.error());
  return account->url;
}

Result<void> AccountStore::deactivate(Session& session) const {
  if (!has("key.pem")) {
    if (auto there = use_existing(session); !there) return there;  // says that there is none
  }
  auto lock = RunLock::await(folder_ / "lock");
  if (!lock) return fail(lock.error());
  auto alone = keep_orders_out();
  if (!alone) return fail(alone.error());
  if (auto settled = settle(session); !settled) return settled;
  if (!has("key.pem")) return {};  // an interrupted deactivation was ended just now
  if (auto there = use_there(session); !there) return there;
  auto account = stored();
  if (!account) return fail(account.error());
  account->status = kDeactivating;
  if (auto written = write(*account); !written) return written;
  auto done = deactivate_account(session);
  if (done) return retire_files();
  // It may be done, and only the answer was lost; else the mark goes again.
  if (auto settled = settle_deactivation(session); settled && !has("key.pem")) return {};
  return fail(done.error());
}

Result<void> AccountStore::retire_files() const {
  // Noted first, so that settle() ends it wherever it is killed: before it looks at a key.pem.next, and before a new
  // key is made.
  auto account = stored();
  if (account && account->status != kDeactivated) {
    account->status = kDeactivated;
    if (auto written = write(*std::move(account)); !written) return written;
  }
  // The note last: a key without it would be looked for at the CA, and a next key without it be taken for a new one's.
  for (const char* file : {"key.pem.next", "key.pem", "account.json"})
    if (auto aside = put_aside(file, "deactivated-"); !aside) return aside;
  return {};
}

Result<void> AccountStore::retire() const {
  auto lock = RunLock::await(folder_ / "lock");
  if (!lock) return fail(lock.error());
  return retire_files();
}

}  // namespace countersign::acme
