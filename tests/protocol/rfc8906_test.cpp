// RFC 8906 §8 and ISC's genreport: the queries that every server must answer, at the apex.
#include <array>

#include "tests/protocol/expect.hpp"

namespace countersign::tests {

namespace {

enum class Want { Soa, Nodata, NotImp, BadVers };

struct Probe {
  std::string_view name;  // genreport's
  std::string_view query;
  Want want;
  std::string_view flags = "qr aa";
  std::string_view counters = "queries_udp responses noerror";
};

constexpr std::string_view kEdns = "queries_udp responses noerror edns";
constexpr std::string_view kEdnsNodata = "queries_udp responses noerror nodata edns";
constexpr std::string_view kBadVers = "queries_udp responses badvers edns";

// CD may come back in `cd` and `docd` only; we copy it (RFC 4035 §3.1.6). AD, Z, RA and TC never do.
const auto kProbes = std::to_array<Probe>({
    {"dns", "auth.example.net SOA", Want::Soa},
    {"aa", "auth.example.net SOA aa", Want::Soa},
    {"tc", "auth.example.net SOA tc", Want::Soa},
    {"ra", "auth.example.net SOA ra", Want::Soa},
    {"zflag", "auth.example.net SOA z", Want::Soa},
    {"ad", "auth.example.net SOA ad", Want::Soa},
    {"cd", "auth.example.net SOA cd", Want::Soa, "qr aa cd"},
    {"rd", "auth.example.net SOA rd", Want::Soa, "qr aa rd"},
    {"opcode", "- opcode=15", Want::NotImp, "qr", "queries_udp responses notimp"},
    {"opcodeflg", "- opcode=15 aa tc rd ra z ad cd", Want::NotImp, "qr", "queries_udp responses notimp"},
    {"type666", "auth.example.net TYPE666", Want::Nodata, "qr aa", kCountedNodata},
    {"type1000", "auth.example.net TYPE1000", Want::Nodata, "qr aa", kCountedNodata},
    {"edns", "auth.example.net SOA size=4096", Want::Soa, "qr aa", kEdns},
    {"edns1", "auth.example.net SOA version=1 size=4096", Want::BadVers, "qr", kBadVers},
    {"edns1opt", "auth.example.net SOA version=1 option=100:", Want::BadVers, "qr", kBadVers},
    {"edns1do", "auth.example.net SOA version=1 do", Want::BadVers, "qr", kBadVers},
    {"edns1flags", "auth.example.net SOA version=1 ednsflags=0x80", Want::BadVers, "qr", kBadVers},
    {"edns1nsid", "auth.example.net SOA version=1 option=3:", Want::BadVers, "qr", kBadVers},
    {"edns1cookie", "auth.example.net SOA version=1 option=10:0102030405060708", Want::BadVers, "qr", kBadVers},
    {"edns1expire", "auth.example.net SOA version=1 option=9:", Want::BadVers, "qr", kBadVers},
    {"edns1subnet", "auth.example.net SOA version=1 option=8:00010000", Want::BadVers, "qr", kBadVers},
    {"edns@512", "auth.example.net DNSKEY do size=512", Want::Nodata, "qr aa", kEdnsNodata},
    {"ednsopt", "auth.example.net SOA option=100:", Want::Soa, "qr aa", kEdns},
    {"ednsflags", "auth.example.net SOA ednsflags=0x80", Want::Soa, "qr aa", kEdns},
    {"do", "auth.example.net SOA do", Want::Soa, "qr aa", kEdns},
    {"docd", "auth.example.net SOA do cd", Want::Soa, "qr aa cd", kEdns},
    {"optlist", "auth.example.net SOA option=3: option=8:00010000 option=9: option=10:0102030405060708", Want::Soa,
     "qr aa", kEdns},
    {"ednsnsid", "auth.example.net SOA option=3:", Want::Soa, "qr aa", kEdns},
    {"ednsexpire", "auth.example.net SOA option=9:", Want::Soa, "qr aa", kEdns},
    {"ednssubnet", "auth.example.net SOA option=8:00010000", Want::Soa, "qr aa", kEdns},
    {"ednscookie", "auth.example.net SOA option=10:0102030405060708", Want::Soa, "qr aa", kEdns},
    {"bind11", "auth.example.net SOA do option=10:0102030405060708 option=3:", Want::Soa, "qr aa", kEdns},
    {"dig11", "auth.example.net SOA rd ad option=10:0102030405060708 size=4096", Want::Soa, "qr aa rd", kEdns},
});

void check(const Probe& probe, const Reply& reply) {
  const Message& message = reply.message;
  REQUIRE(message.flags() == probe.flags);
  bool asked_edns = probe.counters.ends_with("edns");
  REQUIRE(message.opt.has_value() == asked_edns);
  bool asked_do = probe.query.find(" do") != std::string_view::npos;
  if (asked_edns) REQUIRE(message.opt->flags == (asked_do ? 0x8000 : 0));
  switch (probe.want) {
    case Want::Soa:
      REQUIRE(message.rcode == rcode::kNoError);
      REQUIRE(message.answer.size() == 1);
      REQUIRE(message.answer[0].find(" IN SOA ") != std::string::npos);
      break;
    case Want::Nodata:
      REQUIRE(message.rcode == rcode::kNoError);
      REQUIRE(message.answer.empty());
      REQUIRE(message.authority.size() == 1);
      REQUIRE(message.size <= 512);
      break;
    case Want::NotImp:
      REQUIRE(message.rcode == rcode::kNotImp);
      REQUIRE(reply.response.size() == 12);
      break;
    case Want::BadVers:
      REQUIRE(message.rcode == rcode::kBadVers);
      REQUIRE(message.answer.empty());
      REQUIRE(message.authority.empty());
      break;
  }
}

// By name in genreport; ANY, AXFR and IXFR have tests of their own.
constexpr auto kTypes = std::to_array<std::string_view>(
    {"A",       "NS",         "MD",       "MF",        "CNAME",    "SOA",        "MB",   "MG",     "MR",    "NULL",
     "WKS",     "PTR",        "HINFO",    "MINFO",     "MX",       "TXT",        "RP",   "AFSDB",  "X25",   "ISDN",
     "RT",      "NSAP",       "NSAP-PTR", "SIG",       "KEY",      "PX",         "GPOS", "AAAA",   "LOC",   "NXT",
     "SRV",     "NAPTR",      "KX",       "CERT",      "TYPE38",   "DNAME",      "APL",  "DS",     "SSHFP", "IPSECKEY",
     "RRSIG",   "NSEC",       "DNSKEY",   "DHCID",     "NSEC3",    "NSEC3PARAM", "TLSA", "TYPE53", "HIP",   "CDS",
     "CDNSKEY", "OPENPGPKEY", "SPF",      "NID",       "L32",      "L64",        "LP",   "EUI48",  "EUI64", "URI",
     "CAA",     "TYPE64",     "TYPE65",   "TYPE32768", "TYPE32769"});

}  // namespace

TEST_CASE("RFC 8906 §8: every probe is answered over UDP as it must be", "[protocol]") {
  AnswerFixture server;
  for (const Probe& probe : kProbes) {
    INFO(probe.name << ": " << probe.query);
    Reply reply = server.ask(probe.query);
    check(probe, reply);
    REQUIRE(reply.counters == probe.counters);
  }
}

TEST_CASE("RFC 8906 §8.1.5: every probe is answered over TCP as well", "[protocol]") {
  AnswerFixture server;
  for (const Probe& probe : kProbes) {
    INFO(probe.name << ": " << probe.query);
    Reply reply = server.ask_tcp(probe.query);
    check(probe, reply);
    REQUIRE(reply.counters == "queries_tcp" + std::string(probe.counters.substr(11)));
  }
}

TEST_CASE("RFC 8906 §8.1.2: every type that has a name is answered NOERROR at the apex", "[protocol]") {
  AnswerFixture server;
  for (std::string_view type : kTypes) {
    INFO(type);
    Reply reply = server.ask("auth.example.net " + std::string(type));
    REQUIRE(reply.message.rcode == rcode::kNoError);
    REQUIRE(reply.message.flags() == "qr aa");
    REQUIRE(reply.counters == (reply.message.answer.empty() ? kCountedNodata : kCountedAnswer));
  }
}

}  // namespace countersign::tests
