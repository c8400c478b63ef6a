// Broken files, and exactly what is said about each.
#include <string>
#include <vector>

#include "conf/load.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/conf/example.hpp"

namespace countersign::conf {
namespace {

struct Broken {
  std::string text;
  std::string expected;  // as printed for the file "f"
};

void check_all(const std::vector<Broken>& cases) {
  for (const Broken& broken : cases) {
    INFO(broken.text);
    CHECK(printed(load_text(broken.text)) == broken.expected);
  }
}

const std::string kHead = "[[zone]]\nname = \"a.example\"\nnameservers = [\"ns.example.net\"]\n";
const std::string kTail = "hostmaster = \"h@example.net\"\n";

TEST_CASE("what is not TOML is said with the place where reading stopped", "[conf]") {
  check_all({
      {"# é\nuser = \"é\" é\n",
       "f:2:12: not TOML: error while parsing key-value pair: expected a comment or whitespace, saw 'é'\n"},
      {"größe = 1\n", "f:1:3: not TOML: error while parsing key-value pair: expected '=', saw 'ö'\n"},
      {"a" + std::string(17, '.') + " = 1\n", "f:1:18: not TOML: a key with more than 16 dots\n"},
      {"user = \n", "f:1:8: not TOML: error while parsing key-value pair: expected value, saw '\\n'\n"},
      {"user = \"a\"\nuser = \"b\"\n",
       "f:2:8: not TOML: error while parsing key-value pair: cannot redefine existing string 'user'\n"},
      {"[dns]\n[dns]\n", "f:2:1: not TOML: error while parsing table header: cannot redefine existing table 'dns'\n"},
  });
  for (std::string_view text : {"[", "[[", "[[[", "]", "=", "\"", "'''", "a", "a.", "a.b.", "a = {", "a = [1,", "\\",
                                "a = \"\\q\"", "a = 1979-99-99", "a = 0x", "\x01", "[zone]\n[[zone]]"}) {
    INFO(text);
    Loaded loaded = load_text(text);
    REQUIRE(loaded.problems.size() == 1);
    CHECK(loaded.problems[0].at.line >= 1);
    CHECK(loaded.problems[0].at.column >= 1);
    CHECK(loaded.problems[0].text.starts_with("not TOML: "));
  }
  for (std::string_view text :
       {"user = \"\"\"\\\n  a\"\"\"\n", "user = \"\"\"\\\\é\"\"\"\n# é\n", "user = '\\' # é\n"}) {
    INFO(text);
    CHECK(printed(load_text(text)).find("not TOML") == std::string::npos);
  }
  CHECK(load_text(std::string_view("a = 1\0", 6)).problems.size() == 1);
}

TEST_CASE("an unknown key names the nearest known one, or where it belongs", "[conf]") {
  check_all({
      {"log_levle = \"info\"\n" + kZone, "f:1:1: log_levle: unknown key; the nearest known one is \"log_level\"\n"},
      {kZone + "[dns]\n  lisen = []\n", "f:6:3: dns.lisen: unknown key; the nearest known one is \"listen\"\n"},
      {kZone + "[dsn]\nlisten = []\n", "f:5:2: dsn: unknown table; the nearest known one is \"dns\"\n"},
      {kZone + "nameserver = \"x\"\n",
       "f:5:1: zone[1].nameserver: unknown key; the nearest known one is \"nameservers\"\n"},
      {kZone + "[challenge]\nkey_type = \"p256\"\n",
       "f:6:1: challenge.key_type: unknown key here; it belongs in [acme]\n"},
      {kZone + "[acme]\nuser = \"\"\n",
       "f:6:1: acme.user: unknown key here; it belongs at the top of the file, before the first table\n"},
      {kZone + "[acme]\nhostmaster = \"\"\n", "f:6:1: acme.hostmaster: unknown key here; it belongs in [[zone]]\n"},
      {kZone + "[acme.aeb]\nkid = \"\"\n", "f:5:7: acme.aeb: unknown table; the nearest known one is \"eab\"\n"},
      {kZone + "[certificate]\nnames = [\"a.example\"]\n",
       "f:5:2: certificate: is a table; write [[certificate]], with two brackets, for each certificate\n"},
      {kZone + "[[certificate]]\nname = [\"a.example\"]\nagree_tos = true\ndeploy_hooks = []\n",
       "f:5:1: certificate[1].names: is missing; add names = [\"example.com\", \"*.example.com\"]\n"
       "f:6:1: certificate[1].name: unknown key here; it belongs in [[zone]]\n"
       "f:7:1: certificate[1].agree_tos: unknown key here; it belongs in [acme]\n"
       "f:8:1: certificate[1].deploy_hooks: unknown key here; it belongs in [acme]\n"},
      {"\"a\\nb\" = 1\n" + kZone, "f:1:1: \"a\\x0ab\": unknown key; the nearest known one is \"api\"\n"},
      {"dns.listen.x = 1\n" + kZone, "f:1:5: dns.listen: is a table; write an array of texts, as in [\"...\"]\n"},
  });
}

TEST_CASE("a table in the wrong shape says which brackets to write", "[conf]") {
  check_all({
      {"dns = 5\n" + kZone, "f:1:7: dns: is an integer; write a table, [dns]\n"},
      {kZone + "[[dns]]\n", "f:5:3: dns: is an array; write [dns], once and with one bracket\n"},
      {"[zone]\nname = \"a.example\"\n", "f:1:2: zone: is a table; write [[zone]], with two brackets, for each zone\n"},
      {"zone = []\n", "f:1:8: zone: is empty; add a [[zone]] with name, nameservers and hostmaster\n"},
      {"zone = [1]\n", "f:1:9: zone[1]: is an integer; write a table, [[zone]]\n"},
  });
}

TEST_CASE("what is wrong in a table within a table is said with its whole name", "[conf]") {
  check_all({
      {kZone + "[dns]\nrate_limit = { response_per_second = 1, slip = \"2\", x = 1 }\n",
       "f:6:16: dns.rate_limit.response_per_second: unknown key; the nearest known one is \"responses_per_second\"\n"
       "f:6:48: dns.rate_limit.slip: is a string; write a whole number, without quotes\n"
       "f:6:53: dns.rate_limit.x: unknown key; the nearest known one is \"slip\"\n"},
      {kZone + "[dns.rate_limit]\nresponses_per_second = 1000001\nslip = 101\nworkers = 3\n",
       "f:6:24: dns.rate_limit.responses_per_second: 1000001 is out of range; write 0 to 1000000\n"
       "f:7:8: dns.rate_limit.slip: 101 is out of range; write 0 to 100\n"
       "f:8:1: dns.rate_limit.workers: unknown key here; it belongs in [dns]\n"},
      {kZone + "[dns]\nrate_limit = 200\n", "f:6:14: dns.rate_limit: is an integer; write a table, [dns.rate_limit]\n"},
      {kZone + "[dns]\nrate_limt = {}\n",
       "f:6:1: dns.rate_limt: unknown table; the nearest known one is \"rate_limit\"\n"},
      {kZone + "[[dns.rate_limit]]\n",
       "f:5:7: dns.rate_limit: is an array; write [dns.rate_limit], once and with one bracket\n"},
      {kZone + "[rate_limit]\nslip = 1\n", "f:5:2: rate_limit: unknown here; it is written [dns.rate_limit]\n"},
      {"\"dns.rate_limit\" = { slip = 1 }\n" + kZone,
       "f:1:1: \"dns.rate_limit\": unknown table; the nearest known one is \"state_dir\"\n"},
      {kZone + "[acme]\nslip = 1\n", "f:6:1: acme.slip: unknown key here; it belongs in [dns.rate_limit]\n"},
      {kZone + "[dns.rate_limit.slip]\n",
       "f:5:1: dns.rate_limit.slip: is a table; write a whole number, without quotes\n"},
  });
}

TEST_CASE("what this server says of itself is printable and short", "[conf]") {
  check_all({
      {kZone + "[dns]\nnsid = \"" + std::string(65, 'n') + "\"\nversion = \"a\\nb\"\ncookie_secret_file = \"c\"\n",
       "f:6:8: dns.nsid: \"" + std::string(65, 'n') +
           "\" is longer than 64 octets; write a shorter text\n"
           "f:7:11: dns.version: \"a\\x0ab\" has a character in it that is not printable ASCII; remove it\n"
           "f:8:22: dns.cookie_secret_file: \"c\" is a relative path; write an absolute one, beginning with \"/\"\n"},
      {kZone + "[dns]\nnsid = \"ü\"\nversion = \"" + std::string(256, 'v') + "\"\n",
       "f:6:8: dns.nsid: \"ü\" has a character in it that is not printable ASCII; remove it\n"
       "f:7:11: dns.version: \"" +
           std::string(80, 'v') + "...\" is longer than 255 octets; write a shorter text\n"},
  });
  CHECK(printed(load_text(kZone + "[dns]\nnsid = \"" + std::string(64, 'n') + "\"\nversion = \"" +
                          std::string(255, 'v') + "\"\n"))
            .empty());
}

TEST_CASE("a wrong type is said at the value", "[conf]") {
  check_all({
      {"user = 5\n" + kZone, "f:1:8: user: is an integer; write text in quotes\n"},
      {kZone + "[dns]\nlisten = \"0.0.0.0:53\"\n",
       "f:6:10: dns.listen: is a string; write an array of texts, as in [\"...\"]\n"},
      {kZone + "[dns]\nlisten = [\"127.0.0.1:53\",\n 53]\n",
       "f:7:2: dns.listen: is an integer; write text in quotes\n"},
      {kZone + "[dns]\nworkers = \"2\"\n", "f:6:11: dns.workers: is a string; write a whole number, without quotes\n"},
      {kZone + "[dns]\nworkers = 2.0\n",
       "f:6:11: dns.workers: is a number with a fraction; write a whole number, without quotes\n"},
      {kZone + "[challenge]\nttl = 1\n",
       "f:6:7: challenge.ttl: is an integer; write a duration in quotes, as in \"10s\"\n"},
      {kZone + "[acme]\nagree_tos = \"yes\"\n",
       "f:6:13: acme.agree_tos: is a string; write true or false, without quotes\n"},
      {kZone + "records = [2026-11-22]\n",
       "f:5:12: zone[1].records: is a date or time; write a record in quotes, as in \"ns1 A 192.0.2.1\"\n"},
  });
}

TEST_CASE("a value out of its range says the range", "[conf]") {
  check_all({
      {kZone + "[dns]\ntcp_max_per_address = 0\n",
       "f:6:23: dns.tcp_max_per_address: 0 is out of range; write 1 to 100000\n"},
      {kZone + "[dns]\nworkers = 257\nmax_udp_payload = 511\ntcp_max_connections = 0\ntcp_idle_timeout = \"11m\"\n",
       "f:6:11: dns.workers: 257 is out of range; write 0 to 256\n"
       "f:7:19: dns.max_udp_payload: 511 is out of range; write 512 to 1400\n"
       "f:8:23: dns.tcp_max_connections: 0 is out of range; write 1 to 100000\n"
       "f:9:20: dns.tcp_idle_timeout: \"11m\" is out of range; write 100ms to 10m\n"},
      {kZone +
           "[dns]\nworkers = -1\nmax_udp_payload = 1401\ntcp_max_connections = 100001\ntcp_idle_timeout = \"99ms\"\n",
       "f:6:11: dns.workers: -1 is out of range; write 0 to 256\n"
       "f:7:19: dns.max_udp_payload: 1401 is out of range; write 512 to 1400\n"
       "f:8:23: dns.tcp_max_connections: 100001 is out of range; write 1 to 100000\n"
       "f:9:20: dns.tcp_idle_timeout: \"99ms\" is out of range; write 100ms to 10m\n"},
      {kZone + "negative_ttl = \"25h\"\n[challenge]\nttl = \"2d\"\nlifetime = \"999ms\"\nmax_values = 65\n",
       "f:5:16: zone[1].negative_ttl: \"25h\" is out of range; write 0 to 1d\n"
       "f:7:7: challenge.ttl: \"2d\" is out of range; write 0 to 1d\n"
       "f:8:12: challenge.lifetime: \"999ms\" is out of range; write 1s to 36525d\n"
       "f:9:14: challenge.max_values: 65 is out of range; write 1 to 64\n"},
      {kZone + "[challenge]\nttl = \"1500ms\"\nlifetime = \"36526d\"\nmax_values = 0\n",
       "f:6:7: challenge.ttl: \"1500ms\" is not a whole number of seconds, which is all that DNS can say; write "
       "\"2s\"\n"
       "f:7:12: challenge.lifetime: \"36526d\" is not a duration of at most 100 years; write a whole number and ms, s, "
       "m, h or d, as in \"10s\"\n"
       "f:8:14: challenge.max_values: 0 is out of range; write 1 to 64\n"},
      {kZone + "[challenge]\nttl = \"1 s\"\n",
       "f:6:7: challenge.ttl: \"1 s\" is not a duration of at most 100 years; write a whole number and ms, s, m, h or "
       "d, as in \"10s\"\n"},
      {kZone + "[dns]\nworkers = 9223372036854775807\n",
       "f:6:11: dns.workers: 9223372036854775807 is out of range; write 0 to 256\n"},
  });
}

TEST_CASE("an address is judged where it stands in the array", "[conf]") {
  check_all({
      {kZone + "[dns]\nlisten = []\n", "f:6:10: dns.listen: is empty; write at least one\n"},
      {kZone + "[dns]\nlisten = [\"0.0.0.0:53\", \"localhost:53\", \"::1:99999\", \"1.2.3.4:0\"]\n",
       "f:6:25: dns.listen: \"localhost:53\" is not an address; write it as in \"192.0.2.1:53\" or "
       "\"[2001:db8::1]:53\"\n"
       "f:6:41: dns.listen: \"::1:99999\" is not an address; write it as in \"192.0.2.1:53\" or "
       "\"[2001:db8::1]:53\"\n"
       "f:6:54: dns.listen: \"1.2.3.4:0\" has port 0, which is no fixed port; write 53\n"},
      {kZone + "[dns]\nlisten = [\"[::1]:53\",\n\"[0:0::1]:53\", \"192.0.2.1\", \"192.0.2.1:53\"]\n",
       "f:7:1: dns.listen: \"[0:0::1]:53\" is there twice, first in line 6 column 11; remove one\n"
       "f:7:29: dns.listen: \"192.0.2.1:53\" is there twice, first in line 7 column 16; remove one\n"},
      {kZone + "[acme]\nresolver = \"dns.example.net\"\n",
       "f:6:12: acme.resolver: \"dns.example.net\" is not an address; write it as in \"192.0.2.1:53\" or "
       "\"[2001:db8::1]:53\"\n"},
  });
}

TEST_CASE("a zone without what it needs says what to add", "[conf]") {
  check_all({
      {"user = \"\"\n", "f: zone: no zone is configured; add a [[zone]] with name, nameservers and hostmaster\n"},
      {"# comment\n  [[zone]]\n",
       "f:2:3: zone[1].name: is missing; add name = \"auth.example.net\"\n"
       "f:2:3: zone[1].nameservers: is missing; add nameservers = [\"ns1.auth.example.net\"]\n"
       "f:2:3: zone[1].hostmaster: is missing; add hostmaster = \"hostmaster@example.net\"\n"},
      {kHead, "f:1:1: zone[1].hostmaster: is missing; add hostmaster = \"hostmaster@example.net\"\n"},
      {"[[zone]]\nname = \"a.example\"\nnameservers = []\n" + kTail,
       "f:3:15: zone[1].nameservers: is empty; write at least one\n"},
  });
}

TEST_CASE("names and addresses of a zone are checked", "[conf]") {
  check_all({
      {"[[zone]]\nname = \"bücher.example\"\nnameservers = [\"ns1\", \"ns_2.example.net\"]\n"
       "hostmaster = \"hostmaster.example.net\"\n",
       "f:2:8: zone[1].name: \"bücher.example\" is not in ASCII; write its A-labels, as in \"xn--bcher-kva.example\"\n"
       "f:3:16: zone[1].nameservers: \"ns1\" is a single label; names here are absolute: write the whole host name, as "
       "in \"ns1.auth.example.net\"\n"
       "f:3:23: zone[1].nameservers: \"ns_2.example.net\" has a \"_\" in it; write a domain name, as in "
       "\"auth.example.net\"\n"
       "f:4:14: zone[1].hostmaster: \"hostmaster.example.net\" is not a mail address; write one, as in "
       "\"hostmaster@example.net\"\n"},
      {"[[zone]]\nname = \".\"\nnameservers = [\"ns.a.example\", \"NS.A.example.\"]\n" + kTail,
       "f:2:8: zone[1].name: \".\" is the root; write the zone that is delegated to this server\n"
       "f:3:32: zone[1].nameservers: \"NS.A.example.\" is there twice, first in line 3 column 16; remove one\n"},
      {kHead + kTail + kZone + "\n[[zone]]\nname = \"A.example.\"\nnameservers = [\"ns.example.net\"]\n" + kTail,
       "f:11:8: zone[3].name: \"a.example\" is a zone already in line 2; remove one of the two\n"},
      {kHead + kTail + "file = \"zone.txt\"\n",
       "f:5:8: zone[1].file: \"zone.txt\" is a relative path; write an absolute one, beginning with \"/\"\n"},
  });
}

TEST_CASE("paths, words, the CA and contacts are checked", "[conf]") {
  check_all({
      {"state_dir = \"state\"\ncontrol_socket = \"\"\nuser = \"a b\"\nlog_level = \"warning\"\n" + kZone,
       "f:1:13: state_dir: \"state\" is a relative path; write an absolute one, beginning with \"/\"\n"
       "f:2:18: control_socket: is empty; write an absolute path\n"
       "f:3:8: user: \"a b\" is not a user's name; write one, as in \"countersign\", or \"\" to stay\n"
       "f:4:13: log_level: \"warning\" is none of error, warn, info, debug; the nearest is \"warn\"\n"},
      {"control_socket = \"/" + std::string(107, 's') + "\"\n" + kZone,
       "f:1:18: control_socket: \"/" + std::string(79, 's') +
           "...\" is longer than the 107 octets that a socket's path may have; write a shorter one\n"},
      {kZone + "[acme]\nca = \"letsencrpyt\"\ncontact = [\"a@example.net\", \"mailto:x\"]\nkey_type = \"P-256\"\n"
               "ca_bundle = \"ca.pem\"\n",
       "f:6:6: acme.ca: \"letsencrpyt\" is not a known CA; the nearest one is \"letsencrypt\"; or write its https:// "
       "directory URL\n"
       "f:7:12: acme.contact: \"a@example.net\" does not begin with \"mailto:\"; write it as in "
       "\"mailto:admin@example.net\"\n"
       "f:7:29: acme.contact: \"x\" is not a mail address; write one, as in \"hostmaster@example.net\"\n"
       "f:8:12: acme.key_type: \"P-256\" is none of p256, p384, rsa2048, rsa3072, rsa4096; the nearest is \"p256\"\n"
       "f:9:13: acme.ca_bundle: \"ca.pem\" is a relative path; write an absolute one, beginning with \"/\"\n"},
      {kZone + "[acme]\nca = \"http://192.0.2.1/dir\"\n",
       "f:6:6: acme.ca: \"http://192.0.2.1/dir\" is not encrypted; write the CA's https:// directory URL\n"},
  });
}

TEST_CASE("problems come in the order of the file, whatever found them", "[conf]") {
  check_all({{"zzz = 1\n[challenge]\nmax_values = 0\n[dns]\nworkers = 999\nnope = 1\n[[zone]]\nname = \"a.example\"\n"
              "[acme]\nca = \"x\"\n",
              "f:1:1: zzz: unknown key; the nearest known one is \"dns\"\n"
              "f:3:14: challenge.max_values: 0 is out of range; write 1 to 64\n"
              "f:5:11: dns.workers: 999 is out of range; write 0 to 256\n"
              "f:6:1: dns.nope: unknown key; the nearest known one is \"nsid\"\n"
              "f:7:1: zone[1].nameservers: is missing; add nameservers = [\"ns1.auth.example.net\"]\n"
              "f:7:1: zone[1].hostmaster: is missing; add hostmaster = \"hostmaster@example.net\"\n"
              "f:10:6: acme.ca: \"x\" is not a known CA; the nearest one is \"google\"; or write its https:// "
              "directory URL\n"},
             {"log_levle = 1\n",
              "f:1:1: log_levle: unknown key; the nearest known one is \"log_level\"\n"
              "f: zone: no zone is configured; add a [[zone]] with name, nameservers and "
              "hostmaster\n"}});
}

TEST_CASE("a column counts characters, not octets", "[conf]") {
  check_all({{"user = \"ü\"\n" + kZone + "[acme]\ncontact = [\"mailto:ü@x.example\", \"x\"]\n",
              "f:1:8: user: \"ü\" is not a user's name; write one, as in \"countersign\", or \"\" to stay\n"
              "f:7:12: acme.contact: \"ü@x.example\" is not a mail address: its part before the @ is not; write one, "
              "as in \"hostmaster@example.net\"\n"
              "f:7:34: acme.contact: \"x\" does not begin with \"mailto:\"; write it as in "
              "\"mailto:admin@example.net\"\n"}});
}

}  // namespace
}  // namespace countersign::conf
