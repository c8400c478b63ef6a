#include "tests/support/pebble.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "base/descriptor.hpp"

namespace countersign::tests {
namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

std::uint16_t free_port() {
  base::Descriptor probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(probe.get(), generic, length) != 0 || ::getsockname(probe.get(), generic, &length) != 0)
    throw std::runtime_error("no free port");
  return ntohs(address.sin_port);
}

bool accepts(std::uint16_t port) {
  base::Descriptor probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(port);
  return ::connect(probe.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

void make_certificate(const std::filesystem::path& folder) {
  std::string command = fmt::format(
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=pebble "
      "-addext subjectAltName=IP:127.0.0.1 -keyout '{0}/https.key' -out '{0}/https.pem' 2>'{0}/openssl.log'",
      folder.string());
  if (std::system(command.c_str()) != 0) throw std::runtime_error("openssl made no certificate for Pebble");
}

[[noreturn]] void become_pebble(const std::filesystem::path& folder, const Environment& environment,
                                const std::string& resolver, const std::string& program, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  int log = ::open((folder / "pebble.log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::setenv("PEBBLE_VA_NOSLEEP", "1", 1);
  ::setenv("PEBBLE_VA_ALWAYS_VALID", "1", 1);
  ::setenv("PEBBLE_WFE_NONCEREJECT", "0", 1);
  ::setenv("PEBBLE_AUTHZREUSE", "0", 1);
  for (const auto& [name, value] : environment) {
    if (value.empty()) {
      ::unsetenv(name.c_str());
    } else {
      ::setenv(name.c_str(), value.c_str(), 1);
    }
  }
  std::string config = (folder / "pebble.json").string();
  if (resolver.empty()) ::execlp(program.c_str(), "pebble", "-strict", "-config", config.c_str(), nullptr);
  ::execlp(program.c_str(), "pebble", "-strict", "-config", config.c_str(), "-dnsserver", resolver.c_str(), nullptr);
  ::_exit(127);
}

}  // namespace

std::vector<PebbleRelease> pebble_releases() {
  std::vector<PebbleRelease> releases = {{"", "pebble"}};
  const std::filesystem::path peers = COUNTERSIGN_TEST_PEERS;
  std::vector<std::filesystem::path> folders;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(peers, missing)) folders.push_back(entry.path());
  std::sort(folders.begin(), folders.end());
  for (const auto& folder : folders) {
    std::string name = folder.filename().string();
    std::filesystem::path program = folder / "usr/bin/pebble";
    if (name.starts_with("pebble-") && std::filesystem::exists(program))
      releases.push_back({name.substr(std::string_view("pebble-").size()), program.string()});
  }
  return releases;
}

Pebble::Pebble(Environment environment, const std::string& extra_configuration, const std::string& resolver,
               const std::string& program) {
  make_certificate(folder_.path);
  std::uint16_t port = free_port();
  std::ofstream(folder_.path / "pebble.json")
      << fmt::format(R"({{"pebble":{{"listenAddress":"127.0.0.1:{0}","certificate":"{1}/https.pem",)"
                     R"("privateKey":"{1}/https.key","httpPort":5002,"tlsPort":5001{2}}}}})",
                     port, folder_.path.string(), extra_configuration.empty() ? "" : "," + extra_configuration);
  directory_url_ = fmt::format("https://127.0.0.1:{}/dir", port);
  pid_t parent = ::getpid();
  process_ = ::fork();
  if (process_ == 0) become_pebble(folder_.path, environment, resolver, program, parent);
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!accepts(port)) {
    if (::waitpid(process_, nullptr, WNOHANG) == process_ || std::chrono::steady_clock::now() > deadline) {
      std::ifstream log(folder_.path / "pebble.log");
      throw std::runtime_error("Pebble does not start: " + std::string(std::istreambuf_iterator<char>(log), {}));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

Pebble::~Pebble() {
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
}

}  // namespace countersign::tests
