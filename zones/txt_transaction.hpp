// A group of changes on its way into the store: applied in one transaction, then made visible together.
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
  // Takes values past their deadline away, at most `limit`; returns how many.
  [[nodiscard]] base::Result<std::size_t> prune(std::int64_t limit);

  // Makes it durable, with one serial more for each zone it changed, then visible. Error: Unavailable; abandon() then.
  [[nodiscard]] base::Result<void> finish();
  void abandon() { store_.rollback(); }
  [[nodiscard]] bool wrote() const { return begun_; }

  // What the name has after finish(); only of names that apply() was called with.
  [[nodiscard]] std::vector<PublishedValue> values(const base::Name& name) const;

 private:
  struct Touched {
    std::size_t zone = 0;
    std::vector<StoredValue> values;
  };

  [[nodiscard]] base::Result<void> begin_once();
  [[nodiscard]] base::Result<Touched*> touch(const base::Name& name, std::size_t zone);
  [[nodiscard]] base::Result<void> add(const TxtChange& change, Touched& touched,
                                       std::chrono::milliseconds default_lifetime);
  [[nodiscard]] base::Result<void> remove(const base::Name& name, const std::string& value, Touched& touched);
  [[nodiscard]] base::Result<void> remove_unserved(const TxtChange& change);

  Store& store_;
  ZoneRecords& records_;
  std::vector<StoredSerial>& serials_;
  std::int64_t now_;
  bool begun_ = false;
  std::map<base::Name, Touched> touched_;
  std::set<base::Name> changed_;
};

[[nodiscard]] std::vector<std::string> unexpired(const std::vector<StoredValue>& values, std::int64_t now);

}  // namespace countersign::zones
