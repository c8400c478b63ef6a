// Publishes through the daemon's control socket and follows delegations through the configured resolver.
#pragma once

#include <optional>

#include "acme/issue/publisher.hpp"
#include "conf/config.hpp"

namespace countersign::acme {

class DaemonPublisher final : public Publisher {
 public:
  explicit DaemonPublisher(const conf::Config& config);

  [[nodiscard]] base::Result<std::vector<Delegation>> locate(const std::vector<DnsIdentifier>& identifiers) override;
  [[nodiscard]] base::Result<void> publish(const std::vector<TxtValue>& values) override;
  [[nodiscard]] base::Result<std::vector<std::string>> await_visibility(const std::vector<TxtValue>& values,
                                                                        const std::vector<base::Name>& zones) override;
  void watch_questions() override;
  [[nodiscard]] std::vector<base::Name> await_questions(std::chrono::milliseconds timeout) override;
  [[nodiscard]] base::Result<void> withdraw(const std::vector<TxtValue>& values) override;

 private:
  std::filesystem::path socket_;
  std::string resolver_;
  Daemon daemon_;
  std::vector<base::SocketAddress> daemon_listen_;  // known after locate()
  std::optional<QueryStream> questions_;
};

}  // namespace countersign::acme
