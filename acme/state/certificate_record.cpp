#include "acme/state/certificate_record.hpp"

#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>

#include "acme/protocol/json.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
namespace json = boost::json;

template <class Value>
struct Word {
  const char* text;
  Value value;
};
constexpr std::array kKeyTypes{
    Word<conf::KeyType>{"p256", conf::KeyType::P256},       Word<conf::KeyType>{"p384", conf::KeyType::P384},
    Word<conf::KeyType>{"rsa2048", conf::KeyType::Rsa2048}, Word<conf::KeyType>{"rsa3072", conf::KeyType::Rsa3072},
    Word<conf::KeyType>{"rsa4096", conf::KeyType::Rsa4096},
};
constexpr std::array kChallenges{
    Word<conf::ChallengeType>{"dns-01", conf::ChallengeType::Dns01},
    Word<conf::ChallengeType>{"dns-account-01", conf::ChallengeType::DnsAccount01},
    Word<conf::ChallengeType>{"dns-persist-01", conf::ChallengeType::DnsPersist01},
};
constexpr std::array kPkcs12{
    Word<conf::Pkcs12>{"none", conf::Pkcs12::None},
    Word<conf::Pkcs12>{"modern", conf::Pkcs12::Modern},
    Word<conf::Pkcs12>{"legacy", conf::Pkcs12::Legacy},
};

json::value json_of(const std::string& text) {
  return json::string(text);
}
json::value json_of(bool flag) {
  return flag;
}
json::value json_of(unsigned number) {
  return number;
}
json::value json_of(const std::vector<std::string>& texts) {
  return json::array(texts.begin(), texts.end());
}

template <class Table, class Value>
const char* word_of(const Table& table, Value value) {
  for (const auto& word : table)
    if (word.value == value) return word.text;
  return table.front().text;
}

template <class Value>
void put(json::object& fields, const char* member, const std::optional<Value>& value) {
  if (value) fields[member] = json_of(*value);
}

template <class Table, class Value>
void put_word(json::object& fields, const char* member, const Table& table, const std::optional<Value>& value) {
  if (value) fields[member] = word_of(table, *value);
}

void take(const JsonObject& object, const char* member, std::optional<std::string>& value) {
  if (object.has(member)) value = object.optional_text(member);  // "" is a wish, too
}
void take(const JsonObject& object, const char* member, std::optional<std::vector<std::string>>& value) {
  if (object.has(member)) value = object.texts(member);
}
void take(const JsonObject& object, const char* member, std::optional<bool>& value) {
  if (object.has(member)) value = object.optional_flag(member);
}

template <class Table, class Value>
void take_word(const JsonObject& object, const char* member, const Table& table, std::optional<Value>& value) {
  if (!object.has(member)) return;
  std::string text = object.text(member);
  for (const auto& word : table)
    if (text == word.text) value = word.value;
  if (!value) object.reject(member, "is none of the words that are known");
}

json::object fields_of(const conf::CertificateOptions& options) {
  json::object fields;
  put(fields, "ca", options.ca);
  put(fields, "fallback_ca", options.fallback_ca);
  put_word(fields, "key_type", kKeyTypes, options.key_type);
  put(fields, "profile", options.profile);
  put(fields, "preferred_chain", options.preferred_chain);
  put_word(fields, "challenge", kChallenges, options.challenge);
  put(fields, "reuse_key", options.reuse_key);
  put(fields, "drop_failed", options.drop_failed);
  put(fields, "csr", options.csr);
  put_word(fields, "pkcs12", kPkcs12, options.pkcs12);
  put(fields, "pkcs12_password_file", options.pkcs12_password_file);
  put(fields, "group", options.group);
  put(fields, "mode", options.mode);
  put(fields, "deploy_hooks", options.deploy_hooks);
  put(fields, "not_before", options.not_before);
  put(fields, "not_after", options.not_after);
  put(fields, "server", options.server);
  put(fields, "credentials", options.credentials);
  return fields;
}

