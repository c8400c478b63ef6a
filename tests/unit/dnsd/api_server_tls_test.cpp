#include <sys/stat.h>

#include "dnsd/api/tls_context.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/dnsd/api_serving.hpp"
#include "tests/unit/dnsd/tls_client.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using namespace std::chrono_literals;
using tests::ApiServing;
using tests::ClientSocket;
using tests::error_answer;
using tests::plain_answer;
using tests::TestPair;
using tests::TlsClient;
using tests::write_file;
namespace fs = std::filesystem;

namespace {

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

const TestPair& first_pair() {
  static const TestPair pair("first");
  return pair;
}

const TestPair& second_pair() {
  static const TestPair pair("second");
  return pair;
}

// A folder with certificate and key.
struct Files {
  tests::TemporaryFolder folder;
  conf::Api api;

  Files() {
    api.tls_certificate = folder.path / "fullchain.pem";
    api.tls_key = folder.path / "privkey.pem";
    write(first_pair().certificate, first_pair().key);
  }
  void write(const std::string& certificate, const std::string& key) const {
    write_file(api.tls_certificate, certificate);
    write_file(api.tls_key, key);
    chmod(api.tls_key.c_str(), 0600);
  }
};

void exchange(TlsClient& client, std::string_view request, std::string_view answer) {
  client.send(request);
  CHECK(client.receive_exactly(answer.size()) == answer);
}

std::string served_name(ApiServing& serving) {
  TlsClient client(serving.client());
  REQUIRE(client.is_connected());
  exchange(client, kGet, plain_answer("GET / "));
  return client.common_name();
}

void look(ApiServing& serving) {
  serving.on_loop([&] { serving.server.look_at_certificate(); });
}

}  // namespace

TEST_CASE("with a certificate the API speaks TLS 1.2 and 1.3", "[dnsd][api]") {
  Files files;
  ApiServing serving(files.api);
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClient client(serving.client(), {version, "\x02h2\x08http/1.1"});
    REQUIRE(client.is_connected());
    CHECK(SSL_version(client.ssl()) == version);
    CHECK(client.common_name() == "first");
    CHECK(client.protocol() == "http/1.1");
    exchange(client, kGet, plain_answer("GET / "));
    std::string both = plain_answer("GET / ") + plain_answer("GET / ");
    exchange(client, std::string(kGet) + std::string(kGet), both);
    std::string large = plain_answer(std::string(tests::EchoApi::kLarge, 'x'));
    exchange(client, "GET /large HTTP/1.1\r\nHost: h\r\n\r\n", large);
    exchange(client, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
             plain_answer("GET / ", "Connection: close\r\n"));
    CHECK(client.is_ended_properly());
  }
  CHECK(serving.counters().tls_failures == 0);
}

TEST_CASE("older versions, other protocols and what is no TLS are refused", "[dnsd][api]") {
  Files files;
  ApiServing serving(files.api);
  CHECK_FALSE(TlsClient(serving.client(), {TLS1_1_VERSION, ""}).is_connected());
  CHECK_FALSE(TlsClient(serving.client(), {0, "\x02h2"}).is_connected());
  ClientSocket noise = serving.client();
  noise.send(std::string(2000, '\x16'));
  CHECK(noise.is_ended());
  tests::last_exchange(serving.client(), kGet, error_answer("400 Bad Request", "https_required"));
  CHECK(serving.counters().tls_failures == 4);
  CHECK(served_name(serving) == "first");
}

