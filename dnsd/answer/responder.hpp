// From query to response, in place: pure, without sockets, locks, allocation or clock. UDP, TCP, tests, fuzzers and
// benchmarks all call this.
// Thread: any, each with Counters and an online Epochs::Reader of its own; use() by the control thread.
#pragma once

#include <atomic>
#include <memory>

#include "dnsd/answer/counters.hpp"
#include "dnsd/answer/query.hpp"
#include "dnsd/answer/rate_limiter.hpp"
#include "dnsd/answer/settings.hpp"
#include "zones/name_table.hpp"

namespace countersign::dnsd {

class Responder {
 public:
  Responder(const zones::NameTable& table, std::unique_ptr<const AnswerSettings> settings);
  ~Responder();
  Responder(const Responder&) = delete;
  Responder& operator=(const Responder&) = delete;

  // From now on. What it returns was valid until now: freed when no reader can see it any more (Publisher::retire).
  [[nodiscard]] std::unique_ptr<const AnswerSettings> use(std::unique_ptr<const AnswerSettings> settings);

  // Reads header, question, OPT and TSIG of query.packet[0, query.length); hashes the name; prefetches its slot.
  void parse(Query& query, Counters& counters) const;
  // Reads the slot, prefetches the node.
  void find(Query& query) const;
  // Writes the response over the query; returns its octets, 0 = send nothing (now, when it is deferred). `seen` is
  // filled when the query was for TXT in a zone of ours (seen.name is empty otherwise). capacity must be at least
  // max_udp_payload, for TCP 65535.
  [[nodiscard]] std::size_t compose(Query& query, Counters& counters, Seen& seen) const;

  // Whether an error over UDP is sent that another than compose() makes: to `client`, who proved nothing. `now`:
  // Moment's elapsed_us.
  [[nodiscard]] RateLimiter::Verdict judge_error(const sockaddr& client, std::uint16_t rcode, std::uint64_t now) const;

  // All three, for one query.
  [[nodiscard]] std::size_t respond(Query& query, Counters& counters, Seen& seen) const {
    parse(query, counters);
    find(query);
    return compose(query, counters, seen);
  }

 private:
  // Pairs with use()'s exchange.
  [[nodiscard]] const AnswerSettings& settings() const { return *settings_.load(std::memory_order_acquire); }
  // Whether rate limits have anything to say about this query.
  [[nodiscard]] static bool is_limited(const Query& query, const AnswerSettings& settings) {
    // Who asks over TCP, or returns our cookie, has proved its address.
    return settings.responses_per_second != 0 && query.transport == Transport::Udp &&
           query.cookie_state < CookieState::Valid && query.client != nullptr;
  }
  [[nodiscard]] RateLimiter::Verdict judge_answer(const Query& query, const AnswerSettings& settings,
                                                  std::uint64_t answer) const;
  [[nodiscard]] std::size_t refuse(Query& query, const AnswerSettings& settings, Counters& counters) const;

  const zones::NameTable& table_;
  std::atomic<const AnswerSettings*> settings_;
  std::unique_ptr<RateLimiter> limiter_;
};

}  // namespace countersign::dnsd
