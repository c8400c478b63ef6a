// A daemon's data side for the tests of the publisher: auth.test, with time at the test's command.
#pragma once

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/temporary_folder.hpp"
#include "zones/publisher.hpp"
#include "zones/record_type.hpp"

namespace countersign::tests {

using Values = base::Result<std::vector<zones::PublishedValue>>;

inline conf::Config test_config() {
  conf::Config config;
  conf::Zone zone;
  zone.name = *base::Name::parse("auth.test");
  zone.nameservers = {*base::Name::parse("ns1.auth.test")};
  zone.hostmaster = *base::Name::parse("hostmaster.auth.test");
  for (const char* record :
       {"ns1 A 192.0.2.1", "alias CNAME elsewhere.test.", "cut NS ns.elsewhere.test.", "fixed 60 TXT standing"})
    zone.records.push_back({record, {}});
  config.zones = {zone};
  config.challenge.max_values = 3;
  return config;
}

struct Server {
  conf::Config config;
  FakeClock& clock;
  zones::Epochs epochs;
  zones::NameTable table{epochs};
  zones::Epochs::Reader& reader = epochs.add_reader();
  std::vector<zones::Epochs::Reader*> more_readers;
  zones::Registry registry;
  std::unique_ptr<zones::Publisher> publisher;

  Server(const TemporaryFolder& folder, FakeClock& time, conf::Config configured = test_config(), int extra_readers = 0)
      : config(std::move(configured)), clock(time) {
    for (int i = 0; i < extra_readers; ++i) more_readers.push_back(&epochs.add_reader());
    std::vector<conf::Problem> problems;
    auto built = zones::build_static_zones(config, problems);
    REQUIRE(problems.empty());
    auto opened = zones::Publisher::open(folder.path, config, std::move(built), table, registry, clock);
    if (!opened) FAIL(opened.error().message);
    publisher = std::move(*opened);
  }

  Values change(zones::TxtChange change) {
    std::promise<Values> promise;
    publisher->submit(std::move(change), [&](Values values) { promise.set_value(std::move(values)); });
    return promise.get_future().get();
  }
  Values add(const std::string& name, const std::string& value,
             std::optional<std::chrono::milliseconds> lifetime = std::nullopt) {
    return change(
        {zones::TxtChange::Kind::Add, *base::Name::parse(name), *zones::TxtValue::parse(value), "control", lifetime});
  }
  Values remove(const std::string& name, const std::string& value) {
    return change(
        {zones::TxtChange::Kind::Remove, *base::Name::parse(name), *zones::TxtValue::parse(value), "", std::nullopt});
  }
  Values remove_all(const std::string& name) {
    return change({zones::TxtChange::Kind::RemoveAll, *base::Name::parse(name), std::nullopt, "", std::nullopt});
  }
  std::vector<zones::PublishedValue> list() {
    std::promise<Values> promise;
    publisher->list(std::nullopt, [&](Values values) { promise.set_value(std::move(values)); });
    return *promise.get_future().get();
  }
  zones::StoreSnapshot snapshot() {
    std::promise<zones::StoreSnapshot> promise;
    publisher->snapshot([&](base::Result<zones::StoreSnapshot> taken) { promise.set_value(*std::move(taken)); });
    return promise.get_future().get();
  }
  // Problems of the configuration fail the test.
  base::Result<void> reload(const conf::Config& next) {
    std::vector<conf::Problem> problems;
    auto built = zones::build_static_zones(next, problems);
    REQUIRE(problems.empty());
    std::promise<base::Result<void>> promise;
    publisher->reload(next, std::move(built), [&](base::Result<void> done) { promise.set_value(std::move(done)); });
    return promise.get_future().get();
  }
  // TXT records that readers see; -1 when the name does not exist.
  int served(const std::string& name) {
    zones::ReadScope scope(reader);
    const zones::Node* node = table.find(base::Name::parse(name)->wire());
    if (node == nullptr) return -1;
    const zones::RrsetAnswer* txt = node->find(zones::record_type::kTxt);
    return txt == nullptr ? 0 : txt->count;
  }
};

inline conf::Zone zone_of(const std::string& apex, std::vector<std::string> records) {
  conf::Zone zone;
  zone.name = *base::Name::parse(apex);
  zone.nameservers = {*base::Name::parse("ns.elsewhere.test")};
  zone.hostmaster = *base::Name::parse("hostmaster.elsewhere.test");
  for (std::string& record : records) zone.records.push_back({std::move(record), {}});
  return zone;
}

inline zones::ZoneSnapshot zone_in(Server& server, const std::string& apex) {
  for (const zones::ZoneSnapshot& zone : server.snapshot().zones)
    if (zone.name == *base::Name::parse(apex)) return zone;
  FAIL("no zone " + apex);
  return {};
}

inline std::uint32_t ttl_of(Server& server, const std::string& name) {
  zones::ReadScope scope(server.reader);
  const zones::Node* node = server.table.find(base::Name::parse(name)->wire());
  REQUIRE(node != nullptr);
  const zones::RrsetAnswer* txt = node->find(zones::record_type::kTxt);
  REQUIRE(txt != nullptr);
  return base::load_u32(node->answer(*txt).data() + 6);  // pointer, type, class
}

}  // namespace countersign::tests
