#include "dnsd/update/replay_window.hpp"

#include <set>
#include <unordered_map>
#include <utility>

#include "dnsd/answer/dns_constants.hpp"

namespace countersign::dnsd {
namespace {

// A client says itself how far its clock may be off, in 16 bits: what is older passes no check of the time.
constexpr std::uint64_t kLongestFudge = 65'535;

struct Entry {
  std::uint64_t time_signed = 0;
  bool applied = false;
};

// What one key signed. Apart, so that a key that is used much, or whose clock is fast, takes nothing from another.
struct KeyMemory {
  std::unordered_map<std::string, Entry> entries;                // by MAC
  std::set<std::pair<std::uint64_t, std::string_view>> by_time;  // the MACs of `entries`
  std::optional<std::uint64_t> forgotten;                        // signed then or before: may have been one of ours

  void forget(std::uint64_t time_signed, const std::string& mac) {
    by_time.erase({time_signed, mac});
    entries.erase(mac);
  }
  void forget_oldest() {
    auto [time_signed, mac] = *by_time.begin();
    if (!forgotten || *forgotten < time_signed) forgotten = time_signed;
    forget(time_signed, std::string(mac));
  }
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
};

ReplayWindow::ReplayWindow(std::size_t capacity) : memory_(std::make_unique<Memory>()) {
  memory_->capacity = capacity == 0 ? 1 : capacity;
}

ReplayWindow::~ReplayWindow() = default;

ReplayWindow::Found ReplayWindow::look(std::string_view key, std::string_view mac, std::uint64_t time_signed,
                                       std::uint64_t now) {
  KeyMemory& memory = memory_->keys[std::string(key)];
  // `forgotten` remembers them together, should the clock be set back.
  while (!memory.by_time.empty() && now > kLongestFudge && memory.by_time.begin()->first < now - kLongestFudge) {
    memory.forget_oldest();
    --memory_->size;
  }
  auto found = memory.entries.find(std::string(mac));
  if (found != memory.entries.end()) {
    if (!found->second.applied) return {Verdict::Pending, rcode::kNoError};
    return {Verdict::Applied, rcode::kNoError};
  }
  bool too_old = memory.forgotten && time_signed <= *memory.forgotten;
  return {too_old ? Verdict::TooOld : Verdict::New, rcode::kNoError};
}

void ReplayWindow::note_begun(std::string_view key, std::string_view mac, std::uint64_t time_signed) {
  KeyMemory& memory = memory_->keys[std::string(key)];
  if (memory.entries.contains(std::string(mac))) return;
  if (memory_->size >= memory_->capacity) memory_->make_room();
  auto [entry, added] = memory.entries.emplace(mac, Entry{time_signed});
  memory.by_time.emplace(time_signed, entry->first);
  ++memory_->size;
}

void ReplayWindow::note_ended(std::string_view key, std::string_view mac, std::uint16_t rcode) {
  auto memory = memory_->keys.find(std::string(key));
  if (memory == memory_->keys.end()) return;
  auto found = memory->second.entries.find(std::string(mac));
  // Forgotten for room: it is too old now.
  if (found == memory->second.entries.end()) return;
  if (rcode == rcode::kNoError) {
    found->second.applied = true;
  } else if (!found->second.applied) {
    memory->second.forget(found->second.time_signed, std::string(mac));
    --memory_->size;
  }
}

}  // namespace countersign::dnsd
