#include <boost/json.hpp>

#include "acme/commands/ca.hpp"
#include "acme/state/certificate_names.hpp"
#include "acme/state/certificate_store.hpp"
#include "acme/state/revocation_mark.hpp"
#include "acme/state/run_lock.hpp"
#include "base/files.hpp"

namespace countersign::acme {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using base::ErrorCode;
using base::fail;
using base::Result;

// What is to be revoked, and what this machine knows of it.
struct Target {
  CertificateChain chain;
  std::string name;  // its CERT; "" when it is none of ours
  CertificateRecord record;
};

Result<Target> find_certificate(const fs::path& acme, const std::string& name) {
  if (auto good = check_cert_name(name); !good) return fail(ErrorCode::Usage, "{}", good.error().message);
  std::error_code ignored;
  if (!fs::exists(acme / "certificates", ignored))
    return fail(ErrorCode::NotFound, "no certificate was ever issued here (nothing in {}); --cert-file revokes others",
                acme.string());
  auto store = CertificateStore::open(acme);
  if (!store) return fail(store.error());
  auto record = store->load(name);
  if (!record) return fail(record.error());
  if (!*record)
    return fail(ErrorCode::NotFound, "there is no certificate \"{}\"; `countersign certificates` lists those that are",
                name);
  auto chain = store->live_chain(name);
  if (!chain)
    return fail(ErrorCode::NotFound, "the certificate \"{}\" is not issued, or {} cannot be read", name,
                store->live(name).string());
  return Target{*std::move(chain), name, **std::move(record)};
}

// Also finds out whether it is one of ours.
Result<Target> read_certificate(const fs::path& acme, const std::string& file) {
  auto pem = base::read_file(file);
  if (!pem) return fail(pem.error());
  auto chain = CertificateChain::parse(*pem, fmt::format("\"{}\"", file));
  if (!chain) return fail(ErrorCode::Invalid, "{}", chain.error().message);
  auto names = certificate_names(acme);
  for (const std::string& name : names.value_or(std::vector<std::string>())) {
    auto known = find_certificate(acme, name);
    if (known && known->chain.leaf_der() == chain->leaf_der()) return known;
  }
  return Target{*std::move(chain), "", {}};
}

Result<PrivateKey> certificate_key(const fs::path& acme, const RevokeCommand& command, const Target& target) {
  if (command.key_file.empty() && target.name.empty())
    return fail(ErrorCode::Usage, "the key of \"{}\" is not here; name it with --key-file", command.certificate_file);
  auto from_file = [&]() -> Result<PrivateKey> {
    auto pem = base::read_file(command.key_file);
    if (!pem) return fail(pem.error());
    auto key = PrivateKey::from_pem(*pem);
    if (!key) return fail(ErrorCode::Invalid, "\"{}\": {}", command.key_file, key.error().message);
    return key;
  };
  auto from_store = [&]() -> Result<PrivateKey> {
    auto store = CertificateStore::open(acme);
    if (!store) return fail(store.error());
    return store->read_key(target.name, target.record.archive);
  };
  auto key = command.key_file.empty() ? from_store() : from_file();
  if (key && !target.chain.is_for(key->public_key()))
    return fail(ErrorCode::Invalid, "the key {} is not the certificate's",
                command.key_file.empty() ? "in the store" : "\"" + command.key_file + "\"");
  return key;
}

// Makes the session sign, and says how.
Result<Post::Signer> choose_signer(const Context& context, const fs::path& acme, const RevokeCommand& command,
                                   const Target& target, Session& session) {
  if (command.with_certificate_key) {
    auto key = certificate_key(acme, command, target);
    if (!key) return fail(key.error());
    session.set_key(*std::move(key));
    return Post::Signer::BareKey;
  }
  auto accounts = open_accounts(context, session.directory().url);
  if (!accounts) return fail(accounts.error());
  auto used = accounts->use_existing(session);
  if (!used && used.error().code == ErrorCode::NotFound)
    return fail(ErrorCode::NotFound, "{}; or sign with the certificate's key: --with-certificate-key",
                used.error().message);
  if (!used) return fail(used.error());
  return Post::Signer::Account;
}

// With `reuse_key`, or a CSR of one's own, several certificates have the same key.
std::string others_of_key(const fs::path& acme, const Target& target) {
  std::string others;
  auto store = CertificateStore::open(acme);
  if (!store) return others;
  auto names = certificate_names(acme);
  for (const std::string& name : names.value_or(std::vector<std::string>())) {
    if (name == target.name || revocation_mark(store->live(name))) continue;
    auto other = find_certificate(acme, name);
    if (other && other->chain.has_key_of(target.chain)) others += (others.empty() ? "" : ", ") + name;
  }
  return others;
}

struct Done {
  Revoked revoked;
  std::string directory_url;
};

Result<Done> revoke(const Context& context, const RevokeCommand& command, const fs::path& acme, const Target& target) {
  bool stored = command.ca.empty() && !target.record.directory_url.empty();
  auto url = stored ? Result<std::string>(target.record.directory_url) : chosen_directory(context, command.ca);
  if (!url) return fail(url.error());
  auto session = open_session(context, *url);
  if (!session) return fail(session.error());
  auto signer = choose_signer(context, acme, command, target, *session);
  if (!signer) return fail(signer.error());
  auto revoked = revoke_certificate(*session, target.chain, command.reason, *signer);
  if (revoked) return Done{*revoked, *std::move(url)};
  const char* hint = *signer == Post::Signer::BareKey || revoked.error().code != ErrorCode::Refused
                         ? ""
                         : "; if another account or CA issued it, name the CA with --ca, or sign with the "
                           "certificate's key: --with-certificate-key";
  return fail(revoked.error().code, "{}{}", revoked.error().message, hint);
}

// CAs take a key that signs its own certificate's revocation as one that is not secret any more.
bool is_compromised(const RevokeCommand& command) {
  return command.with_certificate_key || command.reason == RevocationReason::KeyCompromise;
}

Result<void> mark(const fs::path& acme, const RevokeCommand& command, const Target& target) {
  auto store = CertificateStore::open(acme);
  if (!store) return fail(store.error());
  RevocationMark mark{command.reason, base::format_rfc3339(base::SystemClock().wall())};
  if (is_compromised(command)) mark.reason = RevocationReason::KeyCompromise;
  return mark_revoked(store->live(target.name), mark);
}

void tell(const Context& context, const RevokeCommand& command, const fs::path& acme, const Target& target,
          const Done& done) {
  const Terminal& terminal = context.terminal;
  std::string which = target.name.empty() ? command.certificate_file : target.name;
  bool now = done.revoked == Revoked::Now;
  terminal.note(terminal.shade(Shade::Bold, now ? "the certificate is revoked" : "the certificate was revoked before") +
                fmt::format(": {} (serial {}), by {}", which, target.chain.serial(), done.directory_url));
  std::string names;
  for (const std::string& name : target.chain.names()) names += " " + harmless(name);
  if (is_compromised(command))
    terminal.warning(fmt::format(
        "its key must not be used again, wherever it is; issue with a new one: countersign issue --force{}", names));
  if (std::string others = is_compromised(command) ? others_of_key(acme, target) : ""; !others.empty())
    terminal.warning(
        fmt::format("other certificates have the same key, and are still good: {}; `revoke` and `issue "
                    "--force` them, too",
                    others));
  if (!context.options.json) return;
  json::array list;
  for (const std::string& name : target.chain.names()) list.emplace_back(name);
  terminal.result(json::serialize(
      json::object{{"status", now ? "revoked" : "already_revoked"},
                   {"certificate", target.name.empty() ? json::value(nullptr) : json::value(target.name)},
                   {"serial", target.chain.serial()},
                   {"names", std::move(list)},
                   {"reason", command.reason ? json::value(reason_text(*command.reason)) : json::value(nullptr)},
                   {"ca", done.directory_url}}));
}

}  // namespace

