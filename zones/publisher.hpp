// The one writer: takes changes from any thread, makes them durable in groups, then visible, then acknowledges them.
// Thread: all of Publisher's functions but open() from any; completions run on the store thread and must not block it.
// What a completion holds is freed there too, at the latest by ~Publisher: it must live that long.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/name.hpp"
#include "base/result.hpp"
#include "conf/config.hpp"
#include "zones/name_table.hpp"
#include "zones/registration.hpp"
#include "zones/registry.hpp"
#include "zones/signed_mark.hpp"
#include "zones/static_zone.hpp"
#include "zones/txt_value.hpp"

namespace countersign::zones {

struct TxtChange {
  enum class Kind { Add, Remove, RemoveAll };
  // Whose values Remove and RemoveAll take away.
  enum class Whose { Anybodys, Owners };
  // What Add does at challenge.max_values, or when the answer would get too large: refuse, or take the owner's own
  // oldest values away until there is room (acme-dns' rotation).
  enum class WhenFull { Refuse, DropOwnersOldest };
  Kind kind = Kind::Add;
  base::Name name;
  std::optional<TxtValue> value;                      // absent for RemoveAll
  std::string owner;                                  // "control", "registration:USERNAME", "key:NAME"
  std::optional<std::chrono::milliseconds> lifetime;  // absent: challenge.lifetime; 0: for ever
  Whose whose = Whose::Anybodys;
  WhenFull when_full = WhenFull::Refuse;
};

// What must hold before an update is applied (RFC 2136 §2.4). A name without records, be it an empty non-terminal or a
// registration's, is not in use.
struct Prerequisite {
  enum class Kind { NameInUse, NameNotInUse, RrsetExists, RrsetNotExists, RrsetEquals };
  Kind kind = Kind::NameInUse;
  base::Name name;
  std::uint16_t type = 0;           // of the RRset kinds
  std::vector<std::string> rdatas;  // RrsetEquals: the whole set, RDATA in wire format, names in lower case
};

// Several changes that happen together or not at all. Changes of one name follow each other as they stand.
struct TxtUpdate {
  std::vector<Prerequisite> prerequisites;
  std::vector<TxtChange> changes;
  std::optional<SignedMark> signed_by{};
};

// Which prerequisite did not hold: RCODEs 3, 6, 8, 7 of RFC 2136 §3.2.5.
enum class UpdateVerdict { Done, NxDomain, YxDomain, NxRrset, YxRrset };

struct RegistrationChange {
  // Replace: secret, allow_from, domains, label of the username. Remove takes its values away, too. MarkUsed: `marks`.
  enum class Kind { Add, Replace, Remove, MarkUsed };
  Kind kind = Kind::Add;
  Registration registration;
  std::vector<UsedMark> marks;
};

struct PublishedValue {
  base::Name name;
  std::string value;
  std::string owner;
  std::optional<base::WallTime> expires;  // absent: never
};

struct ZoneSnapshot {
  base::Name name;
  std::uint32_t serial = 0;
  std::uint64_t names = 0;  // names with dynamic values
  std::uint64_t values = 0;
};

struct StoreSnapshot {
  std::vector<ZoneSnapshot> zones;
  std::uint64_t values = 0;
  std::uint64_t registrations = 0;
  std::uint64_t commits = 0;
  std::uint64_t prunes = 0;  // values removed at their deadlines
  bool store_ok = true;      // false from a failed commit to the next good one
  std::string store_error;   // the last failure's words
};

// The values of the changed name afterwards. Error: NotFound (in no zone of ours), Invalid (a CNAME is there, or it
// lies below a delegation), Full (challenge.max_values, or the answer would outgrow dns.max_udp_payload), Unavailable
// (the store cannot write: nothing was changed; or it is shutting down).
using ChangeCompletion = std::function<void(base::Result<std::vector<PublishedValue>>)>;
// Changes of an update fail as one does; then none of them happened.
using UpdateCompletion = std::function<void(base::Result<UpdateVerdict>)>;
// Error: Exists (the username, or the name is another registration's), NotFound (no such registration; the name is in
// no zone of ours), Invalid (the name has a CNAME, or lies below a delegation), Unavailable.
using RegistrationCompletion = std::function<void(base::Result<void>)>;
// In the order of usernames. Error: Unavailable.
using RegistrationsCompletion = std::function<void(base::Result<std::vector<Registration>>)>;
using ListCompletion = std::function<void(base::Result<std::vector<PublishedValue>>)>;
// Error: Unavailable (too busy, or shutting down).
using SnapshotCompletion = std::function<void(base::Result<StoreSnapshot>)>;

// Error: Unavailable (the store cannot be read, or cannot write the serials: nothing was changed; too busy, or shutting
// down).
using ReloadCompletion = std::function<void(base::Result<void>)>;

class Publisher {
 public:
  // Opens (creates, migrates) FOLDER/store.sqlite3, fills `table` with the static zones and the stored values, drops
  // those past their deadline, puts the registrations into `registry`, and starts the store thread, which does not know
  // `registry`. Error: Exists (another countersignd has it), Denied, Io,
  // Invalid (not our store, or of a later version).
  [[nodiscard]] static base::Result<std::unique_ptr<Publisher>> open(const std::filesystem::path& folder,
                                                                     const conf::Config& config,
                                                                     std::vector<StaticZone> zones, NameTable& table,
                                                                     Registry& registry, const base::Clock& clock);
  // Finishes what was submitted, checkpoints and closes the store.
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  void submit(TxtChange change, ChangeCompletion done);
  void update(TxtUpdate update, UpdateCompletion done);
  // As the store had them at the start.
  [[nodiscard]] const std::vector<SignedMark>& signed_marks() const;
  void change_registration(RegistrationChange change, RegistrationCompletion done);
  // Up to `limit` registrations whose username is behind `after`.
  void list_registrations(std::string after, std::size_t limit, RegistrationsCompletion done);
  // All values that are served, or those of `name`, in the order of names.
  void list(std::optional<base::Name> name, ListCompletion done);
  void snapshot(SnapshotCompletion done);
  // Replaces zones, limits and lifetime by those of `config` (SIGHUP). Readers see the old zones until the new ones are
  // complete, then the new; no query meets a moment between. Updates wait meanwhile. Stored values of a new zone are
  // served at once, those of a zone that went stay in the store until their deadline; a value that is beyond the new
  // limits stays too.
  void reload(const conf::Config& config, std::vector<StaticZone> zones, ReloadCompletion done);
  // Frees `object` by `free` once no reader of the name table can see it: for what others publish beside the table.
  // Readers must not find it any more when this is called. It is freed on the store thread, or with the Epochs.
  void retire(void* object, void (*free)(void*));

 private:
  class Impl;
  explicit Publisher(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::zones
