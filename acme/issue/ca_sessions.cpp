#include "acme/issue/ca_sessions.hpp"

#include <utility>

#include "acme/protocol/directory.hpp"
#include "acme/state/external_account.hpp"
#include "base/log.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

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

void CaSessions::begin(const std::string& directory_url, std::size_t nonces) {
  Ca& ca = find(directory_url);
  std::lock_guard lock(ca.mutex);
  if (ca.session || ca.opening.valid()) return;
  ca.opening = std::async(std::launch::async, open_session, directory_url, acme_.ca_bundle, nonces);
}

// With the CA's lock held.
Result<void> CaSessions::open(Ca& ca, const std::string& directory_url) const {
  if (ca.session) return {};
  auto session = ca.opening.valid() ? ca.opening.get() : open_session(directory_url, acme_.ca_bundle, 0);
  if (!session) return fail(session.error());  // the next one who asks tries again
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

Result<CaSessions::Access> CaSessions::account(const std::string& directory_url) {
  Ca& ca = find(directory_url);
  std::lock_guard lock(ca.mutex);
  if (auto opened = open(ca, directory_url); !opened) return fail(opened.error());
  if (ca.has_account) return Access{ca.session, ""};
  auto accounts = AccountStore::open(acme_directory_, directory_url);
  if (!accounts) return fail(accounts.error());
  auto line = accounts->use(*ca.session, consent(directory_url));
  if (!line) return fail(line.error());
  ca.has_account = true;
  return Access{ca.session, *std::move(line)};
}

Result<CaSessions::Access> CaSessions::account_again(const std::string& directory_url,
                                                     const std::shared_ptr<Session>& stale) {
  Ca& ca = find(directory_url);
  std::lock_guard lock(ca.mutex);
  // Another certificate's run was here first.
  if (ca.session != stale) return Access{ca.session, ""};
  // Others may be signing with the stale one just now, so it stays as it is.
  auto fresh = open_session(directory_url, acme_.ca_bundle, 0);
  if (!fresh) return fail(fresh.error());
  auto session = std::make_shared<Session>(*std::move(fresh));
  auto pem = stale->key().to_pem();
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
