// acme-dns' config.cfg as its releases have it, and what it comes to.
#include "conf/acme_dns_config.hpp"

#include <string>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/unit/conf/example.hpp"

namespace countersign::conf {
namespace {

// As 1.x has it.
const std::string kFirst = R"([general]
# DNS interface
listen = "127.0.0.1:53"
protocol = "both"
domain = "auth.example.org"
nsname = "auth.example.org"
nsadmin = "admin.example.org"
records = [
    "auth.example.org. A 198.51.100.1",
    # the name server
    "auth.example.org. NS auth.example.org.",
]
debug = false

[database]
engine = "sqlite3"
connection = "/var/lib/acme-dns/acme-dns.db"

[api]
ip = "0.0.0.0"
disable_registration = false
port = "443"
tls = "cert"
tls_cert_privkey = "/etc/tls/example.org/privkey.pem"
tls_cert_fullchain = "/etc/tls/example.org/fullchain.pem"
acme_cache_dir = "api-certs"
notification_email = ""
corsorigins = [
    "*"
]
use_header = false
header_name = "X-Forwarded-For"

[logconfig]
loglevel = "debug"
logtype = "stdout"
logformat = "text"
)";

// As 2.x may have it.
const std::string kSecond = R"([General]
Listen = ":53"
Protocol = "udp4"
Domain = "Auth.Example.ORG"
NSName = "ns1.example.net."
NSAdmin = "first\\.last.example.org"
Records = []
[DATABASE]
Engine = "sqlite"
Connection = "acme-dns.db"
[API]
IP = "::1"
Port = 8080
Disable_Registration = true
TLS = "none"
Use_Header = true
Header_Name = "X-Real-IP"
HSTS_enabled = true
corsorigins = ["https://a.example"]
[LogConfig]
LogLevel = "warning"
LogType = "file"
LogFile = "/var/log/acme-dns.log"
LogFormat = "json"
)";

std::string converted(const std::string& text, const ConversionFacts& facts = {}) {
  AcmeDnsLoaded loaded = parse_acme_dns_config(text);
  REQUIRE(loaded.problems.empty());
  return converted_configuration(loaded.config, facts);
}

// What is printed must be a configuration without problems.
Config reloaded(const std::string& text) {
  INFO(text);
  Loaded loaded = load_text(text);
  CHECK(printed(loaded).empty());
  REQUIRE(loaded.config.zones.size() == 1);
  return loaded.config;
}

std::vector<std::string> texts(const std::vector<base::SocketAddress>& addresses) {
  std::vector<std::string> out;
  for (const auto& address : addresses) out.push_back(address.text());
  return out;
}

std::string said(const std::string& text) {
  std::string lines;
  for (const Problem& problem : parse_acme_dns_config(text).problems) lines += format_problem("f", problem) + "\n";
  return lines;
}

std::string with(const std::string& general, const std::string& rest = "") {
  return "[general]\ndomain = \"auth.example.org\"\nnsname = \"ns.example.net\"\nnsadmin = \"a.example.org\"\n" +
         general + "\n" + rest;
}

using Texts = std::vector<std::string>;

