#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <filesystem>

#include "acme/commands/commands.hpp"
#include "acme/issue/certificate_store.hpp"
#include "base/files.hpp"

namespace countersign::acme {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using base::fail;
using base::Result;

constexpr std::array<const char*, 4> kFiles{"privkey.pem", "cert.pem", "chain.pem", "fullchain.pem"};

struct Known {
  std::string name;
  CertificateRecord record;
  std::string renew_after;  // RFC 3339; "" when nothing is issued
  fs::path directory;       // "" when nothing is issued
};

// The CERTs that have a CERT.json, in the order of their names. None when nothing was ever issued here.
Result<std::vector<std::string>> cert_names(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code problem;
  fs::directory_iterator entries(folder, problem);
  if (problem == std::errc::no_such_file_or_directory) return names;
  if (problem)
    return fail(base::system_code(problem.value()), "cannot list the certificates in {}: {}; run it as root",
                folder.string(), base::system_reason(problem.value()));
  for (; entries != fs::directory_iterator(); entries.increment(problem)) {
    std::string file = entries->path().filename().string();
    if (!file.ends_with(".json")) continue;
    file.resize(file.size() - std::string_view(".json").size());
    // What is no CERT is a leftover, or not ours.
    if (check_cert_name(file)) names.push_back(std::move(file));
    if (problem) break;
  }
  std::sort(names.begin(), names.end());
  return names;
}

Known known_from(const CertificateStore& store, const std::string& name, CertificateRecord record) {
  Known known{name, std::move(record), "", {}};
  std::error_code ignored;
  if (known.record.archive.empty() || !fs::exists(store.live(name), ignored)) return known;
  known.directory = store.live(name);
  auto not_before = base::parse_rfc3339(known.record.not_before);
  auto not_after = base::parse_rfc3339(known.record.not_after);
  if (not_before && not_after) known.renew_after = base::format_rfc3339(renewal_time(*not_before, *not_after));
  return known;
}

json::object document_of(const Known& known) {
  json::array names;
  for (const std::string& name : known.record.names) names.emplace_back(name);
  json::object document{{"name", known.name},
                        {"names", std::move(names)},
                        {"ca", known.record.directory_url},
                        {"issuer", known.record.issuer},
                        {"serial", known.record.serial},
                        {"key_type", known.record.key_type},
                        {"not_before", known.record.not_before},
                        {"not_after", known.record.not_after},
                        {"renew_after", known.renew_after},
                        {"directory", nullptr},
                        {"files", json::object()}};
  if (known.directory.empty()) return document;
  document["directory"] = known.directory.string();
  for (const char* file : kFiles) document["files"].as_object()[file] = (known.directory / file).string();
  return document;
}

std::string text_of(const Known& known, base::WallTime now) {
  std::string names;
  for (const std::string& name : known.record.names) names += (names.empty() ? "" : " ") + name;
  std::vector<std::vector<std::string>> rows{{"  names", names}, {"  CA", harmless(known.record.directory_url)}};
  if (known.directory.empty()) {
    rows.push_back({"  state", "not issued yet"});
  } else {
    auto not_after = base::parse_rfc3339(known.record.not_after);
    std::string expires = harmless(known.record.not_after);
    if (not_after) {
      auto days = std::chrono::duration_cast<std::chrono::days>(*not_after - now).count();
      expires += *not_after < now ? " (expired)" : fmt::format(" (in {} day{})", days, days == 1 ? "" : "s");
    }
    rows.push_back({"  issuer", harmless(known.record.issuer)});
    rows.push_back({"  expires", expires});
    rows.push_back({"  renewal", "due from " + known.renew_after});
    for (const char* file : kFiles)
      rows.push_back({file == kFiles.front() ? "  files" : "", (known.directory / file).string()});
  }
  return known.name + "\n" + table_text(rows);
}

}  // namespace

ExitStatus run(const Context& context, const CertificatesCommand&) {
  fs::path acme = context.config.state_dir / "acme";
  auto names = cert_names(acme / "certificates");
  if (!names) return fail_with(context.terminal, context.options, names.error());
  std::vector<Known> certificates;
  bool complete = true;
  if (!names->empty()) {
    auto store = CertificateStore::open(acme);
    if (!store) return fail_with(context.terminal, context.options, store.error());
    for (const std::string& name : *names) {
      auto record = store->load(name);
      if (record && *record) certificates.push_back(known_from(*store, name, *std::move(*record)));
      if (record) continue;
      // One broken file hides none of the others.
      context.terminal.error(record.error().message);
      complete = false;
    }
  }
  if (context.options.json) {
    json::array list;
    for (const Known& known : certificates) list.push_back(document_of(known));
    context.terminal.result(json::serialize(list));
  } else if (certificates.empty() && complete) {
    context.terminal.note("no certificates yet; `countersign issue NAME...` obtains one");
  } else {
    auto now = base::SystemClock().wall();
    for (const Known& known : certificates) {
      std::string text = text_of(known, now);
      text.pop_back();
      context.terminal.result(text);
    }
  }
  return complete ? ExitStatus::Done : ExitStatus::Failed;
}

}  // namespace countersign::acme
