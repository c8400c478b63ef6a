// What is taken from an acme-dns database, row by row.
#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/address_range.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "dnsd/import.hpp"
#include "zones/lifetime_clock.hpp"
#include "zones/record_type.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using zones::AcmeDnsAccount;
using zones::Registration;

constexpr std::size_t kValueLength = 43;   // base64url of a SHA-256 (RFC 8555 §8.4)
constexpr std::size_t kBcryptLength = 60;  // "$2a$10$", 22 characters of salt, 31 of hash
constexpr unsigned kHighestCost = 14;      // more than a second of a processor for each try
constexpr std::uint64_t kShownWarnings = 20;
constexpr std::size_t kShownText = 80;

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// In lower case with dashes (RFC 9562 §4), as acme-dns writes it.
std::optional<std::string> canonical_uuid(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  std::string out(text);
  for (std::size_t i = 0; i < out.size(); ++i) {
    char& c = out[i];
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c + ('a' - 'A'));
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    bool good = dash ? c == '-' : (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    if (!good) return std::nullopt;
  }
  return out;
}

// A label as acme-dns lets an administrator write one (its issue 243): letters, digits, hyphens inside.
bool is_label(std::string_view text) {
  bool good = !text.empty() && text.size() <= base::kMaxLabelLength && text.front() != '-' && text.back() != '-';
  return good && std::ranges::all_of(text, [](char c) { return is_letter_or_digit(c) || c == '-'; });
}

// Why it cannot be verified later; "" when it can.
std::string bcrypt_problem(std::string_view hash) {
  auto is_salt = [](char c) { return is_letter_or_digit(c) || c == '.' || c == '/'; };
  bool good = hash.size() == kBcryptLength && hash.starts_with("$2") &&
              (hash[2] == 'a' || hash[2] == 'b' || hash[2] == 'y') && hash[3] == '$' && hash[4] >= '0' &&
              hash[4] <= '9' && hash[5] >= '0' && hash[5] <= '9' && hash[6] == '$' &&
              std::ranges::all_of(hash.substr(7), is_salt);
  if (!good) return "its password is no bcrypt hash";
  unsigned cost = static_cast<unsigned>(hash[4] - '0') * 10 + static_cast<unsigned>(hash[5] - '0');
  if (cost < 4) return "its password is no bcrypt hash";
  if (cost > kHighestCost)
    return fmt::format("the bcrypt cost of its password is {}, more than the {} accepted", cost, kHighestCost);
  return "";
}

// Absent: it cannot be read, so nobody knows from where the account may be used. "null" is Go's empty list.
std::optional<std::vector<std::string>> parse_allow_from(const std::string& text) {
  boost::system::error_code error;
  // Flat: a deeply nested one is an error of the parser, and no list of texts.
  boost::json::value document = boost::json::parse(text, error);
  if (error) return std::nullopt;
  if (document.is_null()) return std::vector<std::string>();
  const auto* list = document.if_array();
  if (list == nullptr) return std::nullopt;
  std::vector<std::string> out;
  for (const boost::json::value& element : *list) {
    const auto* range = element.if_string();
    if (range == nullptr || !base::AddressRange::parse({range->data(), range->size()})) return std::nullopt;
    out.emplace_back(range->data(), range->size());
  }
  return out;
}

bool is_challenge_value(std::string_view text) {
  return text.size() == kValueLength &&
         std::ranges::all_of(text, [](char c) { return is_letter_or_digit(c) || c == '-' || c == '_'; });
}

class Import {
 public:
  Import(zones::Store& store, const ImportTarget& target)
      : store_(store), target_(target), now_(zones::to_milliseconds(target.now)) {}

  Result<void> take_account(const AcmeDnsAccount& account) {
    auto registration = judge(account);
    if (!registration) {
      ++counts_.skipped;
      warn(registration.error().message, account.username.value_or(""));
      return {};
    }
    auto added = store_.add_registration(*registration);
    if (!added) return fail(added.error());
    if (*added) {
      ++counts_.taken;
      taken_.emplace(registration->subdomain, Taken{registration->name, registration->username, 0, {}});
      return {};
    }
    return found_already(*registration);
  }

  void take_value(const zones::AcmeDnsValue& value) {
    auto taken = value.subdomain ? taken_.find(*value.subdomain) : taken_.end();
    if (taken == taken_.end() || !value.value || !is_challenge_value(*value.value)) {
      ++counts_.skipped_values;
      return;
    }
    // Its clock may have been wrong, and the number anything. 0 was never.
    std::int64_t updated = std::clamp<std::int64_t>(value.updated, 0, now_ / 1000) * 1000;
    Taken& account = taken->second;
    account.used = std::max(account.used, updated);
    std::vector<Value>& values = account.values;
    auto same = std::ranges::find(values, *value.value, &Value::text);
    if (same != values.end()) {
      same->added = std::max(same->added, updated);
      return;
    }
    values.push_back({*value.value, updated});
    if (values.size() <= target_.max_values) return;
    ++counts_.skipped_values;
    values.erase(std::ranges::min_element(values, {}, &Value::added));
  }

