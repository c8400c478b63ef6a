#include "dnsd/daemon.hpp"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <cstdio>
#include <memory>

#include "base/log.hpp"
#include "dnsd/activation.hpp"
#include "dnsd/api/api_server.hpp"
#include "dnsd/api/control_server.hpp"
#include "dnsd/api/control_socket.hpp"
#include "dnsd/faces.hpp"
#include "dnsd/net/listeners.hpp"
#include "dnsd/net/tcp_server.hpp"
#include "dnsd/net/udp_worker.hpp"
#include "dnsd/notify.hpp"
#include "dnsd/privileges.hpp"
#include "dnsd/reloader.hpp"
#include "dnsd/sandbox.hpp"
#include "dnsd/state_folder.hpp"
#include "dnsd/watchdog.hpp"
#include "zones/publisher.hpp"

namespace countersign::dnsd {
namespace {

using base::Result;

// Requests and answers on their way get so long after SIGTERM.
constexpr std::chrono::seconds kDrainLimit{5};

// What needs root, or was asked for by it.
struct Opened {
  Listeners dns;
  std::vector<base::Descriptor> api;
  base::Descriptor control;
  std::filesystem::path control_path;
  std::filesystem::path store;
  HandedOver handed_over;
};

// What a reload compares with and keeps.
struct Origin {
  conf::Config config;
  std::filesystem::path file;
  std::string reads_as;
  CookieSecret random_secret;
  unsigned workers = 1;
};

// Each TCP connection is a descriptor; the soft limit of 1024 is for programs that use select().
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

Result<Listeners> open_listeners(const conf::Config& config, ActivatedSockets& activated, unsigned workers) {
  if (activated.udp.empty() && activated.tcp.empty()) return bind_listeners(config.dns.listen, workers);
  return share_listeners(std::move(activated.udp), std::move(activated.tcp), workers);
}

Result<Opened> open_all(const conf::Config& config, const std::optional<Account>& account, unsigned workers) {
  Opened opened;
  auto activated = take_activated_sockets();
  if (!activated) return base::fail(activated.error());
  opened.handed_over.dns = !activated->udp.empty() || !activated->tcp.empty();
  opened.handed_over.control = static_cast<bool>(activated->control);
  auto dns = open_listeners(config, *activated, workers);
  if (!dns) return base::fail(dns.error());
  opened.dns = std::move(*dns);
  auto api = bind_api_listeners(config.api.listen);
  if (!api) return base::fail(api.error());
  opened.api = std::move(*api);
  auto store = prepare_state_folder(config.state_dir, account);
  if (!store) return base::fail(store.error());
  opened.store = std::move(*store);
  if (opened.handed_over.control) {
    opened.control_path = socket_path(activated->control);
    opened.control = std::move(activated->control);
    return opened;
  }
  std::optional<gid_t> group;
  if (account) group = account->gid;
  auto control = bind_control_socket(config.control_socket, group);
  if (!control) return base::fail(control.error());
  opened.control_path = config.control_socket;
  opened.control = std::move(*control);
  return opened;
}

// Before the first thread, so that every thread is born into it.
Result<void> restrict_process(const Opened& opened, const std::optional<Account>& account) {
  if (account) {
    if (auto became = become(*account); !became) return became;
  }
  if (auto hardened = harden_process(); !hardened) return hardened;
  Writable writable{opened.store, {}};
  if (!opened.handed_over.control) writable.control_folder = opened.control_path.parent_path();
  auto sandbox = enter_sandbox(writable);
  if (!sandbox) return base::fail(sandbox.error());
  base::log::info("process restricted",
                  {{"user", std::to_string(geteuid())}, {"sandbox", sandbox->empty() ? "none" : *sandbox}});
  return {};
}

// For this thread, which is the last one in the end: other threads' mask is older.
void hold_signals() {
  sigset_t held;
  sigemptyset(&held);
  for (int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&held, number);
  pthread_sigmask(SIG_BLOCK, &held, nullptr);
}

std::string join_addresses(const std::vector<base::SocketAddress>& addresses) {
  std::string text;
  for (const base::SocketAddress& address : addresses) {
    if (!text.empty()) text += ',';
    text += address.text();
  }
  return text;
}

void announce_ready(const DaemonFacts& facts, const std::filesystem::path& control) {
  std::string api = facts.api_listen.empty() ? "" : fmt::format(" api={}", join_addresses(facts.api_listen));
  std::string line = fmt::format("ready dns={}{} control={}\n", join_addresses(facts.listen), api, control.string());
  std::fputs(line.c_str(), stdout);
  std::fflush(stdout);
  notify_service_manager("READY=1");
}

// Everything between "privileges dropped" and the end. Members are destroyed in reverse: the workers,
// which read what the publisher's nodes point to, before the publisher; the publisher, whose last completions post to
// the loop, before the loop and the table.
class Daemon {
 public:
  Daemon(Origin origin, std::unique_ptr<const AnswerSettings> settings)
      : origin_(std::move(origin)), table_(epochs_), responder_(table_, std::move(settings)) {
    // All readers exist before the store thread, which walks over them.
    for (unsigned i = 0; i < origin_.workers; ++i) readers_.push_back(&epochs_.add_reader());
    tcp_reader_ = &epochs_.add_reader();
    face_reader_ = &epochs_.add_reader();
  }

