#include "acme/transport/http.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>

#include "acme/transport/http_error.hpp"
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
constexpr int kPollPeriod = 10;      // ms
constexpr int kIdlePeriod = 60'000;  // ms; with nothing under way: perform() wakes the thread

constexpr std::size_t kIdleHandles = 64;

// Under way at one server at once; the others wait here. Inside libcurl they would wait for a connection with their
// clocks running. An HTTP/1.1 server gets as many as there are connections; what an HTTP/2 one takes is known from its
// first answer on: as many as libcurl puts on one connection.
constexpr std::size_t kMostAtHttp2 = 100;

struct Batch;
struct Transfer;

struct Server {
  std::deque<Transfer*> waiting;
  std::size_t under_way = 0;
  bool multiplexes = false;
};

// One request under way. curl keeps pointers into it, so it never moves.
struct Transfer {
  enum class Stage { Waiting, UnderWay, Done };
  Batch* batch = nullptr;
  Server* server = nullptr;
  Stage stage = Stage::Waiting;
  Easy handle;
  HeaderList headers;
  HttpResponse response;
  std::array<char, CURL_ERROR_SIZE> error_text{};
  std::size_t max_body = 0;
  std::size_t header_octets = 0;
  bool body_too_large = false;
  bool headers_too_large = false;
  CURLcode code = CURLE_OK;
};

// The requests of one perform().
struct Batch {
  std::vector<std::unique_ptr<Transfer>> transfers;
  std::size_t left = 0;
  bool is_shielded = false;  // whoever waits for it has an Uninterrupted
  bool given_up = false;     // interrupted
  std::string trouble;       // why it never began; "" = it did
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
    // Without a descriptor left it has nothing to be woken by.
    can_wake = curl_multi_wakeup(multi.get()) == CURLM_OK;
    trust = system_trust();
    user_agent =
        fmt::format("countersign/{} libcurl/{}", COUNTERSIGN_VERSION, curl_version_info(CURLVERSION_NOW)->version);
  }

  ~State() {
    {
      std::lock_guard lock(mutex);
      stopping = true;
    }
    curl_multi_wakeup(multi.get());
    if (thread.joinable()) thread.join();
  }

  // Sends all and waits for all.
  void run(Batch& batch);
  void start_thread();
  void serve();
  void take_in();
  [[nodiscard]] bool can_begin(const Server& server) const;
  void fill(Server& server);
  void end(Transfer& transfer, CURLcode code);
  void give_up();
  Result<void> load_trust();
  void prepare(Transfer& transfer, const HttpRequest& request);
  void set_method(Transfer& transfer, const HttpRequest& request);
  void set_trust(CURL* handle);
  void collect();
  Result<HttpResponse> result(Transfer& transfer, const HttpRequest& request);

  HttpOptions options;
  SystemTrust trust;
  std::string bundle_blob;  // the configured bundle followed by the system's, where there is no hashed directory
  bool trust_loaded = false;
  std::string user_agent;
  Multi multi;  // the thread's, but for curl_multi_wakeup()
  bool can_wake = false;

  std::mutex mutex;  // guards what follows
  std::condition_variable finished;
  std::vector<Batch*> incoming;   // not seen by the thread yet
  std::vector<Batch*> under_way;  // only the thread changes it
  std::map<std::string, Server> servers;
  std::vector<Easy> idle;  // made once, used again
  bool stopping = false;
  std::thread thread;
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
  if (handle == nullptr) return;  // out of memory; said when it is its turn
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

// What follows: with the lock held.

void HttpClient::State::end(Transfer& transfer, CURLcode code) {
  transfer.code = code;
  transfer.stage = Transfer::Stage::Done;
  --transfer.batch->left;
}

bool HttpClient::State::can_begin(const Server& server) const {
  auto most = server.multiplexes ? kMostAtHttp2 : static_cast<std::size_t>(std::max(options.max_connections, 1L));
  return server.under_way < most && !server.waiting.empty();
}

void HttpClient::State::fill(Server& server) {
  while (can_begin(server)) {
    Transfer& transfer = *server.waiting.front();
    server.waiting.pop_front();
    CURL* handle = transfer.handle.get();
    if (handle == nullptr || curl_multi_add_handle(multi.get(), handle) != CURLM_OK) {
      end(transfer, CURLE_FAILED_INIT);
      continue;
    }
    transfer.stage = Transfer::Stage::UnderWay;
    ++server.under_way;
  }
}

void HttpClient::State::take_in() {
  for (Batch* batch : incoming) {
    for (auto& transfer : batch->transfers) transfer->server->waiting.push_back(transfer.get());
    under_way.push_back(batch);
  }
  incoming.clear();
  for (auto& [origin, server] : servers) fill(server);
}

void HttpClient::State::collect() {
  int queued = 0;
  while (CURLMsg* message = curl_multi_info_read(multi.get(), &queued)) {
    if (message->msg != CURLMSG_DONE) continue;
    CURL* handle = message->easy_handle;
    CURLcode code = message->data.result;
    Transfer* transfer = nullptr;
    curl_easy_getinfo(handle, CURLINFO_PRIVATE, &transfer);
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &transfer->response.status);
    long version = CURL_HTTP_VERSION_NONE;
    curl_easy_getinfo(handle, CURLINFO_HTTP_VERSION, &version);
    curl_multi_remove_handle(multi.get(), handle);
    Server& server = *transfer->server;
    if (version != CURL_HTTP_VERSION_NONE) server.multiplexes = version == CURL_HTTP_VERSION_2_0;
    --server.under_way;
    end(*transfer, code);
  }
}

