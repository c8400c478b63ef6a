#include "acme/protocol/csr.hpp"

#include <openssl/core_names.h>
#include <openssl/objects.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "acme/protocol/openssl.hpp"
#include "base/name.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

void free_extensions(STACK_OF(X509_EXTENSION) * stack) {
  sk_X509_EXTENSION_pop_free(stack, X509_EXTENSION_free);
}
using Extensions = base::Handle<STACK_OF(X509_EXTENSION), free_extensions>;

GeneralNames dns_names(const std::vector<std::string>& names) {
  GeneralNames list(GENERAL_NAMES_new());
  for (const std::string& name : names) {
    ASN1_IA5STRING* text = ASN1_IA5STRING_new();
    ASN1_STRING_set(text, name.data(), static_cast<int>(name.size()));
    GENERAL_NAME* item = GENERAL_NAME_new();
    GENERAL_NAME_set0_value(item, GEN_DNS, text);  // takes `text`
    sk_GENERAL_NAME_push(list.get(), item);        // takes `item`
  }
  return list;
}

constexpr std::string_view kPemMark = "-----BEGIN ";
constexpr int kLeastRsaBits = 2048;  // Baseline Requirements §6.1.5
constexpr const char* kHowToMake =
    "make one with openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout KEY -out CSR "
    "-subj / -addext subjectAltName=DNS:NAME";

std::string octets_in(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

// What a PEM block says it is, in every spelling of a request's.
bool is_request_label(std::string_view label) {
  return label == PEM_STRING_X509_REQ || label == PEM_STRING_X509_REQ_OLD;
}

Result<CertificateRequest> decode_pem(const std::string& text, const std::string& source) {
  std::vector<std::string> labels;
  std::size_t request_at = 0;
  for (std::size_t at = text.find(kPemMark); at != std::string::npos; at = text.find(kPemMark, at + 1)) {
    std::size_t begin = at + kPemMark.size();
    std::size_t end = text.find("-----", begin);
    if (end == std::string::npos) break;
    labels.push_back(text.substr(begin, end - begin));
    if (is_request_label(labels.back())) request_at = at;
  }
  auto requests = std::count_if(labels.begin(), labels.end(), is_request_label);
  if (requests == 0)
    return fail(ErrorCode::Invalid, "{}: a \"{}\" is in it, but no certificate request; {}", source,
                labels.empty() ? "broken PEM block" : base::printable(labels.front()), kHowToMake);
  if (requests > 1)
    return fail(ErrorCode::Invalid, "{}: {} certificate requests are in it; give a file with just the one", source,
                requests);
  // Text before it (openssl req -text, a byte order mark) and the key beside it are passed over.
  Bio bio(BIO_new_mem_buf(text.data() + request_at, static_cast<int>(text.size() - request_at)));
  CertificateRequest request(PEM_read_bio_X509_REQ(bio.get(), nullptr, refuse_passphrase, nullptr));
  if (!request)
    return fail(ErrorCode::Invalid, "{}: the certificate request cannot be read: {}; is the file cut short?", source,
                openssl_reason());
  return request;
}

Result<CertificateRequest> decode(const std::string& text, const std::string& source) {
  if (text.find(kPemMark) != std::string::npos) return decode_pem(text, source);
  if (text.find_first_not_of(" \t\r\n") == std::string::npos)
    return fail(ErrorCode::Invalid, "{}: it is empty", source);
  const unsigned char* at = octets_of(text);
  const unsigned char* end = at + text.size();
  CertificateRequest request(d2i_X509_REQ(nullptr, &at, static_cast<long>(text.size())));
  if (!request)
    return fail(ErrorCode::Invalid, "{}: no certificate request, neither PEM nor DER ({}); {}", source,
                openssl_reason(), kHowToMake);
  if (at != end)
    return fail(ErrorCode::Invalid, "{}: there are {} octets behind the certificate request", source, end - at);
  return request;
}

// "" = CAs take it (Baseline Requirements §6.1.5; an elliptic curve by its name: RFC 5480 §2.1.1).
std::string objection_to(EVP_PKEY* key) {
  constexpr const char* kWhatWorks = "take P-256, P-384 or RSA of 2048 bits or more";
  if (EVP_PKEY_is_a(key, "RSA") == 1) {
    int bits = EVP_PKEY_get_bits(key);
    if (bits >= kLeastRsaBits) return "";
    return fmt::format("its RSA key has {} bits, too few for a CA; {}", bits, kWhatWorks);
  }
  if (EVP_PKEY_is_a(key, "EC") != 1) {
    const char* type = EVP_PKEY_get0_type_name(key);
    return fmt::format("CAs take no key of the type {}; {}", type != nullptr ? type : "it has", kWhatWorks);
  }
  std::array<char, 64> text{};
  std::size_t length = 0;
  if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, text.data(), text.size(), &length) == 1 &&
      std::string_view(text.data()) == OSSL_PKEY_EC_ENCODING_EXPLICIT)
    return fmt::format("its key spells its curve out, which CAs refuse; {}", kWhatWorks);
  bool named = EVP_PKEY_get_group_name(key, text.data(), text.size(), &length) == 1;
  int curve = named ? OBJ_txt2nid(text.data()) : NID_undef;
  if (curve == NID_X9_62_prime256v1 || curve == NID_secp384r1) return "";
  return fmt::format("CAs take no key on the curve {}; {}", named ? text.data() : "that it has", kWhatWorks);
}

