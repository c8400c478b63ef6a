// Writes the countersign.toml that does what a config.cfg of acme-dns did.
#include <algorithm>
#include <charconv>
#include <optional>

#include "base/socket_address.hpp"
#include "conf/acme_dns_config.hpp"
#include "conf/acme_texts.hpp"
#include "conf/texts.hpp"

namespace countersign::conf {
namespace {

constexpr std::uint64_t kDefaultRegistrations = 100'000;
constexpr std::uint64_t kMostRegistrations = 10'000'000;

enum class Family { Both, V4, V6 };

// A basic string of TOML.
std::string toml_text(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f')
      out += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out + "\"";
}

std::string toml_list(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : ", ") + toml_text(text);
  return "[" + out + "]";
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

bool is_port(std::string_view text) {
  unsigned port = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc{} && end == text.data() + text.size() && port >= 1 && port <= 65535;
}

// What a Go program that is told this address listens on: a wildcard of either family is both. Empty: it is no address.
std::vector<std::string> addresses(std::string_view host, std::string_view port, Family family) {
  if (!is_port(port)) return {};
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty() || host == "0.0.0.0" || host == "::") {
    std::vector<std::string> out;
    if (family != Family::V6) out.push_back(fmt::format("0.0.0.0:{}", port));
    if (family != Family::V4) out.push_back(fmt::format("[::]:{}", port));
    return out;
  }
  bool v6 = host.find(':') != std::string_view::npos;
  auto address = base::SocketAddress::parse(v6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port));
  if (!address) return {};
  return {address->text()};
}

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

// The words of a master-file line, quoted ones whole, without its remark.
std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> words;
  bool quoted = false;
  bool inside = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    char c = line[i];
    if (!quoted && c == ';') break;
    if (!quoted && is_blank(c)) {
      inside = false;
      continue;
    }
    if (!inside) words.emplace_back();
    inside = true;
    if (c == '"') quoted = !quoted;
    words.back() += c;
    if (c == '\\' && i + 1 < line.size()) words.back() += line[++i];
  }
  return words;
}

struct RecordLine {
  std::vector<std::string> words;
  std::size_t type = 0;  // where in `words`; 0: there is none
};

RecordLine split_record(std::string_view line) {
  RecordLine record{words_of(line), 0};
  for (std::size_t i = 1; i < record.words.size() && i <= 3; ++i) {
    std::string word = lower(record.words[i]);
    bool skipped = word == "in" || word == "ch" || word == "hs" || (word[0] >= '0' && word[0] <= '9');
    if (skipped) continue;
    record.type = i;
    break;
  }
  return record;
}

void make_absolute(std::string& name) {
  if (!name.ends_with('.')) name += '.';
}

// In acme-dns a name without a final dot is absolute, too; "@" would be the root.
std::optional<RecordLine> absolute_record(std::string_view line) {
  RecordLine record = split_record(line);
  if (record.type == 0 || record.words[0] == "@" || is_blank(line[0]) || line[0] == '$') return std::nullopt;
  make_absolute(record.words[0]);
  std::string type = lower(record.words[record.type]);
  bool names_a_host = type == "ns" || type == "cname" || type == "ptr" || type == "mx" || type == "srv";
  if (names_a_host && record.words.size() > record.type + 1) make_absolute(record.words.back());
  return record;
}

bool is_at(const std::string& owner, const base::Name& name) {
  auto parsed = base::Name::parse(owner);
  return parsed && *parsed == name;
}

class Writer {
 public:
  Writer(const AcmeDnsConfig& config, const ConversionFacts& facts)
      : config_(config), facts_(facts), zone_(parse_zone_name(config.domain).value_or(base::Name())) {}

  std::string write() {
    remark("The configuration of countersignd that does what acme-dns' config.cfg did. All else has its default;");
    remark("`countersignd --check` lists what is wrong with it.");
    for (const std::string& key : config_.unknown) remark(in_quotes(key) + " is no key of acme-dns, and was ignored");
    write_database();
    write_logging();
    write_dns();
    write_zone();
    write_api();
    write_acme();
    return std::move(out_);
  }

 private:
  void remark(std::string_view text) { out_ += fmt::format("# {}\n", text); }
  void line(std::string_view key, std::string_view value) { out_ += fmt::format("{} = {}\n", key, value); }

  void write_database() {
    if (config_.engine == "postgres")
      remark(
          fmt::format("engine = {}: accounts are taken over from SQLite only. Copy the tables acmedns, records and "
                      "txt into an SQLite database for --import-acme-dns",
                      in_quotes(config_.engine)));
    else if (!config_.connection.empty())
      remark(fmt::format("connection = {}: taken over by --import-acme-dns, and not used afterwards",
                         in_quotes(config_.connection)));
  }

