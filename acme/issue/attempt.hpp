// What happened in one order at one CA, told by name: who asked, what they got, what the CA said.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "acme/control/daemon.hpp"
#include "acme/protocol/problem.hpp"
#include "base/clock.hpp"
#include "base/name.hpp"

namespace countersign::acme {

struct NameAttempt {
  std::string name;                // as ordered, with `*.`
  base::Name target;               // where its value was published
  std::string value;               // what was published there; "" when it needed no proof
  std::string status;              // of its authorization: valid, invalid, pending, ...; "" when it was not heard of
  std::vector<SeenQuery> queries;  // for `target`, from the trigger on
  std::optional<Problem> problem;  // why the CA says no
  base::Name challenge_name{};     // where the CA looks (ChallengePlace::name); the root: not known
};

struct Attempt {
  std::string ca;  // directory URL
  base::WallTime triggered{};
  bool watched = false;  // the queries were seen: none in the list means that none arrived
  bool succeeded = false;
  std::vector<NameAttempt> names;
  std::optional<Problem> problem;           // of the order as a whole, or the refusal to make one
  std::optional<base::WallTime> try_again;  // the CA's own time
};

}  // namespace countersign::acme
