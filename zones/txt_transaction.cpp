#include "zones/txt_transaction.hpp"

#include <algorithm>

namespace countersign::zones {
namespace {

using base::Name;
using base::Result;

bool is_expired(const StoredValue& value, std::int64_t now) {
  return value.expires && *value.expires <= now;
}

}  // namespace

std::vector<std::string> unexpired(const std::vector<StoredValue>& values, std::int64_t now) {
  std::vector<std::string> texts;
  for (const StoredValue& value : values)
    if (!is_expired(value, now)) texts.push_back(value.value);
  return texts;
}

Result<void> TxtTransaction::begin_once() {
  if (begun_) return {};
  auto begun = store_.begin();
  begun_ = begun.has_value();
  return begun;
}

Result<TxtTransaction::Touched*> TxtTransaction::touch(const Name& name, std::size_t zone) {
  auto found = touched_.find(name);
  if (found != touched_.end()) return &found->second;
  auto values = store_.values(name);
  if (!values) return base::fail(values.error());
  // A value past its deadline is gone for everyone, also when its prune has not been possible yet.
  std::erase_if(*values, [&](const StoredValue& value) { return is_expired(value, now_); });
  return &touched_.emplace(name, Touched{zone, std::move(*values)}).first->second;
}

Result<void> TxtTransaction::apply(const TxtChange& change, std::chrono::milliseconds default_lifetime) {
  auto zone = records_.place(change.name);
  if (!zone && change.kind == TxtChange::Kind::Add) return base::fail(zone.error());
  if (!zone) return remove_unserved(change);
  auto touched = touch(change.name, *zone);
  if (!touched) return base::fail(touched.error());
  switch (change.kind) {
    case TxtChange::Kind::Add:
      return add(change, **touched, default_lifetime);
    case TxtChange::Kind::Remove:
      return change.value ? remove(change.name, change.value->text(), **touched) : Result<void>{};
    case TxtChange::Kind::RemoveAll: {
      std::vector<StoredValue> all = (*touched)->values;
      for (const StoredValue& value : all) {
        if (auto removed = remove(change.name, value.value, **touched); !removed) return removed;
      }
      return {};
    }
  }
  return {};
}

Result<void> TxtTransaction::add(const TxtChange& change, Touched& touched,
                                 std::chrono::milliseconds default_lifetime) {
  if (!change.value)
    return base::fail(base::ErrorCode::Invalid, "a value to add to \"{}\" is missing", change.name.text());
  auto lifetime = change.lifetime.value_or(default_lifetime);
  StoredValue value{change.value->text(), change.owner, now_, std::nullopt, lifetime.count()};
  if (lifetime.count() > 0) value.expires = now_ + lifetime.count();
  auto same = std::find_if(touched.values.begin(), touched.values.end(),
                           [&](const StoredValue& present) { return present.value == value.value; });
  if (same == touched.values.end()) {
    std::vector<std::string> texts = unexpired(touched.values, now_);
    texts.push_back(value.value);
    if (auto fits = records_.check_limits(change.name, texts); !fits) return fits;
  }
  if (auto begun = begin_once(); !begun) return begun;
  if (auto stored = store_.put(change.name, value); !stored) return stored;
  if (same == touched.values.end()) {
    touched.values.push_back(std::move(value));
    changed_.insert(change.name);
  } else {
    same->expires = value.expires;
    same->lifetime = value.lifetime;
    same->owner = value.owner;
  }
  return {};
}

Result<void> TxtTransaction::remove(const Name& name, const std::string& value, Touched& touched) {
  auto same = std::find_if(touched.values.begin(), touched.values.end(),
                           [&](const StoredValue& present) { return present.value == value; });
  if (same == touched.values.end()) return {};
  if (auto begun = begin_once(); !begun) return begun;
  if (auto removed = store_.remove(name.wire(), value); !removed) return removed;
  touched.values.erase(same);
  changed_.insert(name);
  return {};
}

// Of a zone that is configured no longer, or below a static record that came later: nobody is told of these values now,
// but they would come back with the zone.
Result<void> TxtTransaction::remove_unserved(const TxtChange& change) {
  auto values = store_.values(change.name);
  if (!values) return base::fail(values.error());
  for (const StoredValue& value : *values) {
    if (change.kind == TxtChange::Kind::Remove && change.value && value.value != change.value->text()) continue;
    if (auto begun = begin_once(); !begun) return begun;
    if (auto removed = store_.remove(change.name.wire(), value.value); !removed) return removed;
  }
  return {};
}

Result<std::size_t> TxtTransaction::prune(std::int64_t limit) {
  auto expired = store_.expired(INT64_MIN, now_, limit);
  if (!expired) return base::fail(expired.error());
  for (const Store::ExpiredValue& row : *expired) {
    if (auto begun = begin_once(); !begun) return base::fail(begun.error());
    // By the name of the row, whatever it is: a row that stays would be found expired again at once.
    auto removed = row.is_misfit ? store_.remove_misfits(now_) : store_.remove(row.name, row.value);
    if (!removed) return base::fail(removed.error());
    if (!row.ours) continue;
    // A name of a zone that is configured no longer: kept until its deadline, served by nobody.
    auto zone = records_.place(*row.ours);
    if (!zone) continue;
    if (auto touched = touch(*row.ours, *zone); !touched) return base::fail(touched.error());
    changed_.insert(*row.ours);
  }
  return expired->size();
}

Result<void> TxtTransaction::finish() {
  std::set<std::size_t> zones;
  for (const Name& name : changed_) zones.insert(touched_.at(name).zone);
  for (std::size_t zone : zones) {
    StoredSerial next = serials_[zone];
    ++next.serial;  // RFC 1982 §3.1: wraps
    if (auto stored = store_.set_serial(records_.zone(zone).apex, next); !stored) return stored;
  }
  if (begun_) {
    if (auto committed = store_.commit(); !committed) return committed;
  }
  for (const Name& name : changed_) records_.publish(name, unexpired(touched_.at(name).values, now_));
  for (std::size_t zone : zones) records_.publish_serial(zone, ++serials_[zone].serial);
  return {};
}

std::vector<PublishedValue> TxtTransaction::values(const Name& name) const {
  std::vector<PublishedValue> made;
  auto found = touched_.find(name);
  if (found == touched_.end()) return made;
  for (const StoredValue& value : found->second.values) {
    PublishedValue published{name, value.value, value.owner, std::nullopt};
    if (value.expires) published.expires = from_milliseconds(*value.expires);
    made.push_back(std::move(published));
  }
  return made;
}

}  // namespace countersign::zones
