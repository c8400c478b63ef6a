#include "tests/support/mock_http_server.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>
#include <stdexcept>

namespace countersign::tests {
namespace {

// Reads one request; absent when the peer closed.
std::optional<MockRequest> read_request(int fd, std::string& buffer) {
  auto receive = [&] {
    char chunk[4096];
    ssize_t got = ::recv(fd, chunk, sizeof chunk, 0);
    if (got > 0) buffer.append(chunk, static_cast<std::size_t>(got));
    return got > 0;
  };
  std::size_t end = 0;
  while ((end = buffer.find("\r\n\r\n")) == std::string::npos)
    if (!receive()) return std::nullopt;
  std::string head = buffer.substr(0, end + 2);
  buffer.erase(0, end + 4);
  MockRequest request;
  std::size_t line_end = head.find("\r\n");
  std::size_t first = head.find(' ');
  std::size_t second = head.find(' ', first + 1);
  request.method = head.substr(0, first);
  request.path = head.substr(first + 1, second - first - 1);
  for (std::size_t at = line_end + 2; at < head.size();) {
    std::size_t stop = head.find("\r\n", at);
    std::string line = head.substr(at, stop - at);
    std::size_t colon = line.find(": ");
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (colon != std::string::npos) request.headers.emplace_back(name, line.substr(colon + 2));
    at = stop + 2;
  }
  std::string length = request.header("content-length");
  std::size_t wanted = length.empty() ? 0 : std::stoul(length);
  while (buffer.size() < wanted)
    if (!receive()) return std::nullopt;
  request.body = buffer.substr(0, wanted);
  buffer.erase(0, wanted);
  return request;
}

std::string render(const MockRequest& request, const MockReply& reply) {
  std::size_t length = reply.body.size() + (reply.fault == MockReply::Fault::CutBodyShort ? 10 : 0);
  std::string out = fmt::format("HTTP/1.1 {} Mock\r\nContent-Length: {}\r\n", reply.status, length);
  for (const auto& [name, value] : reply.headers) out += fmt::format("{}: {}\r\n", name, value);
  out += "\r\n";
  if (request.method != "HEAD") out += reply.body;
  return out;
}

}  // namespace

std::string MockRequest::header(const std::string& name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return {};
}

MockHttpServer::MockHttpServer(Handler handler)
    : handler_(std::move(handler)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_.get(), generic, length) != 0 || ::listen(listener_.get(), 64) != 0 ||
      ::getsockname(listener_.get(), generic, &length) != 0)
    throw std::runtime_error("no port for the mock HTTP server");
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_connections(); });
}

MockHttpServer::~MockHttpServer() {
  stopping_ = true;
  ::shutdown(listener_.get(), SHUT_RDWR);
  acceptor_.join();
  {
    std::lock_guard lock(mutex_);
    for (int fd : connections_) ::shutdown(fd, SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
  for (int fd : connections_) ::close(fd);
}

std::string MockHttpServer::url(const std::string& path) const {
  return fmt::format("http://127.0.0.1:{}{}", port_, path);
}

std::vector<MockRequest> MockHttpServer::requests() const {
  std::lock_guard lock(mutex_);
  return requests_;
}

std::size_t MockHttpServer::count(const std::string& path) const {
  std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(
      std::count_if(requests_.begin(), requests_.end(), [&](const MockRequest& r) { return r.path == path; }));
}

void MockHttpServer::accept_connections() {
  while (!stopping_) {
    int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    std::lock_guard lock(mutex_);
    connections_.push_back(fd);
    threads_.emplace_back([this, fd] { serve(fd); });
  }
}

void MockHttpServer::serve(int fd) {
  std::string buffer;
  while (auto request = read_request(fd, buffer)) {
    MockReply reply;
    {
      std::lock_guard lock(mutex_);
      requests_.push_back(*request);
      reply = handler_(*request);
    }
    if (reply.fault == MockReply::Fault::NeverAnswer) continue;
    if (reply.fault == MockReply::Fault::CloseWithoutAnswer) break;
    std::string text = render(*request, reply);
    if (::send(fd, text.data(), text.size(), MSG_NOSIGNAL) < 0 || reply.fault == MockReply::Fault::CutBodyShort) break;
  }
  ::shutdown(fd, SHUT_RDWR);
}

}  // namespace countersign::tests
