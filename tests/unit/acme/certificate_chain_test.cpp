// What is read from a chain, and which of several is taken.
#include <openssl/err.h>

#include <set>

#include "acme/protocol/account.hpp"
#include "acme/protocol/authorization.hpp"
#include "acme/protocol/chain_choice.hpp"
#include "acme/protocol/csr.hpp"
#include "base/clock.hpp"
#include "tests/support/mock_ca.hpp"
#include "tests/support/pebble.hpp"
#include "tests/unit/acme/certificate_tools.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace std::chrono_literals;
using base::ErrorCode;
using tests::MockCa;
using tests::MockReply;
using tests::OpensslProgram;
using Names = std::vector<std::string>;

namespace {

template <class T>
T taken(base::Result<T> result) {
  if (!result) FAIL(result.error().message);
  return *std::move(result);
}

bool says(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
  return text.find(part) != std::string::npos;
}

// a.test's certificate below an intermediate that two roots have signed, as CAs do when they change their root.
struct CrossSigned {
  OpensslProgram openssl;
  std::string by_old, by_new;  // full chains, without the roots
  std::string long_chain;      // leaf, intermediate, new root as the old one signed it
  std::string other_leaf;

  CrossSigned() {
    openssl.root("old", "Old Root X1");
    openssl.root("new", "New Root X2");
    openssl.request("mid", "", "-subj '/CN=Middle R3'");
    std::string authority = "basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n";
    openssl.sign("mid", "mid", "old", authority, "-set_serial 1");
    openssl("x509 -in mid.pem -out mid-by-old.pem");
    openssl.sign("mid", "mid-by-new", "new", authority, "-set_serial 2");
    openssl("req -new -key new.key -subj '/CN=New Root X2' -out cross.csr");
    openssl.sign("cross", "cross", "old", authority, "-set_serial 3");
    openssl.request("a", "DNS:a.test");
    openssl.sign("a", "a", "mid", "subjectAltName=DNS:a.test", "-set_serial 4");
    openssl.request("b", "DNS:a.test");
    openssl.sign("b", "b", "mid", "subjectAltName=DNS:a.test", "-set_serial 5");
    by_old = openssl.file("a.pem") + openssl.file("mid-by-old.pem");
    by_new = openssl.file("a.pem") + openssl.file("mid-by-new.pem");
    long_chain = openssl.file("a.pem") + openssl.file("mid-by-new.pem") + openssl.file("cross.pem");
    other_leaf = openssl.file("b.pem") + openssl.file("mid-by-new.pem");
  }
};

const CrossSigned& cross_signed() {
  static const CrossSigned kChains;
  return kChains;
}

MockReply chain_reply(const std::string& pem) {
  return {200, {{"Content-Type", "application/pem-certificate-chain"}}, pem};
}

// A CA that offers these chains: the first by default, the others as alternates.
struct ChainCa {
  MockCa ca;
  Order order;

  explicit ChainCa(const std::vector<MockReply>& chains) {
    for (std::size_t i = 0; i < chains.size(); ++i) ca.reply("/chain/" + std::to_string(i), chains[i]);
    MockReply first = chains.front();
    for (std::size_t i = 1; i < chains.size(); ++i)
      first.headers.emplace_back("Link", fmt::format("<{}>;rel=\"alternate\"", url(i)));
    ca.reply("/chain/0", first);
    order.certificate = url(0);
  }
  [[nodiscard]] std::string url(std::size_t i) const { return ca.url("/chain/" + std::to_string(i)); }
  [[nodiscard]] std::size_t fetched(std::size_t i) const { return ca.server().count("/chain/" + std::to_string(i)); }

