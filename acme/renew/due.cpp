#include "acme/renew/due.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "acme/state/certificate_store.hpp"

namespace countersign::acme {
namespace {

using base::WallTime;
using std::chrono::duration_cast;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using Kind = Decision::Kind;

constexpr std::size_t kShownNames = 5;
// What a new certificate does not end (a hook that moves its files away, a CA that backdates, or hands back the same
// one) must not spend the CA's limits: Let's Encrypt issues five a week for the same names.
constexpr milliseconds kBetweenIssuances = hours(24);

Decision due(std::string reason) {
  return {Kind::Due, std::move(reason), {}, false, false};
}

// Of `a`, those that are not in `b`.
std::vector<std::string> without(std::vector<std::string> a, std::vector<std::string> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  std::vector<std::string> out;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out));
  return out;
}

std::string listed(const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t i = 0; i < std::min(names.size(), kShownNames); ++i) out += (i == 0 ? "" : " ") + names[i];
  return names.size() <= kShownNames ? out : fmt::format("{} and {} more", out, names.size() - kShownNames);
}

// "" where the [[certificate]] says what was issued. What else it may say (hooks, modes) counts from the next time on.
std::string change(const Prospect& prospect) {
  const CertificateRecord& record = *prospect.record;
  auto added = without(prospect.names, asked_names(record));
  auto removed = without(asked_names(record), prospect.names);
  if (!added.empty() && !removed.empty())
    return fmt::format("its [[certificate]] has other names now: {} added, {} removed", listed(added), listed(removed));
  if (!added.empty()) return fmt::format("names were added to its [[certificate]]: {}", listed(added));
  if (!removed.empty()) return fmt::format("names were removed from its [[certificate]]: {}", listed(removed));
  if (std::find(prospect.cas.begin(), prospect.cas.end(), record.directory_url) == prospect.cas.end())
    return fmt::format("it is from {}, and is wanted from {}", record.directory_url, prospect.cas.front());
  const char* key_type = prospect.options.csr.empty() ? key_type_text(prospect.options.key_type) : "csr";
  if (record.key_type != key_type)
    return fmt::format("its key is of the type {}, and is wanted as {}", record.key_type, key_type);
  if (prospect.issued_profile != prospect.options.profile)
    return fmt::format("it was issued with the profile \"{}\", and is wanted with \"{}\"", prospect.issued_profile,
                       prospect.options.profile);
  return {};
}

Decision by_suggestion(const RenewalState& state, const Prospect::Live& live, WallTime now, WallTime next_look) {
  std::string window = fmt::format("{} to {}", base::format_rfc3339(state.start), base::format_rfc3339(state.end));
  // A CA that suggests too late a time, by mistake, must not make the certificate expire: there is time for some tries.
  WallTime latest = live.not_after - (live.not_after - live.not_before) / 20;
  WallTime at = std::min(state.renew_at, latest);
  if (now >= state.end && now >= at) return {Kind::Due, "the CA suggested " + window + " for it", at, true, false};
  // RFC 9773 §4.2: now, too, if the time that was drawn comes before the next look.
  if (now >= at || at < next_look) return {Kind::Due, "the CA suggests " + window + " for it", at, true, false};
  return {Kind::NotDue, "the CA suggests " + window, at, true, false};
}

Decision by_lifetime(const Prospect::Live& live, WallTime now, WallTime next_look) {
  WallTime at = renewal_time(live.not_before, live.not_after);
  bool half = live.not_after - at > (live.not_after - live.not_before) * 2 / 5;
  const char* left = half ? "half" : "a third";
  if (now >= at)
    return due(fmt::format("less than {} of its lifetime is left: it expires at {}", left,
                           base::format_rfc3339(live.not_after)));
  // The time that is kept for some tries must not pass between two looks: that of a short-lived one would.
  if (live.not_after - next_look < (live.not_after - at) / 2)
    return due(fmt::format("the next look could be too late: it expires at {}", base::format_rfc3339(live.not_after)));
  return {Kind::NotDue, fmt::format("{} of its lifetime is left then", left), at, false, false};
}

// What a person did or wrote that asks for another certificate; "" if nothing. A new certificate ends it.
std::string wish(const Prospect& prospect) {
  if (!prospect.record || prospect.record->archive.empty()) return {};
  if (prospect.for_another_request) return "its signing request has another key now";
  if (prospect.in_configuration)
    if (std::string changed = change(prospect); !changed.empty()) return changed;
  return prospect.revoked ? "it was revoked at " + prospect.revoked->at : "";
}

