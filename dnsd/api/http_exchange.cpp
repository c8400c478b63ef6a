#include "dnsd/api/http_exchange.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/status.hpp>
#include <iterator>

namespace countersign::dnsd {
namespace {

namespace http = boost::beast::http;

constexpr auto kKnownFields = std::to_array<std::string_view>(
    {"authorization", "x-api-user", "x-api-key", "x-real-ip", "forwarded", "via", "origin", "content-type", "host"});
// Any X-Forwarded-... says that a proxy has sent it: GET /metrics is not for strangers.
constexpr auto kKnownPrefixes = std::to_array<std::string_view>({"access-control-", "x-forwarded-"});

constexpr HttpFailure kUnreadable{400, "malformed_request"};
constexpr HttpFailure kNoHost{400, "missing_host"};
constexpr HttpFailure kBodyTooLarge{413, "body_too_large"};
constexpr HttpFailure kHeaderTooLarge{431, "header_too_large"};
constexpr HttpFailure kOtherCoding{501, "unsupported_transfer_encoding"};

char lower(char octet) {
  return octet >= 'A' && octet <= 'Z' ? static_cast<char>(octet + ('a' - 'A')) : octet;
}

bool is_same(std::string_view lowered, std::string_view text) {
  return std::equal(lowered.begin(), lowered.end(), text.begin(), text.end(),
                    [](char a, char b) { return a == lower(b); });
}

bool is_known(std::string_view name) {
  auto begins_name = [name](std::string_view known) { return is_same(known, name.substr(0, known.size())); };
  if (std::ranges::any_of(kKnownPrefixes, begins_name)) return true;
  return std::ranges::any_of(kKnownFields, [name](std::string_view known) { return is_same(known, name); });
}

std::string lowered(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), lower);
  return result;
}

// RFC 9112 §3.2.2: a server takes "http://host/path" too.
std::string_view without_origin(std::string_view target) {
  for (std::string_view scheme : {"http://", "https://"}) {
    if (target.size() < scheme.size() || !is_same(scheme, target.substr(0, scheme.size()))) continue;
    target.remove_prefix(scheme.size());
    std::size_t path = target.find_first_of("/?");
    return path == std::string_view::npos ? "/" : target.substr(path);
  }
  return target;
}

// A value with a line end would begin another field, or another answer.
bool is_clean(std::string_view text) {
  return std::ranges::none_of(text, [](char octet) { return static_cast<unsigned char>(octet) < ' ' || octet == 127; });
}

HttpFailure failure_of(boost::beast::error_code error) {
  if (error == http::error::body_limit) return kBodyTooLarge;
  if (error == http::error::header_limit) return kHeaderTooLarge;
  return kUnreadable;
}

}  // namespace

HttpResponse to_response(HttpFailure failure) {
  HttpResponse response(failure.status, fmt::format(R"({{"error": "{}"}})", failure.word));
  // Whether it came from a page stands in an Origin field that may be in what was not read.
  response.fields.emplace_back("Access-Control-Allow-Origin", "*");
  response.close = true;
  return response;
}

HttpReader::HttpReader(HttpLimits limits) : limits_(limits) {
  parser_.header_limit(limits.header);
  parser_.body_limit(limits.body);
}

std::size_t HttpReader::read(std::string_view octets) {
  std::size_t used = 0;
  if (!begun_) {
    // RFC 9112 §2.2: empty lines before a request are none of it.
    while (used < octets.size() && (octets[used] == '\r' || octets[used] == '\n')) ++used;
    begun_ = used < octets.size();
  }
  while (!failure_ && !parser_.is_done() && used < octets.size()) {
    bool in_header = !parser_.is_header_done();
    boost::beast::error_code error;
    std::size_t count = parser_.put(boost::asio::const_buffer(octets.data() + used, octets.size() - used), error);
    used += count;
    if (in_header) header_octets_ += count;
    if (in_header && header_octets_ > limits_.header) {
      failure_ = kHeaderTooLarge;
    } else if (error == http::error::need_more) {
      break;
    } else if (error) {
      failure_ = failure_of(error);
    } else if (in_header && parser_.is_header_done()) {
      check_header();
    }
  }
  return used;
}

void HttpReader::check_header() {
  // RFC 9112 §6.1: in HTTP/1.0 it may be that a proxy before us has not understood it. A request whose end two parties
  // see in different places is the way to smuggle another one behind it.
  if ((parser_.has_coding && parser_.version < 11) || parser_.hosts > 1)
    failure_ = kUnreadable;
  else if (parser_.other_coding)
    failure_ = kOtherCoding;
  else if (parser_.hosts == 0 && parser_.version >= 11)
    failure_ = kNoHost;  // RFC 9112 §3.2
}

bool HttpReader::take_wish_to_continue() {
  bool wished = parser_.expects_continue && parser_.is_header_done() && !wish_taken_;
  wish_taken_ = wish_taken_ || wished;
  return wished && !failure_ && !parser_.is_done() && parser_.version >= 11;
}

void HttpReader::Parser::on_request_impl(Verb verb, Text method, Text target, int number, ErrorCode&) {
  head = verb == Verb::head;
  version = static_cast<unsigned>(number);
  request.method = head ? "GET" : std::string(method);
  request.target = without_origin(std::string_view(target.data(), target.size()));
}

void HttpReader::Parser::on_field_impl(Field field, Text name, Text value, ErrorCode&) {
  // RFC 9110 §6.5.1: what comes behind a chunked body is not merged into the header.
  if (is_header_done()) return;
  std::string_view text(value.data(), value.size());
  if (field == Field::host) ++hosts;
  if (field == Field::expect) expects_continue = is_same("100-continue", text);
  if (field == Field::transfer_encoding) {
    has_coding = true;
    other_coding = other_coding || !is_same("chunked", text);
  }
  std::string_view key(name.data(), name.size());
  if (is_known(key)) request.fields.emplace_back(lowered(key), text);
}

std::size_t HttpReader::Parser::on_body_impl(Text octets, ErrorCode&) {
  request.body.append(octets.data(), octets.size());
  return octets.size();
}

std::size_t HttpReader::Parser::on_chunk_body_impl(std::uint64_t, Text octets, ErrorCode&) {
  request.body.append(octets.data(), octets.size());
  return octets.size();
}

void to_octets(const HttpResponse& response, unsigned version, AfterResponse after, ResponseBody body,
               std::string& octets) {
  auto out = std::back_inserter(octets);
  auto reason = http::obsolete_reason(static_cast<http::status>(response.status));
  fmt::format_to(out, "HTTP/1.{} {} {}\r\nServer: countersignd\r\nVary: Origin\r\nCache-Control: no-store\r\n",
                 version >= 11 ? 1 : 0, response.status, std::string_view(reason.data(), reason.size()));
  for (const auto& [name, value] : response.fields)
    if (is_clean(name) && is_clean(value)) fmt::format_to(out, "{}: {}\r\n", name, value);
  // RFC 9110 §8.6, §15.4.5: these have no body, and no length of one.
  bool bodiless = response.status == 204 || response.status == 304;
  if (!bodiless) {
    if (!response.body.empty()) fmt::format_to(out, "Content-Type: {}\r\n", response.content_type);
    fmt::format_to(out, "Content-Length: {}\r\n", response.body.size());
  }
  if (after == AfterResponse::Close)
    octets += "Connection: close\r\n";
  else if (version < 11)
    octets += "Connection: keep-alive\r\n";
  octets += "\r\n";
  if (!bodiless && body == ResponseBody::Sent) octets += response.body;
}

}  // namespace countersign::dnsd
