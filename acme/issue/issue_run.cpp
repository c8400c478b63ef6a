#include "acme/issue/issue_run.hpp"

#include <algorithm>
#include <set>

#include "acme/issue/hooks.hpp"
#include "acme/issue/missing_delegations.hpp"
#include "acme/protocol/directory.hpp"
#include "acme/protocol/experimental_challenges.hpp"
#include "base/clock.hpp"
#include "base/encoding.hpp"
#include "base/files.hpp"
#include "base/random.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : " ") + name;
  return out;
}

std::vector<std::string> texts_of(const std::vector<DnsIdentifier>& identifiers) {
  std::vector<std::string> names;
  names.reserve(identifiers.size());
  for (const DnsIdentifier& identifier : identifiers) names.push_back(identifier.text());
  return names;
}

// A value that no challenge has, and that nobody can mistake for one.
std::string rehearsal_value() {
  std::array<std::byte, 16> random{};
  base::fill_random(random);
  return "countersign-dry-run-" + base::base64url_encode(random);
}

}  // namespace

Result<void> IssueRun::prepare() {
  auto done = choose_names();
  if (done) done = open_store();
  if (done) done = check_record();
  if (done) done = choose_options();
  if (!done) return done;
  if (leave_alone()) return {};
  sweep_leftovers();
  if (request_.rehearsal == Rehearsal::Yes) return rehearse();
  bool resuming = may_resume();
  // The CA's directory and the delegations have nothing to do with each other.
  if (!resuming) house_.cas.begin(ca(), asked_.size());
  if (resuming) {
    auto resumed = resume();
    if (!resumed) return fail(resumed.error());
    if (*resumed) return {};
  }
  return place_order();
}

Result<void> IssueRun::choose_names() {
  asked_ = request_.identifiers;
  // A request's own options may name a CSR; the names decide which record is looked at, so it is read first.
  if (request_.options.csr && !request_.options.csr->empty() && asked_.empty()) {
    auto text = base::read_file(*request_.options.csr);
    if (!text) return fail(ErrorCode::Usage, "--csr: {}", text.error().message);
    auto csr = read_csr(*text, *request_.options.csr);
    if (!csr) return fail(ErrorCode::Usage, "--csr: {}", csr.error().message);
    auto identifiers = parse_identifiers(csr->names);
    if (!identifiers) return fail(ErrorCode::Usage, "--csr: {}", identifiers.error().message);
    asked_ = *std::move(identifiers);
  }
  if (asked_.empty()) return fail(ErrorCode::Usage, "no domain name given");
  cert_name_ = request_.cert_name.empty() ? asked_.front().base_text() : request_.cert_name;
  auto checked = check_cert_name(cert_name_);
  if (!checked) return fail(ErrorCode::Usage, "{}", checked.error().message);
  return {};
}

Result<void> IssueRun::open_store() {
  auto store = CertificateStore::open(config_.state_dir / "acme");
  if (!store) {
    const char* hint = store.error().code == ErrorCode::Denied ? "; run it as root, or set state_dir" : "";
    return fail(store.error().code, "{}{}", store.error().message, hint);
  }
  store_ = *std::move(store);
  auto lock = RunLock::take(store_->lock_file(cert_name_), fmt::format("the certificate \"{}\"", cert_name_));
  if (!lock) return fail(lock.error());
  lock_ = *std::move(lock);
  return {};
}

Result<void> IssueRun::check_record() {
  auto loaded = store_->load(cert_name_);
  if (!loaded) return fail(loaded.error());
  if (!*loaded) return {};
  record_ = **std::move(loaded);
  revoked_ = revocation_mark(store_->live(cert_name_));
  if (record_.pending && store_->is_live(cert_name_, record_.pending->archive)) {
    // It was switched to, but the record could not be saved. Its folder is in use: never to be gone on with.
    auto chain = store_->live_chain(cert_name_);
    if (chain) adopt_pending(*chain);
    record_.pending.reset();
    save_record();
  }
  std::vector<std::string> names = texts_of(asked_);
  bool may_change = request_.cert_name_given || request_.when_valid == WhenValid::IssueAgain;
  bool same = same_set(asked_names(record_), names) || same_set(record_.names, names);
  if (record_.archive.empty() || may_change || same) return {};
  return fail(
      ErrorCode::Usage,
      "the certificate \"{}\" exists with other names ({}); give --cert-name {} or --force to replace it by one for "
      "\"{}\", or another --cert-name to keep both",
      cert_name_, joined(asked_names(record_)), cert_name_, joined(names));
}

