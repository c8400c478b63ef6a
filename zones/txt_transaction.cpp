#include "zones/txt_transaction.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "zones/record_type.hpp"

namespace countersign::zones {
namespace {

using base::ErrorCode;
using base::fail;
using base::Name;
using base::Result;
using std::chrono::milliseconds;

bool is_expired(const StoredValue& value, std::int64_t now) {
  return value.expires && *value.expires <= now;
}

template <class Values>
auto find_value(Values& values, const std::string& text) {
  return std::find_if(values.begin(), values.end(), [&](const StoredValue& value) { return value.value == text; });
}

std::vector<std::string> texts_of(const std::vector<StoredValue>& values) {
  std::vector<std::string> texts;
  texts.reserve(values.size());
  for (const StoredValue& value : values) texts.push_back(value.value);
  return texts;
}

// Whether a row has to be written again; `added` stays what it was.
bool is_same_row(const StoredValue& a, const StoredValue& b) {
  return a.expires == b.expires && a.lifetime == b.lifetime && a.owner == b.owner;
}

bool concerns(const TxtChange& change, const StoredValue& value) {
  if (change.whose == TxtChange::Whose::Owners && value.owner != change.owner) return false;
  return change.kind == TxtChange::Kind::RemoveAll || (change.value && change.value->text() == value.value);
}

constexpr std::uint16_t kPtr = 12, kSrv = 33, kDname = 39;

std::string txt_rdata(const std::string& text) {
  std::string rdata;
  append_txt_rdata(rdata, text);
  return rdata;
}

// Names within RDATA are compared without case (RFC 4343 §3); static records keep theirs. Octets of a name that are a
// label's length are below any letter.
std::string with_lower_names(std::uint16_t type, std::string rdata) {
  std::size_t before = 0, behind = 0;  // octets that are no name
  switch (type) {
    case record_type::kNs:
    case record_type::kCname:
    case kPtr:
    case kDname:
      break;
    case record_type::kMx:
      before = 2;
      break;
    case kSrv:
      before = 6;
      break;
    case record_type::kSoa:
      behind = 20;
      break;
    default:
      return rdata;
  }
  for (std::size_t i = before; i + behind < rdata.size(); ++i)
    if (rdata[i] >= 'A' && rdata[i] <= 'Z') rdata[i] = static_cast<char>(rdata[i] + ('a' - 'A'));
  return rdata;
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
  if (!values) return fail(values.error());
  // A value past its deadline is gone for everyone, also when its prune has not been possible yet.
  std::erase_if(*values, [&](const StoredValue& value) { return is_expired(value, now_); });
  Touched touched;
  touched.zone = zone;
  touched.before = *values;
  touched.values = std::move(*values);
  return &touched_.emplace(name, std::move(touched)).first->second;
}

Result<void> TxtTransaction::apply(const TxtChange& change, milliseconds default_lifetime) {
  auto zone = records_.place(change.name);
  if (!zone && change.kind == TxtChange::Kind::Add) return fail(zone.error());
  // Of a zone that is configured no longer, or below a static record that came later: nobody is told of these values
  // now, but they would come back with the zone.
  auto touched = touch(change.name, zone ? *zone : kNoZone);
  if (!touched) return fail(touched.error());
  if (change.kind == TxtChange::Kind::Add) return add(change, **touched, default_lifetime);
  std::erase_if((*touched)->values, [&](const StoredValue& value) { return concerns(change, value); });
  return {};
}

// Until the others and the new value fit: the owner's values go, the one that was put longest ago first.
Result<void> TxtTransaction::make_room(const TxtChange& change, std::vector<StoredValue>& values,
                                       std::vector<StoredValue>& dropped) const {
  for (;;) {
    std::vector<std::string> texts = texts_of(values);
    texts.push_back(change.value->text());
    auto fits = records_.check_limits(change.name, texts);
    if (fits || change.when_full == TxtChange::WhenFull::Refuse || fits.error().code != ErrorCode::Full) return fits;
    auto put = [](const StoredValue& value) { return value.expires ? *value.expires - value.lifetime : value.added; };
    auto oldest = values.end();
    for (auto at = values.begin(); at != values.end(); ++at) {
      if (at->owner == change.owner && (oldest == values.end() || put(*at) < put(*oldest))) oldest = at;
    }
    if (oldest == values.end()) return fits;
    dropped.push_back(std::move(*oldest));
    values.erase(oldest);
  }
}

Result<void> TxtTransaction::add(const TxtChange& change, Touched& touched, milliseconds default_lifetime) {
  if (!change.value) return fail(ErrorCode::Invalid, "a value to add to \"{}\" is missing", change.name.text());
  auto lifetime = change.lifetime.value_or(default_lifetime);
  StoredValue value{change.value->text(), change.owner, now_, std::nullopt, lifetime.count()};
  if (lifetime.count() > 0) value.expires = now_ + lifetime.count();
  auto same = find_value(touched.values, value.value);
  if (same != touched.values.end()) {
    value.added = same->added;
    *same = std::move(value);
    return {};
  }
  std::vector<StoredValue> others = touched.values;
  std::vector<StoredValue> dropped;
  if (auto room = make_room(change, others, dropped); !room) return room;
  for (StoredValue& gone : dropped) dropped_.emplace_back(change.name, std::move(gone));
  touched.values = std::move(others);
  touched.values.push_back(std::move(value));
  return {};
}

Result<UpdateVerdict> TxtTransaction::judge(const Prerequisite& prerequisite) {
  const Name& name = prerequisite.name;
  std::vector<std::uint16_t> types = records_.static_types(name);
  std::vector<std::string> txt;
  if (auto zone = records_.place(name)) {
    auto touched = touch(name, *zone);
    if (!touched) return fail(touched.error());
    for (const StoredValue& value : (*touched)->values) txt.push_back(txt_rdata(value.value));
  }
  bool has_type = std::find(types.begin(), types.end(), prerequisite.type) != types.end() ||
                  (prerequisite.type == record_type::kTxt && !txt.empty());
  bool in_use = !types.empty() || !txt.empty();
  switch (prerequisite.kind) {
    case Prerequisite::Kind::NameInUse:
      return in_use ? UpdateVerdict::Done : UpdateVerdict::NxDomain;
    case Prerequisite::Kind::NameNotInUse:
      return in_use ? UpdateVerdict::YxDomain : UpdateVerdict::Done;
    case Prerequisite::Kind::RrsetExists:
      return has_type ? UpdateVerdict::Done : UpdateVerdict::NxRrset;
    case Prerequisite::Kind::RrsetNotExists:
      return has_type ? UpdateVerdict::YxRrset : UpdateVerdict::Done;
    case Prerequisite::Kind::RrsetEquals:
      break;
  }
  std::vector<std::string> present = records_.static_rdatas(name, prerequisite.type);
  if (prerequisite.type == record_type::kTxt) present.insert(present.end(), txt.begin(), txt.end());
  std::set<std::string> is;
  for (std::string& rdata : present) is.insert(with_lower_names(prerequisite.type, std::move(rdata)));
  std::set<std::string> must(prerequisite.rdatas.begin(), prerequisite.rdatas.end());
  return is == must ? UpdateVerdict::Done : UpdateVerdict::NxRrset;
}

Result<UpdateVerdict> TxtTransaction::apply(const TxtUpdate& update, milliseconds default_lifetime) {
  for (const Prerequisite& prerequisite : update.prerequisites) {
    auto verdict = judge(prerequisite);
    if (!verdict || *verdict != UpdateVerdict::Done) return verdict;
  }
  // As the update found them; absent: as they are in the store.
  std::map<Name, std::optional<std::vector<StoredValue>>> before;
  for (const TxtChange& change : update.changes) {
    auto known = touched_.find(change.name);
    if (known == touched_.end())
      before.emplace(change.name, std::nullopt);
    else if (!before.contains(change.name))
      before.emplace(change.name, known->second.values);
    auto applied = apply(change, default_lifetime);
    if (applied) continue;
    for (auto& [name, values] : before) {
      auto touched = touched_.find(name);
      if (touched != touched_.end()) touched->second.values = values.value_or(touched->second.before);
    }
    return fail(applied.error());
  }
  if (update.signed_by) {
    std::uint64_t& mark = marks_[update.signed_by->key];
    mark = std::max(mark, update.signed_by->time_signed);
  }
  return UpdateVerdict::Done;
}

Result<void> TxtTransaction::add_registration(const Registration& registration) {
  if (auto zone = records_.place(registration.name); !zone) return fail(zone.error());
  if (auto begun = begin_once(); !begun) return begun;
  auto added = store_.add_registration(registration);
  if (!added) return fail(added.error());
  if (!*added)
    return fail(ErrorCode::Exists, "\"{}\" is registered already; remove that registration or use another name",
                registration.name.text());
  pins_[registration.name] = true;
  ++registrations_;
  return {};
}

Result<void> TxtTransaction::remove_registration(const std::string& username) {
  auto found = store_.registration(username);
  if (!found) return fail(found.error());
  if (!*found) return fail(ErrorCode::NotFound, "there is no registration \"{}\"", username);
  const Registration& registration = **found;
  if (auto begun = begin_once(); !begun) return begun;
  auto removed = store_.remove_registration(username);
  if (!removed) return fail(removed.error());
  TxtChange values;
  values.kind = TxtChange::Kind::RemoveAll;
  values.name = registration.name;
  values.owner = registration.owner();
  values.whose = TxtChange::Whose::Owners;
  if (auto applied = apply(values, milliseconds(0)); !applied) return applied;
  pins_[registration.name] = false;
  --registrations_;
  return {};
}

Result<void> TxtTransaction::apply(const RegistrationChange& change) {
  const Registration& registration = change.registration;
  switch (change.kind) {
    case RegistrationChange::Kind::Add:
      return add_registration(registration);
    case RegistrationChange::Kind::Remove:
      return remove_registration(registration.username);
    case RegistrationChange::Kind::Replace: {
      if (auto begun = begin_once(); !begun) return begun;
      auto replaced = store_.replace_registration(registration);
      if (!replaced) return fail(replaced.error());
      if (!*replaced) return fail(ErrorCode::NotFound, "there is no registration \"{}\"", registration.username);
      return {};
    }
    case RegistrationChange::Kind::MarkUsed:
      if (auto begun = begin_once(); !begun) return begun;
      return store_.set_used(change.marks);
  }
  return {};
}

Result<std::size_t> TxtTransaction::prune(std::int64_t limit) {
  auto expired = store_.expired(INT64_MIN, now_, limit);
  if (!expired) return fail(expired.error());
  for (const Store::ExpiredValue& row : *expired) {
    if (auto begun = begin_once(); !begun) return fail(begun.error());
    // By the name of the row, whatever it is: a row that stays would be found expired again at once.
    auto removed = row.is_misfit ? store_.remove_misfits(now_) : store_.remove(row.name, row.value);
    if (!removed) return fail(removed.error());
    if (!row.ours) continue;
    // A name of a zone that is configured no longer: kept until its deadline, served by nobody.
    auto zone = records_.place(*row.ours);
    if (!zone) continue;
    auto touched = touch(*row.ours, *zone);
    if (!touched) return fail(touched.error());
    (*touched)->pruned = true;
  }
  return expired->size();
}

// True when what is served changes.
Result<bool> TxtTransaction::write(const Name& name, const Touched& touched) {
  bool changes = touched.pruned;
  for (const StoredValue& value : touched.before) {
    if (find_value(touched.values, value.value) != touched.values.end()) continue;
    changes = true;
    if (auto begun = begin_once(); !begun) return fail(begun.error());
    if (auto removed = store_.remove(name.wire(), value.value); !removed) return fail(removed.error());
  }
  for (const StoredValue& value : touched.values) {
    auto before = find_value(touched.before, value.value);
    bool is_new = before == touched.before.end();
    changes = changes || is_new;
    if (!is_new && is_same_row(*before, value)) continue;
    if (auto begun = begin_once(); !begun) return fail(begun.error());
    if (auto stored = store_.put(name, value); !stored) return fail(stored.error());
  }
  return changes;
}

// The zones that change.
Result<std::set<std::size_t>> TxtTransaction::write_all() {
  std::set<std::size_t> zones;
  for (const Places::value_type& place : touched_) {
    auto changes = write(place.first, place.second);
    if (!changes) return fail(changes.error());
    if (!*changes || place.second.zone == kNoZone) continue;
    changed_.push_back(&place);
    zones.insert(place.second.zone);
  }
  for (const auto& [key, time_signed] : marks_) {
    if (auto begun = begin_once(); !begun) return fail(begun.error());
    if (auto stored = store_.set_signed_mark({key, time_signed}); !stored) return fail(stored.error());
  }
  // A name that exists from now on, or no longer, is a change, too.
  for (const auto& [name, pinned] : pins_) {
    if (auto zone = records_.place(name)) zones.insert(*zone);
  }
  for (std::size_t zone : zones) {
    StoredSerial next = serials_[zone];
    ++next.serial;  // RFC 1982 §3.1: wraps
    if (auto stored = store_.set_serial(records_.zone(zone).apex, next); !stored) return fail(stored.error());
  }
  return zones;
}

Result<void> TxtTransaction::finish() {
  auto zones = write_all();
  if (!zones) return fail(zones.error());
  if (begun_) {
    if (auto committed = store_.commit(); !committed) return committed;
  }
  // Pinned first: a name that loses its values and its registration at once goes as a whole.
  for (const auto& [name, pinned] : pins_) {
    if (pinned && records_.has_place(name.wire())) records_.pin(name.wire());
  }
  for (const Places::value_type* place : changed_)
    records_.publish(place->first, unexpired(place->second.values, now_));
  for (const auto& [name, pinned] : pins_) {
    if (!pinned) records_.unpin(name.wire());
  }
  for (std::size_t zone : *zones) records_.publish_serial(zone, ++serials_[zone].serial);
  for (const auto& [name, value] : dropped_)
    base::log::info("value removed", {{"who", value.owner},
                                      {"name", name.text()},
                                      {"value", value.value},
                                      {"reason", "a newer one of the same owner took its place"}});
  return {};
}

std::vector<PublishedValue> TxtTransaction::values(const Name& name) const {
  std::vector<PublishedValue> made;
  auto found = touched_.find(name);
  if (found == touched_.end() || found->second.zone == kNoZone) return made;
  for (const StoredValue& value : found->second.values) {
    PublishedValue published{name, value.value, value.owner, std::nullopt};
    if (value.expires) published.expires = from_milliseconds(*value.expires);
    made.push_back(std::move(published));
  }
  return made;
}

}  // namespace countersign::zones
