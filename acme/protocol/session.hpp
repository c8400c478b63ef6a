// A conversation with one CA: its directory, the account that signs, the nonces, and signed requests in batches.
// Thread: requests from any; the key and the account are set before the session is shared.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "acme/protocol/directory.hpp"
#include "acme/protocol/nonces.hpp"
#include "acme/protocol/private_key.hpp"
#include "acme/transport/http.hpp"
#include "base/result.hpp"

namespace countersign::acme {

struct Problem;

// A signed request (RFC 8555 §6.2).
struct Post {
  enum class Signer { Account, BareKey };  // `kid`, or `jwk` for a key that has no account yet
  std::string url;
  std::string payload;  // "" = POST-as-GET (RFC 8555 §6.3)
  std::string what;     // "order", for messages
  std::string accept;   // "" = anything
  Signer signer = Signer::Account;
  std::size_t max_body = kMaxJson;  // octets of the answer
  Problem* problem = nullptr;       // where the CA's words go when it says no
};

class Session {
 public:
  // Fetches the directory. Errors: as fetch_directory(); Invalid for a URL that is not https.
  [[nodiscard]] static base::Result<Session> open(const std::string& directory_url, HttpOptions options);

  [[nodiscard]] const Directory& directory() const { return directory_; }
  // For what is not signed: RFC 9773.
  [[nodiscard]] HttpClient& http() { return http_; }
  void set_key(PrivateKey key) { key_ = std::move(key); }
  void set_account(std::string url) { account_url_ = std::move(url); }
  [[nodiscard]] const PrivateKey& key() const { return *key_; }
  [[nodiscard]] const std::string& account_url() const { return account_url_; }

  // Fetches `count` nonces, at once, at most kWindow. Only an optimisation: no error, no new try.
  void prefetch_nonces(std::size_t count);

  // Answers with a 2xx status, in the order of the requests. Refused nonces are retried with a fresh signature
  // (RFC 8555 §6.5), a busy CA (503, 429 with a short Retry-After) and broken connections a few times; newNonce alike.
  // Error per request: NotFound (accountDoesNotExist), Refused, Unavailable with the whole problem document; Protocol;
  // and what the transport says.
  [[nodiscard]] std::vector<base::Result<HttpResponse>> post(const std::vector<Post>& posts);
  [[nodiscard]] base::Result<HttpResponse> post(const Post& single);

  // Requests under way at once. Each needs a nonce, so more would cost more newNonce requests than they save time.
  static constexpr std::size_t kWindow = 16;

 private:
  struct Pending;
  struct Batch;
  Session(HttpClient http, Directory directory) : http_(std::move(http)), directory_(std::move(directory)) {}
  // One batch of newNonce requests; gives the first answer, which says why when no nonce came.
  [[nodiscard]] base::Result<HttpResponse> ask_for_nonces(std::size_t count, NoncePool& pool);
  // At least one, at most `count` (and kWindow): those that are there, else new ones.
  [[nodiscard]] base::Result<std::vector<std::string>> take_nonces(std::size_t count);
  void keep_nonce(const HttpResponse& answer);
  [[nodiscard]] base::Result<HttpRequest> sign(const Post& post, std::string nonce);
  void run_wave(Batch& batch);
  void settle(Batch& batch, const Pending& pending, base::Result<HttpResponse> answer);

  HttpClient http_;
  Directory directory_;
  std::unique_ptr<std::mutex> nonces_mutex_ = std::make_unique<std::mutex>();  // behind a pointer: a session can move
  NoncePool nonces_;
  std::optional<PrivateKey> key_;
  std::string account_url_;
};

}  // namespace countersign::acme