conf::CertificateOptions options_of(const JsonObject& object) {
  conf::CertificateOptions options;
  take(object, "ca", options.ca);
  take(object, "fallback_ca", options.fallback_ca);
  take_word(object, "key_type", kKeyTypes, options.key_type);
  take(object, "profile", options.profile);
  take(object, "preferred_chain", options.preferred_chain);
  take_word(object, "challenge", kChallenges, options.challenge);
  take(object, "reuse_key", options.reuse_key);
  take(object, "drop_failed", options.drop_failed);
  take(object, "csr", options.csr);
  take_word(object, "pkcs12", kPkcs12, options.pkcs12);
  take(object, "pkcs12_password_file", options.pkcs12_password_file);
  take(object, "group", options.group);
  if (auto mode = object.optional_number("mode")) {
    if (*mode < 0 || (*mode & ~0644) != 0) object.reject("mode", "is no mode for a key");
    options.mode = static_cast<unsigned>(*mode & 0644);
  }
  take(object, "deploy_hooks", options.deploy_hooks);
  take(object, "not_before", options.not_before);
  take(object, "not_after", options.not_after);
  take(object, "server", options.server);
  take(object, "credentials", options.credentials);
  return options;
}

json::object fields_of(const PendingOrder& pending) {
  json::object fields{{"url", pending.url},           {"names", json_of(pending.names)},
                      {"ca", pending.directory_url},  {"account", pending.account_url},
                      {"key_type", pending.key_type}, {"archive", pending.archive},
                      {"created", pending.created}};
  if (!pending.dropped.empty()) fields["dropped"] = json_of(pending.dropped);
  if (auto options = fields_of(pending.options); !options.empty()) fields["options"] = std::move(options);
  return fields;
}

// It is part of a path.
std::string issuance_of(const JsonObject& object) {
  std::string name = object.optional_text("archive");
  if (!name.empty() && !is_issuance_name(name)) object.reject("archive", "is no issuance's folder");
  return name;
}

PendingOrder pending_of(const JsonObject& object) {
  PendingOrder pending;
  pending.url = object.text("url");
  pending.names = object.texts("names");
  pending.directory_url = object.text("ca");
  pending.account_url = object.text("account");
  pending.key_type = object.text("key_type");
  pending.archive = issuance_of(object);
  if (pending.archive.empty()) object.reject("archive", "is missing");
  pending.created = object.optional_text("created");
  pending.dropped = object.optional_texts("dropped");
  if (auto options = object.optional_object("options")) pending.options = options_of(*options);
  return pending;
}

base::WallTime time_of(const JsonObject& object, const char* member) {
  auto time = base::parse_rfc3339(object.text(member));
  if (!time) object.reject(member, "is no time of RFC 3339");
  return time.value_or(base::WallTime());
}

json::object fields_of(const RenewalState& state) {
  json::object fields{{"certificate", state.certificate_id},
                      {"ask_at", base::format_rfc3339(state.ask_at)},
                      {"explanation", state.explanation_url}};
  if (!state.has_window()) return fields;
  fields["start"] = base::format_rfc3339(state.start);
  fields["end"] = base::format_rfc3339(state.end);
  fields["renew_at"] = base::format_rfc3339(state.renew_at);
  return fields;
}

RenewalState renewal_of(const JsonObject& object) {
  RenewalState state;
  state.certificate_id = object.text("certificate");
  if (object.has("start")) {
    state.start = time_of(object, "start");
    state.end = time_of(object, "end");
    state.renew_at = time_of(object, "renew_at");
  }
  state.ask_at = time_of(object, "ask_at");
  state.explanation_url = object.optional_text("explanation");
  return state;
}

json::array fields_of(const std::vector<TxtValue>& values) {
  json::array list;
  for (const TxtValue& value : values) list.push_back({{"name", value.name.text()}, {"value", value.value}});
  return list;
}

