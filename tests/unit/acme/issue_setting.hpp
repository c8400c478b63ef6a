// One machine that issues: its state folder, its configuration, a publisher, and what it was told.
#pragma once

#include <string>
#include <vector>

#include "acme/issue/certificate_store.hpp"
#include "acme/issue/issue_flow.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/pebble.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/acme/recording_publisher.hpp"

namespace countersign::tests {

struct Setting {
  TemporaryFolder state;
  conf::Config config;
  RecordingPublisher publisher;
  std::vector<std::string> steps, warnings;
  acme::Budgets budgets{std::chrono::seconds(5), std::chrono::seconds(5)};

  explicit Setting(const Pebble& pebble) : Setting(pebble.directory_url()) { config.acme.ca_bundle = pebble.ca_file(); }
  explicit Setting(const std::string& ca) {
    config.state_dir = state.path / "state";
    config.acme.ca = ca;
    config.acme.agree_tos = true;
  }
  [[nodiscard]] base::Result<acme::IssueOutcome> run(const std::vector<std::string>& names,
                                                     acme::WhenValid when = acme::WhenValid::LeaveAlone,
                                                     const std::string& cert_name = "") {
    acme::IssueRequest request;
    request.identifiers = *acme::parse_identifiers(names);
    request.when_valid = when;
    request.cert_name = cert_name;
    request.cert_name_given = !cert_name.empty();
    steps.clear();
    acme::IssueCallbacks callbacks{[this](const acme::Step& step) { steps.push_back(step.name); },
                                   [this](const std::string& text) { warnings.push_back(text); }};
    return acme::issue_with(config, request, callbacks, {publisher, budgets});
  }
  [[nodiscard]] acme::IssueOutcome succeed(const std::vector<std::string>& names,
                                           acme::WhenValid when = acme::WhenValid::LeaveAlone,
                                           const std::string& cert_name = "") {
    auto outcome = run(names, when, cert_name);
    if (!outcome) FAIL(outcome.error().message);
    return *std::move(outcome);
  }
  [[nodiscard]] std::filesystem::path folder() const { return config.state_dir / "acme"; }
  [[nodiscard]] acme::CertificateRecord record(const std::string& name) const {
    return acme::CertificateStore::open(folder())->load(name)->value();
  }
};

}  // namespace countersign::tests
