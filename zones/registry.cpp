#include "zones/registry.hpp"

#include <algorithm>
#include <utility>

namespace countersign::zones {
namespace {

constexpr std::int64_t kMarkEvery = 3'600'000;  // an hour

void pack_text(std::string& out, std::string_view text) {
  auto length = static_cast<std::uint32_t>(text.size());
  for (unsigned shift : {24U, 16U, 8U, 0U}) out += static_cast<char>(length >> shift & 0xffU);
  out += text;
}

// Of what pack() wrote, so nothing is checked.
class Unpacker {
 public:
  explicit Unpacker(std::string_view packed) : left_(packed) {}

  std::string text() {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8U | static_cast<unsigned char>(left_[i]);
    std::string taken(left_.substr(4, length));
    left_.remove_prefix(4 + length);
    return taken;
  }

 private:
  std::string_view left_;
};

std::string pack(const Registration& registration) {
  std::string domains = join_names(registration.domains);
  std::string allow_from = join_words(registration.allow_from);
  std::string packed;
  packed.reserve(24 + registration.secret.size() + registration.name.wire().size() + registration.subdomain.size() +
                 allow_from.size() + domains.size() + registration.label.size());
  pack_text(packed, registration.secret);
  pack_text(packed, registration.name.wire());
  pack_text(packed, registration.subdomain);
  pack_text(packed, allow_from);
  pack_text(packed, domains);
  pack_text(packed, registration.label);
  return packed;
}

}  // namespace

void Registry::put(const Registration& registration) {
  Entry& entry = entries_[registration.username];
  entry.created = registration.created;
  entry.used = std::max(entry.used, registration.used);
  entry.packed = pack(registration);
}

void Registry::erase(std::string_view username) {
  auto found = entries_.find(username);
  if (found != entries_.end()) entries_.erase(found);
}

std::optional<Registration> Registry::find(std::string_view username) const {
  auto found = entries_.find(username);
  if (found == entries_.end()) return std::nullopt;
  const Entry& entry = found->second;
  Unpacker packed(entry.packed);
  Registration registration;
  registration.username = found->first;
  registration.secret = packed.text();
  registration.name = base::Name::from_wire(base::as_bytes(packed.text())).value_or(base::Name());
  registration.subdomain = packed.text();
  registration.allow_from = split_words(packed.text());
  registration.domains = split_names(packed.text());
  registration.label = packed.text();
  registration.created = entry.created;
  registration.used = entry.used;
  return registration;
}

void Registry::mark_used(std::string_view username, std::int64_t now) {
  auto found = entries_.find(username);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  // Nor is it lowered by a clock that was set back: what counts is that somebody was here at the time that it names.
  if (now < entry.used || now - entry.used < kMarkEvery) return;
  entry.used = now;
  if (std::exchange(entry.marked, true)) return;
  marks_.push_back(found->first);
}

std::vector<UsedMark> Registry::take_marks() {
  std::vector<UsedMark> taken;
  taken.reserve(marks_.size());
  for (std::string& username : marks_) {
    auto found = entries_.find(username);
    if (found == entries_.end()) continue;
    found->second.marked = false;
    taken.push_back({std::move(username), found->second.used});
  }
  marks_.clear();
  return taken;
}

void Registry::mark_again(const std::vector<UsedMark>& marks) {
  for (const UsedMark& mark : marks) {
    auto found = entries_.find(mark.username);
    if (found == entries_.end() || std::exchange(found->second.marked, true)) continue;
    marks_.push_back(mark.username);
  }
}

std::int64_t Registry::newest() const {
  std::int64_t newest = 0;
  for (const auto& [username, entry] : entries_) newest = std::max({newest, entry.created, entry.used});
  return newest;
}

std::vector<std::string> Registry::unused_since(std::int64_t deadline, std::size_t limit, std::size_t look) {
  std::vector<std::string> found;
  std::size_t buckets = entries_.bucket_count();
  std::size_t looked = 0;
  // Whole buckets, so that the next call goes on behind them; one holds a handful.
  for (std::size_t i = 0; i < buckets && looked < look && found.size() < limit; ++i) {
    if (bucket_ >= buckets) bucket_ = 0;
    for (auto at = entries_.begin(bucket_); at != entries_.end(bucket_); ++at) {
      ++looked;
      if (std::max(at->second.created, at->second.used) < deadline) found.push_back(at->first);
    }
    ++bucket_;
  }
  return found;
}

}  // namespace countersign::zones
