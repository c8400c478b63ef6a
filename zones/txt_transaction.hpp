// A group of changes on its way into the store: applied in memory one after another, then written in one transaction,
// then made visible together.
// Thread: the store thread.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "zones/lifetime_clock.hpp"
#include "zones/publisher.hpp"
#include "zones/store.hpp"
#include "zones/zone_records.hpp"

namespace countersign::zones {

class TxtTransaction {
 public:
  TxtTransaction(Store& store, ZoneRecords& records, std::vector<StoredSerial>& serials, base::WallTime now)
      : store_(store), records_(records), serials_(serials), now_(to_milliseconds(now)) {}

  // The change's own error leaves the transaction whole; Unavailable means that it is lost: call abandon().
  [[nodiscard]] base::Result<void> apply(const TxtChange& change, std::chrono::milliseconds default_lifetime);
  // The same; an update's error, or a prerequisite that does not hold, leaves nothing of the update.
  [[nodiscard]] base::Result<UpdateVerdict> apply(const TxtUpdate& update, std::chrono::milliseconds default_lifetime);
  [[nodiscard]] base::Result<void> apply(const RegistrationChange& change);
  // Takes values past their deadline away, at most `limit`; returns how many.
  [[nodiscard]] base::Result<std::size_t> prune(std::int64_t limit);

  // Makes it durable, with one serial more for each zone it changed, then visible. Error: Unavailable; abandon() then.
  [[nodiscard]] base::Result<void> finish();
  void abandon() { store_.rollback(); }
  [[nodiscard]] bool wrote() const { return begun_; }
  // Registrations added less those removed.
  [[nodiscard]] std::int64_t registrations() const { return registrations_; }

  // What the name serves after finish(); only of names that apply() was called with.
  [[nodiscard]] std::vector<PublishedValue> values(const base::Name& name) const;

 private:
  static constexpr std::size_t kNoZone = SIZE_MAX;
  struct Touched {
    std::size_t zone = kNoZone;  // kNoZone: served by nobody
    std::vector<StoredValue> before, values;
    bool pruned = false;  // values past their deadline went
  };
  using Places = std::map<base::Name, Touched>;

  [[nodiscard]] base::Result<void> begin_once();
  [[nodiscard]] base::Result<Touched*> touch(const base::Name& name, std::size_t zone);
  [[nodiscard]] base::Result<void> add(const TxtChange& change, Touched& touched,
                                       std::chrono::milliseconds default_lifetime);
  [[nodiscard]] base::Result<void> make_room(const TxtChange& change, std::vector<StoredValue>& values,
                                             std::vector<StoredValue>& dropped) const;
  [[nodiscard]] base::Result<UpdateVerdict> judge(const Prerequisite& prerequisite);
  [[nodiscard]] base::Result<void> add_registration(const Registration& registration);
  [[nodiscard]] base::Result<void> remove_registration(const std::string& username);
  [[nodiscard]] base::Result<bool> write(const base::Name& name, const Touched& touched);
  [[nodiscard]] base::Result<std::set<std::size_t>> write_all();

  Store& store_;
  ZoneRecords& records_;
  std::vector<StoredSerial>& serials_;
  std::int64_t now_;
  bool begun_ = false;
  Places touched_;
  std::map<base::Name, bool> pins_;  // names that are to be pinned, or no longer
  std::vector<const Places::value_type*> changed_;
  std::map<std::string, std::uint64_t> marks_;  // of keys whose updates were applied
  // Values that went for others of their owner; told when it is done.
  std::vector<std::pair<base::Name, StoredValue>> dropped_;
  std::int64_t registrations_ = 0;
};

[[nodiscard]] std::vector<std::string> unexpired(const std::vector<StoredValue>& values, std::int64_t now);

}  // namespace countersign::zones
