#include "acme/protocol/session.hpp"

#include <algorithm>
#include <deque>

#include "acme/protocol/busy.hpp"
#include "acme/protocol/jws.hpp"
#include "acme/protocol/problem.hpp"
#include "acme/transport/interrupt.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Milliseconds = std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

// RFC 8555 §6.5 wants a retry and gives no limit. A test CA refuses every second nonce: at 50 names, 30 retries fail
// once in ten million runs; a CA that refuses all of them costs 31 requests.
constexpr unsigned kMaxNonceRetries = 30;

std::string explain(const Post& post, const std::string& reason) {
  return fmt::format("{} ({}): {}", post.what, post.url, reason);
}

}  // namespace

struct Session::Pending {
  std::size_t index = 0;
  unsigned nonce_refusals = 0;
  unsigned busy_answers = 0;
};

struct Session::Batch {
  const std::vector<Post>& posts;
  std::vector<std::optional<Result<HttpResponse>>> answers;
  std::deque<Pending> waiting;
  Milliseconds delay{0};  // before the next wave
};

Result<Session> Session::open(const std::string& directory_url, HttpOptions options) {
  if (auto checked = check_acme_url(directory_url); !checked) return fail(checked.error());
  HttpClient http(std::move(options));
  auto directory = fetch_directory(http, directory_url);
  if (!directory) return fail(directory.error());
  return Session(std::move(http), *std::move(directory));
}

void Session::prefetch_nonces(std::size_t count) {
  NoncePool fresh;
  static_cast<void>(ask_for_nonces(std::min(count, kWindow), fresh));
  std::lock_guard lock(*nonces_mutex_);
  nonces_.add(std::move(fresh));
}

void Session::keep_nonce(const HttpResponse& answer) {
  std::lock_guard lock(*nonces_mutex_);
  nonces_.keep(answer, SteadyClock::now());
}

Result<HttpResponse> Session::ask_for_nonces(std::size_t count, NoncePool& pool) {
  HttpRequest request;
  request.method = HttpRequest::Method::Head;  // RFC 8555 §7.2
  request.url = directory_.new_nonce;
  auto answers = http_.perform(std::vector<HttpRequest>(count, request));
  for (const auto& answer : answers)
    if (answer) pool.keep(*answer, SteadyClock::now());
  return std::move(answers.front());
}

Result<std::vector<std::string>> Session::take_nonces(std::size_t count) {
  count = std::min(count, kWindow);
  std::vector<std::string> taken;
  {
    std::lock_guard lock(*nonces_mutex_);
    while (taken.size() < count) {
      auto nonce = nonces_.take(SteadyClock::now());
      if (!nonce) break;
      taken.push_back(*std::move(nonce));
    }
  }
  for (unsigned tries = 0; taken.size() < count; ++tries) {
    NoncePool fresh;
    auto answer = ask_for_nonces(count - taken.size(), fresh);
    while (auto nonce = fresh.take(SteadyClock::now())) taken.push_back(*std::move(nonce));
    // Fewer than wanted only make a wave smaller.
    if (!taken.empty()) return taken;
    if (auto delay = busy_delay(answer, tries)) {
      if (!sleep_unless_interrupted(*delay)) return fail(ErrorCode::Interrupted, "interrupted");
      continue;
    }
    if (!answer) return fail(answer.error().code, "newNonce: {}", answer.error().message);
    if (answer->status < 300)
      return fail(ErrorCode::Protocol, "newNonce ({}): no usable Replay-Nonce in the answer", directory_.new_nonce);
    Problem problem = problem_of(*answer);
    return fail(problem.code(), "newNonce ({}): {}", directory_.new_nonce, problem.describe());
  }
  return taken;
}

Result<HttpRequest> Session::sign(const Post& post, std::string nonce) {
  if (auto checked = check_resource_url(post.url, directory_); !checked)
    return fail(ErrorCode::Protocol, "{}: {}", post.what, checked.error().message);
  JwsHeader header;
  header.url = post.url;
  header.nonce = std::move(nonce);
  if (post.signer == Post::Signer::Account) header.account_url = account_url_;
  auto body = sign_jws(*key_, header, post.payload);
  if (!body) return fail(body.error());
  HttpRequest request;
  request.method = HttpRequest::Method::Post;
  request.url = post.url;
  request.max_body = post.max_body;
  request.headers = {{"Content-Type", "application/jose+json"}, {"Accept-Language", "en"}};
  if (!post.accept.empty()) request.headers.emplace_back("Accept", post.accept);
  request.body = *std::move(body);
  return request;
}

std::vector<Result<HttpResponse>> Session::post(const std::vector<Post>& posts) {
  Batch batch{posts, std::vector<std::optional<Result<HttpResponse>>>(posts.size()), {}, Milliseconds(0)};
  for (std::size_t i = 0; i < posts.size(); ++i) batch.waiting.push_back({i, 0, 0});
  while (!batch.waiting.empty()) run_wave(batch);
  std::vector<Result<HttpResponse>> results;
  results.reserve(posts.size());
  for (auto& answer : batch.answers) results.push_back(*std::move(answer));
  return results;
}

Result<HttpResponse> Session::post(const Post& single) {
  return std::move(post(std::vector<Post>{single}).front());
}

void Session::run_wave(Batch& batch) {
  bool go_on = sleep_unless_interrupted(batch.delay);
  batch.delay = Milliseconds(0);
  auto nonces = go_on ? take_nonces(batch.waiting.size())
                      : Result<std::vector<std::string>>(fail(ErrorCode::Interrupted, "interrupted"));
  if (!nonces) {
    for (const Pending& pending : batch.waiting) batch.answers[pending.index] = fail(nonces.error());
    batch.waiting.clear();
    return;
  }
  std::vector<Pending> wave;
  std::vector<HttpRequest> requests;
  for (std::string& nonce : *nonces) {
    Pending pending = batch.waiting.front();
    batch.waiting.pop_front();
    auto request = sign(batch.posts[pending.index], std::move(nonce));
    if (!request) {
      batch.answers[pending.index] = fail(request.error());
      continue;
    }
    wave.push_back(pending);
    requests.push_back(*std::move(request));
  }
  auto answers = http_.perform(requests);
  for (const auto& answer : answers)
    if (answer) keep_nonce(*answer);
  for (std::size_t i = 0; i < wave.size(); ++i) settle(batch, wave[i], std::move(answers[i]));
}

// Keeps the answer, or puts the request back among the waiting ones.
void Session::settle(Batch& batch, const Pending& pending, Result<HttpResponse> answer) {
  const Post& post = batch.posts[pending.index];
  auto& place = batch.answers[pending.index];
  if (auto delay = busy_delay(answer, pending.busy_answers)) {
    Pending next = pending;
    ++next.busy_answers;
    batch.delay = std::max(batch.delay, *delay);
    batch.waiting.push_back(next);
    return;
  }
  if (!answer) {
    place = fail(answer.error().code, "{}: {}", post.what, answer.error().message);
    return;
  }
  if (answer->status >= 200 && answer->status < 300) {
    place = std::move(answer);
    return;
  }
  Problem problem = problem_of(*answer);
  if (problem.is("badNonce") && pending.nonce_refusals < kMaxNonceRetries) {
    Pending next = pending;
    ++next.nonce_refusals;
    // In front, so that the wave's other requests do not delay it.
    batch.waiting.push_front(next);
    return;
  }
  place = fail(problem.code(), "{}", explain(post, problem.describe()));
  if (post.problem != nullptr) *post.problem = std::move(problem);
}

}  // namespace countersign::acme
