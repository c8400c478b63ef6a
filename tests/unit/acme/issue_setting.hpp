// One machine that issues: its state folder, its configuration, a publisher, and what it was told.
#pragma once

#include <string>
#include <vector>

#include "acme/issue/issue_flow.hpp"
#include "acme/state/certificate_store.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/pebble.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/acme/recording_publisher.hpp"

namespace countersign::tests {

struct Setting {
  TemporaryFolder state;
  conf::Config config;
  RecordingPublisher publisher;
  conf::CertificateOptions options;
  acme::Holds holds = acme::Holds::CaOnly;
  std::vector<std::string> steps, warnings;
  std::vector<acme::Attempt> attempts;
  std::vector<std::size_t> finished;
  acme::Budgets budgets{std::chrono::seconds(5), std::chrono::seconds(5)};

  explicit Setting(const Pebble& pebble) : Setting(pebble.directory_url()) { config.acme.ca_bundle = pebble.ca_file(); }
  explicit Setting(const std::string& ca) {
    config.state_dir = state.path / "state";
    config.acme.ca = ca;
    config.acme.agree_tos = true;
  }
  [[nodiscard]] acme::IssueRequest request(const std::vector<std::string>& names,
                                           acme::WhenValid when = acme::WhenValid::LeaveAlone,
                                           const std::string& cert_name = "") const {
    acme::IssueRequest request;
    if (!names.empty()) request.identifiers = *acme::parse_identifiers(names);
    request.when_valid = when;
    request.cert_name = cert_name;
    request.cert_name_given = !cert_name.empty();
    request.options = options;
    request.holds = holds;
    return request;
  }
  [[nodiscard]] std::vector<base::Result<acme::IssueOutcome>> run_all(const std::vector<acme::IssueRequest>& requests,
                                                                      unsigned jobs = 1) {
    steps.clear();
    attempts.clear();
    acme::IssueCallbacks callbacks{
        [this](std::size_t, const acme::Step& step) { steps.push_back(step.name); },
        [this](std::size_t, const std::string& text) { warnings.push_back(text); },
        [this](std::size_t, const acme::Attempt& attempt) { attempts.push_back(attempt); },
        [this](std::size_t item, const base::Result<acme::IssueOutcome>&) { finished.push_back(item); }};
    acme::IssueSurroundings surroundings{
        [this](const acme::IssueOptions&) -> base::Result<acme::Publisher*> { return &publisher; }, budgets};
    return acme::issue_with(config, requests, jobs, callbacks, surroundings);
  }
  [[nodiscard]] base::Result<acme::IssueOutcome> run(const std::vector<std::string>& names,
                                                     acme::WhenValid when = acme::WhenValid::LeaveAlone,
                                                     const std::string& cert_name = "") {
    return run_all({request(names, when, cert_name)}).front();
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
