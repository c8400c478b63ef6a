// Responder::compose: from the node to the response.
#include "dnsd/answer/responder.hpp"

#include <algorithm>

#include "dnsd/answer/composer.hpp"
#include "dnsd/answer/opt.hpp"
#include "dnsd/answer/refusal.hpp"
#include "zones/record_type.hpp"

namespace countersign::dnsd {
namespace {

namespace record_type = zones::record_type;

// Who asks what is not ours, or in a broken way, asks in vain however often; a quarter is plenty.
constexpr std::uint32_t kErrorShare = 4;
// All answers to one network together: many names must not add up to a weapon. More than this is cut short, never
// dropped, so that a busy resolver is only asked to prove its address.
constexpr std::uint32_t kNetworkShare = 10;
constexpr std::uint64_t kErrorIdentity = 0x6572726f72000000U;    // and the RCODE
constexpr std::uint64_t kNetworkIdentity = 0x6e6574776f726b00U;  // no hash of a name but by chance

void count_rcode(Counters& counters, std::uint16_t code) {
  switch (code) {
    case rcode::kNoError:
      return counters.noerror.add();
    case rcode::kFormErr:
      return counters.formerr.add();
    case rcode::kNxDomain:
      return counters.nxdomain.add();
    case rcode::kNotImp:
      return counters.notimp.add();
    case rcode::kRefused:
      return counters.refused.add();
    case rcode::kNotAuth:
      return counters.notauth.add();
    case rcode::kBadVers:
      return counters.badvers.add();
    case rcode::kBadCookie:
      return counters.badcookie.add();
    default:
      return;
  }
}

// Response made and sent, for better or worse.
std::size_t count_response(Counters& counters, std::uint16_t code, std::size_t octets) {
  counters.responses.add();
  count_rcode(counters, code);
  return octets;
}

std::size_t drop(Counters& counters) {
  counters.rate_limited.add();
  counters.dropped_rate.add();
  return 0;
}

// No larger than the query was, but for a new cookie's 16 octets: a client that is real comes back over TCP, or with
// the cookie. Without all that the client may have asked for beside the answer.
std::size_t slip(Query& query, const AnswerSettings& settings, Counters& counters) {
  counters.rate_limited.add();
  counters.slipped.add();
  query.options = 0;
  query.extended_error = extended_error::kNone;
  // RFC 7873 §5.2.3: who knows cookies need not go to TCP.
  bool cookie = query.cookie_state != CookieState::None;
  bool error = query.fate == Query::Fate::Error;
  std::uint16_t code = error ? query.rcode : cookie ? rcode::kBadCookie : rcode::kNoError;
  std::size_t octets = write_bare(query, settings, error || cookie ? 0 : header::kTc, code);
  return count_response(counters, code, octets);
}

}  // namespace

Responder::Responder(const zones::NameTable& table, std::unique_ptr<const AnswerSettings> settings)
    : table_(table),
      settings_(settings.release()),
      limiter_(std::make_unique<RateLimiter>(zones::HashSeed{table.seed().b, table.seed().a})) {}

Responder::~Responder() {
  std::unique_ptr<const AnswerSettings>(settings_.load(std::memory_order_relaxed)).reset();
}

std::unique_ptr<const AnswerSettings> Responder::use(std::unique_ptr<const AnswerSettings> settings) {
  return std::unique_ptr<const AnswerSettings>(settings_.exchange(settings.release(), std::memory_order_acq_rel));
}

RateLimiter::Verdict Responder::judge_answer(const Query& query, const AnswerSettings& settings,
                                             std::uint64_t answer) const {
  RateLimiter::Limit limit{settings.responses_per_second, settings.slip};
  std::uint64_t now = query.moment.elapsed_us;
  RateLimiter::Verdict verdict = limiter_->judge(*query.client, answer, limit, now);
  if (verdict != RateLimiter::Verdict::Pass) return verdict;
  limit = {settings.responses_per_second * kNetworkShare, 1};
  return limiter_->judge(*query.client, kNetworkIdentity, limit, now);
}

RateLimiter::Verdict Responder::judge_error(const sockaddr& client, std::uint16_t rcode, std::uint64_t now) const {
  const AnswerSettings& settings = this->settings();
  if (settings.responses_per_second == 0) return RateLimiter::Verdict::Pass;
  RateLimiter::Limit limit{std::max(1U, settings.responses_per_second / kErrorShare), settings.slip};
  return limiter_->judge(client, kErrorIdentity + rcode, limit, now);
}

// Fate::Error and Fate::Chaos.
std::size_t Responder::refuse(Query& query, const AnswerSettings& settings, Counters& counters) const {
  if (is_limited(query, settings)) {
    RateLimiter::Verdict verdict = judge_error(*query.client, query.rcode, query.moment.elapsed_us);
    if (verdict == RateLimiter::Verdict::Drop) return drop(counters);
    if (verdict == RateLimiter::Verdict::Slip) return slip(query, settings, counters);
  }
  std::size_t octets = query.fate == Query::Fate::Error ? write_error(query, settings) : write_chaos(query, settings);
  return count_response(counters, query.rcode, octets);
}

std::size_t Responder::compose(Query& query, Counters& counters, Seen& seen) const {
  seen.name = {};
  if (query.fate <= Query::Fate::Deferred) return 0;
  const AnswerSettings& settings = this->settings();
  if (query.fate != Query::Fate::Answer) return refuse(query, settings, counters);
  Composer composer(query, opt_room(query));
  composer.answer();
  if (composer.rcode() == rcode::kRefused) {
    query.rcode = rcode::kRefused;
    query.extended_error = extended_error::kNotAuthoritative;
    query.fate = Query::Fate::Error;
    return refuse(query, settings, counters);
  }
  if (is_limited(query, settings)) {
    RateLimiter::Verdict verdict = judge_answer(query, settings, composer.identity());
    if (verdict == RateLimiter::Verdict::Drop) return drop(counters);
    if (verdict == RateLimiter::Verdict::Slip) return slip(query, settings, counters);
  }
  if (composer.truncated()) counters.truncated.add();
  if (composer.referral()) counters.referral.add();
  // Also at the end of a CNAME chain (RFC 2308 §2.2): the SOA tells.
  bool nodata = composer.rcode() == rcode::kNoError && composer.authorities() > 0 && !composer.referral();
  if (nodata) counters.nodata.add();
  write_header(query, composer.header_flags(), composer.rcode(),
               {composer.answers(), composer.authorities(), composer.additionals()});
  if (query.type == record_type::kTxt)
    seen = {{query.name.data(), query.name_length}, query.type, composer.rcode(), composer.values()};
  std::size_t octets = composer.position();
  if ((query.flags & Query::Edns) != 0)
    octets = write_opt(query, octets, settings, {.rcode = composer.rcode(), .zone = composer.zone()});
  return count_response(counters, composer.rcode(), octets);
}

}  // namespace countersign::dnsd
