// A shield is one thread's. Each case is a process of its own, which gets a signal.
#include "acme/transport/interrupt.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "acme/issue/hooks.hpp"
#include "acme/transport/http.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/mock_http_server.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace std::chrono_literals;
using base::ErrorCode;

namespace {

using Clock = std::chrono::steady_clock;

// `work` runs with the handlers installed and the signal on its way; what it returns is expected to be 0.
int interrupted_process(const std::function<int()>& work) {
  pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::alarm(20);
    install_interrupt_handlers();
    std::thread([] {
      std::this_thread::sleep_for(200ms);
      ::kill(::getpid(), SIGTERM);
    }).detach();
    ::_exit(work());
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

// Runs `work` while another thread has a shield from before the signal until well behind it.
int beside_a_shield(const std::function<int()>& work) {
  std::atomic<bool> shielded{false}, done{false};
  std::thread other([&] {
    Uninterrupted shield;
    shielded = true;
    while (!done) std::this_thread::sleep_for(1ms);
  });
  while (!shielded) std::this_thread::sleep_for(1ms);
  int result = work();
  done = true;
  other.join();
  return result;
}

}  // namespace

TEST_CASE("a thread that cleans up does not make the others deaf", "[acme]") {
  CHECK(interrupted_process([] {
          return beside_a_shield([] {
            auto began = Clock::now();
            bool whole = sleep_unless_interrupted(5s);
            return whole || !interrupted() || Clock::now() - began > 3s ? 1 : 0;
          });
        }) == 0);
}

TEST_CASE("a hook is ended while another thread cleans up", "[acme]") {
  CHECK(interrupted_process([] {
          return beside_a_shield([] {
            auto began = Clock::now();
            auto run = run_hooks({"sleep 8"}, {});
            return run || run.error().code != ErrorCode::Interrupted || Clock::now() - began > 5s ? 1 : 0;
          });
        }) == 0);
}

TEST_CASE("a shielded thread sleeps its whole time and is told of the signal afterwards", "[acme]") {
  CHECK(interrupted_process([] {
          {
            Uninterrupted shield;
            auto began = Clock::now();
            if (!sleep_unless_interrupted(500ms) || Clock::now() - began < 490ms) return 1;
            if (interrupted() || interrupt_descriptor() >= 0 || !signalled()) return 2;
          }
          return interrupted() && interrupt_descriptor() >= 0 ? 0 : 3;
        }) == 0);
}

TEST_CASE("of two requests through one client the shielded one goes on", "[acme]") {
  CHECK(interrupted_process([] {
          tests::MockHttpServer server([](const tests::MockRequest& request) {
            std::this_thread::sleep_for(request.path == "/slow" ? 700ms : 0ms);
            return tests::MockReply{200, {}, "fine"};
          });
          tests::MockHttpServer silent([](const tests::MockRequest&) {
            return tests::MockReply{200, {}, "", tests::MockReply::Fault::NeverAnswer};
          });
          HttpClient client({});
          int result = 0;
          std::thread cleaner([&] {
            Uninterrupted shield;
            auto answer = client.perform(HttpRequest{HttpRequest::Method::Get, server.url("/slow"), {}, ""});
            // And another, begun after the signal.
            auto next = client.perform(HttpRequest{HttpRequest::Method::Get, server.url("/"), {}, ""});
            if (!answer || !next) result = 2;
          });
          auto began = Clock::now();
          auto answer = client.perform(HttpRequest{HttpRequest::Method::Get, silent.url("/"), {}, ""});
          bool at_once = Clock::now() - began < 600ms;
          cleaner.join();
          if (answer || answer.error().code != ErrorCode::Interrupted || !at_once) return 1;
          return result;
        }) == 0);
}
