#include <algorithm>
#include <string>
#include <vector>

#include "dnsd/net/tcp_framing.hpp"
#include "tests/support/catch.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using Wants = TcpConversation::Wants;

namespace {

std::string framed(std::string_view message) {
  std::string prefix(2, '\0');
  base::store_u16(reinterpret_cast<std::byte*>(prefix.data()), static_cast<std::uint16_t>(message.size()));
  return prefix.append(message);
}

std::string numbered(int number) {
  return "a query with number " + std::to_string(number);
}

// Answers with the query itself, `answer_length` octets of it.
struct Peer {
  std::size_t room = SIZE_MAX;  // octets that it will take
  std::size_t answer_length = 0;
  bool broken = false;
  std::vector<std::string> queries{};
  std::string taken{};
  int writes = 0;

  std::size_t answer(base::Bytes query, base::MutableBytes place) {
    queries.emplace_back(base::as_text(query));
    std::copy(query.begin(), query.end(), place.begin());
    return answer_length == 0 ? query.size() : answer_length;
  }
  std::optional<std::size_t> write(base::Bytes octets) {
    ++writes;
    if (broken) return std::nullopt;
    std::size_t count = std::min(room, octets.size());
    room -= room == SIZE_MAX ? 0 : count;
    taken += base::as_text(octets.first(count));
    return count;
  }
};

struct Talk {
  TcpBuffers buffers{};
  TcpConversation conversation{};
  Peer peer{};

  // One read.
  Wants send(std::string_view octets) {
    base::MutableBytes room = conversation.room(buffers);
    REQUIRE(room.size() >= octets.size());
    std::copy_n(base::as_bytes(octets).begin(), octets.size(), room.begin());
    Wants wants = conversation.octets_came(buffers, octets.size(), peer);
    // Other connections use them now.
    std::fill(buffers.input.begin(), buffers.input.end(), std::byte{0xff});
    return wants;
  }
};

}  // namespace

TEST_CASE("queries that came together are answered in their order with one write", "[dnsd][net]") {
  Talk talk;
  std::string all;
  for (int i = 0; i < 300; ++i) all += framed(numbered(i));
  CHECK(talk.send(all) == Wants::Octets);
  REQUIRE(talk.peer.queries.size() == 300);
  for (int i = 0; i < 300; ++i) CHECK(talk.peer.queries[static_cast<std::size_t>(i)] == numbered(i));
  CHECK(talk.peer.taken == all);
  CHECK(talk.peer.writes == 1);
  CHECK(talk.conversation.kept() == 0);
}

TEST_CASE("a query that comes octet by octet is whole with its last one", "[dnsd][net]") {
  Talk talk;
  std::string query = framed(numbered(1));
  for (std::size_t i = 0; i < query.size(); ++i) {
    CHECK(talk.peer.queries.empty());
    CHECK(talk.send(query.substr(i, 1)) == Wants::Octets);
  }
  CHECK(talk.peer.queries == std::vector<std::string>{numbered(1)});
  CHECK(talk.conversation.kept() == 0);
}

TEST_CASE("a message takes the memory of what has come of it, not of what was announced", "[dnsd][net]") {
  Talk talk;
  CHECK(talk.send(std::string("\xff\xff", 2) + std::string(98, 'x')) == Wants::Octets);
  CHECK(talk.conversation.kept() == 100);
  for (std::size_t left = 65535 - 98; left > 0;) {
    std::size_t count = std::min<std::size_t>(left, 400);
    CHECK(talk.send(std::string(count, 'x')) == Wants::Octets);
    left -= count;
    CHECK(talk.conversation.kept() <= 2 * (65535 + 2 - left) + 8192);
  }
  REQUIRE(talk.peer.queries.size() == 1);
  CHECK(talk.peer.queries[0] == std::string(65535, 'x'));
  CHECK(talk.conversation.kept() == 0);
}

TEST_CASE("an answer of 65535 octets fits behind others", "[dnsd][net]") {
  Talk talk;
  talk.peer.answer_length = 65535;
  CHECK(talk.send(framed(numbered(1)) + framed(numbered(2))) == Wants::Octets);
  CHECK(talk.peer.taken.size() == 2 * std::size_t{65537});
}

TEST_CASE("while answers are not taken no more queries are answered", "[dnsd][net]") {
  Talk talk;
  talk.peer.answer_length = 1000;
  talk.peer.room = 10;
  std::string all;
  for (int i = 0; i < 300; ++i) all += framed(numbered(i));
  CHECK(talk.send(all) == Wants::Room);
  std::size_t answered = talk.peer.queries.size();
  CHECK(answered < 40);
  CHECK(talk.conversation.kept() < 65536);
  talk.peer.room = 20'000;
  CHECK(talk.conversation.room_came(talk.buffers, talk.peer) == Wants::Room);
  CHECK(talk.peer.queries.size() == answered);
  talk.peer.room = SIZE_MAX;
  CHECK(talk.conversation.room_came(talk.buffers, talk.peer) == Wants::Octets);
  CHECK(talk.peer.queries.size() == 300);
  CHECK(talk.peer.taken.size() == 300 * std::size_t{1002});
  CHECK(talk.conversation.kept() == 0);
}

TEST_CASE("a message shorter than a header ends the conversation after the answers before it", "[dnsd][net]") {
  for (int length : {0, 1, 11}) {
    CAPTURE(length);
    Talk talk;
    talk.peer.room = 5;
    std::string bad = std::string(1, '\0') + std::string(1, static_cast<char>(length)) + std::string(20, 'x');
    CHECK(talk.send(framed(numbered(1)) + bad + framed(numbered(2))) == Wants::Room);
    talk.peer.room = SIZE_MAX;
    CHECK(talk.conversation.room_came(talk.buffers, talk.peer) == Wants::End);
    CHECK(talk.conversation.is_malformed());
    CHECK(talk.peer.taken == framed(numbered(1)));
    CHECK(talk.peer.queries.size() == 1);
  }
}

TEST_CASE("a broken connection ends the conversation, at the first write and later", "[dnsd][net]") {
  Talk talk;
  talk.peer.broken = true;
  CHECK(talk.send(framed(numbered(1))) == Wants::End);
  Talk later;
  later.peer.room = 5;
  CHECK(later.send(framed(numbered(1))) == Wants::Room);
  later.peer.broken = true;
  CHECK(later.conversation.room_came(later.buffers, later.peer) == Wants::End);
}

TEST_CASE("a client that finishes in the midst of a message is done", "[dnsd][net]") {
  Talk talk;
  CHECK(talk.send(framed(numbered(1)) + "\x01") == Wants::Octets);
  static_cast<void>(talk.conversation.room(talk.buffers));
  CHECK(talk.conversation.client_finished() == Wants::End);
  CHECK_FALSE(talk.conversation.is_malformed());
}