  Result<void> open_store(const std::filesystem::path& folder, std::vector<zones::StaticZone> zones) {
    auto publisher = zones::Publisher::open(folder, origin_.config, std::move(zones), table_, registry_, clock_);
    if (!publisher) return base::fail(publisher.error());
    publisher_ = std::move(*publisher);
    return {};
  }

  Result<void> start(Opened opened, const Configuration& configuration) {
    facts_.listen = std::move(opened.dns.addresses);
    facts_.api_listen = origin_.config.api.listen;
    facts_.started = clock_.elapsed();
    facts_.started_at = clock_.wall();
    facts_.reloads.configured_at = facts_.started_at;
    faces_.emplace(Faces::Target{context_, registry_, *publisher_, responder_, *face_reader_, clock_});
    faces_->use(configuration);
    faces_->tell(facts_);
    if (auto started = start_dns(std::move(opened.dns)); !started) return started;
    control_path_ = std::move(opened.control_path);
    api_.emplace(context_.get_executor(), *publisher_, facts_, clock_, &faces_->registrar());
    if (auto started = faces_->start(std::move(opened.api), [this] { return scrape(); }); !started) return started;
    control_.emplace(context_, *api_, seen_);
    control_->serve(std::move(opened.control));
    reloader_.emplace(
        Reloader::Target{context_, *publisher_, responder_, *tcp_, *faces_, facts_, clock_},
        Reloader::Source{origin_.file, origin_.config, opened.handed_over, origin_.reads_as, origin_.random_secret});
    return {};
  }

  void run() {
    wait_for_signal();
    hold_reloads(SIG_UNBLOCK);
    announce_ready(facts_, control_path_);
    start_watchdog();
    context_.run();
    // Nobody looks for a signal any more, and none may cut short what is left to do: the last checkpoint, and the
    // removal of the control socket.
    hold_signals();
    faces_->flush();
    for (auto& worker : workers_) worker->stop();
    for (auto& worker : workers_) worker->join();
  }

 private:
  Result<void> start_dns(Listeners listeners) {
    tcp_.emplace(context_, responder_, *tcp_reader_, tcp_limits(origin_.config.dns));
    for (std::size_t i = 0; i < readers_.size(); ++i) {
      workers_.push_back(
          std::make_unique<UdpWorker>(static_cast<unsigned>(i), std::move(listeners.udp[i]), responder_, *readers_[i]));
      UdpWorker& worker = *workers_.back();
      seen_.add(worker.seen());
      facts_.counters.queries.push_back(&worker.counters());
      facts_.counters.udp.push_back(&worker.udp_counters());
    }
    seen_.add(tcp_->seen());
    facts_.counters.queries.push_back(&tcp_->counters());
    facts_.counters.tcp.push_back(&tcp_->tcp_counters());
    facts_.tcp = &*tcp_;
    facts_.seen = &seen_;
    if (auto connected = faces_->connect(*tcp_, workers_); !connected) return connected;
    for (auto& worker : workers_) {
      if (auto started = worker->start(); !started) return started;
    }
    for (base::Descriptor& socket : listeners.tcp) {
      if (auto served = tcp_->serve(std::move(socket)); !served) return served;
    }
    return {};
  }

  // For the public API, which shows it to its own host only.
  asio::awaitable<HttpResponse> scrape() {
    ApiRequest request("GET", "/metrics");
    ApiResponse metrics = co_await api_->handle_request(std::move(request));
    co_return HttpResponse(metrics.status, std::move(metrics.body), metrics.content_type);
  }

  void start_watchdog() {
    auto period = take_watchdog_period();
    if (!period) return;
    std::vector<WorkerPulse> pulses;
    pulses.reserve(workers_.size());
    for (std::size_t i = 0; i < workers_.size(); ++i) pulses.emplace_back(*workers_[i], *readers_[i]);
    watchdog_.emplace(context_, *period, std::move(pulses));
    watchdog_->start();
  }

