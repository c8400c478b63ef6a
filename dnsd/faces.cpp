#include "dnsd/faces.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "dnsd/api/tls_context.hpp"
#include "dnsd/update/tsig.hpp"

namespace countersign::dnsd {

Faces::Faces(Target target)
    : registrar_(target.context.get_executor(), target.registry, target.publisher, target.clock),
      api_(registrar_, target.publisher, target.clock),
      server_(target.context, [this](HttpRequest request) { return api_.handle_request(std::move(request)); }),
      updates_(target.context.get_executor(), target.publisher, target.responder, target.reader, target.clock),
      inbox_(target.context.get_executor()) {}

namespace {

// Not a problem: the zone may come later. But it is mostly a mistake.
void warn_of_useless_patterns(const conf::Config& config) {
  for (const conf::Key& key : config.keys) {
    for (const conf::NamePattern& pattern : key.allow) {
      bool useful = std::ranges::any_of(config.zones, [&pattern](const conf::Zone& zone) {
        return pattern.name.is_within(zone.name) || (pattern.below && zone.name.is_within(pattern.name));
      });
      if (!useful)
        base::log::warn("a key may change a name that is in no zone of this server",
                        {{"key", key.name.text()}, {"allow", (pattern.below ? "*." : "") + pattern.name.text()}});
    }
  }
}

// A proxy on this host may add the TLS.
void warn_of_plain_text(const conf::Api& api) {
  if (!api.tls_certificate.empty()) return;
  for (const base::SocketAddress& address : api.listen) {
    if (!address.is_loopback())
      base::log::warn("the API has no TLS: passwords can be read on their way", {{"listen", address.text()}});
  }
}

}  // namespace

base::Result<void> Faces::check(const conf::Config& config) {
  const conf::Api& api = config.api;
  if (api.listen.empty() || api.tls_certificate.empty()) return {};
  auto checked = check_tls_files(api.tls_certificate, api.tls_key);
  // Missing files are waited for.
  if (!checked && checked.error().code == base::ErrorCode::NotFound) return {};
  return checked;
}

void Faces::use(const Configuration& configuration) {
  const conf::Config& config = configuration.config;
  warn_of_useless_patterns(config);
  warn_of_plain_text(config.api);
  if (auto used = server_.use(config.api); !used) {
    base::log::error("the API has no certificate that can be used", {{"reason", used.error().message}});
    server_.use_without_certificate(config.api);
  }
  registrar_.use(config);
  api_.use(config, configuration.registration_token);
  auto policy = std::make_shared<UpdatePolicy>();
  policy->keys = configuration.keys;
  for (const conf::Zone& zone : config.zones) policy->zones.push_back(zone.name);
  updates_.use(std::move(policy));
}

base::Result<void> Faces::connect(TcpServer& tcp, std::vector<std::unique_ptr<UdpWorker>>& workers) {
  if (auto opened = inbox_.open(connect_service(updates_, tcp)); !opened) return opened;
  for (auto& worker : workers) worker->defer_to(inbox_);
  return {};
}

base::Result<void> Faces::start(std::vector<base::Descriptor> sockets, PublicApi::MetricsSource metrics) {
  api_.set_metrics(std::move(metrics));
  registrar_.start();
  return server_.serve(std::move(sockets));
}

void Faces::stop() {
  server_.stop();
  registrar_.stop();
  inbox_.stop();
}

void Faces::tell(DaemonFacts& facts) const {
  facts.api = &server_;
  facts.updates = &updates_;
  facts.deferred = &inbox_;
  facts.counters.queries.push_back(&updates_.query_counters());
}

void prepare_faces() {
  prepare_tls();
  prepare_tsig();
}

}  // namespace countersign::dnsd
