#include "acme/state/revocation_mark.hpp"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "acme/protocol/json.hpp"
#include "base/files.hpp"

namespace countersign::acme {
namespace {

constexpr const char* kFile = "revoked.json";

}  // namespace

const char* reason_text(RevocationReason reason) {
  switch (reason) {
    case RevocationReason::Unspecified:
      return "unspecified";
    case RevocationReason::KeyCompromise:
      return "keyCompromise";
    case RevocationReason::Superseded:
      return "superseded";
    case RevocationReason::CessationOfOperation:
      return "cessationOfOperation";
  }
  return "";
}

base::Result<void> mark_revoked(const std::filesystem::path& issuance, const RevocationMark& mark) {
  boost::json::object fields{{"at", mark.at}};
  if (mark.reason) fields["reason"] = reason_text(*mark.reason);
  return base::replace_file(issuance / kFile, boost::json::serialize(fields) + "\n", 0644);
}

std::optional<RevocationMark> revocation_mark(const std::filesystem::path& issuance) {
  std::filesystem::path file = issuance / kFile;
  auto text = base::read_file(file);
  if (!text && text.error().code == base::ErrorCode::NotFound) return std::nullopt;
  RevocationMark mark;
  auto document = text ? JsonDocument::parse(*text, file.string()) : base::Result<JsonDocument>(fail(text.error()));
  if (!document) return mark;
  mark.at = document->root().optional_text("at");
  std::string reason = document->root().optional_text("reason");
  for (auto known : {RevocationReason::Unspecified, RevocationReason::KeyCompromise, RevocationReason::Superseded,
                     RevocationReason::CessationOfOperation})
    if (reason == reason_text(known)) mark.reason = known;
  return mark;
}

}  // namespace countersign::acme
