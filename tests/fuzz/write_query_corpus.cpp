// The seeds of fuzz_query, as text: write_query_corpus FOLDER makes one file of each.
#include <array>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/dns_message.hpp"

namespace {

using countersign::tests::from_hex;
using countersign::tests::Packet;
using countersign::tests::query;
using countersign::tests::QueryBuilder;
using countersign::tests::RawOpt;
using countersign::tests::RawRecord;
using countersign::tests::wire_name;

struct Seed {
  std::string name;
  Packet packet;
};

// What ordinary and odd clients ask (genreport's list among it).
const auto kTexts = std::to_array<std::pair<const char*, const char*>>({
    {"a", "www.auth.example.net A rd"},
    {"aaaa-mixed-case-edns-do", "WwW.aUTh.ExAmPlE.nEt AAAA edns do"},
    {"soa", "auth.example.net SOA"},
    {"ns", "auth.example.net NS edns"},
    {"mx", "auth.example.net MX"},
    {"caa", "auth.example.net CAA edns do"},
    {"srv", "_sip._tcp.auth.example.net SRV"},
    {"txt-challenge", "_acme-challenge.example.com TXT edns do size=1232"},
    {"txt-two-values", "example.com.auth.example.net TXT"},
    {"txt-truncated", "full.auth.example.net TXT"},
    {"txt-edns-small", "full.auth.example.net TXT size=512"},
    {"txt-edns-exact", "full.auth.example.net TXT size=946"},
    {"txt-edns-large", "full.auth.example.net TXT size=65535"},
    {"nodata", "mail.auth.example.net AAAA"},
    {"empty-non-terminal", "b.c.auth.example.net NS"},
    {"nxdomain", "missing.www.auth.example.net TXT"},
    {"refused", "www.example.net A edns"},
    {"root", ". NS"},
    {"cname", "chain.auth.example.net AAAA edns"},
    {"cname-across", "across.auth.example.net A"},
    {"cname-outside", "outside.auth.example.net A"},
    {"cname-dangling", "dangling.auth.example.net A"},
    {"cname-loop", "loop-a.auth.example.net A"},
    {"cname-self", "self.auth.example.net ANY"},
    {"cname-to-cut", "to-cut.auth.example.net A"},
    {"wildcard", "a.b.wild.auth.example.net TXT"},
    {"wildcard-cname", "x.alias-wild.auth.example.net A"},
    {"wildcard-empty", "x.mid.auth.example.net A"},
    {"referral", "www.child.auth.example.net A edns"},
    {"referral-ds", "child.auth.example.net DS"},
    {"nested-ds", "nested.auth.example.net DS"},
    {"any", "auth.example.net ANY size=4096"},
    {"axfr", "auth.example.net AXFR"},
    {"ixfr", "auth.example.net IXFR"},
    {"type-opt", "auth.example.net TYPE41"},
    {"type-nxname", "auth.example.net TYPE128 edns"},
    {"type666", "auth.example.net TYPE666"},
    {"class-chaos", "version.bind TXT class=CH"},
    {"class-any", "www.auth.example.net A class=ANY"},
    {"all-flags", "auth.example.net SOA aa tc rd ra z ad cd"},
    {"response", "auth.example.net SOA qr"},
    {"opcode15", "- opcode=15 aa tc rd ra z ad cd"},
    {"notify", "auth.example.net SOA opcode=4 aa"},
    {"update", "auth.example.net SOA opcode=5"},
    {"edns-version1", "auth.example.net SOA version=1 option=100:01 do"},
    {"edns-flags", "auth.example.net SOA ednsflags=0x7fff"},
    {"edns-options", "auth.example.net SOA option=3: option=8:00010000 option=9: option=10:0102030405060708"},
    {"no-question", "- edns option=10:0102030405060708"},
    {"odd-octets", "nul\\000dot\\.label.auth.example.net TXT"},
    {"high-octets", "\\228\\255.auth.example.net TXT"},
});

std::vector<Seed> nasty_seeds() {
  Packet soa =
      RawRecord{.owner = from_hex("c00c"), .type = 6, .ttl = 1, .rdata = from_hex("c00cc00c") + Packet(20, '\1')}
          .wire();
  Packet other = RawRecord{.owner = wire_name("a.b"), .type = 16, .ttl = 1, .rdata = Packet("\1x", 2)}.wire();
  Packet tsig = RawRecord{.type = 250,
                          .klass = 255,
                          .ttl = 0,
                          .rdata = wire_name("hmac-sha256") + from_hex("000065000000 012c 0000 1234 0000 0000")}
                    .wire();
  Packet second = wire_name("mail.auth.example.net") + from_hex("0001 0001");
  std::string label(63, 'x');
  std::string longest = label + "." + label + "." + label + "." + std::string(44, 'y') + ".auth.example.net";
  std::string many;
  for (int i = 0; i < 118; ++i) many += "z.";
  auto raw_question = [](std::string_view hex) {
    return QueryBuilder("-").question(from_hex(hex) + from_hex("00100001")).build();
  };
  return {
      {"empty", ""},
      {"short", Packet(11, '\0')},
      {"header-only", Packet(12, '\0')},
      {"two-questions", QueryBuilder("www.auth.example.net A").question(second).build()},
      {"pointer-to-itself", raw_question("c00c")},
      {"pointer-forward", raw_question("0161c020")},
      {"label-kind-01", raw_question("4161")},
      {"label-kind-10", raw_question("8161")},
      {"label-past-end", raw_question("3f61")},
      {"name-too-long", raw_question(std::string(300, '1'))},
      {"longest-name", query(longest + " TXT edns")},
      {"most-labels", query(many + "auth.example.net TXT")},
      {"two-opts", QueryBuilder("x.test A edns").additional(RawOpt{}.wire()).build()},
      {"opt-with-owner", QueryBuilder("x.test A")
                             .additional(RawRecord{.owner = wire_name("x"), .type = 41, .klass = 512}.wire())
                             .build()},
      {"opt-option-overrun",
       QueryBuilder("x.test A").additional(RawOpt{.options = from_hex("0064ffff01")}.wire()).build()},
      {"opt-first", QueryBuilder("www.auth.example.net A").additional(RawOpt{}.wire()).additional(other).build()},
      {"tsig", QueryBuilder("auth.example.net SOA edns").additional(tsig).build()},
      {"ixfr-with-soa", QueryBuilder("auth.example.net IXFR edns").authority(soa).build()},
      {"answer-in-query", QueryBuilder("auth.example.net SOA").answer(soa).build()},
      {"counts-too-high", QueryBuilder("auth.example.net SOA").claim_count(3, 0xffff).build()},
      {"trailing", QueryBuilder("auth.example.net SOA").append(Packet(40, 'z')).build()},
  };
}

}  // namespace

int main(int argc, char* argv[]) {
  if (argc != 2) {
    std::cerr << "usage: write_query_corpus FOLDER\n";
    return 2;
  }
  std::vector<Seed> seeds = nasty_seeds();
  for (const auto& [name, text] : kTexts) seeds.push_back({name, query(text)});
  // Transports and limits take turns: fuzz_query's first octet.
  unsigned turn = 0;
  for (const Seed& seed : seeds) {
    std::ofstream out(std::filesystem::path(argv[1]) / seed.name, std::ios::binary);
    out << static_cast<char>(turn++ % 6) << seed.packet;
    if (!out.flush()) {
      std::cerr << "cannot write " << seed.name << "\n";
      return 1;
    }
  }
  return 0;
}
