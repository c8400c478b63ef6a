// A closed-loop DNS client for the benchmark: a window of queries for n<i>.ZONE is always outstanding, and every answer
// is checked against what the name must own. Reads one line a slice, "ADDRESS:PORT MILLISECONDS CHECK", CHECK being
// "full" or "id" (for a reflector), and prints "ANSWERED LOST WRONG NANOSECONDS".
#include <poll.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "base/descriptor.hpp"
#include "base/name.hpp"
#include "base/socket_address.hpp"
#include "base/wire.hpp"

namespace {

namespace base = countersign::base;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kBatch = 32;
constexpr std::size_t kMaxWindow = 4096;  // the low 12 bits of the id are the slot
constexpr std::size_t kPacketSize = 1500;
constexpr std::size_t kHeaderLength = 12;
constexpr std::size_t kValueLength = 43;
// An answer later than that is lost. Far above what a server that works needs, even while the machine is busy.
constexpr std::chrono::milliseconds kPatience{200};

struct Settings {
  std::uint64_t names = 1000;
  std::string zone = "auth.test";
  std::size_t window = 128;
  unsigned absent_percent = 0;
  bool random_case = false;
};

enum class Check { Full, Id };

struct Slot {
  bool busy = false;
  bool exists = true;
  std::uint16_t generation = 0;
  std::uint64_t number = 0;
  std::size_t length = 0;  // of the query
  Clock::time_point sent{};
  std::array<std::byte, 300> query{};
};

struct Tally {
  std::uint64_t answered = 0;
  std::uint64_t lost = 0;
  std::uint64_t wrong = 0;
  std::chrono::nanoseconds elapsed{0};
};

// What tests/bench/dns.py publishes for n<number>.
std::string value_of(std::uint64_t number) {
  std::string digits = std::to_string(number);
  return std::string(kValueLength - digits.size(), '0') + digits;
}

class Random {
 public:
  std::uint64_t next() {
    state_ ^= state_ << 13U;
    state_ ^= state_ >> 7U;
    state_ ^= state_ << 17U;
    return state_;
  }

 private:
  std::uint64_t state_ = 0x9e3779b97f4a7c15U;
};

class Generator {
 public:
  Generator(Settings settings, const base::Name& zone)
      : settings_(std::move(settings)), zone_(zone), slots_(settings_.window), packets_(kBatch * kPacketSize) {}

  Tally run(const base::SocketAddress& server, std::chrono::milliseconds duration, Check check);

 private:
  void make_query(std::size_t index);
  void send_free(int fd);
  [[nodiscard]] bool receive(int fd, Check check);
  [[nodiscard]] bool is_right(const Slot& slot, base::Bytes answer, Check check) const;
  void give_up_late();

