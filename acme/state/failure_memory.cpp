#include "acme/state/failure_memory.hpp"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <tuple>

#include "acme/protocol/json.hpp"
#include "acme/state/run_lock.hpp"
#include "base/files.hpp"
#include "base/log.hpp"
#include "base/random.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

namespace json = boost::json;
using base::ErrorCode;
using base::Result;
using base::WallTime;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

// The cadence that Let's Encrypt asks clients for.
constexpr std::array<milliseconds, 4> kWaits{minutes(1), minutes(10), minutes(100), hours(24)};
// Longer than every rate limit of a public CA (a week): a CA's mistake must not end renewals for years.
constexpr milliseconds kLongestOrder = hours(24 * 32);
// What nobody asked about for so long is about names that are not wanted any more.
constexpr milliseconds kForgotten = hours(24 * 60);
constexpr std::size_t kMaxFile = 8U << 20U;
constexpr std::size_t kMaxReason = 500;

struct Failure {
  std::string directory_url;
  std::string name;
  std::string reason;
  unsigned failures = 0;
  WallTime at;
  WallTime until;                    // by our own counting
  std::optional<WallTime> ca_until;  // by the CA's word, which counts also when it is the shorter: it is no guess
};

bool is_by_ca(const Failure& failure) {
  return failure.ca_until && *failure.ca_until >= failure.until;
}

WallTime end_of(const Failure& failure) {
  return is_by_ca(failure) ? *failure.ca_until : failure.until;
}

std::filesystem::path file_of(const std::filesystem::path& folder) {
  return folder / "failures.json";
}

WallTime time_of(const JsonObject& entry, std::string_view member) {
  auto time = base::parse_rfc3339(entry.text(member));
  if (!time) entry.reject(member, "is no date");
  return time.value_or(WallTime{});
}

Result<std::vector<Failure>> parse(const std::string& text, const std::string& source) {
  auto document = JsonDocument::parse(text, source);
  if (!document) return base::fail(document.error());
  std::vector<Failure> failures;
  for (const JsonObject& entry : document->root().objects("failures")) {
    Failure failure;
    failure.directory_url = entry.text("directory");
    failure.name = entry.text("name");
    failure.reason = entry.optional_text("reason");
    failure.at = time_of(entry, "failed");
    failure.until = time_of(entry, "until");
    if (!entry.optional_text("ca_until").empty()) failure.ca_until = time_of(entry, "ca_until");
    auto count = entry.optional_number("failures").value_or(1);
    failure.failures = static_cast<unsigned>(std::clamp<std::int64_t>(count, 1, 1'000'000));
    failures.push_back(std::move(failure));
  }
  if (auto sound = document->check(); !sound) return base::fail(sound.error());
  return failures;
}

std::vector<Failure> read(const std::filesystem::path& folder) {
  auto text = base::read_file(file_of(folder), kMaxFile);
  if (!text && text.error().code == ErrorCode::NotFound) return {};
  auto failures = text ? parse(*text, file_of(folder).string()) : base::fail(text.error());
  if (failures) return *std::move(failures);
  base::log::warn("past failures are unknown", {{"reason", failures.error().message}});
  return {};
}

std::string document(const Failure& failure) {
  json::object entry{{"directory", failure.directory_url},
                     {"name", failure.name},
                     {"failures", failure.failures},
                     {"failed", base::format_rfc3339(failure.at)},
                     {"until", base::format_rfc3339(failure.until)}};
  if (failure.ca_until) entry["ca_until"] = base::format_rfc3339(*failure.ca_until);
  entry["reason"] = failure.reason;
  return json::serialize(entry);
}

Result<void> write(const std::filesystem::path& folder, std::vector<Failure> failures) {
  constexpr std::string_view kBegin = R"({"failures":[)", kEnd = "]}\n";
  // The newest first: what is too much for a file that can be read again is the oldest.
  std::sort(failures.begin(), failures.end(), [](const Failure& one, const Failure& other) {
    return std::tie(other.at, one.directory_url, one.name) < std::tie(one.at, other.directory_url, other.name);
  });
  std::string text(kBegin);
  for (const Failure& failure : failures) {
    std::string entry = document(failure);
    if (text.size() + entry.size() + 1 + kEnd.size() > kMaxFile) break;
    if (text.size() > kBegin.size()) text += ',';
    text += entry;
  }
  text += kEnd;
  return base::replace_file(file_of(folder), text, 0600);
}

