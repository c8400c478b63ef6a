#include "acme/protocol/certificate.hpp"

#include <algorithm>
#include <ctime>

#include "acme/protocol/openssl.hpp"
#include "base/encoding.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";
constexpr std::string_view kEnd = "-----END CERTIFICATE-----";
constexpr std::size_t kMaxIssuer = 200;        // octets shown and kept
constexpr std::size_t kMostCertificates = 16;  // real chains have two to four

using AuthorityKeyId = base::Handle<AUTHORITY_KEYID, AUTHORITY_KEYID_free>;

bool is_space(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

base::WallTime wall_time(const ASN1_TIME* time) {
  std::tm fields{};
  ASN1_TIME_to_tm(time, &fields);
  return base::WallTime(std::chrono::seconds(timegm(&fields)));
}

std::string pem_of(X509* certificate) {
  Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  return bio_text(bio);
}

std::string issuer_of(X509* certificate) {
  const X509_NAME* name = X509_get_issuer_name(certificate);
  if (int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1); at >= 0) {
    unsigned char* raw = nullptr;
    int length = ASN1_STRING_to_UTF8(&raw, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    OpensslOctets octets(raw);
    if (length >= 0)
      return base::printable({reinterpret_cast<const char*>(octets.get()), static_cast<std::size_t>(length)},
                             kMaxIssuer);
    ERR_clear_error();
  }
  Bio bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253);
  return base::printable(bio_text(bio), kMaxIssuer);
}

// Of the subject alternative names.
struct SubjectNames {
  std::vector<std::string> dns;  // in lower case, sorted
  bool has_others = false;       // addresses, mail addresses, ... ; or what cannot be read
};

SubjectNames subject_names(X509* certificate) {
  SubjectNames names;
  int found = 0;  // -1: there are none
  GeneralNames list(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, &found, nullptr)));
  ERR_clear_error();
  names.has_others = !list && found != -1;
  for (int i = 0; list && i < sk_GENERAL_NAME_num(list.get()); ++i) {
    int type = 0;
    const auto* text =
        static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(list.get(), i), &type));
    if (type != GEN_DNS) {
      names.has_others = true;
      continue;
    }
    std::string name(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                     static_cast<std::size_t>(ASN1_STRING_length(text)));
    for (char& c : name)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
    names.dns.push_back(std::move(name));
  }
  std::sort(names.dns.begin(), names.dns.end());
  return names;
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : " ") + name;
  return out;
}

}  // namespace

struct CertificateChain::State {
  std::vector<Certificate> certificates;
  std::string source;
  [[nodiscard]] X509* leaf() const { return certificates.front().get(); }
};

CertificateChain::CertificateChain(std::unique_ptr<State> state) : state_(std::move(state)) {}
CertificateChain::~CertificateChain() = default;
CertificateChain::CertificateChain(CertificateChain&&) noexcept = default;
CertificateChain& CertificateChain::operator=(CertificateChain&&) noexcept = default;

Result<CertificateChain> CertificateChain::parse(std::string_view pem, const std::string& source) {
  auto state = std::make_unique<State>();
  state->source = source;
  while (!is_space(pem)) {
    std::size_t begin = pem.find(kBegin);
    std::size_t end = pem.find(kEnd);
    // RFC 8555 §9.1: no other PEM label, no text between; a private key in here must never be installed as a chain.
    if (begin == std::string_view::npos || end == std::string_view::npos || end < begin ||
        !is_space(pem.substr(0, begin)))
      return fail(ErrorCode::Protocol, "{}: there is something else than PEM certificates in it", source);
    std::string_view block = pem.substr(begin, end + kEnd.size() - begin);
    pem = pem.substr(end + kEnd.size());
    Bio bio(BIO_new_mem_buf(block.data(), static_cast<int>(block.size())));
    Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, refuse_passphrase, nullptr));
    if (!certificate)
      return fail(ErrorCode::Protocol, "{}: certificate {} cannot be read: {}", source, state->certificates.size() + 1,
                  openssl_reason());
    state->certificates.push_back(std::move(certificate));
    if (state->certificates.size() > kMostCertificates)
      return fail(ErrorCode::Protocol, "{}: more than {} certificates", source, kMostCertificates);
  }
  if (state->certificates.empty()) return fail(ErrorCode::Protocol, "{}: no certificate in it", source);
  return CertificateChain(std::move(state));
}

std::vector<std::string> CertificateChain::names() const {
  return subject_names(state_->leaf()).dns;
}

base::WallTime CertificateChain::not_before() const {
  return wall_time(X509_get0_notBefore(state_->leaf()));
}

base::WallTime CertificateChain::not_after() const {
  return wall_time(X509_get0_notAfter(state_->leaf()));
}

std::string CertificateChain::issuer() const {
  return issuer_of(state_->leaf());
}

std::vector<std::string> CertificateChain::issuers() const {
  std::vector<std::string> out;
  for (const Certificate& certificate : state_->certificates) out.push_back(issuer_of(certificate.get()));
  return out;
}

