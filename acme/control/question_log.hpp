// The challenge queries that the daemon answers, followed on a thread of its own and kept for whoever waits for them.
// Thread: any.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "acme/control/daemon.hpp"
#include "base/name.hpp"
#include "base/result.hpp"

namespace countersign::acme {

class QuestionLog {
 public:
  using Mark = std::uint64_t;                    // of an earlier log too: everything in a later one is after it
  static constexpr std::size_t kKept = 100'000;  // queries; the oldest go first

  // Connected when it returns: no later query is missed (but for those that the daemon's rings lose). Error: as
  // QueryStream::open().
  [[nodiscard]] static base::Result<std::unique_ptr<QuestionLog>> open(const std::filesystem::path& socket);
  ~QuestionLog();
  QuestionLog(const QuestionLog&) = delete;
  QuestionLog& operator=(const QuestionLog&) = delete;

  // Now: what comes later is after it.
  [[nodiscard]] Mark mark() const;
  // Erases from `unasked` the names that were asked for by a TXT query after `mark`; waits up to `timeout`, or until
  // interrupted, for all of them. True when none is left.
  [[nodiscard]] bool await(Mark mark, std::set<base::Name>& unasked, std::chrono::milliseconds timeout);
  // The client's own questions are no CA's: that many TXT queries for each name after `since` are taken for them. Those
  // that are in the log stay there; those still on their way (a few milliseconds) are left out of it.
  void disregard(Mark since, const std::map<base::Name, std::size_t>& own);
  // All queries for `name` after `mark` (any type), in the order of time.
  [[nodiscard]] std::vector<SeenQuery> of(Mark mark, const base::Name& name) const;
  // False once the daemon went away: what comes after is not seen.
  [[nodiscard]] bool follows() const;

 private:
  struct State;
  explicit QuestionLog(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace countersign::acme
