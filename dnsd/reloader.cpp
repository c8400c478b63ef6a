#include "dnsd/reloader.hpp"

#include <pthread.h>

#include <boost/asio/post.hpp>
#include <csignal>
#include <ctime>
#include <system_error>

#include "base/files.hpp"
#include "base/log.hpp"
#include "dnsd/notify.hpp"

namespace countersign::dnsd {
namespace {

// As long as the drain of connections may take.
constexpr std::chrono::seconds kReadingPatience{5};

// systemd.service, Type=notify-reload: the moment at which the reload began, so that systemd can tell this READY=1 from
// an earlier one.
void notify_reloading() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  auto microseconds = static_cast<std::int64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000;
  notify_service_manager(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", microseconds));
}

bool any_is_denied(const std::vector<conf::Problem>& problems) {
  for (const conf::Problem& problem : problems)
    if (problem.text.find(base::system_reason(EACCES)) != std::string::npos) return true;
  return false;
}

void free_settings(void* settings) {
  std::unique_ptr<const AnswerSettings> freed(static_cast<const AnswerSettings*>(settings));
}

}  // namespace

TcpLimits tcp_limits(const conf::Dns& dns) {
  TcpLimits limits;
  limits.max_connections = dns.tcp_max_connections;
  limits.max_per_address = dns.tcp_max_per_address;
  limits.idle_timeout = dns.tcp_idle_timeout;
  return limits;
}

Reloader::Reloader(Target target, Source source)
    : target_(target), source_(std::move(source)), patience_(target.context) {}

Reloader::~Reloader() {
  if (!thread_.joinable()) return;
  std::unique_lock guard(reading_->lock);
  reading_->owner = nullptr;
  bool ended = reading_->changed.wait_for(guard, kReadingPatience, [this] { return reading_->ended; });
  guard.unlock();
  if (ended) {
    thread_.join();
    return;
  }
  base::log::warn("stopping although the configuration is still being read");
  thread_.detach();
}

void Reloader::read_file(const std::shared_ptr<Reading>& reading, const std::filesystem::path& path) {
  // From here: by then nobody may set the name of another thread (the process is not dumpable).
  pthread_setname_np(pthread_self(), "reload");
  auto read = std::make_shared<Configuration>(read_configuration(path));
  std::lock_guard guard(reading->lock);
  if (Reloader* owner = reading->owner; owner != nullptr)
    asio::post(owner->target_.context, [owner, read] { owner->judge(read); });
  reading->ended = true;
  reading->changed.notify_all();
}

void Reloader::request() {
  if (stopping_) return;
  if (busy_) {
    if (!again_) base::log::info("a reload is under way; another one follows it");
    again_ = true;
    return;
  }
  begin();
}

void Reloader::begin() {
  busy_ = true;
  again_ = false;
  began_ = std::chrono::steady_clock::now();
  base::log::info("reloading", {{"file", source_.path.string()}});
  notify_reloading();
  watch_reading();
  // Signals are the control thread's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    reading_ = std::make_shared<Reading>();
    reading_->owner = this;
    thread_ = std::thread([reading = reading_, path = source_.path] { read_file(reading, path); });
  } catch (const std::system_error& error) {
    patience_.cancel();
    note_failed();
    base::log::error("not reloaded: no thread to read the configuration", {{"reason", error.what()}});
    end();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Reloader::judge(const std::shared_ptr<Configuration>& read) {
  patience_.cancel();
  thread_.join();
  if (stopping_) return;
  if (!read->problems.empty()) {
    refuse(*read);
    end();
    return;
  }
  if (auto used = Faces::check(read->config); !used) {
    note_failed();
    base::log::error("not reloaded: the API's certificate cannot be used; nothing was changed",
                     {{"reason", used.error().message}});
    end();
    return;
  }
  std::vector<zones::StaticZone> zones = std::move(read->zones);
  // `read` lives until the publisher is done with its configuration.
  target_.publisher.reload(read->config, std::move(zones),
                           [this, read, context = &target_.context](const base::Result<void>& published) {
                             asio::post(*context, [this, read, published] { apply(read, published); });
                           });
}

void Reloader::refuse(const Configuration& read) {
  for (const conf::Problem& problem : read.problems) base::log::error(conf::format_problem(source_.path, problem));
  note_failed();
  base::log::error("not reloaded: the configuration has problems; nothing was changed",
                   {{"problems", std::to_string(read.problems.size())}});
  if (any_is_denied(read.problems) && !source_.reads_as.empty())
    base::log::error(
        fmt::format("a reload reads files as the user \"{0}\", not as root; let \"{0}\" read them, or "
                    "restart countersignd",
                    source_.reads_as));
}

void Reloader::apply(const std::shared_ptr<Configuration>& read, const base::Result<void>& published) {
  ReloadFacts& facts = target_.facts.reloads;
  if (!published) {
    note_failed();
    base::log::error("not reloaded: the zones could not be replaced; nothing was changed",
                     {{"reason", published.error().message}});
    end();
    return;
  }
  const conf::Config& config = read->config;
  // Before the workers hand over what is signed with a new key.
  target_.faces.use(*read);
  auto replaced = target_.responder.use(answer_settings(*read, source_.random_secret));
  // The publisher's interface is C's, and frees what nobody sees any more by free_settings().
  target_.publisher.retire(const_cast<AnswerSettings*>(replaced.release()), free_settings);
  target_.tcp.set_limits(tcp_limits(config.dns));
  base::log::set_level(config.log_level);
  ++facts.done;
  facts.last_failed = false;
  facts.configured_at = target_.clock.wall();
  std::string restart = restart_keys(source_.started, config, source_.handed_over);
  if (!restart.empty()) base::log::warn(fmt::format("needs a restart: {}", restart));
  auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began_);
  base::log::info("reloaded",
                  {{"zones", std::to_string(config.zones.size())}, {"milliseconds", std::to_string(took.count())}});
  end();
}

void Reloader::note_failed() {
  ++target_.facts.reloads.failed;
  target_.facts.reloads.last_failed = true;
}

// Until the file is read, further reloads wait: who asks for them has to learn why nothing happens.
void Reloader::watch_reading() {
  patience_.expires_after(kReadingPatience);
  patience_.async_wait([](boost::system::error_code error) {
    if (!error) base::log::warn("the configuration is still being read; a file of it may be a pipe, or its disk hang");
  });
}

void Reloader::end() {
  busy_ = false;
  if (again_ && !stopping_) {
    begin();
    return;
  }
  if (!stopping_) notify_service_manager("READY=1");
}

}  // namespace countersign::dnsd
