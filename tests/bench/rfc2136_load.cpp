// A closed-loop client of RFC 2136 for the benchmark: a window of signed updates (RFC 8945, hmac-sha256) over UDP, each
// of which replaces the TXT records of a name by a new one. Reads one line a slice, "ADDRESS:PORT WINDOW MILLISECONDS
// SAMPLE", and prints "DONE ERRORS NANOSECONDS P50 P99 MAX ASKED MISSED ASKED_P50 ASKED_MAX", times in nanoseconds; an
// update without an answer for two seconds is an error. Slot i of n has the names i, i + n, i + 2n...
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <poll.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "base/descriptor.hpp"
#include "base/socket_address.hpp"
#include "tests/bench/dns_question.hpp"
#include "tests/bench/latencies.hpp"

namespace {

namespace base = countersign::base;
using countersign::bench::DnsQuestion;
using countersign::bench::Latencies;
using countersign::bench::Random;
using countersign::bench::wire_name;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxWindow = 1024;  // the low 10 bits of the id are the slot
constexpr std::size_t kMac = 32;
constexpr std::size_t kValue = 43;
constexpr std::chrono::seconds kPatience{2};

struct Settings {
  std::string zone = "auth.test", key, secret;  // the secret as octets
  std::size_t names = 1000;
};

std::string number16(std::size_t value) {
  return {static_cast<char>(value >> 8U), static_cast<char>(value)};
}

struct Slot {
  std::size_t name = 0;
  std::size_t generation = 0;
  bool busy = false;
  std::string value;
  Clock::time_point began;
};

class Load {
 public:
  explicit Load(Settings settings)
      : settings_(std::move(settings)), zone_wire_(wire_name(settings_.zone)), key_wire_(wire_name(settings_.key)) {}

  bool run(const base::SocketAddress& server, std::size_t window, std::chrono::milliseconds duration,
           std::size_t sample) {
    base::Descriptor socket(::socket(server.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket || connect(socket.get(), server.data(), server.size()) != 0) {
      std::fprintf(stderr, "cannot connect to %s\n", server.text().c_str());
      return false;
    }
    DnsQuestion question(server);
    slots_.assign(window, {});
    for (std::size_t i = 0; i < window; ++i) slots_[i].name = i;
    done_ = errors_ = asked_ = missed_ = 0;
    taken_ = asking_ = {};
    Clock::time_point start = Clock::now();
    for (std::size_t i = 0; i < window; ++i) send_next(socket.get(), i);
    std::size_t outstanding = window;
    pollfd waiting{socket.get(), POLLIN, 0};
    while (outstanding > 0) {
      int ready = poll(&waiting, 1, 100);
      bool more = Clock::now() - start < duration;
      std::size_t index = ready > 0 ? receive(socket.get(), question, sample) : give_up_one();
      if (index >= window) continue;
      if (more)
        send_next(socket.get(), index);
      else
        --outstanding;
    }
    report(Clock::now() - start);
    return true;
  }

 private:
  std::string name_of(const Slot& slot) const { return "u" + std::to_string(slot.name) + "." + settings_.zone; }

  void send_next(int socket, std::size_t index) {
    Slot& slot = slots_[index];
    slot.name = (slot.name + slots_.size()) % (settings_.names / slots_.size() * slots_.size());
    slot.generation = (slot.generation + 1) % 64;
    slot.value.resize(kValue);
    for (char& letter : slot.value) letter = static_cast<char>('a' + random_.next() % 26);
    std::string name = wire_name(name_of(slot));
    std::string message = number16(slot.generation << 10U | index) + std::string("\x28\0\0\1\0\0\0\2\0\0", 10) +
                          zone_wire_ + std::string("\0\x06\0\1", 4);
    message += name + std::string("\0\x10\0\xff\0\0\0\0\0\0", 10);
    message +=
        name + std::string("\0\x10\0\1\0\0\0\1", 8) + number16(kValue + 1) + static_cast<char>(kValue) + slot.value;
    append_tsig(message);
    slot.busy = true;
    slot.began = Clock::now();
    // What is not taken has no answer, which is an error soon.
    static_cast<void>(send(socket, message.data(), message.size(), 0));
  }

  void append_tsig(std::string& message) const {
    static const std::string algorithm = wire_name("hmac-sha256");
    auto now = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count());
    std::string time =
        number16(now >> 32U & 0xffff) + number16(now >> 16U & 0xffff) + number16(now & 0xffff) + number16(300);
    std::string signed_part =
        message + key_wire_ + std::string("\0\xff\0\0\0\0", 6) + algorithm + time + std::string(4, '\0');
    std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
    unsigned length = 0;
    HMAC(EVP_sha256(), settings_.secret.data(), static_cast<int>(settings_.secret.size()),
         reinterpret_cast<const unsigned char*>(signed_part.data()), signed_part.size(), mac.data(), &length);
    std::string rdata = algorithm + time + number16(kMac) +
                        std::string(reinterpret_cast<const char*>(mac.data()), kMac) + message.substr(0, 2) +
                        std::string(4, '\0');
    message[11] = 1;
    message += key_wire_ + std::string("\0\xfa\0\xff\0\0\0\0", 8) + number16(rdata.size()) + rdata;
  }

