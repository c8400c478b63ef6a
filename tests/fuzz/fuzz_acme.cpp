// What a CA answers, and the key files of other clients: the first line of the input says as what the rest is read.
// Whatever comes, one line without control characters comes out of it for a person, and a key that is read is whole.
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "acme/protocol/eab.hpp"
#include "acme/protocol/private_key.hpp"
#include "acme/protocol/problem.hpp"
#include "acme/protocol/reply_headers.hpp"
#include "base/text.hpp"

namespace {

using namespace countersign;        // NOLINT(google-build-using-namespace): nothing else is in here
using namespace countersign::acme;  // NOLINT(google-build-using-namespace)

void check_line(const std::string& text) {
  if (base::printable(text, text.size()) != text) throw std::runtime_error("not fit for a terminal: " + text);
}

// "Name: value" lines, an empty line, the body.
HttpResponse read_answer(std::string_view text) {
  HttpResponse response;
  response.status = 400;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.empty()) break;
    std::size_t colon = line.find(": ");
    if (colon != std::string_view::npos) response.headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
  }
  response.body = text;
  return response;
}

void read_problem(std::string_view text) {
  HttpResponse response = read_answer(text);
  Problem problem = problem_of(response);
  check_line(problem.describe());
  check_line(problem.summary());
  check_line(problem.advice());
  constexpr base::WallTime kNow{std::chrono::milliseconds(1'780'000'000'000)};
  if (auto time = problem.try_again(kNow); time && (*time < kNow || *time > kNow + std::chrono::hours(24 * 367)))
    throw std::runtime_error("a time to try again that is none");
  for (const std::string& link : links(response, "alternate"))
    if (link.find('>') != std::string::npos) throw std::runtime_error("a link beyond its end");
}

void read_key(std::string_view text) {
  auto key = PrivateKey::from_jwk(text);
  if (!key) {
    check_line(key.error().message);
    return;
  }
  auto pem = key->to_pem();
  if (!pem || !key->sign("data")) throw std::runtime_error("a key that can neither be written nor sign");
  auto again = PrivateKey::from_pem(*pem);
  if (!again || again->public_key() != key->public_key()) throw std::runtime_error("another key after its PEM form");
}

void read_mac_key(std::string_view text) {
  auto key = parse_mac_key(text, "a file");
  if (key && (key->empty() || key->size() > text.size())) throw std::runtime_error("a MAC key out of nothing");
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer gives the name.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string_view kind = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), kind.size() + 1));
  if (kind == "problem") read_problem(text);
  if (kind == "jwk") read_key(text);
  if (kind == "mac") read_mac_key(text);
  return 0;
}
