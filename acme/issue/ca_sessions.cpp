#include "acme/issue/ca_sessions.hpp"

#include <system_error>
#include <utility>

#include "acme/protocol/directory.hpp"
#include "acme/state/external_account.hpp"
#include "base/log.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::chrono::seconds kNoSecondTry{60};

Result<Session> open_session(const std::string& url, const std::string& ca_bundle, std::size_t nonces) {
  HttpOptions options;
  options.ca_bundle = ca_bundle;
  auto session = Session::open(url, options);
  if (session && nonces > 0) session->prefetch_nonces(nonces);
  return session;
}

}  // namespace

CaSessions::CaSessions(const conf::Config& config) : acme_directory_(config.state_dir / "acme"), acme_(config.acme) {}

CaSessions::Ca& CaSessions::find(const std::string& directory_url) {
  std::lock_guard lock(mutex_);
  auto& ca = cas_[directory_url];
  if (!ca) ca = std::make_unique<Ca>();
  return *ca;
}

void CaSessions::Failure::note(const base::Error& error) {
  if (error.code == ErrorCode::Interrupted) return;
  error_ = error;
  at_ = std::chrono::steady_clock::now();
}

std::optional<base::Error> CaSessions::Failure::recent() const {
  if (!error_ || std::chrono::steady_clock::now() - at_ >= kNoSecondTry) return std::nullopt;
  return error_;
}

void CaSessions::begin(const std::string& directory_url, std::size_t nonces) {
  Ca& ca = find(directory_url);
  std::lock_guard lock(ca.mutex);
  if (ca.session || ca.opening.valid() || ca.no_directory.recent()) return;
  try {
    ca.opening = std::async(std::launch::async, open_session, directory_url, acme_.ca_bundle, nonces);
  } catch (const std::system_error&) {
    // No thread to be had: who asks for the directory fetches it.
  }
}

Result<void> CaSessions::open(Ca& ca, const std::string& directory_url) const {
  if (ca.session) return {};
  if (auto known = ca.no_directory.recent()) return fail(*std::move(known));
  auto session = ca.opening.valid() ? ca.opening.get() : open_session(directory_url, acme_.ca_bundle, 0);
  if (!session) {
    ca.no_directory.note(session.error());
    return fail(session.error());
  }
  ca.session = std::make_shared<Session>(*std::move(session));
  return {};
}

Result<std::shared_ptr<Session>> CaSessions::directory(const std::string& directory_url) {
  Ca& ca = find(directory_url);
  std::lock_guard lock(ca.mutex);
  if (auto opened = open(ca, directory_url); !opened) return fail(opened.error());
  return ca.session;
}

AccountStore::Consent CaSessions::consent(const std::string& url) const {
  AccountStore::Consent consent;
  consent.contact = acme_.contact;
  consent.terms = acme_.agree_tos ? Terms::Agreed : Terms::NotAgreed;
  // The binding is one CA's business, and no other's.
  if (directory_url(acme_.ca).value_or("") == url)
    consent.binding = binding_of(acme_.eab, [](const std::string& text) { base::log::warn(text); });
  return consent;
}

Result<std::string> CaSessions::use_account(Ca& ca, const std::string& directory_url) const {
  auto accounts = AccountStore::open(acme_directory_, directory_url);
  if (!accounts) return fail(accounts.error());
  auto kept = accounts->use_for_orders();
  if (!kept) return fail(kept.error());
  ca.account_kept = *std::move(kept);
  return accounts->use(*ca.session, consent(directory_url));
}

Result<CaSessions::Access> CaSessions::account(const std::string& directory_url) {
  Ca& ca = find(directory_url);
  std::lock_guard lock(ca.mutex);
  if (auto opened = open(ca, directory_url); !opened) return fail(opened.error());
  if (ca.has_account) return Access{ca.session, ""};
  if (auto known = ca.no_account.recent()) return fail(*std::move(known));
  auto line = use_account(ca, directory_url);
  if (!line) {
    ca.no_account.note(line.error());
    return fail(line.error());
  }
  ca.has_account = true;
  return Access{ca.session, *std::move(line)};
}

Result<CaSessions::Access> CaSessions::account_again(const std::string& directory_url,
                                                     const std::shared_ptr<Session>& stale) {
  Ca& ca = find(directory_url);
  std::lock_guard lock(ca.mutex);
  // Another certificate's run was here first.
  if (ca.session != stale) return Access{ca.session, ""};
  if (auto known = ca.no_account_again.recent()) return fail(*std::move(known));
  auto access = replace_account(ca, directory_url);
  if (!access) ca.no_account_again.note(access.error());
  return access;
}

Result<CaSessions::Access> CaSessions::replace_account(Ca& ca, const std::string& directory_url) const {
  // Others may be signing with the stale one just now, so it stays as it is.
  auto fresh = open_session(directory_url, acme_.ca_bundle, 0);
  if (!fresh) return fail(fresh.error());
  auto session = std::make_shared<Session>(*std::move(fresh));
  auto pem = ca.session->key().to_pem();
  auto key = pem ? PrivateKey::from_pem(*pem) : Result<PrivateKey>(fail(pem.error()));
  if (!key) return fail(key.error());
  session->set_key(*std::move(key));
  auto accounts = AccountStore::open(acme_directory_, directory_url);
  if (!accounts) return fail(accounts.error());
  auto line = accounts->make_again(*session, consent(directory_url));
  if (!line) return fail(line.error());
  ca.session = std::move(session);
  return Access{ca.session, *std::move(line)};
}

}  // namespace countersign::acme
