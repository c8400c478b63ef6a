// What happened to queries and responses, counted where it happens, and the one table of their names.
// Thread: written by the thread that answers; read by anyone.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/counters.hpp"

namespace countersign::dnsd {

struct Counters {
  base::Counter queries_udp, queries_tcp;
  // By the type asked for, of questions in class IN that were looked up.
  base::Counter type_a, type_ns, type_cname, type_soa, type_mx, type_txt, type_aaaa, type_ds, type_dnskey, type_https,
      type_caa, type_any, type_other;
  base::Counter responses;
  base::Counter noerror, formerr, nxdomain, notimp, refused, notauth, badvers, badcookie;
  base::Counter nodata, referral;  // of the NOERRORs
  base::Counter truncated;         // for want of room
  base::Counter edns;
  base::Counter cookies_valid;     // server cookies that were ours, fresh and for this address (RFC 9018)
  base::Counter cookies_invalid;   // server cookies that were not
  base::Counter cookies_client;    // client cookies alone
  base::Counter rate_limited;      // responses over the limit: dropped or slipped
  base::Counter slipped;           // of these, sent cut short
  base::Counter dropped_short;     // fewer than 12 octets
  base::Counter dropped_response;  // QR set: never answered, or two servers could talk for ever
  base::Counter dropped_rate;      // over the rate limit
};

// `name`: in /v1/status. `family` and `labels`: in /metrics, after "countersign_dns_".
struct CounterRow {
  std::string_view name;
  std::string_view family;
  std::string_view labels;
  base::Counter Counters::* counter;
};

struct CounterFamily {
  std::string_view name;
  std::string_view help;
};

inline constexpr auto kCounterFamilies = std::to_array<CounterFamily>({
    {"queries_total", "DNS messages received, by transport"},
    {"questions_total", "questions looked up, by type"},
    {"responses_total", "responses made, by RCODE"},
    {"answers_total", "responses of a special kind"},
    {"edns_queries_total", "queries with EDNS"},
    {"cookies_total", "DNS cookies received, by what they were"},
    {"rate_limited_total", "responses over the rate limit, by what became of them"},
    {"dropped_total", "messages without an answer, by reason"},
});

// Rows of one family stand together.
inline constexpr auto kCounterTable = std::to_array<CounterRow>({
    {"udp", "queries_total", R"(transport="udp")", &Counters::queries_udp},
    {"tcp", "queries_total", R"(transport="tcp")", &Counters::queries_tcp},
    {"type_a", "questions_total", R"(type="A")", &Counters::type_a},
    {"type_ns", "questions_total", R"(type="NS")", &Counters::type_ns},
    {"type_cname", "questions_total", R"(type="CNAME")", &Counters::type_cname},
    {"type_soa", "questions_total", R"(type="SOA")", &Counters::type_soa},
    {"type_mx", "questions_total", R"(type="MX")", &Counters::type_mx},
    {"type_txt", "questions_total", R"(type="TXT")", &Counters::type_txt},
    {"type_aaaa", "questions_total", R"(type="AAAA")", &Counters::type_aaaa},
    {"type_ds", "questions_total", R"(type="DS")", &Counters::type_ds},
    {"type_dnskey", "questions_total", R"(type="DNSKEY")", &Counters::type_dnskey},
    {"type_https", "questions_total", R"(type="HTTPS")", &Counters::type_https},
    {"type_caa", "questions_total", R"(type="CAA")", &Counters::type_caa},
    {"type_any", "questions_total", R"(type="ANY")", &Counters::type_any},
    {"type_other", "questions_total", R"(type="other")", &Counters::type_other},
    {"noerror", "responses_total", R"(rcode="NOERROR")", &Counters::noerror},
    {"formerr", "responses_total", R"(rcode="FORMERR")", &Counters::formerr},
    {"nxdomain", "responses_total", R"(rcode="NXDOMAIN")", &Counters::nxdomain},
    {"notimp", "responses_total", R"(rcode="NOTIMP")", &Counters::notimp},
    {"refused", "responses_total", R"(rcode="REFUSED")", &Counters::refused},
    {"notauth", "responses_total", R"(rcode="NOTAUTH")", &Counters::notauth},
    {"badvers", "responses_total", R"(rcode="BADVERS")", &Counters::badvers},
    {"badcookie", "responses_total", R"(rcode="BADCOOKIE")", &Counters::badcookie},
    {"responses", "answers_total", R"(kind="all")", &Counters::responses},
    {"nodata", "answers_total", R"(kind="nodata")", &Counters::nodata},
    {"referral", "answers_total", R"(kind="referral")", &Counters::referral},
    {"truncated", "answers_total", R"(kind="truncated")", &Counters::truncated},
    {"edns", "edns_queries_total", "", &Counters::edns},
    {"cookies_valid", "cookies_total", R"(kind="valid")", &Counters::cookies_valid},
    {"cookies_invalid", "cookies_total", R"(kind="invalid")", &Counters::cookies_invalid},
    {"cookies_client", "cookies_total", R"(kind="client")", &Counters::cookies_client},
    {"rate_limited", "rate_limited_total", R"(fate="all")", &Counters::rate_limited},
    {"slipped", "rate_limited_total", R"(fate="slipped")", &Counters::slipped},
    {"dropped_short", "dropped_total", R"(reason="short")", &Counters::dropped_short},
    {"dropped_response", "dropped_total", R"(reason="response")", &Counters::dropped_response},
    {"dropped_rate", "dropped_total", R"(reason="rate")", &Counters::dropped_rate},
});
// Each counter has one row.
static_assert(sizeof(Counters) == kCounterTable.size() * sizeof(base::Counter));
static_assert([] {
  for (std::size_t i = 0; i < kCounterTable.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (kCounterTable[i].counter == kCounterTable[j].counter || kCounterTable[i].name == kCounterTable[j].name)
        return false;
  return true;
}());

}  // namespace countersign::dnsd
