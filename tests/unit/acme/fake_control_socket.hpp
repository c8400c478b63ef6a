// The daemon's control socket inside the test: HTTP/1.1 over a Unix socket, one thread a connection.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <functional>
#include <list>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/descriptor.hpp"

namespace countersign::test {

struct ControlRequest {
  std::string method, target, body;
};

class FakeControlSocket {
 public:
  // The whole answer, from its status line on. Called by several threads, one at a time.
  using Handler = std::function<std::string(const ControlRequest&)>;

  explicit FakeControlSocket(Handler handler) : handler_(std::move(handler)) {
    std::string pattern = (std::filesystem::temp_directory_path() / "control-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    folder_ = pattern;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path().c_str(), path().native().size());
    listener_ = base::Descriptor(::socket(AF_UNIX, SOCK_STREAM, 0));
    if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
        ::listen(listener_.get(), 64) != 0)
      throw std::runtime_error("bind");
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~FakeControlSocket() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    acceptor_.join();
    hang_up();
    for (auto& session : sessions_) session.thread.join();
    std::filesystem::remove_all(folder_);
  }
  FakeControlSocket(const FakeControlSocket&) = delete;
  FakeControlSocket& operator=(const FakeControlSocket&) = delete;

  [[nodiscard]] std::filesystem::path path() const { return folder_ / "control.sock"; }
  [[nodiscard]] std::vector<ControlRequest> log() const {
    std::lock_guard lock(mutex_);
    return log_;
  }
  // To all connections, as a stream that goes on. Once each has had its first answer.
  void send(const std::string& octets) {
    std::lock_guard lock(mutex_);
    for (auto& session : sessions_)
      for (std::size_t at = 0; at < octets.size();) {
        ssize_t sent = ::send(session.socket.get(), octets.data() + at, octets.size() - at, MSG_NOSIGNAL);
        if (sent <= 0) break;
        at += static_cast<std::size_t>(sent);
      }
  }
  // Ends all connections, as a daemon that dies does.
  void hang_up() {
    std::lock_guard lock(mutex_);
    for (auto& session : sessions_) ::shutdown(session.socket.get(), SHUT_RDWR);
  }

 private:
  struct Session {
    base::Descriptor socket;
    std::thread thread;
  };

  void accept_all() {
    for (;;) {
      base::Descriptor socket(::accept(listener_.get(), nullptr, nullptr));
      if (!socket) return;
      std::lock_guard lock(mutex_);
      sessions_.push_back({std::move(socket), {}});
      Session& session = sessions_.back();
      session.thread = std::thread([this, fd = session.socket.get()] { serve(fd); });
    }
  }

  void serve(int fd) {
    std::string input;
    std::array<char, 4096> buffer;
    for (;;) {
      std::size_t head = input.find("\r\n\r\n");
      std::size_t length = 0;
      if (head != std::string::npos) {
        std::size_t at = input.find("Content-Length: ");
        if (at != std::string::npos && at < head) length = std::stoul(input.substr(at + 16));
      }
      if (head == std::string::npos || input.size() < head + 4 + length) {
        ssize_t count = ::recv(fd, buffer.data(), buffer.size(), 0);
        if (count <= 0) return;
        input.append(buffer.data(), static_cast<std::size_t>(count));
        continue;
      }
      std::size_t space = input.find(' ');
      ControlRequest request{input.substr(0, space), input.substr(space + 1, input.find(' ', space + 1) - space - 1),
                             input.substr(head + 4, length)};
      input.erase(0, head + 4 + length);
      std::string answer;
      {
        std::lock_guard lock(mutex_);
        log_.push_back(request);
        answer = handler_(request);
      }
      ::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
    }
  }

  Handler handler_;
  std::filesystem::path folder_;
  base::Descriptor listener_;
  mutable std::mutex mutex_;
  std::vector<ControlRequest> log_;
  std::list<Session> sessions_;
  std::thread acceptor_;
};

[[nodiscard]] inline std::string http_answer(int status, const std::string& body) {
  return "HTTP/1.1 " + std::to_string(status) +
         " Whatever\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}

}  // namespace countersign::test
