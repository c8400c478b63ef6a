// What many names cost: zone_scale NAMES [FOLDER] prints, for NAMES names with one TXT value of 43 octets each, memory
// and time of a restart with all of them in the store, of a load from a master file, and of updates among them.
// FOLDER (default: a temporary one) must lie on the disk to be measured. Each step runs in a process of its own, so
// that none finds memory that another gave back.
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "zones/publisher.hpp"
#include "zones/zone_records.hpp"

using namespace countersign;

namespace {

struct Scale {
  int names = 0;
  std::filesystem::path folder;
};

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double resident_octets() {
  std::ifstream statm("/proc/self/statm");
  double size = 0;
  double resident = 0;
  statm >> size >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double peak_octets() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

[[noreturn]] void give_up(const std::string& what) {
  std::fprintf(stderr, "zone_scale: %s\n", what.c_str());
  std::exit(1);
}

void run_apart(const std::function<void()>& step) {
  std::fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    step();
    std::fflush(stdout);
    std::_Exit(0);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) give_up("a step did not end well");
}

conf::Config one_zone() {
  conf::Config config;
  conf::Zone zone;
  zone.name = *base::Name::parse("auth.test");
  zone.nameservers = {*base::Name::parse("ns1.example.net")};
  zone.hostmaster = *base::Name::parse("hostmaster.example.net");
  config.zones = {zone};
  return config;
}

std::string owner_of(int number) {
  return "n" + std::to_string(number);
}

std::string value_of(int number) {
  std::string digits = std::to_string(number);
  return std::string(43 - digits.size(), 'x') + digits;
}

zones::TxtChange add_value(int name, int value) {
  zones::TxtChange change;
  change.name = *base::Name::parse(owner_of(name) + ".auth.test");
  change.value = *zones::TxtValue::parse(value_of(value));
  change.owner = "control";
  return change;
}

// The data side of a daemon.
struct Server {
  explicit Server(const std::filesystem::path& folder, const conf::Config& config = one_zone()) {
    std::vector<conf::Problem> problems;
    double start = seconds();
    auto built = zones::build_static_zones(config, problems);
    if (!problems.empty()) give_up(problems.front().text);
    built_in = seconds() - start;
    start = seconds();
    auto opened = zones::Publisher::open(folder, config, std::move(built), table, registry, clock);
    if (!opened) give_up(opened.error().message);
    publisher = std::move(*opened);
    opened_in = seconds() - start;
  }
  [[nodiscard]] std::uint64_t values() const {
    std::promise<std::uint64_t> promise;
    publisher->snapshot([&](base::Result<zones::StoreSnapshot> taken) { promise.set_value(taken->values); });
    return promise.get_future().get();
  }

  base::SystemClock clock;
  zones::Epochs epochs;
  zones::NameTable table{epochs};
  zones::Registry registry;
  std::unique_ptr<zones::Publisher> publisher;
  double built_in = 0;
  double opened_in = 0;
};

// Changes [0, count) as fast as groups of updates go; `add` makes them.
double submit_all(zones::Publisher& publisher, int count, const std::function<zones::TxtChange(int)>& add) {
  constexpr int kAtOnce = 32'768;  // below the publisher's own limit
  double start = seconds();
  for (int first = 0; first < count; first += kAtOnce) {
    int group = std::min(kAtOnce, count - first);
    std::atomic<int> left = group;
    std::promise<void> all;
    for (int i = 0; i < group; ++i) {
      publisher.submit(add(first + i), [&](base::Result<std::vector<zones::PublishedValue>> values) {
        if (!values) give_up(values.error().message);
        if (--left == 0) all.set_value();
      });
    }
    all.get_future().wait();
  }
  return seconds() - start;
}

// 64 updates in flight, as from so many clients: each acknowledgement submits the next. Names far from each
// other get a second value and lose it again.
class ClosedLoop {
 public:
  ClosedLoop(zones::Publisher& publisher, int names, int updates)
      : publisher_(publisher), names_(names), updates_(updates), took_(static_cast<std::size_t>(updates)) {}

  void run() {
    double start = seconds();
    for (int i = 0; i < kInFlight; ++i) submit_next();
    all_.get_future().wait();
    double took = seconds() - start;
    std::sort(took_.begin(), took_.end());
    std::printf(
        "updates, 64 in flight   %8.0f a second, %.1f us of the store thread each; p50 %.1f ms, p99 %.1f ms, "
        "the worst %.1f ms\n",
        updates_ / took, (thread_time_ - first_thread_time_) / updates_ * 1e6, took_[took_.size() / 2] * 1e3,
        took_[took_.size() * 99 / 100] * 1e3, took_.back() * 1e3);
  }

 private:
  static constexpr int kInFlight = 64;

