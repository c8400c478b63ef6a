// All that is served at one moment, made as a whole: static records, the store's values, serials. At the start and at
// each reload; nobody sees any of it before ZoneRecords::take_over().
// Thread: the store thread (and the one that starts it, before it runs).
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "zones/store.hpp"
#include "zones/zone_records.hpp"

namespace countersign::zones {

struct Generation {
  std::unique_ptr<ZoneRecords> records;
  std::vector<StoredSerial> serials;  // one for each zone
  bool new_serials = false;           // of zones that are new or whose static part changed: to be stored
  // Zones of before that are configured no longer. Their values may go while nobody is told: their digest is forgotten,
  // so that one that returns has a new serial.
  std::vector<std::pair<base::Name, StoredSerial>> gone;

  [[nodiscard]] bool must_store() const { return new_serials || !gone.empty(); }
};

// A draft of `zones` with the values that are not past their deadline at `now`. Error: that of the store.
[[nodiscard]] base::Result<Generation> build_generation(Store& store, std::vector<StaticZone> zones, TxtLimits limits,
                                                        NameTable& table, base::WallTime now);
// Makes its serials durable, in one transaction, if there is anything new. Error: Unavailable; nothing is stored then.
[[nodiscard]] base::Result<void> store_serials(Store& store, const Generation& made);

}  // namespace countersign::zones