TEST_CASE("an error over TLS can be read before the end", "[dnsd][api]") {
  Files files;
  ApiServing serving(files.api);
  TlsClient client(serving.client());
  client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + std::string(100'000, 'x'));
  std::string refusal = error_answer("413 Payload Too Large", "body_too_large");
  CHECK(client.receive_exactly(refusal.size()) == refusal);
  CHECK(client.is_ended_properly());
}

TEST_CASE("over TLS a request that comes drop by drop is answered 408", "[dnsd][api]") {
  Files files;
  ApiDeadlines deadlines;
  deadlines.request = 100ms;
  ApiServing serving(files.api, deadlines);
  TlsClient client(serving.client());
  std::string late = error_answer("408 Request Timeout", "request_timeout");
  exchange(client, "GET / HT", late);
  CHECK(client.is_ended_properly());
}

TEST_CASE("a handshake that does not go on is ended", "[dnsd][api]") {
  Files files;
  ApiDeadlines deadlines;
  deadlines.handshake = 100ms;
  ApiServing serving(files.api, deadlines);
  ClientSocket client = serving.client();
  client.send("\x16\x03\x01");
  CHECK(client.is_ended());
  CHECK(serving.counters().closed_idle == 1);
}

TEST_CASE("a session is resumed by its ticket, also after a reload that changes nothing", "[dnsd][api]") {
  Files files;
  ApiServing serving(files.api);
  TlsClient first(serving.client());
  exchange(first, kGet, plain_answer("GET / "));  // the ticket comes before it
  base::Handle<SSL_SESSION, SSL_SESSION_free> session(SSL_get1_session(first.ssl()));
  REQUIRE(serving.use(files.api));
  TlsClient second(serving.client(), {}, session.get());
  exchange(second, kGet, plain_answer("GET / "));
  CHECK(SSL_session_reused(second.ssl()) == 1);
}

TEST_CASE("the whole chain is sent", "[dnsd][api]") {
  Files files;
  files.write(first_pair().certificate + second_pair().certificate, first_pair().key);
  ApiServing serving(files.api);
  TlsClient client(serving.client());
  CHECK(sk_X509_num(SSL_get_peer_cert_chain(client.ssl())) == 2);
}

TEST_CASE("a certificate that is switched by a symlink is noticed", "[dnsd][api]") {
  Files files;
  const fs::path& folder = files.folder.path;
  fs::create_directories(folder / "a");
  fs::create_directories(folder / "b");
  write_file(folder / "a/cert.pem", first_pair().certificate);
  write_file(folder / "a/key.pem", first_pair().key);
  write_file(folder / "b/cert.pem", second_pair().certificate);
  write_file(folder / "b/key.pem", second_pair().key);
  fs::create_symlink("a", folder / "live");
  files.api.tls_certificate = folder / "live/cert.pem";
  files.api.tls_key = folder / "live/key.pem";
  ApiServing serving(files.api);
  TlsClient old(serving.client());
  CHECK(old.common_name() == "first");
  fs::create_symlink("b", folder / "next");
  fs::rename(folder / "next", folder / "live");
  look(serving);
  CHECK(served_name(serving) == "second");
  exchange(old, kGet, plain_answer("GET / "));
}

TEST_CASE("a pair that is half written is taken when it is whole", "[dnsd][api]") {
  Files files;
  ApiServing serving(files.api);
  for (const std::string& certificate :
       {second_pair().certificate, std::string(), second_pair().certificate.substr(0, 200)}) {
    write_file(files.api.tls_certificate, certificate);
    for (int i = 0; i < 3; ++i) look(serving);
    CHECK(served_name(serving) == "first");
  }
  fs::remove(files.api.tls_certificate);
  look(serving);
  CHECK(served_name(serving) == "first");
  files.write(second_pair().certificate, second_pair().key);
  look(serving);
  CHECK(served_name(serving) == "second");
}

TEST_CASE("a reload reads the certificate at once, and an unusable one changes nothing", "[dnsd][api]") {
  Files files;
  ApiServing serving(files.api);
  files.write(first_pair().certificate, second_pair().key);
  conf::Api narrow = files.api;
  narrow.max_connections = 1;
  auto refused = serving.use(narrow);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == base::ErrorCode::Invalid);
  CHECK(refused.error().message.find("is not the key of the first certificate") != std::string::npos);
  TlsClient kept(serving.client());
  CHECK(served_name(serving) == "first");
  exchange(kept, kGet, plain_answer("GET / "));
  files.write(second_pair().certificate, second_pair().key);
  REQUIRE(serving.use(files.api));
  CHECK(served_name(serving) == "second");
  // Without names: plain HTTP.
  REQUIRE(serving.use({}));
  ClientSocket plain = serving.client();
  tests::exchange(plain, kGet, plain_answer("GET / "));
  exchange(kept, kGet, plain_answer("GET / "));
}

TEST_CASE("what is wrong with a certificate's files is said", "[dnsd][api]") {
  Files files;
  auto refusal = [&files](const std::string& certificate, const std::string& key) {
    files.write(certificate, key);
    TlsContext context;
    auto used = context.use(files.api.tls_certificate, files.api.tls_key);
    REQUIRE_FALSE(used);
    CHECK(context.get() == nullptr);
    INFO(used.error().message);
    CHECK(used.error().message.find('\n') == std::string::npos);
    return used.error().message;
  };
  const TestPair& good = first_pair();
  CHECK(refusal("", good.key).find("fullchain.pem\" has no certificate") != std::string::npos);
  CHECK(refusal(good.key, good.key).find("has no certificate") != std::string::npos);
  CHECK(refusal(good.certificate + good.certificate.substr(0, 300), good.key).find("certificate 2 cannot be read") !=
        std::string::npos);
  CHECK(refusal(good.certificate, "").find("privkey.pem\" has no private key") != std::string::npos);
  CHECK(refusal(good.certificate, good.locked_key).find("without a password") != std::string::npos);
  CHECK(refusal(good.certificate, good.certificate).find("has no private key") != std::string::npos);
  CHECK(refusal(good.certificate, second_pair().key).find("is not the key of") != std::string::npos);
  files.write(good.certificate, good.key);
  TlsContext context;
  REQUIRE(context.use(files.api.tls_certificate, files.api.tls_key));
  auto missing = context.use(files.api.tls_certificate + "x", files.api.tls_key);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == base::ErrorCode::NotFound);
  CHECK(missing.error().message.find("api.tls_certificate") != std::string::npos);
}

TEST_CASE("without its first certificate the API turns everybody away, until it is there", "[dnsd][api]") {
  Files files;
  fs::remove(files.api.tls_key);
  ApiServing serving(files.api);
  for (int i = 0; i < 2; ++i) {
    // Never plain HTTP either.
    ClientSocket early = serving.client();
    early.send(kGet);
    CHECK(early.receive().value_or("").empty());
    look(serving);
  }
  files.write(first_pair().certificate, second_pair().key);
  look(serving);
  CHECK(serving.client().receive().value_or("").empty());
  files.write(second_pair().certificate, second_pair().key);
  look(serving);
  CHECK(served_name(serving) == "second");
}

TEST_CASE("a loop that is stopped at once leaves nothing of its connections", "[dnsd][api]") {
  Files files;
  for (bool with_tls : {false, true}) {
    ApiServing serving(with_tls ? files.api : conf::Api());
    ClientSocket silent = serving.client(), begun = serving.client();
    begun.send(with_tls ? "\x16\x03" : "GET / HT");
    ClientSocket connected = serving.client();
    std::string request = "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n";
    std::optional<TlsClient> over_tls;
    if (with_tls) {
      over_tls.emplace(std::move(connected));
      over_tls->send(request);
    } else {
      connected.send(request);
    }
    serving.until([&] { return serving.echo.waiting == 1 && serving.server.connections() == 3; });
    serving.abandon();
    CHECK(serving.server.connections() == 3);
  }
}
