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
  std::vector<Delegation> delegations;  // one for each identifier, none missing
  conf::KeyType key_type = conf::KeyType::P256;
};

struct IssuedCertificate {
  PrivateKey key;
  CertificateChain chain;
};

class OrderRun {
 public:
  OrderRun(Session& session, Publisher& publisher, Steps& steps, Budgets budgets)
      : session_(session), publisher_(publisher), steps_(steps), budgets_(budgets) {}
  ~OrderRun() { withdraw(); }
  OrderRun(const OrderRun&) = delete;
  OrderRun& operator=(const OrderRun&) = delete;

  // Called with the values just before they are published, so that whoever comes after a kill can remove them. Its
  // error stops the run.
  using BeforePublish = std::function<base::Result<void>(const std::vector<TxtValue>&)>;

  // From the order that the CA gave. Errors: Refused (a challenge or the order failed: names the names and the CA's
  // reasons), Timeout (a budget is used up), Interrupted, Protocol, and what CA, publisher and the callback say.
  [[nodiscard]] base::Result<IssuedCertificate> run(Order order, const OrderPlan& plan,
                                                    const BeforePublish& before_publish);

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

  [[nodiscard]] base::Result<Order> drive(Order order, const OrderPlan& plan, const BeforePublish& before_publish);
  [[nodiscard]] base::Result<Order> validate(const Order& order, const OrderPlan& plan,
                                             const BeforePublish& before_publish);
  [[nodiscard]] base::Result<Challenges> find_challenges(const Order& order, const OrderPlan& plan);
  [[nodiscard]] base::Result<void> add_challenge(Challenges& challenges, const Authorization& authorization,
                                                 const OrderPlan& plan, const std::string& thumbprint) const;
  [[nodiscard]] base::Result<void> publish(const Challenges& challenges, const BeforePublish& before_publish);
  [[nodiscard]] base::Result<void> trigger(const Challenges& challenges);
  [[nodiscard]] base::Result<Order> await_validation(Order order, const std::vector<TxtValue>& values);
  [[nodiscard]] bool await_questions(std::set<base::Name>& unasked, std::chrono::milliseconds patience);
  [[nodiscard]] base::Result<Order> finalize(const Order& order);
  [[nodiscard]] base::Result<Order> await_finalization(Order order);
  [[nodiscard]] base::Error failure_of(const Order& order);

  Session& session_;
  Publisher& publisher_;
  Steps& steps_;
  Budgets budgets_;
  std::future<base::Result<KeyAndRequest>> making_key_;
  std::optional<PrivateKey> key_;
  std::vector<TxtValue> published_;
  bool gave_up_ = false;  // withdraw() failed and said so
};

}  // namespace countersign::acme
