#include "dnsd/api/public_api.hpp"

#include <algorithm>
#include <array>
#include <boost/beast/core/string.hpp>

#include "dnsd/api/acme_dns_api.hpp"
#include "dnsd/api/client_address.hpp"
#include "dnsd/api/httpreq_api.hpp"
#include "dnsd/api/public_api_access.hpp"
#include "dnsd/api/request_target.hpp"

namespace countersign::dnsd {
namespace {

constexpr std::string_view kPlainText = "text/plain; charset=utf-8";

enum class Resource { Register, Update, Health, Present, Cleanup, Metrics };

struct Route {
  std::string_view path;
  Resource resource;
  std::string_view method;
  std::string_view allow;
};
constexpr std::array<Route, 6> kRoutes{{
    {"/update", Resource::Update, "POST", "OPTIONS, POST"},
    {"/register", Resource::Register, "POST", "OPTIONS, POST"},
    {"/present", Resource::Present, "POST", "OPTIONS, POST"},
    {"/cleanup", Resource::Cleanup, "POST", "OPTIONS, POST"},
    {"/health", Resource::Health, "GET", "GET, HEAD, OPTIONS"},
    {"/metrics", Resource::Metrics, "GET", "GET, HEAD"},
}};

const Route* find_route(std::string_view path) {
  const auto* found = std::find_if(kRoutes.begin(), kRoutes.end(), [&](const Route& r) { return r.path == path; });
  return found == kRoutes.end() ? nullptr : found;
}

struct Target {
  std::string_view path, query;  // the query with its question mark
};

// Of origin-form and absolute-form, which every server must take (RFC 9112 §3.2.2).
Target split_target(std::string_view target) {
  for (std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    std::size_t path = target.find_first_of("/?", scheme.size());
    target = path == std::string_view::npos ? "/" : target.substr(path);
  }
  std::size_t question = target.find('?');
  if (question == std::string_view::npos) return {target, {}};
  return {target.substr(0, question), target.substr(question)};
}

// The path that somebody meant who wrote "/Register/" or "//register".
const Route* guess_route(std::string_view path) {
  auto parsed = RequestTarget::parse(path);
  if (!parsed) return nullptr;
  std::string clean;
  for (std::string& segment : parsed->path) {
    if (segment.empty() || segment == ".") continue;
    std::transform(segment.begin(), segment.end(), segment.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    if (!clean.empty()) return nullptr;  // all of ours have one
    clean = "/" + segment;
  }
  return find_route(clean);
}

HttpResponse redirect(const Route& route, const HttpRequest& request, std::string_view query) {
  bool is_read = request.method == "GET" || request.method == "HEAD";
  HttpResponse response(is_read ? 301 : 307);
  std::string location(route.path);
  if (std::all_of(query.begin(), query.end(), [](char c) { return c > ' ' && c <= '~'; })) location += query;
  response.fields.emplace_back("Location", std::move(location));
  return response;
}

HttpResponse method_not_allowed(std::string_view allow) {
  HttpResponse response(405, "Method Not Allowed", kPlainText);
  response.fields.emplace_back("Allow", allow);
  return response;
}

// Whether `host`, a Host field, is what a program on this host calls it: an address or localhost. In a browser here, a
// page of another site reaches loopback by a name of its own that leads there, which is what it puts here then.
bool is_own_host(std::string_view host) {
  constexpr std::uint16_t kNoPort = 1;  // any but 0, which means that there must be one
  if (host.find('\0') != std::string_view::npos) return false;
  if (base::SocketAddress::parse(host, kNoPort)) return true;
  return boost::beast::iequals(host.substr(0, host.find(':')), "localhost");
}

// Proxies say for whom they ask, and browsers for which page: such a request is not from a program of this host.
bool is_local(const HttpRequest& request) {
  if (!request.peer.unmapped().is_loopback()) return false;
  return std::none_of(request.fields.begin(), request.fields.end(), [](const auto& field) {
    if (field.first == "host") return !is_own_host(field.second);
    return field.first == "forwarded" || field.first == "x-real-ip" || field.first == "via" ||
           field.first == "origin" || field.first.starts_with("x-forwarded-");
  });
}

bool is_preflight(const HttpRequest& request) {
  return request.method == "OPTIONS" && !request.field("origin").empty() &&
         !request.field("access-control-request-method").empty();
}

// A page of any origin may use the API: what it needs for that, a password, it must have been given.
HttpResponse answer_preflight() {
  HttpResponse response(204);
  response.fields.emplace_back("Access-Control-Allow-Origin", "*");
  response.fields.emplace_back("Access-Control-Allow-Methods", "GET, POST, OPTIONS");
  response.fields.emplace_back("Access-Control-Allow-Headers", "Content-Type, Authorization, X-Api-User, X-Api-Key");
  response.fields.emplace_back("Access-Control-Max-Age", "7200");  // seconds; no browser keeps it longer
  return response;
}

void show_to_any_origin(HttpResponse& response) {
  bool has_wait = std::any_of(response.fields.begin(), response.fields.end(),
                              [](const auto& field) { return field.first == "Retry-After"; });
  response.fields.emplace_back("Access-Control-Allow-Origin", "*");
  if (has_wait) response.fields.emplace_back("Access-Control-Expose-Headers", "Retry-After");
}

}  // namespace

HttpResponse not_found_response() {
  return HttpResponse(404, "404 page not found", kPlainText);
}

class PublicApi::Impl {
 public:
  Impl(Registrar& registrar, zones::Publisher& publisher, const base::Clock& clock)
      : access_(clock), acme_dns_(access_, registrar, publisher), httpreq_(access_, registrar, publisher) {}

