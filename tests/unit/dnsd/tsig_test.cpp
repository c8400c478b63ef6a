#include "dnsd/update/tsig.hpp"

#include <algorithm>
#include <string>

#include "base/encoding.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/dns_message.hpp"
#include "tests/unit/dnsd/tsig_client.hpp"
#include "tests/unit/dnsd/tsig_vectors.hpp"

namespace countersign::dnsd {
namespace {

using base::as_bytes;
using conf::TsigAlgorithm;
using tests::from_hex;
using tests::Packet;
using tests::RawRecord;
using tests::to_hex;
using tests::wire_name;
using tests::wire_u16;

base::Name name(std::string_view text) {
  return base::Name::parse(text).value();
}

std::vector<TsigKey> all_keys() {
  std::vector<TsigKey> keys;
  for (const tests::TsigSecret& secret : tests::kTsigSecrets)
    keys.push_back({.name = name(secret.key),
                    .algorithm = secret.algorithm,
                    .secret = parse_key_file(secret.base64, name(secret.key), secret.algorithm).value(),
                    .allow = {}});
  return keys;
}

TsigRecord tsig_of(const Packet& message) {
  auto record = find_tsig(as_bytes(message)).value();
  REQUIRE(record);
  return *record;
}

// As it was before its TSIG record was added.
Packet without_tsig(const Packet& message) {
  Packet bare = message.substr(0, tsig_of(message).at);
  std::uint16_t count = base::load_u16(as_bytes(bare).data() + 10);
  return bare.replace(10, 2, wire_u16(static_cast<std::uint16_t>(count - 1U)));
}

Packet vector_of(std::string_view what) {
  for (const tests::TsigExchange& exchange : tests::kOddTsigUpdates)
    if (exchange.what == what) return from_hex(exchange.request);
  for (const tests::TsigExchange& exchange : tests::kTsigUpdates)
    if (exchange.what == what) return from_hex(exchange.request);
  throw std::invalid_argument("no such vector");
}

// An unsigned TSIG in due form, for what is refused before its MAC is looked at.
struct DraftTsig {
  Packet key = wire_name("sha256.key.test");
  Packet algorithm = wire_name("hmac-sha256");
  Packet mac = Packet(32, 'm');
  std::uint16_t klass = 255;
  std::uint32_t ttl = 0;
  Packet other{};
  Packet tail{};

