// The faces for ACME clients that are not our own: the public HTTP API, and dynamic updates signed with TSIG.
// Thread: the control thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <vector>

#include "dnsd/api/api_server.hpp"
#include "dnsd/api/documents.hpp"
#include "dnsd/api/public_api.hpp"
#include "dnsd/api/registrar.hpp"
#include "dnsd/configuration.hpp"
#include "dnsd/net/deferred_inbox.hpp"
#include "dnsd/net/tcp_server.hpp"
#include "dnsd/net/udp_worker.hpp"
#include "dnsd/update/update_service.hpp"

namespace countersign::dnsd {

class Faces {
 public:
  // All outlive this. `reader` is for this alone.
  struct Target {
    asio::io_context& context;
    zones::Registry& registry;
    zones::Publisher& publisher;
    const Responder& responder;
    zones::Epochs::Reader& reader;
    const base::Clock& clock;
  };
  explicit Faces(Target target);
  Faces(const Faces&) = delete;
  Faces& operator=(const Faces&) = delete;

  // The one thing that can be wrong with a configuration that was read without problems, so it comes first in a reload.
  // Error: as ApiServer::use.
  [[nodiscard]] base::Result<void> use_certificate(const conf::Config& config);
  // All else; at the start and at each reload.
  void use(const Configuration& configuration);

  // Before the workers start.
  [[nodiscard]] base::Result<void> connect(TcpServer& tcp, std::vector<std::unique_ptr<UdpWorker>>& workers);
  // `sockets`: of api.listen. Error: Io.
  [[nodiscard]] base::Result<void> start(std::vector<base::Descriptor> sockets, PublicApi::MetricsSource metrics);
  // Nothing new is begun.
  void stop();
  // Connections and updates that are not finished yet.
  [[nodiscard]] std::size_t busy() const { return server_.connections() + updates_.pending(); }

  void tell(DaemonFacts& facts) const;
  [[nodiscard]] Registrar& registrar() { return registrar_; }

 private:
  Registrar registrar_;
  PublicApi api_;
  ApiServer server_;
  UpdateService updates_;
  DeferredInbox inbox_;
};

// What libraries load at their first use is loaded now: before the sandbox.
void prepare_faces();

}  // namespace countersign::dnsd
