// The query path: any octets over UDP or TCP, into the standard zones with values. The first octet picks transport and
// limit. AnswerFixture throws, and so ends the process, when a response breaks a rule.
#include <array>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include "tests/support/answer_fixture.hpp"

namespace {

using countersign::dnsd::AnswerSettings;
using countersign::dnsd::CookieSecret;
using countersign::dnsd::Query;
using countersign::dnsd::Transport;
using countersign::tests::AnswerFixture;
using countersign::tests::Packet;
using countersign::tests::standard_zones;

std::unique_ptr<AnswerFixture> make_server(std::uint16_t max_udp_payload) {
  AnswerSettings settings{.max_udp_payload = max_udp_payload,
                          .nsid = "ns1.site-a",
                          .version = "a version",
                          .cookie_secrets = {CookieSecret{std::byte{1}}, CookieSecret{std::byte{2}}}};
  auto server = std::make_unique<AnswerFixture>(standard_zones(), std::move(settings));
  server->publish("example.com.auth.example.net", {"one", "two"});
  server->publish("_acme-challenge.example.com", {std::string(255, 'x')});
  std::vector<std::string> values;
  for (char c = 'a'; c < 'q'; ++c) values.emplace_back(43, c);
  server->publish("full.auth.example.net", values);
  return server;
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer gives the name.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::array servers{make_server(512), make_server(1232), make_server(1400)};
  if (size == 0 || size > 65536) return 0;
  Transport transport = (data[0] & 1U) != 0 ? Transport::Tcp : Transport::Udp;
  AnswerFixture& server = *servers[(data[0] >> 1U) % servers.size()];
  Packet packet(reinterpret_cast<const char*>(data) + 1, size - 1);
  countersign::tests::Reply reply = server.send(packet, transport);

  // Neither what the slot held before nor what lies behind the query may matter.
  auto fresh = std::make_unique<Query>();
  if (server.respond(packet, transport, *fresh, std::byte{0x5a}) != reply.response)
    throw std::runtime_error("the response depends on more than the query");
  // What was answered is never answered again.
  if (reply.answered && server.send(reply.response, transport).answered)
    throw std::runtime_error("a response was answered");
  return 0;
}
