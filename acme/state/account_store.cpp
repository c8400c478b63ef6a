#include "acme/state/account_store.hpp"

#include "acme/state/private_folder.hpp"
#include "acme/transport/url.hpp"
#include "base/clock.hpp"
#include "base/files.hpp"

namespace countersign::acme {
namespace {

namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
using base::Result;

// One folder's name: letters, digits, "-", "_" and inner dots stay; all else is percent-encoded, so that no URL can
// name a folder outside, and no two share one.
std::string folder_name(std::string_view text) {
  std::string out;
  for (char c : text) {
    bool stays = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                 (c == '.' && !out.empty());
    out += stays ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

// What newAccount is asked for.
Result<NewAccount> wanted_account(const Session& session, const AccountStore::Consent& consent) {
  NewAccount wanted{consent.contact, consent.terms, {}};
  bool bind = consent.bind == AccountStore::Bind::Always || session.directory().external_account_required;
  if (!bind || !consent.binding) return wanted;
  auto binding = consent.binding();
  if (!binding) return fail(binding.error());
  wanted.binding = *std::move(binding);
  return wanted;
}

// new_account() says no to such ones without asking the CA (RFC 8555 §7.3.3, §7.3.4).
bool is_hopeless(const Session& session, const NewAccount& wanted) {
  const Directory& directory = session.directory();
  return (directory.external_account_required && !wanted.binding) ||
         (!directory.terms_of_service.empty() && wanted.terms == Terms::NotAgreed);
}

tl::unexpected<base::Error> no_account(const fs::path& folder, const std::string& directory) {
  return fail(ErrorCode::NotFound,
              "there is no account at {} yet (none in {}); `countersign account register` makes one, `countersign "
              "account import` takes one over",
              directory, folder.string());
}

}  // namespace

Result<AccountStore> AccountStore::open(const fs::path& acme_directory, const std::string& directory_url) {
  auto url = Url::parse(directory_url);
  if (!url) return fail(url.error());
  if (auto checked = check_private_folder(acme_directory); !checked) return fail(checked.error());
  fs::path folder = acme_directory / "accounts" / fmt::format("{}_{}", folder_name(url->host()), url->port());
  std::string_view rest = url->path();
  while (!rest.empty()) {
    std::size_t slash = rest.find('/');
    std::string_view segment = rest.substr(0, slash);
    if (!segment.empty()) folder /= folder_name(segment);
    rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  }
  return AccountStore(std::move(folder));
}

bool AccountStore::has(const std::string& file) const {
  std::error_code ignored;
  return fs::exists(folder_ / file, ignored);
}

Result<StoredAccount> AccountStore::stored() const {
  fs::path file = folder_ / "account.json";
  auto text = base::read_file(file);
  if (!text) return fail(text.error());
  auto account = parse_account(*text, fmt::format("\"{}\"", file.string()));
  if (!account)
    return fail(ErrorCode::Invalid, "{}; remove the file: the account is found again by its key",
                account.error().message);
  return account;
}

Result<PrivateKey> AccountStore::key() const {
  fs::path file = folder_ / "key.pem";
  auto pem = base::read_file(file);
  if (!pem) return fail(pem.error());
  auto key = PrivateKey::from_pem(*pem);
  if (!key) return fail(ErrorCode::Invalid, "the account key \"{}\": {}", file.string(), key.error().message);
  return key;
}

Result<bool> AccountStore::use_stored(Session& session) const {
  auto account = stored();
  if (!account) return account.error().code == ErrorCode::NotFound ? Result<bool>(false) : fail(account.error());
  auto stored_key = key();
  if (!stored_key)
    return stored_key.error().code == ErrorCode::NotFound ? Result<bool>(false) : fail(stored_key.error());
  if (has("key.pem.next") || account->status == kDeactivating || account->status == kDeactivated) return false;
  auto thumbprint = stored_key->thumbprint();
  if (!thumbprint) return fail(thumbprint.error());
  if (!account->thumbprint.empty() && account->thumbprint != *thumbprint) return false;
  session.set_key(*std::move(stored_key));
  session.set_account(std::move(account->url));
  return true;
}

Result<void> AccountStore::use_there(Session& session) const {
  auto known = use_stored(session);
  if (!known) return fail(known.error());
  if (*known) return {};
  auto stored_key = key();
  if (!stored_key && stored_key.error().code == ErrorCode::NotFound)
    return no_account(folder_, session.directory().url);
  if (!stored_key) return fail(stored_key.error());
  session.set_key(*std::move(stored_key));
  auto account = find_account(session);
  if (!account && account.error().code == ErrorCode::NotFound) return no_account(folder_, session.directory().url);
  if (!account) return fail(account.error());
  return save(session, *account);
}

Result<void> AccountStore::make_key(Session& session, conf::KeyType type) const {
  auto made = PrivateKey::generate(type);
  if (!made) return fail(made.error());
  auto text = made->to_pem();
  if (!text) return fail(text.error());
  // replace_file(), so that a key is never seen half written; the caller holds the lock, so none is replaced.
  if (auto written = base::replace_file(folder_ / "key.pem", *text, 0600); !written) return written;
  session.set_key(*std::move(made));
  return {};
}

Result<void> AccountStore::write(StoredAccount account) const {
  account.written = base::format_rfc3339(base::SystemClock().wall());
  return base::replace_file(folder_ / "account.json", account_document(account), 0600);
}

// What is known of the same account and the CA does not tell stays.
Result<void> AccountStore::save(const Session& session, const Account& account) const {
  auto before = stored();
  StoredAccount now = before && before->url == account.url ? *std::move(before) : StoredAccount{};
  auto thumbprint = session.key().thumbprint();
  if (!thumbprint) return fail(thumbprint.error());
  now.url = account.url;
  now.directory = session.directory().url;
  now.status = account.status;
  now.contact = account.contact;
  now.orders = account.orders;
  now.thumbprint = *std::move(thumbprint);
  return write(std::move(now));
}

Result<Account> AccountStore::make_account(Session& session, const NewAccount& wanted) const {
  auto account = new_account(session, wanted);
  if (!account) return account;
  auto thumbprint = session.key().thumbprint();
  if (!thumbprint) return fail(thumbprint.error());
  StoredAccount made;
  made.url = account->url;
  made.directory = session.directory().url;
  made.status = account->status;
  made.contact = account->contact;
  made.orders = account->orders;
  made.thumbprint = *std::move(thumbprint);
  if (wanted.binding) made.eab_kid = wanted.binding->kid;
  if (wanted.terms == Terms::Agreed && !session.directory().terms_of_service.empty()) {
    made.terms = session.directory().terms_of_service;
    made.terms_agreed = base::format_rfc3339(base::SystemClock().wall());
  }
  if (auto written = write(std::move(made)); !written) return fail(written.error());
  return account;
}

Result<AccountStore::Used> AccountStore::obtain(Session& session, const Consent& consent) const {
  auto known = use_stored(session);
  if (!known) return fail(known.error());
  if (*known) return Used{session.account_url(), How::Stored};
  if (auto made = base::make_directories(folder_, 0700); !made) return fail(made.error());
  auto lock = RunLock::await(folder_ / "lock");
  if (!lock) return fail(lock.error());
  if (auto settled = settle(session); !settled) return fail(settled.error());
  // Another run may have made it meanwhile.
  known = use_stored(session);
  if (!known) return fail(known.error());
  if (*known) return Used{session.account_url(), How::Stored};
  if (has("key.pem")) {
    auto there = use_there(session);
    if (there) return Used{session.account_url(), How::Found};
    if (there.error().code != ErrorCode::NotFound) return fail(there.error());
  }
  auto wanted = wanted_account(session, consent);
  if (!wanted) return fail(wanted.error());
  if (!has("key.pem")) {
    // Asked here too, so that no key is made for an account that cannot be.
    if (is_hopeless(session, *wanted)) return fail(new_account(session, *wanted).error());
    if (auto made = make_key(session, consent.key_type); !made) return fail(made.error());
  }
  auto account = make_account(session, *wanted);
  if (!account) return fail(account.error());
  return Used{account->url, How::New};
}

Result<std::string> AccountStore::use(Session& session, const Consent& consent) const {
  auto used = obtain(session, consent);
  if (!used) return fail(used.error());
  switch (used->how) {
    case How::Stored:
      break;
    case How::Found:
      return used->url + " (found by its key)";
    case How::New:
      return used->url + " (new)";
  }
  return used->url;
}

Result<std::string> AccountStore::make_again(Session& session, const Consent& consent) const {
  auto lock = RunLock::await(folder_ / "lock");
  if (!lock) return fail(lock.error());
  auto wanted = wanted_account(session, consent);
  if (!wanted) return fail(wanted.error());
  auto account = make_account(session, *wanted);
  if (!account) return fail(account.error());
  return account->url + " (made again)";
}

Result<void> AccountStore::use_existing(Session& session) const {
  auto known = use_stored(session);
  if (!known) return fail(known.error());
  if (*known) return {};
  if (!has("key.pem")) return no_account(folder_, session.directory().url);
  auto lock = RunLock::await(folder_ / "lock");
  if (!lock) return fail(lock.error());
  if (auto settled = settle(session); !settled) return settled;
  return use_there(session);
}

Result<void> AccountStore::note(const Session& session, const Account& account) const {
  auto lock = RunLock::await(folder_ / "lock");
  if (!lock) return fail(lock.error());
  return save(session, account);
}

}  // namespace countersign::acme
