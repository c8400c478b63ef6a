// A publisher that keeps what it is given, and fails where a test says so.
#pragma once

#include <algorithm>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "acme/issue/publisher.hpp"
#include "acme/transport/interrupt.hpp"

namespace countersign::tests {

class RecordingPublisher final : public acme::Publisher {
 public:
  base::Result<std::vector<acme::Delegation>> locate(const std::vector<acme::ChallengePlace>& places) override {
    std::lock_guard lock(mutex_);
    calls.push_back("locate");
    std::vector<acme::Delegation> out;
    for (const acme::ChallengePlace& place : places) {
      const acme::DnsIdentifier& identifier = place.identifier;
      acme::Delegation delegation;
      delegation.identifier = identifier;
      delegation.challenge_name = place.name;
      asked_places.push_back(place.name.text());
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
  base::Result<void> publish(const std::vector<acme::TxtValue>& values,
                             std::optional<std::chrono::milliseconds> lifetime) override {
    std::lock_guard lock(mutex_);
    calls.push_back("publish");
    lifetimes.push_back(lifetime);
    all_published.insert(all_published.end(), values.begin(), values.end());
    for (const acme::TxtValue& value : values) {
      auto same = [&](const acme::TxtValue& v) { return v.name == value.name && v.value == value.value; };
      if (std::none_of(served.begin(), served.end(), same)) served.push_back(value);
    }
    if (on_publish) on_publish();
    return publish_result;
  }
  base::Result<std::vector<std::string>> await_visibility(const std::vector<acme::TxtValue>& values,
                                                          const std::vector<base::Name>& zones) override {
    std::lock_guard lock(mutex_);
    calls.push_back("fence");
    fenced_zones = zones;
    if (!fence_result) return base::fail(fence_result.error());
    auto is_served = [this](const acme::TxtValue& value) {
      return std::any_of(served.begin(), served.end(), [&](const acme::TxtValue& other) {
        return other.name == value.name && other.value == value.value;
      });
    };
    bool all = std::all_of(values.begin(), values.end(), is_served);
    return std::vector<std::string>(all ? 0 : 1, "not all values");
  }
  std::optional<acme::QuestionLog::Mark> watch_questions() override {
    std::lock_guard lock(mutex_);
    calls.push_back("watch");
    return 1;
  }
  bool await_questions(std::optional<acme::QuestionLog::Mark>, std::set<base::Name>& unasked,
                       std::chrono::milliseconds timeout) override {
    if (!asks_at_once) {
      acme::sleep_unless_interrupted(timeout);
      return false;
    }
    std::lock_guard lock(mutex_);
    for (const acme::TxtValue& value : served) unasked.erase(value.name);
    return unasked.empty();
  }
  std::vector<acme::SeenQuery> questions(std::optional<acme::QuestionLog::Mark>, const base::Name& name) override {
    acme::SeenQuery query;
    query.client = "192.0.2.7";
    query.name = name;
    query.type = "TXT";
    query.rcode = "NOERROR";
    query.values = 1;
    return {query};
  }
  bool sees_questions() override { return true; }
  base::Result<void> withdraw(const std::vector<acme::TxtValue>& values) override {
    std::lock_guard lock(mutex_);
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
  std::vector<std::string> asked_places;
  std::vector<std::optional<std::chrono::milliseconds>> lifetimes;

 private:
  std::mutex mutex_;
};

}  // namespace countersign::tests
