// Renewal: looks at every certificate, asks the CAs what they suggest, and issues again what is due.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "acme/issue/issue.hpp"
#include "acme/renew/due.hpp"
#include "acme/state/certificate_store.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "conf/config.hpp"

namespace countersign::acme {

// Stays: it will look again when something is due (`--watch`). Once: a timer comes again, twice a day.
enum class Presence { Once, Stays };

struct RenewRequest {
  std::vector<std::string> certificates;  // empty = all
  Trigger trigger = Trigger::Schedule;
  Presence presence = Presence::Once;
  unsigned jobs = 1;
};

struct RenewItem {
  // Deployed: only its deploy hooks ran, which an earlier run did not bring to a good end.
  enum class Status { Due, Renewed, Deployed, Failed, NotDue, HeldBack, Busy, Nothing };
  std::string cert_name;
  std::vector<std::string> names;
  Status status = Status::Nothing;
  std::string reason;                                // for a person
  std::optional<base::WallTime> next;                // when to look at it again
  bool can_wait = false;                             // HeldBack: as Decision::can_wait
  std::string explanation_url;                       // of the CA's suggestion, when it is news
  std::optional<IssueRequest> request;               // Due
  std::optional<base::Result<IssueOutcome>> result;  // of the issuance, or what stands in the way of one
};

// Remembers from one round to the next what failed, so that a Renewer that stays waits longer and longer.
class Renewer {
 public:
  Renewer();

  // What there is, and what is due. CERT.json gets the CA's suggestions. Error: as known_certificates(). A certificate
  // that nothing can be done about is an item that has Failed.
  [[nodiscard]] base::Result<std::vector<RenewItem>> plan(const conf::Config& config, const RenewRequest& request);
  // Issues the items that are Due: their order is that of the callbacks' items.
  void carry_out(const conf::Config& config, const RenewRequest& request, std::vector<RenewItem>& items,
                 const IssueCallbacks& callbacks);
  // When the next round is due: within six hours (a CA's suggestion may change at any time), at least a second ahead.
  [[nodiscard]] base::WallTime next_round(const std::vector<RenewItem>& items, base::WallTime now) const;

 private:
  // After failures in a row.
  struct Patience {
    unsigned failures = 0;
    base::ElapsedTime until{};  // the wall clock may jump
  };
  struct Asked;

  static std::chrono::milliseconds lengthen(Patience& patience);
  void ask_for_suggestions(const conf::Config& config, const CertificateStore& store,
                           const std::vector<Prospect*>& prospects);
  [[nodiscard]] RenewItem item_of(const Prospect& prospect, const RenewRequest& request);
  [[nodiscard]] bool must_wait(RenewItem& item, WhenValid when_valid, base::WallTime now) const;
  void settle(const conf::Config& config, RenewItem& item, base::Result<IssueOutcome> result);
  [[nodiscard]] base::WallTime ask_again_at(const std::string& cert_name, const RenewalState& state,
                                            base::WallTime now) const;
  [[nodiscard]] std::chrono::milliseconds spread(const Prospect& prospect) const;

  std::map<std::string, Patience> silence_;          // CAs' renewal information, by CERT
  std::map<std::string, Patience> failures_;         // issuances, by CERT
  std::map<std::string, Patience> hooks_;            // deploy hooks, by CERT
  std::map<std::string, std::string> explanations_;  // that are news
  std::uint64_t seed_;
};

}  // namespace countersign::acme
