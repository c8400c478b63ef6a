#include "conf/load.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/support/catch.hpp"
#include "tests/unit/conf/example.hpp"

namespace countersign::conf {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "countersign-conf-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }

  [[nodiscard]] fs::path file(std::string_view name, std::string_view contents) const {
    std::ofstream(path_ / name, std::ios::binary) << contents;
    return path_ / name;
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

TEST_CASE("a zone alone is a whole configuration, and the rest has its defaults", "[conf]") {
  Loaded loaded = load_text(kZone);
  REQUIRE(printed(loaded).empty());
  const Config& config = loaded.config;
  CHECK(config.state_dir == "/var/lib/countersign");
  CHECK(config.control_socket == "/run/countersign/control.sock");
  CHECK(config.user == "countersign");
  CHECK(config.log_level == base::log::Level::Info);
  REQUIRE(config.dns.listen.size() == 2);
  CHECK(config.dns.listen[0].text() == "0.0.0.0:53");
  CHECK(config.dns.listen[1].text() == "[::]:53");
  CHECK(config.dns.tcp_max_per_address == 200);
  CHECK(config.dns.nsid.empty());
  CHECK(config.dns.version.empty());
  CHECK(config.dns.cookie_secret_file.empty());
  CHECK(config.dns.rate_limit.responses_per_second == 200);
  CHECK(config.dns.rate_limit.slip == 2);
  CHECK(config.challenge.lifetime == milliseconds(3'600'000));
  CHECK(config.acme.ca == "letsencrypt");
  REQUIRE(config.zones.size() == 1);
  CHECK(config.zones[0].name.text() == "auth.example.net");
  CHECK(config.zones[0].at.line == 1);
  CHECK(config.zones[0].hostmaster.text() == "hostmaster.example.net");
  CHECK(config.zones[0].negative_ttl == seconds(1));
}

TEST_CASE("every value that is written arrives in the configuration", "[conf]") {
  Loaded loaded = load_text(R"(
state_dir = "/srv/state"
control_socket = "/srv/control.sock"
user = ""
log_level = "debug"
[dns]
listen = ["192.0.2.1:5353", "[2001:db8::1]:53", "192.0.2.2"]
workers = 3
max_udp_payload = 1400
tcp_max_connections = 100000
tcp_idle_timeout = "2500ms"
tcp_max_per_address = 100000
nsid = "ns1 ~ Vienna"
version = "none of your business"
cookie_secret_file = "/etc/countersign/cookie.secret"
rate_limit = { responses_per_second = 0, slip = 100 }
[[zone]]
name = "Auth.Example.NET."
nameservers = ["ns1.auth.example.net", "ns2.example.org."]
hostmaster = "john.doe+dns@example.net"
records = ["ns1 A 203.0.113.5",
   "@ CAA 0 issue \"letsencrypt.org\""]
file = "/etc/countersign/auth.zone"
negative_ttl = "1d"
[[zone]]
name = "_acme-challenge.example.org"
nameservers = ["ns1.auth.example.net"]
hostmaster = "hostmaster@example.net"
[challenge]
ttl = "0"
lifetime = "2d"
max_values = 64
[acme]
ca = "https://127.0.0.9:14000/dir"
contact = ["mailto:a@example.net", "mailto:b@example.net"]
agree_tos = true
key_type = "rsa3072"
ca_bundle = "/srv/ca.pem"
resolver = "127.0.0.1"
)");
  REQUIRE(printed(loaded).empty());
  const Config& config = loaded.config;
  CHECK(config.state_dir == "/srv/state");
  CHECK(config.control_socket == "/srv/control.sock");
  CHECK(config.user.empty());
  CHECK(config.log_level == base::log::Level::Debug);
  REQUIRE(config.dns.listen.size() == 3);
  CHECK(config.dns.listen[0].text() == "192.0.2.1:5353");
  CHECK(config.dns.listen[1].text() == "[2001:db8::1]:53");
  CHECK(config.dns.listen[2].text() == "192.0.2.2:53");
  CHECK(config.dns.workers == 3);
  CHECK(config.dns.max_udp_payload == 1400);
  CHECK(config.dns.tcp_max_connections == 100'000);
  CHECK(config.dns.tcp_idle_timeout == milliseconds(2500));
  CHECK(config.dns.tcp_max_per_address == 100'000);
  CHECK(config.dns.nsid == "ns1 ~ Vienna");
  CHECK(config.dns.version == "none of your business");
  CHECK(config.dns.cookie_secret_file == "/etc/countersign/cookie.secret");
  CHECK(config.dns.rate_limit.responses_per_second == 0);
  CHECK(config.dns.rate_limit.slip == 100);
  REQUIRE(config.zones.size() == 2);
  const Zone& zone = config.zones[0];
  CHECK(zone.name.text() == "auth.example.net");
  REQUIRE(zone.nameservers.size() == 2);
  CHECK(zone.nameservers[1].text() == "ns2.example.org");
  CHECK(zone.file == "/etc/countersign/auth.zone");
  CHECK(zone.negative_ttl == seconds(86'400));
  CHECK(zone.at.line == 17);
  CHECK(zone.at.column == 1);
  CHECK(config.zones[1].name.text() == "_acme-challenge.example.org");
  CHECK(config.zones[1].at.line == 25);
  CHECK(config.challenge.ttl == seconds(0));
  CHECK(config.challenge.lifetime == milliseconds(2 * 86'400'000));
  CHECK(config.challenge.max_values == 64);
  CHECK(config.acme.ca == "https://127.0.0.9:14000/dir");
  CHECK(config.acme.contact == std::vector<std::string>{"mailto:a@example.net", "mailto:b@example.net"});
  CHECK(config.acme.agree_tos);
  CHECK(config.acme.key_type == KeyType::Rsa3072);
  CHECK(config.acme.ca_bundle == "/srv/ca.pem");
  CHECK(config.acme.resolver == "127.0.0.1");
}

TEST_CASE("a record keeps its text and its own position for zones to judge", "[conf]") {
  Loaded loaded = load_text(kZone + "records = [\"ns1 A 203.0.113.5\", # ü\n  \"not a record\"]\n");
  REQUIRE(printed(loaded).empty());
  const auto& records = loaded.config.zones[0].records;
  REQUIRE(records.size() == 2);
  CHECK(records[0].text == "ns1 A 203.0.113.5");
  CHECK(records[0].at.line == 5);
  CHECK(records[0].at.column == 12);
  CHECK(records[1].text == "not a record");
  CHECK(records[1].at.line == 6);
  CHECK(records[1].at.column == 3);
}

TEST_CASE("the local part of the hostmaster is one label, dots and all (RFC 1035 §8)", "[conf]") {
  Loaded loaded = load_text(
      "[[zone]]\nname = \"a.example\"\nnameservers = [\"ns.example.net\"]\nhostmaster = \"john.doe@example.net\"\n");
  REQUIRE(printed(loaded).empty());
  CHECK(loaded.config.zones[0].hostmaster.text() == R"(john\.doe.example.net)");
  CHECK(loaded.config.zones[0].hostmaster.first_label() == "john.doe");
}

TEST_CASE("a table within a table may be written in every way that TOML has", "[conf]") {
  for (std::string_view text : {"[dns]\nrate_limit = { responses_per_second = 7, slip = 3 }\n",
                                "[dns.rate_limit]\nresponses_per_second = 7\nslip = 3\n",
                                "[dns]\nrate_limit.responses_per_second = 7\nrate_limit.slip = 3\n",
                                "[dns]\nworkers = 1\n[dns.rate_limit]\nslip = 3\nresponses_per_second = 7\n"}) {
    INFO(text);
    Loaded loaded = load_text(kZone + std::string(text));
    CHECK(printed(loaded).empty());
    CHECK(loaded.config.dns.rate_limit.responses_per_second == 7);
    CHECK(loaded.config.dns.rate_limit.slip == 3);
  }
  Loaded half = load_text(kZone + "[dns.rate_limit]\nslip = 0\n");
  CHECK(printed(half).empty());
  CHECK(half.config.dns.rate_limit.responses_per_second == 200);
  CHECK(half.config.dns.rate_limit.slip == 0);
}

TEST_CASE("zones may also be written as inline tables", "[conf]") {
  Loaded loaded = load_text(R"(zone = [{name="a.example", nameservers=["ns.a.example"], hostmaster="h@example.net"}])");
  REQUIRE(printed(loaded).empty());
  CHECK(loaded.config.zones.size() == 1);
}

TEST_CASE("the sample configuration has no problems and says what the defaults are", "[conf]") {
  Loaded loaded = load_file(fs::path(COUNTERSIGN_SOURCE_DIR) / "conf/countersign.toml");
  REQUIRE(printed(loaded).empty());
  REQUIRE(loaded.config.zones.size() == 1);
  CHECK(loaded.config.zones[0].name.text() == "auth.example.net");
  CHECK(loaded.config.zones[0].records.size() == 3);
}

TEST_CASE("the configuration's path comes from the command line, the environment or the default", "[conf]") {
  ::unsetenv("COUNTERSIGN_CONFIG");
  CHECK(config_path("") == "/etc/countersign/countersign.toml");
  CHECK(config_path("x.toml") == "x.toml");
  ::setenv("COUNTERSIGN_CONFIG", "/from/environment.toml", 1);
  CHECK(config_path("") == "/from/environment.toml");
  CHECK(config_path("x.toml") == "x.toml");
  ::setenv("COUNTERSIGN_CONFIG", "", 1);
  CHECK(config_path("") == "/etc/countersign/countersign.toml");
  ::unsetenv("COUNTERSIGN_CONFIG");
}

TEST_CASE("a file that cannot be read is one problem without a position", "[conf]") {
  TemporaryFolder folder;
  SECTION("missing") {
    Loaded loaded = load_file(folder.path() / "absent.toml");
    REQUIRE(loaded.problems.size() == 1);
    CHECK(loaded.problems[0].at.line == 0);
    CHECK(format_problem("f", loaded.problems[0]) ==
          "f: cannot be read: no such file or directory; name a readable configuration with --config or "
          "$COUNTERSIGN_CONFIG");
  }
  SECTION("a folder") {
    Loaded loaded = load_file(folder.path());
    REQUIRE(loaded.problems.size() == 1);
    CHECK(loaded.problems[0].text.starts_with("cannot be read: is a directory; "));
  }
  SECTION("without permission") {
    if (::geteuid() == 0) return;  // root may read everything
    fs::path path = folder.file("closed.toml", kZone);
    REQUIRE(::chmod(path.c_str(), 0) == 0);
    Loaded loaded = load_file(path);
    REQUIRE(loaded.problems.size() == 1);
    CHECK(loaded.problems[0].text.starts_with("cannot be read: permission denied; "));
  }
  SECTION("of more than 1 MiB") {
    std::string text = kZone + "#" + std::string((1U << 20U) - kZone.size() - 1, 'x');
    CHECK(load_file(folder.file("full.toml", text)).problems.empty());
    Loaded loaded = load_file(folder.file("large.toml", text + "x"));
    REQUIRE(loaded.problems.size() == 1);
    CHECK(loaded.problems[0].text.starts_with("is larger than 1048576 octets"));
    CHECK(load_text(text + "x").problems.size() == 1);
  }
  SECTION("not in UTF-8") {
    Loaded loaded = load_file(folder.file("latin1.toml", "# caf\xe9\n" + kZone));
    REQUIRE(loaded.problems.size() == 1);
    CHECK(loaded.problems[0].at.line == 1);
    CHECK(loaded.problems[0].text.find("utf-8") != std::string::npos);
  }
  SECTION("an empty one only lacks a zone") {
    CHECK(printed(load_file(folder.file("empty.toml", ""))) ==
          "f: zone: no zone is configured; add a [[zone]] with name, nameservers and hostmaster\n");
  }
}

TEST_CASE("a byte order mark and CRLF line ends are fine", "[conf]") {
  std::string text = "\xef\xbb\xbf" + kZone;
  for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2) text.replace(at, 1, "\r\n");
  CHECK(printed(load_text(text)).empty());
}

}  // namespace
}  // namespace countersign::conf
