#include "base/log.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>

#include "base/descriptor.hpp"
#include "tests/support/catch.hpp"

using namespace countersign;

namespace {

enum class Kind { Pipe, Socket };  // of a shell, of journald

// stderr as a pipe or socket, for the life of this.
class CapturedStderr {
 public:
  explicit CapturedStderr(Kind kind) : saved_(dup(STDERR_FILENO)) {
    std::array<int, 2> ends{};
    REQUIRE((kind == Kind::Pipe ? pipe(ends.data()) : socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data())) == 0);
    reader_ = base::Descriptor(ends[0]);
    dup2(ends[1], STDERR_FILENO);
    ::close(ends[1]);
  }
  ~CapturedStderr() { restore(); }
  void restore() { dup2(saved_.get(), STDERR_FILENO); }
  // What is in it now.
  std::string take(std::size_t limit) {
    std::string text(limit, 0);
    ssize_t got = read(reader_.get(), text.data(), limit);
    text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return text;
  }

 private:
  base::Descriptor saved_, reader_;
};

}  // namespace

TEST_CASE("a stderr that nobody reads loses lines, which are counted, and holds nobody up", "[base]") {
  auto kind = GENERATE(Kind::Pipe, Kind::Socket);
  CapturedStderr captured(kind);
  constexpr std::size_t kLines = 3000;
  for (std::size_t i = 0; i < kLines; ++i) base::log::info("filler", {{"text", std::string(200, 'x')}});
  std::string text = captured.take(1U << 20U);
  base::log::info("after");
  std::string rest = captured.take(1U << 20U);
  captured.restore();
  REQUIRE(text.ends_with('\n'));
  std::size_t written = 0;
  for (char c : text) written += c == '\n' ? 1 : 0;
  CHECK(written > 100);
  REQUIRE(written < kLines);
  INFO(rest);
  CHECK(rest.find("level=warning event=\"log lines were lost: stderr was not read in time\" lines=" +
                  std::to_string(kLines - written) + "\n") != std::string::npos);
  CHECK(rest.ends_with("event=after\n"));
}

TEST_CASE("a line longer than a pipe takes at once is whole when it is read, and its rest is dropped when not",
          "[base]") {
  auto kind = GENERATE(Kind::Pipe, Kind::Socket);
  CapturedStderr captured(kind);
  base::log::info("long", {{"text", std::string(20000, 'x')}});
  std::string text = captured.take(1U << 20U);
  base::log::info("longer", {{"text", std::string(500000, 'x')}});
  captured.take(1U << 20U);
  base::log::info("after");
  std::string rest = captured.take(1U << 20U);
  captured.restore();
  CHECK(text.size() > 20000);
  CHECK(text.ends_with("xxx\n"));
  INFO(rest);
  CHECK(rest.starts_with('\n'));
  CHECK(rest.find(" lines=1\n") != std::string::npos);
  CHECK(rest.ends_with("event=after\n"));
}