std::vector<TxtValue> values_of(const std::vector<JsonObject>& items) {
  std::vector<TxtValue> values;
  for (const JsonObject& item : items) {
    auto name = base::Name::parse(item.text("name"));
    if (!name) item.reject("name", name.error().message);
    values.push_back({name.value_or(base::Name()), item.text("value")});
  }
  return values;
}

}  // namespace

std::string record_document(const CertificateRecord& record) {
  json::object fields;
  fields["names"] = json_of(record.names);
  if (!record.dropped.empty()) fields["dropped"] = json_of(record.dropped);
  if (auto options = fields_of(record.options); !options.empty()) fields["options"] = std::move(options);
  fields["ca"] = record.directory_url;
  fields["account"] = record.account_url;
  fields["key_type"] = record.key_type;
  fields["order"] = record.order_url;
  fields["archive"] = record.archive;
  fields["not_before"] = record.not_before;
  fields["not_after"] = record.not_after;
  fields["serial"] = record.serial;
  fields["issuer"] = record.issuer;
  if (record.deploy_due) fields["deploy_due"] = true;
  if (record.renewal) fields["renewal"] = fields_of(*record.renewal);
  if (record.pending) fields["pending_order"] = fields_of(*record.pending);
  if (!record.standing.empty()) fields["standing"] = fields_of(record.standing);
  if (!record.published.empty()) fields["published"] = fields_of(record.published);
  if (!record.server.empty()) fields["values_at"] = {{"server", record.server}, {"credentials", record.credentials}};
  return json::serialize(fields) + "\n";
}

Result<CertificateRecord> parse_record(const std::string& text, const std::string& source) {
  auto document = JsonDocument::parse(text, source);
  if (!document) return fail(ErrorCode::Invalid, "{}", document.error().message);
  JsonObject root = document->root();
  CertificateRecord record;
  record.names = root.texts("names");
  record.dropped = root.optional_texts("dropped");
  if (auto options = root.optional_object("options")) record.options = options_of(*options);
  record.directory_url = root.optional_text("ca");
  record.account_url = root.optional_text("account");
  record.key_type = root.optional_text("key_type");
  record.order_url = root.optional_text("order");
  record.archive = issuance_of(root);
  record.not_before = root.optional_text("not_before");
  record.not_after = root.optional_text("not_after");
  record.serial = root.optional_text("serial");
  record.issuer = root.optional_text("issuer");
  record.deploy_due = root.optional_flag("deploy_due");
  if (auto renewal = root.optional_object("renewal")) record.renewal = renewal_of(*renewal);
  if (auto pending = root.optional_object("pending_order")) record.pending = pending_of(*pending);
  record.standing = values_of(root.optional_objects("standing"));
  record.published = values_of(root.optional_objects("published"));
  if (auto place = root.optional_object("values_at")) {
    record.server = place->optional_text("server");
    record.credentials = place->optional_text("credentials");
  }
  if (auto checked = document->check(); !checked) return fail(ErrorCode::Invalid, "{}", checked.error().message);
  return record;
}

std::vector<std::string> asked_names(const CertificateRecord& record) {
  std::vector<std::string> names = record.names;
  names.insert(names.end(), record.dropped.begin(), record.dropped.end());
  return names;
}

std::vector<std::string> asked_names(const PendingOrder& pending) {
  std::vector<std::string> names = pending.names;
  names.insert(names.end(), pending.dropped.begin(), pending.dropped.end());
  return names;
}

const conf::CertificateOptions& last_options(const CertificateRecord& record) {
  return record.pending ? record.pending->options : record.options;
}

bool is_issuance_name(const std::string& name) {
  return name.size() == 29 && name[8] == 'T' && name[15] == '.' && name[19] == 'Z' && name[20] == '-' &&
         name.find_first_not_of("0123456789abcdefTZ.-") == std::string::npos;
}

const char* key_type_text(conf::KeyType type) {
  return word_of(kKeyTypes, type);
}

}  // namespace countersign::acme
