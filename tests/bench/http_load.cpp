// A closed-loop client of the acme-dns API for the benchmark: connections that stay open, each with one request
// outstanding, filled in from a template. Light, because the server shares the machine's two cores with it. Reads one
// line a slice,
//   update ADDRESS:PORT CONNECTIONS MILLISECONDS SAMPLE      each SAMPLE-th value is asked for by UDP as soon as it is
//                                                            acknowledged (0: none)
//   register ADDRESS:PORT CONNECTIONS MILLISECONDS COUNT     at most COUNT; what was registered is added to the
//   accounts
// and prints "DONE ERRORS NANOSECONDS P50 P99 MAX ASKED MISSED ASKED_P50 ASKED_MAX", times in nanoseconds. Accounts:
// lines "USERNAME PASSWORD SUBDOMAIN" of one length. Connection i of n has the accounts i, i + n, i + 2n...: no two
// requests to one account are under way at once, so that a value that is not there was lost, and not replaced.
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "base/descriptor.hpp"
#include "base/socket_address.hpp"
#include "tests/bench/dns_question.hpp"
#include "tests/bench/latencies.hpp"

namespace {

namespace base = countersign::base;
using countersign::bench::DnsQuestion;
using countersign::bench::Latencies;
using countersign::bench::Random;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kUsername = 36;
constexpr std::size_t kPassword = 40;
constexpr std::size_t kSubdomain = 36;
constexpr std::size_t kLine = kUsername + kPassword + kSubdomain + 3;
constexpr std::size_t kValue = 43;

// A request with places to fill in.
struct Template {
  Template() {
    std::string body =
        R"({"subdomain":")" + std::string(kSubdomain, 's') + R"(","txt":")" + std::string(kValue, 't') + R"("})";
    text = "POST /update HTTP/1.1\r\nHost: bench\r\nX-Api-User: ";
    username = text.size();
    text += std::string(kUsername, 'u') + "\r\nX-Api-Key: ";
    password = text.size();
    text += std::string(kPassword, 'p') +
            "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n";
    subdomain = text.size() + body.find(std::string(kSubdomain, 's'));
    value = text.size() + body.find(std::string(kValue, 't'));
    text += body;
  }
  std::string text;
  std::size_t username = 0, password = 0, subdomain = 0, value = 0;
};

struct Connection {
  base::Descriptor socket;
  std::string request;
  std::string input;
  std::size_t account = 0;
  Clock::time_point began;
};

struct Task {
  bool registers = false;
  base::SocketAddress server;
  std::size_t connections = 1;
  std::chrono::milliseconds duration{0};
  std::size_t number = 0;  // SAMPLE or COUNT
};

struct Reply {
  int status = 0;
  std::string_view body;
};

// True when `input` holds a whole answer.
bool read_reply(std::string_view input, Reply& reply) {
  std::size_t end = input.find("\r\n\r\n");
  if (end == std::string_view::npos || input.size() < 12) return false;
  constexpr std::string_view kLength = "\r\nContent-Length: ";
  std::size_t at = input.substr(0, end).find(kLength);
  std::size_t length = 0;
  for (std::size_t i = at + kLength.size(); at != std::string_view::npos && input[i] >= '0' && input[i] <= '9'; ++i)
    length = length * 10 + static_cast<std::size_t>(input[i] - '0');
  if (input.size() < end + 4 + length) return false;
  reply.status = (input[9] - '0') * 100 + (input[10] - '0') * 10 + (input[11] - '0');
  reply.body = input.substr(end + 4, length);
  return true;
}

std::string member(std::string_view body, std::string_view name) {
  std::string start = "\"" + std::string(name) + "\":\"";
  std::size_t at = body.find(start);
  if (at == std::string_view::npos) return {};
  body.remove_prefix(at + start.size());
  return std::string(body.substr(0, body.find('"')));
}

class Load {
 public:
  Load(std::string accounts, std::string zone, const base::SocketAddress& dns)
      : file_(std::move(accounts)), zone_(std::move(zone)), question_(dns) {
    std::ifstream in(file_, std::ios::binary);
    std::ostringstream whole;
    whole << in.rdbuf();
    accounts_ = std::move(whole).str();
  }

