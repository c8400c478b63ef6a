// What a person can do about each error type: RFC 8555 §6.7, RFC 9773 §7.4, RFC 9799 §6.4, draft-ietf-acme-profiles.
#include <algorithm>
#include <array>

#include "acme/protocol/problem.hpp"

namespace countersign::acme {
namespace {

struct Advice {
  std::string_view type;
  const char* text;
};

constexpr const char* kAgree = "read the CA's terms of service, then agree with --agree-tos or acme.agree_tos = true";

constexpr std::array kAdvices = {
    Advice{"accountDoesNotExist", "make the account with `countersign account register`"},
    Advice{"agreementRequired", kAgree},  // Pebble 2.4, from before RFC 8555
    Advice{"alreadyReplaced", "another order renewed this certificate already; run again without replacing it"},
    Advice{"alreadyRevoked", "nothing is left to do"},
    Advice{"badCSR", "check names and key against the CA's rules (--key-type; never the account's own key)"},
    Advice{"badNonce", "run again; if it stays so, something between here and the CA keeps old answers"},
    Advice{"badPublicKey", "use a key of another type (P-256 is taken everywhere), and not one known to be weak"},
    Advice{"badRevocationReason", "revoke with another --reason, or without one"},
    Advice{"badSignatureAlgorithm", "make an account with a key of a type that the CA takes (P-256 is the usual one)"},
    Advice{"caa", "let the domain's CAA records (RFC 8659) allow this CA, account and validation method"},
    Advice{"conflict", "run again: the CA was busy with the same thing"},  // boulder's own
    Advice{"connection", "let the CA reach the name servers from everywhere: firewall, routing, every address listed"},
    Advice{"dns", "make the domain resolve from everywhere: delegation, every name server, DNSSEC"},
    Advice{"externalAccountRequired",
           "give the key identifier and key that the CA hands to its customers: --eab-kid and --eab-hmac-key-file of "
           "`countersign account register`, or acme.eab"},
    Advice{"incorrectResponse",
           "compare the domain's records with `countersign delegate`: the CA saw another value than was published"},
    Advice{"invalidContact",
           "correct acme.contact: one address each, as mailto:NAME@DOMAIN; `countersign account update` changes those "
           "of an account"},
    Advice{"invalidProfile", "set acme.profile (--profile) to one that the CA offers, or leave it out"},
    Advice{"malformed", "the CA does not understand the request; if it stays so, report it with this message"},
    Advice{"onionCAARequired", "send the CAA records of the .onion name with the order, or use another CA (RFC 9799)"},
    Advice{"orderNotReady", "run again: the order goes on where it stopped"},
    Advice{"rateLimited", "wait; each further try may count against the limit"},
    Advice{"rejectedIdentifier", "leave the name out, or use another CA: this one's policy forbids it"},
    Advice{"serverInternal", "this is the CA's own trouble; run again later, or set acme.fallback_ca"},
    Advice{"tls", "the CA could not agree with the validated server on TLS; look at that server's certificate"},
    Advice{"unsupportedContact", "use mailto: addresses in acme.contact, or none"},
    Advice{"unsupportedIdentifier", "leave the name out, or use another CA: this one certifies no names of its kind"},
    Advice{"userActionRequired", kAgree},
};

}  // namespace

std::string Problem::advice() const {
  // One type for two things: a name that was not proved, and an account that may not do something.
  if (is("unauthorized"))
    return of_resource ? "compare the domain's records with `countersign delegate`, at every name server of the domain"
                       : "check that the account is still good (`countersign account show`) and that this is its own";
  if (is("userActionRequired") && !instance.empty()) return "do what that page asks for";
  auto found = std::find_if(kAdvices.begin(), kAdvices.end(), [&](const Advice& item) { return is(item.type); });
  if (found != kAdvices.end()) return found->text;
  // `compound`, and types that nobody knows yet: the reasons are in the subproblems.
  for (const Subproblem& sub : subproblems) {
    Problem single;
    single.type = sub.type;
    single.of_resource = of_resource;
    if (std::string text = single.advice(); !text.empty()) return text;
  }
  return code() == base::ErrorCode::Unavailable ? "this is the CA's own trouble; run again later" : "";
}

}  // namespace countersign::acme
