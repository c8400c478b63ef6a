// A CA that has one account at most, knows its key, and takes only what that key signed.
#pragma once

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <boost/json.hpp>
#include <functional>
#include <string>
#include <vector>

#include "acme/protocol/private_key.hpp"
#include "base/encoding.hpp"
#include "base/files.hpp"
#include "tests/support/mock_ca.hpp"

namespace countersign::tests {

inline std::string decoded(const boost::json::object& object, const char* member) {
  auto octets = base::base64url_decode(object.at(member).as_string());
  return octets ? std::string(base::as_text(*octets)) : std::string();
}

// r and s side by side (RFC 7518 §3.4) as OpenSSL takes them.
inline std::string der_signature(const std::string& raw) {
  const auto* octets = reinterpret_cast<const unsigned char*>(raw.data());
  int half = static_cast<int>(raw.size() / 2);
  ECDSA_SIG* signature = ECDSA_SIG_new();
  ECDSA_SIG_set0(signature, BN_bin2bn(octets, half, nullptr), BN_bin2bn(octets + half, half, nullptr));
  unsigned char* der = nullptr;
  int length = i2d_ECDSA_SIG(signature, &der);
  std::string out(reinterpret_cast<const char*>(der), static_cast<std::size_t>(length));
  OPENSSL_free(der);
  ECDSA_SIG_free(signature);
  return out;
}

// ES256 or RS256 (RFC 7518 §3) of a flattened JWS; `public_key`: SubjectPublicKeyInfo.
inline bool is_signed_by(const std::string& body, const std::string& public_key) {
  boost::json::object jws = boost::json::parse(body).as_object();
  std::string signature = decoded(jws, "signature");
  std::string data = std::string(jws.at("protected").as_string()) + "." + std::string(jws.at("payload").as_string());
  const auto* der = reinterpret_cast<const unsigned char*>(public_key.data());
  EVP_PKEY* key = d2i_PUBKEY(nullptr, &der, static_cast<long>(public_key.size()));
  if (key == nullptr) return false;
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC) signature = der_signature(signature);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  bool good = EVP_DigestVerifyInit(context, nullptr, EVP_sha256(), nullptr, key) == 1 &&
              EVP_DigestVerify(context, reinterpret_cast<const unsigned char*>(signature.data()), signature.size(),
                               reinterpret_cast<const unsigned char*>(data.data()), data.size()) == 1;
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(key);
  return good;
}

// P-256 and RSA keys.
class AccountCa : public MockCa {
 public:
  enum class KeyChange { Take, SayYesAndKeep, Refuse, TakeAndCutOff, TakeAndFail, KeepAndFail };

  // `folder`: of the client's account, where the new key must be before the CA hears of it.
  explicit AccountCa(std::string meta = "") {
    replies["/dir"] = [this, meta](const MockRequest&) {
      return json(200, fmt::format(R"({{"newNonce":"{0}/nonce","newAccount":"{0}/account","newOrder":"{0}/order",)"
                                   R"("keyChange":"{0}/key","revokeCert":"{0}/revoke","meta":{{{1}}}}})",
                                   url(""), meta));
    };
    replies["/account"] = [this](const MockRequest& request) { return new_account(request); };
    replies["/me"] = [this](const MockRequest& request) { return account(request); };
    replies["/key"] = [this](const MockRequest& request) { return change_key(request); };
  }

  // What the CA knows; "" = no account.
  std::string public_key;
  std::string status = "valid";
  std::string contact = "[]";
  KeyChange key_change = KeyChange::Take;
  bool broken = false;  // everything about the account is a 500
  std::string folder;
  std::vector<boost::json::object> new_accounts;  // payloads

 private:
  MockReply account_reply(int code) const {
    MockReply reply =
        json(code, fmt::format(R"({{"status":"{}","contact":{},"orders":"{}"}})", status, contact, url("/orders")));
    reply.headers.emplace_back("Location", url("/me"));
    return reply;
  }

  // The public keys of the client's files: the mock needs no JWK parser.
  [[nodiscard]] std::string signer(const MockRequest& request) const {
    for (const char* file : {"/key.pem.next", "/key.pem"}) {
      auto pem = base::read_file(folder + file);
      if (!pem) continue;
      std::string key = acme::PrivateKey::from_pem(*pem)->public_key();
      if (is_signed_by(request.body, key)) return key;
    }
    return "";
  }

  MockReply new_account(const MockRequest& request) {
    if (broken) return {500, {}, "<html>down</html>"};
    boost::json::object payload =
        boost::json::parse(decoded(boost::json::parse(request.body).as_object(), "payload")).as_object();
    new_accounts.push_back(payload);
    if (!public_key.empty() && is_signed_by(request.body, public_key)) return account_reply(200);
    if (payload.contains("onlyReturnExisting")) return problem(400, "accountDoesNotExist", "never seen");
    public_key = signer(request);
    status = "valid";
    contact = payload.contains("contact") ? boost::json::serialize(payload.at("contact")) : "[]";
    return account_reply(201);
  }

  MockReply account(const MockRequest& request) {
    if (broken) return {500, {}, "<html>down</html>"};
    if (public_key.empty()) return problem(400, "accountDoesNotExist", "no such account");
    if (!is_signed_by(request.body, public_key)) return problem(400, "malformed", "JWS verification error");
    if (status != "valid") return problem(403, "unauthorized", "account is " + status);
    std::string text = decoded(boost::json::parse(request.body).as_object(), "payload");
    if (!text.empty()) {
      boost::json::object payload = boost::json::parse(text).as_object();
      if (payload.contains("contact")) contact = boost::json::serialize(payload.at("contact"));
      if (payload.contains("status")) status = payload.at("status").as_string().c_str();
    }
    return account_reply(200);
  }

  MockReply change_key(const MockRequest& request) {
    if (!is_signed_by(request.body, public_key)) return problem(400, "malformed", "JWS verification error");
    auto next = base::read_file(folder + "/key.pem.next");
    if (!next) return problem(500, "serverInternal", "the new key is not on the client's disk");
    std::string next_key = acme::PrivateKey::from_pem(*next)->public_key();
    std::string inner = decoded(boost::json::parse(request.body).as_object(), "payload");
    if (!is_signed_by(inner, next_key)) return problem(400, "malformed", "inner JWS verification error");
    switch (key_change) {
      case KeyChange::Take:
        public_key = next_key;
        return account_reply(200);
      case KeyChange::SayYesAndKeep:
        return {200, {}, ""};
      case KeyChange::Refuse:
        return problem(403, "unauthorized", "not today");
      case KeyChange::TakeAndCutOff:
        public_key = next_key;
        return {200, {}, "", MockReply::Fault::CloseWithoutAnswer};
      case KeyChange::TakeAndFail:
        public_key = next_key;
        broken = true;
        return problem(403, "unauthorized", "a confused CA");
      case KeyChange::KeepAndFail:
        broken = true;
        return problem(403, "unauthorized", "a confused CA");
    }
    return {500, {}, ""};
  }
};

}  // namespace countersign::tests
