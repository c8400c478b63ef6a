// An issuance at Pebble, verb by verb.
#pragma once

#include <string>
#include <vector>

#include "acme/protocol/account.hpp"
#include "acme/protocol/authorization.hpp"
#include "acme/protocol/certificate.hpp"
#include "acme/protocol/csr.hpp"
#include "acme/protocol/order.hpp"
#include "acme/protocol/session.hpp"
#include "tests/support/pebble.hpp"
#include "tests/unit/acme/protocol_support.hpp"

namespace countersign::tests {

using acme::CertificateChain;
using acme::Order;
using acme::PrivateKey;
using acme::Session;

inline Session open_session(const Pebble& pebble) {
  acme::HttpOptions options;
  options.ca_bundle = pebble.ca_file();
  auto session = Session::open(pebble.directory_url(), options);
  if (!session) INFO(session.error().message);
  REQUIRE(session);
  return *std::move(session);
}

inline void use_new_account(Session& session, conf::KeyType type = conf::KeyType::P256) {
  session.set_key(taken(PrivateKey::generate(type)));
  taken(new_account(session, {.contact = {"mailto:admin@example.test"}, .terms = acme::Terms::Agreed}));
}

inline Order poll(Session& session, Order order, acme::OrderStatus wanted) {
  for (int i = 0; i < 500 && order.status != wanted; ++i) {
    REQUIRE(order.status != acme::OrderStatus::Invalid);
    order = taken(fetch_order(session, order.url));
  }
  REQUIRE(order.status == wanted);
  return order;
}

inline std::vector<std::string> dns_challenges(Session& session, const Order& order) {
  std::vector<std::string> urls;
  for (const acme::Authorization& authorization : taken(fetch_authorizations(session, order.authorizations))) {
    // Pebble reuses one now and then, even where it is told not to.
    if (authorization.status == acme::AuthorizationStatus::Valid) continue;
    const acme::Challenge* challenge = authorization.find("dns-01");
    REQUIRE(challenge != nullptr);
    REQUIRE(acme::key_authorization(challenge->token, "t"));
    urls.push_back(challenge->url);
  }
  return urls;
}

inline CertificateChain obtain(Session& session, const acme::NewOrder& wanted, const PrivateKey& key) {
  Order order = taken(new_order(session, wanted));
  for (auto& triggered : trigger_challenges(session, dns_challenges(session, order))) REQUIRE(triggered);
  order = poll(session, order, acme::OrderStatus::Ready);
  order = taken(finalize_order(session, order, taken(make_csr(key, wanted.names))));
  order = poll(session, order, acme::OrderStatus::Valid);
  return taken(CertificateChain::parse(taken(fetch_certificate(session, order.certificate)).pem, order.certificate));
}

}  // namespace countersign::tests
