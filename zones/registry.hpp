// All registrations, in memory, for the thread that serves them: a login asks no disk. About 300 octets each.
// Thread: one at a time; the control thread once the daemon runs. What the store has is put in here when its commit
// is acknowledged.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "zones/registration.hpp"

namespace countersign::zones {

struct UsedMark {
  std::string username;
  std::int64_t used = 0;  // milliseconds since 1970
};

class Registry {
 public:
  // Adds, or replaces that of the same username.
  void put(const Registration& registration);
  void erase(std::string_view username);
  // `username`: canonical, as it stands in the registration.
  [[nodiscard]] std::optional<Registration> find(std::string_view username) const;
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

  // It was used now: told to the store later, because a day's difference is what counts. Once an hour each,
  // and never to a time before the one that is known.
  void mark_used(std::string_view username, std::int64_t now);
  // What is to be told; the marks are the caller's then (put them back by mark_again() when the store refuses).
  [[nodiscard]] std::vector<UsedMark> take_marks();
  void mark_again(const std::vector<UsedMark>& marks);

  // When the last of all was made or used; 0 = there is none. Looks at all of them.
  [[nodiscard]] std::int64_t newest() const;
  // Usernames of those neither used nor created since `deadline` (milliseconds since 1970), at most `limit`, looking at
  // no more than `look` entries from where the last call ended.
  [[nodiscard]] std::vector<std::string> unused_since(std::int64_t deadline, std::size_t limit, std::size_t look);

 private:
  struct Entry {
    std::int64_t created = 0;
    std::int64_t used = 0;
    bool marked = false;
    std::string packed;  // all else
  };
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  using Entries = std::unordered_map<std::string, Entry, TextHash, std::equal_to<>>;

  Entries entries_;
  std::vector<std::string> marks_;  // usernames
  std::size_t bucket_ = 0;          // where unused_since() goes on
};

}  // namespace countersign::zones
