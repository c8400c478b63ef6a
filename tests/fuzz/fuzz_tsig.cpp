// dnsd::find_tsig, verify_tsig, append_tsig: a MAC is good where OpenSSL's one-shot HMAC over the octets as they stand
// makes the same one, and the answer that is signed verifies likewise.
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "dnsd/update/tsig.hpp"

namespace {

using namespace countersign;
using dnsd::TsigVerdict;

void require(bool fact, const char* what) {
  if (!fact) throw std::runtime_error(what);
}

const std::vector<dnsd::TsigKey>& our_keys() {
  static const std::vector<dnsd::TsigKey> keys = [] {
    std::vector<dnsd::TsigKey> made;
    for (const char* digest : {"sha1", "sha224", "sha256", "sha384", "sha512"})
      made.push_back({.name = base::Name::parse(std::string(digest) + ".key.test").value(),
                      .algorithm = static_cast<conf::TsigAlgorithm>(made.size()),
                      .secret = std::string("secret of ") + digest,
                      .allow = {}});
    return made;
  }();
  return keys;
}

std::string hmac(const dnsd::TsigKey& key, const std::string& octets) {
  static const std::array<const EVP_MD*, 5> digests = {EVP_sha1(), EVP_sha224(), EVP_sha256(), EVP_sha384(),
                                                       EVP_sha512()};
  std::string mac(EVP_MAX_MD_SIZE, '\0');
  unsigned length = 0;
  HMAC(digests.at(static_cast<std::size_t>(key.algorithm)), key.secret.data(), static_cast<int>(key.secret.size()),
       reinterpret_cast<const unsigned char*>(octets.data()), octets.size(),
       reinterpret_cast<unsigned char*>(mac.data()), &length);
  mac.resize(length);
  return mac;
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return text;
}

// Where the fields of the last record lie, by the lengths alone.
struct Layout {
  std::size_t owner_end, algorithm_at, algorithm_end, mac_at, mac_end, other_at;
};

Layout lay_out(const std::string& message, const dnsd::TsigRecord& record) {
  Layout layout{};
  layout.owner_end = record.at + record.key.wire().size();
  layout.algorithm_at = layout.owner_end + 10;
  layout.algorithm_end = layout.algorithm_at + record.algorithm.wire().size();
  layout.mac_at = layout.algorithm_end + 10;
  layout.mac_end = layout.mac_at + record.mac.size();
  layout.other_at = layout.mac_end + 6;
  require(layout.other_at + record.other.size() == message.size(), "the record does not end the message");
  return layout;
}

// What is signed (RFC 8945 §4.3), from the octets of the message; `before` is what a request's MAC puts in front.
std::string signed_octets(const std::string& message, const dnsd::TsigRecord& record, const std::string& before) {
  Layout at = lay_out(message, record);
  std::string octets = before + message.substr(at.mac_end, 2) + message.substr(2, record.at - 2);
  std::size_t count_at = before.size() + 10;
  unsigned count = base::load_u16(base::as_bytes(message).data() + 10);
  octets[count_at] = static_cast<char>((count - 1U) >> 8U);
  octets[count_at + 1] = static_cast<char>(count - 1U);
  octets += lower(message.substr(record.at, at.owner_end - record.at));
  octets += std::string("\0\xff\0\0\0\0", 6);
  octets += lower(message.substr(at.algorithm_at, at.algorithm_end - at.algorithm_at));
  octets += message.substr(at.algorithm_end, 8);  // time signed, fudge
  octets += message.substr(at.mac_end + 2);       // error, other length, other data
  return octets;
}

void check_answer(const dnsd::TsigContext& context, std::uint64_t now) {
  std::string answer("\x12\x34\xa8\x00\0\0\0\0\0\0\0\0", 12);
  dnsd::append_tsig(answer, context, now);
  require(answer.size() - 12 == dnsd::tsig_room(context), "another size than was told");
  if (context.verdict == TsigVerdict::Malformed) return;
  auto record = dnsd::find_tsig(base::as_bytes(answer));
  require(record && *record, "the answer's TSIG is not found");
  require((*record)->key == context.request.key && (*record)->original_id == 0x1234, "the answer's TSIG is another's");
  if (context.verdict == TsigVerdict::BadKey || context.verdict == TsigVerdict::BadSig)
    return require((*record)->mac.empty(), "signed for a stranger");
  std::string before;
  before.push_back(static_cast<char>(context.request.mac.size() >> 8U));
  before.push_back(static_cast<char>(context.request.mac.size()));
  before += context.request.mac;
  require((*record)->mac == hmac(*context.key, signed_octets(answer, **record, before)), "the answer's MAC is wrong");
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer gives the name.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 0xffff) return 0;
  std::string message(reinterpret_cast<const char*>(data), size);
  auto found = dnsd::find_tsig(base::as_bytes(message));
  if (!found) require(!found.error().message.empty(), "an error without words");
  if (!found || !*found) return 0;
  const dnsd::TsigRecord& record = **found;
  Layout at = lay_out(message, record);
  for (std::uint64_t now : {record.time_signed, record.time_signed + 70'000, std::uint64_t{0}}) {
    dnsd::TsigContext context = dnsd::verify_tsig(base::as_bytes(message), record, our_keys(), now);
    check_answer(context, now);
    if (context.verdict == TsigVerdict::BadKey) require(context.key == nullptr, "an unknown key that is known");
    if (context.verdict == TsigVerdict::BadKey || context.verdict == TsigVerdict::Malformed) continue;
    std::string mac = hmac(*context.key, signed_octets(message, record, ""));
    bool right = mac.starts_with(record.mac);
    require((context.verdict != TsigVerdict::BadSig) == right, "OpenSSL's one-shot HMAC is of another opinion");
    // Signed now, if it was not.
    std::string resigned = message;
    resigned.replace(at.mac_at, record.mac.size(), mac, 0, record.mac.size());
    auto again = dnsd::find_tsig(base::as_bytes(resigned));
    require(again && *again, "not found again");
    context = dnsd::verify_tsig(base::as_bytes(resigned), **again, our_keys(), now);
    bool late = now != record.time_signed &&
                (now > record.time_signed || record.time_signed > std::min(record.fudge, dnsd::kMaxFudge));
    TsigVerdict wanted = record.mac.size() < mac.size() ? TsigVerdict::BadTrunc : TsigVerdict::Good;
    require(context.verdict == (late ? TsigVerdict::BadTime : wanted), "what is signed rightly is not taken");
    check_answer(context, now);
  }
  return 0;
}