Result<void> IssueRun::choose_options() {
  const conf::Certificate* entry = find_entry(config_, cert_name_);
  given_ = merged(entry != nullptr ? entry->options : last_options(record_), request_.options);
  options_ = resolved(config_.acme, given_);
  for (const std::string& name : options_.cas) {
    auto url = directory_url(name);
    if (!url) return fail(ErrorCode::Usage, "{}", url.error().message);
    if (std::find(cas_.begin(), cas_.end(), *url) == cas_.end()) cas_.push_back(*std::move(url));
  }
  if (!options_.csr.empty() && !csr_) {
    auto text = base::read_file(options_.csr);
    if (!text) return fail(ErrorCode::Usage, "the signing request: {}", text.error().message);
    auto csr = read_csr(*text, options_.csr);
    if (!csr) return fail(ErrorCode::Usage, "the signing request: {}", csr.error().message);
    if (!same_set(csr->names, texts_of(asked_)))
      return fail(ErrorCode::Usage, "the signing request \"{}\" is for other names ({}) than are asked for ({})",
                  options_.csr, joined(csr->names), joined(texts_of(asked_)));
    csr_ = *std::move(csr);
    auto live = store_->live_chain(cert_name_);
    if (revoked_ && revoked_->reason == RevocationReason::KeyCompromise && live && live->is_for(csr_->public_key))
      return fail(ErrorCode::Usage, "the key of the signing request \"{}\" was revoked as compromised; make a new one",
                  options_.csr);
  }
  if (options_.challenge == conf::ChallengeType::DnsPersist01 && !options_.server.empty())
    return fail(
        ErrorCode::Usage,
        "dns-persist-01 needs a record that stays for a year, which the API of a remote server cannot keep; run "
        "it on the machine of the daemon, or use another --challenge");
  if (csr_ && options_.drop_failed)
    return fail(ErrorCode::Usage, "--drop-failed cannot be done with a signing request: its names are fixed");
  rights_.key_mode = options_.mode;
  if (!options_.group.empty()) {
    auto group = find_group(options_.group);
    if (!group) return fail(group.error());
    rights_.group = *group;
  }
  if (auto read = read_password(); !read) return read;
  auto publisher = house_.surroundings.publisher(options_);
  if (!publisher) return fail(publisher.error());
  publisher_ = *publisher;
  wanted_ = asked_;
  return {};
}

// Before anything is ordered: a file that is missing must not cost a certificate.
Result<void> IssueRun::read_password() {
  if (options_.pkcs12 == conf::Pkcs12::None || options_.pkcs12_password_file.empty()) return {};
  auto text = base::read_file(options_.pkcs12_password_file);
  if (!text) return fail(ErrorCode::Usage, "--pkcs12-password-file: {}", text.error().message);
  pkcs12_password_ = text->substr(0, text->find_first_of("\r\n"));
  if (pkcs12_password_.empty())
    return fail(ErrorCode::Usage, "--pkcs12-password-file: the first line of \"{}\" is empty",
                options_.pkcs12_password_file);
  return {};
}

