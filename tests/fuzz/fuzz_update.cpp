// dnsd::parse_update: what it takes names nothing outside of the zone, is read alike by ldns, and is the same again
// when it is written without compression.
#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "base/handle.hpp"
#include "dnsd/update/update_message.hpp"

// Behind C++'s headers: it makes a macro of "false".
#include <ldns/ldns.h>

namespace {

using namespace countersign;
using Packet = base::Handle<ldns_pkt, ldns_pkt_free>;
using Need = zones::Prerequisite::Kind;
using Kind = zones::TxtChange::Kind;

void require(bool fact, const char* what) {
  if (!fact) throw std::runtime_error(what);
}

base::Name name(std::string_view text) {
  return base::Name::parse(text).value();
}

const std::vector<base::Name>& our_zones() {
  static const std::vector<base::Name> zones = {name("auth.example.net"), name("deep.auth.example.net")};
  return zones;
}

const dnsd::TsigKey& key() {
  static const dnsd::TsigKey key{
      .name = name("k"), .secret = "secret", .allow = {{.name = name("auth.example.net"), .below = true}}};
  return key;
}

void put_u16(std::string& out, std::size_t value) {
  out.push_back(static_cast<char>(value >> 8U));
  out.push_back(static_cast<char>(value));
}

void put_record(std::string& out, const base::Name& owner, std::size_t type, std::size_t record_class,
                std::string_view rdata) {
  out += owner.wire();
  put_u16(out, type);
  put_u16(out, record_class);
  out.append(4, '\0');
  put_u16(out, rdata.size());
  out += rdata;
}

struct Written {
  std::string message;
  std::size_t records = 0;
};

Written write(const dnsd::UpdateRequest& request) {
  constexpr std::size_t kIn = 1, kNone = 254, kAny = 255, kTxt = 16;
  std::string needs, changes;
  std::size_t need_count = 0;
  for (const zones::Prerequisite& need : request.update.prerequisites) {
    bool whole_name = need.kind == Need::NameInUse || need.kind == Need::NameNotInUse;
    bool exists = need.kind == Need::NameInUse || need.kind == Need::RrsetExists;
    need_count += need.kind == Need::RrsetEquals ? need.rdatas.size() : 1;
    for (const std::string& rdata : need.rdatas) put_record(needs, need.name, need.type, kIn, rdata);
    if (need.kind != Need::RrsetEquals)
      put_record(needs, need.name, whole_name ? kAny : need.type, exists ? kAny : kNone, "");
  }
  for (const zones::TxtChange& change : request.update.changes) {
    std::string rdata;
    if (change.value) zones::append_txt_rdata(rdata, change.value->text());
    std::size_t record_class = change.kind == Kind::Add ? kIn : change.kind == Kind::Remove ? kNone : kAny;
    put_record(changes, change.name, kTxt, record_class, rdata);
  }
  std::string message("\x12\x34\x28\x00\x00\x01", 6);
  put_u16(message, need_count);
  put_u16(message, request.update.changes.size());
  put_u16(message, 0);
  message += request.zone.wire();
  message += std::string_view("\0\6\0\1", 4);
  return {message + needs + changes, need_count + request.update.changes.size()};
}

bool in_zone(const base::Name& name, const base::Name& zone) {
  return std::none_of(our_zones().begin(), our_zones().end(),
                      [&](const base::Name& other) {
                        return other != zone && other.is_within(zone) && name.is_within(other);
                      }) &&
         name.is_within(zone);
}

void check_request(const dnsd::UpdateRequest& request) {
  for (const zones::Prerequisite& need : request.update.prerequisites) {
    require(in_zone(need.name, request.zone), "a prerequisite outside of the zone");
    require((need.kind == Need::RrsetEquals) == !need.rdatas.empty(), "data where none belongs");
  }
  for (const zones::TxtChange& change : request.update.changes) {
    require(in_zone(change.name, request.zone), "a change outside of the zone");
    require(key().allow[0].matches(change.name), "a change that is not permitted");
    require(change.value.has_value() == (change.kind != Kind::RemoveAll), "a value where none belongs");
    require(change.owner == "key:k", "another's change");
    require(change.whose ==
                (change.kind == Kind::RemoveAll ? zones::TxtChange::Whose::Owners : zones::TxtChange::Whose::Anybodys),
            "a deletion of more than it may take");
  }
}

bool same(const dnsd::UpdateRequest& a, const dnsd::UpdateRequest& b) {
  auto equal_needs = [](const zones::Prerequisite& x, const zones::Prerequisite& y) {
    return x.kind == y.kind && x.name == y.name && x.type == y.type && x.rdatas == y.rdatas;
  };
  auto equal_changes = [](const zones::TxtChange& x, const zones::TxtChange& y) {
    return x.kind == y.kind && x.name == y.name && x.value == y.value;
  };
  const auto &first = a.update, &second = b.update;
  return a.zone == b.zone &&
         std::equal(first.prerequisites.begin(), first.prerequisites.end(), second.prerequisites.begin(),
                    second.prerequisites.end(), equal_needs) &&
         std::equal(first.changes.begin(), first.changes.end(), second.changes.begin(), second.changes.end(),
                    equal_changes);
}

// ldns reads the additional section too, which may hold anything.
void ask_ldns(base::Bytes message, const dnsd::UpdateRequest& request) {
  if (base::load_u16(message.data() + 10) != 0) return;
  ldns_pkt* raw = nullptr;
  require(ldns_wire2pkt(&raw, reinterpret_cast<const std::uint8_t*>(message.data()), message.size()) == LDNS_STATUS_OK,
          "ldns does not take what was taken");
  Packet packet(raw);
  const ldns_rr_list* updates = ldns_pkt_authority(packet.get());
  require(ldns_rr_list_rr_count(updates) == request.update.changes.size(), "ldns counts otherwise");
  for (std::size_t i = 0; i < request.update.changes.size(); ++i) {
    const ldns_rdf* owner = ldns_rr_owner(ldns_rr_list_rr(updates, i));
    auto read = base::Name::from_wire(
        base::as_bytes({reinterpret_cast<const char*>(ldns_rdf_data(owner)), ldns_rdf_size(owner)}));
    require(read && *read == request.update.changes[i].name, "ldns reads another name");
  }
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer gives the name.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 12 || size > 0xffff) return 0;
  base::Bytes message(reinterpret_cast<const std::byte*>(data), size);
  auto outcome = dnsd::parse_update(message, our_zones(), key());
  if (const auto* refusal = std::get_if<dnsd::UpdateRefusal>(&outcome)) {
    bool known = refusal->rcode == 1 || refusal->rcode == 5 || refusal->rcode == 9 || refusal->rcode == 10;
    require(known && !refusal->reason.empty(), "a refusal without words");
    return 0;
  }
  const auto& request = std::get<dnsd::UpdateRequest>(outcome);
  check_request(request);
  ask_ldns(message, request);
  Written written = write(request);
  require(written.records <= 1000, "more records than are taken");
  if (written.message.size() > 0xffff) return 0;
  auto again = dnsd::parse_update(base::as_bytes(written.message), our_zones(), key());
  require(std::holds_alternative<dnsd::UpdateRequest>(again), "not taken again");
  require(same(request, std::get<dnsd::UpdateRequest>(again)), "not the same again");
  return 0;
}
