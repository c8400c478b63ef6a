// Publishes through a remote daemon's HTTP API, `POST /present` and `POST /cleanup`, with a registration's credentials.
#pragma once

#include <memory>
#include <string>

#include "acme/issue/credentials.hpp"
#include "acme/issue/publisher.hpp"
#include "acme/transport/http.hpp"
#include "conf/config.hpp"

namespace countersign::acme {

class RemotePublisher final : public Publisher {
 public:
  // `server`: https://HOST[:PORT][/PREFIX] (http on loopback only). acme.ca_bundle is trusted for it too. Error: Usage
  // (server or credentials are unusable).
  [[nodiscard]] static base::Result<std::unique_ptr<RemotePublisher>> open(const conf::Acme& acme,
                                                                           const std::string& server,
                                                                           const std::string& credentials_file);

  // The chain of each name must end at its registration's fulldomain; the remedy is the CNAME that is missing.
  [[nodiscard]] base::Result<std::vector<Delegation>> locate(const std::vector<ChallengePlace>& places) override;
  // Error: Usage for a `lifetime`, which the API does not know; Denied (the credentials), Full, Unavailable (busy for
  // longer than is waited for), and as of HttpClient.
  [[nodiscard]] base::Result<void> publish(const std::vector<TxtValue>& values,
                                           std::optional<std::chrono::milliseconds> lifetime) override;
  // That no name server can be asked from here is a warning: the remote daemon has said that it serves the values.
  [[nodiscard]] base::Result<std::vector<std::string>> await_visibility(const std::vector<TxtValue>& values,
                                                                        const std::vector<base::Name>& zones) override;
  [[nodiscard]] std::optional<QuestionLog::Mark> watch_questions() override;
  [[nodiscard]] bool await_questions(std::optional<QuestionLog::Mark> mark, std::set<base::Name>& unasked,
                                     std::chrono::milliseconds timeout) override;
  [[nodiscard]] std::vector<SeenQuery> questions(std::optional<QuestionLog::Mark> mark,
                                                 const base::Name& name) override;
  [[nodiscard]] bool sees_questions() override { return false; }
  [[nodiscard]] base::Result<void> withdraw(const std::vector<TxtValue>& values) override;

 private:
  RemotePublisher(std::string server, const conf::Acme& acme, Credentials credentials, HttpClient http);
  [[nodiscard]] base::Result<void> change(const std::string& endpoint, const std::vector<TxtValue>& values);

  std::string server_;  // without a final slash
  std::string origin_;  // for messages
  std::string resolver_;
  Credentials credentials_;
  HttpClient http_;
};

}  // namespace countersign::acme
