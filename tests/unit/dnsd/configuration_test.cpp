// The files with secrets that the configuration names.
#include "dnsd/configuration.hpp"

#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

#include "tests/support/temporary_folder.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using tests::TemporaryFolder;

namespace {

const std::string kZone =
    "[[zone]]\nname = \"auth.test\"\nnameservers = [\"ns.example.net\"]\nhostmaster = \"h@example.net\"\n";

struct Files {
  TemporaryFolder folder;

  std::string write(const std::string& name, std::string_view text) const {
    std::ofstream(folder.path / name, std::ios::binary) << text;
    return (folder.path / name).string();
  }
  [[nodiscard]] Configuration read(const std::string& text) const {
    return read_configuration(write("c.toml", text + kZone));
  }
  // A self-signed certificate with its key.
  void make_pair(const std::string& certificate, const std::string& key) const {
    std::string command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=a.test -keyout '" +
        (folder.path / key).string() + "' -out '" + (folder.path / certificate).string() + "' 2>/dev/null";
    REQUIRE(std::system(command.c_str()) == 0);
  }
  // One line each, without the folder's name.
  [[nodiscard]] std::string problems(const std::string& text) const {
    std::string lines;
    for (const conf::Problem& problem : read(text).problems) lines += conf::format_problem("f", problem) + "\n";
    const std::string path = folder.path.string() + "/";
    for (std::size_t at = 0; (at = lines.find(path, at)) != std::string::npos;) lines.erase(at, path.size());
    return lines;
  }
};

std::string token_config(const std::string& file) {
  return "[api]\nregistration = \"token\"\nregistration_token_file = \"" + file + "\"\n";
}

std::string key_config(const std::string& name, const std::string& file, const std::string& algorithm = "hmac-sha256") {
  return "[[key]]\nname = \"" + name + "\"\nalgorithm = \"" + algorithm + "\"\nsecret_file = \"" + file +
         "\"\nallow = [\"*.auth.test\"]\n";
}

}  // namespace

TEST_CASE("the registration token is the first line of its file", "[dnsd][configuration]") {
  Files files;
  auto token = [&](std::string_view text) {
    Configuration read = files.read(token_config(files.write("token", text)));
    CHECK(read.problems.empty());
    return read.registration_token;
  };
  CHECK(token("0123456789abcdef") == "0123456789abcdef");
  CHECK(token(" \t0123456789abcdef+/= \r\nsecond line\n") == "0123456789abcdef+/=");
  // Nobody needs it where registration is closed or open, not even the file.
  Configuration closed = files.read("[api]\nregistration_token_file = \"/nonexistent\"\n");
  CHECK(closed.problems.empty());
  CHECK(closed.registration_token.empty());
}

TEST_CASE("a file that holds no token is a problem where it is named", "[dnsd][configuration]") {
  Files files;
  auto said = [&](std::string_view text) { return files.problems(token_config(files.write("token", text))); };
  const std::string place = "f:3:27: api.registration_token_file: ";
  CHECK(said("0123456789abcde\n") ==
        place +
            "the first line of \"token\" has 15 characters, and a token needs 16; write one as `openssl rand "
            "-base64 24` makes it\n");
  CHECK(said("").find("has 0 characters") != std::string::npos);
  CHECK(said("\n0123456789abcdef\n").find("has 0 characters") != std::string::npos);
  for (std::string_view text : {"0123456789 abcdef", "0123456789abcd\xc3\xa4", "0123456789abcdef\x01"}) {
    CHECK(said(text).starts_with(place + "the first line of \"token\" has a character in it"));
    CHECK(said(text).find("0123456789") == std::string::npos);
  }
  CHECK(said(std::string_view("0123456789abcdef\0x", 18)).starts_with(place));
  CHECK(said(std::string(5000, 'a')).find("larger than 4096 octets") != std::string::npos);
  CHECK(files.problems(token_config((files.folder.path / "none").string())) ==
        place +
            "\"none\" cannot be read: no such file or directory; write the token to it, as `openssl rand -base64 24` "
            "makes one, readable by `user` alone\n");
  REQUIRE(mkfifo((files.folder.path / "fifo").c_str(), 0600) == 0);
  CHECK(files.problems(token_config((files.folder.path / "fifo").string())).find("no regular file") !=
        std::string::npos);
}

TEST_CASE("TSIG keys are read from their files, in their order", "[dnsd][configuration]") {
  Files files;
  std::string plain = files.write("plain", "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0ISE=\n");
  std::string bind = files.write(
      "bind",
      "key \"Other.\" {\n\talgorithm hmac-sha512;\n\tsecret \"b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXI=\";\n};\n");
  Configuration read = files.read(key_config("lego.", plain) + key_config("other", bind, "HMAC-SHA512."));
  for (const conf::Problem& problem : read.problems) FAIL(conf::format_problem("f", problem));
  REQUIRE(read.keys.size() == 2);
  CHECK(read.keys[0].name.text() == "lego");
  CHECK(read.keys[0].secret == "secret-secret-secret-secret!!");
  CHECK(read.keys[0].algorithm == conf::TsigAlgorithm::HmacSha256);
  REQUIRE(read.keys[0].allow.size() == 1);
  CHECK(read.keys[0].allow[0].below);
  CHECK(read.keys[1].name.text() == "other");
  CHECK(read.keys[1].secret == "other-other-other-other-other");
  CHECK(read.keys[1].algorithm == conf::TsigAlgorithm::HmacSha512);
  CHECK(answer_settings(read, {})->defers_signed);
  CHECK(!answer_settings(files.read(""), {})->defers_signed);
}

