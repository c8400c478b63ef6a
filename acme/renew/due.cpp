#include "acme/renew/due.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "acme/state/certificate_store.hpp"

namespace countersign::acme {
namespace {

using base::WallTime;
using Kind = Decision::Kind;

constexpr std::size_t kShownNames = 5;

Decision due(std::string reason) {
  return {Kind::Due, std::move(reason), {}, false};
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
  if (now >= state.end && now >= at) return {Kind::Due, "the CA suggested " + window + " for it", at, true};
  // RFC 9773 §4.2: renewed now, if the next look is too late for the window.
  if (now >= at || (now >= state.start && next_look >= state.end))
    return {Kind::Due, "the CA suggests " + window + " for it", at, true};
  return {Kind::NotDue, "the CA suggests " + window, at, true};
}

Decision by_lifetime(const Prospect::Live& live, WallTime now) {
  WallTime at = renewal_time(live.not_before, live.not_after);
  bool half = live.not_after - at > (live.not_after - live.not_before) * 2 / 5;
  const char* left = half ? "half" : "a third";
  if (now >= at)
    return due(fmt::format("less than {} of its lifetime is left: it expires at {}", left,
                           base::format_rfc3339(live.not_after)));
  return {Kind::NotDue, fmt::format("{} of its lifetime is left then", left), at, false};
}

Decision judge(const Prospect& prospect, WallTime now, WallTime next_look) {
  if (!prospect.record) return due("it has no certificate yet");
  const CertificateRecord& record = *prospect.record;
  if (record.archive.empty()) {
    if (prospect.in_configuration) return due("it has no certificate yet");
    if (record.pending) return due("an earlier run left its order unfinished");
    return {Kind::Nothing, "nothing was issued yet; `countersign issue` does", {}, false};
  }
  if (!prospect.live) return due("the files of live/" + prospect.cert_name + " are missing, or not what was issued");
  if (prospect.for_another_request) return due("its signing request has another key now");
  if (prospect.in_configuration)
    if (std::string changed = change(prospect); !changed.empty()) return due(std::move(changed));
  if (record.key_compromised) return due("it was revoked because its key got into other hands");
  if (now >= prospect.live->not_after) return due("it expired at " + base::format_rfc3339(prospect.live->not_after));
  const auto& state = record.renewal;
  bool suggested = state && !state->certificate_id.empty() && state->certificate_id == prospect.live->certificate_id;
  return suggested ? by_suggestion(*state, *prospect.live, now, next_look) : by_lifetime(*prospect.live, now);
}

// The hold that ends first, where there is one at each CA.
const FailureMemory::Hold* held_back(const Prospect& prospect) {
  const FailureMemory::Hold* first = nullptr;
  for (const auto& hold : prospect.holds) {
    if (!hold) return nullptr;
    if (first == nullptr || hold->until < first->until) first = &*hold;
  }
  return first;
}

}  // namespace

Decision decide(const Prospect& prospect, Trigger trigger, WallTime now, WallTime next_look) {
  if (trigger == Trigger::Force) return due("asked for with --force");
  Decision decision = judge(prospect, now, next_look);
  const FailureMemory::Hold* hold = held_back(prospect);
  if (decision.kind != Kind::Due || hold == nullptr) return decision;
  // An order that is there already costs the CA's limits nothing.
  if (prospect.record && prospect.record->pending) return decision;
  return {Kind::HeldBack,
          fmt::format("{}, but {} failed {} time{} ({})", decision.reason, hold->name, hold->failures,
                      hold->failures == 1 ? "" : "s", hold->reason),
          hold->until, false};
}

}  // namespace countersign::acme
