#include "acme/transport/http.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <system_error>

#include "acme/transport/interrupt.hpp"
#include "acme/transport/url.hpp"
#include "base/files.hpp"
#include "base/handle.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
using base::Result;
using Easy = base::Handle<CURL, curl_easy_cleanup>;
using Multi = base::Handle<CURLM, curl_multi_cleanup>;
using HeaderList = base::Handle<curl_slist, curl_slist_free_all>;

constexpr std::chrono::milliseconds kConnectTimeout{10'000};  // no answer to a SYN in this time: the host is down
constexpr std::size_t kMaxHeaders = 1U << 17U;                // octets of all headers of one answer
// Signals and sockets wake the poll, so this is only a bound. But libcurl 7.88 (Debian 12) now and then leaves octets
// that TLS has read already for the next round without asking for one: seen as a pause of the whole period in 1 of 25
// runs.
constexpr int kPollPeriod = 10;  // ms

// One request under way. curl keeps pointers into it, so it never moves.
struct Transfer {
  Easy handle;
  HeaderList headers;
  HttpResponse response;
  std::array<char, CURL_ERROR_SIZE> error_text{};
  std::size_t max_body = 0;
  std::size_t header_octets = 0;
  bool body_too_large = false;
  bool headers_too_large = false;
  bool done = false;
  CURLcode code = CURLE_OK;
};

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  std::size_t length = size * count;
  if (transfer.max_body - transfer.response.body.size() < length) {
    transfer.body_too_large = true;
    return 0;
  }
  transfer.response.body.append(data, length);
  return length;
}

std::string_view trimmed(std::string_view text) {
  std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  std::size_t length = size * count;
  if (kMaxHeaders - transfer.header_octets < length) {
    transfer.headers_too_large = true;
    return 0;
  }
  transfer.header_octets += length;
  std::string_view line = trimmed({data, length});
  // A status line begins a new set: an interim 1xx answer may have come before.
  if (line.starts_with("HTTP/")) transfer.response.headers.clear();
  std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || line.starts_with("HTTP/")) return length;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; });
  transfer.response.headers.emplace_back(std::move(name), trimmed(line.substr(colon + 1)));
  return length;
}

void initialise_curl() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

// Where the system's own trust lies.
struct SystemTrust {
  std::string directory;  // hashed: only the certificate that is needed is read
  std::string bundle;     // one file: 150 certificates are parsed for each connection (20 ms)
};

SystemTrust system_trust() {
  const curl_version_info_data* info = curl_version_info(CURLVERSION_NOW);
  SystemTrust trust;
  std::error_code ignored;
  if (info->capath != nullptr && fs::is_directory(info->capath, ignored)) trust.directory = info->capath;
  if (info->cainfo != nullptr && fs::exists(info->cainfo, ignored)) trust.bundle = info->cainfo;
  return trust;
}

std::string origin_of(const HttpRequest& request, const HttpOptions& options) {
  if (!options.unix_socket.empty()) return options.unix_socket.string();
  auto url = Url::parse(request.url);
  return url ? url->origin() : "\"" + request.url + "\"";
}

}  // namespace

std::string HttpResponse::header(std::string_view name) const {
  auto found = std::find_if(headers.begin(), headers.end(), [&](const auto& header) { return header.first == name; });
  return found == headers.end() ? std::string() : found->second;
}

std::vector<std::string> HttpResponse::all_headers(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [key, value] : headers)
    if (key == name) values.push_back(value);
  return values;
}

