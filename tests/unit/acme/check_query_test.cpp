#include "acme/check/query.hpp"

#include <atomic>

#include "tests/support/catch.hpp"
#include "tests/unit/acme/fake_name_server.hpp"

using namespace countersign;
using namespace countersign::acme::dns;
using std::chrono::milliseconds;
using test::Asked;
using test::FakeNameServer;
using test::Says;
using test::Via;

namespace {

const AskOptions kShort{{milliseconds(40), milliseconds(80)}, milliseconds(300)};
// For what must not be decided by a deadline.
const AskOptions kPatient{{milliseconds(5000)}, milliseconds(5000)};

base::Name name(std::string_view text) {
  return base::Name::parse(text).value();
}

base::Result<Reply> ask_one(const FakeNameServer& server, const AskOptions& options,
                            RecordType type = RecordType::Txt) {
  return ask({{server.address(), {name("www.example.test"), type, Recursion::Desired}}}, options).front();
}

const Says kHello{.aa = true, .answer = {"www.example.test TXT hello"}};

std::string with_id_changed(std::string message) {
  message[0] = static_cast<char>(message[0] ^ 1);
  return message;
}

}  // namespace

TEST_CASE("a reply is read with its flags, records and values", "[acme][check]") {
  std::string long_text(300, 'x');
  FakeNameServer server([&](const Asked& asked) -> std::vector<std::string> {
    return {reply_to(asked, {.aa = true,
                             .answer = {"www.example.test TXT hello", "www.example.test TXT " + long_text},
                             .authority = {"example.test NS ns1.example.test"},
                             .additional = {"ns1.example.test A 192.0.2.1", "ns1.example.test AAAA 2001:db8::1"}})};
  });
  auto reply = ask_one(server, kPatient);
  REQUIRE(reply);
  CHECK(reply->rcode == kNoError);
  CHECK(reply->authoritative);
  CHECK(reply->recursion_available);
  auto values = reply->answers(name("www.example.test"), RecordType::Txt);
  REQUIRE(values.size() == 2);
  CHECK(values[0].text() == "hello");
  CHECK(values[1].text() == long_text);
  REQUIRE(reply->authority.size() == 1);
  CHECK(reply->authority[0].name() == name("ns1.example.test"));
  REQUIRE(reply->additional.size() == 2);
  CHECK(reply->additional[0].address().address_text() == "192.0.2.1");
  CHECK(reply->additional[1].address().address_text() == "2001:db8::1");
  REQUIRE(server.log().size() == 1);
  CHECK(server.log()[0].recursion);
  CHECK(server.log()[0].edns);
}

TEST_CASE("forged, late and broken datagrams are passed over until the reply comes", "[acme][check]") {
  FakeNameServer server([](const Asked& asked) -> std::vector<std::string> {
    Asked other = asked;
    other.name = "evil.example.test";
    Asked other_type = asked;
    other_type.type = 1;
    std::string query = asked.message;  // without QR: a query, not a reply
    const Says lie{.aa = true, .answer = {"www.example.test TXT forged"}};
    return {with_id_changed(reply_to(asked, lie)),
            reply_to(other, lie),
            reply_to(other_type, lie),
            query,
            "",
            std::string(11, '\xff'),
            std::string(4096, '\xff'),
            reply_to(asked, lie).substr(0, 14),
            reply_to(asked, kHello)};
  });
  auto reply = ask_one(server, kPatient);
  REQUIRE(reply);
  REQUIRE(reply->answer.size() == 1);
  CHECK(reply->answer[0].text() == "hello");
}

TEST_CASE("a malformed reply with our id and question is an error after the last try", "[acme][check]") {
  FakeNameServer server([](const Asked& asked) -> std::vector<std::string> {
    std::string message = reply_to(asked, kHello);
    message.resize(message.size() - 14);  // cuts the OPT and the last octets of the TXT
    return {message};
  });
  auto reply = ask_one(server, kShort);
  REQUIRE_FALSE(reply);
  CHECK(reply.error().code == base::ErrorCode::Protocol);
  CHECK(reply.error().message.find("malformed") != std::string::npos);
  CHECK(server.log().size() == 2);
}

TEST_CASE("no prefix and no bit flip of a reply does more than fail", "[acme][check]") {
  Asked asked;
  asked.name = "www.example.test";
  asked.type = 16;
  asked.edns = true;
  asked.message = std::string("\x12\x34", 2);
  std::string good = reply_to(asked, {.answer = {"www.example.test TXT hello", "www.example.test CNAME a.example.test"},
                                      .authority = {"example.test SOA example.test"},
                                      .additional = {"a.example.test AAAA ::1"},
                                      .ede = {{7, "expired"}}});
  REQUIRE(parse_reply(base::as_bytes(good)));
  for (std::size_t length = 0; length < good.size(); ++length) {
    auto reply = parse_reply(base::as_bytes(std::string_view(good).substr(0, length)));
    if (reply) CHECK(reply->answer.size() <= 2);
  }
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string flipped = good;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    auto reply = parse_reply(base::as_bytes(flipped));
    if (reply) CHECK(reply->answer.size() <= 3);
  }
}