  base::Result<ChosenChain> choose(const std::string& preferred) const {
    HttpOptions options;
    options.timeout = 2s;
    auto session = taken(Session::open(ca.url("/dir"), options));
    session.set_key(*PrivateKey::generate(conf::KeyType::P256));
    session.set_account(ca.url("/account/1"));
    return fetch_chain(session, order, preferred);
  }
};

Order issue_at(Session& session, const PrivateKey& key) {
  session.set_key(taken(PrivateKey::generate(conf::KeyType::P256)));
  taken(new_account(session, {{}, Terms::Agreed, {}}));
  NewOrder wanted;
  wanted.names = {"a.test"};
  Order order = taken(new_order(session, wanted));
  Names urls;
  for (const Authorization& authorization : taken(fetch_authorizations(session, order.authorizations)))
    urls.push_back(authorization.find("dns-01")->url);
  for (auto& triggered : trigger_challenges(session, urls)) REQUIRE(triggered);
  for (int i = 0; i < 500 && order.status != OrderStatus::Ready; ++i) order = taken(fetch_order(session, order.url));
  order = taken(finalize_order(session, order, taken(make_csr(key, {"a.test"}))));
  for (int i = 0; i < 500 && order.status != OrderStatus::Valid; ++i) order = taken(fetch_order(session, order.url));
  REQUIRE(order.status == OrderStatus::Valid);
  return order;
}

}  // namespace

