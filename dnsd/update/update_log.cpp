#include "dnsd/update/update_log.hpp"

#include <utility>

#include "base/log.hpp"

namespace countersign::dnsd {
namespace {

using zones::TxtChange;

constexpr unsigned kAtOnce = 5;
constexpr std::chrono::seconds kPause{1};

}  // namespace

std::string_view describe(TsigVerdict verdict) {
  switch (verdict) {
    case TsigVerdict::Good:
      break;
    case TsigVerdict::BadKey:
      return "no such key, or with another algorithm";
    case TsigVerdict::BadSig:
      return "the signature is wrong: another secret, or the message was changed";
    case TsigVerdict::BadTime:
      return "signed at another time: compare the clocks; or sent a second time";
    case TsigVerdict::BadTrunc:
      return "the signature is truncated";
    case TsigVerdict::Malformed:
      return "the TSIG record is malformed";
  }
  return "";
}

void log_change(const TxtChange& change, const std::string& from) {
  std::string name = change.name.text();
  switch (change.kind) {
    case TxtChange::Kind::Add:
      return base::log::info("value added", {{"who", change.owner},
                                             {"from", from},
                                             {"name", name},
                                             {"value", change.value ? change.value->text() : ""},
                                             {"by", "rfc2136"}});
    case TxtChange::Kind::Remove:
      return base::log::info("value removed", {{"who", change.owner},
                                               {"from", from},
                                               {"name", name},
                                               {"value", change.value ? change.value->text() : ""},
                                               {"by", "rfc2136"}});
    case TxtChange::Kind::RemoveAll:
      // Clients that clear a name first have often nothing there.
      return base::log::info("removal of values",
                             {{"who", change.owner}, {"from", from}, {"name", name}, {"by", "rfc2136"}});
  }
}

void Complaints::say(std::string_view event, const std::string& from, std::string_view key, std::string_view reason) {
  base::ElapsedTime now = clock_.elapsed();
  if (!begun_ || now - *begun_ >= kPause) {
    begun_ = now;
    said_ = 0;
  }
  if (said_ >= kAtOnce) return swallow();
  ++said_;
  std::string who = key.empty() ? "unsigned" : "key:" + std::string(key);
  base::log::warn(event, {{"who", std::move(who)},
                          {"from", from},
                          {"reason", std::string(reason)},
                          {"suppressed", std::to_string(std::exchange(unsaid_, 0))}});
}

}  // namespace countersign::dnsd
