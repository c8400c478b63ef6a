#include "dnsd/update/update_message.hpp"

#include <string>

#include "tests/support/catch.hpp"
#include "tests/support/dns_message.hpp"
#include "tests/unit/dnsd/tsig_vectors.hpp"

namespace countersign::dnsd {
namespace {

using tests::from_hex;
using tests::Packet;
using tests::QueryBuilder;
using tests::RawRecord;
using tests::to_hex;
using tests::wire_name;
using zones::Prerequisite;
using zones::TxtChange;
using Kind = TxtChange::Kind;
using Need = Prerequisite::Kind;

using Numbers = std::vector<std::uint16_t>;

constexpr std::uint16_t kIn = 1, kNone = 254, kAny = 255;
constexpr std::uint16_t kTxt = 16, kTypeAny = 255;
constexpr std::uint16_t kFormErr = 1, kRefused = 5, kNotAuth = 9, kNotZone = 10;

base::Name name(std::string_view text) {
  return base::Name::parse(text).value();
}

Packet text_data(std::string_view text) {
  return Packet(1, static_cast<char>(text.size())) + Packet(text);
}

const std::vector<base::Name>& our_zones() {
  static const std::vector<base::Name> zones = {name("auth.example.net"), name("deep.auth.example.net"),
                                                name("example.org")};
  return zones;
}

TsigKey lego() {
  return {
      .name = name("lego.key"),
      .secret = "secret",
      .allow = {{.name = name("auth.example.net"), .below = true}, {.name = name("auth.example.net"), .below = false}}};
}

QueryBuilder update(std::string_view zone = "auth.example.net SOA") {
  return QueryBuilder(std::string(zone) + " opcode=5");
}

Packet record(std::string_view owner, std::uint16_t type, std::uint16_t klass, const Packet& rdata = {},
              std::uint32_t ttl = 0) {
  return RawRecord{.owner = wire_name(owner), .type = type, .klass = klass, .ttl = ttl, .rdata = rdata}.wire();
}

using Outcome = std::variant<UpdateRequest, UpdateRefusal>;

Outcome parse(const Packet& message, const TsigKey& key = lego()) {
  return parse_update(base::as_bytes(message), our_zones(), key);
}

UpdateRequest taken(const QueryBuilder& builder, const TsigKey& key = lego()) {
  Outcome outcome = parse(builder.build(), key);
  if (const auto* refusal = std::get_if<UpdateRefusal>(&outcome)) FAIL("refused: " << refusal->reason);
  return std::get<UpdateRequest>(outcome);
}

// The RCODE; 0 for a request that was taken.
std::uint16_t rcode_of(const Packet& message, const TsigKey& key = lego()) {
  Outcome outcome = parse(message, key);
  const auto* refusal = std::get_if<UpdateRefusal>(&outcome);
  if (refusal == nullptr) return 0;
  INFO(refusal->reason);
  REQUIRE_FALSE(refusal->reason.empty());
  return refusal->rcode;
}

std::uint16_t rcode_of_update(const Packet& wire) {
  return rcode_of(update().authority(wire).build());
}

std::uint16_t rcode_of_prerequisite(const Packet& wire) {
  return rcode_of(update().answer(wire).build());
}

Prerequisite only(const QueryBuilder& builder) {
  UpdateRequest request = taken(builder);
  REQUIRE(request.update.prerequisites.size() == 1);
  return request.update.prerequisites[0];
}

}  // namespace

TEST_CASE("a TXT record that is added is a value of the key", "[dnsd]") {
  UpdateRequest request =
      taken(update().authority(record("_acme-challenge.Auth.Example.NET", kTxt, kIn, text_data("value"), 120)));
  REQUIRE(request.zone == name("auth.example.net"));
  REQUIRE(request.update.prerequisites.empty());
  REQUIRE(request.update.changes.size() == 1);
  const TxtChange& change = request.update.changes[0];
  REQUIRE(change.kind == Kind::Add);
  REQUIRE(change.name == name("_acme-challenge.auth.example.net"));
  REQUIRE(change.value.value().text() == "value");
  REQUIRE(change.owner == "key:lego.key");
  REQUIRE_FALSE(change.lifetime);
  REQUIRE(change.when_full == TxtChange::WhenFull::Refuse);
}

TEST_CASE("the strings of a TXT record are one value", "[dnsd]") {
  std::string longest(255, 'x');
  Packet rdata = text_data(longest) + text_data(longest) + text_data("") + text_data("end");
  UpdateRequest request = taken(update().authority(record("a.auth.example.net", kTxt, kIn, rdata)));
  REQUIRE(request.update.changes[0].value.value().text() == longest + longest + "end");
}

TEST_CASE("deletions: a record whoever put it, an RRset and a name of the key's own", "[dnsd]") {
  UpdateRequest request = taken(update()
                                    .authority(record("a.auth.example.net", kTxt, kNone, text_data("value")))
                                    .authority(record("b.auth.example.net", kTxt, kAny))
                                    .authority(record("c.auth.example.net", kTypeAny, kAny))
                                    .authority(record("auth.example.net", kTypeAny, kAny)));
  const auto& changes = request.update.changes;
  REQUIRE(changes.size() == 4);
  REQUIRE(changes[0].kind == Kind::Remove);
  REQUIRE(changes[0].whose == TxtChange::Whose::Anybodys);
  REQUIRE(changes[0].value.value().text() == "value");
  const std::vector<std::string> cleared = {"b.auth.example.net", "c.auth.example.net", "auth.example.net"};
  for (std::size_t i = 0; i < cleared.size(); ++i) {
    REQUIRE(changes[i + 1].kind == Kind::RemoveAll);
    REQUIRE(changes[i + 1].whose == TxtChange::Whose::Owners);
    REQUIRE(changes[i + 1].name == name(cleared[i]));
    REQUIRE_FALSE(changes[i + 1].value);
    REQUIRE(changes[i + 1].owner == "key:lego.key");
  }
}

TEST_CASE("changes stay in the order in which they were sent", "[dnsd]") {
  QueryBuilder builder = update();
  for (char c : std::string("cabcab")) {
    builder.authority(record("x.auth.example.net", kTxt, kAny));
    builder.authority(record("x.auth.example.net", kTxt, kIn, text_data(std::string(1, c))));
  }
  std::string order;
  for (const TxtChange& change : taken(builder).update.changes)
    order += change.kind == Kind::RemoveAll ? "-" : change.value.value().text();
  REQUIRE(order == "-c-a-b-c-a-b");
}

TEST_CASE("what nsupdate and knsupdate send is understood", "[dnsd]") {
  TsigKey key = lego();
  for (const tests::TsigExchange& exchange : tests::kTsigUpdates) {
    INFO(exchange.what);
    Packet message = from_hex(exchange.request);
    auto tsig = find_tsig(base::as_bytes(message)).value();
    REQUIRE(tsig);
    message.resize(tsig->at);
    message.replace(10, 2, 2, '\0');
    Outcome outcome = parse(message, key);
    REQUIRE(std::holds_alternative<UpdateRequest>(outcome));
    const auto& changes = std::get<UpdateRequest>(outcome).update.changes;
    REQUIRE(changes.size() == (exchange.what.starts_with("k") ? 2 : 1));
    REQUIRE(changes[0].name == name("_acme-challenge.auth.example.net"));  // the names are compressed
    std::string value = std::string(exchange.what) + "-value";
    value[value.find(' ')] = '-';
    REQUIRE(changes[0].value.value().text() == value);
    // Each cut of it is malformed, and so is an octet too many.
    for (std::size_t octets = 0; octets < message.size(); ++octets)
      REQUIRE(rcode_of(message.substr(0, octets)) == kFormErr);
    REQUIRE(rcode_of(message + "x") == kFormErr);
  }
}

TEST_CASE("prerequisites of every kind are passed on", "[dnsd]") {
  auto check = [](const Prerequisite& found, Need kind, std::uint16_t type) {
    REQUIRE(found.kind == kind);
    REQUIRE(found.type == type);
    REQUIRE(found.name == name("a.auth.example.net"));
    REQUIRE(found.rdatas.empty());
  };
  // RFC 2136 §2.4
  check(only(update().answer(record("A.auth.example.net", kTypeAny, kAny))), Need::NameInUse, 0);
  check(only(update().answer(record("a.auth.example.net", kTypeAny, kNone))), Need::NameNotInUse, 0);
  check(only(update().answer(record("a.auth.example.net", 1, kAny))), Need::RrsetExists, 1);
  check(only(update().answer(record("a.auth.example.net", 65280, kNone))), Need::RrsetNotExists, 65280);
  // They need no permission: the key may change nothing here.
  TsigKey nothing = lego();
  nothing.allow.clear();
  REQUIRE(rcode_of(update().answer(record("a.auth.example.net", 2, kAny)).build(), nothing) == 0);
}

TEST_CASE("an RRset that must be so is collected, in canonical form and behind the others", "[dnsd]") {
  UpdateRequest request = taken(update()
                                    .answer(record("b.auth.example.net", kTxt, kIn, text_data("two")))
                                    .answer(record("a.auth.example.net", 1, kIn, from_hex("c0000202")))
                                    .answer(record("x.auth.example.net", kTypeAny, kAny))
                                    .answer(record("B.auth.example.net", kTxt, kIn, text_data("one")))
                                    .answer(record("a.auth.example.net", kTxt, kIn, text_data("t")))
                                    .answer(record("b.auth.example.net", kTxt, kIn, text_data("two")))
                                    .answer(record("a.auth.example.net", 1, kIn, from_hex("c0000201"))));
  const auto& found = request.update.prerequisites;
  REQUIRE(found.size() == 4);
  REQUIRE(found[0].kind == Need::NameInUse);
  for (std::size_t i = 1; i < 4; ++i) REQUIRE(found[i].kind == Need::RrsetEquals);
  REQUIRE(found[1].name == name("a.auth.example.net"));
  REQUIRE(found[1].type == 1);
  REQUIRE(found[1].rdatas == std::vector<std::string>{from_hex("c0000201"), from_hex("c0000202")});
  REQUIRE(found[2].type == kTxt);
  REQUIRE(found[2].rdatas == std::vector<std::string>{text_data("t")});
  REQUIRE(found[3].name == name("b.auth.example.net"));
  REQUIRE(found[3].rdatas == std::vector<std::string>{text_data("one"), text_data("two")});
}

TEST_CASE("names in the data of a prerequisite lose their case and their compression", "[dnsd]") {
  auto data = [](std::uint16_t type, const Packet& rdata) {
    return to_hex(only(update().answer(record("auth.example.net", type, kIn, rdata))).rdatas.at(0));
  };
  Packet zone = wire_name("auth.example.net");
  Packet pointer = from_hex("c00c");  // to the zone
  Packet ns1 = from_hex("03") + "Ns1";
  Packet numbers = from_hex("00000001 00000002 00000003 00000004 00000005");
  REQUIRE(data(2, ns1 + pointer) == to_hex(wire_name("ns1.auth.example.net")));
  REQUIRE(data(5, pointer) == to_hex(zone));
  REQUIRE(data(15, from_hex("0041") + ns1 + pointer) == to_hex(from_hex("0041") + wire_name("ns1.auth.example.net")));
  REQUIRE(data(6, ns1 + pointer + wire_name("Host.EXAMPLE.net") + numbers) ==
          to_hex(wire_name("ns1.auth.example.net") + wire_name("host.example.net") + numbers));
  REQUIRE(data(33, from_hex("000100020003") + wire_name("A.B")) == to_hex(from_hex("000100020003") + wire_name("a.b")));
  // Octets that are no name stay.
  REQUIRE(data(257, from_hex("00 05") + "issueCA.Example") == to_hex(from_hex("00 05") + "issueCA.Example"));
  REQUIRE(data(65280, "ABC") == to_hex("ABC"));
  REQUIRE(data(kTxt, text_data("ABC")) == to_hex(text_data("ABC")));
  REQUIRE(data(10, "") == "");     // NULL may be empty
  REQUIRE(data(65280, "") == "");  // and so may what nobody knows
}

TEST_CASE("RFC 2136 §3.1: the zone section", "[dnsd]") {
  Packet soa = wire_name("auth.example.net") + from_hex("0006 0001");
  REQUIRE(rcode_of(update("-").build()) == kFormErr);
  REQUIRE(rcode_of(update().question(soa).build()) == kFormErr);
  REQUIRE(rcode_of(update("auth.example.net A").build()) == kFormErr);
  REQUIRE(rcode_of(update("auth.example.net ANY").build()) == kFormErr);
  // FORMERR comes before NOTAUTH.
  REQUIRE(rcode_of(update("example.com A").build()) == kFormErr);
  REQUIRE(rcode_of(update("example.com SOA").build()) == kNotAuth);
  REQUIRE(rcode_of(update("example.net SOA").build()) == kNotAuth);
  REQUIRE(rcode_of(update("x.auth.example.net SOA").build()) == kNotAuth);
  REQUIRE(rcode_of(update(". SOA").build()) == kNotAuth);
  REQUIRE(rcode_of(update("auth.example.net SOA class=CH").build()) == kNotAuth);
  REQUIRE(rcode_of(update("auth.example.net SOA class=255").build()) == kNotAuth);
  REQUIRE(rcode_of(update("AUTH.example.net SOA").build()) == 0);
  // An empty update is one.
  UpdateRequest request = taken(update());
  REQUIRE(request.update.changes.empty());
  REQUIRE(request.update.prerequisites.empty());
}

TEST_CASE("RFC 2136 §3.2: prerequisites that are malformed", "[dnsd]") {
  constexpr std::string_view kOwner = "a.auth.example.net";
  for (std::uint16_t klass : {kAny, kNone, kIn})
    REQUIRE(rcode_of_prerequisite(record(kOwner, kTxt, klass, klass == kIn ? text_data("x") : "", 1)) == kFormErr);
  for (std::uint16_t klass : {kAny, kNone}) {
    REQUIRE(rcode_of_prerequisite(record(kOwner, kTxt, klass, text_data("x"))) == kFormErr);
    REQUIRE(rcode_of_prerequisite(record(kOwner, kTypeAny, klass, "x")) == kFormErr);
  }
  for (std::uint16_t klass : Numbers{0, 2, 3, 4, 253, 256, 65535})
    REQUIRE(rcode_of_prerequisite(record(kOwner, kTxt, klass)) == kFormErr);
  // Records of no RRset have no data that could be compared; that there is none can be asked, as BIND sees it too.
  for (std::uint16_t type : Numbers{0, 41, 128, 249, 250, 251, 252, 253, 254}) {
    INFO(type);
    bool of_messages = type == 41 || type == 250;
    REQUIRE(rcode_of_prerequisite(record(kOwner, type, kIn, "x")) == kFormErr);
    for (std::uint16_t klass : {kAny, kNone})
      REQUIRE(rcode_of_prerequisite(record(kOwner, type, klass)) == (of_messages ? kFormErr : 0));
  }
  REQUIRE(rcode_of_prerequisite(record(kOwner, kTypeAny, kIn)) == kFormErr);
  // FORMERR of the TTL comes before NOTZONE, as the text of §3.2 has it.
  REQUIRE(rcode_of_prerequisite(record("example.com", kTxt, kAny, "", 1)) == kFormErr);
  REQUIRE(rcode_of_prerequisite(record("example.com", kTxt, 7)) == kNotZone);
  // Prerequisites come before updates.
  REQUIRE(
      rcode_of(update().answer(record("example.com", kTxt, kAny)).authority(record(kOwner, kTypeAny, kIn)).build()) ==
      kNotZone);
}

TEST_CASE("data of a prerequisite that is not of its type is malformed", "[dnsd]") {
  struct Wrong {
    std::uint16_t type;
    Packet rdata;
  };
  const std::vector<Wrong> wrongs = {
      {kTxt, ""},
      {kTxt, "\5abc"},
      {kTxt, text_data("a") + "\1"},
      {1, ""},
      {1, "abc"},
      {1, "abcde"},
      {28, Packet(15, 'a')},
      {2, ""},
      {2, from_hex("c0")},
      {2, from_hex("c0ff")},        // to octets of the record itself that are no name
      {2, from_hex("03") + "ns1"},  // no end
      {2, wire_name("ns1") + "x"},
      {15, from_hex("0001")},
      {15, from_hex("0001") + wire_name("a") + "x"},
      {6, wire_name("a") + wire_name("b") + Packet(19, 'x')},
      {6, wire_name("a") + wire_name("b") + Packet(21, 'x')},
      {33, from_hex("000100020003")},
      {43, from_hex("0001")},
  };
  for (std::size_t i = 0; i < wrongs.size(); ++i) {
    INFO(i << " type " << wrongs[i].type);
    REQUIRE(rcode_of_prerequisite(record("a.auth.example.net", wrongs[i].type, kIn, wrongs[i].rdata)) == kFormErr);
  }
}

TEST_CASE("RFC 2136 §3.4.1: updates that are malformed", "[dnsd]") {
  constexpr std::string_view kOwner = "a.auth.example.net";
  // ANY, AXFR, MAILA, MAILB, and the others that are no data.
  for (std::uint16_t type : Numbers{255, 252, 254, 253, 251, 250, 249, 128, 41, 0}) {
    INFO(type);
    REQUIRE(rcode_of_update(record(kOwner, type, kIn, text_data("x"))) == kFormErr);
    REQUIRE(rcode_of_update(record(kOwner, type, kNone, text_data("x"))) == kFormErr);
    REQUIRE(rcode_of_update(record(kOwner, type, kAny)) == (type == kTypeAny ? 0 : kFormErr));
  }
  REQUIRE(rcode_of_update(record(kOwner, kTxt, kAny, "", 1)) == kFormErr);
  REQUIRE(rcode_of_update(record(kOwner, kTypeAny, kAny, "", 1)) == kFormErr);
  REQUIRE(rcode_of_update(record(kOwner, kTxt, kAny, text_data("x"))) == kFormErr);
  REQUIRE(rcode_of_update(record(kOwner, kTxt, kNone, text_data("x"), 1)) == kFormErr);
  for (std::uint16_t klass : Numbers{0, 2, 3, 4, 253, 256, 65535})
    REQUIRE(rcode_of_update(record(kOwner, kTxt, klass, text_data("x"))) == kFormErr);
  for (const Packet& rdata : {Packet(), Packet("\5abc"), text_data("a") + "\1"})
    for (std::uint16_t klass : {kIn, kNone}) REQUIRE(rcode_of_update(record(kOwner, kTxt, klass, rdata)) == kFormErr);
}

TEST_CASE("a name outside of the zone, or in a deeper one of ours, is NOTZONE", "[dnsd]") {
  for (std::string_view owner : {"example.net", "example.com", ".", "xauth.example.net", "a.example.org",
                                 "deep.auth.example.net", "a.b.deep.auth.example.net"}) {
    INFO(owner);
    for (std::uint16_t klass : {kIn, kNone}) {
      REQUIRE(rcode_of_update(record(owner, kTxt, klass, text_data("x"))) == kNotZone);
      REQUIRE(rcode_of_prerequisite(record(owner, kTypeAny, kNone)) == kNotZone);
    }
    REQUIRE(rcode_of_update(record(owner, 254, 77)) == kNotZone);  // before all else (§3.4.1.3)
  }
  // The deeper zone itself takes them.
  REQUIRE(rcode_of(update("deep.auth.example.net SOA")
                       .authority(record("a.deep.auth.example.net", kTxt, kIn, text_data("x")))
                       .build()) == 0);
  REQUIRE(rcode_of_update(record("deeper.auth.example.net", kTxt, kIn, text_data("x"))) == 0);
}

TEST_CASE("what a key may not change is REFUSED", "[dnsd]") {
  TsigKey key = lego();
  key.allow = {{.name = name("_acme-challenge.auth.example.net"), .below = false},
               {.name = name("sub.auth.example.net"), .below = true}};
  auto rcode_for = [&](std::string_view owner, std::uint16_t type, std::uint16_t klass, const Packet& rdata) {
    return rcode_of(update().authority(record(owner, type, klass, rdata)).build(), key);
  };
  for (std::string_view owner :
       {"_ACME-challenge.auth.example.net", "a.sub.auth.example.net", "a.b.sub.auth.example.net"}) {
    REQUIRE(rcode_for(owner, kTxt, kIn, text_data("x")) == 0);
    REQUIRE(rcode_for(owner, kTxt, kNone, text_data("x")) == 0);
    REQUIRE(rcode_for(owner, kTxt, kAny, "") == 0);
    REQUIRE(rcode_for(owner, kTypeAny, kAny, "") == 0);
    // Nothing but TXT.
    REQUIRE(rcode_for(owner, 1, kIn, "abcd") == kRefused);
    REQUIRE(rcode_for(owner, 5, kIn, wire_name("b.test")) == kRefused);
    REQUIRE(rcode_for(owner, 1, kNone, "abcd") == kRefused);
    REQUIRE(rcode_for(owner, 1, kAny, "") == kRefused);
    REQUIRE(rcode_for(owner, 6, kIn, "x") == kRefused);
  }
  for (std::string_view owner :
       {"auth.example.net", "sub.auth.example.net", "x._acme-challenge.auth.example.net", "www.auth.example.net"}) {
    REQUIRE(rcode_for(owner, kTxt, kIn, text_data("x")) == kRefused);
    REQUIRE(rcode_for(owner, kTxt, kNone, text_data("x")) == kRefused);
    REQUIRE(rcode_for(owner, kTxt, kAny, "") == kRefused);
    REQUIRE(rcode_for(owner, kTypeAny, kAny, "") == kRefused);
  }
  // One that is not permitted refuses all; what is malformed behind it comes first (§3.4.1 before permission).
  Packet good = record("a.sub.auth.example.net", kTxt, kIn, text_data("x"));
  Packet bad = record("www.auth.example.net", kTxt, kIn, text_data("x"));
  REQUIRE(rcode_of(update().authority(good).authority(bad).build(), key) == kRefused);
  REQUIRE(rcode_of(update().authority(bad).authority(record("a.sub.auth.example.net", 255, kIn)).build(), key) ==
          kFormErr);
  REQUIRE(rcode_of(update().authority(bad).authority(record("a.test", kTxt, kAny)).build(), key) == kNotZone);
  key.allow.clear();
  REQUIRE(rcode_of(update().authority(good).build(), key) == kRefused);
}

TEST_CASE("a value that cannot be kept is REFUSED, and its reason says why", "[dnsd]") {
  struct Wrong {
    Packet rdata;
    std::string words;
  };
  Packet too_long;
  for (int i = 0; i < 5; ++i) too_long += text_data(std::string(210, 'x'));
  for (const Wrong& wrong : {Wrong{text_data(""), "is empty"}, Wrong{text_data("") + text_data(""), "is empty"},
                             Wrong{too_long, "1050 octets"}, Wrong{text_data("a\tb"), "not printable"},
                             Wrong{text_data("\xc3\xa4"), "not printable"}})
    for (std::uint16_t klass : {kIn, kNone}) {
      Outcome outcome = parse(update().authority(record("a.auth.example.net", kTxt, klass, wrong.rdata)).build());
      const auto& refusal = std::get<UpdateRefusal>(outcome);
      REQUIRE(refusal.rcode == kRefused);
      REQUIRE(refusal.reason.find(wrong.words) != std::string::npos);
      REQUIRE(refusal.reason.find("a.auth.example.net") != std::string::npos);
    }
}

TEST_CASE("a reason shows no octet of a stranger's that a terminal would obey", "[dnsd]") {
  Packet owner = "\4\x1b[2J" + wire_name("example.com");
  Outcome outcome = parse(update().authority(RawRecord{.owner = owner, .type = kTxt, .klass = kAny}.wire()).build());
  REQUIRE(std::get<UpdateRefusal>(outcome).reason == "\"\\027[2j.example.com\" is not in zone \"auth.example.net\"");
}

TEST_CASE("the additional section says nothing, but must be whole", "[dnsd]") {
  Packet opt = tests::RawOpt{}.wire();
  Packet glue = record("ns.example.com", 1, kIn, "abcd", 5);
  Packet tsig = RawRecord{.owner = wire_name("k"), .type = 250, .klass = 255}.wire();
  REQUIRE(taken(update().additional(glue).additional(opt).additional(glue)).update.changes.empty());
  REQUIRE(rcode_of(update().additional(opt).additional(opt).build()) == kFormErr);
  REQUIRE(rcode_of(update().additional(tsig).build()) == kFormErr);
  REQUIRE(rcode_of(update().claim_count(3, 1).build()) == kFormErr);
  REQUIRE(rcode_of(update().additional(opt.substr(0, 10)).build()) == kFormErr);
}

TEST_CASE("counts that are not true are malformed", "[dnsd]") {
  Packet add = record("a.auth.example.net", kTxt, kIn, text_data("x"));
  for (std::size_t section : {1U, 2U, 3U})
    for (std::uint16_t count : Numbers{2, 999}) {
      INFO(section << " " << count);
      REQUIRE(rcode_of(update().authority(add).claim_count(section, count).build()) == kFormErr);
    }
  REQUIRE(rcode_of(update().authority(add).claim_count(2, 0).build()) == kFormErr);
  REQUIRE(rcode_of(update().authority(add).claim_count(0, 0).build()) == kFormErr);
}

TEST_CASE("pointers in names lead backwards, and not for ever", "[dnsd]") {
  auto rcode_with = [](const Packet& owner) {
    return rcode_of(update().authority(RawRecord{.owner = owner, .type = kTxt, .klass = kAny}.wire()).build());
  };
  REQUIRE(rcode_with(from_hex("0161 c00c")) == 0);
  REQUIRE(rcode_with(from_hex("c00c")) == 0);
  REQUIRE(rcode_with(from_hex("c000")) == kFormErr);  // the header
  REQUIRE(rcode_with(from_hex("c00b")) == kFormErr);
  REQUIRE(rcode_with(from_hex("c022")) == kFormErr);       // to itself: 12 octets of header, 22 of the zone
  REQUIRE(rcode_with(from_hex("0161 c022")) == kFormErr);  // to its own beginning
  REQUIRE(rcode_with(from_hex("c030")) == kFormErr);       // forwards
  REQUIRE(rcode_with(from_hex("ffff")) == kFormErr);
  REQUIRE(rcode_with(from_hex("80 00")) == kFormErr);  // neither label nor pointer
  REQUIRE(rcode_with(from_hex("40 00")) == kFormErr);
  // 238 octets before the zone's 18: the longest that fits is 237.
  std::string labels;
  for (int i = 0; i < 118; ++i) labels += from_hex("0161");
  REQUIRE(rcode_with(labels + from_hex("c00c")) == 0);
  REQUIRE(rcode_with(labels + from_hex("0161 c00c")) == kFormErr);
  // The zone's own name, as its pointer to the header.
  REQUIRE(rcode_of(from_hex("0000 2800 0001 0000 0000 0000 c00c 0006 0001")) == kFormErr);
}

TEST_CASE("pointers that lead to pointers cost no more than a name's labels", "[dnsd]") {
  // A record of no known type holds the chain; the last prerequisite's owner is its end.
  auto message = [](std::size_t pointers) {
    Packet chain = from_hex("c00c");
    std::size_t begin = 12 + 22 + 1 + 10 + 18 - 1;  // header, zone, and the first prerequisite up to its data
    for (std::size_t i = 1; i < pointers; ++i)
      chain += tests::wire_u16(static_cast<std::uint16_t>(0xc000U | (begin + 2 * (i - 1))));
    Packet last = tests::wire_u16(static_cast<std::uint16_t>(0xc000U | (begin + 2 * (pointers - 1))));
    return update()
        .answer(record("auth.example.net", 65280, kIn, chain))
        .answer(RawRecord{.owner = last, .type = kTypeAny, .klass = kAny}.wire())
        .build();
  };
  REQUIRE(rcode_of(message(1)) == 0);
  REQUIRE(rcode_of(message(126)) == 0);
  REQUIRE(rcode_of(message(127)) == kFormErr);
  REQUIRE(rcode_of(message(5000)) == kFormErr);
}

TEST_CASE("a message holds at most a thousand records, and few to be compared that are not TXT", "[dnsd]") {
  auto updates = [](std::size_t count) {
    QueryBuilder builder = update();
    builder.answer(record("a.auth.example.net", kTxt, kAny));
    for (std::size_t i = 1; i < count; ++i)
      builder.authority(RawRecord{.owner = from_hex("0161 c00c"), .type = kTxt, .klass = kAny}.wire());
    return builder.build();
  };
  REQUIRE(rcode_of(updates(1000)) == 0);
  REQUIRE(rcode_of(updates(1001)) == kRefused);
  auto addresses = [](std::size_t count) {
    QueryBuilder builder = update();
    for (std::size_t i = 0; i < count; ++i)
      builder.answer(record("a.auth.example.net", 1, kIn, "ab" + tests::wire_u16(static_cast<std::uint16_t>(i))));
    return builder.build();
  };
  REQUIRE(rcode_of(addresses(100)) == 0);
  REQUIRE(rcode_of(addresses(101)) == kRefused);
}

}  // namespace countersign::dnsd