// Reads, changes and replaces the file; `change` says whether there is something to write.
template <class Change>
Result<void> changed(const std::filesystem::path& folder, Change change) {
  if (auto made = base::make_directories(folder, 0700); !made) return made;
  auto lock = RunLock::await(folder / "failures.lock");
  if (!lock) return base::fail(lock.error());
  std::vector<Failure> failures = read(folder);
  if (!change(failures)) return {};
  return write(folder, failures);
}

// With up to a tenth more, so that many machines that failed together do not come back together.
milliseconds wait_after(unsigned failures) {
  milliseconds wait = kWaits[std::min<std::size_t>(failures, kWaits.size()) - 1];
  auto tenth = static_cast<std::uint64_t>((wait / 10).count());
  return wait + milliseconds(base::random_u64() % (tenth + 1));
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

FailureMemory::FailureMemory(std::filesystem::path acme_directory) : acme_directory_(std::move(acme_directory)) {}

std::optional<FailureMemory::Hold> FailureMemory::hold(const std::string& directory_url,
                                                       const std::vector<std::string>& names, WallTime now,
                                                       HoldKind kind) const {
  std::optional<Hold> longest;
  for (const Failure& failure : read(acme_directory_)) {
    // A failure of the future: the clock was set back since, and nothing can be said about the time that passed.
    if (failure.directory_url != directory_url || failure.at > now) continue;
    bool by_ca = kind == HoldKind::SaidByCa || is_by_ca(failure);
    WallTime until = kind == HoldKind::SaidByCa ? failure.ca_until.value_or(now) : end_of(failure);
    if (until <= now || (longest && longest->until >= until) || !contains(names, failure.name)) continue;
    longest = Hold{until, failure.name, failure.reason, failure.failures, by_ca};
  }
  return longest;
}

Result<void> FailureMemory::failed(const std::string& directory_url, const std::vector<std::string>& names,
                                   const std::string& reason, WallTime now, std::optional<WallTime> said_by_ca) {
  if (names.empty()) return {};
  return changed(acme_directory_, [&](std::vector<Failure>& failures) {
    std::erase_if(failures, [&](const Failure& failure) { return end_of(failure) + kForgotten < now; });
    for (const std::string& name : names) {
      auto known = std::find_if(failures.begin(), failures.end(), [&](const Failure& failure) {
        return failure.directory_url == directory_url && failure.name == name;
      });
      if (known == failures.end()) {
        known = failures.emplace(failures.end());
        known->directory_url = directory_url;
        known->name = name;
      }
      ++known->failures;
      // Whole seconds, as the file has them.
      known->at = std::chrono::floor<std::chrono::seconds>(now);
      known->until = std::chrono::ceil<std::chrono::seconds>(now + wait_after(known->failures));
      // What the CA said of an earlier attempt holds until it is over, or the CA says something else.
      if (said_by_ca)
        known->ca_until = std::chrono::ceil<std::chrono::seconds>(std::min(*said_by_ca, now + kLongestOrder));
      else if (known->ca_until && *known->ca_until <= now)
        known->ca_until.reset();
      known->reason = base::printable(reason, kMaxReason);
    }
    return true;
  });
}

Result<void> FailureMemory::succeeded(const std::string& directory_url, const std::vector<std::string>& names) {
  // The usual case has no file at all, and needs no lock.
  auto is_about = [&](const Failure& failure) {
    return failure.directory_url == directory_url && contains(names, failure.name);
  };
  std::vector<Failure> before = read(acme_directory_);
  if (std::none_of(before.begin(), before.end(), is_about)) return {};
  return changed(acme_directory_,
                 [&](std::vector<Failure>& failures) { return std::erase_if(failures, is_about) > 0; });
}

}  // namespace countersign::acme
