#include "dnsd/update/tsig.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>

#include "base/handle.hpp"
#include "dnsd/answer/dns_constants.hpp"
#include "dnsd/update/wire_record.hpp"
#include "zones/record_type.hpp"

namespace countersign::dnsd {
namespace {

using base::Bytes;
using base::ErrorCode;
using base::fail;
using base::Result;
using MacAlgorithm = base::Handle<EVP_MAC, EVP_MAC_free>;
using MacState = base::Handle<EVP_MAC_CTX, EVP_MAC_CTX_free>;

constexpr std::size_t kAdditionalCountAt = 10;  // ARCOUNT, in the header
constexpr std::size_t kTimeLength = 6;

// Values of the error field (RFC 8945 §3), by verdict.
constexpr std::uint16_t kBadSig = 16;
constexpr std::uint16_t kBadTime = 18;
constexpr std::uint16_t kBadTrunc = 22;

struct Algorithm {
  std::string_view text;
  const char* digest;  // OpenSSL's name
  std::size_t length;  // octets of its MAC
};

// In the order of conf::TsigAlgorithm.
constexpr std::array<Algorithm, 5> kAlgorithms = {{
    {"hmac-sha1", "SHA1", 20},
    {"hmac-sha224", "SHA2-224", 28},
    {"hmac-sha256", "SHA2-256", 32},
    {"hmac-sha384", "SHA2-384", 48},
    {"hmac-sha512", "SHA2-512", 64},
}};

const Algorithm& entry(conf::TsigAlgorithm algorithm) {
  return kAlgorithms.at(static_cast<std::size_t>(algorithm));
}

EVP_MAC* hmac() {
  static const MacAlgorithm algorithm(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  return algorithm.get();
}

// Fields of the wire, behind a std::string.
void put(std::string& out, std::uint64_t value, unsigned octets) {
  while (octets-- > 0) out.push_back(static_cast<char>(value >> (8 * octets)));
}

// An HMAC of what is added. An error sticks.
class Mac {
 public:
  explicit Mac(const TsigKey& key) : state_(EVP_MAC_CTX_new(hmac())) {
    // OpenSSL does not write to it.
    char* digest = const_cast<char*>(entry(key.algorithm).digest);
    std::array<OSSL_PARAM, 2> params = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                        OSSL_PARAM_construct_end()};
    ok_ = state_ != nullptr && EVP_MAC_init(state_.get(), reinterpret_cast<const unsigned char*>(key.secret.data()),
                                            key.secret.size(), params.data()) == 1;
  }

  Mac& add(std::string_view octets) {
    ok_ =
        ok_ && EVP_MAC_update(state_.get(), reinterpret_cast<const unsigned char*>(octets.data()), octets.size()) == 1;
    return *this;
  }

  // Empty on an error.
  [[nodiscard]] std::string finish() {
    std::string mac(EVP_MAX_MD_SIZE, '\0');
    std::size_t length = 0;
    ok_ = ok_ && EVP_MAC_final(state_.get(), reinterpret_cast<unsigned char*>(mac.data()), &length, mac.size()) == 1;
    mac.resize(ok_ ? length : 0);
    return mac;
  }

 private:
  MacState state_;
  bool ok_ = false;
};

// RFC 8945 §4.3.3: the record's fields but MAC and original ID, names in canonical form, which base::Name's is.
std::string variables(const TsigRecord& record) {
  std::string out(record.key.wire());
  put(out, kClassAny, 2);
  put(out, 0, 4);  // TTL
  out += record.algorithm.wire();
  put(out, record.time_signed, kTimeLength);
  put(out, record.fudge, 2);
  put(out, record.error, 2);
  put(out, record.other.size(), 2);
  out += record.other;
  return out;
}

// RFC 8945 §4.3.2: the message before its TSIG was added and with its first ID.
std::string request_mac(Bytes message, const TsigRecord& record, const TsigKey& key) {
  std::string header(base::as_text(message.first(kHeaderLength)));
  std::uint16_t additionals = base::load_u16(message.data() + kAdditionalCountAt);
  std::string id_and_flags;
  put(id_and_flags, record.original_id, 2);
  header.replace(0, 2, id_and_flags);
  header.resize(kAdditionalCountAt);
  put(header, additionals - 1U, 2);
  Bytes rest = message.first(record.at).subspan(kHeaderLength);
  return Mac(key).add(header).add(base::as_text(rest)).add(variables(record)).finish();
}

tl::unexpected<base::Error> malformed(std::string_view what) {
  return fail(ErrorCode::Invalid, "malformed TSIG: {}", what);
}

Result<TsigRecord> parse_tsig(Bytes message, const WireRecord& wire) {
  if (wire.record_class != kClassAny || wire.ttl != 0) return malformed("its class is not ANY or its TTL not 0");
  // Names are not compressed (RFC 8945 §4.2).
  std::size_t key_length = plain_name_length(message.subspan(wire.at));
  std::size_t algorithm_length = plain_name_length(wire.rdata);
  // The root is no algorithm; the workers, where no key is configured, judge alike.
  if (key_length == 0 || algorithm_length < 2) return malformed("a name in it is compressed or too long");
  auto key = base::Name::from_wire(message.subspan(wire.at, key_length));
  auto algorithm = base::Name::from_wire(wire.rdata.first(algorithm_length));
  if (!key || !algorithm) return malformed("a name in it is none");
  TsigRecord record;
  record.key = std::move(*key);
  record.algorithm = std::move(*algorithm);
  base::WireReader reader(wire.rdata.subspan(algorithm_length));
  record.time_signed = std::uint64_t{reader.u16()} << 32U;
  record.time_signed |= reader.u32();
  record.fudge = reader.u16();
  record.mac = base::as_text(reader.bytes(reader.u16()));
  record.original_id = reader.u16();
  record.error = reader.u16();
  record.other = base::as_text(reader.bytes(reader.u16()));
  record.at = wire.at;
  if (!reader.ok() || reader.left() > 0) return malformed("its fields do not fill its data exactly");
  return record;
}

const TsigKey* find_key(const TsigRecord& record, std::span<const TsigKey> keys) {
  for (const TsigKey& key : keys) {
    if (key.name != record.key) continue;
    auto algorithm = base::Name::parse(algorithm_text(key.algorithm));
    if (algorithm && *algorithm == record.algorithm) return &key;
  }
  return nullptr;
}

TsigVerdict judge(Bytes message, const TsigRecord& record, const TsigKey& key, std::uint64_t now) {
  std::size_t full = entry(key.algorithm).length;
  // RFC 8945 §5.2.2.1
  if (record.mac.size() > full || record.mac.size() < std::max<std::size_t>(10, full / 2))
    return TsigVerdict::Malformed;
  std::string mac = request_mac(message, record, key);
  if (mac.size() != full || CRYPTO_memcmp(mac.data(), record.mac.data(), record.mac.size()) != 0)
    return TsigVerdict::BadSig;
  std::uint64_t apart = now > record.time_signed ? now - record.time_signed : record.time_signed - now;
  if (apart > std::min(record.fudge, kMaxFudge)) return TsigVerdict::BadTime;
  return record.mac.size() < full ? TsigVerdict::BadTrunc : TsigVerdict::Good;
}

std::uint16_t error_of(TsigVerdict verdict) {
  switch (verdict) {
    case TsigVerdict::Good:
    case TsigVerdict::Malformed:
      return 0;
    case TsigVerdict::BadKey:
      return rcode::kBadKey;
    case TsigVerdict::BadSig:
      return kBadSig;
    case TsigVerdict::BadTime:
      return kBadTime;
    case TsigVerdict::BadTrunc:
      return kBadTrunc;
  }
  return 0;
}

// Signing with a key that the client did not prove to have would tell it nothing (RFC 8945 §5.3.2).
bool is_signed(const TsigContext& context) {
  bool proved = context.verdict == TsigVerdict::Good || context.verdict == TsigVerdict::BadTime ||
                context.verdict == TsigVerdict::BadTrunc;
  return proved && context.key != nullptr;
}

// The record of an answer, but its MAC.
TsigRecord make_answer(const TsigContext& context, std::uint16_t id, std::uint64_t now) {
  TsigRecord record;
  record.key = context.request.key;
  record.algorithm = context.request.algorithm;
  // An unsigned one echoes the client's time, as RFC 8945 §5.2.3 wants it of BADTIME.
  bool own_time = context.verdict == TsigVerdict::Good || context.verdict == TsigVerdict::BadTrunc;
  record.time_signed = own_time ? now : context.request.time_signed;
  record.fudge = kMaxFudge;
  record.original_id = id;
  record.error = error_of(context.verdict);
  if (context.verdict == TsigVerdict::BadTime) put(record.other, now, kTimeLength);
  return record;
}

}  // namespace

std::string_view algorithm_text(conf::TsigAlgorithm algorithm) {
  return entry(algorithm).text;
}

void prepare_tsig() {
  // OpenSSL loads a digest when it is first used.
  for (std::size_t i = 0; i < kAlgorithms.size(); ++i) {
    TsigKey key{.name = {}, .algorithm = static_cast<conf::TsigAlgorithm>(i), .secret = "prepare", .allow = {}};
    static_cast<void>(Mac(key).add("prepare").finish());
  }
}

Result<std::optional<TsigRecord>> find_tsig(Bytes message) {
  if (message.size() < kHeaderLength) return fail(ErrorCode::Invalid, "the message is shorter than a header");
  base::WireReader reader(message);
  reader.skip(4);
  std::uint32_t questions = reader.u16();
  std::uint32_t before = reader.u16();
  before += reader.u16();
  std::uint32_t additionals = reader.u16();
  for (; questions > 0 && reader.ok(); --questions) {
    skip_name(reader);
    reader.skip(4);
  }
  std::optional<WireRecord> found;
  for (std::uint32_t left = before + additionals; left > 0 && reader.ok(); --left) {
    WireRecord record = read_record(reader);
    if (!reader.ok() || record.type != zones::record_type::kTsig) continue;
    if (left != 1 || additionals == 0) return malformed("it is not the last record of the message");
    found = record;
  }
  if (!reader.ok()) return fail(ErrorCode::Invalid, "the message is cut short");
  if (!found) return std::nullopt;
  // Nobody would have signed it.
  if (reader.left() > 0) return malformed("octets follow it");
  auto record = parse_tsig(message, *found);
  if (!record) return fail(record.error());
  return std::move(*record);
}

TsigContext verify_tsig(Bytes message, TsigRecord record, std::span<const TsigKey> keys, std::uint64_t now) {
  TsigContext context;
  context.request = std::move(record);
  std::size_t at = context.request.at;
  bool counted = message.size() >= kHeaderLength && base::load_u16(message.data() + kAdditionalCountAt) > 0;
  if (!counted || at < kHeaderLength || at > message.size()) return context;
  context.key = find_key(context.request, keys);
  context.verdict = context.key == nullptr ? TsigVerdict::BadKey : judge(message, context.request, *context.key, now);
  return context;
}

void append_tsig(std::string& answer, const TsigContext& context, std::uint64_t now) {
  if (context.verdict == TsigVerdict::Malformed || answer.size() < kHeaderLength) return;
  auto* header = reinterpret_cast<std::byte*>(answer.data());
  TsigRecord record = make_answer(context, base::load_u16(header), now);
  if (is_signed(context)) {
    // RFC 8945 §5.3.1: the request's MAC comes first.
    std::string length;
    put(length, context.request.mac.size(), 2);
    record.mac = Mac(*context.key).add(length).add(context.request.mac).add(answer).add(variables(record)).finish();
    if (record.mac.empty()) return;
  }
  std::string rdata(record.algorithm.wire());
  put(rdata, record.time_signed, kTimeLength);
  put(rdata, record.fudge, 2);
  put(rdata, record.mac.size(), 2);
  rdata += record.mac;
  put(rdata, record.original_id, 2);
  put(rdata, record.error, 2);
  put(rdata, record.other.size(), 2);
  rdata += record.other;
  base::store_u16(header + kAdditionalCountAt,
                  static_cast<std::uint16_t>(base::load_u16(header + kAdditionalCountAt) + 1U));
  answer += record.key.wire();
  put(answer, zones::record_type::kTsig, 2);
  put(answer, kClassAny, 2);
  put(answer, 0, 4);
  put(answer, rdata.size(), 2);
  answer += rdata;
}

std::size_t tsig_room(const TsigContext& context) {
  if (context.verdict == TsigVerdict::Malformed) return 0;
  constexpr std::size_t kFields = 10;                     // type, class, TTL, RDLENGTH
  constexpr std::size_t kData = kTimeLength + 2 + 2 + 6;  // fudge, MAC size; original ID, error, other length
  std::size_t mac = is_signed(context) ? entry(context.key->algorithm).length : 0;
  std::size_t other = context.verdict == TsigVerdict::BadTime ? kTimeLength : 0;
  return context.request.key.wire().size() + kFields + context.request.algorithm.wire().size() + kData + mac + other;
}

}  // namespace countersign::dnsd
