// The publishers of one run of the program: the daemon here, and each remote one that a certificate names. Thread: any.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "acme/issue/options.hpp"
#include "acme/issue/publisher.hpp"
#include "base/result.hpp"
#include "conf/config.hpp"

namespace countersign::acme {

class Publishers {
 public:
  explicit Publishers(const conf::Config& config) : config_(config) {}

  // Lives as long as this. Error: Usage (an unusable `server` or `credentials`).
  [[nodiscard]] base::Result<Publisher*> find(const IssueOptions& options);

 private:
  const conf::Config& config_;
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Publisher>> known_;  // by server and credentials
};

}  // namespace countersign::acme
