// A mock CA that goes through an order for a.test by itself; a test breaks the step it is about.
#pragma once

#include <boost/json/parse.hpp>
#include <string>

#include "acme/issue/issue.hpp"
#include "acme/protocol/openssl.hpp"
#include "base/encoding.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/mock_ca.hpp"

namespace countersign::tests {

struct OrderCa : MockCa {
  std::string order = "pending", authorization = "pending", challenge = "pending";
  std::vector<std::string> requests;  // the CSRs that came, DER

  OrderCa() {
    auto located = [this](const char* path, std::string body) {
      MockReply reply = json(201, std::move(body));
      reply.headers.emplace_back("Location", url(path));
      return reply;
    };
    replies["/account"] = [=](const MockRequest&) { return located("/account/1", R"({"status":"valid"})"); };
    replies["/order"] = [this, located](const MockRequest&) {
      if (order == "valid") order = challenge = "pending";
      return located("/order/1", order_body(order));
    };
    replies["/order/1"] = [this](const MockRequest&) {
      return json(200, order_body(order, fmt::format(R"(,"certificate":"{}")", url("/certificate"))));
    };
    replies["/authz"] = [this](const MockRequest&) {
      return json(200, fmt::format(R"({{"status":"{}","identifier":{{"type":"dns","value":"a.test"}},"challenges":[)"
                                   R"({{"type":"dns-01","url":"{}","token":"abc","status":"{}"}}]}})",
                                   authorization, url("/challenge"), challenge));
    };
    replies["/challenge"] = [this](const MockRequest&) {
      order = "ready";
      challenge = "valid";
      return json(200, "{}");
    };
    replies["/finalize"] = [this](const MockRequest& request) {
      take_request(request);
      order = "valid";
      return json(200, order_body("processing"));
    };
  }

  void take_request(const MockRequest& request) {
    auto member = [](const std::string& object, const char* name) {
      auto octets = base::base64url_decode(std::string(boost::json::parse(object).at(name).as_string()));
      return std::string(base::as_text(*octets));
    };
    requests.push_back(member(member(request.body, "payload"), "csr"));
  }
  // From here on it has a certificate for the last request.
  void issue_certificates() {
    replies["/certificate"] = [this](const MockRequest&) {
      return MockReply{200, {{"Content-Type", "application/pem-certificate-chain"}}, certificate()};
    };
  }

 private:
  [[nodiscard]] std::string certificate() const {
    const unsigned char* at = acme::octets_of(requests.back());
    acme::CertificateRequest request(d2i_X509_REQ(nullptr, &at, static_cast<long>(requests.back().size())));
    acme::PKey ca_key(EVP_EC_gen("P-256"));
    acme::Certificate certificate(X509_new());
    X509* raw = certificate.get();
    X509_set_version(raw, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(raw), 7);
    X509_gmtime_adj(X509_getm_notBefore(raw), -60);
    X509_gmtime_adj(X509_getm_notAfter(raw), 90L * 86'400);
    X509_set_pubkey(raw, X509_REQ_get0_pubkey(request.get()));
    X509_NAME_add_entry_by_txt(X509_get_issuer_name(raw), "CN", MBSTRING_UTF8, acme::octets_of("Mock\nCA"), -1, -1, 0);
    X509_EXTENSION* names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:a.test");
    X509_add_ext(raw, names, -1);
    X509_EXTENSION_free(names);
    X509_sign(raw, ca_key.get(), EVP_sha256());
    acme::Bio bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(bio.get(), raw);
    return acme::bio_text(bio);
  }
};

inline bool fails_with(const base::Result<acme::IssueOutcome>& result, base::ErrorCode code, const std::string& part) {
  if (result) FAIL("issued");
  INFO(result.error().message);
  CHECK(result.error().code == code);
  CHECK(result.error().message.find(part) != std::string::npos);
  return true;
}

}  // namespace countersign::tests
