// Publishes through the daemon's control socket and follows delegations through the configured resolver.
#pragma once

#include <future>
#include <memory>
#include <mutex>
#include <optional>

#include "acme/issue/publisher.hpp"
#include "conf/config.hpp"

namespace countersign::acme {

class DaemonPublisher final : public Publisher {
 public:
  explicit DaemonPublisher(const conf::Config& config);

  [[nodiscard]] base::Result<std::vector<Delegation>> locate(const std::vector<ChallengePlace>& places) override;
  [[nodiscard]] base::Result<void> publish(const std::vector<TxtValue>& values,
                                           std::optional<std::chrono::milliseconds> lifetime) override;
  [[nodiscard]] base::Result<std::vector<std::string>> await_visibility(const std::vector<TxtValue>& values,
                                                                        const std::vector<base::Name>& zones) override;
  [[nodiscard]] std::optional<QuestionLog::Mark> watch_questions() override;
  [[nodiscard]] bool await_questions(std::optional<QuestionLog::Mark> mark, std::set<base::Name>& unasked,
                                     std::chrono::milliseconds timeout) override;
  [[nodiscard]] std::vector<SeenQuery> questions(std::optional<QuestionLog::Mark> mark,
                                                 const base::Name& name) override;
  [[nodiscard]] bool sees_questions() override;
  [[nodiscard]] base::Result<void> withdraw(const std::vector<TxtValue>& values) override;

 private:
  using Log = std::shared_ptr<QuestionLog>;
  [[nodiscard]] std::vector<base::SocketAddress> listen_addresses();
  // Opens it in the background where there is none that follows.
  void begin_log();
  // nullptr: there is none.
  [[nodiscard]] Log log();

  std::filesystem::path socket_;
  std::string resolver_;
  Daemon daemon_;
  std::mutex mutex_;                                // guards the rest
  std::vector<base::SocketAddress> daemon_listen_;  // known after locate()
  std::shared_future<Log> log_;
};

}  // namespace countersign::acme
