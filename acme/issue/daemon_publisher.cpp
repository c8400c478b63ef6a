#include "acme/issue/daemon_publisher.hpp"

#include <system_error>

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

Result<std::vector<Delegation>> DaemonPublisher::locate(const std::vector<ChallengePlace>& places) {
  // It takes as long as following the delegations, and is wanted after them.
  begin_log();
  auto status = daemon_.status();
  if (!status) return fail(status.error());
  {
    std::lock_guard lock(mutex_);
    daemon_listen_ = status->listen;
  }
  auto resolvers = resolver_addresses(resolver_);
  if (!resolvers) return fail(resolvers.error());
  std::vector<base::Name> zones;
  for (const ServedZone& zone : status->zones) zones.push_back(zone.name);
  return follow_delegations(places, zones, *resolvers, status->listen);
}

std::vector<base::SocketAddress> DaemonPublisher::listen_addresses() {
  std::lock_guard lock(mutex_);
  return daemon_listen_;
}

Result<void> DaemonPublisher::publish(const std::vector<TxtValue>& values,
                                      std::optional<std::chrono::milliseconds> lifetime) {
  return daemon_.add(values, lifetime);
}

Result<std::vector<std::string>> DaemonPublisher::await_visibility(const std::vector<TxtValue>& values,
                                                                   const std::vector<base::Name>& zones) {
  auto resolvers = resolver_addresses(resolver_);
  if (!resolvers) return fail(resolvers.error());
  Log questions = log();
  auto before = questions ? questions->mark() : QuestionLog::Mark{0};
  auto report = acme::await_visibility(values, zones, *resolvers, listen_addresses(), kFencePatience);
  if (!report) return fail(report.error());
  // What is asked here is no CA's.
  if (questions) questions->disregard(before, report->questions);
  return std::move(report->warnings);
}

void DaemonPublisher::begin_log() {
  std::lock_guard lock(mutex_);
  bool opening = log_.valid() && log_.wait_for(std::chrono::seconds(0)) == std::future_status::timeout;
  if (opening) return;
  if (log_.valid() && log_.get() && log_.get()->follows()) return;
  auto open = [socket = socket_]() -> Log {
    auto opened = QuestionLog::open(socket);
    // Only a hint: without it the client polls by the clock.
    return opened ? Log(*std::move(opened)) : nullptr;
  };
  try {
    log_ = std::async(std::launch::async, open).share();
  } catch (const std::system_error&) {
    log_ = std::async(std::launch::deferred, open).share();
  }
}

DaemonPublisher::Log DaemonPublisher::log() {
  std::shared_future<Log> log;
  {
    std::lock_guard lock(mutex_);
    log = log_;
  }
  return log.valid() ? log.get() : nullptr;
}

std::optional<QuestionLog::Mark> DaemonPublisher::watch_questions() {
  begin_log();
  Log questions = log();
  return questions ? std::optional(questions->mark()) : std::nullopt;
}

bool DaemonPublisher::await_questions(std::optional<QuestionLog::Mark> mark, std::set<base::Name>& unasked,
                                      std::chrono::milliseconds timeout) {
  Log questions = log();
  if (questions && mark) return questions->await(*mark, unasked, timeout);
  sleep_unless_interrupted(timeout);
  return false;
}

std::vector<SeenQuery> DaemonPublisher::questions(std::optional<QuestionLog::Mark> mark, const base::Name& name) {
  Log questions = log();
  return questions && mark ? questions->of(*mark, name) : std::vector<SeenQuery>();
}

bool DaemonPublisher::sees_questions() {
  Log questions = log();
  return questions && questions->follows();
}

Result<void> DaemonPublisher::withdraw(const std::vector<TxtValue>& values) {
  return daemon_.remove(values);
}

}  // namespace countersign::acme
