// A TCP connection's stream without its socket: octets in, whole messages out, their answers framed and kept until the
// client takes them (RFC 1035 §4.2.2, RFC 7766). The server, its tests and a fuzzer drive it.
// Thread: any, one at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/wire.hpp"

namespace countersign::dnsd {

inline constexpr std::size_t kTcpPrefix = 2;          // octets of the length (RFC 1035 §4.2.2)
inline constexpr std::size_t kTcpMaxMessage = 65535;  // what it can say

// What has come from the client and is not answered yet.
class TcpInput {
 public:
  enum class Next : std::uint8_t { Message, Incomplete, Malformed };

  // Where the next octets of the stream go: into `shared`, which all connections read into, unless much of a message
  // is here already. arrived() and settle() must follow.
  [[nodiscard]] base::MutableBytes room(base::MutableBytes shared);
  // The first `count` octets of room(shared) have been filled.
  void arrived(base::Bytes shared, std::size_t count);
  // `message` lasts until settle(). Malformed: too short to be a message, so that what follows is no DNS either.
  [[nodiscard]] Next next(base::Bytes& message);
  // Keeps what is left, so that `shared` can serve another connection.
  void settle();
  // Octets of memory.
  [[nodiscard]] std::size_t kept() const { return own_.capacity(); }

 private:
  base::Bytes waiting_;  // in own_, or between room() and settle() in the shared octets
  std::vector<std::byte> own_;
};

// Answers behind each other, each with its prefix: they go out in one write (RFC 7766 §8).
class TcpOutput {
 public:
  // More queries are answered when this has been written, so that it bounds what a client that does not read costs.
  static constexpr std::size_t kEnough = 32768;

  TcpOutput() : octets_(kEnough + kTcpPrefix + kTcpMaxMessage) {}

  // Where the next message goes, kTcpMaxMessage octets.
  [[nodiscard]] base::MutableBytes place() {
    return base::MutableBytes(octets_).subspan(used_ + kTcpPrefix, kTcpMaxMessage);
  }
  // `length` octets of place() are a message.
  void add(std::size_t length) {
    base::store_u16(octets_.data() + used_, static_cast<std::uint16_t>(length));
    used_ += kTcpPrefix + length;
  }
  void clear() { used_ = 0; }
  [[nodiscard]] bool full() const { return used_ >= kEnough; }
  [[nodiscard]] base::Bytes octets() const { return base::Bytes(octets_).first(used_); }

 private:
  std::vector<std::byte> octets_;
  std::size_t used_ = 0;
};

// Used by all conversations of a thread in turn, so that a quiet connection needs no buffer.
struct TcpBuffers {
  // One read: a few hundred pipelined queries, and a fraction of a millisecond before other connections get their turn.
  static constexpr std::size_t kInput = 16384;

  std::vector<std::byte> input = std::vector<std::byte>(kInput);
  TcpOutput output;
};

class TcpConversation {
 public:
  // What it waits for: octets of the client, its taking of answers, answers that come later, or nothing more.
  enum class Wants : std::uint8_t { Octets, Room, Answers, End };

  // Where to read; then octets_came() must follow, with 0 when there was nothing.
  [[nodiscard]] base::MutableBytes room(TcpBuffers& buffers) { return input_.room(buffers.input); }

  // Peer: `std::size_t answer(Bytes query, MutableBytes place)` writes an answer and returns its octets, 0 = none;
  // `std::optional<std::size_t> write(Bytes)` returns how many octets were taken, nothing when the connection is
  // broken.
  template <class Peer>
  [[nodiscard]] Wants octets_came(TcpBuffers& buffers, std::size_t count, Peer& peer) {
    input_.arrived(buffers.input, count);
    return go_on(buffers, peer);
  }
  // The client sends no more; it still gets its answers.
  [[nodiscard]] Wants client_finished() {
    input_.settle();
    finished_ = true;
    return unsent_.empty() ? idle_wants() : Wants::Room;
  }
  // There may be room for what was not taken before.
  template <class Peer>
  [[nodiscard]] Wants room_came(TcpBuffers& buffers, Peer& peer) {
    return send_unsent(peer) ? go_on(buffers, peer) : wants_;
  }