bool IssueRun::leave_alone() {
  if (request_.when_valid == WhenValid::IssueAgain || request_.rehearsal == Rehearsal::Yes || revoked_ ||
      (!same_set(asked_names(record_), texts_of(asked_)) && !same_set(record_.names, texts_of(asked_))))
    return false;
  auto chain = store_->live_chain(cert_name_);
  std::vector<std::string> sorted = record_.names;
  std::sort(sorted.begin(), sorted.end());
  if (!chain || chain->names() != sorted) return false;
  if (csr_ && !chain->is_for(csr_->public_key)) return false;
  auto until = request_.when_valid == WhenValid::RunHooks ? chain->not_after()
                                                          : renewal_time(chain->not_before(), chain->not_after());
  if (base::SystemClock().wall() >= until) return false;
  if (std::find(cas_.begin(), cas_.end(), record_.directory_url) == cas_.end())
    steps_.warn(fmt::format("the certificate \"{}\" is from {}, not from {}; give --force to have a new one",
                            cert_name_, record_.directory_url, ca()));
  if (!record_.dropped.empty())
    steps_.warn(fmt::format("the certificate \"{}\" was issued without {}; give --force to try again", cert_name_,
                            joined(record_.dropped)));
  sweep_leftovers();
  keep_options();
  outcome_ = outcome(*chain);
  outcome_->ca = record_.directory_url;
  outcome_->left_alone = true;
  // The run that issued it was stopped before they were through, or they failed.
  if (record_.deploy_due) deploy(*outcome_);
  return true;
}

// What was asked for now is for the next issuance, where it is about the issuance.
void IssueRun::keep_options() {
  if (find_entry(config_, cert_name_) != nullptr) return;  // the configuration says it, not the record
  conf::CertificateOptions next = given_;
  next.not_before.reset();
  next.not_after.reset();
  if (next == record_.options) return;
  record_.options = std::move(next);
  save_record();
  steps_.warn("the options that were given are kept for the next issuance; give --force to issue with them now");
}

// A run that was killed may have left its values behind.
void IssueRun::sweep_leftovers() {
  if (record_.published.empty()) return;
  // Where that run put them; unusable credentials end as an error below.
  IssueOptions place;
  place.server = record_.server;
  place.credentials = record_.credentials;
  auto publisher = house_.surroundings.publisher(place);
  auto removed = publisher ? (*publisher)->withdraw(record_.published) : Result<void>(fail(publisher.error()));
  if (!removed) {
    steps_.warn(fmt::format("values of an earlier run may still be served: {}", removed.error().message));
    leftovers_ = record_.published;
    return;
  }
  record_.published.clear();
  save_record();
}

Result<void> IssueRun::rehearse() {
  std::shared_ptr<Session> session;
  if (options_.challenge == conf::ChallengeType::DnsAccount01) {
    auto access = house_.cas.account(ca());
    if (!access) return fail(access.error());
    session = access->session;
  } else {
    auto directory = house_.cas.directory(ca());
    if (!directory) return fail(directory.error());
    steps_.done("directory", ca());
  }
  if (auto located = locate(session.get()); !located) return located;
  std::vector<TxtValue> values;
  std::vector<base::Name> zones;
  for (const Delegation& delegation : delegations_) {
    values.push_back({delegation.target, rehearsal_value()});
    if (std::find(zones.begin(), zones.end(), *delegation.zone) == zones.end()) zones.push_back(*delegation.zone);
  }
  record_.published = leftovers_;
  record_.published.insert(record_.published.end(), values.begin(), values.end());
  if (record_.archive.empty()) record_.names = texts_of(asked_);
  record_.server = options_.server;
  record_.credentials = options_.credentials;
  if (auto saved = store_->save(cert_name_, record_); !saved) return saved;
  auto published = publisher_->publish(values, std::nullopt);
  if (published) steps_.done("publish", counted(values.size(), "test value"));
  auto seen = published ? publisher_->await_visibility(values, zones)
                        : Result<std::vector<std::string>>(fail(published.error()));
  if (seen) steps_.done("fence", "every name server that was reached answers with the values");
  Uninterrupted shield;
  auto removed = publisher_->withdraw(values);
  if (removed)
    record_.published = leftovers_;
  else
    steps_.warn(fmt::format("the test values may still be served: {}", removed.error().message));
  save_record();
  if (!seen) return fail(seen.error());
  for (const std::string& warning : *seen) steps_.warn(warning);
  IssueOutcome done;
  done.rehearsed = true;
  done.cert_name = cert_name_;
  done.directory = store_->live(cert_name_);
  done.names = texts_of(asked_);
  done.ca = ca();
  done.warnings = steps_.warnings();
  outcome_ = std::move(done);
  return {};
}

