#include "acme/issue/certificate_store.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <functional>
#include <future>

#include "acme/protocol/json.hpp"
#include "base/encoding.hpp"
#include "base/files.hpp"
#include "base/random.hpp"

namespace countersign::acme {
namespace {

namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
using base::Result;

// A file's name has at most 255 octets, and temporary ones beside CERT.json add 25.
constexpr std::size_t kMaxCertName = 200;

bool is_issuance_name(const std::string& name) {
  return name.size() == 29 && name[8] == 'T' && name[15] == '.' && name[19] == 'Z' && name[20] == '-' &&
         name.find_first_not_of("0123456789abcdefTZ.-") == std::string::npos;
}

boost::json::array list_of(const std::vector<std::string>& texts) {
  return boost::json::array(texts.begin(), texts.end());
}

std::string link_target(const std::string& name, const std::string& issuance) {
  return fmt::format("../archive/{}/{}", name, issuance);
}

using Task = std::function<Result<void>()>;

// Each task ends in an fsync(); the file system puts those that wait together into one commit of its journal, so three
// files cost as much as one.
Result<void> all_at_once(const std::vector<Task>& tasks) {
  std::vector<std::future<Result<void>>> running;
  running.reserve(tasks.size());
  for (const Task& task : tasks) running.push_back(std::async(std::launch::async, task));
  Result<void> first;
  for (auto& future : running) {
    auto done = future.get();
    if (first && !done) first = std::move(done);
  }
  return first;
}

boost::json::object fields_of(const PendingOrder& pending) {
  return {{"url", pending.url},           {"names", list_of(pending.names)},
          {"ca", pending.directory_url},  {"account", pending.account_url},
          {"key_type", pending.key_type}, {"archive", pending.archive}};
}

PendingOrder pending_of(const JsonObject& object) {
  PendingOrder pending;
  pending.url = object.text("url");
  pending.names = object.texts("names");
  pending.directory_url = object.text("ca");
  pending.account_url = object.text("account");
  pending.key_type = object.text("key_type");
  pending.archive = object.text("archive");
  // It is part of a path.
  if (!is_issuance_name(pending.archive)) object.reject("archive", "is no issuance's folder");
  return pending;
}

}  // namespace

Result<CertificateStore> CertificateStore::open(const fs::path& acme_directory) {
  // STATE itself is for everybody to pass through (the daemon's folder is in it); what is ours is not.
  auto made = base::make_directories(acme_directory.parent_path(), 0755);
  for (const char* part : {"certificates", "archive", "live", "locks"}) {
    if (made) made = base::make_directories(acme_directory / part, 0700);
  }
  if (!made) return fail(made.error());
  return CertificateStore(acme_directory);
}

fs::path CertificateStore::record_file(const std::string& name) const {
  return root_ / "certificates" / (name + ".json");
}

Result<std::optional<CertificateRecord>> CertificateStore::load(const std::string& name) const {
  fs::path file = record_file(name);
  auto text = base::read_file(file);
  if (!text) {
    if (text.error().code == ErrorCode::NotFound) return std::optional<CertificateRecord>();
    return fail(text.error());
  }
  auto broken = [&](const base::Error& error) {
    return fail(ErrorCode::Invalid, "{}; move the file away to begin anew", error.message);
  };
  auto document = JsonDocument::parse(*text, fmt::format("\"{}\"", file.string()));
  if (!document) return broken(document.error());
  JsonObject root = document->root();
  CertificateRecord record;
  record.names = root.texts("names");
  record.directory_url = root.optional_text("ca");
  record.key_type = root.optional_text("key_type");
  record.order_url = root.optional_text("order");
  record.archive = root.optional_text("archive");
  record.not_before = root.optional_text("not_before");
  record.not_after = root.optional_text("not_after");
  record.serial = root.optional_text("serial");
  record.issuer = root.optional_text("issuer");
  if (auto pending = root.optional_object("pending_order")) record.pending = pending_of(*pending);
  for (const JsonObject& item : root.optional_objects("published")) {
    auto owner = base::Name::parse(item.text("name"));
    if (!owner) item.reject("name", owner.error().message);
    record.published.push_back({owner.value_or(base::Name()), item.text("value")});
  }
  if (auto checked = document->check(); !checked) return broken(checked.error());
  return std::optional<CertificateRecord>(std::move(record));
}

Result<void> CertificateStore::save(const std::string& name, const CertificateRecord& record) const {
  boost::json::object fields;
  fields["names"] = list_of(record.names);
  fields["ca"] = record.directory_url;
  fields["key_type"] = record.key_type;
  fields["order"] = record.order_url;
  fields["archive"] = record.archive;
  fields["not_before"] = record.not_before;
  fields["not_after"] = record.not_after;
  fields["serial"] = record.serial;
  fields["issuer"] = record.issuer;
  if (record.pending) fields["pending_order"] = fields_of(*record.pending);
  if (!record.published.empty()) {
    boost::json::array published;
    for (const TxtValue& value : record.published)
      published.push_back(boost::json::object{{"name", value.name.text()}, {"value", value.value}});
    fields["published"] = std::move(published);
  }
  return base::replace_file(record_file(name), boost::json::serialize(fields) + "\n", 0600);
}

Result<void> CertificateStore::forget(const std::string& name) const {
  std::error_code problem;
  fs::remove(record_file(name), problem);
  if (problem) return fail(ErrorCode::Io, "cannot remove \"{}\": {}", record_file(name).string(), problem.message());
  return {};
}

std::string CertificateStore::new_issuance(base::WallTime now) {
  std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm fields{};
  gmtime_r(&seconds, &fields);
  std::array<char, 32> stamp{};
  std::strftime(stamp.data(), stamp.size(), "%Y%m%dT%H%M%S", &fields);
  std::array<std::byte, 4> suffix{};
  base::fill_random(suffix);
  return fmt::format("{}.{:03}Z-{}", stamp.data(), now.time_since_epoch().count() % 1000, base::hex_encode(suffix));
}

Result<void> CertificateStore::write_key(const std::string& name, const std::string& issuance,
                                         const PrivateKey& key) const {
  auto pem = key.to_pem();
  if (!pem) return fail(pem.error());
  fs::path folder = archive(name) / issuance;
  auto written = base::make_directories(folder, 0700);
  if (written) written = base::create_file(folder / "privkey.pem", *pem, 0600);
  if (written) written = base::sync_directory(folder);
  if (!written) remove_issuance(name, issuance);
  return written;
}

Result<PrivateKey> CertificateStore::read_key(const std::string& name, const std::string& issuance) const {
  fs::path file = archive(name) / issuance / "privkey.pem";
  auto pem = base::read_file(file);
  if (!pem) return fail(pem.error());
  auto key = PrivateKey::from_pem(*pem);
  if (!key) return fail(ErrorCode::Invalid, "\"{}\": {}", file.string(), key.error().message);
  return key;
}

Result<void> CertificateStore::write_chain(const std::string& name, const std::string& issuance,
                                           const CertificateChain& chain) const {
  fs::path folder = archive(name) / issuance;
  auto file = [&folder](const char* file_name, std::string text) {
    return [path = folder / file_name, text = std::move(text)] {
      // What an earlier try left; nothing reads this folder yet.
      std::error_code ignored;
      fs::remove(path, ignored);
      return base::create_file(path, text, 0644);
    };
  };
  auto written = all_at_once({file("cert.pem", chain.leaf_pem()), file("chain.pem", chain.chain_pem()),
                              file("fullchain.pem", chain.full_pem())});
  if (!written) return written;
  return base::sync_directory(folder);
}

void CertificateStore::remove_issuance(const std::string& name, const std::string& issuance) const {
  std::error_code ignored;
  fs::remove_all(archive(name) / issuance, ignored);
}

bool CertificateStore::is_live(const std::string& name, const std::string& issuance) const {
  std::error_code ignored;
  return fs::read_symlink(live(name), ignored) == link_target(name, issuance);
}

Result<void> CertificateStore::switch_live(const std::string& name, const CertificateRecord& record) const {
  // The record only describes; what is in force is what the link says. So the two need no order among themselves.
  auto done = all_at_once({[&] { return base::replace_symlink(live(name), link_target(name, record.archive)); },
                           [&] { return save(name, record); }});
  if (done) remove_old(name, record.archive);
  return done;
}

void CertificateStore::remove_old(const std::string& name, const std::string& current) const {
  std::vector<std::string> issuances;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(archive(name), ignored)) {
    std::string folder = entry.path().filename().string();
    if (!is_issuance_name(folder) || folder == current) continue;
    // A key that never got its certificate, of a run that was killed.
    bool complete = fs::exists(entry.path() / "fullchain.pem", ignored);
    if (!complete) remove_issuance(name, folder);
    if (complete) issuances.push_back(std::move(folder));
  }
  std::sort(issuances.begin(), issuances.end(), std::greater<>());
  for (std::size_t i = kKept - 1; i < issuances.size(); ++i) remove_issuance(name, issuances[i]);
}

