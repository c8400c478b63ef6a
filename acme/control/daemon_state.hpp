// What a Daemon keeps, and how it speaks with the daemon: for the files of Daemon alone.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "acme/control/daemon.hpp"
#include "acme/transport/http.hpp"

namespace countersign::acme {

// For a segment of a path, and for a query's value.
[[nodiscard]] std::string percent_encoded(std::string_view text);

struct Daemon::State {
  explicit State(std::filesystem::path path);

  [[nodiscard]] static HttpRequest request(HttpRequest::Method method, const std::string& target);

  // Puts what the transport says into the words of one who wants the daemon.
  [[nodiscard]] base::Error unreachable(const base::Error& error) const;
  [[nodiscard]] base::Error refusal(const HttpResponse& response, const std::string& what) const;
  [[nodiscard]] base::Error nonsense(const base::Error& error, const std::string& what) const;

  // An answer with `status`. `what`: "GET /v1/txt".
  [[nodiscard]] base::Result<HttpResponse> ask(const HttpRequest& asked, long status, const std::string& what);
  [[nodiscard]] base::Result<std::string> get(const std::string& target);
  // The first error in the order of the requests; the whole batch has been tried then.
  [[nodiscard]] base::Result<void> change(const std::vector<HttpRequest>& requests,
                                          const std::vector<std::string>& what);

  std::filesystem::path socket;
  HttpClient client;
};

}  // namespace countersign::acme
