#include "dnsd/update/replay_window.hpp"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include "dnsd/answer/dns_constants.hpp"
#include "dnsd/update/tsig.hpp"

namespace countersign::dnsd {
namespace {

// Seconds. What is older than kMaxFudge passes no check of the time, unless the clock is set back.
constexpr std::uint64_t kKept = 65'535;
// Seconds in which a client sends a message again because its answer was lost, or another server had none.
constexpr std::uint64_t kTryAgain = 10;

enum class State : std::uint8_t { Pending, GivenUp, Answered };

struct Entry {
  std::uint64_t time_signed = 0;
  std::uint64_t first_seen = 0;
  State state = State::Pending;
  std::uint16_t rcode = 0;
};

// What one key signed. Apart, so that a key that is used much, or whose clock is fast, takes nothing from another.
struct KeyMemory {
  std::unordered_map<std::string, Entry> entries;                // by MAC
  std::set<std::pair<std::uint64_t, std::string_view>> by_time;  // the MACs of `entries`
  std::optional<std::uint64_t> mark;                             // signed then or before: may have been one of ours

  void raise_mark(std::uint64_t time_signed) { mark = std::max(mark.value_or(0), time_signed); }
  void forget_oldest() {
    auto [time_signed, mac] = *by_time.begin();
    raise_mark(time_signed);
    by_time.erase(by_time.begin());
    entries.erase(std::string(mac));
  }
  // What a client with a fast clock signs is no further ahead. The clock was set back: a mark from before would refuse
  // everybody until then.
  [[nodiscard]] bool mark_holds(std::uint64_t now) const { return mark && *mark <= now + kMaxFudge; }
};

}  // namespace

struct ReplayWindow::Memory {
  std::unordered_map<std::string, KeyMemory> keys;
  std::size_t capacity = 0;
  std::size_t size = 0;

  // There are few keys, as many as somebody wrote into a configuration.
  void make_room() {
    KeyMemory* largest = nullptr;
    for (auto& [name, key] : keys)
      if (largest == nullptr || key.entries.size() > largest->entries.size()) largest = &key;
    if (largest == nullptr || largest->entries.empty()) return;
    largest->forget_oldest();
    --size;
  }
  // Null: forgotten for room, and too old now.
  [[nodiscard]] Entry* find(std::string_view key, std::string_view mac) {
    auto memory = keys.find(std::string(key));
    if (memory == keys.end()) return nullptr;
    auto found = memory->second.entries.find(std::string(mac));
    return found == memory->second.entries.end() ? nullptr : &found->second;
  }
};

ReplayWindow::ReplayWindow(std::size_t capacity) : memory_(std::make_unique<Memory>()) {
  memory_->capacity = capacity == 0 ? 1 : capacity;
}

ReplayWindow::~ReplayWindow() = default;

void ReplayWindow::set_mark(std::string_view key, std::uint64_t time_signed) {
  memory_->keys[std::string(key)].raise_mark(time_signed);
}

ReplayWindow::Found ReplayWindow::look(std::string_view key, std::string_view mac, std::uint64_t time_signed,
                                       std::uint64_t now) {
  KeyMemory& memory = memory_->keys[std::string(key)];
  // The mark remembers them together, should the clock be set back.
  while (!memory.by_time.empty() && now > kKept && memory.by_time.begin()->first < now - kKept) {
    memory.forget_oldest();
    --memory_->size;
  }
  auto found = memory.entries.find(std::string(mac));
  if (found == memory.entries.end()) {
    bool too_old = memory.mark_holds(now) && time_signed <= *memory.mark;
    return {too_old ? Verdict::TooOld : Verdict::New, rcode::kNoError};
  }
  const Entry& entry = found->second;
  if (entry.state == State::Pending) return {Verdict::Pending, rcode::kNoError};
  if (entry.state == State::GivenUp) return {Verdict::GivenUp, rcode::kServFail};
  bool again = now >= entry.first_seen && now - entry.first_seen < kTryAgain;
  return {entry.rcode == rcode::kServFail && again ? Verdict::New : Verdict::Answered, entry.rcode};
}

void ReplayWindow::note_begun(std::string_view key, std::string_view mac, std::uint64_t time_signed,
                              std::uint64_t now) {
  if (Entry* again = memory_->find(key, mac)) {
    again->state = State::Pending;
    return;
  }
  KeyMemory& memory = memory_->keys[std::string(key)];
  // Client and server agree that the mark's time is still to come: it is from before the clock was set back, and must
  // not hold when the time comes near.
  if (!memory.mark_holds(now)) memory.mark.reset();
  if (memory_->size >= memory_->capacity) memory_->make_room();
  auto [entry, added] = memory.entries.emplace(mac, Entry{.time_signed = time_signed, .first_seen = now});
  memory.by_time.emplace(time_signed, entry->first);
  ++memory_->size;
}

void ReplayWindow::note_given_up(std::string_view key, std::string_view mac) {
  Entry* entry = memory_->find(key, mac);
  if (entry != nullptr && entry->state == State::Pending) entry->state = State::GivenUp;
}

void ReplayWindow::note_ended(std::string_view key, std::string_view mac, std::uint16_t rcode) {
  Entry* entry = memory_->find(key, mac);
  if (entry == nullptr || entry->state == State::Answered) return;
  entry->state = State::Answered;
  entry->rcode = rcode;
}

}  // namespace countersign::dnsd