TEST_CASE("a truncated answer is fetched over TCP", "[acme][check]") {
  FakeNameServer server([](const Asked& asked) -> std::vector<std::string> {
    if (asked.via == Via::Udp) return {reply_to(asked, {.aa = true, .tc = true})};
    Says says{.aa = true};
    for (int i = 0; i < 100; ++i) says.answer.push_back("www.example.test TXT value" + std::to_string(i));
    return {reply_to(asked, says)};
  });
  auto reply = ask_one(server, kPatient);
  REQUIRE(reply);
  CHECK(reply->answer.size() == 100);
  CHECK(server.log().back().via == Via::Tcp);
}

TEST_CASE("a server that truncates and does not answer over TCP is an error", "[acme][check]") {
  FakeNameServer server([](const Asked& asked) -> std::vector<std::string> {
    if (asked.via == Via::Udp) return {reply_to(asked, {.tc = true})};
    return {};
  });
  auto reply = ask_one(server, kShort);
  REQUIRE_FALSE(reply);
  CHECK(reply.error().code == base::ErrorCode::Unavailable);
  CHECK(reply.error().message.find("TCP") != std::string::npos);
}

TEST_CASE("a lost datagram is sent again", "[acme][check]") {
  std::atomic<int> seen{0};
  FakeNameServer server([&](const Asked& asked) -> std::vector<std::string> {
    if (++seen == 1) return {};
    return {reply_to(asked, kHello)};
  });
  auto reply = ask_one(server, {{milliseconds(30), milliseconds(5000)}, milliseconds(5000)});
  REQUIRE(reply);
  CHECK(seen == 2);
}

TEST_CASE("a silent server is a timeout after all tries", "[acme][check]") {
  FakeNameServer server([](const Asked&) -> std::vector<std::string> { return {}; });
  auto reply = ask_one(server, kShort);
  REQUIRE_FALSE(reply);
  CHECK(reply.error().code == base::ErrorCode::Timeout);
  CHECK(reply.error().message.find("www.example.test TXT within 120 ms") != std::string::npos);
  CHECK(server.log().size() == 2);
}

TEST_CASE("a port where nobody listens is unavailable, without waiting for the deadline", "[acme][check]") {
  auto before = std::chrono::steady_clock::now();
  auto reply = ask({{test::closed_port(), {name("www.example.test"), RecordType::Txt, Recursion::Off}}},
                   {{milliseconds(5000), milliseconds(5000)}, milliseconds(5000)})
                   .front();
  REQUIRE_FALSE(reply);
  CHECK(reply.error().code == base::ErrorCode::Unavailable);
  CHECK(std::chrono::steady_clock::now() - before < milliseconds(4000));
}

TEST_CASE("a server that does not know EDNS is asked again without it", "[acme][check]") {
  FakeNameServer server([](const Asked& asked) -> std::vector<std::string> {
    if (asked.edns) return {asked.message.substr(0, 2) + std::string("\x80\x01\0\0\0\0\0\0\0\0", 10)};
    return {reply_to(asked, kHello)};
  });
  auto reply = ask_one(server, kPatient);
  REQUIRE(reply);
  CHECK(reply->answer.size() == 1);
  CHECK(server.log().size() == 2);
}

TEST_CASE("hundreds of questions go out together and keep their order", "[acme][check]") {
  FakeNameServer server([](const Asked& asked) -> std::vector<std::string> {
    return {reply_to(asked, {.aa = true, .answer = {asked.name + " TXT " + asked.name}})};
  });
  std::vector<Query> queries;
  for (int i = 0; i < 300; ++i)
    queries.push_back(
        {server.address(), {name("n" + std::to_string(i) + ".example.test"), RecordType::Txt, Recursion::Off}});
  auto replies = ask(queries, kPatient);
  REQUIRE(replies.size() == queries.size());
  for (std::size_t i = 0; i < replies.size(); ++i) {
    REQUIRE(replies[i]);
    REQUIRE(replies[i]->answer.size() == 1);
    CHECK(replies[i]->answer[0].text() == queries[i].question.name.text());
  }
}

TEST_CASE("extended errors are told in words, and control octets are not", "[acme][check]") {
  FakeNameServer server([](const Asked& asked) -> std::vector<std::string> {
    return {reply_to(asked, {.rcode = kServFail, .ede = {{7, "sig\x1b[31m of example.test"}}})};
  });
  auto reply = ask_one(server, kPatient);
  REQUIRE(reply);
  CHECK(reply->rcode == kServFail);
  CHECK(says_bogus(*reply));
  CHECK(extended_error_text(*reply) == "EDE 7, signature expired: sig?[31m of example.test");
}
