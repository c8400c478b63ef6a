// What the public API logs of refusals.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "base/descriptor.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/dnsd/public_api_setting.hpp"

using namespace countersign;
using namespace countersign::tests;

namespace {

// What is logged while it lives.
class LogLines {
 public:
  LogLines() : saved_(dup(STDERR_FILENO)) {
    int file = open((folder_.path / "log").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    dup2(file, STDERR_FILENO);
    close(file);
  }
  ~LogLines() { dup2(saved_.get(), STDERR_FILENO); }
  LogLines(const LogLines&) = delete;
  LogLines& operator=(const LogLines&) = delete;

  // How many of the lines have all `parts`.
  [[nodiscard]] std::size_t with(std::initializer_list<std::string_view> parts) const {
    std::ifstream lines(folder_.path / "log");
    std::size_t count = 0;
    for (std::string line; std::getline(lines, line);)
      if (std::ranges::all_of(parts, [&](auto part) { return line.find(part) != std::string::npos; })) ++count;
    return count;
  }

 private:
  tests::TemporaryFolder folder_;
  base::Descriptor saved_;
};

}  // namespace

TEST_CASE("whoever fails most does not keep others' refusals out of the log", "[dnsd][api]") {
  PublicApiSetting setting;
  LogLines log;
  auto fail_from = [&](std::string_view peer) { return setting.post("/update", "{}", {}, peer).status; };
  for (int host = 1; host <= 20; ++host)
    for (int i = 0; i < 12; ++i) static_cast<void>(fail_from(fmt::format("198.51.100.{}", host)));
  CHECK(fail_from("203.0.113.9") == 401);
  CHECK(log.with({"login refused", "from=203.0.113.9"}) == 1);
  // That an address has had too many is told as well, though not each time.
  CHECK(fail_from("198.51.100.20") == 429);
  CHECK(log.with({"login refused: too many", "from=198.51.100.20"}) == 1);
  CHECK(log.with({"from=198.51.100."}) < 120);
  CHECK(log.with({"left out of the log"}) == 0);
  setting.zone.clock().advance(std::chrono::seconds(61));
  CHECK(fail_from("198.51.100.20") == 401);
  std::size_t told = log.with({"from="}) - 1;
  CHECK(log.with({"left out of the log", fmt::format("refusals={}", 20 * 12 + 2 - told)}) == 1);
  CHECK(fail_from("198.51.100.20") == 401);
  CHECK(log.with({"left out of the log"}) == 1);
}