Result<void> check_key_and_signature(X509_REQ* request, const std::string& source) {
  EVP_PKEY* key = X509_REQ_get0_pubkey(request);
  if (key == nullptr)
    return fail(ErrorCode::Invalid, "{}: the public key in it cannot be read: {}", source, openssl_reason());
  if (std::string objection = objection_to(key); !objection.empty())
    return fail(ErrorCode::Invalid, "{}: {}", source, objection);
  int digest = NID_undef;
  if (OBJ_find_sigid_algs(X509_REQ_get_signature_nid(request), &digest, nullptr) == 1 &&
      (digest == NID_sha1 || digest == NID_md5))
    return fail(ErrorCode::Invalid, "{}: it is signed with {}, which CAs refuse; make it again with -sha256", source,
                OBJ_nid2ln(digest));
  if (X509_REQ_verify(request, key) != 1) {
    ERR_clear_error();
    return fail(ErrorCode::Invalid, "{}: its signature is not of the key in it, or it was changed; make it again",
                source);
  }
  return {};
}

// `name`, in lower case. The client's own names are judged more strictly (issue/identifier.hpp); this is what makes a
// dNSName one (RFC 5280 §4.2.1.6), with a wildcard as its whole first label (RFC 9525 §6.3). "" = it is one.
std::string objection_to(std::string_view name) {
  if (name.starts_with("*.")) name.remove_prefix(2);
  if (name.empty() || name.size() > base::kMaxNameLength - 2) return "it is empty or longer than 253 octets";
  if (name.find('.') == std::string_view::npos) return "a single label gets no certificate";
  std::string_view label;
  while (!name.empty()) {
    std::size_t end = name.find('.');
    label = name.substr(0, end);
    name = end == std::string_view::npos ? "" : name.substr(end + 1);
    if (label.empty() || label.size() > base::kMaxLabelLength || label.front() == '-' || label.back() == '-' ||
        (end != std::string_view::npos && name.empty()))
      return "a label is empty, longer than 63 octets, or begins or ends with a hyphen";
    for (char c : label) {
      if ((static_cast<unsigned char>(c) & 0x80U) != 0) return "it must be in A-labels (xn--...)";
      bool fits = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
      if (!fits) return "it has a character other than letters, digits and hyphens";
    }
  }
  if (label.find_first_not_of("0123456789") == std::string_view::npos) return "its last label is a number";
  return "";
}

const char* kind_of(int general_name) {
  switch (general_name) {
    case GEN_IPADD:
      return "an IP address";
    case GEN_EMAIL:
      return "an e-mail address";
    case GEN_URI:
      return "a URI";
    default:
      return "a name of another kind";
  }
}

std::string lower_case(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return text;
}

