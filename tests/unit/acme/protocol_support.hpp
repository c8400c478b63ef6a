// What the tests of the protocol's verbs have in common.
#pragma once

#include <boost/json/parse.hpp>
#include <string>

#include "acme/protocol/session.hpp"
#include "base/encoding.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/mock_ca.hpp"

namespace countersign::tests {

template <class T>
T taken(base::Result<T> result) {
  if (!result) FAIL(result.error().message);
  return *std::move(result);
}

inline void taken(const base::Result<void>& result) {
  if (!result) FAIL(result.error().message);
}

// With a new key and an account of that CA.
inline acme::Session session_of(const MockCa& ca) {
  acme::HttpOptions options;
  options.timeout = std::chrono::milliseconds(500);
  auto session = taken(acme::Session::open(ca.url("/dir"), options));
  session.set_key(taken(acme::PrivateKey::generate(conf::KeyType::P256)));
  session.set_account(ca.url("/account/1"));
  return session;
}

inline bool says(const base::Error& error, const std::string& part) {
  INFO(error.message);
  CHECK(error.message.find(part) != std::string::npos);
  return error.message.find(part) != std::string::npos;
}

// A part of a JWS, decoded.
inline std::string jws_part(const boost::json::value& jws, const char* part) {
  auto octets = taken(base::base64url_decode(std::string(jws.at(part).as_string())));
  return std::string(base::as_text(octets));
}

inline boost::json::value jws_header(const boost::json::value& jws) {
  return boost::json::parse(jws_part(jws, "protected"));
}

inline boost::json::value jws_payload(const boost::json::value& jws) {
  return boost::json::parse(jws_part(jws, "payload"));
}

// The last request to that path, as a JWS.
inline boost::json::value last_jws(const MockCa& ca, const std::string& path) {
  boost::json::value found;
  for (const MockRequest& request : ca.server().requests())
    if (request.path == path) found = boost::json::parse(request.body);
  REQUIRE(found.is_object());
  return found;
}

}  // namespace countersign::tests