std::string CertificateChain::serial() const {
  BigNumber number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(state_->leaf()), nullptr));
  base::Handle<char, [](char* text) { OPENSSL_free(text); }> text(number ? BN_bn2hex(number.get()) : nullptr);
  return text ? text.get() : "";
}

std::string CertificateChain::ari_id() const {
  AuthorityKeyId authority(
      static_cast<AUTHORITY_KEYID*>(X509_get_ext_d2i(state_->leaf(), NID_authority_key_identifier, nullptr, nullptr)));
  ERR_clear_error();
  if (!authority || authority->keyid == nullptr || ASN1_STRING_length(authority->keyid) == 0) return "";
  // The DER of the serial: its content octets, with the 00 in front of a highest bit that is set.
  unsigned char* raw = nullptr;
  int length = i2d_ASN1_INTEGER(X509_get0_serialNumber(state_->leaf()), &raw);
  OpensslOctets octets(raw);
  // Two octets for the tag and the length: RFC 5280 §4.1.2.2 limits a serial to 20, X.690 a short length to 127.
  if (length < 3 || (octets.get()[1] & 0x80U) != 0) return "";
  auto encode = [](const unsigned char* data, int size) {
    return base::base64url_encode(
        base::as_bytes(std::string_view(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size))));
  };
  return encode(ASN1_STRING_get0_data(authority->keyid), ASN1_STRING_length(authority->keyid)) + "." +
         encode(octets.get() + 2, length - 2);
}

std::string CertificateChain::leaf_der() const {
  unsigned char* raw = nullptr;
  int length = i2d_X509(state_->leaf(), &raw);
  OpensslOctets octets(raw);
  if (length <= 0) return "";
  return {reinterpret_cast<const char*>(octets.get()), static_cast<std::size_t>(length)};
}

std::string CertificateChain::leaf_pem() const {
  return pem_of(state_->leaf());
}

std::string CertificateChain::chain_pem() const {
  std::string out;
  for (std::size_t i = 1; i < state_->certificates.size(); ++i) out += pem_of(state_->certificates[i].get());
  return out;
}

std::string CertificateChain::full_pem() const {
  return leaf_pem() + chain_pem();
}

bool CertificateChain::is_for(const std::string& public_key) const {
  const unsigned char* at = octets_of(public_key);
  PKey key(d2i_PUBKEY(nullptr, &at, static_cast<long>(public_key.size())));
  EVP_PKEY* leaf_key = X509_get0_pubkey(state_->leaf());
  bool same = key != nullptr && leaf_key != nullptr && EVP_PKEY_eq(leaf_key, key.get()) == 1;
  ERR_clear_error();
  return same;
}

bool CertificateChain::has_key_of(const CertificateChain& other) const {
  EVP_PKEY* ours = X509_get0_pubkey(state_->leaf());
  EVP_PKEY* theirs = X509_get0_pubkey(other.state_->leaf());
  bool same = ours != nullptr && theirs != nullptr && EVP_PKEY_eq(ours, theirs) == 1;
  ERR_clear_error();
  return same;
}

Result<void> CertificateChain::check(const std::string& public_key, const std::vector<std::string>& expected_names,
                                     base::WallTime now) const {
  const std::string& source = state_->source;
  if (!is_for(public_key))
    return fail(ErrorCode::Protocol, "{}: the certificate is for another key than the one that was sent", source);
  std::vector<std::string> wanted = expected_names;
  std::sort(wanted.begin(), wanted.end());
  SubjectNames names = subject_names(state_->leaf());
  if (names.dns != wanted)
    return fail(ErrorCode::Protocol, "{}: the certificate is for the names \"{}\", ordered were \"{}\"", source,
                base::printable(joined(names.dns)), joined(wanted));
  if (names.has_others)
    return fail(ErrorCode::Protocol,
                "{}: the certificate is also for subjects that are no domain names, and only domain names were ordered",
                source);
  if (not_after() <= now)
    return fail(ErrorCode::Protocol, "{}: the certificate ended at {}; is this machine's clock right?", source,
                base::format_rfc3339(not_after()));
  return check_signatures();
}

Result<void> CertificateChain::check_signatures() const {
  for (std::size_t i = 0; i + 1 < state_->certificates.size(); ++i) {
    X509* subject = state_->certificates[i].get();
    X509* issuer_certificate = state_->certificates[i + 1].get();
    EVP_PKEY* issuer_key = X509_get0_pubkey(issuer_certificate);
    if (X509_NAME_cmp(X509_get_issuer_name(subject), X509_get_subject_name(issuer_certificate)) != 0 ||
        issuer_key == nullptr || X509_verify(subject, issuer_key) != 1) {
      ERR_clear_error();
      return fail(ErrorCode::Protocol, "{}: certificate {} of the chain is not signed by the next one", state_->source,
                  i + 1);
    }
  }
  return {};
}

}  // namespace countersign::acme
