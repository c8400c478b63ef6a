// The data side of a daemon for the tests of its network: auth.test with a store in a folder of its own.
#pragma once

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "dnsd/answer/responder.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/dns_message.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/temporary_folder.hpp"
#include "zones/publisher.hpp"

namespace countersign::tests {

class LiveZone {
 public:
  using Values = base::Result<std::vector<zones::PublishedValue>>;

  // `folder`: of one that is gone, as a daemon finds it that starts again.
  explicit LiveZone(std::shared_ptr<const TemporaryFolder> folder = std::make_shared<TemporaryFolder>())
      : folder_(std::move(folder)),
        first_(epochs_.add_reader()),
        second_(epochs_.add_reader()),
        third_(epochs_.add_reader()) {
    conf::Zone zone;
    zone.name = *base::Name::parse("auth.test");
    zone.nameservers = {*base::Name::parse("ns1.auth.test")};
    zone.hostmaster = *base::Name::parse("hostmaster.auth.test");
    for (const char* record : {"ns1 A 192.0.2.1", "alias CNAME elsewhere.test."}) zone.records.push_back({record, {}});
    config_.zones = {zone};
    config_.challenge.max_values = 3;
    std::vector<conf::Problem> problems;
    auto built = zones::build_static_zones(config_, problems);
    REQUIRE(problems.empty());
    auto opened = zones::Publisher::open(folder_->path, config_, std::move(built), table_, registry_, clock_);
    if (!opened) FAIL(opened.error().message);
    publisher_ = std::move(*opened);
  }

  void publish(std::string_view name, std::string_view value) { REQUIRE(try_publish(name, value)); }
  // Without an assertion, for threads of a test: Catch's are for its own thread only.
  [[nodiscard]] bool try_publish(std::string_view name, std::string_view value) {
    zones::TxtChange change;
    change.name = *base::Name::parse(name);
    change.value = *zones::TxtValue::parse(value);
    change.owner = "control";
    std::promise<Values> promise;
    publisher_->submit(std::move(change), [&promise](Values values) { promise.set_value(std::move(values)); });
    return promise.get_future().get().has_value();
  }

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_->path; }
  [[nodiscard]] FakeClock& clock() { return clock_; }
  [[nodiscard]] zones::Publisher& publisher() { return *publisher_; }
  [[nodiscard]] zones::Registry& registry() { return registry_; }
  [[nodiscard]] const conf::Config& config() const { return config_; }
  [[nodiscard]] const dnsd::Responder& responder() const { return responder_; }
  // As a reload does.
  void use(dnsd::AnswerSettings settings) {
    old_settings_.push_back(responder_.use(std::make_unique<dnsd::AnswerSettings>(std::move(settings))));
  }
  [[nodiscard]] zones::Epochs::Reader& first_reader() { return first_; }
  [[nodiscard]] zones::Epochs::Reader& second_reader() { return second_; }
  [[nodiscard]] zones::Epochs::Reader& tcp_reader() { return third_; }

 private:
  std::shared_ptr<const TemporaryFolder> folder_;
  conf::Config config_;
  zones::Registry registry_;
  FakeClock clock_;
  zones::Epochs epochs_;
  zones::Epochs::Reader& first_;
  zones::Epochs::Reader& second_;
  zones::Epochs::Reader& third_;
  zones::NameTable table_{epochs_};
  std::vector<std::unique_ptr<const dnsd::AnswerSettings>> old_settings_;  // readers may still see them
  dnsd::Responder responder_{table_, std::make_unique<dnsd::AnswerSettings>()};
  std::unique_ptr<zones::Publisher> publisher_;
};

// `text` for QueryBuilder, with an id of its own.
[[nodiscard]] inline Packet query_with_id(std::string_view text, unsigned id) {
  Packet packet = query(text);
  packet[0] = static_cast<char>(id >> 8U);
  packet[1] = static_cast<char>(id & 0xffU);
  return packet;
}

[[nodiscard]] inline unsigned id_of(const Packet& packet) {
  return base::load_u16(base::as_bytes(packet).data());
}

}  // namespace countersign::tests
