// The records of a message as they stand on the wire, for what has to know where each begins: TSIG and UPDATE.
// Thread: any.
#pragma once

#include <cstdint>

#include "base/name.hpp"
#include "base/wire.hpp"

namespace countersign::dnsd {

struct WireRecord {
  std::size_t at = 0;   // of its owner name, in the message
  std::size_t end = 0;  // behind its data
  std::uint16_t type = 0;
  std::uint16_t record_class = 0;
  std::uint32_t ttl = 0;
  base::Bytes rdata;
};

// Steps over a name, to the pointer it ends with at the latest. The reader fails when it is none.
void skip_name(base::WireReader& reader);
// `reader`: over the whole message, at a record; it fails when there is none. The owner name is stepped over.
[[nodiscard]] WireRecord read_record(base::WireReader& reader);
// Octets of the uncompressed name at the front of `wire`; 0 when there is none.
[[nodiscard]] std::size_t plain_name_length(base::Bytes wire);
// The name at `at`, with what its pointers lead to. Error: Invalid (cut short, too long, a pointer that does not lead
// backwards or to the header, more pointers than a name has labels).
[[nodiscard]] base::Result<base::Name> read_name(base::Bytes message, std::size_t at);

}  // namespace countersign::dnsd
