// When a certificate is to be renewed, and why. Pure: all that it depends on is given.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "acme/issue/options.hpp"
#include "acme/state/certificate_record.hpp"
#include "acme/state/failure_memory.hpp"
#include "acme/state/revocation_mark.hpp"
#include "base/clock.hpp"

namespace countersign::acme {

// What is known about one certificate.
struct Prospect {
  struct Live {
    base::WallTime not_before, not_after;
    std::string certificate_id;  // RFC 9773 §4.1
  };
  std::string cert_name;
  std::optional<CertificateRecord> record;
  std::optional<Live> live;                               // absent: there is none, or its files are not what was issued
  std::optional<RevocationMark> revoked;                  // what is live
  bool in_configuration = false;                          // it has a [[certificate]]
  std::vector<std::string> names;                         // that it is wanted for
  IssueOptions options;                                   // that it is wanted with
  std::vector<std::string> cas;                           // directory URLs of options.cas
  std::string issued_profile;                             // that it was asked for with
  bool for_another_request = false;                       // options.csr is not the one that it was issued for
  std::vector<std::optional<FailureMemory::Hold>> holds;  // of each of `cas`
};

enum class Trigger { Schedule, Force };

struct Decision {
  enum class Kind { Due, NotDue, HeldBack, Nothing };
  Kind kind = Kind::Nothing;
  std::string reason;            // for a person
  base::WallTime at;             // NotDue: it is due then; HeldBack: until then
  bool suggested_by_ca = false;  // `at`, or that it is due, is the CA's suggestion
  // HeldBack because it was issued lately, and does not expire soon: nobody has to do anything.
  bool can_wait = false;
};

// Never Due twice within a day (a quarter of the lifetime, where that is shorter), but for what a person wants.
// `next_look`: when this is asked the next time at the latest.
[[nodiscard]] Decision decide(const Prospect& prospect, Trigger trigger, base::WallTime now, base::WallTime next_look);

}  // namespace countersign::acme