Result<std::vector<ChallengePlace>> IssueRun::places(const Session* session) const {
  std::vector<ChallengePlace> out;
  std::string labels =
      options_.challenge == conf::ChallengeType::DnsPersist01 ? "_validation-persist" : "_acme-challenge";
  if (options_.challenge == conf::ChallengeType::DnsAccount01)
    labels = dns_account_label(session->account_url()) + "._acme-challenge";
  for (const DnsIdentifier& identifier : asked_) {
    auto place = place_of(identifier, labels);
    if (!place) return fail(ErrorCode::Usage, "{}", place.error().message);
    out.push_back(*std::move(place));
  }
  return out;
}

Result<void> IssueRun::locate(const Session* session) {
  std::string account = options_.challenge == conf::ChallengeType::DnsAccount01 ? session->account_url() : "any";
  if (delegations_for_ == account) return {};
  auto where = places(session);
  if (!where) return fail(where.error());
  auto delegations = publisher_->locate(*where);
  if (!delegations) return fail(delegations.error());
  bool missing = std::any_of(delegations->begin(), delegations->end(), [](const Delegation& d) { return !d.zone; });
  if (missing && !options_.drop_failed) return fail(missing_delegations(*delegations));
  if (missing) {
    if (auto dropped = drop_undelegated(*delegations); !dropped) return dropped;
  }
  std::set<std::string> zones;
  for (const Delegation& delegation : *delegations) {
    if (!delegation.warning.empty()) steps_.warn(delegation.warning);
    zones.insert(delegation.zone->text());
  }
  steps_.done("delegation",
              fmt::format("{} into {}", counted(asked_.size(), "name"), joined({zones.begin(), zones.end()})));
  delegations_ = *std::move(delegations);
  delegations_for_ = account;
  return {};
}

// One owner who takes a record away must not stop the renewal for all others.
Result<void> IssueRun::drop_undelegated(std::vector<Delegation>& delegations) {
  std::vector<Delegation> missing;
  for (const Delegation& delegation : delegations)
    if (!delegation.zone) missing.push_back(delegation);
  std::vector<DnsIdentifier> kept;
  std::vector<std::string> gone;
  for (const DnsIdentifier& identifier : wanted_) {
    bool lost = std::any_of(missing.begin(), missing.end(),
                            [&](const Delegation& delegation) { return delegation.identifier == identifier; });
    if (lost)
      gone.push_back(identifier.text());
    else
      kept.push_back(identifier);
  }
  if (kept.empty()) return fail(missing_delegations(delegations));
  if (!gone.empty()) steps_.warn(missing_delegations(missing).message + "; going on without " + joined(gone));
  dropped_.insert(dropped_.end(), gone.begin(), gone.end());
  wanted_ = std::move(kept);
  std::erase_if(delegations, [](const Delegation& delegation) { return !delegation.zone; });
  return {};
}

std::vector<std::string> IssueRun::wanted_names() const {
  return texts_of(wanted_);
}

Result<IssueOutcome> IssueRun::complete() {
  while (!outcome_) {
    auto chain = run_->complete();
    if (chain) {
      end_attempt(nullptr);
      return install(*chain);
    }
    if (auto again = after_failure(chain.error()); !again) return fail(again.error());
    if (auto placed = place_order(); !placed) return fail(placed.error());
  }
  return *std::move(outcome_);
}

HookContext IssueRun::hook_context() const {
  HookContext context;
  context.cert_name = cert_name_;
  context.names = wanted_.empty() ? texts_of(request_.identifiers) : wanted_names();
  if (store_) context.directory = store_->live(cert_name_);
  return context;
}

}  // namespace countersign::acme