TEST_CASE("every file with a secret that cannot be used is told in one run, in the order of the file",
          "[dnsd][configuration]") {
  Files files;
  std::string secret = "c2VjcmV0LXNlY3JldC1z*ZWNyZXQtc2VjcmV0ISE=";
  std::string text = "[dns]\ncookie_secret_file = \"" + (files.folder.path / "cookie").string() + "\"\n" +
                     key_config("one", files.write("one", secret)) + token_config(files.write("token", "short")) +
                     key_config("two", (files.folder.path / "two").string()) + "x = 1\n";
  std::string said = files.problems(text);
  INFO(said);
  std::vector<std::string> lines;
  for (std::size_t start = 0, end = 0; (end = said.find('\n', start)) != std::string::npos; start = end + 1)
    lines.push_back(said.substr(start, end - start));
  REQUIRE(lines.size() == 5);
  CHECK(lines[0].starts_with("f:2:22: dns.cookie_secret_file: \"cookie\" cannot be read: no such file"));
  CHECK(lines[1].starts_with("f:6:15: key[1].secret_file: \"one\": "));
  CHECK(lines[2].starts_with("f:10:27: api.registration_token_file: "));
  CHECK(lines[3].starts_with("f:14:15: key[2].secret_file: \"two\" cannot be read: no such file"));
  CHECK(lines[4].starts_with("f:16:1: key[2].x: unknown key"));
  CHECK(said.find("c2VjcmV0") == std::string::npos);
  CHECK(said.find("short") == std::string::npos);
}

TEST_CASE("a BIND key file of another key or algorithm is a problem", "[dnsd][configuration]") {
  Files files;
  std::string bind = files.write(
      "bind", "key \"other\" { algorithm hmac-sha512; secret \"b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXI=\"; };\n");
  CHECK(files.problems(key_config("lego", bind, "hmac-sha512")).starts_with("f:4:15: key[1].secret_file: \"bind\": "));
  CHECK(files.problems(key_config("other", bind)).starts_with("f:4:15: key[1].secret_file: \"bind\": "));
}

TEST_CASE("a daemon needs a zone, whatever else its configuration has", "[dnsd][configuration]") {
  Files files;
  std::string file = files.write("alone.toml",
                                 "[acme]\nserver = \"https://a.example\"\ncredentials = \"/c\"\n[api]\nlisten "
                                 "= [\"127.0.0.1:443\"]\nzone = \"a.example\"\n");
  Configuration read = read_configuration(file);
  REQUIRE(read.problems.size() == 1);
  CHECK(conf::format_problem("f", read.problems[0]) ==
        "f: zone: no zone is configured, only acme.server; add a [[zone]] for a daemon");
}

TEST_CASE("--check reads the API's certificate and key, where the API is on", "[dnsd][configuration]") {
  Files files;
  auto said = [&](const std::string& listen) {
    Configuration read =
        files.read("[api]\nlisten = [" + listen + "]\ntls_certificate = \"" + (files.folder.path / "c.pem").string() +
                   "\"\ntls_key = \"" + (files.folder.path / "k.pem").string() + "\"\n");
    REQUIRE(read.problems.empty());
    check_certificate(read);
    std::string lines;
    for (const conf::Problem& problem : read.problems) lines += conf::format_problem("f", problem) + "\n";
    return lines;
  };
  const std::string on = "\"127.0.0.1:443\"";
  CHECK(said("").empty());
  CHECK(said(on).empty());  // the daemon waits for its first certificate
  files.write("c.pem", "no certificate\n");
  CHECK(said(on).starts_with("f:3:19: api.tls_certificate: \"" + (files.folder.path / "c.pem").string()));
  files.make_pair("c.pem", "k.pem");
  CHECK(said(on).empty());
  files.write("k.pem", "no key\n");
  CHECK(said(on).starts_with("f:4:11: api.tls_key: \"" + (files.folder.path / "k.pem").string()));
  files.make_pair("other.pem", "k.pem");
  std::string mismatch = said(on);
  CHECK(mismatch.starts_with("f:4:11: api.tls_key: "));
  CHECK(mismatch.find("is not the key of the first certificate") != std::string::npos);
}

TEST_CASE("the API's addresses need a restart, its other keys do not", "[dnsd][configuration]") {
  conf::Config started;
  conf::Config wanted = started;
  wanted.api.registration = conf::RegistrationMode::Open;
  wanted.api.max_connections = 5;
  wanted.api.tls_key = "/k";
  wanted.keys.emplace_back();
  CHECK(restart_keys(started, wanted, {}).empty());
  wanted.api.listen = {*base::SocketAddress::parse("127.0.0.1:443")};
  CHECK(restart_keys(started, wanted, {}) == "api.listen");
}
