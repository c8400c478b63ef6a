// What waits for the store thread, and what becomes of it. Private to the publisher.
// Thread: any makes them, the store thread does them.
#pragma once

#include <chrono>
#include <deque>
#include <variant>
#include <vector>

#include "zones/publisher.hpp"
#include "zones/txt_transaction.hpp"
#include "zones/zone_records.hpp"

namespace countersign::zones {

struct ChangeJob {
  TxtChange change;
  ChangeCompletion done;
};
struct UpdateJob {
  TxtUpdate update;
  UpdateCompletion done;
};
struct RegistrationJob {
  RegistrationChange change;
  RegistrationCompletion done;
};
// What one transaction does.
using GroupedJob = std::variant<ChangeJob, UpdateJob, RegistrationJob>;

struct ListRegistrationsJob {
  std::string after;
  std::size_t limit;
  RegistrationsCompletion done;
};
struct ListJob {
  std::optional<base::Name> name;
  ListCompletion done;
};
struct SnapshotJob {
  SnapshotCompletion done;
};
struct ReloadJob {
  TxtLimits limits;
  std::chrono::milliseconds lifetime;
  std::vector<StaticZone> zones;
  ReloadCompletion done;
};
struct RetireJob {
  void* object;
  void (*free)(void*);
};
using Job = std::variant<GroupedJob, ListRegistrationsJob, ListJob, SnapshotJob, ReloadJob, RetireJob>;

void refuse(Job& job, const base::Error& error);

// Changes and prerequisites: what it costs.
[[nodiscard]] std::size_t weight_of(const GroupedJob& job);

// What a job of a group came to, before the commit.
using Outcome = std::variant<base::Result<void>, base::Result<UpdateVerdict>>;

[[nodiscard]] Outcome apply(TxtTransaction& transaction, const GroupedJob& job, std::chrono::milliseconds lifetime);
// Its error; absent: there is none.
[[nodiscard]] std::optional<base::Error> error_of(const Outcome& outcome);
// After the commit.
void complete(const TxtTransaction& transaction, GroupedJob& job, const Outcome& outcome);
void refuse(GroupedJob& job, const base::Error& error);

}  // namespace countersign::zones
