#include "acme/state/certificate_store.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <ctime>
#include <functional>
#include <system_error>
#include <utility>

#include "acme/state/private_folder.hpp"
#include "base/descriptor.hpp"
#include "base/encoding.hpp"
#include "base/files.hpp"
#include "base/random.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
using base::Result;

// A file's name has at most 255 octets, and temporary ones beside CERT.json add ten.
constexpr std::size_t kMaxCertName = 200;
constexpr std::array<const char*, 3> kChainFiles{"cert.pem", "chain.pem", "fullchain.pem"};
constexpr std::chrono::seconds kLeftoverAge{3600};
constexpr std::array<const char*, 2> kKeyFiles{"privkey.pem", "certificate.p12"};

// Both become parts of paths.
Result<void> check_names(const std::string& name, const std::string& issuance) {
  if (auto checked = check_cert_name(name); !checked) return checked;
  if (!is_issuance_name(issuance))
    return fail(ErrorCode::Invalid, "\"{}\" is no issuance of \"{}\"", base::printable(issuance), name);
  return {};
}

std::string link_target(const std::string& name, const std::string& issuance) {
  return fmt::format("../archive/{}/{}", name, issuance);
}

// Who may use a file or folder.
struct Access {
  mode_t bits;
  std::optional<gid_t> group;
  enum class Others { Dropped, Kept } others = Others::Dropped;  // bits that it has already
  // An administrator may have put a folder on another disk. A file that is a link is none of ours: who could plant one
  // would have us open a file that is none of this issuance.
  enum class Kind { File, Folder } kind = Kind::File;
};

// Where all is well already, nothing is changed. Gives what is to be synced, if anything.
Result<base::Descriptor> change_access(const fs::path& path, const Access& access) {
  auto failed = [&path](const char* what, const char* advice = "") {
    int number = errno;
    return fail(base::system_code(number), "cannot set the {} of \"{}\": {}{}", what, path.string(),
                base::system_reason(number), advice);
  };
  int flags = access.kind == Access::Kind::Folder ? O_DIRECTORY : O_NOFOLLOW | O_NONBLOCK;
  base::Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags));
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0) return failed("mode");
  mode_t has = status.st_mode & 07777U;
  mode_t wanted = access.others == Access::Others::Kept ? has | access.bits : access.bits;
  bool other_group = access.group && status.st_gid != *access.group;
  if (!other_group && has == wanted) return base::Descriptor();
  if (other_group) {
    // What the old group may must not hold for the new one, not even for a moment.
    if ((has & S_IRWXG) != 0 && ::fchmod(file.get(), has & ~mode_t{S_IRWXG}) != 0) return failed("mode");
    if (::fchown(file.get(), static_cast<uid_t>(-1), *access.group) != 0)
      return failed("group", errno == EPERM ? "; run it as root, or as a member of that group" : "");
  }
  if (::fchmod(file.get(), wanted) != 0) return failed("mode");
  return file;
}

// Durable. All are changed before the first is synced: one commit of the file system's journal is enough then.
Result<void> give_access(const std::vector<std::pair<fs::path, Access>>& wanted) {
  std::vector<std::pair<base::Descriptor, const fs::path*>> changed;
  for (const auto& [path, access] : wanted) {
    auto file = change_access(path, access);
    if (!file) return fail(file.error());
    if (*file) changed.emplace_back(*std::move(file), &path);
  }
  for (const auto& [file, path] : changed) {
    if (::fsync(file.get()) == 0) continue;
    int number = errno;
    return fail(base::system_code(number), "cannot set the mode of \"{}\": {}", path->string(),
                base::system_reason(number));
  }
  return {};
}

// In the place of what an earlier try left: nothing reads this folder yet.
Result<void> create_anew(const std::vector<base::NewFile>& files) {
  auto created = base::create_files(files);
  if (created || created.error().code != ErrorCode::Exists) return created;
  for (const base::NewFile& file : files) {
    std::error_code problem;
    fs::remove(file.path, problem);
    if (problem)
      return fail(base::system_code(problem.value()), "cannot replace \"{}\": {}", file.path.string(),
                  base::system_reason(problem.value()));
  }
  return base::create_files(files);
}

bool is_complete(const fs::path& issuance) {
  std::error_code ignored;
  return std::all_of(kChainFiles.begin(), kChainFiles.end(),
                     [&](const char* file) { return fs::exists(issuance / file, ignored); });
}

}  // namespace

Result<gid_t> find_group(const std::string& name) {
  std::vector<char> buffer(1024);
  struct group entry{};
  struct group* found = nullptr;
  int problem = 0;
  while ((problem = ::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found)) == ERANGE)
    buffer.resize(buffer.size() * 2);
  if (found != nullptr) return found->gr_gid;
  // A number, as chgrp takes it: containers have groups without names. The highest means "leave it" to chown().
  gid_t number = 0;
  auto [end, wrong] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (!name.empty() && wrong == std::errc() && end == name.data() + name.size() && number != static_cast<gid_t>(-1))
    return number;
  // POSIX lets a group that is not there be any of these.
  if (problem != 0 && problem != ENOENT && problem != ESRCH && problem != EBADF && problem != EPERM)
    return fail(ErrorCode::Unavailable, "cannot look up the group \"{}\": {}", base::printable(name),
                base::system_reason(problem));
  return fail(ErrorCode::Usage, "there is no group \"{}\" on this machine; make it, or name another with --group",
              base::printable(name));
}

