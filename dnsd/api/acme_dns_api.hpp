// acme-dns' two verbs: POST /register and POST /update.
// Thread: the control thread.
#pragma once

#include "base/socket_address.hpp"
#include "dnsd/api/http_message.hpp"
#include "dnsd/api/public_api_access.hpp"
#include "dnsd/api/registrar.hpp"
#include "dnsd/net/asio.hpp"
#include "zones/publisher.hpp"

namespace countersign::dnsd {

class AcmeDnsApi {
 public:
  // All are kept by reference; so is a request until it is answered.
  AcmeDnsApi(ApiAccess& access, Registrar& registrar, zones::Publisher& publisher)
      : access_(access), registrar_(registrar), publisher_(publisher) {}

  [[nodiscard]] asio::awaitable<HttpResponse> create_account(const HttpRequest& request, base::SocketAddress client);
  [[nodiscard]] asio::awaitable<HttpResponse> update(const HttpRequest& request, base::SocketAddress client);

 private:
  [[nodiscard]] std::optional<HttpResponse> refuse_registration(const HttpRequest& request,
                                                                const base::SocketAddress& client);

  ApiAccess& access_;
  Registrar& registrar_;
  zones::Publisher& publisher_;
};

}  // namespace countersign::dnsd
