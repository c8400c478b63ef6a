// Recursive resolvers, asked in turn: the view of the DNS that the configuration names.
#pragma once

#include <string>
#include <vector>

#include "acme/check/message.hpp"
#include "acme/check/query.hpp"

namespace countersign::acme::dns {

struct Lookup {
  base::Name name;
  RecordType type = RecordType::A;
};

struct Finding {
  Reply reply;
  base::SocketAddress resolver;  // that said it
};

enum class Patience {
  Full,   // the answer decides: a resolver with a cold cache gets its time
  Short,  // without an answer there is only less to say
};

class Resolver {
 public:
  explicit Resolver(std::vector<base::SocketAddress> addresses) : addresses_(std::move(addresses)) {}

  // One finding for each lookup, in their order. A resolver that is silent, refuses or does not recurse is passed over
  // for the next one, and asked last from then on; when all refuse, the refusal is the finding. SERVFAIL is a finding:
  // the next resolver may only be one that does not validate. Error per lookup: as of ask(), of the last one asked.
  [[nodiscard]] std::vector<base::Result<Finding>> look_up(const std::vector<Lookup>& lookups, Patience patience);

  // "127.0.0.53, [2001:db8::53]"
  [[nodiscard]] std::string text() const;

 private:
  std::vector<base::SocketAddress> addresses_;
};

// False for an answer by a server that only knows its own zones.
[[nodiscard]] bool is_recursive(const Reply& reply);

}  // namespace countersign::acme::dns