  // The slot that is free now, or none (>= window).
  std::size_t receive(int socket, DnsQuestion& question, std::size_t sample) {
    std::array<unsigned char, 4096> answer{};
    ssize_t got = recv(socket, answer.data(), answer.size(), MSG_DONTWAIT);
    if (got < 12) return kMaxWindow;
    std::size_t ident = static_cast<std::size_t>(answer[0]) << 8U | answer[1];
    std::size_t index = ident & (kMaxWindow - 1);
    if (index >= slots_.size() || !slots_[index].busy || slots_[index].generation != ident >> 10U) return kMaxWindow;
    Slot& slot = slots_[index];
    slot.busy = false;
    taken_.add(Clock::now() - slot.began);
    if ((answer[3] & 15U) != 0) {
      if (errors_++ < 3) std::fprintf(stderr, "RCODE %u\n", answer[3] & 15U);
      return index;
    }
    if (sample > 0 && done_ % sample == 0) {
      Clock::time_point before = Clock::now();
      ++asked_;
      if (question.ask(name_of(slot), slot.value) != DnsQuestion::Outcome::There) ++missed_;
      asking_.add(Clock::now() - before);
    }
    ++done_;
    return index;
  }

  std::size_t give_up_one() {
    for (std::size_t i = 0; i < slots_.size(); ++i)
      if (slots_[i].busy && Clock::now() - slots_[i].began > kPatience) {
        slots_[i].busy = false;
        ++errors_;
        return i;
      }
    return kMaxWindow;
  }

  void report(std::chrono::nanoseconds elapsed) {
    auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
    std::printf("%llu %llu %lld %llu %llu %llu %llu %llu %llu %llu\n", number(done_), number(errors_),
                static_cast<long long>(elapsed.count()), number(taken_.percentile(0.5)),
                number(taken_.percentile(0.99)), number(taken_.percentile(1)), number(asked_), number(missed_),
                number(asking_.percentile(0.5)), number(asking_.percentile(1)));
    std::fflush(stdout);
  }

  Settings settings_;
  std::string zone_wire_, key_wire_;
  std::vector<Slot> slots_;
  std::uint64_t done_ = 0, errors_ = 0, asked_ = 0, missed_ = 0;
  Random random_{static_cast<std::uint64_t>(Clock::now().time_since_epoch().count())};
  Latencies taken_, asking_;
};

}  // namespace

int main(int argc, char* argv[]) {
  Settings settings;
  std::string secret;
  CLI::App app("closed-loop client of RFC 2136");
  app.add_option("--zone", settings.zone);
  app.add_option("--key", settings.key)->required();
  app.add_option("--secret", secret, "base64, of 32 octets")->required();
  app.add_option("--names", settings.names)->check(CLI::Range(std::size_t{64}, std::size_t{1'000'000}));
  CLI11_PARSE(app, argc, argv);
  settings.secret.resize(secret.size());
  int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(settings.secret.data()),
                               reinterpret_cast<const unsigned char*>(secret.data()), static_cast<int>(secret.size()));
  if (length < static_cast<int>(kMac)) {
    std::fprintf(stderr, "bad --secret\n");
    return 2;
  }
  settings.secret.resize(kMac);
  Load load(settings);
  std::string server;
  std::size_t window = 0, sample = 0;
  long long milliseconds = 0;
  while (std::cin >> server >> window >> milliseconds >> sample) {
    auto address = base::SocketAddress::parse(server);
    if (!address || window == 0 || window > settings.names || window > kMaxWindow) {
      std::fprintf(stderr, "bad line: %s %zu\n", server.c_str(), window);
      return 2;
    }
    if (!load.run(*address, window, std::chrono::milliseconds(milliseconds), sample)) return 1;
  }
  return 0;
}