  Result<void> write_values() {
    for (const auto& [subdomain, account] : taken_) {
      for (const Value& value : account.values) {
        zones::StoredValue stored{value.text, "registration:" + account.username, value.added,
                                  now_ + target_.lifetime.count(), target_.lifetime.count()};
        if (auto put = store_.put(account.name, stored); !put) return put;
        ++counts_.values;
      }
      if (account.used == 0) continue;
      const std::array mark{zones::UsedMark{account.username, account.used}};
      if (auto set = store_.set_used(mark); !set) return set;
    }
    return counts_.values == 0 ? Result<void>() : grow_serial();
  }

  [[nodiscard]] const ImportCounts& counts() const { return counts_; }

  void tell_unshown() const {
    if (warnings_ > kShownWarnings)
      base::log::warn("more accounts were not taken", {{"accounts", std::to_string(warnings_ - kShownWarnings)}});
  }

 private:
  struct Value {
    std::string text;
    std::int64_t added;
  };
  struct Taken {
    base::Name name;
    std::string username;
    std::int64_t used;
    std::vector<Value> values;
  };

  Result<Registration> judge(const AcmeDnsAccount& account) {
    auto username = canonical_uuid(account.username.value_or(""));
    if (!username) return fail(ErrorCode::Invalid, "its username is no UUID");
    if (!account.subdomain || !is_label(*account.subdomain))
      return fail(ErrorCode::Invalid, "its subdomain is no label of letters, digits and hyphens");
    if (!account.password) return fail(ErrorCode::Invalid, "its password is no text");
    if (std::string problem = bcrypt_problem(*account.password); !problem.empty())
      return fail(ErrorCode::Invalid, "{}", problem);
    auto allow_from = parse_allow_from(account.allow_from.value_or(""));
    if (!allow_from) return fail(ErrorCode::Invalid, "its allowfrom is no list of CIDRs in JSON");
    auto name = target_.zone.apex.child(*account.subdomain);
    if (!name) return fail(ErrorCode::Invalid, "its name in the zone would be longer than 255 octets");
    if (auto free = check_place(*name); !free) return fail(free.error());
    Registration registration;
    registration.username = std::move(*username);
    registration.secret = *account.password;
    registration.name = std::move(*name);
    registration.subdomain = *account.subdomain;
    registration.allow_from = std::move(*allow_from);
    registration.created = now_;
    return registration;
  }

  // A value could not be served there.
  [[nodiscard]] Result<void> check_place(const base::Name& name) const {
    const zones::StaticZone& zone = target_.zone;
    bool elsewhere = std::ranges::find(zone.nested, name) != zone.nested.end();
    for (const zones::StaticRrset& rrset : zone.records.find(name.wire()))
      elsewhere = elsewhere || rrset.type == zones::record_type::kCname || rrset.type == zones::record_type::kNs;
    if (elsewhere)
      return fail(ErrorCode::Invalid, "the configuration has a CNAME, a delegation or a zone at its name {}",
                  name.text());
    return {};
  }

  Result<void> found_already(const Registration& registration) {
    auto existing = store_.registration(registration.username);
    if (!existing) return fail(existing.error());
    if (!*existing || (*existing)->name != registration.name) {
      ++counts_.skipped;
      warn(*existing ? "a registration of this username has another name" : "another registration has its name",
           registration.username);
      return {};
    }
    ++counts_.there;
    // Also after its first login here, which replaces the bcrypt hash.
    if ((*existing)->secret != registration.secret) ++counts_.other_key;
    return {};
  }

  // As a commit of the daemon's does: who compares serials sees that something has changed.
  Result<void> grow_serial() {
    auto serial = store_.serial(target_.zone.apex);
    if (!serial) return fail(serial.error());
    if (!*serial) return {};
    (*serial)->serial += 1;
    return store_.set_serial(target_.zone.apex, **serial);
  }

  void warn(std::string_view reason, std::string_view username) {
    if (++warnings_ <= kShownWarnings)
      base::log::warn("account not taken",
                      {{"username", base::printable(username, kShownText)}, {"reason", std::string(reason)}});
  }

  zones::Store& store_;
  const ImportTarget& target_;
  std::int64_t now_;
  ImportCounts counts_;
  std::uint64_t warnings_ = 0;
  std::unordered_map<std::string, Taken> taken_;  // by subdomain, as it stands there
};

Result<void> import_all(zones::AcmeDnsDatabase& source, Import& import) {
  auto accounts =
      source.each_account([&import](const AcmeDnsAccount& account) { return import.take_account(account); });
  if (!accounts) return accounts;
  auto values = source.each_value([&import](const zones::AcmeDnsValue& value) { import.take_value(value); });
  if (!values) return values;
  return import.write_values();
}

}  // namespace

Result<ImportCounts> import_accounts(zones::AcmeDnsDatabase& source, zones::Store& store, const ImportTarget& target) {
  Import import(store, target);
  if (auto begun = store.begin(); !begun) return fail(begun.error());
  Result<void> done = import_all(source, import);
  if (done) done = store.commit();
  if (!done) {
    store.rollback();
    return fail(done.error());
  }
  import.tell_unshown();
  return import.counts();
}

}  // namespace countersign::dnsd
