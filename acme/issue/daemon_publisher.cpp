#include "acme/issue/daemon_publisher.hpp"

#include "acme/check/fence.hpp"
#include "acme/transport/interrupt.hpp"

namespace countersign::acme {
namespace {

using base::fail;
using base::Result;

// Our own servers show a value the moment it is acknowledged; a secondary of another make gets this long.
constexpr std::chrono::milliseconds kFencePatience{5'000};

}  // namespace

DaemonPublisher::DaemonPublisher(const conf::Config& config)
    : socket_(config.control_socket), resolver_(config.acme.resolver), daemon_(config.control_socket) {}

Result<std::vector<Delegation>> DaemonPublisher::locate(const std::vector<DnsIdentifier>& identifiers) {
  auto status = daemon_.status();
  if (!status) return fail(status.error());
  daemon_listen_ = status->listen;
  auto resolvers = resolver_addresses(resolver_);
  if (!resolvers) return fail(resolvers.error());
  std::vector<base::Name> zones;
  for (const ServedZone& zone : status->zones) zones.push_back(zone.name);
  return follow_delegations(identifiers, zones, *resolvers, daemon_listen_);
}

Result<void> DaemonPublisher::publish(const std::vector<TxtValue>& values) {
  return daemon_.add(values, std::nullopt);
}

Result<std::vector<std::string>> DaemonPublisher::await_visibility(const std::vector<TxtValue>& values,
                                                                   const std::vector<base::Name>& zones) {
  auto resolvers = resolver_addresses(resolver_);
  if (!resolvers) return fail(resolvers.error());
  return acme::await_visibility(values, zones, *resolvers, daemon_listen_, kFencePatience).map([](FenceReport report) {
    return std::move(report.warnings);
  });
}

void DaemonPublisher::watch_questions() {
  auto opened = QueryStream::open(socket_);
  // Only a hint: without it the client polls by the clock.
  if (opened) questions_ = *std::move(opened);
}

std::vector<base::Name> DaemonPublisher::await_questions(std::chrono::milliseconds timeout) {
  std::vector<base::Name> names;
  if (!questions_) {
    sleep_unless_interrupted(timeout);
    return names;
  }
  for (SeenQuery& query : questions_->wait(timeout))
    if (query.type == "TXT") names.push_back(std::move(query.name));
  return names;
}

Result<void> DaemonPublisher::withdraw(const std::vector<TxtValue>& values) {
  return daemon_.remove(values);
}

}  // namespace countersign::acme