  void write_logging() {
    const std::string level = lower(config_.loglevel);
    if (level == "debug" || level == "info" || level == "error")
      line("log_level", toml_text(level));
    else if (level == "warn" || level == "warning")
      line("log_level", "\"warn\"");
    else if (!level.empty())
      remark(
          fmt::format("loglevel = {}: none of acme-dns' levels; the default is \"info\"", in_quotes(config_.loglevel)));
    if (lower(config_.logtype) == "file") remark("logtype = \"file\": the log goes to stderr, and so to the journal");
    if (lower(config_.logformat) == "json") remark("logformat = \"json\": lines of the log are key=value");
  }

  void write_dns() {
    out_ += "\n[dns]\n";
    const std::string protocol = lower(config_.protocol);
    Family family = protocol.ends_with('4') ? Family::V4 : protocol.ends_with('6') ? Family::V6 : Family::Both;
    if (protocol.starts_with("udp") || protocol.starts_with("tcp"))
      remark(fmt::format("protocol = {}: each address is served over UDP and TCP, which resolvers need",
                         in_quotes(config_.protocol)));
    auto colon = config_.listen.rfind(':');
    std::vector<std::string> listen;
    if (colon != std::string::npos)
      listen = addresses(std::string_view(config_.listen).substr(0, colon), config_.listen.substr(colon + 1), family);
    if (!listen.empty()) return line("listen", toml_list(listen));
    if (!config_.listen.empty())
      remark(fmt::format("listen = {} is no address with a port; this is the default", in_quotes(config_.listen)));
    line("listen", R"(["0.0.0.0:53", "[::]:53"])");
  }

  // The first is the SOA record's MNAME, which nsname was.
  std::vector<std::string> name_servers() {
    std::vector<std::string> hosts{config_.nsname};
    for (const std::string& text : config_.records) {
      auto record = absolute_record(text);
      if (record && lower(record->words[record->type]) == "ns" && is_at(record->words[0], zone_))
        hosts.push_back(record->words.back());
    }
    std::vector<std::string> good;
    for (const std::string& host : hosts) {
      auto name = parse_host_name(host);
      if (!name) {
        if (!host.empty()) remark(fmt::format("{} is no name server's name", in_quotes(host)));
      } else if (std::string plain = name->text(); std::ranges::find(good, plain) == good.end()) {
        good.push_back(plain);
      }
    }
    if (good.empty()) {
      remark("nsname was not usable: write the name that the parent zone delegates this one to");
      good.push_back("ns1." + zone_.text());
    }
    return good;
  }

  void write_hostmaster() {
    std::string address = config_.nsadmin;
    if (address.ends_with('.')) address.pop_back();
    // The first dot that is not escaped stands for the @ (RFC 1035 §8).
    if (address.find('@') == std::string::npos) {
      std::string plain;
      bool found = false;
      for (std::size_t i = 0; i < address.size(); ++i) {
        if (!found && address[i] == '\\' && i + 1 < address.size()) {
          plain += address[++i];
        } else if (!found && address[i] == '.') {
          plain += '@';
          found = true;
        } else {
          plain += address[i];
        }
      }
      address = plain;
    }
    if (!parse_hostmaster(address)) {
      if (!config_.nsadmin.empty())
        remark(fmt::format("nsadmin = {} is no mail address; write yours", in_quotes(config_.nsadmin)));
      else
        remark("nsadmin was not set; write your address");
      address = "hostmaster@" + zone_.text();
    }
    line("hostmaster", toml_text(address));
  }

  void write_zone() {
    out_ += "\n[[zone]]\n";
    line("name", toml_text(zone_.text()));
    std::vector<std::string> servers = name_servers();
    line("nameservers", toml_list(servers));
    write_hostmaster();
    std::vector<std::string> records = converted_records(config_);
    std::string lines;
    for (std::size_t i = 0; i < records.size(); ++i) {
      auto refused = facts_.refused.find(i);
      if (refused != facts_.refused.end())
        remark(fmt::format("record {}: {}", in_quotes(config_.records[i]), refused->second));
      else if (!records[i].empty())
        lines += fmt::format("  {},\n", toml_text(records[i]));
    }
    if (!lines.empty()) line("records", "[\n" + lines + "]");
  }

