#include "acme/control/question_log.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>

#include "acme/transport/interrupt.hpp"

namespace countersign::acme {
namespace {

using base::fail;
using base::Name;
using base::Result;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kBegin{5'000};  // a daemon under load
constexpr milliseconds kQuiet{1'000};  // only a bound: queries, an interruption and the end wake the thread at once
// The daemon tells its queries every two milliseconds; beyond this, what comes is somebody else's.
constexpr milliseconds kOnTheWay{20};
constexpr std::size_t kManyOwn = 10'000;

}  // namespace

struct QuestionLog::State {
  // Of one name. Marks are the numbers of queries.
  struct Asked {
    std::deque<Mark> all;
    std::deque<Mark> txt;
  };
  struct Waiter {
    std::set<Name>& unasked;
    std::condition_variable wake;
  };
  struct Own {
    std::size_t left = 0;
    Clock::time_point until;
  };

  explicit State(QueryStream opened) : stream(std::move(opened)) {}

  // A log that takes the place of an ended one goes on where no mark of that one can be.
  static Mark first_mark() {
    static std::atomic<Mark> opened{0};
    return opened.fetch_add(1, std::memory_order_relaxed) << 40U;
  }

  void follow();
  void take(SeenQuery query);
  void drop_oldest();
  void wake_all();

  QueryStream stream;  // of the thread, but for stop()
  mutable std::mutex mutex;
  // All below by the mutex.
  std::deque<SeenQuery> kept;
  Mark last = first_mark();  // the newest in `kept`
  std::unordered_map<Name, Asked> asked;
  std::unordered_map<Name, std::vector<Waiter*>> waiting;
  std::set<Waiter*> waiters;
  std::unordered_map<Name, Own> own;
  bool follows = true;
  bool stopping = false;
  std::thread thread;
};

void QuestionLog::State::wake_all() {
  for (Waiter* waiter : waiters) waiter->wake.notify_one();
}

// An interruption ends the waiting of those whom it concerns; the others, who clean up, are followed for.
void QuestionLog::State::follow() {
  std::optional<Uninterrupted> shield;
  for (;;) {
    auto queries = stream.wait(kQuiet);
    std::unique_lock lock(mutex);
    if (stopping) return;
    for (SeenQuery& query : queries) take(std::move(query));
    if (stream.ended()) follows = false;
    if (!interrupted()) continue;
    wake_all();
    // The signal's descriptor stays readable: this would spin.
    shield.emplace();
  }
}

// The cost of a query does not grow with the waiters, nor with the names that they wait for.
void QuestionLog::State::take(SeenQuery query) {
  bool is_txt = query.type == "TXT";
  auto disregarded = is_txt ? own.find(query.name) : own.end();
  if (disregarded != own.end()) {
    bool is_own = Clock::now() < disregarded->second.until;
    if (--disregarded->second.left == 0 || !is_own) own.erase(disregarded);
    if (is_own) return;
  }
  ++last;
  Asked& of_name = asked[query.name];
  of_name.all.push_back(last);
  if (is_txt) of_name.txt.push_back(last);
  if (auto found = is_txt ? waiting.find(query.name) : waiting.end(); found != waiting.end()) {
    for (Waiter* waiter : found->second) {
      waiter->unasked.erase(query.name);
      if (waiter->unasked.empty()) waiter->wake.notify_one();
    }
    waiting.erase(found);
  }
  kept.push_back(std::move(query));
  if (kept.size() > kKept) drop_oldest();
}

void QuestionLog::State::drop_oldest() {
  Mark oldest = last - kept.size() + 1;
  auto found = asked.find(kept.front().name);
  auto drop = [oldest](std::deque<Mark>& marks) {
    if (!marks.empty() && marks.front() == oldest) marks.pop_front();
  };
  drop(found->second.all);
  drop(found->second.txt);
  if (found->second.all.empty()) asked.erase(found);
  kept.pop_front();
}

QuestionLog::QuestionLog(std::unique_ptr<State> state) : state_(std::move(state)) {}

QuestionLog::~QuestionLog() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->stream.stop();
  state_->thread.join();
}

Result<std::unique_ptr<QuestionLog>> QuestionLog::open(const std::filesystem::path& socket) {
  auto stream = QueryStream::open(socket);
  if (!stream) return fail(stream.error());
  if (auto begun = stream->await_begin(kBegin); !begun) return fail(begun.error());
  auto state = std::make_unique<State>(*std::move(stream));
  state->thread = std::thread([state = state.get()] { state->follow(); });
  std::unique_ptr<QuestionLog> log(new QuestionLog(std::move(state)));
  return log;
}

QuestionLog::Mark QuestionLog::mark() const {
  std::lock_guard lock(state_->mutex);
  return state_->last;
}

bool QuestionLog::await(Mark mark, std::set<Name>& unasked, milliseconds timeout) {
  auto end = Clock::now() + timeout;
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  std::erase_if(unasked, [&](const Name& name) {
    auto found = state.asked.find(name);
    return found != state.asked.end() && !found->second.txt.empty() && found->second.txt.back() > mark;
  });
  if (unasked.empty()) return true;
  State::Waiter waiter{unasked, {}};
  state.waiters.insert(&waiter);
  for (const Name& name : unasked) state.waiting[name].push_back(&waiter);
  waiter.wake.wait_until(lock, end, [&] { return unasked.empty() || interrupted(); });
  for (const Name& name : unasked) {
    auto found = state.waiting.find(name);
    if (found == state.waiting.end()) continue;
    std::erase(found->second, &waiter);
    if (found->second.empty()) state.waiting.erase(found);
  }
  state.waiters.erase(&waiter);
  return unasked.empty();
}

void QuestionLog::disregard(Mark since, const std::map<Name, std::size_t>& own) {
  std::lock_guard lock(state_->mutex);
  auto now = Clock::now();
  if (state_->own.size() > kManyOwn)
    std::erase_if(state_->own, [now](const auto& one) { return one.second.until < now; });
  for (const auto& [name, count] : own) {
    auto found = state_->asked.find(name);
    std::size_t seen = 0;
    if (found != state_->asked.end()) {
      const auto& marks = found->second.txt;
      seen = static_cast<std::size_t>(marks.end() - std::upper_bound(marks.begin(), marks.end(), since));
    }
    if (seen < count) state_->own[name] = {count - seen, now + kOnTheWay};
  }
}

std::vector<SeenQuery> QuestionLog::of(Mark mark, const Name& name) const {
  std::vector<SeenQuery> queries;
  std::lock_guard lock(state_->mutex);
  auto found = state_->asked.find(name);
  if (found == state_->asked.end()) return queries;
  const auto& marks = found->second.all;
  Mark oldest = state_->last - state_->kept.size() + 1;
  for (auto at = std::upper_bound(marks.begin(), marks.end(), mark); at != marks.end(); ++at)
    queries.push_back(state_->kept[*at - oldest]);
  return queries;
}

bool QuestionLog::follows() const {
  std::lock_guard lock(state_->mutex);
  return state_->follows;
}

}  // namespace countersign::acme