  void wait_for_signal() {
    signals_.async_wait([this](boost::system::error_code error, int number) {
      if (error) return;
      if (number == SIGHUP) {
        reloader_->request();
        wait_for_signal();
      } else if (!stopping_) {
        drain(number);
        wait_for_signal();
      } else {
        context_.stop();  // asked twice: at once
      }
    });
  }

  void drain(int number) {
    stopping_ = true;
    base::log::info("stopping", {{"signal", number == SIGINT ? "SIGINT" : "SIGTERM"}});
    notify_service_manager("STOPPING=1");
    reloader_->stop();
    tcp_->stop();
    faces_->stop();
    control_->stop();
    check_drained();
  }

  // The loop does not end by itself, because it still waits for a second signal.
  void check_drained() {
    if (tcp_->connections() == 0 && control_->connections() == 0 && faces_->busy() == 0) return context_.stop();
    if (drain_began_ == std::chrono::steady_clock::time_point{}) drain_began_ = std::chrono::steady_clock::now();
    if (std::chrono::steady_clock::now() - drain_began_ > kDrainLimit) {
      base::log::warn("stopping with connections open", {{"tcp", std::to_string(tcp_->connections())},
                                                         {"control", std::to_string(control_->connections())},
                                                         {"api", std::to_string(faces_->busy())}});
      return context_.stop();
    }
    drain_timer_.expires_after(std::chrono::milliseconds(5));
    drain_timer_.async_wait([this](boost::system::error_code error) {
      if (!error) check_drained();
    });
  }

  Origin origin_;
  base::SystemClock clock_;
  zones::Epochs epochs_;
  zones::NameTable table_;
  Responder responder_;
  std::vector<zones::Epochs::Reader*> readers_;
  zones::Epochs::Reader* tcp_reader_ = nullptr;
  zones::Epochs::Reader* face_reader_ = nullptr;
  zones::Registry registry_;
  DaemonFacts facts_;
  std::filesystem::path control_path_;
  asio::io_context context_{1};
  // Before the publisher, so that they are still caught while it makes its last checkpoint.
  asio::signal_set signals_{context_, SIGTERM, SIGINT, SIGHUP};
  std::unique_ptr<zones::Publisher> publisher_;
  asio::steady_timer drain_timer_{context_};
  std::chrono::steady_clock::time_point drain_began_{};
  bool stopping_ = false;
  SeenStream seen_{context_.get_executor(), clock_};
  std::optional<Faces> faces_;  // before the workers, which wake it
  std::vector<std::unique_ptr<UdpWorker>> workers_;
  std::optional<TcpServer> tcp_;
  std::optional<ControlApi> api_;
  std::optional<ControlServer> control_;
  std::optional<Reloader> reloader_;
  std::optional<Watchdog> watchdog_;
};

Result<void> run_opened(Origin origin, Configuration configuration, Opened opened) {
  auto settings = answer_settings(configuration, origin.random_secret);
  auto daemon = std::make_unique<Daemon>(std::move(origin), std::move(settings));
  if (auto store = daemon->open_store(opened.store, std::move(configuration.zones)); !store) return store;
  if (auto started = daemon->start(std::move(opened), configuration); !started) return started;
  daemon->run();
  return {};
}

}  // namespace

void hold_reloads(int how) {
  sigset_t reload;
  sigemptyset(&reload);
  sigaddset(&reload, SIGHUP);
  pthread_sigmask(how, &reload, nullptr);
}

Result<void> run_daemon(Configuration configuration, const std::filesystem::path& file) {
  std::signal(SIGPIPE, SIG_IGN);
  umask(077);
  raise_descriptor_limit();
  const conf::Config& config = configuration.config;
  auto account = choose_account(config.user);
  if (!account) return base::fail(account.error());
  Origin origin{config, std::filesystem::absolute(file), *account ? (*account)->name : "", random_cookie_secret(),
                config.dns.workers == 0 ? default_worker_count() : config.dns.workers};
  auto opened = open_all(config, *account, origin.workers);
  if (!opened) return base::fail(opened.error());
  // OpenSSL, which a digest is made with, reads its own configuration and may load modules at its first use: before
  // the sandbox, where it could do neither.
  static_cast<void>(zones::StaticZone().digest());
  prepare_faces();
  if (auto restricted = restrict_process(*opened, *account); !restricted) return restricted;
  std::filesystem::path left_over;
  if (!opened->handed_over.control) left_over = opened->control_path;
  Result<void> result = run_opened(std::move(origin), std::move(configuration), std::move(*opened));
  // Works only where the folder is the user's own; the next start replaces what is left over.
  std::error_code ignored;
  if (!left_over.empty()) std::filesystem::remove(left_over, ignored);
  return result;
}

}  // namespace countersign::dnsd
