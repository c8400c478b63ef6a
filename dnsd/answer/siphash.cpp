#include "dnsd/answer/siphash.hpp"

#include <array>
#include <bit>

namespace countersign::dnsd {
namespace {

// Little-endian, of up to eight octets.
std::uint64_t load_little(std::span<const std::byte> octets) {
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < octets.size(); ++i) word |= std::to_integer<std::uint64_t>(octets[i]) << (8 * i);
  return word;
}

class State {
 public:
  State(std::uint64_t k0, std::uint64_t k1)
      : v_{k0 ^ 0x736f6d6570736575U, k1 ^ 0x646f72616e646f6dU, k0 ^ 0x6c7967656e657261U, k1 ^ 0x7465646279746573U} {}

  void compress(std::uint64_t word) {
    v_[3] ^= word;
    round();
    round();
    v_[0] ^= word;
  }
  std::uint64_t finish() {
    v_[2] ^= 0xff;
    for (int i = 0; i < 4; ++i) round();
    return v_[0] ^ v_[1] ^ v_[2] ^ v_[3];
  }

 private:
  void round() {
    v_[0] += v_[1];
    v_[1] = std::rotl(v_[1], 13) ^ v_[0];
    v_[0] = std::rotl(v_[0], 32);
    v_[2] += v_[3];
    v_[3] = std::rotl(v_[3], 16) ^ v_[2];
    v_[0] += v_[3];
    v_[3] = std::rotl(v_[3], 21) ^ v_[0];
    v_[2] += v_[1];
    v_[1] = std::rotl(v_[1], 17) ^ v_[2];
    v_[2] = std::rotl(v_[2], 32);
  }

  std::array<std::uint64_t, 4> v_;
};

}  // namespace

std::uint64_t siphash(std::span<const std::byte, 16> key, std::span<const std::byte> message) {
  State state(load_little(key.first(8)), load_little(key.last(8)));
  std::span<const std::byte> rest = message;
  for (; rest.size() >= 8; rest = rest.subspan(8)) state.compress(load_little(rest.first(8)));
  state.compress(load_little(rest) | (static_cast<std::uint64_t>(message.size()) << 56U));
  return state.finish();
}

}  // namespace countersign::dnsd
