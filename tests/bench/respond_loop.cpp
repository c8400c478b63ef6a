// Calls Responder on prepared queries, so that callgrind can count the instructions of one:
// respond_loop NAMES QUERIES [MODE]; the difference between two counts of QUERIES is free of start-up.
// MODE plain (default): TXT with EDNS in lower case, all answered. mixed: random case, DO set, every tenth name absent,
// every tenth query for a type that its name does not have. zones: plain, the names spread over 1,000 zones. limited:
// plain, with rate limiting on and never reached.
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dnsd/answer/responder.hpp"
#include "zones/record_type.hpp"
#include "zones/zone_records.hpp"

using namespace countersign;

namespace {

constexpr std::size_t kBatch = 32;
constexpr std::size_t kCapacity = 2048;

// Of one size, so that the copy into a batch's slot, which recvmmsg makes in the daemon, is a few moves.
struct Packet {
  std::array<char, 62> octets{};
  std::uint16_t length = 0;
};

[[noreturn]] void give_up(const std::string& what) {
  std::fprintf(stderr, "respond_loop: %s\n", what.c_str());
  std::exit(1);
}

// What the loop must have counted in the end.
struct Expected {
  std::uint64_t nxdomain = 0;
  std::uint64_t nodata = 0;
};

enum class Mode { Plain, Mixed, Zones, Limited };
constexpr auto kModes = std::to_array<std::pair<std::string_view, Mode>>(
    {{"plain", Mode::Plain}, {"mixed", Mode::Mixed}, {"zones", Mode::Zones}, {"limited", Mode::Limited}});

constexpr std::size_t kZones = 1000;

// The zone of the name with this number.
std::string zone_of(Mode mode, std::size_t number) {
  return mode == Mode::Zones ? "z" + std::to_string(number % kZones) + ".test" : "auth.test";
}

class Asker {
 public:
  Asker(Mode mode, int names) : mode_(mode) {
    // At least so many that each tenth of a mixture is there often.
    auto count = static_cast<std::size_t>(std::max(4096, names));
    for (std::size_t i = 0; i < count; ++i) add(i, names);
    std::shuffle(packets_.begin(), packets_.end(), random_);
  }

  [[nodiscard]] const std::vector<Packet>& packets() const { return packets_; }
  // Of the first `count` queries, all packets in turn.
  [[nodiscard]] Expected expected(std::size_t count) const {
    Expected total;
    for (std::size_t i = 0; i < packets_.size(); ++i) {
      std::uint64_t times = count / packets_.size() + (i < count % packets_.size() ? 1 : 0);
      std::string_view packet(packets_[i].octets.data(), packets_[i].length);
      if (packet[13] == 'z' || packet[13] == 'Z')
        total.nxdomain += times;
      else if (packet[packet.size() - kBehindName + 1] != zones::record_type::kTxt)
        total.nodata += times;
    }
    return total;
  }

 private:
  static constexpr std::size_t kBehindName = 15;  // type, class, OPT

  void add(std::size_t number, int names) {
    bool mixed = mode_ == Mode::Mixed;
    bool absent = mixed && number % 10 == 3;
    bool other_type = mixed && number % 10 == 7;
    std::size_t owner = number % static_cast<std::size_t>(names);
    std::string label = (absent ? "z" : "n") + std::to_string(owner);
    base::Name name = *base::Name::parse(label + "." + zone_of(mode_, owner));
    // id, RD, one question, one OPT of 1232 octets.
    std::string packet("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01", 12);
    for (char c : name.wire())
      packet.push_back(mixed && c >= 'a' && c <= 'z' && random_() % 2 == 0 ? static_cast<char>(c - 32) : c);
    packet += {'\0', static_cast<char>(other_type ? zones::record_type::kA : zones::record_type::kTxt), '\0', '\x01'};
    packet += std::string_view("\x00\x00\x29\x04\xd0\x00\x00", 7);
    packet += {mixed ? '\x80' : '\0', '\0', '\0', '\0'};  // DO
    Packet made;
    if (packet.size() > made.octets.size()) give_up("a packet is too long");
    std::copy(packet.begin(), packet.end(), made.octets.begin());
    made.length = static_cast<std::uint16_t>(packet.size());
    packets_.push_back(made);
  }

