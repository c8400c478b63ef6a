#include "dnsd/daemon.hpp"

#include <sys/resource.h>
#include <sys/stat.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <cstdio>
#include <memory>

#include "base/log.hpp"
#include "dnsd/api/control_server.hpp"
#include "dnsd/api/control_socket.hpp"
#include "dnsd/net/listeners.hpp"
#include "dnsd/net/tcp_server.hpp"
#include "dnsd/net/udp_worker.hpp"
#include "dnsd/notify.hpp"
#include "dnsd/privileges.hpp"
#include "dnsd/state_folder.hpp"
#include "zones/publisher.hpp"

namespace countersign::dnsd {
namespace {

using base::Result;

// Requests and answers on their way get so long after SIGTERM.
constexpr std::chrono::seconds kDrainLimit{5};

// What needs root, or was asked for by it.
struct Opened {
  Listeners dns;
  base::Descriptor control;
  std::filesystem::path store;
};

// Each TCP connection is a descriptor; the soft limit of 1024 is for programs that use select().
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

Result<Opened> open_all(const conf::Config& config, const std::optional<Account>& account, unsigned workers) {
  Opened opened;
  auto dns = bind_listeners(config.dns.listen, workers);
  if (!dns) return base::fail(dns.error());
  opened.dns = std::move(*dns);
  auto store = prepare_state_folder(config.state_dir, account);
  if (!store) return base::fail(store.error());
  opened.store = std::move(*store);
  std::optional<gid_t> group;
  if (account) group = account->gid;
  auto control = bind_control_socket(config.control_socket, group);
  if (!control) return base::fail(control.error());
  opened.control = std::move(*control);
  return opened;
}

Result<void> drop_privileges(const std::optional<Account>& account) {
  if (account) {
    if (auto became = become(*account); !became) return became;
  }
  return harden_process();
}

std::string join_addresses(const std::vector<base::SocketAddress>& addresses) {
  std::string text;
  for (const base::SocketAddress& address : addresses) {
    if (!text.empty()) text += ',';
    text += address.text();
  }
  return text;
}

void announce_ready(const DaemonFacts& facts, const conf::Config& config) {
  std::string line =
      fmt::format("ready dns={} control={}\n", join_addresses(facts.listen), config.control_socket.string());
  std::fputs(line.c_str(), stdout);
  std::fflush(stdout);
  notify_service_manager("READY=1");
}

// Everything between "privileges dropped" and the end. Members are destroyed in reverse: the workers,
// which read what the publisher's nodes point to, before the publisher; the publisher, whose last completions post to
// the loop, before the loop and the table.
class Daemon {
 public:
  Daemon(const conf::Config& config, unsigned workers)
      : config_(config), table_(epochs_), responder_(table_, config.dns.max_udp_payload) {
    // All readers exist before the store thread, which walks over them.
    for (unsigned i = 0; i < workers; ++i) readers_.push_back(&epochs_.add_reader());
    tcp_reader_ = &epochs_.add_reader();
  }

  Result<void> open_store(const std::filesystem::path& folder, std::vector<zones::StaticZone> zones) {
    auto publisher = zones::Publisher::open(folder, config_, std::move(zones), table_, clock_);
    if (!publisher) return base::fail(publisher.error());
    publisher_ = std::move(*publisher);
    return {};
  }

  Result<void> start(Listeners listeners, base::Descriptor control) {
    facts_.listen = std::move(listeners.addresses);
    facts_.started = clock_.elapsed();
    if (auto started = start_dns(std::move(listeners)); !started) return started;
    api_.emplace(context_.get_executor(), *publisher_, facts_, clock_);
    control_.emplace(context_, *api_, seen_);
    control_->serve(std::move(control));
    return {};
  }

  void run() {
    wait_for_signal();
    announce_ready(facts_, config_);
    context_.run();
    for (auto& worker : workers_) worker->stop();
    for (auto& worker : workers_) worker->join();
  }

 private:
  Result<void> start_dns(Listeners listeners) {
    tcp_.emplace(context_, responder_, *tcp_reader_,
                 TcpLimits{config_.dns.tcp_max_connections, config_.dns.tcp_idle_timeout});
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
    for (auto& worker : workers_) {
      if (auto started = worker->start(); !started) return started;
    }
    for (std::size_t i = 0; i < listeners.tcp.size(); ++i)
      tcp_->serve(std::move(listeners.tcp[i]), facts_.listen[i].family());
    return {};
  }

  void wait_for_signal() {
    signals_.async_wait([this](boost::system::error_code error, int number) {
      if (error) return;
      if (number == SIGHUP) {
        base::log::warn("SIGHUP ignored: this version cannot reload; restart it to apply a changed configuration");
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
    tcp_->stop();
    control_->stop();
    check_drained();
  }

  // The loop does not end by itself, because it still waits for a second signal.
  void check_drained() {
    if (tcp_->connections() == 0 && control_->connections() == 0) return context_.stop();
    if (drain_began_ == std::chrono::steady_clock::time_point{}) drain_began_ = std::chrono::steady_clock::now();
    if (std::chrono::steady_clock::now() - drain_began_ > kDrainLimit) {
      base::log::warn("stopping with connections open", {{"tcp", std::to_string(tcp_->connections())},
                                                         {"control", std::to_string(control_->connections())}});
      return context_.stop();
    }
    drain_timer_.expires_after(std::chrono::milliseconds(5));
    drain_timer_.async_wait([this](boost::system::error_code error) {
      if (!error) check_drained();
    });
  }

  const conf::Config& config_;
  base::SystemClock clock_;
  zones::Epochs epochs_;
  zones::NameTable table_;
  Responder responder_;
  std::vector<zones::Epochs::Reader*> readers_;
  zones::Epochs::Reader* tcp_reader_ = nullptr;
  DaemonFacts facts_;
  asio::io_context context_{1};
  std::unique_ptr<zones::Publisher> publisher_;
  asio::signal_set signals_{context_, SIGTERM, SIGINT, SIGHUP};
  asio::steady_timer drain_timer_{context_};
  std::chrono::steady_clock::time_point drain_began_{};
  bool stopping_ = false;
  SeenStream seen_{context_.get_executor(), clock_};
  std::vector<std::unique_ptr<UdpWorker>> workers_;
  std::optional<TcpServer> tcp_;
  std::optional<ControlApi> api_;
  std::optional<ControlServer> control_;
};

Result<void> run_opened(const conf::Config& config, std::vector<zones::StaticZone> zones, Opened opened,
                        unsigned workers) {
  auto daemon = std::make_unique<Daemon>(config, workers);
  if (auto store = daemon->open_store(opened.store, std::move(zones)); !store) return store;
  if (auto started = daemon->start(std::move(opened.dns), std::move(opened.control)); !started) return started;
  daemon->run();
  return {};
}

}  // namespace

Result<void> run_daemon(const conf::Config& config, std::vector<zones::StaticZone> zones) {
  std::signal(SIGPIPE, SIG_IGN);
  umask(077);
  raise_descriptor_limit();
  unsigned workers = config.dns.workers == 0 ? default_worker_count() : config.dns.workers;
  auto account = choose_account(config.user);
  if (!account) return base::fail(account.error());
  auto opened = open_all(config, *account, workers);
  if (!opened) return base::fail(opened.error());
  if (auto dropped = drop_privileges(*account); !dropped) return dropped;
  Result<void> result = run_opened(config, std::move(zones), std::move(*opened), workers);
  // Works only where the folder is the user's own; the next start replaces what is left over.
  std::error_code ignored;
  std::filesystem::remove(config.control_socket, ignored);
  return result;
}

}  // namespace countersign::dnsd
