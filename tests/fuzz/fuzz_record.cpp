// zones::parse_record: what it accepts can be put into a response that the strict walk and ldns read.
#include <cstdint>
#include <stdexcept>
#include <string>

#include "tests/support/dns_message.hpp"
#include "zones/master_file.hpp"

// ldns 1.8 itself leaks some octets over a malformed IPSECKEY or SVCB; the text is the operator's own, read once.
// NOLINTNEXTLINE(bugprone-reserved-identifier,readability-identifier-naming): the sanitizer gives the name.
extern "C" const char* __asan_default_options() {
  return "detect_leaks=0";
}

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer gives the name.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace tests = countersign::tests;
  static const countersign::base::Name origin = *countersign::base::Name::parse("auth.example.net");
  if (size > 4096) return 0;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto record = countersign::zones::parse_record(text, origin, 3600);
  if (!record) {
    if (record.error().message.empty()) throw std::runtime_error("an error without words");
    return 0;
  }
  if (record->ttl > 0x7fffffffU) throw std::runtime_error("a TTL with its first bit set");
  tests::Packet message = tests::from_hex("0000 8400 0000 0001 0000 0000");
  message +=
      tests::RawRecord{
          .owner = std::string(record->owner.wire()), .type = record->type, .ttl = record->ttl, .rdata = record->rdata}
          .wire();
  auto decoded = tests::decode(message);
  if (!decoded) throw std::runtime_error(decoded.error().message + ": " + tests::to_hex(message));
  return 0;
}