  // A query's answer comes later, by answer_came(), in any order (RFC 7766 §7).
  void expect_answer() { ++expected_; }
  // `answer` may be empty: there will be none.
  template <class Peer>
  [[nodiscard]] Wants answer_came(base::Bytes answer, Peer& peer);

  [[nodiscard]] std::size_t expected() const { return expected_; }
  [[nodiscard]] bool is_sending() const { return !unsent_.empty(); }
  // Ended because of a message too short to be one.
  [[nodiscard]] bool is_malformed() const { return malformed_; }
  // Octets of memory.
  [[nodiscard]] std::size_t kept() const { return input_.kept() + unsent_.capacity(); }

 private:
  template <class Peer>
  [[nodiscard]] Wants go_on(TcpBuffers& buffers, Peer& peer);
  template <class Peer>
  [[nodiscard]] bool send_unsent(Peer& peer);
  // With nothing unsent.
  [[nodiscard]] Wants idle_wants() const {
    if (!finished_) return Wants::Octets;
    return expected_ > 0 ? Wants::Answers : Wants::End;
  }
  void keep_unsent(base::Bytes rest) { unsent_.assign(rest.begin(), rest.end()); }

  TcpInput input_;
  std::vector<std::byte> unsent_;
  std::size_t sent_ = 0;  // octets of unsent_ that have been taken
  std::size_t expected_ = 0;
  Wants wants_ = Wants::Octets;
  bool finished_ = false;
  bool malformed_ = false;
};

// Answers whole messages, oldest first, until there is no other or enough to write.
template <class Peer>
TcpInput::Next answer_waiting(TcpInput& input, TcpOutput& output, Peer& peer) {
  while (!output.full()) {
    base::Bytes query;
    TcpInput::Next next = input.next(query);
    if (next != TcpInput::Next::Message) return next;
    if (std::size_t length = peer.answer(query, output.place())) output.add(length);
  }
  return TcpInput::Next::Message;
}

template <class Peer>
TcpConversation::Wants TcpConversation::go_on(TcpBuffers& buffers, Peer& peer) {
  for (;;) {
    buffers.output.clear();
    TcpInput::Next next = answer_waiting(input_, buffers.output, peer);
    if (next == TcpInput::Next::Malformed) finished_ = malformed_ = true;
    wants_ = idle_wants();
    if (base::Bytes answers = buffers.output.octets(); !answers.empty()) {
      std::optional<std::size_t> taken = peer.write(answers);
      if (!taken) {
        wants_ = Wants::End;
      } else if (*taken < answers.size()) {
        // No more queries are answered, nor read, until these answers have been taken.
        keep_unsent(answers.subspan(*taken));
        wants_ = Wants::Room;
      } else if (next == TcpInput::Next::Message) {
        continue;
      }
    }
    input_.settle();
    return wants_;
  }
}

// True when all is sent and queries can be answered again; wants_ is set otherwise.
template <class Peer>
bool TcpConversation::send_unsent(Peer& peer) {
  std::optional<std::size_t> taken = peer.write(base::Bytes(unsent_).subspan(sent_));
  sent_ += taken.value_or(0);
  wants_ = taken ? Wants::Room : Wants::End;
  if (!taken || sent_ < unsent_.size()) return false;
  std::vector<std::byte>().swap(unsent_);  // with its memory: clear() keeps that
  sent_ = 0;
  return true;
}

template <class Peer>
TcpConversation::Wants TcpConversation::answer_came(base::Bytes answer, Peer& peer) {
  --expected_;
  bool waits = is_sending();
  if (!answer.empty()) {
    std::size_t before = unsent_.size();
    unsent_.resize(before + kTcpPrefix + answer.size());
    base::store_u16(unsent_.data() + before, static_cast<std::uint16_t>(answer.size()));
    std::copy(answer.begin(), answer.end(), unsent_.begin() + static_cast<std::ptrdiff_t>(before + kTcpPrefix));
  }
  // What is unsent goes first, when the client takes it.
  if (waits) return wants_ = Wants::Room;
  if (!answer.empty() && !send_unsent(peer)) return wants_;
  return wants_ = idle_wants();
}

}  // namespace countersign::dnsd