struct HttpClient::State {
  explicit State(HttpOptions given) : options(std::move(given)) {
    initialise_curl();
    multi.reset(curl_multi_init());
    curl_multi_setopt(multi.get(), CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    curl_multi_setopt(multi.get(), CURLMOPT_MAX_HOST_CONNECTIONS, options.max_connections);
    trust = system_trust();
    user_agent =
        fmt::format("countersign/{} libcurl/{}", COUNTERSIGN_VERSION, curl_version_info(CURLVERSION_NOW)->version);
  }

  Result<void> load_trust();
  void prepare(Transfer& transfer, const HttpRequest& request);
  void set_method(Transfer& transfer, const HttpRequest& request);
  void set_trust(CURL* handle);
  void run(std::vector<std::unique_ptr<Transfer>>& transfers);
  void collect(std::vector<std::unique_ptr<Transfer>>& transfers, std::size_t& left);
  base::Error failure(const Transfer& transfer, const HttpRequest& request) const;
  Result<HttpResponse> result(Transfer& transfer, const HttpRequest& request);

  HttpOptions options;
  SystemTrust trust;
  std::string bundle_blob;  // the configured bundle followed by the system's, where there is no hashed directory
  bool trust_loaded = false;
  std::string user_agent;
  std::vector<Easy> idle;  // made once, used again
  Multi multi;             // destroyed first: it still knows the handles
};

// curl reports an unreadable bundle as "error setting certificate verify locations", once per connection; so it is
// read here, once, and the message is ours.
Result<void> HttpClient::State::load_trust() {
  if (trust_loaded || !options.unix_socket.empty()) return {};
  if (!options.ca_bundle.empty()) {
    auto bundle = base::read_file(options.ca_bundle);
    if (!bundle) return fail(ErrorCode::Usage, "acme.ca_bundle: {}", bundle.error().message);
    if (bundle->find("-----BEGIN") == std::string::npos)
      return fail(ErrorCode::Usage, "acme.ca_bundle: \"{}\" holds no PEM certificate", options.ca_bundle);
    bundle_blob = *std::move(bundle);
  }
  // CAINFO_BLOB takes the place of the system's file, so without a directory the system's text is put behind ours.
  if (trust.directory.empty() && !trust.bundle.empty()) {
    if (auto system = base::read_file(trust.bundle)) bundle_blob += "\n" + *system;
  }
  trust_loaded = true;
  return {};
}

void HttpClient::State::set_trust(CURL* handle) {
  curl_easy_setopt(handle, CURLOPT_CAINFO, nullptr);
  curl_easy_setopt(handle, CURLOPT_CAPATH, trust.directory.empty() ? nullptr : trust.directory.c_str());
  if (bundle_blob.empty()) return;
  curl_blob blob{bundle_blob.data(), bundle_blob.size(), CURL_BLOB_NOCOPY};
  curl_easy_setopt(handle, CURLOPT_CAINFO_BLOB, &blob);
}

void HttpClient::State::set_method(Transfer& transfer, const HttpRequest& request) {
  CURL* handle = transfer.handle.get();
  auto set_body = [&] {
    curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS, request.body.c_str());
  };
  switch (request.method) {
    case HttpRequest::Method::Get:
      curl_easy_setopt(handle, CURLOPT_HTTPGET, 1L);
      break;
    case HttpRequest::Method::Head:
      curl_easy_setopt(handle, CURLOPT_NOBODY, 1L);
      break;
    case HttpRequest::Method::Post:
      set_body();
      break;
    case HttpRequest::Method::Put:
      set_body();
      curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, "PUT");
      break;
    case HttpRequest::Method::Delete:
      curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, "DELETE");
      break;
  }
}

void HttpClient::State::prepare(Transfer& transfer, const HttpRequest& request) {
  if (idle.empty()) {
    transfer.handle.reset(curl_easy_init());
  } else {
    transfer.handle = std::move(idle.back());
    idle.pop_back();
  }
  CURL* handle = transfer.handle.get();
  transfer.max_body = request.max_body > 0 ? request.max_body : options.max_body;
  curl_slist* list = nullptr;
  for (const auto& [name, value] : request.headers)
    list = curl_slist_append(list, fmt::format("{}: {}", name, value).c_str());
  // Ours or none: curl would call every body a form, and wait a second for "100 Continue" before a large one.
  auto given = [&](std::string_view wanted) {
    return std::any_of(request.headers.begin(), request.headers.end(),
                       [&](const auto& header) { return header.first == wanted; });
  };
  if (!given("Content-Type")) list = curl_slist_append(list, "Content-Type:");
  list = curl_slist_append(list, "Expect:");
  transfer.headers.reset(list);

  curl_easy_setopt(handle, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, list);
  curl_easy_setopt(handle, CURLOPT_USERAGENT, user_agent.c_str());
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, transfer.error_text.data());
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(handle, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(handle, CURLOPT_PRIVATE, &transfer);
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(options.timeout.count()));
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(std::min(options.timeout, kConnectTimeout).count()));
  if (!options.unix_socket.empty()) {
    curl_easy_setopt(handle, CURLOPT_UNIX_SOCKET_PATH, options.unix_socket.c_str());
    curl_easy_setopt(handle, CURLOPT_NOPROXY, "*");
  } else {
    curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
    // A batch waits for the first connection's ALPN instead of opening one connection a request.
    if (request.url.starts_with("https:")) curl_easy_setopt(handle, CURLOPT_PIPEWAIT, 1L);
    // A proxy's loopback is not ours.
    auto url = Url::parse(request.url);
    if (url && url->is_loopback()) curl_easy_setopt(handle, CURLOPT_NOPROXY, "*");
    set_trust(handle);
  }
  set_method(transfer, request);
}

void HttpClient::State::collect(std::vector<std::unique_ptr<Transfer>>& transfers, std::size_t& left) {
  int queued = 0;
  while (CURLMsg* message = curl_multi_info_read(multi.get(), &queued)) {
    if (message->msg != CURLMSG_DONE) continue;
    CURL* handle = message->easy_handle;
    CURLcode code = message->data.result;
    auto found = std::find_if(transfers.begin(), transfers.end(),
                              [&](const auto& transfer) { return transfer->handle.get() == handle; });
    if (found == transfers.end()) continue;
    Transfer& transfer = **found;
    transfer.code = code;
    transfer.done = true;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &transfer.response.status);
    curl_multi_remove_handle(multi.get(), handle);
    --left;
  }
}

