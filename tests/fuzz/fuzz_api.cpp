// Bodies and fields of the public API's requests, without a store: what is accepted obeys the rules that the rest
// relies on, and every answer made of it is JSON of one line.
#include <boost/json.hpp>
#include <cstdint>
#include <stdexcept>
#include <string_view>

#include "base/address_range.hpp"
#include "dnsd/api/acme_dns_json.hpp"
#include "dnsd/api/acme_dns_request.hpp"
#include "dnsd/api/client_address.hpp"
#include "dnsd/api/httpreq_request.hpp"
#include "dnsd/api/registrar_names.hpp"

namespace {

using namespace countersign;        // NOLINT(google-build-using-namespace): nothing else is in here
using namespace countersign::dnsd;  // NOLINT(google-build-using-namespace)
namespace json = boost::json;

void require(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

void check_answer(const std::string& body) {
  json::error_code error;
  json::value document = json::parse(body, error);
  require(!error && document.is_object(), "an answer that is no JSON");
  require(body.find('\n') == std::string::npos, "an answer of several lines");
}

void check_bodies(std::string_view body) {
  if (auto allow_from = parse_register(body)) {
    for (const std::string& cidr : *allow_from) {
      require(base::AddressRange::parse(cidr).has_value(), "allowfrom that is no range");
      require(cidr.find_first_of(" \"\\[]") == std::string::npos, "allowfrom that cannot be stored");
    }
    // A second opinion: what is taken is JSON, or nothing.
    json::error_code error;
    json::parse_options lenient;
    lenient.allow_invalid_utf8 = true;
    static_cast<void>(json::parse({body.data(), body.size()}, error, {}, lenient));
    require(body.empty() || !error, "a registration that is no JSON");
  } else {
    check_answer(error_body(allow_from.error().message));
  }
  if (auto update = parse_update(body)) {
    if (is_challenge_value(update->txt))
      require(zones::TxtValue::is_valid(update->txt), "a challenge that is no TXT value");
    std::string answer = "{\"subdomain\": ";
    append_json_text(answer, update->subdomain);
    check_answer(answer + "}");
  }
  if (auto request = parse_httpreq(body)) {
    require(!request->name.is_root(), "the root as a challenge's name");
    require(base::Name::parse(request->fqdn) == request->name, "the fqdn is another name");
    std::string answer = "{\"value\": ";
    append_json_text(answer, request->value.text());
    answer += "}";
    check_answer(answer);
    require(json::parse(answer).at("value").as_string() == json::string_view(request->value.text()), "another value");
  } else {
    check_answer(error_body("invalid", request.error().message));
  }
}

void check_fields(std::string_view text) {
  if (auto credentials = parse_basic(text))
    require(credentials->username.find(':') == std::string::npos, "a colon in a username");
  if (auto token = parse_bearer(text)) require(!token->empty(), "an empty token");
  if (auto username = canonical_username(text)) {
    require(username->size() == 36 && canonical_username(*username) == username, "a username that is not canonical");
  }
  if (auto subdomain = parse_subdomain(text)) {
    auto name = base::Name::parse(*subdomain);
    require(!name || (name->text() == *subdomain && !name->is_root()), "a subdomain that is another name");
  }
  HttpRequest request;
  request.peer = *base::SocketAddress::parse("127.0.0.1:80");
  std::size_t half = text.find('|');  // two lines of the field
  request.fields.emplace_back("x-forwarded-for", text.substr(0, half));
  if (half != std::string_view::npos) request.fields.emplace_back("x-forwarded-for", text.substr(half + 1));
  static const std::vector<base::AddressRange> kTrusted{*base::AddressRange::parse("127.0.0.0/8")};
  base::SocketAddress client = client_address(request, kTrusted);
  // What is no address makes a client without one: in no range, and one of its own for limits.
  bool has_address = client.family() == AF_INET || client.family() == AF_INET6;
  require(has_address || (client.family() == AF_UNSPEC && !is_among(client, kTrusted)), "a client of another kind");
  std::size_t octets = has_address ? base::ip_octets(*client.data()).size() : 0;
  require(address_key(client).size() == std::min<std::size_t>(octets, 8), "an odd key");
  require(client_address(request, {}) == request.peer, "a stranger was believed");
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer gives the name.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kBody = 4096;  // the server takes no more
  std::string_view text(reinterpret_cast<const char*>(data), std::min(size, kBody));
  check_bodies(text);
  check_fields(text);
  return 0;
}