  Settings settings_;
  base::Name zone_;
  Random random_;
  std::vector<Slot> slots_;
  std::vector<std::size_t> free_;
  std::vector<std::byte> packets_;
  Tally tally_;
};

void Generator::make_query(std::size_t index) {
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

void Generator::send_free(int fd) {
  std::array<mmsghdr, kBatch> messages{};
  std::array<iovec, kBatch> buffers{};
  while (!free_.empty()) {
    std::size_t count = std::min(free_.size(), kBatch);
    Clock::time_point now = Clock::now();
    for (std::size_t i = 0; i < count; ++i) {
      std::size_t index = free_[free_.size() - 1 - i];
      make_query(index);
      slots_[index].sent = now;
      buffers[i] = {slots_[index].query.data(), slots_[index].length};
      messages[i].msg_hdr.msg_iov = &buffers[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    int sent = sendmmsg(fd, messages.data(), static_cast<unsigned>(count), 0);
    // What was not taken stays busy and is given up later, as a lost one.
    static_cast<void>(sent);
    free_.resize(free_.size() - count);
  }
}

bool Generator::is_right(const Slot& slot, base::Bytes answer, Check check) const {
  if (check == Check::Id) return answer.size() == slot.length;
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

// False when nothing was there.
bool Generator::receive(int fd, Check check) {
  std::array<mmsghdr, kBatch> messages{};
  std::array<iovec, kBatch> buffers{};
  for (std::size_t i = 0; i < kBatch; ++i) {
    buffers[i] = {packets_.data() + i * kPacketSize, kPacketSize};
    messages[i].msg_hdr.msg_iov = &buffers[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  int got = recvmmsg(fd, messages.data(), kBatch, MSG_DONTWAIT, nullptr);
  for (int i = 0; i < got; ++i) {
    base::Bytes answer(packets_.data() + static_cast<std::size_t>(i) * kPacketSize,
                       messages[static_cast<std::size_t>(i)].msg_len);
    if (answer.size() < kHeaderLength) {
      ++tally_.wrong;
      continue;
    }
    std::uint16_t id = base::load_u16(answer.data());
    std::size_t index = id & 0xfffU;
    // Late answers to queries that were given up.
    if (index >= slots_.size() || !slots_[index].busy || slots_[index].generation != id >> 12U) continue;
    if (is_right(slots_[index], answer, check))
      ++tally_.answered;
    else
      ++tally_.wrong;
    slots_[index].busy = false;
    free_.push_back(index);
  }
  return got > 0;
}

void Generator::give_up_late() {
  Clock::time_point now = Clock::now();
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].busy || now - slots_[i].sent < kPatience) continue;
    ++tally_.lost;
    slots_[i].busy = false;
    free_.push_back(i);
  }
}

Tally Generator::run(const base::SocketAddress& server, std::chrono::milliseconds duration, Check check) {
  tally_ = {};
  base::Descriptor socket(::socket(server.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  int buffer = 4 << 20;
  setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  if (!socket || connect(socket.get(), server.data(), server.size()) != 0) {
    std::fprintf(stderr, "cannot connect to %s: %s\n", server.text().c_str(), std::strerror(errno));
    return tally_;
  }
  free_.clear();
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].busy = false;
    free_.push_back(i);
  }
  Clock::time_point start = Clock::now();
  pollfd waiting{socket.get(), POLLIN, 0};
  bool sending = true;
  while (sending || free_.size() < slots_.size()) {
    if (sending) send_free(socket.get());
    if (!receive(socket.get(), check)) {
      if (poll(&waiting, 1, 10) == 0) give_up_late();
    }
    tally_.elapsed = Clock::now() - start;
    sending = tally_.elapsed < duration;
  }
  return tally_;
}

}  // namespace

int main(int argc, char* argv[]) {
  Settings settings;
  CLI::App app("closed-loop DNS query generator");
  app.add_option("--names", settings.names)->check(CLI::PositiveNumber);
  app.add_option("--zone", settings.zone);
  app.add_option("--window", settings.window)->check(CLI::Range(std::size_t{1}, kMaxWindow));
  app.add_option("--absent-percent", settings.absent_percent)->check(CLI::Range(0, 100));
  app.add_flag("--random-case", settings.random_case);
  CLI11_PARSE(app, argc, argv);
  auto zone = base::Name::parse(settings.zone);
  if (!zone) {
    std::fprintf(stderr, "%s\n", zone.error().message.c_str());
    return 2;
  }
  Generator generator(settings, *zone);
  std::string server, check;
  long long milliseconds = 0;
  while (std::cin >> server >> milliseconds >> check) {
    auto address = base::SocketAddress::parse(server);
    if (!address || (check != "full" && check != "id")) {
      std::fprintf(stderr, "bad line: %s %lld %s\n", server.c_str(), milliseconds, check.c_str());
      return 2;
    }
    Tally tally =
        generator.run(*address, std::chrono::milliseconds(milliseconds), check == "id" ? Check::Id : Check::Full);
    std::printf("%llu %llu %llu %lld\n", static_cast<unsigned long long>(tally.answered),
                static_cast<unsigned long long>(tally.lost), static_cast<unsigned long long>(tally.wrong),
                static_cast<long long>(tally.elapsed.count()));
    std::fflush(stdout);
  }
  return 0;
}
