// The framing of DNS over TCP: the stream cut into any reads, the answers taken in any pieces. Whatever the cuts are,
// the same messages come out and the same octets go back as when all is there at once.
//
// The input: an octet, so many cuts, then the stream.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "dnsd/net/tcp_framing.hpp"

namespace {

using countersign::base::as_bytes;
using countersign::base::as_text;
using countersign::base::Bytes;
using countersign::base::MutableBytes;
using countersign::dnsd::TcpBuffers;
using countersign::dnsd::TcpConversation;
using countersign::dnsd::TcpOutput;
using Wants = TcpConversation::Wants;

void require(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

// Some queries get none, others one that is longer than they are, the longest as long as can be.
std::string answer_to(std::string_view query) {
  if (query[2] == '!') return {};
  std::string answer(query);
  if (query[2] == '+') answer += answer + answer;
  if (query[2] == '*') answer.resize(countersign::dnsd::kTcpMaxMessage, 'x');
  answer.resize(std::min(answer.size(), countersign::dnsd::kTcpMaxMessage));
  return answer;
}

std::string framed(std::string_view message) {
  std::string prefix(2, '\0');
  prefix[0] = static_cast<char>(message.size() >> 8U);
  prefix[1] = static_cast<char>(message.size() & 0xffU);
  return prefix.append(message);
}

// What must come of it, written as plainly as can be.
struct Expected {
  std::vector<std::string> queries;
  std::string answers;
  bool malformed = false;

  explicit Expected(std::string_view stream) {
    while (stream.size() >= 2) {
      std::size_t length = static_cast<unsigned char>(stream[0]) * 256U + static_cast<unsigned char>(stream[1]);
      malformed = length < 12;
      if (malformed || stream.size() < 2 + length) return;
      queries.emplace_back(stream.substr(2, length));
      std::string answer = answer_to(queries.back());
      if (!answer.empty()) answers += framed(answer);
      stream.remove_prefix(2 + length);
    }
  }
};

// A client whose every read and write is cut as the input says.
struct Peer {
  std::string_view cuts;
  std::size_t next_cut = 0;
  std::vector<std::string> queries{};
  std::string taken{};

  // 0 means none at all: a call that was too early. Without cuts all goes through.
  std::size_t cut(std::size_t most) {
    if (next_cut == cuts.size()) return most;
    auto value = static_cast<unsigned char>(cuts[next_cut++]);
    return std::min(most, value < 128 ? std::size_t{value} : (std::size_t{value} - 127) * 300);
  }
  std::size_t answer(Bytes query, MutableBytes place) {
    queries.emplace_back(as_text(query));
    std::string answer = answer_to(queries.back());
    require(place.size() >= answer.size(), "no place for an answer");
    std::copy_n(as_bytes(answer).begin(), answer.size(), place.begin());
    return answer.size();
  }
  std::optional<std::size_t> write(Bytes octets) {
    require(!octets.empty(), "nothing is written");
    std::size_t count = cut(octets.size());
    taken += as_text(octets.first(count));
    return count;
  }
};

void run(std::string_view stream, Peer& peer, bool malformed) {
  // Another connection's octets are in the buffers whenever this one is not looked at.
  TcpBuffers buffers;
  TcpConversation conversation;
  Wants wants = Wants::Octets;
  while (wants != Wants::End) {
    require(conversation.kept() <= 2 * (TcpOutput::kEnough + 3 * countersign::dnsd::kTcpMaxMessage), "too much kept");
    require((wants == Wants::Room) == conversation.is_sending(), "what it wants");
    std::fill(buffers.input.begin(), buffers.input.end(), std::byte{0x5a});
    if (wants == Wants::Room) {
      wants = conversation.room_came(buffers, peer);
      continue;
    }
    MutableBytes room = conversation.room(buffers);
    require(!room.empty(), "no room for a read");
    if (stream.empty()) {
      wants = conversation.client_finished();
      continue;
    }
    std::size_t count = peer.cut(std::min(room.size(), stream.size()));
    std::copy_n(as_bytes(stream).begin(), count, room.begin());
    stream.remove_prefix(count);
    wants = conversation.octets_came(buffers, count, peer);
  }
  require(!conversation.is_sending(), "ended with answers unsent");
  require(conversation.is_malformed() == malformed, "malformed or not");
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer gives the name.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  if (input.empty()) return 0;
  std::size_t count = std::min<std::size_t>(static_cast<unsigned char>(input[0]), input.size() - 1);
  std::string_view cuts = input.substr(1, count);
  std::string_view stream = input.substr(1 + count);
  Expected expected(stream);
  Peer peer{cuts};
  run(stream, peer, expected.malformed);
  require(peer.queries == expected.queries, "other queries");
  require(peer.taken == expected.answers, "other answers");
  return 0;
}