  bool run(const Task& task) {
    task_ = task;
    done_ = errors_ = asked_ = missed_ = 0;
    taken_ = asking_ = {};
    if (!task.registers && accounts_.size() / kLine < task.connections) {
      std::fprintf(stderr, "too few accounts for %zu connections\n", task.connections);
      return false;
    }
    if (!open()) return false;
    Clock::time_point start = Clock::now();
    for (Connection& connection : connections_) send_next(connection);
    outstanding_ = connections_.size();
    std::array<epoll_event, 64> events{};
    while (outstanding_ > 0) {
      int count = epoll_wait(poller_.get(), events.data(), static_cast<int>(events.size()), 10'000);
      if (count == 0) {
        std::fprintf(stderr, "no answer for ten seconds\n");
        return false;
      }
      bool more = Clock::now() - start < task.duration;
      for (int i = 0; i < count; ++i) receive(connections_[events[static_cast<std::size_t>(i)].data.u64], more);
    }
    report(Clock::now() - start);
    return true;
  }

 private:
  bool open() {
    connections_.clear();
    connections_.resize(task_.connections);
    poller_ = base::Descriptor(epoll_create1(EPOLL_CLOEXEC));
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      Connection& connection = connections_[i];
      connection.socket = base::Descriptor(::socket(task_.server.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
      int on = 1;
      setsockopt(connection.socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = i;
      if (connect(connection.socket.get(), task_.server.data(), task_.server.size()) != 0 ||
          epoll_ctl(poller_.get(), EPOLL_CTL_ADD, connection.socket.get(), &event) != 0) {
        std::fprintf(stderr, "cannot connect to %s: %s\n", task_.server.text().c_str(), std::strerror(errno));
        return false;
      }
      connection.account = i;
      connection.request =
          task_.registers ? "POST /register HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n" : template_.text;
    }
    return true;
  }

  std::string_view account(std::size_t number) const {
    return std::string_view(accounts_).substr(number * kLine, kLine);
  }

  void fill_in(Connection& connection) {
    std::size_t count = accounts_.size() / kLine;
    // On by a large step among its own ones, so that a million of them are all over the store's pages.
    std::size_t own = count / task_.connections;
    std::size_t index = connection.account % task_.connections;
    std::size_t turn = (connection.account / task_.connections + 7919) % own;
    connection.account = turn * task_.connections + index;
    std::string_view line = account(connection.account);
    std::string& request = connection.request;
    line.copy(request.data() + template_.username, kUsername);
    line.copy(request.data() + template_.password, kPassword, kUsername + 1);
    line.copy(request.data() + template_.subdomain, kSubdomain, kUsername + kPassword + 2);
    static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < kValue; ++i) {
      bits = i % 10 == 0 ? random_.next() : bits >> 6U;
      request[template_.value + i] = kAlphabet[bits & 63U];
    }
  }

  void send_next(Connection& connection) {
    if (!task_.registers) fill_in(connection);
    connection.began = Clock::now();
    ssize_t sent = send(connection.socket.get(), connection.request.data(), connection.request.size(), MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(connection.request.size())) ++errors_;
  }

  void give_up(Connection& connection) {
    ++errors_;
    --outstanding_;
    connection.socket.close();
  }

  void receive(Connection& connection, bool more) {
    std::array<char, 4096> buffer{};
    ssize_t got = recv(connection.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return give_up(connection);
    connection.input.append(buffer.data(), static_cast<std::size_t>(got));
    Reply reply;
    if (!read_reply(connection.input, reply)) return;
    taken_.add(Clock::now() - connection.began);
    if (judge(connection, reply)) ++done_;
    connection.input.clear();
    if (more && (!task_.registers || done_ + outstanding_ <= task_.number))
      send_next(connection);
    else
      --outstanding_;
  }

  bool judge(const Connection& connection, const Reply& reply) {
    if (task_.registers) {
      std::string line = member(reply.body, "username") + " " + member(reply.body, "password") + " " +
                         member(reply.body, "subdomain") + "\n";
      if (reply.status == 201 && line.size() == kLine) {
        accounts_ += line;
        return true;
      }
    } else {
      std::string_view value = std::string_view(connection.request).substr(template_.value, kValue);
      if (reply.status == 200 && reply.body.find(value) != std::string_view::npos) {
        if (task_.number > 0 && done_ % task_.number == 0) look(connection, value);
        return true;
      }
    }
    if (errors_++ < 3)
      std::fprintf(stderr, "answered %d %.*s\n", reply.status, static_cast<int>(reply.body.size()), reply.body.data());
    return false;
  }

  void look(const Connection& connection, std::string_view value) {
    std::string name =
        std::string(account(connection.account).substr(kUsername + kPassword + 2, kSubdomain)) + "." + zone_;
    Clock::time_point before = Clock::now();
    ++asked_;
    if (question_.ask(name, value) != DnsQuestion::Outcome::There) ++missed_;
    asking_.add(Clock::now() - before);
  }

  void report(std::chrono::nanoseconds elapsed) {
    if (task_.registers) std::ofstream(file_, std::ios::binary | std::ios::trunc) << accounts_;
    auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
    std::printf("%llu %llu %lld %llu %llu %llu %llu %llu %llu %llu\n", number(done_), number(errors_),
                static_cast<long long>(elapsed.count()), number(taken_.percentile(0.5)),
                number(taken_.percentile(0.99)), number(taken_.percentile(1)), number(asked_), number(missed_),
                number(asking_.percentile(0.5)), number(asking_.percentile(1)));
    std::fflush(stdout);
  }

  std::string file_, zone_, accounts_;
  DnsQuestion question_;
  Template template_;
  Task task_;
  base::Descriptor poller_;
  std::vector<Connection> connections_;
  std::size_t outstanding_ = 0;
  std::uint64_t done_ = 0, errors_ = 0, asked_ = 0, missed_ = 0;
  Random random_{static_cast<std::uint64_t>(Clock::now().time_since_epoch().count())};
  Latencies taken_, asking_;
};

}  // namespace

int main(int argc, char* argv[]) {
  std::string accounts, zone, dns;
  CLI::App app("closed-loop client of the acme-dns API");
  app.add_option("--accounts", accounts)->required();
  app.add_option("--zone", zone)->required();
  app.add_option("--dns", dns)->required();
  CLI11_PARSE(app, argc, argv);
  auto dns_address = base::SocketAddress::parse(dns);
  if (!dns_address) {
    std::fprintf(stderr, "%s\n", dns_address.error().message.c_str());
    return 2;
  }
  Load load(accounts, zone, *dns_address);
  std::string verb, server;
  long long milliseconds = 0;
  Task task;
  while (std::cin >> verb >> server >> task.connections >> milliseconds >> task.number) {
    auto address = base::SocketAddress::parse(server);
    task.registers = verb == "register";
    if (!address || (!task.registers && verb != "update") || task.connections == 0) {
      std::fprintf(stderr, "bad line: %s %s\n", verb.c_str(), server.c_str());
      return 2;
    }
    task.server = *address;
    task.duration = std::chrono::milliseconds(milliseconds);
    if (!load.run(task)) return 1;
  }
  return 0;
}
