// One order from newOrder to a chain of certificates (RFC 8555 §7.4), driven by the status that the CA reports; in two
// halves, so that the values of many orders are published before the first challenge of any is triggered.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "acme/issue/attempt.hpp"
#include "acme/issue/publisher.hpp"
#include "acme/issue/steps.hpp"
#include "acme/protocol/authorization.hpp"
#include "acme/protocol/certificate.hpp"
#include "acme/protocol/order.hpp"
#include "acme/protocol/session.hpp"
#include "conf/config.hpp"

namespace countersign::acme {

// How long the CA may take; a person waits for neither for ever.
struct Budgets {
  std::chrono::milliseconds validation{120'000};    // most take less than 10 s
  std::chrono::milliseconds finalization{300'000};  // certificates may wait for logs or for a queue
};

struct OrderPlan {
  std::vector<DnsIdentifier> identifiers;
  std::vector<Delegation> delegations;  // one for each identifier, none missing; not needed behind validation
  conf::ChallengeType challenge = conf::ChallengeType::Dns01;
  std::string preferred_chain;
  std::vector<TxtValue> standing;  // records of dns-persist-01 that are there already
  bool not_before_asked = false;   // a certificate of the future is no surprise then
};

// A signing request and the key it is for.
struct KeyAndRequest {
  std::optional<PrivateKey> key;  // absent: it is not here (a foreign CSR)
  std::string csr;                // DER
  std::string public_key;         // DER
};

// What the caller keeps on the disk for an order, so that whoever comes after a kill can clean up and go on.
struct OrderNotes {
  // Gives the certificate's key and request, durable already: a full disk must stop the run before the CA acts. Called
  // on a thread of its own, and ended before prepare()'s or complete()'s error, or complete()'s chain, is given.
  std::function<base::Result<KeyAndRequest>()> make_key;
  // Called with the values just before they are published, and in any case before finalize. `standing`: they stay there
  // (dns-persist-01). Its error stops the run.
  std::function<base::Result<void>(const std::vector<TxtValue>& passing, const std::vector<TxtValue>& standing)> note;
};

class OrderRun {
 public:
  OrderRun(std::shared_ptr<Session> session, Publisher& publisher, Steps& steps, Budgets budgets)
      : session_(std::move(session)), publisher_(publisher), steps_(steps), budgets_(budgets) {}
  ~OrderRun();
  OrderRun(const OrderRun&) = delete;
  OrderRun& operator=(const OrderRun&) = delete;

  // From the order that the CA gave: publishes what it asks for and looks whether it is served. Errors: Refused (no
  // usable challenge), Protocol, Interrupted, and what CA, publisher and the callbacks say.
  [[nodiscard]] base::Result<void> prepare(Order order, OrderPlan plan, OrderNotes notes);
  // The rest. Errors: Refused (a challenge or the order failed: names the names and the CA's reasons), Timeout (a
  // budget is used up), Interrupted, Protocol, and what CA, publisher and the callbacks say.
  [[nodiscard]] base::Result<CertificateChain> complete();
  // For an order that an earlier run sent its request for: goes on from there, with the key that `notes` give again.
  // Errors: as complete(); NotFound, when it is not worth going on with.
  [[nodiscard]] base::Result<CertificateChain> resume(Order order, OrderPlan plan, OrderNotes notes);

  // After an error: the CA has the request and may have made the certificate, so key and order are to be kept.
  [[nodiscard]] bool may_resume() const { return requested_; }
  // After complete(): the certificate's key; absent for a foreign CSR.
  [[nodiscard]] const std::optional<PrivateKey>& key() const { return made_->key; }
  // After an error: it is the daemon's, a name server's or the disk's, not the CA's.
  [[nodiscard]] bool failed_here() const { return failed_here_; }
  // What withdraw() could not remove.
  [[nodiscard]] const std::vector<TxtValue>& published() const { return published_; }
  // What happened; complete after prepare()'s or complete()'s error, or complete()'s chain.
  [[nodiscard]] const Attempt& attempt() const { return attempt_; }

  // Removes what was published to pass, interrupted or not. complete() does it at the first moment that it can be done;
  // the caller and the destructor on every other path. Gives false, after one warning, when something may still be
  // served.
  bool withdraw();

 private:
  struct Challenges {
    std::vector<TxtValue> values;
    std::vector<base::Name> zones;
    std::vector<std::string> urls;
    std::vector<std::string> authorization_urls;  // of the challenges at `urls`
    std::vector<std::string> pending;             // authorizations that the CA waits for
  };

  void begin();
  [[nodiscard]] base::Result<CertificateChain> finish(const base::Result<Order>& done);
  [[nodiscard]] base::Result<Order> drive(Order order);
  [[nodiscard]] base::Result<Order> validate(const Order& order);
  [[nodiscard]] base::Result<void> find_challenges(const Order& order);
  [[nodiscard]] base::Result<void> add_challenge(const Authorization& authorization, const std::string& thumbprint);
  [[nodiscard]] base::Result<std::string> value_for(const Authorization& authorization, const Challenge& challenge,
                                                    const Delegation& place, const std::string& thumbprint) const;
  [[nodiscard]] base::Result<void> publish();
  [[nodiscard]] base::Result<void> trigger();
  [[nodiscard]] base::Result<Order> await_validation(Order order);
  // The order as it is now; absent when that is not to be had for the moment, and `trouble` says why.
  [[nodiscard]] base::Result<std::optional<Order>> look(const std::string& order_url, base::Error& trouble);
  [[nodiscard]] base::Result<void> take_key();
  [[nodiscard]] base::Result<Order> finalize(const Order& order);
  [[nodiscard]] base::Result<Order> await_finalization(Order order);
  [[nodiscard]] base::Error failure_of(const Order& order);
  [[nodiscard]] base::Error authorizations_failed(const Order& order, const std::vector<Authorization>& authorizations);
  void note_questions();
  void give_up_authorizations(const base::Error& error);
  [[nodiscard]] bool stands() const { return plan_.challenge == conf::ChallengeType::DnsPersist01; }
  [[nodiscard]] const char* challenge_type() const;

  std::shared_ptr<Session> session_;
  Publisher& publisher_;
  Steps& steps_;
  Budgets budgets_;
  Order order_;
  OrderPlan plan_;
  OrderNotes notes_;
  Challenges challenges_;
  std::future<base::Result<KeyAndRequest>> making_key_;
  std::optional<KeyAndRequest> made_;
  Attempt attempt_;
  std::optional<QuestionLog::Mark> mark_;
  std::optional<std::chrono::milliseconds> busy_for_;  // what a CA that would not tell how the order is wants to wait
  bool failed_here_ = false;
  bool noted_ = false;
  bool requested_ = false;
  std::vector<TxtValue> published_;
  bool gave_up_ = false;  // withdraw() failed and said so
};

}  // namespace countersign::acme