std::optional<CertificateChain> CertificateStore::live_chain(const std::string& name) const {
  fs::path file = live(name) / "fullchain.pem";
  auto text = base::read_file(file);
  auto pem = base::read_file(live(name) / "privkey.pem");
  if (!text || !pem) return std::nullopt;
  auto chain = CertificateChain::parse(*text, file.string());
  auto key = PrivateKey::from_pem(*pem);
  if (!chain || !key || !chain->is_for(*key)) return std::nullopt;
  return *std::move(chain);
}

Result<void> check_cert_name(const std::string& name) {
  auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  bool good = !name.empty() && plain(name.front()) && std::all_of(name.begin(), name.end(), [&](char c) {
    return plain(c) || c == '.' || c == '_' || c == '-';
  });
  if (!good)
    return fail(
        ErrorCode::Invalid,
        "\"{}\" cannot name a certificate: lower-case letters, digits, \".\", \"_\" and \"-\", a letter or digit first",
        name);
  if (name.size() > kMaxCertName)
    return fail(ErrorCode::Invalid,
                "\"{}\" is too long to name a certificate's files; give a shorter one with --cert-name", name);
  return {};
}

base::WallTime renewal_time(base::WallTime not_before, base::WallTime not_after) {
  auto lifetime = not_after - not_before;
  return not_after - (lifetime < std::chrono::hours(240) ? lifetime / 2 : lifetime / 3);
}

}  // namespace countersign::acme
