#include "zones/master_file.hpp"

#include <ldns/ldns.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/files.hpp"
#include "base/handle.hpp"
#include "zones/node_builder.hpp"
#include "zones/record_type.hpp"

namespace countersign::zones {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Record = base::Handle<ldns_rr, ldns_rr_free>;
using Field = base::Handle<ldns_rdf, ldns_rdf_deep_free>;
using File = base::Handle<std::FILE, std::fclose>;
using Buffer = base::Handle<ldns_buffer, ldns_buffer_free>;

constexpr int kMaxWrongLines = 20;
constexpr std::uint32_t kMaxTtl = 0x7fffffff;  // RFC 2181 §8

std::string_view field_bytes(const ldns_rdf& field) {
  return {reinterpret_cast<const char*>(ldns_rdf_data(&field)), ldns_rdf_size(&field)};
}

Field make_origin(const base::Name& origin) {
  return Field(ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, origin.wire().size(), origin.wire().data()));
}

// What ldns lets pass: fewer fields than the type has (`CNAME \# 0`), and relative names that the origin made too long.
Result<void> check_fields(const ldns_rr& record) {
  constexpr std::uint16_t kNullType = 10;  // RFC 1035 §3.3.10: anything at all, also nothing
  const auto type = static_cast<std::uint16_t>(ldns_rr_get_type(&record));
  // Unknown types have a minimum of none (RFC 3597 §5).
  std::size_t least = type == kNullType ? 0 : ldns_rr_descriptor_minimum(ldns_rr_descript(type));
  if (ldns_rr_rd_count(&record) < least)
    return fail(ErrorCode::Invalid, "the record has {} of the {} fields that its type needs", ldns_rr_rd_count(&record),
                least);
  for (std::size_t i = 0; i < ldns_rr_rd_count(&record); ++i) {
    const ldns_rdf* field = ldns_rr_rdf(&record, i);
    if (field == nullptr) return fail(ErrorCode::Invalid, "a field of the record is missing");
    if (ldns_rdf_get_type(field) == LDNS_RDF_TYPE_DNAME && !base::Name::from_wire(base::as_bytes(field_bytes(*field))))
      return fail(ErrorCode::Invalid,
                  "a name in the record is longer than 255 octets, the zone's name included (RFC 1035 §2.3.4); shorten "
                  "it, or end it with a dot");
  }
  return {};
}

// As a resolver will read it: data given as \# (RFC 3597 §5) may be anything. Not for the types that ldns takes only
// when they are right, and that come by the million.
bool is_readable(const MasterRecord& record) {
  if (record.type == record_type::kA || record.type == record_type::kAaaa || record.type == record_type::kTxt)
    return true;
  std::string wire(1, '\0');  // the owner does not matter
  append_record(wire, "", record.type, record.ttl, record.rdata);
  ldns_rr* raw = nullptr;
  std::size_t position = 0;
  ldns_status status = ldns_wire2rr(&raw, reinterpret_cast<const std::uint8_t*>(wire.data()), wire.size(), &position,
                                    LDNS_SECTION_ANSWER);
  Record read(raw);
  if (status != LDNS_STATUS_OK || position != wire.size()) return false;
  // Some data (SvcParams, RFC 9460 §2.2) is looked at only when it is printed.
  // ldns_rr2str() would leak its buffer then.
  Buffer text(ldns_buffer_new(LDNS_MIN_BUFLEN));
  return text && ldns_rr2buffer_str(text.get(), read.get()) == LDNS_STATUS_OK;
}

Result<MasterRecord> convert(const ldns_rr& record) {
  if (ldns_rr_get_class(&record) != LDNS_RR_CLASS_IN)
    return fail(ErrorCode::Invalid, "only class IN is served; remove the record");
  if (ldns_rr_owner(&record) == nullptr) return fail(ErrorCode::Invalid, "a record has no owner name");
  auto owner = base::Name::from_wire(base::as_bytes(field_bytes(*ldns_rr_owner(&record))));
  if (!owner) return fail(ErrorCode::Invalid, "the owner is not a domain name");
  MasterRecord made;
  made.owner = *owner;
  made.type = static_cast<std::uint16_t>(ldns_rr_get_type(&record));
  made.ttl = std::min(ldns_rr_ttl(&record), kMaxTtl);
  if (auto checked = check_fields(record); !checked) return fail(checked.error());
  for (std::size_t i = 0; i < ldns_rr_rd_count(&record); ++i) made.rdata += field_bytes(*ldns_rr_rdf(&record, i));
  if (made.rdata.size() > 0xffff) return fail(ErrorCode::Invalid, "the record is longer than 65535 octets");
  if (!is_readable(made))
    return fail(ErrorCode::Invalid, "the data is not what a record of its type holds; no resolver could read it");
  // Types for questions and for transport (RFC 6895 §3.1) can be in no zone.
  constexpr std::uint16_t kOptType = 41;
  bool meta = made.type == 0 || made.type == kOptType || (made.type >= 128 && made.type <= 255);
  if (meta) return fail(ErrorCode::Invalid, "a record of type {} cannot be in a zone", made.type);
  return made;
}

