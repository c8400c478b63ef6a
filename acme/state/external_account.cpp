#include "acme/state/external_account.hpp"

#include <sys/stat.h>

#include "base/files.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxFile = 64U << 10U;  // a MAC key has 32 to 128 octets

Result<ExternalAccountBinding> read_binding(const conf::ExternalAccount& account,
                                            const std::function<void(const std::string&)>& warn,
                                            ExternalAccountBinding::Mac mac) {
  const std::string& file = account.hmac_key_file;
  if (file.empty())
    return fail(ErrorCode::Usage,
                "external account binding: the kid \"{}\" has no MAC key; put what the CA gave into a file and name it "
                "as acme.eab.hmac_key_file",
                account.kid);
  auto text = base::read_regular_file(file, kMaxFile);
  if (!text) return fail(text.error().code, "external account binding: {}", text.error().message);
  auto key = parse_mac_key(*text, fmt::format("\"{}\"", file));
  if (!key) return fail(key.error().code, "external account binding: {}", key.error().message);
  struct stat status{};
  bool open_to_others = ::stat(file.c_str(), &status) == 0 && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0;
  if (open_to_others && warn)
    warn(fmt::format("others can read the MAC key of the external account, {}; `chmod 600` it", file));
  return ExternalAccountBinding{account.kid, *std::move(key), mac};
}

}  // namespace

std::function<Result<ExternalAccountBinding>()> binding_of(const conf::ExternalAccount& account,
                                                           std::function<void(const std::string&)> warn,
                                                           ExternalAccountBinding::Mac mac) {
  if (account.kid.empty()) return {};
  return [account, warn = std::move(warn), mac] { return read_binding(account, warn, mac); };
}

}  // namespace countersign::acme
