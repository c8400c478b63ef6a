// [api] and [[key]]: what they come to, and what is said about broken ones.
#include <string>
#include <vector>

#include "conf/load.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/conf/example.hpp"

namespace countersign::conf {
namespace {

using std::chrono::hours;

struct Broken {
  std::string text;
  std::string expected;  // as printed for the file "f"
};

// `text` stands behind kZone, from line 5.
void check_all(const std::vector<Broken>& cases) {
  for (const Broken& broken : cases) {
    INFO(broken.text);
    CHECK(printed(load_text(kZone + broken.text)) == broken.expected);
  }
}

std::string key_with(std::string_view line) {
  std::string text = "[[key]]\n";
  for (std::string_view each : {"name = \"lego.\"", "secret_file = \"/k\"", "allow = [\"*.auth.example.net\"]"})
    if (!line.starts_with(each.substr(0, each.find(' ')))) text += std::string(each) + "\n";
  return text + std::string(line) + "\n";
}

TEST_CASE("the API is off and closed unless it is configured", "[conf]") {
  Loaded loaded = load_text(kZone);
  const Api& api = loaded.config.api;
  CHECK(api.listen.empty());
  CHECK(api.registration == RegistrationMode::Closed);
  CHECK(api.max_connections == 1000);
  CHECK(api.max_per_address == 200);
  CHECK(api.registration_rate.per_address == 1);
  CHECK(api.registration_rate.burst == 10);
  CHECK(api.max_registrations == 100'000);
  CHECK(api.prune_unused.count() == 0);
  CHECK(api.update_rate.per_account == 200);
  CHECK(api.update_rate.burst == 2000);
  CHECK(!api.zone);
  CHECK(loaded.config.keys.empty());
}

TEST_CASE("every key of the API is read", "[conf]") {
  Loaded loaded = load_text(kZone + R"(
[api]
listen = ["192.0.2.1", "[::1]:8443", "2001:db8::1"]
tls_certificate = "/etc/c.pem"
tls_key = "/etc/k.pem"
max_connections = 7
max_per_address = 3
registration = "token"
registration_token_file = "/etc/token"
registration_allow = ["192.0.2.77/24", "2001:db8::5", "::ffff:198.51.100.9/120"]
registration_rate = { per_address = 0, burst = 1000000 }
max_registrations = 10000000
prune_unused = "400d"
trusted_proxies = ["127.0.0.1"]
update_rate.per_account = 5
zone = "Auth.Example.NET."
)");
  REQUIRE(printed(loaded).empty());
  const Api& api = loaded.config.api;
  REQUIRE(api.listen.size() == 3);
  CHECK(api.listen[0].text() == "192.0.2.1:443");
  CHECK(api.listen[1].text() == "[::1]:8443");
  CHECK(api.listen[2].text() == "[2001:db8::1]:443");
  CHECK(api.tls_certificate == "/etc/c.pem");
  CHECK(api.tls_key == "/etc/k.pem");
  CHECK(api.max_connections == 7);
  CHECK(api.max_per_address == 3);
  CHECK(api.registration == RegistrationMode::Token);
  CHECK(api.registration_token_file == "/etc/token");
  REQUIRE(api.registration_allow.size() == 3);
  CHECK(api.registration_allow[0].text() == "192.0.2.0/24");
  CHECK(api.registration_allow[1].text() == "2001:db8::5/128");
  CHECK(api.registration_allow[2].text() == "198.51.100.0/24");
  CHECK(api.registration_rate.per_address == 0);
  CHECK(api.registration_rate.burst == 1'000'000);
  CHECK(api.max_registrations == 10'000'000);
  CHECK(api.prune_unused == hours(400 * 24));
  REQUIRE(api.trusted_proxies.size() == 1);
  CHECK(api.trusted_proxies[0].text() == "127.0.0.1/32");
  CHECK(api.update_rate.per_account == 5);
  CHECK(api.update_rate.burst == 2000);
  CHECK(api.zone == *base::Name::parse("auth.example.net"));
  CHECK(loaded.places.at("api.registration_token_file").line == 13);
  CHECK(loaded.places.at("api.registration_token_file").column == 27);
}

TEST_CASE("each registration mode has its word", "[conf]") {
  CHECK(load_text(kZone + "[api]\nregistration = \"open\"\n").config.api.registration == RegistrationMode::Open);
  CHECK(load_text(kZone + "[api]\nregistration = \"closed\"\n").config.api.registration == RegistrationMode::Closed);
}

TEST_CASE("every key of a TSIG key is read", "[conf]") {
  Loaded loaded = load_text(kZone + R"(
[[key]]
name = "Lego."
algorithm = "HMAC-SHA512."
secret_file = "/etc/lego.key"
allow = ["*.auth.example.net", "_acme-challenge.x.auth.example.net", "*.example.net"]
[[key]]
name = "other"
secret_file = "/etc/other.key"
allow = ["auth.example.net"]
)");
  REQUIRE(printed(loaded).empty());
  REQUIRE(loaded.config.keys.size() == 2);
  const Key& key = loaded.config.keys[0];
  CHECK(key.name.text() == "lego");
  CHECK(key.algorithm == TsigAlgorithm::HmacSha512);
  CHECK(key.secret_file == "/etc/lego.key");
  CHECK(key.at.line == 6);
  CHECK(key.secret_at.line == 9);
  CHECK(key.secret_at.column == 15);
  REQUIRE(key.allow.size() == 3);
  CHECK(key.allow[0].below);
  CHECK(key.allow[0].name.text() == "auth.example.net");
  CHECK(!key.allow[1].below);
  CHECK(key.allow[1].name.text() == "_acme-challenge.x.auth.example.net");
  CHECK(loaded.config.keys[1].algorithm == TsigAlgorithm::HmacSha256);
}

TEST_CASE("a pattern of names matches what is below it, at any depth", "[conf]") {
  Loaded loaded = load_text(kZone + key_with("allow = [\"*.auth.example.net\", \"a.auth.example.net\"]"));
  REQUIRE(loaded.config.keys.size() == 1);
  const NamePattern& below = loaded.config.keys[0].allow[0];
  const NamePattern& exact = loaded.config.keys[0].allow[1];
  auto name = [](std::string_view text) { return *base::Name::parse(text); };
  CHECK(below.matches(name("a.auth.example.net")));
  CHECK(below.matches(name("A.b.C.auth.example.NET")));
  CHECK(!below.matches(name("auth.example.net")));
  CHECK(!below.matches(name("xauth.example.net")));
  CHECK(exact.matches(name("A.auth.example.net")));
  CHECK(!exact.matches(name("b.a.auth.example.net")));
}

TEST_CASE("an algorithm is written in any case, with or without a final dot", "[conf]") {
  const std::vector<std::pair<std::string, TsigAlgorithm>> good{
      {"hmac-sha1", TsigAlgorithm::HmacSha1},      {"hmac-sha224.", TsigAlgorithm::HmacSha224},
      {"Hmac-Sha256", TsigAlgorithm::HmacSha256},  {"HMAC-SHA384", TsigAlgorithm::HmacSha384},
      {"hmac-sha512.", TsigAlgorithm::HmacSha512},
  };
  for (const auto& [text, algorithm] : good) {
    INFO(text);
    Loaded loaded = load_text(kZone + key_with("algorithm = \"" + text + "\""));
    CHECK(printed(loaded).empty());
    REQUIRE(loaded.config.keys.size() == 1);
    CHECK(loaded.config.keys[0].algorithm == algorithm);
  }
  check_all({
      {key_with("algorithm = \"hmac-md5\""),
       "f:9:13: key[1].algorithm: \"hmac-md5\" is not secure any more and not supported; write \"hmac-sha256\" and "
       "make a new secret for it\n"},
      {key_with("algorithm = \"HMAC-MD5.SIG-ALG.REG.INT.\""),
       "f:9:13: key[1].algorithm: \"HMAC-MD5.SIG-ALG.REG.INT.\" is not secure any more and not supported; write "
       "\"hmac-sha256\" and make a new secret for it\n"},
      {key_with("algorithm = \"sha256\""),
       "f:9:13: key[1].algorithm: \"sha256\" is none of hmac-sha256, hmac-sha384, hmac-sha512, hmac-sha224, hmac-sha1; "
       "the nearest is \"hmac-sha256\"\n"},
      {key_with("algorithm = \"hmac-sha256..\""),
       "f:9:13: key[1].algorithm: \"hmac-sha256..\" is none of hmac-sha256, hmac-sha384, hmac-sha512, hmac-sha224, "
       "hmac-sha1; the nearest is \"hmac-sha256\"\n"},
  });
}

TEST_CASE("the API's addresses, numbers and words are checked", "[conf]") {
  check_all({
      {"[api]\nlisten = [\"0.0.0.0:0\", \"auth.example.net\", \"[::]:443\", \"[::]\"]\n",
       "f:6:11: api.listen: \"0.0.0.0:0\" has port 0, which is no fixed port; write 443\n"
       "f:6:24: api.listen: \"auth.example.net\" is not an address; write it as in \"192.0.2.1:443\" or "
       "\"[2001:db8::1]:443\"\n"
       "f:6:56: api.listen: \"[::]\" is there twice, first in line 6 column 44; remove one\n"},
      {"[api]\nmax_connections = 0\nmax_per_address = 100001\nmax_registrations = 10000001\n",
       "f:6:19: api.max_connections: 0 is out of range; write 1 to 100000\n"
       "f:7:19: api.max_per_address: 100001 is out of range; write 1 to 100000\n"
       "f:8:21: api.max_registrations: 10000001 is out of range; write 1 to 10000000\n"},
      {"[api]\nmax_registrations = 0\nupdate_rate = { per_account = 1000001, burst = -1 }\n",
       "f:6:21: api.max_registrations: 0 is out of range; write 1 to 10000000\n"
       "f:7:31: api.update_rate.per_account: 1000001 is out of range; write 0 to 1000000\n"
       "f:7:48: api.update_rate.burst: -1 is out of range; write 0 to 1000000\n"},
      {"[api]\nregistration_rate = { per_account = 1 }\nupdate_rate = 5\n",
       "f:6:23: api.registration_rate.per_account: unknown key here; it belongs in [api.update_rate]\n"
       "f:7:15: api.update_rate: is an integer; write a table, [api.update_rate]\n"},
      {"[api]\nregistration = \"Open\"\n",
       "f:6:16: api.registration: \"Open\" is none of closed, open, token; the nearest is \"open\"\n"},
      {"[api]\nlistn = []\n", "f:6:1: api.listn: unknown key; the nearest known one is \"listen\"\n"},
  });
}

TEST_CASE("ranges of addresses are checked where they stand", "[conf]") {
  check_all({
      {"[api]\nregistration_allow = [\"192.0.2.0/33\", \"192.0.2.1/24\", \"192.0.2.2/24\"]\n"
       "trusted_proxies = [\"proxy.example.net\", \"*\", 5]\n",
       "f:6:23: api.registration_allow: \"192.0.2.0/33\" is neither an address nor a range of them; write it as in "
       "\"192.0.2.0/24\" or \"2001:db8::/32\"\n"
       "f:6:55: api.registration_allow: \"192.0.2.2/24\" is there twice, first in line 6 column 39; remove one\n"
       "f:7:20: api.trusted_proxies: \"proxy.example.net\" is neither an address nor a range of them; write it as in "
       "\"192.0.2.0/24\" or \"2001:db8::/32\"\n"
       "f:7:41: api.trusted_proxies: \"*\" is neither an address nor a range of them; write it as in "
       "\"192.0.2.0/24\" or \"2001:db8::/32\"\n"
       "f:7:46: api.trusted_proxies: is an integer; write text in quotes\n"},
  });
}

TEST_CASE("registrations are pruned after a day at the earliest, or never", "[conf]") {
  check_all({
      {"[api]\nprune_unused = \"23h\"\n",
       "f:6:16: api.prune_unused: \"23h\" is less than a day, in which no client renews; write more, as in \"400d\", "
       "or "
       "\"\" for never\n"},
      {"[api]\nprune_unused = \"0\"\n",
       "f:6:16: api.prune_unused: \"0\" is less than a day, in which no client renews; write more, as in \"400d\", or "
       "\"\" for never\n"},
      {"[api]\nprune_unused = \"never\"\n",
       "f:6:16: api.prune_unused: \"never\" is not a duration of at most 100 years; write days, as in \"400d\", or "
       "\"\" for never\n"},
  });
  CHECK(load_text(kZone + "[api]\nprune_unused = \"1d\"\n").config.api.prune_unused == hours(24));
  CHECK(load_text(kZone + "[api]\nprune_unused = \"\"\n").config.api.prune_unused == hours(0));
}

TEST_CASE("what of the API needs another key says which", "[conf]") {
  check_all({
      {"[api]\ntls_certificate = \"/c\"\n",
       "f:6:19: api.tls_certificate: has no key; add tls_key, the file with the certificate's private key\n"},
      {"[api]\ntls_certificate = \"\"\ntls_key = \"/k\"\n",
       "f:7:11: api.tls_key: has no certificate; add tls_certificate, the file with the certificate's chain\n"},
      {"[api]\ntls_key = 5\ntls_certificate = \"/c\"\n", "f:6:11: api.tls_key: is an integer; write text in quotes\n"},
      {"[api]\nregistration = \"token\"\n",
       "f:6:16: api.registration: wants a token; add registration_token_file, the file with it\n"},
      {"[api]\nregistration = \"token\"\nregistration_token_file = \"token\"\n",
       "f:7:27: api.registration_token_file: \"token\" is a relative path; write an absolute one, beginning with "
       "\"/\"\n"},
      {"[api]\nzone = \"example.net\"\n",
       "f:6:8: api.zone: \"example.net\" is not a [[zone]] of this file; write one of \"auth.example.net\", or \"\" "
       "for "
       "the first\n"},
      {"[api]\nzone = \"x.auth.example.net\"\n",
       "f:6:8: api.zone: \"x.auth.example.net\" is not a [[zone]] of this file; write one of \"auth.example.net\", or "
       "\"\" for the first\n"},
      // Nothing of it needs listen.
      {"[api]\ntls_certificate = \"/c\"\ntls_key = \"/k\"\nregistration = \"open\"\n", ""},
      {"[api]\nregistration_token_file = \"/t\"\n", ""},
  });
}

TEST_CASE("a zone whose name is broken is the only problem that it makes", "[conf]") {
  CHECK(printed(load_text("[api]\nzone = \"auth.example.net\"\n[[key]]\nname = \"k\"\nsecret_file = \"/k\"\n"
                          "allow = [\"a.auth.example.net\"]\n[[zone]]\nname = \".\"\nnameservers = [\"ns.example.net\"]"
                          "\nhostmaster = \"h@example.net\"\n")) ==
        "f:8:8: zone[1].name: \".\" is the root; write the zone that is delegated to this server\n");
}

TEST_CASE("a key without what it needs says what to add", "[conf]") {
  check_all({
      {"[[key]]\n",
       "f:5:1: key[1].name: is missing; add name = \"lego.\"\n"
       "f:5:1: key[1].secret_file: is missing; add secret_file = \"/etc/countersign/lego.key\"\n"
       "f:5:1: key[1].allow: is missing; add allow = [\"*.auth.example.net\"]\n"},
      {"[key]\nname = \"x\"\n", "f:5:2: key: is a table; write [[key]], with two brackets, for each key\n"},
      {key_with("allow = []"), "f:8:9: key[1].allow: is empty; write at least one\n"},
      {key_with("secret_file = \"\""), "f:8:15: key[1].secret_file: is empty; write an absolute path\n"},
      {key_with("secret = \"aGVsbG8=\""),
       "f:9:1: key[1].secret: unknown key; the nearest known one is \"secret_file\"\n"},
      {key_with("name = \".\""),
       "f:8:8: key[1].name: \".\" is not a key's name; write the one that the client has, as in \"lego.\"\n"},
      {key_with("name = \"a b\""),
       "f:8:8: key[1].name: \"a b\" has a space in it; write a domain name, as in "
       "\"auth.example.net\"\n"},
  });
}

TEST_CASE("two keys of one name are one too many, however they are spelled", "[conf]") {
  check_all({{key_with("name = \"lego\"") + key_with("name = \"LEGO.\""),
              "f:12:8: key[2].name: \"lego\" is a key already in line 8; remove one of the two, or give it another "
              "name\n"}});
}

TEST_CASE("a pattern that is no name is a problem where it stands, one outside our zones is none", "[conf]") {
  check_all({
      {key_with("allow = [\"*.auth.example.net\", \"_acme-challenge.example.com\", \"*.example.org\"]"), ""},
      {key_with("allow = [\"*.net\"]"), ""},
      {key_with("allow = [\"*\", \"*.\", \".\", \"a.*.auth.example.net\", \"\"]"),
       "f:8:10: key[1].allow: \"*\" is every name there is; write the zone behind it, as in \"*.auth.example.net\"\n"
       "f:8:15: key[1].allow: \"*.\" is every name there is; write the zone behind it, as in \"*.auth.example.net\"\n"
       "f:8:21: key[1].allow: \".\" is the root, which is in no zone of ours; write a name, as in "
       "\"*.auth.example.net\"\n"
       "f:8:26: key[1].allow: \"a.*.auth.example.net\" has a * that does not stand for all names below one; write it "
       "as in \"*.auth.example.net\"\n"
       "f:8:50: key[1].allow: is empty; write a domain name, as in \"auth.example.net\"\n"},
      {key_with("allow = [\"a.auth.example.net\", \"A.auth.example.net.\"]"),
       "f:8:32: key[1].allow: \"A.auth.example.net.\" is there twice, first in line 8 column 10; remove one\n"},
  });
  // A name below is another thing than the name itself.
  CHECK(printed(load_text(kZone + key_with("allow = [\"a.auth.example.net\", \"*.a.auth.example.net\"]"))).empty());
}

TEST_CASE("a machine without zones may share a file that has an API and keys", "[conf]") {
  CHECK(printed(load_text("[acme]\nserver = \"https://auth.example.net\"\ncredentials = \"/c\"\n[api]\nzone = "
                          "\"x.example\"\n" +
                          key_with("")))
            .empty());
}

TEST_CASE("where each value stands is known for who reads the files it names", "[conf]") {
  Loaded loaded = load_text("[dns]\ncookie_secret_file = \"/c\"\n" + kZone + key_with("algorithm = \"hmac-sha1\""));
  CHECK(loaded.places.at("dns.cookie_secret_file").line == 2);
  CHECK(loaded.places.at("key[1].algorithm").line == 11);
  CHECK(!loaded.places.contains("api.tls_key"));
}

}  // namespace
}  // namespace countersign::conf
