// countersignd --import-acme-dns: accounts and values of an acme-dns into the store, its configuration as ours.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>

#include "base/clock.hpp"
#include "base/name.hpp"
#include "base/result.hpp"
#include "zones/acme_dns_import.hpp"
#include "zones/static_zone.hpp"
#include "zones/store.hpp"

namespace countersign::dnsd {

struct ImportRequest {
  std::filesystem::path database;         // acme-dns' SQLite file
  std::filesystem::path acme_dns_config;  // its config.cfg; "" = none
  std::filesystem::path config;           // countersign.toml
};

// The command: the configuration goes to stdout, what happened to stderr. Returns the exit status: 0, 1 (failed:
// nothing was changed), 2 (the configuration is not there or does not fit; nothing was imported).
[[nodiscard]] int import_acme_dns(const ImportRequest& request);

struct ImportTarget {
  const zones::StaticZone& zone;  // where the accounts get their names
  std::chrono::milliseconds lifetime;
  unsigned max_values = 16;
  base::WallTime now;
};

struct ImportCounts {
  std::uint64_t taken = 0;      // accounts
  std::uint64_t there = 0;      // registrations that were there already: nothing of them was touched
  std::uint64_t other_key = 0;  // of these, with another secret
  std::uint64_t skipped = 0;    // accounts that cannot be taken; a warning says why, for the first ones
  std::uint64_t values = 0;
  std::uint64_t skipped_values = 0;  // no value of a challenge, or of no account that was taken
};

// In one transaction. Rows are judged one by one: a bad one is skipped, and an account whose allowfrom cannot be read
// is none. Error: of the database or the store; nothing was changed then.
[[nodiscard]] base::Result<ImportCounts> import_accounts(zones::AcmeDnsDatabase& source, zones::Store& store,
                                                         const ImportTarget& target);

}  // namespace countersign::dnsd
