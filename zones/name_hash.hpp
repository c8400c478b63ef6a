// The seeded hash of a lower-case wire name, and lower-casing eight octets at a time.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace countersign::zones {

struct HashSeed {
  std::uint64_t a = 0;
  std::uint64_t b = 0;
};

[[nodiscard]] inline std::uint64_t load_word(const void* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// Each octet of A..Z gets bit 0x20. Length octets (0 to 63) lie below 'A', so whole names can be lowered blindly.
[[nodiscard]] inline std::uint64_t lower_word(std::uint64_t word) {
  constexpr std::uint64_t kOnes = 0x0101010101010101U;
  std::uint64_t low = word & (kOnes * 0x7fU);
  std::uint64_t above_z = low + kOnes * (0x7fU - 'Z');
  std::uint64_t from_a = low + kOnes * (0x80U - 'A');
  std::uint64_t is_upper = (from_a & ~above_z) & ~word & (kOnes * 0x80U);
  return word | (is_upper >> 2U);
}

// Folded 64x64 -> 128 bit multiplication.
[[nodiscard]] inline std::uint64_t fold_multiply(std::uint64_t x, std::uint64_t y) {
  __extension__ using Wide = unsigned __int128;
  Wide product = static_cast<Wide>(x) * y;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
}

// Only those who may write names could try to collide them, and they do not know the seed; so speed decides.
// One multiplication per eight octets; the last word is padded with zeros, and the length tells "a" from "a\0".
class NameHasher {
 public:
  NameHasher(HashSeed seed, std::size_t length) : seed_(seed), state_(seed.b ^ length) {}
  void add(std::uint64_t word) { state_ = fold_multiply(state_ ^ word ^ seed_.a, 0x9e3779b97f4a7c15U); }
  [[nodiscard]] std::uint64_t finish() const { return fold_multiply(state_ ^ seed_.a, seed_.b | 1U); }

 private:
  HashSeed seed_;
  std::uint64_t state_;
};

// The last `count` (1 to 7) octets before `end` as a word padded with zeros. At least eight octets before `end` are
// ours.
[[nodiscard]] inline std::uint64_t load_tail(const void* end, std::size_t count) {
  if constexpr (std::endian::native == std::endian::little)
    return load_word(static_cast<const std::byte*>(end) - 8) >> (8 * (8 - count));
  std::uint64_t word = 0;
  std::memcpy(&word, static_cast<const std::byte*>(end) - count, count);
  return word;
}

[[nodiscard]] inline std::uint64_t hash_name(HashSeed seed, const void* lowered, std::size_t length) {
  NameHasher hasher(seed, length);
  const auto* at = static_cast<const std::byte*>(lowered);
  std::size_t left = length;
  for (; left >= 8; left -= 8, at += 8) hasher.add(load_word(at));
  if (left > 0) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, left);
    hasher.add(word);
  }
  return hasher.finish();
}

}  // namespace countersign::zones
