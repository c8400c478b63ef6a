#include "acme/issue/publishers.hpp"

#include "acme/issue/daemon_publisher.hpp"
#include "acme/issue/remote_publisher.hpp"

namespace countersign::acme {

base::Result<Publisher*> Publishers::find(const IssueOptions& options) {
  if (options.server.empty() != options.credentials.empty())
    return base::fail(base::ErrorCode::Usage,
                      "a server needs credentials, and credentials a server: give both --server "
                      "and --credentials, or neither");
  std::lock_guard lock(mutex_);
  auto& publisher = known_[{options.server, options.credentials}];
  if (publisher) return publisher.get();
  if (options.server.empty()) {
    publisher = std::make_unique<DaemonPublisher>(config_);
    return publisher.get();
  }
  auto remote = RemotePublisher::open(config_.acme, options.server, options.credentials);
  if (!remote) return base::fail(remote.error());
  publisher = *std::move(remote);
  return publisher.get();
}

}  // namespace countersign::acme
