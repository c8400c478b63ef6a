// Store: what it keeps of registrations and of keys.
#include "zones/store.hpp"
#include "zones/store_connection.hpp"

namespace countersign::zones {
namespace {

using base::Result;

// A digest is octets, an imported hash is text: so a look into the database tells them apart.
void bind_secret(Use& use, const Registration& registration) {
  if (registration.is_bcrypt())
    use.text(registration.secret);
  else
    use.name(registration.secret);
}

std::optional<Registration> registration_of(const Use& use) {
  auto name = use.column_name(2);
  if (!name) return std::nullopt;
  Registration registration;
  registration.username = use.column_text(0);
  registration.secret = use.is_text(1) ? use.column_text(1) : std::string(use.column_view(1));
  registration.name = std::move(*name);
  registration.subdomain = use.column_text(3);
  registration.allow_from = split_words(use.column_text(4));
  registration.domains = split_names(use.column_text(5));
  registration.label = use.column_text(6);
  registration.created = use.column_integer(7);
  registration.used = use.column_integer(8);
  return registration;
}

}  // namespace

Result<bool> Store::add_registration(const Registration& registration) {
  Use use(connection_->statements[AddRegistration].get());
  std::string allow_from = join_words(registration.allow_from);
  std::string domains = join_names(registration.domains);
  use.text(registration.username);
  bind_secret(use, registration);
  use.name(registration.name)
      .text(registration.subdomain)
      .text(allow_from)
      .text(domains)
      .text(registration.label)
      .integer(registration.created);
  if (use.step() != SQLITE_DONE) return connection_->failure("write to");
  return sqlite3_changes(connection_->database.get()) == 1;
}

Result<bool> Store::replace_registration(const Registration& registration) {
  Use use(connection_->statements[ReplaceRegistration].get());
  std::string allow_from = join_words(registration.allow_from);
  std::string domains = join_names(registration.domains);
  use.text(registration.username);
  bind_secret(use, registration);
  use.text(allow_from).text(domains).text(registration.label);
  if (use.step() != SQLITE_DONE) return connection_->failure("write to");
  return sqlite3_changes(connection_->database.get()) == 1;
}

Result<bool> Store::remove_registration(const std::string& username) {
  Use use_of_use(connection_->statements[RemoveUse].get());
  use_of_use.text(username);
  if (use_of_use.step() != SQLITE_DONE) return connection_->failure("write to");
  Use use(connection_->statements[RemoveRegistration].get());
  use.text(username);
  if (use.step() != SQLITE_DONE) return connection_->failure("write to");
  return sqlite3_changes(connection_->database.get()) == 1;
}

Result<std::optional<Registration>> Store::registration(const std::string& username) {
  Use use(connection_->statements[FindRegistration].get());
  use.text(username);
  int status = use.step();
  if (status == SQLITE_DONE) return std::optional<Registration>{};
  if (status != SQLITE_ROW) return connection_->failure("read");
  return registration_of(use);
}

Result<void> Store::each_registration(const std::string& after, std::int64_t limit, const VisitRegistration& visit) {
  Use use(connection_->statements[RegistrationsAfter].get());
  use.text(after).integer(limit);
  int status = SQLITE_ROW;
  while ((status = use.step()) == SQLITE_ROW) {
    if (auto registration = registration_of(use)) visit(std::move(*registration));
  }
  if (status != SQLITE_DONE) return connection_->failure("read");
  return {};
}

Result<void> Store::each_registered_name(const std::function<void(std::string_view name)>& visit) {
  Use use(connection_->statements[RegistrationNames].get());
  int status = SQLITE_ROW;
  while ((status = use.step()) == SQLITE_ROW) {
    std::string_view name = use.column_view(0);
    if (our_name(name)) visit(name);
  }
  if (status != SQLITE_DONE) return connection_->failure("read");
  return {};
}

Result<std::uint64_t> Store::count_registrations() {
  Use use(connection_->statements[CountRegistrations].get());
  if (use.step() != SQLITE_ROW) return connection_->failure("read");
  return static_cast<std::uint64_t>(use.column_integer(0));
}

Result<void> Store::set_used(std::span<const UsedMark> marks) {
  for (const UsedMark& mark : marks) {
    Use use(connection_->statements[SetUsed].get());
    use.text(mark.username).integer(mark.used);
    if (use.step() != SQLITE_DONE) return connection_->failure("write to");
  }
  return {};
}

Result<void> Store::set_signed_mark(const SignedMark& mark) {
  Use use(connection_->statements[SetSignedMark].get());
  use.name(mark.key).integer(static_cast<std::int64_t>(mark.time_signed));
  if (use.step() != SQLITE_DONE) return connection_->failure("write to");
  return {};
}

Result<std::vector<SignedMark>> Store::signed_marks() {
  Use use(connection_->statements[SignedMarks].get());
  std::vector<SignedMark> found;
  int status = SQLITE_ROW;
  while ((status = use.step()) == SQLITE_ROW)
    found.push_back({std::string(use.column_view(0)), static_cast<std::uint64_t>(use.column_integer(1))});
  if (status != SQLITE_DONE) return connection_->failure("read");
  return found;
}

}  // namespace countersign::zones