Result<CertificateStore> CertificateStore::open(const fs::path& acme_directory) {
  if (auto checked = check_private_folder(acme_directory); !checked) return fail(checked.error());
  for (const char* part : {"certificates", "archive", "live", "locks"}) {
    // Each certificate of a batch comes along here.
    std::error_code ignored;
    if (fs::is_directory(acme_directory / part, ignored)) continue;
    // STATE itself is for everybody to pass through (the daemon's folder is in it); what is ours is not.
    auto made = base::make_directories(acme_directory.parent_path(), 0755);
    if (made) made = base::make_directories(acme_directory / part, 0700);
    if (!made) return fail(made.error());
  }
  return CertificateStore(acme_directory);
}

fs::path CertificateStore::record_file(const std::string& name) const {
  return root_ / "certificates" / (name + ".json");
}

Result<std::optional<CertificateRecord>> CertificateStore::load(const std::string& name) const {
  if (auto checked = check_cert_name(name); !checked) return fail(checked.error());
  fs::path file = record_file(name);
  auto text = base::read_file(file);
  if (!text) {
    if (text.error().code == ErrorCode::NotFound) return std::optional<CertificateRecord>();
    return fail(text.error());
  }
  auto record = parse_record(*text, fmt::format("\"{}\"", file.string()));
  if (!record) return fail(ErrorCode::Invalid, "{}; move the file away to begin anew", record.error().message);
  return std::optional<CertificateRecord>(*std::move(record));
}

Result<void> CertificateStore::save(const std::string& name, const CertificateRecord& record) const {
  if (auto checked = check_cert_name(name); !checked) return checked;
  return base::replace_file(record_file(name), record_document(record), 0600);
}

