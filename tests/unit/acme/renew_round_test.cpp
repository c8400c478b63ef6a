// What is collected, and the sleep between rounds.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>

#include "acme/renew/known.hpp"
#include "acme/renew/pause.hpp"
#include "acme/renew/renew.hpp"
#include "acme/transport/interrupt.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"

namespace countersign::acme {
namespace {

namespace fs = std::filesystem;
using base::ErrorCode;
using base::WallTime;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using tests::TemporaryFolder;

conf::Config configured(const fs::path& state, const std::vector<conf::Certificate>& certificates = {}) {
  conf::Config config;
  config.state_dir = state;
  config.acme.ca = "http://127.0.0.1:9/dir";  // nobody is there
  config.certificates = certificates;
  return config;
}

conf::Certificate entry(std::vector<std::string> names, std::string cert_name = "") {
  conf::Certificate certificate;
  certificate.names = std::move(names);
  certificate.cert_name = std::move(cert_name);
  certificate.at = {7, 1};
  return certificate;
}

TEST_CASE("certificates are those of the state and those of the configuration, in order", "[acme]") {
  TemporaryFolder folder;
  CHECK(known_certificates(configured(folder.path / "state"), {})->empty());
  CHECK(!fs::exists(folder.path / "state"));

  fs::create_directories(folder.path / "acme/certificates");
  std::ofstream(folder.path / "acme/certificates/broken.json") << "{";
  std::ofstream(folder.path / "acme/certificates/.hidden.json") << "{";
  std::ofstream(folder.path / "acme/certificates/NOT ONE.json") << "{";
  std::ofstream(folder.path / "acme/certificates/readme.txt") << "{";
  CertificateRecord record;
  record.names = {"z.example"};
  std::ofstream(folder.path / "acme/certificates/z.example.json") << record_document(record);
  auto known = known_certificates(configured(folder.path, {entry({"*.B\xc3\xbc"
                                                                  "cher.example"}),
                                                           entry({"z.example", "y.example"}), entry({"not a name"}),
                                                           entry({"not_a/name", "ok.example"}, "named")}),
                                  {});
  REQUIRE(known);
  std::vector<std::string> names;
  for (const Known& one : *known) names.push_back(one.cert_name);
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"broken", "named", "the [[certificate]] in line 7", "xn--bcher-kva.example",
                                          "z.example"});
  for (const Known& one : *known) {
    INFO(one.cert_name);
    bool sound = one.cert_name == "xn--bcher-kva.example" || one.cert_name == "z.example";
    CHECK(one.prospect.has_value() == sound);
    if (one.cert_name == "broken") CHECK(one.prospect.error().message.find("broken.json") != std::string::npos);
    if (one.cert_name == "named")
      CHECK(one.prospect.error().message.find("the [[certificate]] in line 7") != std::string::npos);
    // The entry's names take the place of the record's.
    if (one.cert_name == "z.example") {
      CHECK(one.prospect->names == std::vector<std::string>{"z.example", "y.example"});
      CHECK(one.prospect->record);
      CHECK(one.prospect->in_configuration);
    }
  }
}

TEST_CASE("a certificate that nobody knows is refused, and the nearest is named", "[acme]") {
  TemporaryFolder folder;
  conf::Config config = configured(folder.path, {entry({"shop.example"}), entry({"www.example"})});
  auto wanted = known_certificates(config, {"www.example"});
  REQUIRE(wanted);
  REQUIRE(wanted->size() == 1);
  CHECK(wanted->front().cert_name == "www.example");
  auto wrong = known_certificates(config, {"www.example", "shp.example"});
  REQUIRE(!wrong);
  CHECK(wrong.error().code == ErrorCode::Usage);
  CHECK(wrong.error().message.find("the nearest one is \"shop.example\"") != std::string::npos);
  CHECK(known_certificates(configured(folder.path), {"\x1b[2J"}).error().message.find('\x1b') == std::string::npos);
}

TEST_CASE("a failing issuance is tried again a minute later, and later and later", "[acme]") {
  TemporaryFolder folder;
  conf::Config config = configured(folder.path, {entry({"a.example"})});
  config.control_socket = folder.path / "no.sock";
  config.acme.resolver = "127.0.0.1:9";
  Renewer renewer;
  RenewRequest request;
  request.presence = Presence::Stays;
  auto items = renewer.plan(config, request);
  REQUIRE(items);
  REQUIRE(items->size() == 1);
  REQUIRE(items->front().status == RenewItem::Status::Due);
  auto began = base::SystemClock().wall();
  renewer.carry_out(config, request, *items, {});
  REQUIRE(items->front().status == RenewItem::Status::Failed);
  REQUIRE(items->front().next);
  CHECK(*items->front().next >= began + minutes(1));
  CHECK(renewer.next_round(*items, began) == *items->front().next);
  auto again = renewer.plan(config, request);
  REQUIRE(again);
  CHECK(again->front().status == RenewItem::Status::HeldBack);
  REQUIRE(again->front().next);
  CHECK(*again->front().next > began + seconds(50));
  // A person who insists is not held back, and a timer's next run is another process.
  request.trigger = Trigger::Force;
  CHECK(renewer.plan(config, request)->front().status == RenewItem::Status::Due);
  CHECK(Renewer().plan(config, RenewRequest())->front().status == RenewItem::Status::Due);
}

TEST_CASE("the next round is within six hours and never at once", "[acme]") {
  Renewer renewer;
  WallTime now = base::SystemClock().wall();
  CHECK(renewer.next_round({}, now) == now + hours(6));
  std::vector<RenewItem> items(3);
  items[0].next = now + hours(2);
  items[1].next = now + hours(1);
  CHECK(renewer.next_round(items, now) == now + hours(1));
  items[2].next = now - hours(1);
  CHECK(renewer.next_round(items, now) == now + seconds(1));
}

TEST_CASE("a pause ends at its time, and when a file is replaced", "[acme]") {
  TemporaryFolder folder;
  fs::path file = folder.path / "file";
  std::vector<fs::path> paths{file, folder.path / "absent"};
  std::ofstream(file) << "one";
  Fingerprint before(paths);
  auto began = std::chrono::steady_clock::now();
  CHECK(pause_until(base::SystemClock().wall() + milliseconds(300), paths, before) == Woken::Time);
  CHECK(std::chrono::steady_clock::now() - began >= milliseconds(290));
  CHECK(pause_until(base::SystemClock().wall() - hours(1), paths, before) == Woken::Time);
  std::ofstream(file) << "three";
  CHECK(pause_until(base::SystemClock().wall() + hours(1), paths, before) == Woken::Change);
  before = Fingerprint(paths);
  std::ofstream(folder.path / "absent") << "";
  CHECK(pause_until(base::SystemClock().wall() + hours(1), paths, before) == Woken::Change);
  before = Fingerprint(paths);
  fs::remove(file);
  CHECK(pause_until(base::SystemClock().wall() + hours(1), paths, before) == Woken::Change);
}

TEST_CASE("a pause ends when it is interrupted", "[acme]") {
  pid_t child = ::fork();
  if (child == 0) {
    install_interrupt_handlers();
    auto woken = pause_until(base::SystemClock().wall() + hours(1), {}, Fingerprint({}));
    ::_exit(woken == Woken::Interrupted ? 42 : 1);
  }
  ::usleep(300'000);
  ::kill(child, SIGTERM);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 42));
}

}  // namespace
}  // namespace countersign::acme
