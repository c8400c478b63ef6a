#include "acme/issue/account_store.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "acme/issue/run_lock.hpp"
#include "acme/protocol/json.hpp"
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

}  // namespace

Result<AccountStore> AccountStore::open(const fs::path& acme_directory, const std::string& directory_url) {
  auto url = Url::parse(directory_url);
  if (!url) return fail(url.error());
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

// True when key and account URL are both there.
Result<bool> AccountStore::use_stored(Session& session) const {
  auto text = base::read_file(folder_ / "account.json");
  if (!text) return text.error().code == ErrorCode::NotFound ? Result<bool>(false) : fail(text.error());
  auto pem = base::read_file(folder_ / "key.pem");
  if (!pem) return pem.error().code == ErrorCode::NotFound ? Result<bool>(false) : fail(pem.error());
  auto document = JsonDocument::parse(*text, fmt::format("\"{}\"", (folder_ / "account.json").string()));
  std::string url = document ? document->root().text("url") : std::string();
  auto checked = document ? document->check() : Result<void>(fail(document.error()));
  if (!checked)
    return fail(ErrorCode::Invalid, "{}; remove the file: the account is found again by its key",
                checked.error().message);
  if (auto key = load_or_make_key(session); !key) return fail(key.error());
  session.set_account(std::move(url));
  return true;
}

Result<void> AccountStore::load_or_make_key(Session& session) const {
  fs::path file = folder_ / "key.pem";
  auto pem = base::read_file(file);
  if (pem) {
    auto key = PrivateKey::from_pem(*pem);
    if (!key) return fail(ErrorCode::Invalid, "the account key \"{}\": {}", file.string(), key.error().message);
    session.set_key(*std::move(key));
    return {};
  }
  if (pem.error().code != ErrorCode::NotFound) return fail(pem.error());
  // RFC 8555 §6.2 makes every server take ES256.
  auto key = PrivateKey::generate(conf::KeyType::P256);
  if (!key) return fail(key.error());
  auto text = key->to_pem();
  if (!text) return fail(text.error());
  // replace_file(), so that a key is never seen half written; the caller holds the lock, so none is replaced.
  if (auto written = base::replace_file(file, *text, 0600); !written) return written;
  session.set_key(*std::move(key));
  return {};
}

Result<void> AccountStore::save(const Session& session, const Account& account, const Consent& consent) const {
  boost::json::object fields;
  fields["url"] = account.url;
  fields["directory"] = session.directory().url;
  fields["contact"] = boost::json::array(consent.contact.begin(), consent.contact.end());
  if (consent.terms == Terms::Agreed) fields["terms_of_service_agreed"] = session.directory().terms_of_service;
  fields["written"] = base::format_rfc3339(base::SystemClock().wall());
  return base::replace_file(folder_ / "account.json", boost::json::serialize(fields) + "\n", 0600);
}

Result<std::string> AccountStore::use(Session& session, const Consent& consent) {
  auto stored = use_stored(session);
  if (!stored) return fail(stored.error());
  if (*stored) return session.account_url();
  if (auto made = base::make_directories(folder_, 0700); !made) return fail(made.error());
  auto lock = RunLock::await(folder_ / "lock");
  if (!lock) return fail(lock.error());
  // Another run may have made it meanwhile.
  stored = use_stored(session);
  if (!stored) return fail(stored.error());
  if (*stored) return session.account_url();
  std::error_code ignored;
  bool had_key = fs::exists(folder_ / "key.pem", ignored);
  // RFC 8555 §7.3.3: asked here too, so that no key is made for an account that cannot be.
  const std::string& terms = session.directory().terms_of_service;
  if (!had_key && !terms.empty() && consent.terms == Terms::NotAgreed)
    return new_account(session, {}, consent.terms).map([](const Account&) { return std::string(); });
  if (auto key = load_or_make_key(session); !key) return fail(key.error());
  Result<Account> account = fail(ErrorCode::NotFound, "no account yet");
  if (had_key) account = find_account(session);
  bool found = account.has_value();
  if (!found && account.error().code == ErrorCode::NotFound)
    account = new_account(session, consent.contact, consent.terms);
  if (!account) return fail(account.error());
  if (auto saved = save(session, *account, consent); !saved) return fail(saved.error());
  return account->url + (found ? " (found by its key)" : " (new)");
}

Result<std::string> AccountStore::make_again(Session& session, const Consent& consent) {
  auto lock = RunLock::await(folder_ / "lock");
  if (!lock) return fail(lock.error());
  auto account = new_account(session, consent.contact, consent.terms);
  if (!account) return fail(account.error());
  if (auto saved = save(session, *account, consent); !saved) return fail(saved.error());
  return account->url + " (made again)";
}

}  // namespace countersign::acme