ExitStatus run(const Context& context, const RevokeCommand& command) {
  auto failed = [&](const base::Error& error) { return fail_with(context.terminal, context.options, error); };
  fs::path acme = context.config.state_dir / "acme";
  auto target = command.certificate.empty() ? read_certificate(acme, command.certificate_file)
                                            : find_certificate(acme, command.certificate);
  if (!target) return failed(target.error());
  std::optional<RunLock> lock;
  if (!target->name.empty()) {
    auto store = CertificateStore::open(acme);
    if (!store) return failed(store.error());
    auto taken = RunLock::take(store->lock_file(target->name), fmt::format("the certificate \"{}\"", target->name));
    if (!taken) return failed(taken.error());
    lock = *std::move(taken);
    // Again, behind the lock: a renewal may have put another one there meanwhile.
    auto now = find_certificate(acme, target->name);
    if (!now) return failed(now.error());
    if (command.certificate.empty() && now->chain.leaf_der() != target->chain.leaf_der()) now->name.clear();
    if (!now->name.empty()) target = std::move(now);
  }
  auto done = revoke(context, command, acme, *target);
  if (!done) return failed(done.error());
  if (!target->name.empty()) {
    if (auto marked = mark(acme, command, *target); !marked)
      context.terminal.warning(
          fmt::format("it cannot be noted that the certificate is revoked: {}; `issue --force` "
                      "replaces it",
                      marked.error().message));
  }
  tell(context, command, acme, *target, *done);
  return ExitStatus::Done;
}

}  // namespace countersign::acme