void HttpClient::State::run(std::vector<std::unique_ptr<Transfer>>& transfers) {
  for (auto& transfer : transfers) curl_multi_add_handle(multi.get(), transfer->handle.get());
  std::size_t left = transfers.size();
  int running = 0;
  while (left > 0 && !interrupted()) {
    curl_multi_perform(multi.get(), &running);
    collect(transfers, left);
    if (left == 0) break;
    int descriptor = interrupt_descriptor();
    curl_waitfd signal{descriptor, CURL_WAIT_POLLIN, 0};
    curl_multi_poll(multi.get(), &signal, descriptor < 0 ? 0 : 1, kPollPeriod, nullptr);
  }
  for (auto& transfer : transfers)
    if (!transfer->done) curl_multi_remove_handle(multi.get(), transfer->handle.get());
}

base::Error HttpClient::State::failure(const Transfer& transfer, const HttpRequest& request) const {
  std::string origin = origin_of(request, options);
  std::string reason = transfer.error_text.data();
  if (reason.empty()) reason = curl_easy_strerror(transfer.code);
  reason = base::printable(reason);
  long os_error = 0;
  curl_easy_getinfo(transfer.handle.get(), CURLINFO_OS_ERRNO, &os_error);
  switch (transfer.code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return {
          ErrorCode::Unavailable,
          fmt::format("cannot find an address of {}: {}; check the name and this machine's resolver", origin, reason)};
    case CURLE_COULDNT_RESOLVE_PROXY:
      return {ErrorCode::Unavailable,
              fmt::format("cannot reach {} through the proxy: {}; check https_proxy", origin, reason)};
    case CURLE_COULDNT_CONNECT:
      if (os_error != 0) reason = base::system_reason(static_cast<int>(os_error));
      return {os_error == EACCES || os_error == EPERM ? ErrorCode::Denied : ErrorCode::Unavailable,
              fmt::format("cannot connect to {}: {}", origin, reason)};
    case CURLE_PEER_FAILED_VERIFICATION:
      return {
          ErrorCode::Unavailable,
          fmt::format("{} has a certificate that is not trusted: {}; if it is a private CA's, set acme.ca_bundle to "
                      "the file with its root",
                      origin, reason)};
    case CURLE_SSL_CACERT_BADFILE:
      return {ErrorCode::Usage,
              fmt::format("cannot use the trusted certificates for {}: {}; check acme.ca_bundle", origin, reason)};
    case CURLE_SSL_CONNECT_ERROR:
      return {ErrorCode::Unavailable, fmt::format("no TLS connection to {}: {}; is it an HTTPS port?", origin, reason)};
    case CURLE_OPERATION_TIMEDOUT:
      return {ErrorCode::Timeout, fmt::format("no answer from {} to {} in time: {}", origin, request.url, reason)};
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return {ErrorCode::Invalid, fmt::format("\"{}\" is not an http or https URL", request.url)};
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return {ErrorCode::Unavailable,
              fmt::format("the answer of {} to {} is cut short: {}", origin, request.url, reason)};
    case CURLE_WEIRD_SERVER_REPLY:
      return {ErrorCode::Protocol, fmt::format("the answer of {} to {} is no HTTP: {}", origin, request.url, reason)};
    default:
      return {ErrorCode::Unavailable, fmt::format("the request to {} failed: {}", request.url, reason)};
  }
}

Result<HttpResponse> HttpClient::State::result(Transfer& transfer, const HttpRequest& request) {
  if (!transfer.done)
    return fail(ErrorCode::Interrupted, "interrupted while waiting for {}", origin_of(request, options));
  if (transfer.body_too_large)
    return fail(ErrorCode::Protocol, "the answer to {} is larger than {} octets", request.url, transfer.max_body);
  if (transfer.headers_too_large)
    return fail(ErrorCode::Protocol, "the headers of the answer to {} are larger than {} octets", request.url,
                kMaxHeaders);
  if (transfer.code != CURLE_OK) return fail(failure(transfer, request));
  return std::move(transfer.response);
}

HttpClient::HttpClient(HttpOptions options) : state_(std::make_unique<State>(std::move(options))) {}
HttpClient::~HttpClient() = default;
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;

std::vector<Result<HttpResponse>> HttpClient::perform(const std::vector<HttpRequest>& requests) {
  std::vector<Result<HttpResponse>> results;
  results.reserve(requests.size());
  if (auto loaded = state_->load_trust(); !loaded) {
    for (std::size_t i = 0; i < requests.size(); ++i) results.emplace_back(fail(loaded.error()));
    return results;
  }
  std::vector<std::unique_ptr<Transfer>> transfers;
  transfers.reserve(requests.size());
  for (const HttpRequest& request : requests)
    state_->prepare(*transfers.emplace_back(std::make_unique<Transfer>()), request);
  state_->run(transfers);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    results.push_back(state_->result(*transfers[i], requests[i]));
    curl_easy_reset(transfers[i]->handle.get());
    state_->idle.push_back(std::move(transfers[i]->handle));
  }
  return results;
}

Result<HttpResponse> HttpClient::perform(const HttpRequest& request) {
  return std::move(perform(std::vector<HttpRequest>{request}).front());
}

}  // namespace countersign::acme