Decision judge(const Prospect& prospect, WallTime now, WallTime next_look) {
  if (!prospect.record) return due("it has no certificate yet");
  const CertificateRecord& record = *prospect.record;
  if (record.archive.empty()) {
    if (prospect.in_configuration) return due("it has no certificate yet");
    if (record.pending) return due("an earlier run left its order unfinished");
    return {Kind::Nothing, "nothing was issued yet; `countersign issue` does", {}, false, false};
  }
  if (!prospect.live) return due("the files of live/" + prospect.cert_name + " are missing, or not what was issued");
  // Whoever gave it up wants no other one, unless the configuration still does.
  if (prospect.revoked && prospect.revoked->reason == RevocationReason::CessationOfOperation &&
      !prospect.in_configuration && !prospect.for_another_request)
    return {Kind::Nothing, "it was revoked for good; `countersign issue` would issue it again", {}, false, false};
  if (std::string wanted = wish(prospect); !wanted.empty()) return due(std::move(wanted));
  if (now >= prospect.live->not_after) return due("it expired at " + base::format_rfc3339(prospect.live->not_after));
  const auto& state = record.renewal;
  bool suggested = state && state->has_window() && !state->certificate_id.empty() &&
                   state->certificate_id == prospect.live->certificate_id;
  return suggested ? by_suggestion(*state, *prospect.live, now, next_look)
                   : by_lifetime(*prospect.live, now, next_look);
}

// Its folder is named after the time.
std::optional<WallTime> issued_at(const CertificateRecord& record) {
  const std::string& name = record.archive;
  if (!is_issuance_name(name)) return std::nullopt;
  auto part = [&](std::size_t from, std::size_t count) { return name.substr(from, count); };
  auto time = base::parse_rfc3339(
      fmt::format("{}-{}-{}{}:{}:{}Z", part(0, 4), part(4, 2), part(6, 3), part(9, 2), part(11, 2), part(13, 2)));
  return time ? std::optional(*time) : std::nullopt;
}

// 0: not known.
milliseconds lifetime_of(const Prospect& prospect) {
  if (prospect.live) return prospect.live->not_after - prospect.live->not_before;
  auto from = base::parse_rfc3339(prospect.record->not_before);
  auto to = base::parse_rfc3339(prospect.record->not_after);
  return from && to ? *to - *from : milliseconds(0);
}

std::string age_text(milliseconds age) {
  auto text = [](auto count, const char* unit) { return fmt::format("{} {}{}", count, unit, count == 1 ? "" : "s"); };
  if (age < minutes(2)) return text(duration_cast<seconds>(age).count(), "second");
  if (age < hours(2)) return text(duration_cast<minutes>(age).count(), "minute");
  return text(duration_cast<hours>(age).count(), "hour");
}

// What is due again so soon after it was issued; absent: nothing stands against it.
std::optional<Decision> braked(const Prospect& prospect, const Decision& decision, WallTime now) {
  if (!prospect.record || !wish(prospect).empty()) return std::nullopt;
  auto issued = issued_at(*prospect.record);
  milliseconds lifetime = lifetime_of(prospect);
  milliseconds wait = lifetime.count() > 0 ? std::min(kBetweenIssuances, lifetime / 4) : kBetweenIssuances;
  // One of the future: the clock was set back since, and nothing can be said about the time that passed.
  if (!issued || *issued > now || now - *issued >= wait) return std::nullopt;
  bool can_wait = prospect.live && prospect.live->not_after - now > lifetime / 10;
  return Decision{Kind::HeldBack,
                  fmt::format("it was issued {} ago and is due again: {}", age_text(now - *issued), decision.reason),
                  *issued + wait, false, can_wait};
}

// The hold that ends first, where there is one at each CA; or one that a name itself is the cause of, which is no
// reason to ask another CA.
const FailureMemory::Hold* held_back(const Prospect& prospect) {
  const FailureMemory::Hold* first = nullptr;
  for (const auto& hold : prospect.holds) {
    if (!hold) return nullptr;
    if (!hold->said_by_ca) return &*hold;
    if (first == nullptr || hold->until < first->until) first = &*hold;
  }
  return first;
}

}  // namespace

Decision decide(const Prospect& prospect, Trigger trigger, WallTime now, WallTime next_look) {
  if (trigger == Trigger::Force) return due("asked for with --force");
  Decision decision = judge(prospect, now, next_look);
  if (decision.kind != Kind::Due) return decision;
  if (auto again = braked(prospect, decision, now)) return *std::move(again);
  const FailureMemory::Hold* hold = held_back(prospect);
  if (hold == nullptr) return decision;
  // An order that is there already costs the CA's limits nothing.
  if (prospect.record && prospect.record->pending) return decision;
  return {Kind::HeldBack,
          fmt::format("{}, but {} failed {} time{} ({})", decision.reason, hold->name, hold->failures,
                      hold->failures == 1 ? "" : "s", hold->reason),
          hold->until, false, false};
}

}  // namespace countersign::acme
