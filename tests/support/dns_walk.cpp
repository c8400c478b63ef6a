// The strict walk over a message, written from RFC 1035 §4 without a look at the code under test.
#include <fmt/format.h>

#include <array>
#include <set>

#include "tests/support/dns_message.hpp"

namespace countersign::tests {

namespace {

constexpr std::size_t kHeader = 12;
constexpr unsigned kNs = 2, kCname = 5, kSoa = 6, kPtr = 12, kMx = 15, kTxt = 16, kAaaa = 28, kSrv = 33, kOpt = 41,
                   kTsig = 250;

class Walk {
 public:
  explicit Walk(std::string_view packet) : packet_(packet) {}

  std::string run();

 private:
  enum class Compression { Allowed, Forbidden };

  bool fail(std::string text) {
    if (defect_.empty()) defect_ = fmt::format("{} (at octet {} of {})", text, at_, packet_.size());
    return false;
  }
  bool need(std::size_t count) { return packet_.size() - at_ < count ? fail("the message ends too early") : true; }
  unsigned octet(std::size_t at) const { return static_cast<unsigned char>(packet_[at]); }
  unsigned take_u16() {
    unsigned value = (octet(at_) << 8U) | octet(at_ + 1);
    at_ += 2;
    return value;
  }

  bool name(Compression compression);
  bool follow(std::size_t pointer, std::size_t before, std::size_t length);
  bool question();
  bool record(std::size_t section);
  bool rdata(unsigned type, std::size_t end);
  bool tsig(std::size_t end);
  bool strings(std::size_t end);

  std::string_view packet_;
  std::size_t at_ = 0;
  std::set<std::size_t> labels_;  // where a label of a checked name begins: all that a pointer may point to
  unsigned opts_ = 0;
  unsigned question_class_ = 1;
  std::string defect_;
};

// RFC 1035 §4.1.4: a pointer goes to a prior occurrence of the same name.
bool Walk::name(Compression compression) {
  std::size_t start = at_;
  std::size_t length = 0;
  std::set<std::size_t> own;
  for (;;) {
    if (!need(1)) return false;
    unsigned first = octet(at_);
    if (first >= 0xc0) {
      if (compression == Compression::Forbidden) return fail("a compressed name where none may be");
      if (!need(2)) return false;
      std::size_t pointer = ((first & 0x3fU) << 8U) | octet(at_ + 1);
      if (!follow(pointer, start, length)) return false;
      at_ += 2;
      break;
    }
    if (first >= 0x40) return fail("a label of an unknown kind");
    length += first + 1;
    if (length > 255) return fail("a name of more than 255 octets");
    if (first == 0) {
      ++at_;
      break;
    }
    own.insert(at_);
    if (!need(first + 1)) return false;
    at_ += first + 1;
  }
  labels_.merge(own);
  return true;
}

bool Walk::follow(std::size_t pointer, std::size_t before, std::size_t length) {
  if (pointer >= before) return fail("a pointer that does not point backwards");
  if (!labels_.contains(pointer)) return fail("a pointer to something that is no name");
  // Every step goes back to a name that was checked, so this ends.
  for (std::size_t at = pointer;;) {
    unsigned first = octet(at);
    if (first >= 0xc0) {
      at = ((first & 0x3fU) << 8U) | octet(at + 1);
      continue;
    }
    length += first + 1;
    if (length > 255) return fail("a name of more than 255 octets");
    if (first == 0) return true;
    at += first + 1;
  }
}

bool Walk::question() {
  if (!name(Compression::Forbidden) || !need(4)) return false;
  at_ += 2;
  question_class_ = take_u16();
  return true;
}

bool Walk::record(std::size_t section) {
  bool root = at_ < packet_.size() && octet(at_) == 0;
  if (!name(Compression::Allowed) || !need(10)) return false;
  unsigned type = take_u16();
  unsigned klass = take_u16();
  at_ += 4;
  unsigned length = take_u16();
  if (!need(length)) return false;
  std::size_t end = at_ + length;
  if (type == kOpt) {
    if (section != 2) return fail("an OPT outside the additional section");
    if (!root) return fail("an OPT with an owner");
    if (++opts_ > 1) return fail("more than one OPT");
    if (klass < 512) return fail("an OPT that offers less than 512 octets");
    while (at_ < end) {
      if (end - at_ < 4) return fail("half an EDNS option");
      at_ += 2;
      unsigned option = take_u16();
      if (end - at_ < option) return fail("an EDNS option that is too long");
      at_ += option;
    }
    return true;
  }
  if (type == kTsig) {
    // RFC 8945 §5.1: the last record; §4.2: of class ANY and TTL 0, its names uncompressed.
    if (section != 2 || end != packet_.size()) return fail("a TSIG that is not the last record");
    if (klass != 255) return fail("a TSIG of another class than ANY");
    return tsig(end);
  }
  if (klass != (type == kTxt ? question_class_ : 1U)) return fail("a record of another class than the question");
  if (!rdata(type, end)) return false;
  if (at_ != end) return fail(fmt::format("RDLENGTH and RDATA of type {} differ", type));
  return true;
}

bool Walk::strings(std::size_t end) {
  if (at_ == end) return fail("a TXT without strings");
  while (at_ < end) {
    std::size_t length = octet(at_) + 1;
    if (end - at_ < length) return fail("a string that is longer than its TXT");
    at_ += length;
  }
  return true;
}

bool Walk::tsig(std::size_t end) {
  if (!name(Compression::Forbidden) || end < at_ || end - at_ < 16) return fail("a TSIG that is too short");
  at_ += 8;
  std::size_t mac = take_u16();
  if (end - at_ < mac + 6) return fail("a MAC longer than its TSIG");
  at_ += mac + 4;
  std::size_t other = take_u16();
  at_ += other;
  return at_ == end ? true : fail("RDLENGTH and RDATA of a TSIG differ");
}

bool Walk::rdata(unsigned type, std::size_t end) {
  auto fits = [&](std::size_t count) { return end - at_ < count ? fail("RDATA too short") : true; };
  auto skip = [&](std::size_t count) {
    if (!fits(count)) return false;
    at_ += count;
    return true;
  };
  switch (type) {
    case 1:
      return skip(4);
    case kAaaa:
      return skip(16);
    case kNs:
    case kCname:
    case kPtr:
      return name(Compression::Allowed);
    case kMx:
      return skip(2) && name(Compression::Allowed);
    case kSoa:
      return name(Compression::Allowed) && name(Compression::Allowed) && skip(20);
    case kSrv:  // RFC 2782: the target is not compressed
      return skip(6) && name(Compression::Forbidden);
    case kTxt:
      return strings(end);
    default:
      at_ = end;
      return true;
  }
}

std::string Walk::run() {
  if (!need(kHeader)) return defect_;
  at_ = 4;
  unsigned questions = take_u16();
  const auto counts = std::to_array<unsigned>({take_u16(), take_u16(), take_u16()});
  if (questions > 1) fail("more than one question");
  for (unsigned i = 0; i < questions && defect_.empty(); ++i) question();
  for (std::size_t section = 0; section < std::size(counts); ++section)
    for (unsigned i = 0; i < counts[section] && defect_.empty(); ++i) record(section);
  if (defect_.empty() && at_ != packet_.size()) fail("octets behind the message");
  return defect_;
}

}  // namespace

std::string find_wire_defect(std::string_view packet) {
  return Walk(packet).run();
}

}  // namespace countersign::tests
