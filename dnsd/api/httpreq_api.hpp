// The two verbs of lego's httpreq and of acmeproxy: POST /present and POST /cleanup.
// Thread: the control thread.
#pragma once

#include "base/socket_address.hpp"
#include "dnsd/api/http_message.hpp"
#include "dnsd/api/public_api_access.hpp"
#include "dnsd/api/registrar.hpp"
#include "dnsd/net/asio.hpp"
#include "zones/publisher.hpp"

namespace countersign::dnsd {

class HttpreqApi {
 public:
  // All are kept by reference; so is a request until it is answered.
  HttpreqApi(ApiAccess& access, Registrar& registrar, zones::Publisher& publisher)
      : access_(access), registrar_(registrar), publisher_(publisher) {}

  enum class Verb { Present, Cleanup };
  [[nodiscard]] asio::awaitable<HttpResponse> change(Verb verb, const HttpRequest& request, base::SocketAddress client);

 private:
  ApiAccess& access_;
  Registrar& registrar_;
  zones::Publisher& publisher_;
};

}  // namespace countersign::dnsd
