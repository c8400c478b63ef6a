#include <array>
#include <boost/json.hpp>
#include <filesystem>

#include "acme/commands/commands.hpp"
#include "acme/renew/known.hpp"
#include "acme/state/certificate_store.hpp"
#include "base/clock.hpp"

namespace countersign::acme {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using base::WallTime;

constexpr std::array<const char*, 5> kFiles{"privkey.pem", "cert.pem", "chain.pem", "fullchain.pem", "certificate.p12"};

struct Listed {
  Prospect prospect;
  CertificateRecord record;  // an empty one where nothing was ever tried
  Decision decision;
  fs::path directory;              // "" when nothing is in force
  std::vector<std::string> files;  // in it
};

// Its key is where its signing request was made.
bool has_foreign_key(const Listed& listed) {
  return listed.record.key_type == "csr";
}

Listed listed_from(const CertificateStore& store, Prospect prospect, WallTime now) {
  Listed listed;
  listed.decision = decide(prospect, Trigger::Schedule, now, now);
  listed.record = prospect.record.value_or(CertificateRecord());
  if (listed.record.names.empty()) listed.record.names = prospect.names;
  if (listed.record.directory_url.empty() && !prospect.cas.empty()) listed.record.directory_url = prospect.cas.front();
  if (prospect.live) {
    listed.directory = store.live(prospect.cert_name);
    std::error_code ignored;
    for (const char* file : kFiles)
      if (fs::exists(listed.directory / file, ignored)) listed.files.emplace_back(file);
    // The files tell; the record may be behind them after a kill.
    listed.record.not_before = base::format_rfc3339(prospect.live->not_before);
    listed.record.not_after = base::format_rfc3339(prospect.live->not_after);
  }
  listed.prospect = std::move(prospect);
  return listed;
}

// When it is due, or was; "" when nothing is in force.
std::string renewal_of(const Listed& listed) {
  if (!listed.prospect.live) return "";
  if (listed.decision.kind == Decision::Kind::NotDue || listed.decision.suggested_by_ca)
    return base::format_rfc3339(listed.decision.at);
  return base::format_rfc3339(renewal_time(listed.prospect.live->not_before, listed.prospect.live->not_after));
}

const char* state_word(Decision::Kind kind) {
  switch (kind) {
    case Decision::Kind::Due:
      return "due";
    case Decision::Kind::NotDue:
      return "not_due";
    case Decision::Kind::HeldBack:
      return "held_back";
    case Decision::Kind::Nothing:
      return "nothing";
  }
  return "";
}

// The CA's suggestion, if it is about the certificate that is in force.
const RenewalState* suggestion_of(const Listed& listed) {
  const auto& renewal = listed.record.renewal;
  bool current = renewal && renewal->has_window() && listed.prospect.live &&
                 renewal->certificate_id == listed.prospect.live->certificate_id && !renewal->certificate_id.empty();
  return current ? &*renewal : nullptr;
}

json::object renewal_document(const Listed& listed) {
  const Decision& decision = listed.decision;
  bool timed = decision.kind == Decision::Kind::NotDue || decision.kind == Decision::Kind::HeldBack;
  json::object document{{"state", state_word(decision.kind)},
                        {"at", timed ? json::value(base::format_rfc3339(decision.at)) : json::value()},
                        {"reason", decision.reason},
                        {"suggested_by_ca", decision.suggested_by_ca},
                        {"window", nullptr},
                        {"explanation_url", nullptr}};
  const RenewalState* suggestion = suggestion_of(listed);
  if (suggestion == nullptr) return document;
  document["window"] =
      json::object{{"start", base::format_rfc3339(suggestion->start)}, {"end", base::format_rfc3339(suggestion->end)}};
  if (!suggestion->explanation_url.empty()) document["explanation_url"] = suggestion->explanation_url;
  return document;
}

json::object document_of(const Listed& listed) {
  const CertificateRecord& record = listed.record;
  json::object files;
  for (const std::string& file : listed.files) files[file] = (listed.directory / file).string();
  return {{"name", listed.prospect.cert_name},
          {"names", json::array(record.names.begin(), record.names.end())},
          {"ca", record.directory_url},
          {"issuer", record.issuer},
          {"serial", record.serial},
          {"key_type", record.key_type},
          {"foreign_key", has_foreign_key(listed)},
          {"in_configuration", listed.prospect.in_configuration},
          {"not_before", record.not_before},
          {"not_after", record.not_after},
          {"renew_after", renewal_of(listed)},
          {"renewal", renewal_document(listed)},
          {"directory", listed.directory.empty() ? json::value() : json::value(listed.directory.string())},
          {"files", std::move(files)}};
}

std::string distance(WallTime from, WallTime to) {
  auto hours = std::chrono::duration_cast<std::chrono::hours>(to - from).count();
  if (hours < 48) return fmt::format("in {} hour{}", hours, hours == 1 ? "" : "s");
  return fmt::format("in {} days", hours / 24);
}

std::string renewal_text(const Listed& listed, WallTime now) {
  const Decision& decision = listed.decision;
  std::string reason = harmless(decision.reason);
  switch (decision.kind) {
    case Decision::Kind::NotDue:
      return fmt::format("{} ({}): {}", base::format_rfc3339(decision.at), distance(now, decision.at), reason);
    case Decision::Kind::HeldBack:
      return fmt::format("not before {}: {}", base::format_rfc3339(decision.at), reason);
    case Decision::Kind::Due:
      return "due now: " + reason;
    case Decision::Kind::Nothing:
      return reason;
  }
  return reason;
}

std::string text_of(const Listed& listed, WallTime now) {
  const CertificateRecord& record = listed.record;
  std::string names;
  for (const std::string& name : record.names) names += (names.empty() ? "" : " ") + harmless(name);
  std::vector<std::vector<std::string>> rows{{"  names", names}, {"  CA", harmless(record.directory_url)}};
  if (const auto& live = listed.prospect.live) {
    std::string until = live->not_after <= now ? "expired" : distance(now, live->not_after);
    rows.push_back({"  issuer", harmless(record.issuer)});
    rows.push_back({"  expires", fmt::format("{} ({})", base::format_rfc3339(live->not_after), until)});
    if (has_foreign_key(listed)) {
      std::string request = record.options.csr ? fmt::format(" \"{}\"", harmless(*record.options.csr)) : "";
      rows.push_back({"  key", "not here: it belongs to the signing request" + request});
    }
  } else {
    rows.push_back({"  state", record.archive.empty() ? "not issued yet" : "not in force"});
  }
  rows.push_back({"  renewal", renewal_text(listed, now)});
  if (const RenewalState* suggestion = suggestion_of(listed); suggestion && !suggestion->explanation_url.empty())
    rows.push_back({"", harmless(suggestion->explanation_url)});
  for (const std::string& file : listed.files)
    rows.push_back({file == listed.files.front() ? "  files" : "", (listed.directory / file).string()});
  std::string text = listed.prospect.cert_name + "\n" + table_text(rows);
  text.pop_back();
  return text;
}

struct Listing {
  std::vector<Listed> certificates;
  std::vector<std::pair<std::string, base::Error>> broken;  // by name
};

base::Result<Listing> listing_of(const conf::Config& config, WallTime now) {
  auto known = known_certificates(config, {});
  if (!known) return base::fail(known.error());
  Listing listing;
  if (known->empty()) return listing;
  auto store = CertificateStore::open(config.state_dir / "acme");
  if (!store) return base::fail(store.error());
  for (Known& one : *known) {
    if (one.prospect) {
      listing.certificates.push_back(listed_from(*store, *std::move(one.prospect), now));
    } else {
      listing.broken.emplace_back(one.cert_name, one.prospect.error());
    }
  }
  return listing;
}

}  // namespace

ExitStatus run(const Context& context, const CertificatesCommand&) {
  auto now = base::SystemClock().wall();
  auto listing = listing_of(context.config, now);
  if (!listing) return fail_with(context.terminal, context.options, listing.error());
  json::array documents;
  for (const Listed& listed : listing->certificates) {
    if (context.options.json) {
      documents.push_back(document_of(listed));
    } else {
      context.terminal.result(text_of(listed, now));
    }
  }
  // One broken record hides none of the others.
  for (const auto& [name, error] : listing->broken) {
    context.terminal.error(error.message);
    json::object document{{"name", name}};
    document["error"] = json::object{{"code", code_text(error.code)}, {"message", error.message}};
    documents.push_back(std::move(document));
  }
  if (context.options.json) {
    context.terminal.result(json::serialize(documents));
  } else if (listing->certificates.empty() && listing->broken.empty()) {
    context.terminal.note("no certificates yet; `countersign issue NAME...` obtains one");
  }
  return listing->broken.empty() ? ExitStatus::Done : ExitStatus::Failed;
}

}  // namespace countersign::acme
