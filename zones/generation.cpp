#include "zones/generation.hpp"

#include <unordered_set>

#include "base/log.hpp"
#include "zones/lifetime_clock.hpp"

namespace countersign::zones {
namespace {

using base::fail;
using base::Result;

Result<void> load_serials(Store& store, Generation& made, base::WallTime now) {
  for (std::size_t i = 0; i < made.records->zone_count(); ++i) {
    const StaticZone& zone = made.records->zone(i);
    auto stored = store.serial(zone.apex);
    if (!stored) return fail(stored.error());
    // Seconds since 1970 to begin with: a store that was lost does not send the serial backwards.
    StoredSerial serial = stored->value_or(StoredSerial{static_cast<std::uint32_t>(to_milliseconds(now) / 1000), ""});
    std::string digest = zone.digest();
    if (serial.digest != digest) {
      if (stored->has_value()) ++serial.serial;  // RFC 1982 §3.1: wraps
      serial.digest = digest;
      made.new_serials = true;
    }
    made.serials.push_back(std::move(serial));
  }
  return {};
}

Result<void> find_gone(Store& store, Generation& made) {
  std::unordered_set<base::Name> configured;
  for (std::size_t i = 0; i < made.records->zone_count(); ++i) configured.insert(made.records->zone(i).apex);
  auto stored = store.zones();
  if (!stored) return fail(stored.error());
  for (const base::Name& name : *stored) {
    if (configured.contains(name)) continue;
    auto serial = store.serial(name);
    if (!serial) return fail(serial.error());
    if (serial->has_value()) made.gone.emplace_back(name, StoredSerial{(*serial)->serial, ""});
  }
  return {};
}

Result<void> load_registered_names(Store& store, ZoneRecords& records) {
  std::size_t homeless = 0;
  auto read = store.each_registered_name([&](std::string_view name) {
    if (records.has_place(name))
      records.pin(name);
    else
      ++homeless;
  });
  if (!read) return read;
  if (homeless > 0)
    base::log::warn(
        "registrations have names that are in no zone, or that a static record has taken; they cannot be "
        "updated: restore their [[zone]], or remove them",
        {{"registrations", std::to_string(homeless)}});
  return {};
}

Result<void> load_values(Store& store, ZoneRecords& records, std::int64_t now) {
  std::vector<std::string_view> texts;
  std::size_t homeless = 0;
  auto read = store.scan([&](std::string_view name, std::span<const Store::ScannedValue> values) {
    if (!records.has_place(name)) {
      homeless += values.size();
      return;
    }
    texts.clear();
    for (const auto& value : values)
      if (!value.expires || *value.expires > now) texts.push_back(value.value);
    if (!texts.empty()) records.publish(name, texts);
  });
  if (!read) return read;
  if (homeless > 0)
    base::log::warn(
        "values in the store belong to no zone and are not served; restore their [[zone]], or let them expire",
        {{"values", std::to_string(homeless)}});
  return {};
}

}  // namespace

Result<Generation> build_generation(Store& store, std::vector<StaticZone> zones, TxtLimits limits, NameTable& table,
                                    base::WallTime now) {
  std::size_t names = 0;
  for (const StaticZone& zone : zones) names += zone.records.size();
  Generation made;
  made.records = std::make_unique<ZoneRecords>(std::move(zones), limits, table, names);
  if (auto loaded = load_serials(store, made, now); !loaded) return fail(loaded.error());
  if (auto found = find_gone(store, made); !found) return fail(found.error());
  made.records->publish_static();
  for (std::size_t i = 0; i < made.serials.size(); ++i) made.records->publish_serial(i, made.serials[i].serial);
  if (auto loaded = load_registered_names(store, *made.records); !loaded) return fail(loaded.error());
  if (auto loaded = load_values(store, *made.records, to_milliseconds(now)); !loaded) return fail(loaded.error());
  return made;
}

Result<void> store_serials(Store& store, const Generation& made) {
  if (!made.must_store()) return {};
  auto stored = store.begin();
  for (std::size_t i = 0; stored && i < made.serials.size(); ++i)
    stored = store.set_serial(made.records->zone(i).apex, made.serials[i]);
  for (std::size_t i = 0; stored && i < made.gone.size(); ++i)
    stored = store.set_serial(made.gone[i].first, made.gone[i].second);
  if (stored) stored = store.commit();
  if (!stored) store.rollback();
  return stored;
}

}  // namespace countersign::zones
