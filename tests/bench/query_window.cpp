#include "tests/bench/query_window.hpp"

#include <algorithm>
#include <cstdio>

namespace countersign::bench {
namespace {

constexpr std::size_t kHeaderLength = 12;
constexpr std::size_t kValueLength = 43;
// An answer later than that is lost. Far above what a server that works needs, even while the machine is busy.
constexpr std::chrono::milliseconds kPatience{200};

// What tests/bench/dns.py publishes for n<number>.
std::string value_of(std::uint64_t number) {
  std::string digits = std::to_string(number);
  return std::string(kValueLength - digits.size(), '0') + digits;
}

}  // namespace

void QueryWindow::start(Check check) {
  check_ = check;
  tally = {};
  free_.clear();
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].busy = false;
    free_.push_back(i);
  }
}

void QueryWindow::make_query(std::size_t index) {
  Slot& slot = slots_[index];
  slot.busy = true;
  slot.generation = static_cast<std::uint16_t>((slot.generation + 1) & 0xfU);
  slot.exists = settings_.absent_percent == 0 || random_.next() % 100 >= settings_.absent_percent;
  slot.number = random_.next() % settings_.names;
  std::array<char, 24> label{};
  int length = std::snprintf(label.data(), label.size(), "%c%llu", slot.exists ? 'n' : 'x',
                             static_cast<unsigned long long>(slot.number));
  base::WireWriter writer(slot.query);
  writer.u16(static_cast<std::uint16_t>(index | (static_cast<std::size_t>(slot.generation) << 12U)));
  constexpr std::array<std::uint16_t, 5> kHeader{0, 1, 0, 0, 1};
  for (std::uint16_t word : kHeader) writer.u16(word);  // flags, one question, one additional record
  writer.u8(static_cast<std::uint8_t>(length));
  writer.bytes(base::as_bytes(std::string_view(label.data(), static_cast<std::size_t>(length))));
  writer.bytes(base::as_bytes(zone_.wire()));
  if (settings_.random_case) {
    std::uint64_t bits = random_.next();
    for (std::size_t at = kHeaderLength; at < writer.position(); ++at, bits = (bits >> 1U) | (bits << 63U)) {
      auto c = std::to_integer<unsigned char>(slot.query[at]);
      if (c >= 'a' && c <= 'z' && (bits & 1U) != 0) slot.query[at] = static_cast<std::byte>(c - 0x20);
    }
  }
  writer.u16(16);  // TXT
  writer.u16(1);   // IN
  writer.u8(0);    // OPT (RFC 6891 §6.1.2): root, type, payload, flags, no options
  writer.u16(41);
  writer.u16(1232);
  writer.u32(0);
  writer.u16(0);
  slot.length = writer.position();
}

base::MutableBytes QueryWindow::send(Clock::time_point now) {
  std::size_t index = free_.back();
  free_.pop_back();
  make_query(index);
  slots_[index].sent = now;
  return base::MutableBytes(slots_[index].query).first(slots_[index].length);
}

bool QueryWindow::is_right(const Slot& slot, base::Bytes answer) const {
  if (check_ == Check::Id) return answer.size() == slot.length;
  std::size_t question = kHeaderLength + zone_.wire().size() + 1;
  question += std::to_integer<std::size_t>(slot.query[kHeaderLength]) + 4;
  base::WireReader reader(answer);
  reader.skip(2);
  std::uint16_t flags = reader.u16();
  std::uint16_t questions = reader.u16(), answers = reader.u16();
  if (answer.size() < question || (flags & 0x8000U) == 0 || questions != 1 ||
      (flags & 0xfU) != (slot.exists ? 0U : 3U) || answers != (slot.exists ? 1 : 0))
    return false;
  if (!std::equal(answer.begin() + kHeaderLength, answer.begin() + static_cast<std::ptrdiff_t>(question),
                  slot.query.begin() + kHeaderLength))
    return false;
  if (!slot.exists) return true;
  // Pointer to the question, type, class, TTL, length, then one string.
  base::WireReader record(answer.subspan(question));
  std::uint16_t owner = record.u16(), type = record.u16();
  record.skip(6);
  std::uint16_t length = record.u16();
  std::uint8_t text_length = record.u8();
  std::string_view text = base::as_text(record.bytes(kValueLength));
  return record.ok() && owner == 0xc00c && type == 16 && length == kValueLength + 1 && text_length == kValueLength &&
         text == value_of(slot.number);
}

bool QueryWindow::receive(base::Bytes answer) {
  if (answer.size() < kHeaderLength) {
    ++tally.wrong;
    return false;
  }
  std::uint16_t id = base::load_u16(answer.data());
  std::size_t index = id & 0xfffU;
  // Late answers to queries that were given up.
  if (index >= slots_.size() || !slots_[index].busy || slots_[index].generation != id >> 12U) return false;
  if (is_right(slots_[index], answer))
    ++tally.answered;
  else
    ++tally.wrong;
  slots_[index].busy = false;
  free_.push_back(index);
  return true;
}

std::size_t QueryWindow::give_up_late() {
  Clock::time_point now = Clock::now();
  std::size_t before = free_.size();
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].busy || now - slots_[i].sent < kPatience) continue;
    ++tally.lost;
    slots_[i].busy = false;
    free_.push_back(i);
  }
  return free_.size() - before;
}

}  // namespace countersign::bench