TEST_CASE("a certificate's identifier is RFC 9773's own example", "[acme]") {
  OpensslProgram openssl;
  openssl.root("ca", "CA", "-addext subjectKeyIdentifier=69:88:5B:6B:87:46:40:41:E1:B3:7B:84:7B:A0:AE:2C:DE:01:C8:D4");
  openssl.request("a", "DNS:example.com");
  openssl.sign("a", "a", "ca", "authorityKeyIdentifier=keyid\nsubjectAltName=DNS:example.com",
               "-set_serial 0x87654321");
  auto chain = taken(CertificateChain::parse(openssl.file("a.pem"), "x"));
  REQUIRE(chain.ari_id() == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
  REQUIRE(chain.serial() == "87654321");
  // No sign octet where the highest bit is clear; no member without the issuer's key identifier.
  openssl.sign("a", "a", "ca", "authorityKeyIdentifier=keyid", "-set_serial 0x7F");
  REQUIRE(taken(CertificateChain::parse(openssl.file("a.pem"), "x")).ari_id() == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.fw");
  openssl.sign("a", "a", "ca", "authorityKeyIdentifier=none", "-set_serial 0x7F");
  REQUIRE(taken(CertificateChain::parse(openssl.file("a.pem"), "x")).ari_id().empty());
  openssl.sign("a", "a", "ca", "authorityKeyIdentifier=issuer:always", "-set_serial 0x7F");
  auto without_key = taken(CertificateChain::parse(openssl.file("a.pem"), "x")).ari_id();
  REQUIRE((without_key.empty() || without_key.starts_with("aYhba4dGQEHhs3uEe6CuLN4ByNQ.")));
}

TEST_CASE("a chain tells each certificate's issuer and its leaf as DER", "[acme]") {
  const CrossSigned& chains = cross_signed();
  chains.openssl("x509 -in a.pem -outform DER -out a.der");
  auto chain = taken(CertificateChain::parse(chains.long_chain, "x"));
  REQUIRE(chain.issuers() == Names{"Middle R3", "New Root X2", "Old Root X1"});
  REQUIRE(chain.issuer() == "Middle R3");
  REQUIRE(chain.leaf_der() == chains.openssl.file("a.der"));
  // An issuer without a common name is shown as a whole, a hostile one harmless.
  const OpensslProgram& openssl = chains.openssl;
  openssl("req -x509 -key a.key -days 2 -subj '/O=Some CA/C=XX' -out o.pem");
  REQUIRE(taken(CertificateChain::parse(openssl.file("o.pem"), "x")).issuer() == "C=XX,O=Some CA");
  openssl("req -x509 -utf8 -key a.key -days 2 -subj \"$(printf '/CN=a\\033[2Jb')\" -out o.pem");
  REQUIRE(taken(CertificateChain::parse(openssl.file("o.pem"), "x")).issuer() == "a?[2Jb");
}

TEST_CASE("a chain is checked against a key of ours and a key in a request", "[acme]") {
  const CrossSigned& chains = cross_signed();
  auto chain = taken(CertificateChain::parse(chains.long_chain, "x"));
  auto key = taken(PrivateKey::from_pem(chains.openssl.file("a.key")));
  auto request = taken(read_csr(chains.openssl.file("a.csr"), "x"));
  auto now = base::SystemClock().wall();
  REQUIRE(chain.is_for(key.public_key()));
  REQUIRE(chain.check(request.public_key, request.names, now));
  auto other = taken(read_csr(chains.openssl.file("b.csr"), "x"));
  REQUIRE(says(chain.check(other.public_key, other.names, now).error().message, "another key"));
  for (const std::string& garbage : {std::string(), std::string("x"), request.public_key.substr(1)})
    REQUIRE_FALSE(chain.is_for(garbage));
  // A chain in the wrong order.
  auto mixed = taken(CertificateChain::parse(
      chains.openssl.file("a.pem") + chains.openssl.file("cross.pem") + chains.openssl.file("mid-by-new.pem"), "x"));
  REQUIRE(says(mixed.check(request.public_key, request.names, now).error().message, "not signed by the next"));
  // An issuer of the right name with another key.
  chains.openssl.root("false", "Middle R3");
  auto forged = taken(CertificateChain::parse(chains.openssl.file("a.pem") + chains.openssl.file("false.pem"), "x"));
  REQUIRE(says(forged.check(request.public_key, request.names, now).error().message, "not signed by the next"));
}

TEST_CASE("a certificate for more than the ordered names is refused", "[acme]") {
  OpensslProgram openssl;
  openssl.root("ca", "CA");
  openssl.request("a", "DNS:a.test");
  auto key = taken(PrivateKey::from_pem(openssl.file("a.key")));
  auto now = base::SystemClock().wall();
  auto checked = [&](const std::string& names) {
    openssl.sign("a", "a", "ca", "subjectAltName=" + names);
    return taken(CertificateChain::parse(openssl.file("a.pem"), "x")).check(key.public_key(), {"a.test"}, now);
  };
  REQUIRE(checked("DNS:a.test"));
  for (const char* other : {"IP:192.0.2.1", "email:root@a.test", "URI:https://a.test/", "RID:1.2.3.4"})
    REQUIRE(says(checked(fmt::format("DNS:a.test,{}", other)).error().message, "no domain names"));
  REQUIRE(says(checked("DNS:a.test,DNS:b.test").error().message, "\"a.test b.test\""));
}

TEST_CASE("names that cannot be read leave no error behind for the next one", "[acme]") {
  OpensslProgram openssl;
  openssl.root("ca", "CA");
  openssl.request("a", "DNS:a.test");
  openssl.sign("a", "a", "ca", "subjectAltName=DER:30:05:82:7F:61");
  auto chain = taken(CertificateChain::parse(openssl.file("a.pem"), "x"));
  ERR_clear_error();
  REQUIRE(chain.names().empty());
  REQUIRE(ERR_peek_error() == 0);
  auto key = taken(PrivateKey::from_pem(openssl.file("a.key")));
  REQUIRE_FALSE(chain.check(key.public_key(), {"a.test"}, base::SystemClock().wall()));
  REQUIRE(ERR_peek_error() == 0);
}

TEST_CASE("two certificates of one key are known as such", "[acme]") {
  const CrossSigned& chains = cross_signed();
  auto first = taken(CertificateChain::parse(chains.by_old, "x"));
  REQUIRE(first.has_key_of(taken(CertificateChain::parse(chains.long_chain, "x"))));
  REQUIRE_FALSE(first.has_key_of(taken(CertificateChain::parse(chains.other_leaf, "x"))));
}

TEST_CASE("the default chain is taken unless another is preferred", "[acme]") {
  const CrossSigned& chains = cross_signed();
  ChainCa ca({chain_reply(chains.by_old), chain_reply(chains.by_new)});
  auto chosen = taken(ca.choose(""));
  REQUIRE(chosen.chain.issuers().back() == "Old Root X1");
  REQUIRE(chosen.warning.empty());
  chosen = taken(ca.choose("old root x1"));
  REQUIRE(chosen.chain.issuers().back() == "Old Root X1");
  REQUIRE(ca.fetched(1) == 0);  // no request that is not needed
  chosen = taken(ca.choose("NEW ROOT X2"));
  REQUIRE(chosen.chain.full_pem() == taken(CertificateChain::parse(chains.by_new, "x")).full_pem());
  REQUIRE(chosen.warning.empty());
  REQUIRE(ca.fetched(1) == 1);
}

TEST_CASE("an issuer at the top of a chain goes before one further down, a whole name before a part", "[acme]") {
  const CrossSigned& chains = cross_signed();
  auto top = [](const base::Result<ChosenChain>& chosen) {
    if (!chosen) FAIL(chosen.error().message);
    CHECK(chosen->warning.empty());
    return chosen->chain.issuers().back();
  };
  ChainCa long_first({chain_reply(chains.long_chain), chain_reply(chains.by_new)});
  REQUIRE(top(long_first.choose("New Root X2")) == "New Root X2");
  ChainCa long_only({chain_reply(chains.by_old), chain_reply(chains.long_chain)});
  REQUIRE(top(long_only.choose("New Root X2")) == "Old Root X1");  // the long chain, which has it
  REQUIRE(taken(long_only.choose("New Root X2")).chain.issuers().size() == 3);
  // Among equals the CA's order decides.
  REQUIRE(taken(long_only.choose("Middle R3")).chain.issuers().size() == 2);
  REQUIRE(top(long_first.choose("new root")) == "New Root X2");
  ChainCa either({chain_reply(chains.by_old), chain_reply(chains.by_new)});
  REQUIRE(top(either.choose("Root")) == "Old Root X1");
  REQUIRE(top(either.choose("x2")) == "New Root X2");
}

TEST_CASE("a preference that no chain fulfils takes the default and says what there is", "[acme]") {
  const CrossSigned& chains = cross_signed();
  ChainCa ca({chain_reply(chains.by_old), chain_reply(chains.by_new)});
  auto chosen = taken(ca.choose("Third\x1bRoot"));
  REQUIRE(chosen.chain.issuers().back() == "Old Root X1");
  REQUIRE(says(chosen.warning, "\"Third?Root\""));
  REQUIRE(says(chosen.warning, "\"Old Root X1\", \"New Root X2\""));
  ChainCa alone({chain_reply(chains.by_old)});
  REQUIRE(says(taken(alone.choose("New Root X2")).warning, "\"Old Root X1\""));
}

TEST_CASE("an alternate chain that cannot be used is left out by name, and hides no other", "[acme]") {
  const CrossSigned& chains = cross_signed();
  struct Bad {
    MockReply reply;
    const char* part;
  };
  MockReply cut = chain_reply(chains.by_new.substr(0, chains.by_new.size() / 2));
  cut.fault = MockReply::Fault::CutBodyShort;
  for (const Bad& bad :
       {Bad{{404, {}, "no"}, "404"}, Bad{cut, "chain/1"},
        Bad{chain_reply(chains.other_leaf), "another certificate than"},
        Bad{chain_reply("garbage"), "something else than PEM"}, Bad{chain_reply(""), "no certificate"},
        Bad{chain_reply(chains.openssl.file("a.pem") + chains.openssl.file("new.pem")), "not signed by the next"},
        Bad{chain_reply(chains.by_new.substr(0, chains.by_new.size() / 2)), "PEM"},
        Bad{chain_reply(chains.by_new + chains.openssl.file("new.key")), "something else than PEM"},
        Bad{{200, {{"Content-Type", "text/html"}}, "<html>"}, "text/html"}}) {
    ChainCa ca({chain_reply(chains.by_old), bad.reply, chain_reply(chains.by_new)});
    auto chosen = taken(ca.choose("New Root X2"));
    REQUIRE(chosen.chain.issuers().back() == "New Root X2");
    REQUIRE(says(chosen.warning, bad.part));
    REQUIRE(says(chosen.warning, ca.url(1)));
    chosen = taken(ca.choose(""));
    REQUIRE(chosen.warning.empty());
    // The only one that would do.
    ChainCa alone({chain_reply(chains.by_old), bad.reply});
    chosen = taken(alone.choose("New Root X2"));
    REQUIRE(chosen.chain.issuers().back() == "Old Root X1");
    REQUIRE(says(chosen.warning, bad.part));
    REQUIRE(says(chosen.warning, "no chain of this CA"));
  }
}

TEST_CASE("a default chain that cannot be read is an error, whatever is preferred", "[acme]") {
  const CrossSigned& chains = cross_signed();
  for (const char* preferred : {"", "New Root X2"}) {
    ChainCa garbage({chain_reply("garbage"), chain_reply(chains.by_new)});
    REQUIRE(garbage.choose(preferred).error().code == ErrorCode::Protocol);
    REQUIRE(says(garbage.choose(preferred).error().message, garbage.url(0)));
    ChainCa gone({{404, {}, "gone"}, chain_reply(chains.by_new)});
    REQUIRE_FALSE(gone.choose(preferred));
  }
}

TEST_CASE("a chain with an alternate elsewhere is not followed there", "[acme]") {
  const CrossSigned& chains = cross_signed();
  MockReply first = chain_reply(chains.by_old);
  for (const char* link : {"<http://192.0.2.1/chain>;rel=\"alternate\"", "<file:///etc/passwd>;rel=\"alternate\"",
                           "<>;rel=\"alternate\"", "broken;rel=\"alternate\""})
    first.headers.emplace_back("Link", link);
  ChainCa ca({first});
  auto chosen = taken(ca.choose("New Root X2"));
  REQUIRE(chosen.chain.issuers().back() == "Old Root X1");
  REQUIRE(says(chosen.warning, "no chain of this CA"));
}

TEST_CASE("Pebble's alternate roots can be preferred by name", "[acme]") {
  tests::Pebble pebble(tests::Environment{{"PEBBLE_ALTERNATE_ROOTS", "2"}, {"PEBBLE_CHAIN_LENGTH", "3"}});
  HttpOptions options;
  options.ca_bundle = pebble.ca_file();
  auto session = taken(Session::open(pebble.directory_url(), options));
  auto key = taken(PrivateKey::generate(conf::KeyType::P256));
  Order order = issue_at(session, key);
  auto download = taken(fetch_certificate(session, order.certificate));
  REQUIRE(download.alternates.size() == 2);
  auto standard = taken(CertificateChain::parse(download.pem, "x"));
  std::set<std::string> tops{standard.issuers().back()};
  for (auto& alternate : fetch_certificates(session, download.alternates)) {
    auto chain = taken(CertificateChain::parse(taken(std::move(alternate)).pem, "x"));
    REQUIRE(chain.leaf_der() == standard.leaf_der());
    tops.insert(chain.issuers().back());
  }
  REQUIRE(tops.size() == 3);
  for (const std::string& top : tops) {
    auto chosen = taken(fetch_chain(session, order, top));
    REQUIRE(chosen.chain.issuers().back() == top);
    REQUIRE(chosen.warning.empty());
    REQUIRE(chosen.chain.check(key.public_key(), {"a.test"}, base::SystemClock().wall()));
  }
  auto none = taken(fetch_chain(session, order, "No Such Root"));
  REQUIRE(none.chain.full_pem() == standard.full_pem());
  for (const std::string& top : tops) REQUIRE(says(none.warning, top));
}
