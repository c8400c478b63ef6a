#include "dnsd/answer/opt.hpp"

#include <algorithm>
#include <cstring>

#include "zones/record_type.hpp"

namespace countersign::dnsd {
namespace {

using base::store_u16;
using base::store_u32;

constexpr std::size_t kLongestSent = 0xffff;  // RDLENGTH; never reached

std::string_view text_of(std::uint16_t extended_error) {
  switch (extended_error) {
    case extended_error::kNotAuthoritative:
      return "in no zone of this server";
    case extended_error::kNotSupported:
      return "no zone transfers here";
    default:
      return {};
  }
}

class OptWriter {
 public:
  OptWriter(const Query& query, std::size_t at)
      : packet_(query.packet), at_(at), end_(std::min<std::size_t>(query.limit, query.capacity)) {}

  [[nodiscard]] std::size_t position() const { return at_; }
  // Where `octets` of an option's data go; null when they do not fit.
  std::byte* add(std::uint16_t code, std::size_t octets) {
    if (end_ - at_ < option::kHeaderLength + octets || octets > kLongestSent) return nullptr;
    store_u16(packet_ + at_, code);
    store_u16(packet_ + at_ + 2, static_cast<std::uint16_t>(octets));
    std::byte* data = packet_ + at_ + option::kHeaderLength;
    at_ += option::kHeaderLength + octets;
    return data;
  }
  void add(std::uint16_t code, base::Bytes data) {
    if (std::byte* to = add(code, data.size())) std::memcpy(to, data.data(), data.size());
  }

 private:
  std::byte* packet_;
  std::size_t at_;
  std::size_t end_;
};

// RFC 7828 §3.1: in units of 100 ms.
void add_keepalive(OptWriter& options, std::chrono::milliseconds timeout) {
  auto units = static_cast<std::uint16_t>(std::clamp<std::int64_t>(timeout.count() / 100, 0, 0xffff));
  if (std::byte* data = options.add(option::kTcpKeepalive, 2)) store_u16(data, units);
}

// RFC 7314 §3.1: a primary's answer is the SOA's EXPIRE, the last field but one.
void add_expire(OptWriter& options, const zones::ZoneAnswers& zone) {
  const std::string& soa = zone.soa.load(std::memory_order_acquire)->record;
  options.add(option::kExpire, base::as_bytes(soa).subspan(soa.size() - 8, 4));
}

// RFC 9660 §2.1: the labels of the zone's name, type 0, the serial.
void add_zone_version(OptWriter& options, const zones::ZoneAnswers& zone) {
  std::byte* data = options.add(option::kZoneVersion, 6);
  if (data == nullptr) return;
  unsigned labels = 0;
  for (std::string_view name = zone.apex.wire(); name[0] != '\0'; ++labels)
    name.remove_prefix(1U + static_cast<unsigned char>(name[0]));
  data[0] = static_cast<std::byte>(labels);
  data[1] = std::byte{0};
  store_u32(data + 2, zone.soa.load(std::memory_order_acquire)->serial);
}

void add_extended_error(OptWriter& options, std::uint16_t code) {
  std::string_view text = text_of(code);
  std::byte* data = options.add(option::kExtendedError, 2 + text.size());
  if (data == nullptr) return;
  store_u16(data, code);
  if (!text.empty()) std::memcpy(data + 2, text.data(), text.size());
}

}  // namespace

std::size_t write_options(const Query& query, std::size_t at, const AnswerSettings& settings,
                          const OptContent& content) {
  std::size_t data = at + kOptLength;
  OptWriter options(query, data);
  if (query.cookie_state != CookieState::None) options.add(option::kCookie, query.cookie);
  if ((query.options & Query::TcpKeepalive) != 0) add_keepalive(options, settings.tcp_idle_timeout);
  if ((query.options & Query::Nsid) != 0 && !settings.nsid.empty())
    options.add(option::kNsid, base::as_bytes(settings.nsid));
  if (content.zone != nullptr) {
    bool soa = query.type == zones::record_type::kSoa && query.name_length == content.zone->apex.wire().size();
    if ((query.options & Query::Expire) != 0 && soa) add_expire(options, *content.zone);
    if ((query.options & Query::ZoneVersion) != 0) add_zone_version(options, *content.zone);
  }
  // The one to go first when there is no room (RFC 8914 §3).
  if (content.extended_error != 0) add_extended_error(options, content.extended_error);
  store_u16(query.packet + at + 9, static_cast<std::uint16_t>(options.position() - data));
  return options.position();
}

}  // namespace countersign::dnsd