TEST_CASE("the configuration of acme-dns 1.x is read and comes to ours", "[conf]") {
  AcmeDnsLoaded loaded = parse_acme_dns_config(kFirst);
  REQUIRE(loaded.problems.empty());
  CHECK(loaded.config.unknown.empty());
  CHECK(loaded.config.engine == "sqlite3");
  CHECK(loaded.config.connection == "/var/lib/acme-dns/acme-dns.db");
  std::string text = converted_configuration(loaded.config, {});
  Config config = reloaded(text);
  CHECK(config.log_level == base::log::Level::Debug);
  CHECK(texts(config.dns.listen) == Texts{"127.0.0.1:53"});
  const Zone& zone = config.zones[0];
  CHECK(zone.name.text() == "auth.example.org");
  REQUIRE(zone.nameservers.size() == 1);
  CHECK(zone.nameservers[0].text() == "auth.example.org");
  CHECK(zone.hostmaster.text() == "admin.example.org");
  REQUIRE(zone.records.size() == 1);
  CHECK(zone.records[0].text == "auth.example.org. A 198.51.100.1");
  CHECK(texts(config.api.listen) == Texts{"0.0.0.0:443", "[::]:443"});
  CHECK(config.api.tls_certificate == "/etc/tls/example.org/fullchain.pem");
  CHECK(config.api.tls_key == "/etc/tls/example.org/privkey.pem");
  CHECK(config.api.registration == RegistrationMode::Open);
  CHECK(config.api.trusted_proxies.empty());
  CHECK(config.api.max_registrations == 100'000);
}

TEST_CASE("the configuration of acme-dns 2.x is read in any letter case", "[conf]") {
  std::string text = converted(kSecond);
  Config config = reloaded(text);
  CHECK(config.log_level == base::log::Level::Warn);
  CHECK(texts(config.dns.listen) == Texts{"0.0.0.0:53"});
  const Zone& zone = config.zones[0];
  CHECK(zone.name.text() == "auth.example.org");
  REQUIRE(zone.nameservers.size() == 1);
  CHECK(zone.nameservers[0].text() == "ns1.example.net");
  CHECK(zone.hostmaster == *base::Name::parse("first\\.last.example.org"));
  CHECK(zone.records.empty());
  CHECK(texts(config.api.listen) == Texts{"[::1]:8080"});
  CHECK(config.api.tls_certificate.empty());
  CHECK(config.api.registration == RegistrationMode::Closed);
  REQUIRE(config.api.trusted_proxies.size() == 2);
  CHECK(config.api.trusted_proxies[0].text() == "127.0.0.1/32");
  for (std::string_view remark : {"X-Real-IP", "use_header: write the addresses of your proxies", "corsorigins",
                                  "hsts_enabled", "logtype", "logformat", "protocol = \"udp4\"", "acme-dns.db"}) {
    INFO(remark);
    CHECK(text.find(remark) != std::string::npos);
  }
}

TEST_CASE("every address of acme-dns comes to those that it listened on", "[conf]") {
  auto listen = [](const std::string& address, const std::string& protocol) {
    return texts(reloaded(converted(with("listen = \"" + address + "\"\nprotocol = \"" + protocol + "\""))).dns.listen);
  };
  const Texts both{"0.0.0.0:53", "[::]:53"};
  CHECK(listen(":53", "both") == both);
  CHECK(listen("0.0.0.0:53", "") == both);
  CHECK(listen("[::]:53", "udp") == both);
  CHECK(listen("[::]:5353", "both6") == Texts{"[::]:5353"});
  CHECK(listen("0.0.0.0:53", "tcp4") == Texts{"0.0.0.0:53"});
  CHECK(listen("[2001:db8::1]:53", "both") == Texts{"[2001:db8::1]:53"});
  // What cannot be taken is the default, and said.
  for (const std::string address :
       {"ns1.example.org:53", "", "53", "127.0.0.1", "127.0.0.1:domain", "127.0.0.1:0", "127.0.0.1:99999", "[::1:53"}) {
    INFO(address);
    CHECK(listen(address, "both") == both);
    std::string text = converted(with("listen = \"" + address + "\""));
    CHECK((text.find("is no address with a port") != std::string::npos) == !address.empty());
  }
}

TEST_CASE("records' names are absolute in acme-dns, with and without a final dot", "[conf]") {
  AcmeDnsLoaded loaded = parse_acme_dns_config(with(R"(records = [
    "auth.example.org A 198.51.100.1",
    "www.auth.example.org. 60 IN CNAME web.example.net",
    "auth.example.org. IN NS ns2.example.net",
    "auth.example.org NS ns.example.net.",
    "auth.example.org. SOA a. b. 1 2 3 4 5",
    "txt.auth.example.org. TXT \"v=DKIM1; p=Abc  d\"   ; a remark",
    "mx.auth.example.org MX 10 mail.example.net",
    "sub.auth.example.org. 3600 NS ns.sub.auth.example.org",
    "nonsense",
    "",
  ])"));
  REQUIRE(loaded.problems.empty());
  CHECK(converted_records(loaded.config) ==
        Texts{"auth.example.org. A 198.51.100.1", "www.auth.example.org. 60 IN CNAME web.example.net.", "", "", "",
              "txt.auth.example.org. TXT \"v=DKIM1; p=Abc  d\"", "mx.auth.example.org. MX 10 mail.example.net.",
              "sub.auth.example.org. 3600 NS ns.sub.auth.example.org.", "nonsense", ""});
  ConversionFacts facts;
  facts.refused[8] = "is no record";
  std::string text = converted_configuration(loaded.config, facts);
  Config config = reloaded(text);
  REQUIRE(config.zones[0].nameservers.size() == 2);
  CHECK(config.zones[0].nameservers[0].text() == "ns.example.net");
  CHECK(config.zones[0].nameservers[1].text() == "ns2.example.net");
  CHECK(config.zones[0].records.size() == 5);
  CHECK(text.find("# record \"nonsense\": is no record\n") != std::string::npos);
}

TEST_CASE("an API whose certificate acme-dns got by itself starts without, and says how to get one", "[conf]") {
  for (const std::string tls : {"letsencrypt", "letsencryptstaging"}) {
    std::string text = converted(with("", "[api]\nip = \"192.0.2.1\"\nport = \"443\"\ntls = \"" + tls +
                                              "\"\nnotification_email = \"a@example.org\""));
    Config config = reloaded(text);
    CHECK(config.api.listen.empty());
    CHECK(config.acme.ca == (tls == "letsencrypt" ? "letsencrypt" : "letsencrypt-staging"));
    CHECK(config.acme.contact == Texts{"mailto:a@example.org"});
    CHECK(text.find("countersign issue auth.example.org --deploy-hook") != std::string::npos);
    // Its lines are right once they are no remarks any more.
    auto at = text.find("listen = []\n");
    REQUIRE(at != std::string::npos);
    text.erase(at, 12);
    for (std::size_t hash = 0; (hash = text.find("\n#", hash)) != std::string::npos; ++hash)
      if (text[hash + 2] != ' ') text.erase(hash + 1, 1);
    Config with_tls = reloaded(text);
    CHECK(texts(with_tls.api.listen) == Texts{"192.0.2.1:443"});
    CHECK(with_tls.api.tls_key == "/etc/countersign/api/privkey.pem");
  }
}

TEST_CASE("what is wrong in an acme-dns configuration never makes a wrong one of ours", "[conf]") {
  const Texts sections{
      "[api]\nip = \"a b\"\nport = \"http\"\ntls = \"cert\"\ntls_cert_privkey = \"key.pem\"\n",
      "[api]\nport = \"0\"\ntls = \"quic\"\nnotification_email = \"x\\ny = 1\"\n",
      "[api]\nuse_header = true\nheader_name = \"a\\nlisten = []\"\ncorsorigins = [\"\"]\n",
      "[logconfig]\nloglevel = \"\\\"\\nuser = 5\"\n",
      "[database]\nengine = \"postgres\"\nconnection = \"postgres://u:p@h/d\\nx\"\n",
      "[api]\ntls_cert_fullchain = \"/a\\\"b\\u0007\"\ntls_cert_privkey = \"/\\u00e9\"\ntls = \"cert\"\nport = \"1\"\n",
  };
  for (const std::string& section : sections) {
    INFO(section);
    reloaded(converted(with("", section)));
  }
  const Texts generals{
      "listen = \"\\n[dns]\"\n",
      "records = [\"a\\nb A 1.2.3.4\", \"\\\"\", \"\\\\\", \"\\t\"]\nprotocol = \"x\\ny\"\n",
  };
  for (const std::string& general : generals) reloaded(converted(with(general)));
  // Nothing but the domain: the rest is made up, and said.
  std::string bare = converted("[general]\ndomain = \"auth.example.org\"\n");
  Config config = reloaded(bare);
  CHECK(config.zones[0].nameservers[0].text() == "ns1.auth.example.org");
  CHECK(config.zones[0].hostmaster.text() == "hostmaster.auth.example.org");
  CHECK(bare.find("nsname was not usable") != std::string::npos);
  for (const std::string admin : {"admin@example.org", "admin.example.org.", "admin.example.org"}) {
    Config made = reloaded(converted("[general]\ndomain = \"a.example\"\nnsadmin = \"" + admin + "\"\n"));
    CHECK(made.zones[0].hostmaster.text() == "admin.example.org");
  }
  for (const std::string admin : {"admin", ".", "..", "\\\\", "a b.example.org", "@", "admin@"}) {
    INFO(admin);
    std::string text = converted("[general]\ndomain = \"a.example\"\nnsadmin = \"" + admin + "\"\n");
    CHECK(reloaded(text).zones[0].hostmaster.text() == "hostmaster.a.example");
    CHECK(text.find("is no mail address; write yours") != std::string::npos);
  }
}

TEST_CASE("there is room for more registrations than acme-dns had accounts", "[conf]") {
  CHECK(reloaded(converted(kFirst, {50'000, {}})).api.max_registrations == 100'000);
  CHECK(reloaded(converted(kFirst, {60'000, {}})).api.max_registrations == 120'000);
  CHECK(reloaded(converted(kFirst, {9'000'000, {}})).api.max_registrations == 10'000'000);
}

TEST_CASE("keys that acme-dns does not know are named, not refused", "[conf]") {
  AcmeDnsLoaded loaded = parse_acme_dns_config("x = 1\n" + with("lisen = \":53\"", "[apy]\nport = 5\n"));
  REQUIRE(loaded.problems.empty());
  CHECK(loaded.config.unknown == Texts{"apy", "general.lisen", "x"});
  CHECK(converted_configuration(loaded.config, {}).find("# \"general.lisen\" is no key of acme-dns") !=
        std::string::npos);
}

TEST_CASE("what cannot be read of an acme-dns configuration is said with its place", "[conf]") {
  CHECK(said("") == "f: general.domain: is missing; is this acme-dns' config.cfg? It names the zone there\n");
  CHECK(said("[general").starts_with("f:1:9: not TOML: "));
  CHECK(said("general = 5\n").starts_with("f:1:11: general: is an integer; write a table, [general]\n"));
  CHECK(said("[general]\ndomain = \"\"\n") ==
        "f:2:10: general.domain: is empty; write a domain name, as in \"auth.example.net\"\n");
  CHECK(said("[general]\ndomain = \".\"\n").starts_with("f:2:10: general.domain: \".\" is the root"));
  CHECK(said("[general]\ndomain = 5\n").starts_with("f:2:10: general.domain: is an integer; write text in quotes\n"));
  CHECK(said(with("records = \"a\"\ndebug = 5\nlisten = [\":53\"]\n", "[api]\nuse_header = \"yes\"\nport = 4.5\n")) ==
        "f:5:11: general.records: is a string; write an array of texts\n"
        "f:7:10: general.listen: is an array; write text in quotes\n"
        "f:10:14: api.use_header: is a string; write true or false, without quotes\n"
        "f:11:8: api.port: is a number with a fraction; write text in quotes\n");
  CHECK(said(with("records = [\"a\", 5]\n")) == "f:5:17: general.records: is an integer; write text in quotes\n");
}

TEST_CASE("a configuration of acme-dns that is no file is said to be none", "[conf]") {
  auto only = [](const AcmeDnsLoaded& loaded) {
    REQUIRE(loaded.problems.size() == 1);
    return loaded.problems[0].text;
  };
  CHECK(only(load_acme_dns_config("/nonexistent/config.cfg")).starts_with("cannot be read: no such file"));
  CHECK(only(load_acme_dns_config("/dev/zero")).starts_with("is no regular file"));
  CHECK(only(load_acme_dns_config("/")).starts_with("is no regular file"));
}

}  // namespace
}  // namespace countersign::conf
