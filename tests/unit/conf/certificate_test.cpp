// [[certificate]] and what [acme] has for it: every option arrives, and what is wrong is said with its place.
#include <string>

#include "conf/load.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/conf/example.hpp"

namespace countersign::conf {
namespace {

using Texts = std::vector<std::string>;

// The text of a [[certificate]] in line 5 of a configuration, its keys from line 7.
std::string certificate(const std::string& lines) {
  return kZone + "[[certificate]]\nnames = [\"a.example\"]\n" + lines;
}

std::string problems(const std::string& text) {
  return printed(load_text(text));
}

TEST_CASE("every option of a certificate arrives in the configuration", "[conf]") {
  Loaded loaded = load_text(kZone + R"([[certificate]]
names = ["*.Example.com", "bücher.example", "example.com."]
cert_name = "web_1.x-y"
ca = "zerossl"
fallback_ca = ["google", "https://127.0.0.9:14000/dir"]
profile = "short lived"
key_type = "rsa4096"
reuse_key = true
pkcs12_legacy = true
pkcs12 = true
pkcs12_password_file = "/etc/p12"
group = "ssl-cert"
mode = "640"
deploy_hook = ["systemctl reload nginx", "echo \"$COUNTERSIGN_CERT\" | mail root"]
preferred_chain = "Wurzel Ü"
challenge = "dns-persist-01"
not_before = "2026-11-22T10:00:00Z"
not_after = "2026-11-23T10:00:00+01:00"
drop_failed = true
server = "https://auth.example.net:8443"
credentials = "/etc/registration.json"
[[certificate]]
names = ["other.example"]
csr = "/etc/other.csr"
deploy_hook = "true"
pkcs12 = false
)");
  REQUIRE(printed(loaded).empty());
  REQUIRE(loaded.config.certificates.size() == 2);
  const Certificate& first = loaded.config.certificates[0];
  CHECK(first.names == Texts{"*.Example.com", "bücher.example", "example.com."});
  CHECK(first.cert_name == "web_1.x-y");
  CHECK(first.at.line == 5);
  const CertificateOptions& options = first.options;
  CHECK(options.ca == "zerossl");
  CHECK(options.fallback_ca == Texts{"google", "https://127.0.0.9:14000/dir"});
  CHECK(options.profile == "short lived");
  CHECK(options.key_type == KeyType::Rsa4096);
  CHECK(options.reuse_key == true);
  CHECK(options.csr == std::nullopt);
  CHECK(options.pkcs12 == Pkcs12::Legacy);
  CHECK(options.pkcs12_password_file == "/etc/p12");
  CHECK(options.group == "ssl-cert");
  CHECK(options.mode == 0640U);
  CHECK(options.deploy_hooks == Texts{"systemctl reload nginx", "echo \"$COUNTERSIGN_CERT\" | mail root"});
  CHECK(options.preferred_chain == "Wurzel Ü");
  CHECK(options.challenge == ChallengeType::DnsPersist01);
  CHECK(options.not_before == "2026-11-22T10:00:00Z");
  CHECK(options.not_after == "2026-11-23T10:00:00+01:00");
  CHECK(options.drop_failed == true);
  CHECK(options.server == "https://auth.example.net:8443");
  CHECK(options.credentials == "/etc/registration.json");
  const CertificateOptions& second = loaded.config.certificates[1].options;
  CHECK(second.csr == "/etc/other.csr");
  CHECK(second.deploy_hooks == Texts{"true"});
  CHECK(second.pkcs12 == Pkcs12::None);
  CHECK(!second.key_type);
  CHECK(!second.reuse_key);
  CHECK(!second.ca);
  CHECK(load_text(certificate("pkcs12 = true\n")).config.certificates[0].options.pkcs12 == Pkcs12::Modern);
  CHECK(load_text(certificate("")).config.certificates[0].options == CertificateOptions{});
}

TEST_CASE("every key of [acme] arrives in the configuration", "[conf]") {
  Loaded loaded = load_text(kZone + R"([acme]
fallback_ca = ["zerossl"]
profile = "tlsserver"
preferred_chain = "ISRG Root X1"
challenge = "dns-account-01"
eab = { kid = "kid-1", hmac_key_file = "/etc/eab" }
server = "http://127.0.0.1:8080"
credentials = "/etc/registration.json"
pre_hooks = ["a", "b"]
deploy_hooks = ["c"]
failure_hooks = ["d"]
)");
  REQUIRE(printed(loaded).empty());
  const Acme& acme = loaded.config.acme;
  CHECK(acme.fallback_ca == Texts{"zerossl"});
  CHECK(acme.profile == "tlsserver");
  CHECK(acme.preferred_chain == "ISRG Root X1");
  CHECK(acme.challenge == ChallengeType::DnsAccount01);
  CHECK(acme.eab.kid == "kid-1");
  CHECK(acme.eab.hmac_key_file == "/etc/eab");
  CHECK(acme.server == "http://127.0.0.1:8080");
  CHECK(acme.credentials == "/etc/registration.json");
  CHECK(acme.pre_hooks == Texts{"a", "b"});
  CHECK(acme.deploy_hooks == Texts{"c"});
  CHECK(acme.failure_hooks == Texts{"d"});
}

TEST_CASE("a machine that publishes through another one needs no zone", "[conf]") {
  const std::string server = "[acme]\nserver = \"https://auth.example.net\"\ncredentials = \"/etc/r.json\"\n";
  CHECK(problems(server).empty());
  CHECK(problems("[acme]\nserver = \"\"\n") ==
        "f: zone: no zone is configured; add a [[zone]] with name, nameservers and hostmaster\n");
  CHECK(problems("zone = []\n" + server) ==
        "f:1:8: zone: is empty; add a [[zone]] with name, nameservers and hostmaster\n");
}

TEST_CASE("no certificate at all is fine, also written so", "[conf]") {
  CHECK(problems("certificate = []\n" + kZone).empty());
  CHECK(problems("certificate = [1]\n" + kZone) ==
        "f:1:16: certificate[1]: is an integer; write a table, [[certificate]]\n");
}

TEST_CASE("names that cannot be a domain's are refused where they stand", "[conf]") {
  for (std::string_view good : {"example.com", "EXAMPLE.com.", "*.example.com", "bücher.example", "a_b.example"}) {
    INFO(good);
    CHECK(problems(kZone + "[[certificate]]\nnames = [\"" + std::string(good) + "\"]\n").empty());
  }
  for (std::string_view bad :
       {"", ".", "*.", "*", "a b", "https://a.example", "a..example", ".a.example", "*.*.example", "a@b.example",
        "a.example/", "a,b.example", "a\\n.example", "a.example:443", "a\\u0000b"}) {
    INFO(bad);
    std::string text = problems(kZone + "[[certificate]]\nnames = [\"a.example\", \"" + std::string(bad) + "\"]\n");
    CHECK(text.starts_with("f:6:23: certificate[1].names: "));
    CHECK(text.find("write") != std::string::npos);
  }
  CHECK(problems(kZone + "[[certificate]]\nnames = []\n") ==
        "f:6:9: certificate[1].names: is empty; write at least one\n");
  CHECK(problems(kZone + "[[certificate]]\nnames = [\"" + std::string(1001, 'a') + "\"]\n").size() < 400);
}

TEST_CASE("values that cannot be are refused where they stand", "[conf]") {
  struct Case {
    std::string line, wrong;
  };
  const std::vector<Case> cases{
      {"cert_name = \"Web\"",
       "\"Web\" cannot name a certificate; write at most 200 lower-case letters, digits, \".\", "
       "\"_\" and \"-\", a letter or digit first"},
      {"cert_name = \"../x\"",
       "\"../x\" cannot name a certificate; write at most 200 lower-case letters, digits, \".\","
       " \"_\" and \"-\", a letter or digit first"},
      {"mode = \"0666\"",
       "\"0666\" is not a mode for a key: its owner reads, nobody executes, only the owner writes; "
       "write 0600, 0640 or 0644, in quotes"},
      {"mode = 640", "is an integer; write text in quotes"},
      {"group = \"a b\"", "\"a b\" is not a group's name; write one, as in \"ssl-cert\""},
      {"deploy_hook = \" \"", "is an empty command; write what /bin/sh shall run, or remove it"},
      {"deploy_hook = 1", "is an integer; write text in quotes, or an array of texts"},
      {"challenge = \"http-01\"",
       "\"http-01\" is none of dns-01, dns-account-01, dns-persist-01; the nearest is \"dns-01\""},
      {"not_before = \"tomorrow\"",
       "\"tomorrow\" is not a date and time; write it as in \"2026-11-22T10:00:00Z\" (RFC 3339)"},
      {"not_before = 2026-11-22T10:00:00Z", "is a date or time; write text in quotes"},
      {"profile = \"a\\u001bb\"", "\"a\\x1bb\" has a control character in it; remove it"},
      {"csr = \"a.csr\"", "\"a.csr\" is a relative path; write an absolute one, beginning with \"/\""},
      {"ca = \"letsencript\"",
       "\"letsencript\" is not a known CA; the nearest one is \"letsencrypt\"; or write its "
       "https:// directory URL"},
      {"server = \"http://192.0.2.1\"", "\"http://192.0.2.1\" is not encrypted; write the daemon's https:// address"},
      {"server = \"auth.example.net\"",
       "\"auth.example.net\" is not a daemon's address; write it as in \"https://auth.example.net\""},
      {"server = \"https://u@auth.example.net\"",
       "\"https://u@auth.example.net\" is not a daemon's address; write it as in \"https://auth.example.net\""},
  };
  for (const Case& one : cases) {
    std::string key = one.line.substr(0, one.line.find(' '));
    INFO(one.line);
    CHECK(problems(certificate(one.line + "\n")) ==
          "f:7:" + std::to_string(key.size() + 4) + ": certificate[1]." + key + ": " + one.wrong + "\n");
  }
  for (std::string_view bad : {"", "0", "06000", "1640", "0o640", "0640 ", "0240", "0700", "0660", "888"}) {
    INFO(bad);
    CHECK(!problems(certificate("mode = \"" + std::string(bad) + "\"\n")).empty());
  }
}

TEST_CASE("options that cannot be had together are named, each at its place", "[conf]") {
  CHECK(problems(certificate("csr = \"/a.csr\"\nkey_type = \"p256\"\nreuse_key = true\npkcs12 = true\n"
                             "drop_failed = true\n")) ==
        "f:8:12: certificate[1].key_type: goes not with csr, which has its key; remove one of the two\n"
        "f:9:13: certificate[1].reuse_key: goes not with csr, which has its key; remove one of the two\n"
        "f:10:10: certificate[1].pkcs12: goes not with csr: there is no key to put into it; remove one of the two\n"
        "f:11:15: certificate[1].drop_failed: goes not with csr, which has its names; remove one of the two\n");
  CHECK(problems(certificate("csr = \"/a.csr\"\nreuse_key = false\npkcs12 = false\ndrop_failed = false\n")).empty());
  CHECK(problems(certificate("csr = \"\"\nkey_type = \"p256\"\n")).empty());
  CHECK(problems(certificate("pkcs12_legacy = true\npkcs12 = false\n")) ==
        "f:7:17: certificate[1].pkcs12_legacy: goes not with pkcs12 = false; remove one of the two\n");
  CHECK(problems(certificate("not_before = \"2026-11-22T10:00:00Z\"\nnot_after = \"2026-11-22T10:00:00Z\"\n")) ==
        "f:8:13: certificate[1].not_after: is not after not_before; write a later date\n");
}

TEST_CASE("a server and its credentials belong together, wherever each stands", "[conf]") {
  const std::string server = "server = \"https://auth.example.net\"\n";
  const std::string credentials = "credentials = \"/etc/r.json\"\n";
  const std::string no_credentials = "has no credentials; add credentials, the file with the registration for it\n";
  const std::string no_server = "has no server; add server, the address of the daemon that they are for\n";
  CHECK(problems(certificate(server)) == "f:7:10: certificate[1].server: " + no_credentials);
  CHECK(problems(certificate(credentials)) == "f:7:15: certificate[1].credentials: " + no_server);
  CHECK(problems(certificate(server + "[acme]\n" + credentials)) == "f:9:15: acme.credentials: " + no_server);
  CHECK(problems(certificate(credentials + "[acme]\n" + server)) == "f:9:10: acme.server: " + no_credentials);
  CHECK(problems(certificate("credentials = \"/etc/own.json\"\n[acme]\n" + server + credentials)).empty());
  CHECK(problems(certificate("server = \"\"\n[acme]\n" + server + credentials)).empty());
  CHECK(problems(certificate("credentials = \"\"\n" + server + "[acme]\n" + server + credentials)) ==
        "f:8:10: certificate[1].server: " + no_credentials);
}

TEST_CASE("half an external account binding is none", "[conf]") {
  CHECK(problems(kZone + "[acme]\neab = { kid = \"k\" }\n") ==
        "f:6:15: acme.eab.kid: has no key; add hmac_key_file, the file with the key that the CA gave with it\n");
  CHECK(problems(kZone + "[acme.eab]\nhmac_key_file = \"/k\"\n") ==
        "f:6:17: acme.eab.hmac_key_file: has no key identifier; add kid, which the CA gave with it\n");
  CHECK(problems(kZone + "[acme.eab]\nkid = \"k\"\nhmac_key_file = \"\"\n") ==
        "f:6:7: acme.eab.kid: has no key; add hmac_key_file, the file with the key that the CA gave with it\n");
  CHECK(problems(kZone + "[acme]\neab = \"kid\"\n") == "f:6:7: acme.eab: is a string; write a table, [acme.eab]\n");
}

TEST_CASE("two certificates cannot have one name for their files", "[conf]") {
  const std::string table = "[[certificate]]\n";
  CHECK(problems(kZone + table + "names = [\"*.A.example.\"]\n" + table + "names = [\"a.example\", \"b.example\"]\n") ==
        "f:8:9: certificate[2].names: \"a.example\" is a certificate already in line 6; give one of the two another "
        "cert_name, or remove it\n");
  CHECK(problems(kZone + table + "names = [\"a.example\"]\n" + table + "names = [\"b.example\"]\n" +
                 "cert_name = \"a.example\"\n") ==
        "f:9:13: certificate[2].cert_name: \"a.example\" is a certificate already in line 6; give one of the two "
        "another cert_name, or remove it\n");
  CHECK(problems(kZone + table + "names = [\"a.example\"]\n" + table + "names = [\"a.example\"]\n" +
                 "cert_name = \"a-rsa\"\n")
            .empty());
}

}  // namespace
}  // namespace countersign::conf