// The subjectAltName. All other extensions are left alone: what of them goes into the certificate is for the CA to say
// (RFC 8555 §7.4).
Result<std::vector<std::string>> alternative_names(X509_REQ* request, const std::string& source) {
  Extensions extensions(X509_REQ_get_extensions(request));
  int found = 0;
  GeneralNames list(
      static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions.get(), NID_subject_alt_name, &found, nullptr)));
  if (!list && found != -1)  // -1: there is none; -2: several
    return fail(ErrorCode::Invalid, "{}: its subjectAltName {}; make it again", source,
                found == -2 ? "is there more than once" : "cannot be read");
  ERR_clear_error();
  std::vector<std::string> names;
  for (int i = 0; list && i < sk_GENERAL_NAME_num(list.get()); ++i) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(list.get(), i), &type);
    // A CA must refuse a request with identifiers that the order has not (RFC 8555 §7.4).
    if (type != GEN_DNS)
      return fail(ErrorCode::Invalid, "{}: its subjectAltName has {}; only domain names can be ordered, leave it out",
                  source, kind_of(type));
    std::string name = lower_case(octets_in(static_cast<const ASN1_STRING*>(value)));
    if (std::string objection = objection_to(std::string_view(name)); !objection.empty())
      return fail(ErrorCode::Invalid, "{}: \"{}\" is no name that a CA would take: {}", source, base::printable(name),
                  objection);
    names.push_back(std::move(name));
  }
  return names;
}

// Those that are domain names; "My web server" is none, and the CA leaves it out.
std::vector<std::string> common_names(X509_REQ* request) {
  std::vector<std::string> out;
  const X509_NAME* subject = X509_REQ_get_subject_name(request);
  for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;) {
    unsigned char* raw = nullptr;
    int length = ASN1_STRING_to_UTF8(&raw, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    OpensslOctets octets(raw);
    if (length <= 0) continue;
    std::string name = lower_case({reinterpret_cast<const char*>(octets.get()), static_cast<std::size_t>(length)});
    if (objection_to(std::string_view(name)).empty()) out.push_back(std::move(name));
  }
  ERR_clear_error();
  return out;
}

template <class Object, class Encode>
std::optional<std::string> der_of(Object* object, Encode encode) {
  unsigned char* raw = nullptr;
  int length = encode(object, &raw);
  OpensslOctets octets(raw);
  if (length <= 0) return std::nullopt;
  return std::string(reinterpret_cast<const char*>(octets.get()), static_cast<std::size_t>(length));
}

}  // namespace

Result<SigningRequest> read_csr(const std::string& text, const std::string& source) {
  auto request = decode(text, source);
  if (!request) return fail(request.error());
  if (auto checked = check_key_and_signature(request->get(), source); !checked) return fail(checked.error());
  auto names = alternative_names(request->get(), source);
  if (!names) return fail(names.error());
  // CAs look for names there, and refuse a request with a common name alone only when all names are proved.
  if (names->empty())
    return fail(ErrorCode::Invalid, "{}: it has no domain name in its subjectAltName; {}", source, kHowToMake);
  // RFC 8555 §7.4 counts the common name among the identifiers.
  for (std::string& name : common_names(request->get())) names->push_back(std::move(name));
  std::sort(names->begin(), names->end());
  names->erase(std::unique(names->begin(), names->end()), names->end());
  auto der = der_of(request->get(), i2d_X509_REQ);
  auto public_key = der_of(X509_REQ_get0_pubkey(request->get()), i2d_PUBKEY);
  if (!der || !public_key) return fail(ErrorCode::Invalid, "{}: it cannot be encoded: {}", source, openssl_reason());
  return SigningRequest{*std::move(der), *std::move(names), *std::move(public_key)};
}

Result<std::string> make_csr(const PrivateKey& key, const std::vector<std::string>& names) {
  CertificateRequest request(X509_REQ_new());
  GeneralNames list = dns_names(names);
  STACK_OF(X509_EXTENSION)* stack = nullptr;
  bool made = X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1 &&
              X509V3_add1_i2d(&stack, NID_subject_alt_name, list.get(), 0, X509V3_ADD_DEFAULT) == 1;
  Extensions extensions(stack);
  EVP_PKEY* pkey = key.state().key.get();
  const EVP_MD* digest = key.jws_algorithm() == "ES384" ? EVP_sha384() : EVP_sha256();
  made = made && X509_REQ_add_extensions(request.get(), extensions.get()) == 1 &&
         X509_REQ_set_pubkey(request.get(), pkey) == 1 && X509_REQ_sign(request.get(), pkey, digest) > 0;
  auto der = made ? der_of(request.get(), i2d_X509_REQ) : std::nullopt;
  if (!der) return fail(ErrorCode::Unavailable, "cannot make the certificate request: {}", openssl_reason());
  return *std::move(der);
}

}  // namespace countersign::acme
