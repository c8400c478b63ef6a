// A client's side of TSIG and of dynamic updates, for tests: written apart from the daemon's, by RFC 8945 §4.3.
#pragma once

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <optional>
#include <string>
#include <string_view>

#include "tests/support/dns_message.hpp"

namespace countersign::tests {

[[nodiscard]] inline Packet wire_u48(std::uint64_t value) {
  return wire_u16(static_cast<std::uint16_t>(value >> 32U)) + wire_u16(static_cast<std::uint16_t>(value >> 16U)) +
         wire_u16(static_cast<std::uint16_t>(value));
}

[[nodiscard]] inline std::uint16_t u16_at(std::string_view packet, std::size_t at) {
  return static_cast<std::uint16_t>((static_cast<unsigned char>(packet[at]) << 8U) |
                                    static_cast<unsigned char>(packet[at + 1]));
}

[[nodiscard]] inline unsigned rcode_of(std::string_view packet) {
  return packet.size() < 12 ? 99 : u16_at(packet, 2) & 0xfU;
}

struct TsigClient {
  std::string name = "key.test";
  std::string secret = "0123456789abcdef0123456789abcdef";
  std::uint16_t fudge = 300;

  struct Signed {
    Packet wire;
    std::string mac;
  };

  [[nodiscard]] std::string hmac(std::string_view data) const {
    std::string mac(32, '\0');
    unsigned length = 0;
    HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
         reinterpret_cast<const unsigned char*>(data.data()), data.size(), reinterpret_cast<unsigned char*>(mac.data()),
         &length);
    return mac;
  }

  // `message` has no TSIG yet.
  [[nodiscard]] Signed sign(Packet message, std::uint64_t time) const {
    Packet algorithm = wire_name("hmac-sha256");
    Packet variables = wire_name(name) + wire_u16(255) + wire_u16(0) + wire_u16(0) + algorithm + wire_u48(time) +
                       wire_u16(fudge) + wire_u16(0) + wire_u16(0);
    std::string mac = hmac(message + variables);
    RawRecord record;
    record.owner = wire_name(name);
    record.type = 250;
    record.klass = 255;
    record.rdata = algorithm + wire_u48(time) + wire_u16(fudge) + wire_u16(32) + mac + message.substr(0, 2) +
                   wire_u16(0) + wire_u16(0);
    Packet additional = wire_u16(static_cast<std::uint16_t>(u16_at(message, 10) + 1));
    message.replace(10, 2, additional);
    return {message + record.wire(), mac};
  }

  // Whether `answer` ends with a TSIG of ours over it and the request's MAC.
  [[nodiscard]] bool verifies(const Packet& answer, const std::string& request_mac) const {
    Packet algorithm = wire_name("hmac-sha256");
    // Owner, type, class, TTL, RDLENGTH; then to the MAC and behind it, with other data of no or six octets.
    for (std::size_t other : {std::size_t{0}, std::size_t{6}}) {
      std::size_t data = algorithm.size() + 8 + 2 + 32 + 6 + other;
      std::size_t size = wire_name(name).size() + 10 + data;
      if (answer.size() < 12 + size) continue;
      std::size_t at = answer.size() - size;
      if (answer.compare(at, wire_name(name).size(), wire_name(name)) != 0) continue;
      std::size_t rdata = at + wire_name(name).size() + 10;
      std::string_view times = std::string_view(answer).substr(rdata + algorithm.size(), 8);
      std::string_view mac = std::string_view(answer).substr(rdata + algorithm.size() + 10, 32);
      std::string_view error_and_other = std::string_view(answer).substr(answer.size() - other - 4);
      Packet message = answer.substr(0, at);
      message.replace(10, 2, wire_u16(static_cast<std::uint16_t>(u16_at(answer, 10) - 1)));
      Packet digest = wire_u16(32) + request_mac + message + wire_name(name) + wire_u16(255) + wire_u16(0) +
                      wire_u16(0) + algorithm;
      digest.append(times).append(error_and_other);
      if (hmac(digest) == mac) return true;
    }
    return false;
  }

  // The error field of the TSIG record at the end, with other data of `other` octets.
  [[nodiscard]] static unsigned error_of(std::string_view answer, std::size_t other = 0) {
    return u16_at(answer, answer.size() - other - 4);
  }
};

[[nodiscard]] inline Packet txt_rdata(std::string_view value) {
  return Packet(1, static_cast<char>(value.size())).append(value);
}

// An update of auth.test with one TXT value more or less.
[[nodiscard]] inline Packet update_message(unsigned id, std::string_view name, std::string_view value,
                                           bool remove = false) {
  RawRecord record;
  record.owner = wire_name(name);
  record.type = 16;
  record.klass = remove ? 254 : 1;
  record.ttl = remove ? 0 : 60;
  record.rdata = txt_rdata(value);
  Packet packet = QueryBuilder("auth.test SOA opcode=5").authority(record.wire()).build();
  packet.replace(0, 2, wire_u16(static_cast<std::uint16_t>(id)));
  return packet;
}

}  // namespace countersign::tests