  [[nodiscard]] Packet wire() const {
    Packet rdata = algorithm + from_hex("00006b02e599 012c") + wire_u16(static_cast<std::uint16_t>(mac.size())) + mac +
                   from_hex("1234 0000") + wire_u16(static_cast<std::uint16_t>(other.size())) + other + tail;
    return RawRecord{.owner = key, .type = 250, .klass = klass, .ttl = ttl, .rdata = rdata}.wire();
  }
};

Packet update_with(const Packet& additional) {
  return tests::QueryBuilder("auth.example.net SOA opcode=5").additional(additional).build();
}

TsigContext verify(const Packet& message, std::uint64_t now) {
  static const std::vector<TsigKey> keys = all_keys();
  return verify_tsig(as_bytes(message), tsig_of(message), keys, now);
}

// `message` with a MAC of another length: its first octets, or more than it had.
Packet with_mac_length(const Packet& message, std::size_t length) {
  TsigRecord record = tsig_of(message);
  Packet mac = record.mac;
  mac.resize(length, '\0');
  Packet rdata = Packet(record.algorithm.wire()) + from_hex("0000") +
                 message.substr(record.at + record.key.wire().size() + 10 + record.algorithm.wire().size() + 2, 6) +
                 wire_u16(static_cast<std::uint16_t>(length)) + mac + wire_u16(record.original_id) +
                 from_hex("0000 0000");
  return message.substr(0, record.at) +
         RawRecord{.owner = Packet(record.key.wire()), .type = 250, .klass = 255, .rdata = rdata}.wire();
}

}  // namespace

TEST_CASE("what nsupdate and knsupdate sign with each algorithm is good", "[dnsd]") {
  prepare_tsig();
  prepare_tsig();  // twice does no harm
  for (const tests::TsigExchange& exchange : tests::kTsigUpdates) {
    INFO(exchange.what);
    Packet request = from_hex(exchange.request);
    TsigRecord record = tsig_of(request);
    TsigContext context = verify(request, record.time_signed);
    REQUIRE(context.verdict == TsigVerdict::Good);
    REQUIRE(exchange.what.ends_with(algorithm_text(context.key->algorithm).substr(5)));
    REQUIRE(record.fudge == 300);
    REQUIRE(record.error == 0);
    REQUIRE(record.other.empty());
    REQUIRE(record.original_id == base::load_u16(as_bytes(request).data()));
  }
}

TEST_CASE("an answer is signed as BIND signs it, octet for octet", "[dnsd]") {
  auto reproduces = [](const tests::TsigExchange& exchange, std::uint64_t now) {
    INFO(exchange.what);
    Packet request = from_hex(exchange.request);
    Packet answer = from_hex(exchange.answer);
    TsigContext context = verify(request, now);
    Packet ours = without_tsig(answer);
    std::size_t before = ours.size();
    append_tsig(ours, context, now);
    REQUIRE(to_hex(ours) == to_hex(answer));
    REQUIRE(ours.size() - before == tsig_room(context));
  };
  for (const tests::TsigExchange& exchange : tests::kTsigUpdates)
    reproduces(exchange, tsig_of(from_hex(exchange.answer)).time_signed);
  for (const tests::TsigExchange& exchange : tests::kOddTsigUpdates) {
    TsigRecord answered = tsig_of(from_hex(exchange.answer));
    std::uint64_t now = answered.time_signed;
    // BADTIME has the client's time there, and the server's behind it.
    if (!answered.other.empty()) now = base::load_u32(as_bytes(answered.other).data() + 2);
    reproduces(exchange, now);
  }
}

TEST_CASE("each way to be wrong has its verdict", "[dnsd]") {
  auto verdict = [](std::string_view what, std::int64_t late = 0) {
    Packet request = vector_of(what);
    std::uint64_t now = tsig_of(request).time_signed + static_cast<std::uint64_t>(late);
    return verify(request, now).verdict;
  };
  for (std::string digest : {"sha256", "sha512"}) {
    REQUIRE(verdict("badsig " + digest) == TsigVerdict::BadSig);
    REQUIRE(verdict("badkey " + digest) == TsigVerdict::BadKey);
    REQUIRE(verdict("trunc half " + digest) == TsigVerdict::BadTrunc);
    // A forwarder may change the ID (RFC 8945 §5.5); names have no case.
    REQUIRE(verdict("other id " + digest) == TsigVerdict::Good);
    REQUIRE(verdict("mixed case " + digest) == TsigVerdict::Good);
    // RFC 8945 §5.2: key, MAC, time, truncation.
    REQUIRE(verdict("badkey " + digest, 5000) == TsigVerdict::BadKey);
    REQUIRE(verdict("badsig " + digest, 5000) == TsigVerdict::BadSig);
    REQUIRE(verdict("trunc half " + digest, 5000) == TsigVerdict::BadTime);
    for (std::int64_t late : {-300, 300}) REQUIRE(verdict("nsupdate " + digest, late) == TsigVerdict::Good);
    for (std::int64_t late : {-301, 301, 100'000}) REQUIRE(verdict("nsupdate " + digest, late) == TsigVerdict::BadTime);
  }
}

TEST_CASE("a time beyond 32 bits, another fudge and other data are verified too", "[dnsd]") {
  Packet request = from_hex(tests::kFarTsigUpdate);
  TsigRecord record = tsig_of(request);
  constexpr std::uint64_t kSigned = 0x123456789abc;
  REQUIRE(record.time_signed == kSigned);
  REQUIRE(record.other == "other data");
  REQUIRE(verify(request, kSigned - 60).verdict == TsigVerdict::Good);
  REQUIRE(verify(request, kSigned + 60).verdict == TsigVerdict::Good);
  REQUIRE(verify(request, kSigned + 61).verdict == TsigVerdict::BadTime);
  REQUIRE(verify(request, kSigned - 61).verdict == TsigVerdict::BadTime);
  REQUIRE(verify(request, kSigned & 0xffffffffU).verdict == TsigVerdict::BadTime);
  REQUIRE(verify(request, 0).verdict == TsigVerdict::BadTime);
  REQUIRE(verify(request, UINT64_MAX).verdict == TsigVerdict::BadTime);
}

TEST_CASE("no client makes a message good for longer than 300 seconds", "[dnsd]") {
  constexpr std::uint64_t kSigned = 1'795'000'000;
  TsigKey key{.name = name("key.test"), .algorithm = TsigAlgorithm::HmacSha256, .secret = {}, .allow = {}};
  for (auto [fudge, good] : {std::pair{0, 0}, std::pair{299, 299}, std::pair{301, 300}, std::pair{65'535, 300}}) {
    tests::TsigClient client{.name = "key.test", .fudge = static_cast<std::uint16_t>(fudge)};
    key.secret = client.secret;
    Packet request = client.sign(tests::update_message(1, "a.auth.test", "v"), kSigned).wire;
    auto verdict_at = [&](std::int64_t apart) {
      std::uint64_t now = kSigned + static_cast<std::uint64_t>(apart);
      return verify_tsig(as_bytes(request), tsig_of(request), std::span(&key, 1), now).verdict;
    };
    INFO("a fudge of " << fudge);
    for (int sign : {-1, 1}) {
      REQUIRE(verdict_at(sign * good) == TsigVerdict::Good);
      REQUIRE(verdict_at(sign * (good + 1)) == TsigVerdict::BadTime);
    }
  }
}

TEST_CASE("no octet of a signed message can be changed but its ID", "[dnsd]") {
  for (std::string_view what : {"nsupdate sha1", "knsupdate sha256", "nsupdate sha384"}) {
    Packet request = vector_of(what);
    std::uint64_t now = tsig_of(request).time_signed;
    for (std::size_t at = 0; at < request.size(); ++at) {
      INFO(what << " octet " << at);
      Packet changed = request;
      changed[at] = static_cast<char>(changed[at] ^ 1);
      auto record = find_tsig(as_bytes(changed));
      if (!record || !*record) continue;
      auto keys = all_keys();
      bool good = verify_tsig(as_bytes(changed), **record, keys, now).verdict == TsigVerdict::Good;
      REQUIRE(good == (at < 2));
    }
  }
}

TEST_CASE("a MAC of a length that its algorithm cannot have is malformed", "[dnsd]") {
  struct Lengths {
    std::string_view what;
    std::size_t least, full;
  };
  for (const Lengths& lengths : {Lengths{"nsupdate sha1", 10, 20}, Lengths{"nsupdate sha224", 14, 28},
                                 Lengths{"nsupdate sha256", 16, 32}, Lengths{"nsupdate sha512", 32, 64}}) {
    Packet request = vector_of(lengths.what);
    std::uint64_t now = tsig_of(request).time_signed;
    for (std::size_t length = 0; length <= 200; ++length) {
      INFO(lengths.what << " MAC of " << length);
      TsigContext context = verify(with_mac_length(request, length), now);
      bool possible = length >= lengths.least && length <= lengths.full;
      auto truncated = length == lengths.full ? TsigVerdict::Good : TsigVerdict::BadTrunc;
      REQUIRE(context.verdict == (possible ? truncated : TsigVerdict::Malformed));
      if (!possible) {
        Packet answer = from_hex("1234 a801 0000 0000 0000 0000");
        REQUIRE(tsig_room(context) == 0);
        append_tsig(answer, context, now);
        REQUIRE(to_hex(answer) == "1234a8010000000000000000");
      }
    }
  }
  // Of a key that is not known no length is wrong.
  REQUIRE(verify(update_with(DraftTsig{.key = wire_name("no.test"), .mac = {}}.wire()), 1).verdict ==
          TsigVerdict::BadKey);
}

TEST_CASE("a key is known by its name and its algorithm", "[dnsd]") {
  for (const char* algorithm : {"hmac-sha512", "hmac-sha1", "hmac-md5.sig-alg.reg.int", "hmac-sha256.x", "gss-tsig"}) {
    Packet message = update_with(DraftTsig{.algorithm = wire_name(algorithm)}.wire());
    TsigContext context = verify(message, 0x6b02e599);
    INFO(algorithm);
    REQUIRE(context.verdict == TsigVerdict::BadKey);
    REQUIRE(context.key == nullptr);
    // RFC 8945 §5.3.2: names and time echoed, no MAC.
    Packet answer = from_hex("1234 a809 0000 0000 0000 0000");
    append_tsig(answer, context, 0x70000000);
    TsigRecord record = tsig_of(answer);
    REQUIRE(record.mac.empty());
    REQUIRE(record.error == 17);
    REQUIRE(record.algorithm == name(algorithm));
    REQUIRE(record.key == name("sha256.key.test"));
    REQUIRE(record.time_signed == 0x6b02e599);
    REQUIRE(base::load_u16(as_bytes(answer).data() + 10) == 1);
  }
  Packet message = vector_of("nsupdate sha256");
  REQUIRE(verify_tsig(as_bytes(message), tsig_of(message), {}, 0).verdict == TsigVerdict::BadKey);
}

TEST_CASE("two keys of one name and different algorithms are both good", "[dnsd]") {
  auto keys = all_keys();
  for (TsigKey& key : keys) key.name = name("sha256.key.test");
  std::reverse(keys.begin(), keys.end());
  Packet message = vector_of("nsupdate sha256");
  TsigRecord record = tsig_of(message);
  REQUIRE(verify_tsig(as_bytes(message), record, keys, record.time_signed).verdict == TsigVerdict::Good);
}

TEST_CASE("a message without TSIG has none", "[dnsd]") {
  REQUIRE_FALSE(find_tsig(as_bytes(update_with(tests::RawOpt{}.wire()))).value());
  REQUIRE_FALSE(find_tsig(as_bytes(tests::query("auth.example.net SOA edns"))).value());
  REQUIRE_FALSE(find_tsig(as_bytes(from_hex("0000 2800 0000 0000 0000 0000"))).value());
}

TEST_CASE("a TSIG in a wrong place or form is an error", "[dnsd]") {
  Packet good = DraftTsig{}.wire();
  Packet opt = tests::RawOpt{}.wire();
  REQUIRE(find_tsig(as_bytes(update_with(good))).value());
  auto build = [] { return tests::QueryBuilder("auth.example.net SOA opcode=5"); };
  REQUIRE(find_tsig(as_bytes(build().additional(opt).additional(good).build())).value());
  Packet long_name = wire_name(std::string(63, 'k') + "." + std::string(63, 'k') + "." + std::string(63, 'k') + "." +
                               std::string(61, 'k'));
  REQUIRE(find_tsig(as_bytes(update_with(DraftTsig{.key = long_name, .algorithm = long_name}.wire()))).value());
  std::vector<Packet> wrong = {
      build().additional(good).additional(opt).build(),
      build().additional(good).additional(good).build(),
      build().answer(good).build(),
      build().authority(good).build(),
      build().authority(good).additional(opt).build(),
      build().additional(good).append("x").build(),
      build().additional(good).claim_count(3, 2).build(),
      build().additional(good).claim_count(1, 1).build(),
      build().additional(good).claim_count(3, 65535).build(),
      update_with(DraftTsig{.klass = 1}.wire()),
      update_with(DraftTsig{.ttl = 1}.wire()),
      update_with(DraftTsig{.tail = Packet(1, '\0')}.wire()),
      update_with(DraftTsig{.key = from_hex("c00c")}.wire()),
      update_with(DraftTsig{.algorithm = from_hex("c00c")}.wire()),
      update_with(DraftTsig{.algorithm = Packet(1, '\0')}.wire()),
      update_with(DraftTsig{.algorithm = from_hex("40") + Packet(64, 'a') + Packet(1, '\0')}.wire()),
      update_with(DraftTsig{.key = "\1x" + long_name}.wire()),
      update_with(DraftTsig{.algorithm = "\1x" + long_name}.wire()),
      update_with(RawRecord{.owner = wire_name("k"), .type = 250, .klass = 255, .rdata = {}}.wire()),
      Packet(),
      Packet(11, '\0'),
  };
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    INFO(i);
    auto found = find_tsig(as_bytes(wrong[i]));
    REQUIRE_FALSE(found);
    REQUIRE(found.error().code == base::ErrorCode::Invalid);
    REQUIRE_FALSE(found.error().message.empty());
  }
}

TEST_CASE("a signed message that is cut anywhere is an error", "[dnsd]") {
  for (std::string_view what : {"nsupdate sha1", "knsupdate sha512"}) {
    Packet request = vector_of(what);
    for (std::size_t octets = 0; octets < request.size(); ++octets) {
      INFO(octets);
      REQUIRE_FALSE(find_tsig(as_bytes(request.substr(0, octets))));
    }
  }
  // Lengths inside of it that lead beyond its end.
  Packet draft = update_with(DraftTsig{}.wire());
  std::size_t mac_size_at = draft.size() - 32 - 6 - 2;
  for (int claimed : {0, 31, 33, 38, 39, 65535}) {
    Packet wrong = draft;
    wrong.replace(mac_size_at, 2, wire_u16(static_cast<std::uint16_t>(claimed)));
    INFO(claimed);
    REQUIRE_FALSE(find_tsig(as_bytes(wrong)));
  }
}

TEST_CASE("a record that is not of the message makes no read beyond it", "[dnsd]") {
  Packet message = vector_of("nsupdate sha256");
  auto keys = all_keys();
  TsigRecord record = tsig_of(message);
  for (std::size_t at : {std::size_t{0}, std::size_t{11}, message.size() + 1, SIZE_MAX}) {
    record.at = at;
    REQUIRE(verify_tsig(as_bytes(message), record, keys, 0).verdict == TsigVerdict::Malformed);
  }
  REQUIRE(verify_tsig({}, record, keys, 0).verdict == TsigVerdict::Malformed);
  std::string nothing = "short";
  append_tsig(nothing, verify(message, 0), 0);
  REQUIRE(nothing == "short");
}

}  // namespace countersign::dnsd
