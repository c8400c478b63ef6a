// What must survive: TXT values and SOA serials, in SQLite (zones/STORE.md).
// Thread: one at a time; the store thread once it runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/name.hpp"
#include "base/result.hpp"
#include "zones/registration.hpp"
#include "zones/registry.hpp"
#include "zones/signed_mark.hpp"

namespace countersign::zones {

struct StoredValue {
  std::string value;
  std::string owner;
  std::int64_t added = 0;               // milliseconds since 1970
  std::optional<std::int64_t> expires;  // the same; absent: never
  std::int64_t lifetime = 0;            // milliseconds that it was given last; 0: for ever
};

struct StoredSerial {
  std::uint32_t serial = 0;
  std::string digest;  // of the static part it was given for
};

// Errors of all calls: Unavailable (disk full, I/O error; nothing of the open transaction stays).
class Store {
 public:
  // Error: Exists (locked by another process), Denied, Invalid (not our store, or of a later version), Io.
  [[nodiscard]] static base::Result<Store> open(const std::filesystem::path& file);
  ~Store();
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;

  [[nodiscard]] base::Result<void> begin();
  // On the disk when it returns (synchronous=FULL).
  [[nodiscard]] base::Result<void> commit();
  void rollback();

  // In the order in which they were added first.
  [[nodiscard]] base::Result<std::vector<StoredValue>> values(const base::Name& name);
  // Adds, or replaces owner and expiry of the same value.
  [[nodiscard]] base::Result<void> put(const base::Name& name, const StoredValue& value);
  // `name`: in lower-case wire, or as it stands in the row.
  [[nodiscard]] base::Result<void> remove(std::string_view name, const std::string& value);

  using Visit = std::function<void(const base::Name& name, const StoredValue& value)>;
  // All values, name by name. Rows whose name is not in our spelling are passed over, here and by scan().
  [[nodiscard]] base::Result<void> each(const Visit& visit);
  struct ScannedValue {
    std::string value;
    std::int64_t added = 0;
    std::optional<std::int64_t> expires;
  };
  using ScanName = std::function<void(std::string_view name, std::span<const ScannedValue> values)>;
  // What a start needs of all values, without a copy for each: once for each name (lower-case wire), in the order of
  // names, with its values in the order in which they were added first.
  [[nodiscard]] base::Result<void> scan(const ScanName& visit);
  struct ExpiredValue {
    std::string name;                // as it stands in the row
    std::optional<base::Name> ours;  // absent: written by hand, and not as we do; nobody is told of it
    std::string value;
    bool is_misfit = false;  // the name is no blob or the value no text: remove() would not find it
  };
  // Up to `limit` values whose deadline is behind `after` and not behind `now`, the oldest first.
  [[nodiscard]] base::Result<std::vector<ExpiredValue>> expired(std::int64_t after, std::int64_t now,
                                                                std::int64_t limit);
  // All misfits past their deadline.
  [[nodiscard]] base::Result<void> remove_misfits(std::int64_t now);
  [[nodiscard]] base::Result<std::optional<std::int64_t>> next_deadline();
  // Deadlines move with the clock, by `drift` to `now`; none gets further away than its value's lifetime.
  [[nodiscard]] base::Result<void> shift_deadlines(std::int64_t drift, std::int64_t now);

  [[nodiscard]] base::Result<std::optional<StoredSerial>> serial(const base::Name& zone);
  [[nodiscard]] base::Result<void> set_serial(const base::Name& zone, const StoredSerial& serial);
  // Those that have a digest.
  [[nodiscard]] base::Result<std::vector<base::Name>> zones();

  // False: its username or its name is another's.
  [[nodiscard]] base::Result<bool> add_registration(const Registration& registration);
  // Secret, allow_from, domains and label. False: there is none of this username.
  [[nodiscard]] base::Result<bool> replace_registration(const Registration& registration);
  // Its values are another matter. False: there is none.
  [[nodiscard]] base::Result<bool> remove_registration(const std::string& username);
  [[nodiscard]] base::Result<std::optional<Registration>> registration(const std::string& username);
  // Up to `limit` of those behind `after`, in the order of usernames. Rows that are no registration as we write it are
  // passed over, here and below.
  using VisitRegistration = std::function<void(Registration registration)>;
  [[nodiscard]] base::Result<void> each_registration(const std::string& after, std::int64_t limit,
                                                     const VisitRegistration& visit);
  // The names of all, lower-case wire, in order.
  [[nodiscard]] base::Result<void> each_registered_name(const std::function<void(std::string_view name)>& visit);
  [[nodiscard]] base::Result<std::uint64_t> count_registrations();
  // Those of unknown usernames are passed over.
  [[nodiscard]] base::Result<void> set_used(std::span<const UsedMark> marks);

  // A mark only grows.
  [[nodiscard]] base::Result<void> set_signed_mark(const SignedMark& mark);
  [[nodiscard]] base::Result<std::vector<SignedMark>> signed_marks();

  // The smallest transaction that reaches the disk: can it be written?
  [[nodiscard]] base::Result<void> probe();

 private:
  struct Connection;
  explicit Store(std::unique_ptr<Connection> connection);
  std::unique_ptr<Connection> connection_;
};

}  // namespace countersign::zones
