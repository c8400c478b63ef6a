#include "dnsd/update/wire_record.hpp"

#include "dnsd/answer/dns_constants.hpp"

namespace countersign::dnsd {
namespace {

constexpr unsigned kPointer = 0xc0;  // RFC 1035 §4.1.4

tl::unexpected<base::Error> bad_name(std::size_t at) {
  return base::fail(base::ErrorCode::Invalid, "the name at octet {} of the message is malformed", at);
}

}  // namespace

void skip_name(base::WireReader& reader) {
  std::size_t begin = reader.position();
  while (reader.ok()) {
    std::uint8_t length = reader.u8();
    if (length == 0 || reader.position() - begin > base::kMaxNameLength) break;
    if ((length & kPointer) == kPointer) return reader.skip(1);
    if (length > base::kMaxLabelLength) return reader.fail();
    reader.skip(length);
  }
  if (reader.position() - begin > base::kMaxNameLength) reader.fail();
}

WireRecord read_record(base::WireReader& reader) {
  WireRecord record;
  record.at = reader.position();
  skip_name(reader);
  record.type = reader.u16();
  record.record_class = reader.u16();
  record.ttl = reader.u32();
  record.rdata = reader.bytes(reader.u16());
  record.end = reader.position();
  return record;
}

std::size_t plain_name_length(base::Bytes wire) {
  base::WireReader reader(wire);
  for (std::uint8_t length = reader.u8(); length != 0; length = reader.u8()) {
    if (length > base::kMaxLabelLength) return 0;
    reader.skip(length);
  }
  return reader.ok() && reader.position() <= base::kMaxNameLength ? reader.position() : 0;
}

base::Result<base::Name> read_name(base::Bytes message, std::size_t at) {
  // As many as labels fit into a name: who compresses follows each by one. Without this limit, pointers that lead to
  // pointers would make every name of a message cost thousands of steps.
  constexpr int kMaxPointers = 127;
  if (at > message.size()) return bad_name(at);
  std::string wire;
  base::WireReader reader(message);
  reader.skip(at);
  std::size_t begin = at;  // of the labels that are being read
  int pointers = 0;
  while (true) {
    std::uint8_t length = reader.u8();
    if ((length & kPointer) == kPointer) {
      std::size_t target = ((length & ~kPointer) << 8U) | reader.u8();
      // Strictly backwards, so that it ends.
      if (!reader.ok() || target < kHeaderLength || target >= begin || ++pointers > kMaxPointers) return bad_name(at);
      reader = base::WireReader(message);
      reader.skip(target);
      begin = target;
      continue;
    }
    std::string_view label = base::as_text(reader.bytes(length));
    if (!reader.ok() || length > base::kMaxLabelLength || base::kMaxNameLength - wire.size() < 1 + label.size())
      return bad_name(at);
    wire.push_back(static_cast<char>(length));
    wire += label;
    if (length == 0) return base::Name::from_wire(base::as_bytes(wire));
  }
}

}  // namespace countersign::dnsd
