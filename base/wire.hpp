// Bounds-checked cursors over wire data, with a sticky error: read or write many fields, check ok() once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace countersign::base {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

[[nodiscard]] inline Bytes as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}
[[nodiscard]] inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Unchecked big-endian access, for places whose bounds were checked before.
[[nodiscard]] inline std::uint16_t load_u16(const std::byte* at) {
  return static_cast<std::uint16_t>((std::to_integer<unsigned>(at[0]) << 8U) | std::to_integer<unsigned>(at[1]));
}
[[nodiscard]] inline std::uint32_t load_u32(const std::byte* at) {
  return (static_cast<std::uint32_t>(load_u16(at)) << 16U) | load_u16(at + 2);
}
inline void store_u16(std::byte* at, std::uint16_t value) {
  at[0] = static_cast<std::byte>(value >> 8U);
  at[1] = static_cast<std::byte>(value & 0xffU);
}
inline void store_u32(std::byte* at, std::uint32_t value) {
  store_u16(at, static_cast<std::uint16_t>(value >> 16U));
  store_u16(at + 2, static_cast<std::uint16_t>(value & 0xffffU));
}

// Reads past the end yield zeros (or an empty span) and set the error.
class WireReader {
 public:
  explicit WireReader(Bytes data) : data_(data) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::size_t position() const { return position_; }
  [[nodiscard]] std::size_t left() const { return data_.size() - position_; }

  std::uint8_t u8() { return take(1) ? std::to_integer<std::uint8_t>(data_[position_ - 1]) : std::uint8_t{0}; }
  std::uint16_t u16() { return take(2) ? load_u16(data_.data() + position_ - 2) : std::uint16_t{0}; }
  std::uint32_t u32() { return take(4) ? load_u32(data_.data() + position_ - 4) : std::uint32_t{0}; }
  Bytes bytes(std::size_t count) { return take(count) ? data_.subspan(position_ - count, count) : Bytes{}; }
  void skip(std::size_t count) { take(count); }
  void fail() { ok_ = false; }

 private:
  bool take(std::size_t count) {
    if (!ok_ || left() < count) {
      ok_ = false;
      return false;
    }
    position_ += count;
    return true;
  }

  Bytes data_;
  std::size_t position_ = 0;
  bool ok_ = true;
};

// Writes past the end write nothing and set the error.
class WireWriter {
 public:
  explicit WireWriter(MutableBytes data, std::size_t position = 0) : data_(data), position_(position) {
    if (position_ > data_.size()) ok_ = false;
  }

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::size_t position() const { return position_; }
  [[nodiscard]] std::size_t left() const { return data_.size() - position_; }

  void u8(std::uint8_t value) {
    if (take(1)) data_[position_ - 1] = static_cast<std::byte>(value);
  }
  void u16(std::uint16_t value) {
    if (take(2)) store_u16(data_.data() + position_ - 2, value);
  }
  void u32(std::uint32_t value) {
    if (take(4)) store_u32(data_.data() + position_ - 4, value);
  }
  void bytes(Bytes source) {
    if (take(source.size()) && !source.empty())
      std::memcpy(data_.data() + position_ - source.size(), source.data(), source.size());
  }

 private:
  bool take(std::size_t count) {
    if (!ok_ || left() < count) {
      ok_ = false;
      return false;
    }
    position_ += count;
    return true;
  }

  MutableBytes data_;
  std::size_t position_ = 0;
  bool ok_ = true;
};

}  // namespace countersign::base
