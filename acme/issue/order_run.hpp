// One order from newOrder to a chain of certificates (RFC 8555 §7.4), driven by the status that the CA reports.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <optional>
#include <set>
#include <string>
#include <vector>

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
};

// What the caller keeps on the disk for an order, so that whoever comes after a kill can clean up and go on.
struct OrderNotes {
  // Gives the certificate's key, durable already: a full disk must stop the run before the CA acts. Called on a thread
  // of its own, before run() returns.
  std::function<base::Result<PrivateKey>()> make_key;
  // Called with the values just before they are published, and in any case before finalize. Its error stops the run.
  std::function<base::Result<void>(const std::vector<TxtValue>&)> note;
};

class OrderRun {
 public:
  OrderRun(Session& session, Publisher& publisher, Steps& steps, Budgets budgets)
      : session_(session), publisher_(publisher), steps_(steps), budgets_(budgets) {}
  ~OrderRun() { withdraw(); }
  OrderRun(const OrderRun&) = delete;
  OrderRun& operator=(const OrderRun&) = delete;

  // From the order that the CA gave. Errors: Refused (a challenge or the order failed: names the names and the CA's
  // reasons), Timeout (a budget is used up), Interrupted, Protocol, and what CA, publisher and the callbacks say.
  [[nodiscard]] base::Result<CertificateChain> run(Order order, const OrderPlan& plan, const OrderNotes& notes);
  // For an order that an earlier run sent its request for: goes on from there, with the key that `notes` give again.
  // Errors: as run(); NotFound, when it is not worth going on with.
  [[nodiscard]] base::Result<CertificateChain> resume(Order order, const OrderPlan& plan, const OrderNotes& notes);
  // After an error: the CA has the request and may have made the certificate, so key and order are to be kept.
  [[nodiscard]] bool may_resume() const { return requested_; }

  // Removes what was published, interrupted or not. run() does it at the first moment that it can be done; the caller
  // and the destructor on every other path. Gives false, after one warning, when something may still be served.
  bool withdraw();

 private:
  struct Challenges {
    std::vector<TxtValue> values;
    std::vector<base::Name> zones;
    std::vector<std::string> urls;
    std::vector<std::string> authorization_urls;  // of the challenges at `urls`
  };
  struct KeyAndRequest {
    PrivateKey key;
    std::string csr;
  };

  void begin(const OrderPlan& plan, const OrderNotes& notes);
  [[nodiscard]] base::Result<CertificateChain> finish(const base::Result<Order>& done, const OrderPlan& plan);
  [[nodiscard]] base::Result<Order> drive(Order order, const OrderPlan& plan, const OrderNotes& notes);
  [[nodiscard]] base::Result<Order> validate(const Order& order, const OrderPlan& plan, const OrderNotes& notes);
  [[nodiscard]] base::Result<Challenges> find_challenges(const Order& order, const OrderPlan& plan);
  [[nodiscard]] base::Result<void> add_challenge(Challenges& challenges, const Authorization& authorization,
                                                 const OrderPlan& plan, const std::string& thumbprint) const;
  [[nodiscard]] base::Result<void> publish(const Challenges& challenges, const OrderNotes& notes);
  [[nodiscard]] base::Result<void> trigger(const Challenges& challenges);
  [[nodiscard]] base::Result<Order> await_validation(Order order, const std::vector<TxtValue>& values);
  [[nodiscard]] bool await_questions(std::set<base::Name>& unasked, std::chrono::milliseconds patience);
  // The order as it is now; absent when that is not to be had for the moment, and `trouble` says why.
  [[nodiscard]] base::Result<std::optional<Order>> look(const std::string& order_url, base::Error& trouble);
  [[nodiscard]] base::Result<void> take_key();
  [[nodiscard]] base::Result<Order> finalize(const Order& order, const OrderNotes& notes);
  [[nodiscard]] base::Result<Order> await_finalization(Order order);
  [[nodiscard]] base::Error failure_of(const Order& order);

  Session& session_;
  Publisher& publisher_;
  Steps& steps_;
  Budgets budgets_;
  std::future<base::Result<KeyAndRequest>> making_key_;
  std::optional<KeyAndRequest> made_;
  bool noted_ = false;
  bool requested_ = false;
  std::vector<TxtValue> published_;
  bool gave_up_ = false;  // withdraw() failed and said so
};

}  // namespace countersign::acme