  void submit_next() {
    int number = submitted_++;
    if (number >= updates_) return;
    // Each second update takes away what came 500 additions before.
    int addition = number / 2 - (number % 2 == 0 ? 0 : std::min(500, number / 2));
    int name = static_cast<int>(static_cast<long>(addition) * 7919 % names_);
    zones::TxtChange change = add_value(name, addition + names_);
    if (number % 2 == 1) change.kind = zones::TxtChange::Kind::Remove;
    double start = seconds();
    publisher_.submit(std::move(change),
                      [this, start, number](base::Result<std::vector<zones::PublishedValue>> values) {
                        if (!values) give_up(values.error().message);
                        took_[static_cast<std::size_t>(number)] = seconds() - start;
                        if (done_ == 0) first_thread_time_ = thread_seconds();
                        if (++done_ == updates_) {
                          thread_time_ = thread_seconds();
                          all_.set_value();
                        }
                        submit_next();
                      });
  }
  static double thread_seconds() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  }

  zones::Publisher& publisher_;
  int names_;
  int updates_;
  std::vector<double> took_;
  std::atomic<int> submitted_{0};
  int done_ = 0;  // this and the times: of the store thread, which runs all completions
  double first_thread_time_ = 0;
  double thread_time_ = 0;
  std::promise<void> all_;
};

void measure_store(const Scale& scale) {
  auto folder = scale.folder / "store";
  std::filesystem::create_directory(folder);
  run_apart([&] {
    double before = resident_octets();
    Server server(folder);
    double took = submit_all(*server.publisher, scale.names, [](int i) { return add_value(i, i); });
    std::printf("filled by updates       %8.2f s, %.1f us an update, %.0f octets a name\n", took,
                took / scale.names * 1e6, (resident_octets() - before) / scale.names);
    ClosedLoop(*server.publisher, scale.names, 60'000).run();
  });
  run_apart([&] {
    double before = resident_octets();
    Server server(folder);
    double octets = resident_octets() - before;
    if (server.values() < static_cast<std::uint64_t>(scale.names) * 9 / 10) give_up("values are missing");
    std::printf("restart from the store  %8.2f s, %.0f octets a name\n", server.opened_in, octets / scale.names);
    std::vector<conf::Problem> problems;
    std::promise<void> done;
    double start = seconds();
    server.publisher->reload(one_zone(), zones::build_static_zones(one_zone(), problems),
                             [&](const base::Result<void>& reloaded) {
                               if (!reloaded) give_up(reloaded.error().message);
                               done.set_value();
                             });
    done.get_future().wait();
    double took = seconds() - start;
    // The old names are freed at a tick of the store thread.
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    std::printf("reload                  %8.2f s, then %.0f octets a name (at most %.0f)\n", took,
                (resident_octets() - before) / scale.names, (peak_octets() - before) / scale.names);
  });
}

void measure_file(const Scale& scale) {
  auto file = scale.folder / "zone";
  {
    std::ofstream out(file);
    for (int i = 0; i < scale.names; ++i) out << owner_of(i) << " 1 IN TXT \"" << value_of(i) << "\"\n";
  }
  auto folder = scale.folder / "static";
  std::filesystem::create_directory(folder);
  run_apart([&] {
    conf::Config config = one_zone();
    config.zones[0].file = file.string();
    double before = resident_octets();
    Server server(folder, config);
    double octets = resident_octets() - before;
    std::printf(
        "load from a file        %8.2f s (read and check %.2f, serve %.2f), %.0f octets a name (at most %.0f)\n",
        server.built_in + server.opened_in, server.built_in, server.opened_in, octets / scale.names,
        (peak_octets() - before) / scale.names);
  });
}

// Without the disk: one name more in the visible table, the worst of all (the table doubles) and the rest.
void measure_table(const Scale& scale) {
  run_apart([&] {
    zones::StaticZone zone;
    zone.apex = *base::Name::parse("auth.test");
    zones::Epochs epochs;
    zones::NameTable table(epochs);
    zones::ZoneRecords records({zone}, {}, table);
    records.publish_static();
    double worst = 0;
    double start = seconds();
    for (int i = 0; i < scale.names; ++i) {
      base::Name name = *base::Name::parse(owner_of(i) + ".auth.test");
      double before = seconds();
      records.publish(name, {value_of(i)});
      records.reclaim();
      worst = std::max(worst, seconds() - before);
    }
    std::printf("a new name, in memory   %8.2f us, the worst %.1f ms\n", (seconds() - start) / scale.names * 1e6,
                worst * 1e3);
  });
}

}  // namespace

int main(int argc, char* argv[]) {
  Scale scale;
  scale.names = argc > 1 ? std::atoi(argv[1]) : 1'000'000;
  if (scale.names < 1) give_up("usage: zone_scale NAMES [FOLDER]");
  std::string folder = argc > 2 ? argv[2] : std::filesystem::temp_directory_path().string();
  folder += "/countersign-scale-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) give_up("cannot make a folder in " + folder);
  scale.folder = folder;
  std::printf("%d names\n", scale.names);
  measure_store(scale);
  measure_file(scale);
  measure_table(scale);
  std::filesystem::remove_all(scale.folder);
  return 0;
}
