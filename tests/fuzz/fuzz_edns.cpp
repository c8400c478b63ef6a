// EDNS options and what comes behind the question, with a good question before them: the input is the OPT's RDATA and
// the records behind it. The first octets pick transport, question, version, flags and payload size. AnswerFixture
// throws, and so ends the process, when a response breaks a rule; rate limiting is on, so that its ways are walked too.
#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "tests/support/answer_fixture.hpp"

namespace {

using countersign::dnsd::AnswerSettings;
using countersign::dnsd::CookieSecret;
using countersign::dnsd::Transport;
using countersign::tests::AnswerFixture;
using countersign::tests::Packet;
using countersign::tests::QueryBuilder;
using countersign::tests::RawOpt;

constexpr std::size_t kHeader = 6;
constexpr auto kQuestions = std::to_array<std::string_view>(
    {"auth.example.net SOA", "www.auth.example.net A", "missing.auth.example.net TXT", "full.auth.example.net TXT",
     "x.child.auth.example.net A", "outside.test A", "id.server TXT class=CH", "-"});

std::unique_ptr<AnswerFixture> make_server() {
  AnswerSettings settings{.nsid = std::string(64, 'n'),
                          .version = std::string(255, 'v'),
                          .responses_per_second = 1000,
                          .cookie_secrets = {CookieSecret{std::byte{1}}, CookieSecret{std::byte{2}}}};
  auto server = std::make_unique<AnswerFixture>(countersign::tests::standard_zones(), std::move(settings));
  std::vector<std::string> values;
  for (char c = 'a'; c < 'q'; ++c) values.emplace_back(43, c);
  server->publish("full.auth.example.net", values);
  return server;
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer gives the name.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::unique_ptr<AnswerFixture> server = make_server();
  static std::uint64_t now = 0;
  if (size < kHeader || size > 4096) return 0;
  Packet input(reinterpret_cast<const char*>(data) + kHeader, size - kHeader);
  // The options, then whatever is left as records behind the OPT.
  std::size_t options = std::min<std::size_t>(input.size(), data[1]);
  RawOpt opt{.size = static_cast<std::uint16_t>(data[2] << 4U),
             .version = static_cast<std::uint8_t>(data[3] == 0xff ? 1 : 0),
             .flags = static_cast<std::uint16_t>(data[4] << 8U),
             .options = input.substr(0, options)};
  QueryBuilder query(kQuestions[data[0] % kQuestions.size()]);
  query.additional(opt.wire());
  if (options < input.size()) query.additional(input.substr(options));
  now += data[5];
  server->set_moment({.elapsed_us = now, .unix_seconds = static_cast<std::uint32_t>(now)});
  Transport transport = (data[0] & 0x80U) != 0 ? Transport::Tcp : Transport::Udp;
  countersign::tests::Reply reply = server->send(query.build(), transport);
  // A cookie that we gave is good with us at once.
  if (reply.answered) {
    if (auto cookie = reply.message.option(10)) {
      QueryBuilder again("www.auth.example.net A option=10:" + countersign::tests::to_hex(*cookie));
      countersign::tests::Reply good = server->send(again.build(), transport);
      if (good.counters.find("cookies_valid") == std::string::npos) throw std::runtime_error("our own cookie refused");
    }
  }
  return 0;
}