Result<void> CertificateStore::forget(const std::string& name) const {
  if (auto checked = check_cert_name(name); !checked) return checked;
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

Result<void> CertificateStore::make_issuance(const std::string& name, const std::string& issuance,
                                             const FileRights& rights) const {
  if (auto checked = check_names(name, issuance); !checked) return checked;
  auto made = base::make_directories(archive(name) / issuance, 0700);
  if (made) made = grant(name, issuance, rights);
  if (!made) abandon(name, issuance);
  return made;
}

Result<void> CertificateStore::write_key(const std::string& name, const std::string& issuance, const PrivateKey& key,
                                         const FileRights& rights) const {
  if (auto checked = check_names(name, issuance); !checked) return checked;
  auto pem = key.to_pem();
  if (!pem) return fail(pem.error());
  fs::path folder = archive(name) / issuance;
  auto made = base::make_directories_unsynced(folder, 0700);
  auto written = made ? base::create_file(folder / "privkey.pem", *pem, 0600) : Result<void>(fail(made.error()));
  if (written) written = base::sync_directory(folder);
  for (std::size_t i = made ? made->size() : 0; written && i-- > 0;) written = base::sync_directory((*made)[i]);
  // A group that we may not give files to must be known before the CA makes a certificate.
  if (written) written = grant(name, issuance, rights);
  if (!written) abandon(name, issuance);
  return written;
}

void CertificateStore::abandon(const std::string& name, const std::string& issuance) const {
  remove_issuance(name, issuance);
  std::error_code not_empty;
  fs::remove(archive(name), not_empty);
}

Result<void> CertificateStore::grant(const std::string& name, const std::string& issuance,
                                     const FileRights& rights) const {
  fs::path folder = archive(name) / issuance;
  std::vector<std::pair<fs::path, Access>> wanted;
  auto give = [&wanted](const fs::path& path, const Access& access) { wanted.emplace_back(path, access); };
  std::error_code ignored;
  for (const char* file : kKeyFiles)
    if (fs::exists(fs::symlink_status(folder / file, ignored))) give(folder / file, {rights.key_mode, rights.group});
  if (rights.group) {
    for (const char* file : kChainFiles)
      if (fs::exists(fs::symlink_status(folder / file, ignored))) give(folder / file, {0644, rights.group});
    // Everybody may pass and nobody list; what is beside these stays closed by modes of its own.
    for (const fs::path& passage : {root_, root_ / "live", root_ / "archive"})
      give(passage, {0711, std::nullopt, Access::Others::Kept, Access::Kind::Folder});
    for (const fs::path& own : {archive(name), folder})
      give(own, {0750, rights.group, Access::Others::Dropped, Access::Kind::Folder});
  }
  return give_access(wanted);
}

Result<PrivateKey> CertificateStore::read_key(const std::string& name, const std::string& issuance) const {
  if (auto checked = check_names(name, issuance); !checked) return fail(checked.error());
  fs::path file = archive(name) / issuance / "privkey.pem";
  auto pem = base::read_file(file);
  if (!pem) return fail(pem.error());
  auto key = PrivateKey::from_pem(*pem);
  if (!key) return fail(ErrorCode::Invalid, "\"{}\": {}", file.string(), key.error().message);
  return key;
}

Result<void> CertificateStore::write_chain(const std::string& name, const std::string& issuance,
                                           const CertificateChain& chain, const FileRights& rights) const {
  if (auto checked = check_names(name, issuance); !checked) return checked;
  fs::path folder = archive(name) / issuance;
  auto written = create_anew({{folder / "cert.pem", chain.leaf_pem(), 0644},
                              {folder / "chain.pem", chain.chain_pem(), 0644},
                              {folder / "fullchain.pem", chain.full_pem(), 0644}});
  if (written) written = base::sync_directory(folder);
  // The key's again: the run that wrote it may have been killed before it had its rights, or wanted others.
  if (written) written = grant(name, issuance, rights);
  return written;
}

Result<void> CertificateStore::write_pkcs12(const std::string& name, const std::string& issuance,
                                            const std::string& der, const FileRights& rights) const {
  if (auto checked = check_names(name, issuance); !checked) return checked;
  fs::path path = archive(name) / issuance / "certificate.p12";
  auto written = create_anew({{path, der, 0600}});
  if (written) written = base::sync_directory(path.parent_path());
  if (written) written = give_access({{path, {rights.key_mode, rights.group}}});
  return written;
}

void CertificateStore::remove_issuance(const std::string& name, const std::string& issuance) const {
  if (!check_names(name, issuance)) return;
  std::error_code ignored;
  fs::remove_all(archive(name) / issuance, ignored);
}

void CertificateStore::remove_leftovers() const {
  for (const char* part : {"certificates", "live"}) {
    std::vector<fs::path> old;
    std::error_code problem;
    fs::directory_iterator entries(root_ / part, problem);
    for (; !problem && entries != fs::directory_iterator(); entries.increment(problem)) {
      struct stat status{};
      if (base::is_temporary_name(entries->path().filename().string()) &&
          ::lstat(entries->path().c_str(), &status) == 0 && std::time(nullptr) - status.st_mtime > kLeftoverAge.count())
        old.push_back(entries->path());
    }
    for (const fs::path& path : old) fs::remove(path, problem);
  }
}

bool CertificateStore::is_live(const std::string& name, const std::string& issuance) const {
  std::error_code ignored;
  return fs::read_symlink(live(name), ignored) == link_target(name, issuance);
}

Result<void> CertificateStore::switch_live(const std::string& name, const CertificateRecord& record) const {
  if (auto checked = check_names(name, record.archive); !checked) return checked;
  if (!is_complete(archive(name) / record.archive))
    return fail(ErrorCode::NotFound, "\"{}\" has no certificate; \"{}\" stays as it is",
                (archive(name) / record.archive).string(), live(name).string());
  // The record only describes; what is in force is what the link says. So the two need no order among themselves.
  auto done = base::replace_symlink(live(name), link_target(name, record.archive));
  if (auto saved = save(name, record); done && !saved) done = saved;
  if (done) remove_old(name, record);
  return done;
}

void CertificateStore::remove_old(const std::string& name, const CertificateRecord& record) const {
  std::vector<std::string> issuances;
  std::error_code problem;
  fs::directory_iterator entries(archive(name), problem);
  for (; !problem && entries != fs::directory_iterator(); entries.increment(problem)) {
    std::string folder = entries->path().filename().string();
    bool needed = folder == record.archive || (record.pending && folder == record.pending->archive);
    if (is_issuance_name(folder) && !needed && !is_live(name, folder)) issuances.push_back(std::move(folder));
  }
  std::sort(issuances.begin(), issuances.end(), std::greater<>());
  std::size_t kept = 1;  // the live one
  for (const std::string& issuance : issuances) {
    // One that is not complete has a key that never got its certificate, of a run that was killed.
    if (is_complete(archive(name) / issuance) && kept++ < kKept) continue;
    remove_issuance(name, issuance);
  }
}

std::optional<CertificateChain> CertificateStore::live_chain(const std::string& name) const {
  fs::path file = live(name) / "fullchain.pem";
  auto text = base::read_file(file);
  if (!text) return std::nullopt;
  auto chain = CertificateChain::parse(*text, file.string());
  if (!chain) return std::nullopt;
  auto pem = base::read_file(live(name) / "privkey.pem");
  if (!pem) {
    // A key that got lost is no reason to leave the certificate alone.
    if (pem.error().code != ErrorCode::NotFound) return std::nullopt;
    auto record = load(name);
    if (!record || !*record || (*record)->key_type != "csr" || !is_live(name, (*record)->archive)) return std::nullopt;
    return *std::move(chain);
  }
  auto key = PrivateKey::from_pem(*pem);
  if (!key || !chain->is_for(key->public_key())) return std::nullopt;
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