// Interrupted: nobody waits any longer, but who is shielded.
void HttpClient::State::give_up() {
  for (Batch* batch : under_way) {
    if (batch->is_shielded) continue;
    for (auto& transfer : batch->transfers) {
      if (transfer->stage == Transfer::Stage::Waiting) std::erase(transfer->server->waiting, transfer.get());
      if (transfer->stage != Transfer::Stage::UnderWay) continue;
      curl_multi_remove_handle(multi.get(), transfer->handle.get());
      --transfer->server->under_way;
    }
    batch->given_up = true;
  }
}

// One thread for all who wait, so that they share connections, and each can wait for its own.
void HttpClient::State::serve() {
  std::unique_lock lock(mutex);
  while (!stopping) {
    take_in();
    lock.unlock();
    int running = 0;
    curl_multi_perform(multi.get(), &running);
    lock.lock();
    collect();
    if (signalled()) give_up();
    auto ended = std::remove_if(under_way.begin(), under_way.end(),
                                [](const Batch* batch) { return batch->left == 0 || batch->given_up; });
    if (ended != under_way.end()) {
      under_way.erase(ended, under_way.end());
      finished.notify_all();
    }
    bool more = std::any_of(servers.begin(), servers.end(), [this](const auto& one) { return can_begin(one.second); });
    if (stopping || !incoming.empty() || more) continue;
    bool idle_now = under_way.empty();
    lock.unlock();
    // Once signalled, the descriptor would stay readable, and who is left is shielded.
    int descriptor = idle_now || signalled() ? -1 : interrupt_descriptor();
    curl_waitfd signal{descriptor, CURL_WAIT_POLLIN, 0};
    curl_multi_poll(multi.get(), &signal, descriptor < 0 ? 0 : 1, idle_now && can_wake ? kIdlePeriod : kPollPeriod,
                    nullptr);
    lock.lock();
  }
}

// Throws std::system_error.
void HttpClient::State::start_thread() {
  // Signals are the main thread's: its waits end by them.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  auto restore = [&before](void*) { pthread_sigmask(SIG_SETMASK, &before, nullptr); };
  std::unique_ptr<void, decltype(restore)> restored(this, restore);
  thread = std::thread([this] { serve(); });
}

void HttpClient::State::run(Batch& batch) {
  std::unique_lock lock(mutex);
  if (!multi) {
    batch.trouble = "no memory for connections";
    return;
  }
  try {
    if (!thread.joinable()) start_thread();
  } catch (const std::system_error& problem) {
    batch.trouble = fmt::format("no thread to be had: {}; the limit on processes may be too low",
                                base::system_reason(problem.code().value()));
    return;
  }
  incoming.push_back(&batch);
  curl_multi_wakeup(multi.get());
  finished.wait(lock, [&] {
    return std::find(incoming.begin(), incoming.end(), &batch) == incoming.end() && (batch.left == 0 || batch.given_up);
  });
}

Result<HttpResponse> HttpClient::State::result(Transfer& transfer, const HttpRequest& request) {
  if (!transfer.batch->trouble.empty())
    return fail(ErrorCode::Unavailable, "the request to {} failed: {}", request.url, transfer.batch->trouble);
  if (!transfer.handle) return fail(ErrorCode::Unavailable, "the request to {} failed: no memory for it", request.url);
  if (transfer.stage != Transfer::Stage::Done)
    return fail(ErrorCode::Interrupted, "interrupted while waiting for {}", origin_of(request, options));
  if (transfer.body_too_large)
    return fail(ErrorCode::Protocol, "the answer to {} is larger than {} octets", request.url, transfer.max_body);
  if (transfer.headers_too_large)
    return fail(ErrorCode::Protocol, "the headers of the answer to {} are larger than {} octets", request.url,
                kMaxHeaders);
  if (transfer.code != CURLE_OK)
    return fail(transfer_error(transfer.handle.get(), transfer.code, transfer.error_text.data(), request.url,
                               origin_of(request, options)));
  return std::move(transfer.response);
}

HttpClient::HttpClient(HttpOptions options) : state_(std::make_unique<State>(std::move(options))) {}
HttpClient::~HttpClient() = default;
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;

std::vector<Result<HttpResponse>> HttpClient::perform(const std::vector<HttpRequest>& requests) {
  std::vector<Result<HttpResponse>> results;
  results.reserve(requests.size());
  if (requests.empty()) return results;
  Batch batch;
  batch.is_shielded = is_shielded();
  {
    std::lock_guard lock(state_->mutex);
    if (auto loaded = state_->load_trust(); !loaded) {
      for (std::size_t i = 0; i < requests.size(); ++i) results.emplace_back(fail(loaded.error()));
      return results;
    }
    for (const HttpRequest& request : requests) {
      batch.transfers.push_back(std::make_unique<Transfer>());
      batch.transfers.back()->batch = &batch;
      batch.transfers.back()->server = &state_->servers[origin_of(request, state_->options)];
      state_->prepare(*batch.transfers.back(), request);
    }
  }
  batch.left = requests.size();
  state_->run(batch);
  for (std::size_t i = 0; i < requests.size(); ++i) results.push_back(state_->result(*batch.transfers[i], requests[i]));
  std::lock_guard lock(state_->mutex);
  for (auto& transfer : batch.transfers) {
    if (!transfer->handle) continue;
    curl_easy_reset(transfer->handle.get());
    if (state_->idle.size() < kIdleHandles) state_->idle.push_back(std::move(transfer->handle));
  }
  return results;
}

Result<HttpResponse> HttpClient::perform(const HttpRequest& request) {
  return std::move(perform(std::vector<HttpRequest>{request}).front());
}

}  // namespace countersign::acme
