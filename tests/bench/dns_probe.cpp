// One DNS question at a time, for the benchmark: what a lone resolver sees while the server has other things to do.
// Reads one line a slice, "ADDRESS:PORT MILLISECONDS", asks for the TXT of n<i>.ZONE and prints "ANSWERED WRONG
// NANOSECONDS P50 P99 MAX", times in nanoseconds.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <string>

#include "base/socket_address.hpp"
#include "tests/bench/dns_question.hpp"
#include "tests/bench/latencies.hpp"

int main(int argc, char* argv[]) {
  using countersign::bench::DnsQuestion;
  using Clock = std::chrono::steady_clock;
  std::string zone = "auth.test";
  std::size_t names = 1000;
  CLI::App app("one DNS question at a time");
  app.add_option("--zone", zone);
  app.add_option("--names", names)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  std::string server;
  long long milliseconds = 0;
  while (std::cin >> server >> milliseconds) {
    auto address = countersign::base::SocketAddress::parse(server);
    if (!address) {
      std::fprintf(stderr, "%s\n", address.error().message.c_str());
      return 2;
    }
    DnsQuestion question(*address);
    countersign::bench::Latencies taken;
    unsigned long long answered = 0, wrong = 0;
    Clock::time_point start = Clock::now();
    for (std::size_t i = 0; Clock::now() - start < std::chrono::milliseconds(milliseconds); i = (i + 7) % names) {
      Clock::time_point before = Clock::now();
      if (question.ask("n" + std::to_string(i) + "." + zone, {}) == DnsQuestion::Outcome::There)
        ++answered;
      else
        ++wrong;
      taken.add(Clock::now() - before);
    }
    std::printf(
        "%llu %llu %lld %llu %llu %llu\n", answered, wrong, static_cast<long long>((Clock::now() - start).count()),
        static_cast<unsigned long long>(taken.percentile(0.5)), static_cast<unsigned long long>(taken.percentile(0.99)),
        static_cast<unsigned long long>(taken.percentile(1)));
    std::fflush(stdout);
  }
  return 0;
}