  void write_api() {
    out_ += "\n[api]\n";
    const std::string tls = lower(config_.tls);
    const bool own_certificate = tls == "letsencrypt" || tls == "letsencryptstaging";
    std::vector<std::string> listen = addresses(config_.ip, config_.port, Family::Both);
    if (listen.empty()) {
      const char* port = tls == "cert" || own_certificate ? "443" : "80";
      remark(fmt::format("ip = {}, port = {}: no address with a port; write the one that clients know",
                         in_quotes(config_.ip), in_quotes(config_.port)));
      listen = {fmt::format("0.0.0.0:{}", port), fmt::format("[::]:{}", port)};
    }
    if (own_certificate)
      write_own_certificate(listen);
    else
      write_listen(listen, tls);
    remark(
        config_.disable_registration
            ? "As disable_registration had it; `countersign register` registers on this machine."
            : "As acme-dns had it: anybody who gets here may register. Safer: \"closed\" (then `countersign register` "
              "does), \"token\", or registration_allow with CIDRs.");
    line("registration", config_.disable_registration ? "\"closed\"" : "\"open\"");
    if (facts_.accounts > kDefaultRegistrations / 2)
      line("max_registrations", std::to_string(std::min(kMostRegistrations, facts_.accounts * 2)));
    if (config_.use_header) {
      if (lower(config_.header_name) != "x-forwarded-for")
        remark(
            fmt::format("header_name = {}: the client's address is taken from X-Forwarded-For only; let the proxy "
                        "set that",
                        in_quotes(config_.header_name)));
      remark("use_header: write the addresses of your proxies here; nobody else's X-Forwarded-For is believed.");
      line("trusted_proxies", R"(["127.0.0.1", "::1"])");
    }
    bool any_origin =
        config_.corsorigins.empty() || std::ranges::find(config_.corsorigins, "*") != config_.corsorigins.end();
    if (!any_origin) remark("corsorigins: browsers may call from any origin; a login is needed all the same");
    if (config_.hsts) remark("hsts_enabled: no such header is sent");
  }

  void write_listen(const std::vector<std::string>& listen, const std::string& tls) {
    line("listen", toml_list(listen));
    if (tls != "cert") {
      if (tls != "none" && !tls.empty()) remark(fmt::format("tls = {} is unknown", in_quotes(config_.tls)));
      return remark(
          "Plain HTTP: passwords can be read on the way. Let a proxy in front have TLS, or add tls_certificate "
          "and tls_key.");
    }
    bool good = check_path(config_.tls_certificate).has_value() && check_path(config_.tls_key).has_value();
    if (!good)
      remark(
          fmt::format("tls_cert_fullchain = {}, tls_cert_privkey = {}: write absolute paths, or the API is plain HTTP",
                      in_quotes(config_.tls_certificate), in_quotes(config_.tls_key)));
    else
      remark("`user` must be able to read both; they are read again when they change.");
    std::string_view off = good ? "" : "#";
    out_ += fmt::format("{}tls_certificate = {}\n", off, toml_text(config_.tls_certificate));
    out_ += fmt::format("{}tls_key = {}\n", off, toml_text(config_.tls_key));
  }

  // acme-dns got it by itself. Here the client does, and the daemon has to run for that.
  void write_own_certificate(const std::vector<std::string>& listen) {
    remark(fmt::format("tls = {}: start countersignd with this, then obtain the certificate for the API's own name,",
                       in_quotes(config_.tls)));
    remark(fmt::format("  countersign issue {} --deploy-hook COMMAND", zone_.text()));
    remark(
        "where COMMAND copies fullchain.pem and privkey.pem from $COUNTERSIGN_DIR to where `user` may read them (mode");
    remark("0640, group countersign). Then remove the # of these lines and restart.");
    line("listen", "[]");
    out_ += fmt::format("#listen = {}\n", toml_list(listen));
    out_ +=
        "#tls_certificate = \"/etc/countersign/api/fullchain.pem\"\n#tls_key = \"/etc/countersign/api/privkey.pem\"\n";
  }

  void write_acme() {
    const std::string contact = "mailto:" + config_.notification_email;
    bool staging = lower(config_.tls) == "letsencryptstaging";
    bool mail = !config_.notification_email.empty() && check_contact(contact).has_value();
    if (!config_.notification_email.empty() && !mail)
      remark(fmt::format("notification_email = {} is no mail address", in_quotes(config_.notification_email)));
    if (!staging && !mail) return;
    out_ += "\n[acme]\n";
    if (staging) line("ca", "\"letsencrypt-staging\"");
    if (mail) line("contact", toml_list({contact}));
  }

  const AcmeDnsConfig& config_;
  const ConversionFacts& facts_;
  base::Name zone_;
  std::string out_;
};

}  // namespace

std::vector<std::string> converted_records(const AcmeDnsConfig& config) {
  base::Name zone = parse_zone_name(config.domain).value_or(base::Name());
  std::vector<std::string> out;
  for (const std::string& text : config.records) {
    auto record = absolute_record(text);
    if (!record) {
      out.push_back(text);  // whoever judges it says what is wrong
      continue;
    }
    std::string type = lower(record->words[record->type]);
    bool made_by_us = type == "soa" || (type == "ns" && is_at(record->words[0], zone));
    out.push_back(made_by_us ? "" : fmt::format("{}", fmt::join(record->words, " ")));
  }
  return out;
}

std::string converted_configuration(const AcmeDnsConfig& config, const ConversionFacts& facts) {
  return Writer(config, facts).write();
}

}  // namespace countersign::conf
