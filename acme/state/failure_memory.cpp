#include "acme/state/failure_memory.hpp"

#include <algorithm>
#include <array>
#include <boost/json.hpp>

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
  WallTime at, until;
  bool said_by_ca = false;
};

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
    failure.said_by_ca = entry.optional_flag("said_by_ca");
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

Result<void> write(const std::filesystem::path& folder, const std::vector<Failure>& failures) {
  json::array entries;
  for (const Failure& failure : failures)
    entries.push_back({{"directory", failure.directory_url},
                       {"name", failure.name},
                       {"failures", failure.failures},
                       {"failed", base::format_rfc3339(failure.at)},
                       {"until", base::format_rfc3339(failure.until)},
                       {"said_by_ca", failure.said_by_ca},
                       {"reason", failure.reason}});
  return base::replace_file(file_of(folder), json::serialize(json::object{{"failures", std::move(entries)}}) + "\n",
                            0600);
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
                                                       const std::vector<std::string>& names, WallTime now) const {
  std::optional<Hold> longest;
  for (const Failure& failure : read(acme_directory_)) {
    // A failure of the future: the clock was set back since, and nothing can be said about the time that passed.
    if (failure.directory_url != directory_url || failure.until <= now || failure.at > now) continue;
    if (!contains(names, failure.name) || (longest && longest->until >= failure.until)) continue;
    longest = Hold{failure.until, failure.name, failure.reason, failure.failures, failure.said_by_ca};
  }
  return longest;
}

Result<void> FailureMemory::failed(const std::string& directory_url, const std::vector<std::string>& names,
                                   const std::string& reason, WallTime now, std::optional<WallTime> said_by_ca) {
  if (names.empty()) return {};
  return changed(acme_directory_, [&](std::vector<Failure>& failures) {
    std::erase_if(failures, [&](const Failure& failure) { return failure.until + kForgotten < now; });
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
      known->until = now + wait_after(known->failures);
      known->said_by_ca = said_by_ca && *said_by_ca > known->until;
      if (known->said_by_ca) known->until = std::min(*said_by_ca, now + kLongestOrder);
      known->until = std::chrono::ceil<std::chrono::seconds>(known->until);
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