  Mode mode_;
  std::mt19937 random_{1};
  std::vector<Packet> packets_;
};

std::vector<zones::StaticZone> make_zones(Mode mode) {
  conf::Config config;
  for (std::size_t i = 0; i < (mode == Mode::Zones ? kZones : 1); ++i) {
    conf::Zone zone;
    zone.name = *base::Name::parse(zone_of(mode, i));
    zone.nameservers = {*base::Name::parse("ns1.auth.test")};
    zone.hostmaster = *base::Name::parse("hostmaster.auth.test");
    if (mode != Mode::Zones) zone.records.push_back({"ns1 A 192.0.2.1", {}});
    config.zones.push_back(std::move(zone));
  }
  std::vector<conf::Problem> problems;
  return zones::build_static_zones(config, problems);
}

std::unique_ptr<dnsd::AnswerSettings> make_settings(Mode mode) {
  auto settings = std::make_unique<dnsd::AnswerSettings>();
  settings->cookie_secrets = {dnsd::random_cookie_secret()};
  // One client would be cut short with what is shipped; time stands still here, so even this is reached some day.
  if (mode == Mode::Limited) settings->responses_per_second = 1'000'000;
  return settings;
}

// The three passes of a UDP worker's batch. Returns octets of all responses.
std::size_t answer_all(const dnsd::Responder& responder, const std::vector<Packet>& packets, std::size_t queries,
                       dnsd::Counters& counters) {
  sockaddr_in client{};
  client.sin_family = AF_INET;
  client.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::vector<std::byte> buffers(kBatch * kCapacity);
  std::vector<dnsd::Query> batch(kBatch);
  for (std::size_t i = 0; i < kBatch; ++i) {
    batch[i].packet = buffers.data() + i * kCapacity;
    batch[i].capacity = kCapacity;
    batch[i].client = reinterpret_cast<const sockaddr*>(&client);
  }
  dnsd::Seen seen;
  std::size_t octets = 0;
  const Packet* next = packets.data();
  const Packet* end = next + packets.size();
  for (std::size_t done = 0; done < queries; done += kBatch) {
    for (dnsd::Query& query : batch) {
      std::memcpy(query.packet, next->octets.data(), sizeof next->octets);
      query.length = next->length;
      if (++next == end) next = packets.data();
      responder.parse(query, counters);
    }
    for (dnsd::Query& query : batch) responder.find(query);
    for (dnsd::Query& query : batch) octets += responder.compose(query, counters, seen);
  }
  return octets;
}

}  // namespace

int main(int argc, char* argv[]) {
  int names = argc > 1 ? std::atoi(argv[1]) : 1000;
  std::size_t queries = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 100'000;
  std::string_view word = argc > 3 ? argv[3] : "plain";
  auto found = std::ranges::find(kModes, word, &std::pair<std::string_view, Mode>::first);
  if (names < 1 || queries < 1 || argc > 4 || found == kModes.end())
    give_up("usage: respond_loop NAMES QUERIES [plain|mixed|zones|limited]");
  Mode mode = found->second;
  queries = (queries + kBatch - 1) / kBatch * kBatch;
  zones::Epochs epochs;
  zones::NameTable table(epochs);
  zones::ZoneRecords records(make_zones(mode), {}, table);
  records.publish_static();
  for (std::size_t i = 0; i < static_cast<std::size_t>(names); ++i)
    records.publish(*base::Name::parse("n" + std::to_string(i) + "." + zone_of(mode, i)), {std::string(43, 'x')});
  Asker asker(mode, names);
  dnsd::Responder responder(table, make_settings(mode));
  dnsd::Counters counters;
  std::size_t octets = answer_all(responder, asker.packets(), queries, counters);
  Expected expected = asker.expected(queries);
  std::printf("%zu queries, %llu nxdomain, %llu nodata, %zu octets\n", queries,
              static_cast<unsigned long long>(counters.nxdomain.read()),
              static_cast<unsigned long long>(counters.nodata.read()), octets);
  bool right = counters.responses.read() == queries && counters.nxdomain.read() == expected.nxdomain &&
               counters.nodata.read() == expected.nodata && counters.noerror.read() == queries - expected.nxdomain &&
               counters.edns.read() == queries;
  if (!right) give_up("the answers are not the expected ones");
  return 0;
}