  void use(const conf::Config& config, std::string_view token) { access_.use(config.api, token); }
  void set_metrics(MetricsSource source) { metrics_ = std::move(source); }

  // `self`: what it works on, however long it waits.
  static asio::awaitable<HttpResponse> handle(std::shared_ptr<Impl> self, HttpRequest request) {
    if (is_preflight(request)) co_return answer_preflight();
    Target target = split_target(request.target);
    const Route* route = find_route(target.path);
    bool is_metrics = route != nullptr && route->resource == Resource::Metrics;
    if (is_metrics) {
      HttpResponse response = co_await self->metrics(*route, request);
      co_return response;  // without CORS: a page in a browser on this host is none of its business
    }
    HttpResponse response(404);
    bool is_ours = route != nullptr && request.method == route->method;
    if (is_ours)
      response = co_await self->serve(route->resource, request);
    else
      response = answer_otherwise(route, request, target);
    if (!request.field("origin").empty()) show_to_any_origin(response);
    co_return response;
  }

 private:
  static HttpResponse answer_otherwise(const Route* route, const HttpRequest& request, const Target& target) {
    if (route == nullptr) {
      if (request.method == "OPTIONS" && target.path == "*") {
        HttpResponse response(200);
        response.fields.emplace_back("Allow", "GET, HEAD, OPTIONS, POST");
        return response;
      }
      const Route* meant = guess_route(target.path);
      if (meant == nullptr || meant->resource == Resource::Metrics) return not_found_response();
      return redirect(*meant, request, target.query);
    }
    if (request.method == "OPTIONS") {
      HttpResponse response(200);
      response.fields.emplace_back("Allow", route->allow);
      return response;
    }
    if (request.method == "HEAD" && route->resource == Resource::Health) return HttpResponse(200);
    return method_not_allowed(route->allow);
  }

  asio::awaitable<HttpResponse> serve(Resource resource, const HttpRequest& request) {
    access_.tell_unlogged();
    base::SocketAddress client = client_address(request, access_.settings().trusted_proxies);
    HttpResponse response(200);
    switch (resource) {
      case Resource::Update:
        response = co_await acme_dns_.update(request, std::move(client));
        break;
      case Resource::Register:
        response = co_await acme_dns_.create_account(request, std::move(client));
        break;
      case Resource::Present:
        response = co_await httpreq_.change(HttpreqApi::Verb::Present, request, std::move(client));
        break;
      case Resource::Cleanup:
        response = co_await httpreq_.change(HttpreqApi::Verb::Cleanup, request, std::move(client));
        break;
      case Resource::Health:
      case Resource::Metrics:
        break;
    }
    co_return response;
  }

  asio::awaitable<HttpResponse> metrics(const Route& route, const HttpRequest& request) {
    if (!metrics_ || !is_local(request)) co_return not_found_response();
    if (request.method != "GET" && request.method != "HEAD") co_return method_not_allowed(route.allow);
    HttpResponse response = co_await metrics_();
    co_return response;
  }

  ApiAccess access_;
  AcmeDnsApi acme_dns_;
  HttpreqApi httpreq_;
  MetricsSource metrics_;
};

PublicApi::PublicApi(Registrar& registrar, zones::Publisher& publisher, const base::Clock& clock)
    : impl_(std::make_shared<Impl>(registrar, publisher, clock)) {}

void PublicApi::use(const conf::Config& config, std::string token) {
  impl_->use(config, token);
}

void PublicApi::set_metrics(MetricsSource source) {
  impl_->set_metrics(std::move(source));
}

asio::awaitable<HttpResponse> PublicApi::handle_request(HttpRequest request) {
  return Impl::handle(impl_, std::move(request));
}

}  // namespace countersign::dnsd
