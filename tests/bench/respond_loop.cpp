// Calls Responder on prepared queries, so that callgrind can count the instructions of one:
// respond_loop NAMES QUERIES; the difference between two counts of QUERIES is free of start-up.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "dnsd/answer/responder.hpp"
#include "zones/zone_records.hpp"

using namespace countersign;

namespace {

constexpr std::size_t kBatch = 32;

std::string query_packet(const base::Name& name, std::mt19937& random) {
  // id, RD, one question, one OPT of 1232 octets.
  std::string packet("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01", 12);
  for (char c : name.wire())
    packet.push_back(c >= 'a' && c <= 'z' && random() % 2 == 0 ? static_cast<char>(c - 32) : c);
  packet += std::string("\x00\x10\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00", 15);
  return packet;
}

}  // namespace

int main(int argc, char* argv[]) {
  int names = argc > 1 ? std::atoi(argv[1]) : 1000;
  std::size_t queries = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 100'000;
  zones::StaticZone zone;
  zone.apex = *base::Name::parse("auth.test");
  zones::Epochs epochs;
  zones::NameTable table(epochs);
  zones::ZoneRecords records({zone}, {}, table);
  records.publish_static();
  std::mt19937 random(1);
  std::vector<std::string> packets;
  for (int i = 0; i < names; ++i) {
    base::Name name = *base::Name::parse("n" + std::to_string(i) + ".auth.test");
    records.publish(name, {std::string(43, 'x')});
    packets.push_back(query_packet(name, random));
  }
  dnsd::Responder responder(table, 1232);
  dnsd::Counters counters;
  dnsd::Seen seen;
  std::vector<dnsd::Query> batch(kBatch);
  std::vector<std::byte> buffers(kBatch * 4096);
  std::size_t octets = 0;
  for (std::size_t done = 0; done < queries; done += kBatch) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      const std::string& packet = packets[random() % packets.size()];
      batch[i].packet = buffers.data() + i * 4096;
      batch[i].capacity = 4096;
      batch[i].length = packet.size();
      std::memcpy(batch[i].packet, packet.data(), packet.size());
      responder.parse(batch[i], counters);
    }
    for (dnsd::Query& query : batch) responder.find(query);
    for (dnsd::Query& query : batch) octets += responder.compose(query, counters, seen);
  }
  std::printf("%llu answers, %zu octets\n", static_cast<unsigned long long>(counters.noerror.read()), octets);
  return counters.noerror.read() == counters.responses.read() ? 0 : 1;
}
