// A publisher that keeps what it is given, and fails where a test says so.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "acme/issue/publisher.hpp"
#include "acme/transport/interrupt.hpp"

namespace countersign::tests {

class RecordingPublisher final : public acme::Publisher {
 public:
  base::Result<std::vector<acme::Delegation>> locate(const std::vector<acme::DnsIdentifier>& identifiers) override {
    calls.push_back("locate");
    std::vector<acme::Delegation> out;
    for (const acme::DnsIdentifier& identifier : identifiers) {
      acme::Delegation delegation;
      delegation.identifier = identifier;
      delegation.challenge_name = identifier.challenge_name();
      delegation.target = *zone.prepend(*base::Name::parse(identifier.base_text()));
      if (undelegated == identifier.base_text()) {
        delegation.problem = "no CNAME";
        delegation.remedy = "_acme-challenge." + undelegated + ". IN CNAME " + undelegated + ".auth.test.";
      } else {
        delegation.zone = zone;
      }
      out.push_back(delegation);
    }
    return out;
  }
  base::Result<void> publish(const std::vector<acme::TxtValue>& values) override {
    calls.push_back("publish");
    all_published.insert(all_published.end(), values.begin(), values.end());
    served.insert(served.end(), values.begin(), values.end());
    if (on_publish) on_publish();
    return publish_result;
  }
  base::Result<std::vector<std::string>> await_visibility(const std::vector<acme::TxtValue>& values,
                                                          const std::vector<base::Name>& zones) override {
    calls.push_back("fence");
    fenced_zones = zones;
    if (!fence_result) return base::fail(fence_result.error());
    return std::vector<std::string>(values.size() == served.size() ? 0 : 1, "not all values");
  }
  void watch_questions() override { calls.push_back("watch"); }
  std::vector<base::Name> await_questions(std::chrono::milliseconds timeout) override {
    if (!asks_at_once) {
      acme::sleep_unless_interrupted(timeout);
      return {};
    }
    std::vector<base::Name> names;
    for (const acme::TxtValue& value : served) names.push_back(value.name);
    return names;
  }
  base::Result<void> withdraw(const std::vector<acme::TxtValue>& values) override {
    calls.push_back("withdraw");
    if (!withdraw_result) return withdraw_result;
    for (const acme::TxtValue& value : values) {
      auto same = [&](const acme::TxtValue& v) { return v.name == value.name && v.value == value.value; };
      served.erase(std::remove_if(served.begin(), served.end(), same), served.end());
    }
    return {};
  }

  [[nodiscard]] long called(const std::string& name) const { return std::count(calls.begin(), calls.end(), name); }

  base::Name zone = *base::Name::parse("auth.test");
  std::string undelegated;
  bool asks_at_once = true;
  base::Result<void> publish_result, fence_result, withdraw_result;
  std::function<void()> on_publish;
  std::vector<std::string> calls;
  std::vector<acme::TxtValue> served, all_published;
  std::vector<base::Name> fenced_zones;
};

}  // namespace countersign::tests
