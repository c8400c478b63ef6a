#include "acme/state/account_import.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "acme/protocol/json.hpp"
#include "base/files.hpp"

namespace countersign::acme {
namespace {

namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxFile = 1U << 20U;

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

// What stands at JSON's `members`, one below the other; "" for everything else: an URL is a help, never needed.
std::string member_of(const fs::path& file, const std::vector<std::string>& members) {
  auto text = base::read_regular_file(file, kMaxFile);
  auto document = text ? JsonDocument::parse(*text, file.string()) : Result<JsonDocument>(fail(text.error()));
  if (!document) return "";
  JsonObject object = document->root();
  for (std::size_t i = 0; i + 1 < members.size(); ++i) {
    auto inner = object.optional_object(members[i]);
    if (!inner) return "";
    object = *inner;
  }
  return object.optional_text(members.back());
}

// NAME='value' or NAME=value of a shell's file.
std::string assignment_of(const fs::path& file, std::string_view name) {
  auto text = base::read_regular_file(file, kMaxFile);
  if (!text) return "";
  std::string_view rest = *text;
  while (!rest.empty()) {
    std::size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    if (!line.starts_with(name) || !line.substr(name.size()).starts_with('=')) continue;
    line.remove_prefix(name.size() + 1);
    while (line.ends_with('\r') || line.ends_with(' ')) line.remove_suffix(1);
    bool quoted = line.size() >= 2 && (line.front() == '\'' || line.front() == '"') && line.back() == line.front();
    return std::string(quoted ? line.substr(1, line.size() - 2) : line);
  }
  return "";
}

bool is_pem(std::string_view text) {
  return text.find("-----BEGIN ") != std::string_view::npos;
}

// A private key's own document, not a regr.json.
bool is_jwk(const std::string& text) {
  auto document = JsonDocument::parse(text, "");
  return document && !document->root().optional_text("kty").empty();
}

Result<PrivateKey> parse_key(const std::string& text, const fs::path& file) {
  auto key = is_pem(text) ? PrivateKey::from_pem(text) : PrivateKey::from_jwk(text);
  if (!key) return fail(ErrorCode::Invalid, "\"{}\": {}", file.string(), key.error().message);
  return key;
}

bool others_can_read(const fs::path& file) {
  struct stat status{};
  return ::stat(file.c_str(), &status) == 0 && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0;
}

struct Layout {
  const char* program;
  const char* key;  // its file in the account's folder
  std::string (*url)(const fs::path& folder);
};

std::string certbot_url(const fs::path& folder) {
  return member_of(folder / "regr.json", {"uri"});
}
std::string acme_sh_url(const fs::path& folder) {
  std::string url = assignment_of(folder / "ca.conf", "ACCOUNT_URL");
  return url.empty() ? member_of(folder / "account.json", {"location"}) : url;
}
std::string dehydrated_url(const fs::path& folder) {
  return member_of(folder / "account_id.json", {"account_id"});
}
std::string own_url(const fs::path& folder) {
  return member_of(folder / "account.json", {"url"});
}
std::string lego_url(const fs::path& folder) {
  return member_of(folder / "account.json", {"registration", "uri"});
}

constexpr std::array<Layout, 4> kLayouts{{{"certbot", "private_key.json", certbot_url},
                                          {"acme.sh", "account.key", acme_sh_url},
                                          {"dehydrated", "account_key.pem", dehydrated_url},
                                          {"countersign", "key.pem", own_url}}};

constexpr const char* kLookedFor =
    "looked for private_key.json (certbot: accounts/SERVER/directory/ID), account.json with keys/NAME.key (lego: "
    "accounts/HOST/MAIL), account.key (acme.sh: ca/HOST/PATH), account_key.pem (dehydrated) and key.pem";

// lego's key: that of the account's address; the only one where none has its name. Absent: no lego folder.
Result<std::optional<fs::path>> lego_key(const fs::path& folder) {
  std::vector<fs::path> keys;
  std::error_code problem;
  for (fs::directory_iterator entries(folder / "keys", problem), end; !problem && entries != end;
       entries.increment(problem))
    if (entries->path().extension() == ".key" && is_file(entries->path())) keys.push_back(entries->path());
  if (keys.empty()) return std::optional<fs::path>();
  std::string mail = member_of(folder / "account.json", {"email"});
  for (const fs::path& key : keys)
    if (!mail.empty() && key.stem() == mail) return key;
  if (keys.size() > 1)
    return fail(ErrorCode::Invalid,
                "{} has {} keys, and account.json does not say which is the account's; name the key",
                (folder / "keys").string(), keys.size());
  return keys.front();
}

Result<ForeignAccount> read_layout(const fs::path& key_file, const char* program, std::string url) {
  auto text = base::read_regular_file(key_file, kMaxFile);
  if (!text) return fail(text.error());
  auto key = parse_key(*text, key_file);
  if (!key) return fail(key.error());
  // uacme's key has that name, too.
  if (program == std::string_view("countersign") && url.empty()) program = "";
  return ForeignAccount{*std::move(key), std::move(url), program, key_file};
}

Result<ForeignAccount> read_folder(const fs::path& folder) {
  for (const Layout& layout : kLayouts)
    if (is_file(folder / layout.key)) return read_layout(folder / layout.key, layout.program, layout.url(folder));
  auto lego = lego_key(folder);
  if (!lego) return fail(lego.error());
  if (*lego) return read_layout(**lego, "lego", lego_url(folder));
  return fail(ErrorCode::Invalid, "there is no account in {}; {}", folder.string(), kLookedFor);
}

// In absolute terms, so that keys/NAME.key has a folder above keys/.
fs::path folder_of(const fs::path& file) {
  std::error_code problem;
  fs::path absolute = fs::absolute(file, problem);
  return (problem ? file : absolute).parent_path();
}

// A key by itself: what lies around it tells whose it is.
ForeignAccount with_surroundings(PrivateKey key, const fs::path& file) {
  fs::path folder = folder_of(file);
  for (const Layout& layout : kLayouts) {
    if (file.filename() != layout.key) continue;
    std::string url = layout.url(folder);
    if (!url.empty()) return {std::move(key), std::move(url), layout.program, file};
  }
  if (folder.filename() == "keys" && file.extension() == ".key" && is_file(folder.parent_path() / "account.json"))
    return {std::move(key), lego_url(folder.parent_path()), "lego", file};
  return {std::move(key), "", "", file};
}

}  // namespace

std::string ForeignAccount::warning() const {
  if (!others_can_read(file)) return "";
  return fmt::format("others can read the private key of the account, {}; `chmod 600` it", file.string());
}

Result<ForeignAccount> read_foreign_account(const fs::path& path) {
  if (is_folder(path)) return read_folder(path);
  auto text = base::read_regular_file(path, kMaxFile);
  if (!text) return fail(text.error());
  if (is_pem(*text) || is_jwk(*text)) {
    auto key = parse_key(*text, path);
    if (!key) return fail(key.error());
    return with_surroundings(*std::move(key), path);
  }
  static constexpr std::array<std::string_view, 6> kBeside{"regr.json", "meta.json",       "account.json",
                                                           "ca.conf",   "account_id.json", "registration_info.json"};
  if (std::find(kBeside.begin(), kBeside.end(), path.filename().string()) != kBeside.end())
    return read_folder(folder_of(path));
  return fail(ErrorCode::Invalid, "\"{}\" is neither a private key (PEM, JWK) nor a file of a client's account; {}",
              path.string(), kLookedFor);
}

}  // namespace countersign::acme