std::string reason(ldns_status status) {
  std::string text = ldns_get_errorstr_by_id(status);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z' && (text.size() < 2 || text[1] > 'Z'))
    text[0] = static_cast<char>(text[0] + ('a' - 'A'));
  return text;
}

}  // namespace

Result<MasterRecord> parse_record(std::string_view text, const base::Name& origin, std::uint32_t default_ttl) {
  std::string line(text);
  if (line.find_first_not_of(" \t") == std::string::npos || line[0] == ';')
    return fail(ErrorCode::Invalid, "the record is empty; write it as in \"ns1 A 192.0.2.1\"");
  if (line.find_first_of("\n\r\0", 0, 3) != std::string::npos)
    return fail(ErrorCode::Invalid, "a record is one line; make each line a record of its own");
  Field origin_field = make_origin(origin);
  ldns_rr* raw = nullptr;
  ldns_status status = ldns_rr_new_frm_str(&raw, line.c_str(), default_ttl, origin_field.get(), nullptr);
  Record record(raw);
  if (status != LDNS_STATUS_OK || !record)
    return fail(ErrorCode::Invalid, "\"{}\" is not a record: {}; write it as in \"ns1 A 192.0.2.1\"", text,
                status == LDNS_STATUS_OK ? "it has no data" : reason(status));
  return convert(*record);
}

Result<void> read_master_file(const std::filesystem::path& path, const base::Name& origin, std::uint32_t default_ttl,
                              const std::function<void(MasterRecord, std::size_t)>& take,
                              const std::function<void(std::size_t, const std::string&)>& wrong) {
  File file(std::fopen(path.c_str(), "re"));
  if (!file) {
    int number = errno;
    return fail(base::system_code(number), "cannot read \"{}\": {}", path.string(), base::system_reason(number));
  }
  // /dev/zero would be read for ever. A pipe ends, and so people write <(...).
  struct stat kind{};
  if (fstat(fileno(file.get()), &kind) != 0 || (!S_ISREG(kind.st_mode) && !S_ISFIFO(kind.st_mode)))
    return fail(ErrorCode::Invalid, "\"{}\" is no file; name a master file", path.string());
  std::uint32_t ttl = default_ttl;
  ldns_rdf* origin_raw = make_origin(origin).release();
  ldns_rdf* previous_raw = nullptr;
  int line = 1;
  int wrong_lines = 0;
  while (std::feof(file.get()) == 0 && std::ferror(file.get()) == 0 && wrong_lines < kMaxWrongLines) {
    int first_line = line;
    ldns_rr* raw = nullptr;
    ldns_status status = ldns_rr_new_frm_fp_l(&raw, file.get(), &ttl, &origin_raw, &previous_raw, &line);
    Record record(raw);
    // Blank lines, $TTL and $ORIGIN are reported as "errors" of their own kind.
    if (status == LDNS_STATUS_SYNTAX_EMPTY || status == LDNS_STATUS_SYNTAX_TTL || status == LDNS_STATUS_SYNTAX_ORIGIN)
      continue;
    auto at = static_cast<std::size_t>(first_line);
    if (status != LDNS_STATUS_OK || !record) {
      wrong(at, status == LDNS_STATUS_SYNTAX_INCLUDE ? "$INCLUDE is not supported; put the records in one file"
                                                     : reason(status));
      ++wrong_lines;
      continue;
    }
    auto converted = convert(*record);
    if (converted) {
      take(std::move(*converted), at);
    } else {
      wrong(at, converted.error().message);
      ++wrong_lines;
    }
  }
  bool unreadable = std::ferror(file.get()) != 0;
  Field(origin_raw).reset();
  Field(previous_raw).reset();
  if (unreadable) return fail(ErrorCode::Io, "cannot read \"{}\": it is no file or its disk fails", path.string());
  return {};
}

}  // namespace countersign::zones
