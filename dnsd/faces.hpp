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

  // What can be wrong with a configuration that was read without problems: the certificate. Error: as ApiServer::use;
  // nothing is changed by this.
  [[nodiscard]] static base::Result<void> check(const conf::Config& config);
  // At the start and at each reload. A certificate that cannot be used keeps nothing else from serving.
  void use(const Configuration& configuration);

  // Before the workers start.
  [[nodiscard]] base::Result<void> connect(TcpServer& tcp, std::vector<std::unique_ptr<UdpWorker>>& workers);
  // `sockets`: of api.listen. Error: Io.
  [[nodiscard]] base::Result<void> start(std::vector<base::Descriptor> sockets, PublicApi::MetricsSource metrics);
  // Nothing new is begun.
  void stop();
  // What is left for the store; once the loop has ended.
  void flush() { registrar_.flush(); }
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
