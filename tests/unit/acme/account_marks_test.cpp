// CAA records, marks of revocation, and which certificates there are.
#include "acme/commands/caa_records.hpp"
#include "acme/state/certificate_names.hpp"
#include "acme/state/revocation_mark.hpp"
#include "base/files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace countersign;
using namespace countersign::acme;
namespace fs = std::filesystem;
using base::ErrorCode;

namespace {

constexpr const char* kUrl = "https://acme-v02.api.letsencrypt.org/acme/acct/7";

std::vector<std::string> lines(const CaaWish& wish) {
  auto records = caa_records(wish);
  if (!records) FAIL(records.error().message);
  std::vector<std::string> out;
  for (const CaaRecord& record : *records) out.push_back(record.line());
  return out;
}

}  // namespace

TEST_CASE("a CAA record names the CA, the account and the methods", "[acme]") {
  REQUIRE(lines({{"letsencrypt.org"}, kUrl, {"dns-01"}, {}}) ==
          std::vector<std::string>{"DOMAIN. CAA 0 issue \"letsencrypt.org; "
                                   "accounturi=https://acme-v02.api.letsencrypt.org/acme/acct/7; "
                                   "validationmethods=dns-01\""});
  auto two = lines({{"a.example", "b.example"}, kUrl, {"dns-01", "dns-persist-01"}, {"example.test"}});
  REQUIRE(two.size() == 2);
  REQUIRE(two[0].starts_with("example.test. CAA 0 issue \"a.example; accounturi="));
  REQUIRE(two[1].starts_with("example.test. CAA 0 issue \"b.example; accounturi="));
  REQUIRE(two[0].ends_with("; validationmethods=dns-01,dns-persist-01\""));
}

TEST_CASE("only the topmost names need a CAA record", "[acme]") {
  auto records = caa_records({{"ca.example"},
                              kUrl,
                              {"dns-01"},
                              {"www.example.test", "*.example.test", "example.test", "badexample.test",
                               "*.a.b.other.test", "x.a.b.other.test", "deep.www.example.test"}});
  REQUIRE(records);
  std::vector<std::string> names;
  for (const CaaRecord& record : *records) names.push_back(record.name);
  REQUIRE(names == std::vector<std::string>{"a.b.other.test.", "badexample.test.", "example.test."});
}

TEST_CASE("what cannot stand in a CAA record is refused", "[acme]") {
  auto code = [](const CaaWish& wish) { return caa_records(wish).error().code; };
  REQUIRE(code({{}, kUrl, {"dns-01"}, {}}) == ErrorCode::NotFound);
  for (const char* url :
       {"", "https://ca.example/a;b", "https://ca.example/a b", "https://ca.example/\"", "a\\b", "a\nb"})
    REQUIRE(code({{"ca.example"}, url, {"dns-01"}, {}}) == ErrorCode::Protocol);
  for (const char* identity : {"", "ca.example; x=y", "ca example", "a\"b", "a\\b", "ca..example"})
    REQUIRE(code({{identity}, kUrl, {"dns-01"}, {}}) == ErrorCode::Protocol);
}

TEST_CASE("a revoked issuance is marked with the reason", "[acme]") {
  tests::TemporaryFolder folder;
  REQUIRE_FALSE(revocation_mark(folder.path));
  REQUIRE_FALSE(revocation_mark(folder.path / "none"));
  REQUIRE(mark_revoked(folder.path, {std::nullopt, "2026-11-22T10:00:00Z"}));
  REQUIRE(revocation_mark(folder.path)->at == "2026-11-22T10:00:00Z");
  REQUIRE_FALSE(revocation_mark(folder.path)->reason);
  for (auto reason : {RevocationReason::Unspecified, RevocationReason::KeyCompromise, RevocationReason::Superseded,
                      RevocationReason::CessationOfOperation}) {
    REQUIRE(mark_revoked(folder.path, {reason, "2026-11-22T10:00:00Z"}));
    REQUIRE(revocation_mark(folder.path)->reason == reason);
  }
  // A broken mark is a mark.
  for (const char* text : {"", "{", "[]", R"({"reason":7,"at":[]})"}) {
    REQUIRE(base::replace_file(folder.path / "revoked.json", text, 0644));
    REQUIRE(revocation_mark(folder.path));
    REQUIRE_FALSE(revocation_mark(folder.path)->reason);
  }
  REQUIRE(mark_revoked(folder.path / "none", {std::nullopt, ""}).error().code == ErrorCode::NotFound);
}

TEST_CASE("the certificates are those that have a record", "[acme]") {
  tests::TemporaryFolder folder;
  REQUIRE(certificate_names(folder.path / "none")->empty());
  fs::create_directories(folder.path / "certificates");
  REQUIRE(certificate_names(folder.path)->empty());
  for (const char* file : {"b.test.json", "a.test.json", ".c.test.json", "d.test", "UPPER.json", ".json"})
    REQUIRE(base::replace_file(folder.path / "certificates" / file, "{}", 0600));
  REQUIRE(*certificate_names(folder.path) == std::vector<std::string>{"a.test", "b.test"});
}
