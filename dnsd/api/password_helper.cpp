#include "dnsd/api/password_helper.hpp"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <signal.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <charconv>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace countersign::dnsd {
namespace {

// acme-dns writes 10. 14 takes a second; an entry of 31, which takes a day, would stop the thread.
constexpr unsigned kMaxCost = 14;

bool is_bearable(std::string_view hash) {
  constexpr std::size_t kLength = 60;  // "$2a$10$", 22 of salt, 31 of digest
  if (hash.size() != kLength || hash.find('\0') != std::string_view::npos) return false;
  if (!hash.starts_with("$2a$") && !hash.starts_with("$2b$") && !hash.starts_with("$2y$")) return false;
  unsigned cost = 0;
  auto [end, error] = std::from_chars(hash.data() + 4, hash.data() + 6, cost);
  return error == std::errc{} && end == hash.data() + 6 && hash[6] == '$' && cost <= kMaxCost;
}

}  // namespace

std::string sha256_of(std::string_view text) {
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned length = 0;
  // It fails when there is no memory, or no SHA-256 in the library: nothing can be served then.
  if (EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(digest.data()), &length, EVP_sha256(),
                 nullptr) != 1)
    std::abort();
  digest.resize(length);
  return digest;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

bool verify_bcrypt(const std::string& password, const std::string& hash) {
  if (!is_bearable(hash) || password.find('\0') != std::string::npos) return false;
  auto work = std::make_unique<crypt_data>();  // 32 KiB
  const char* made = crypt_r(password.c_str(), hash.c_str(), work.get());
  bool same = made != nullptr && equal_in_constant_time(made, hash);
  OPENSSL_cleanse(work.get(), sizeof *work);
  return same;
}

class PasswordHelper::Impl {
 public:
  Impl() {
    // Signals are another thread's.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  ~Impl() { stop(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  struct Job {
    std::string password, hash;
    std::function<void(bool)> done;  // on the helper's thread
  };

  // False when there is no room; `job` is untouched then.
  bool add(Job& job) {
    {
      std::lock_guard lock(mutex_);
      if (stopping_ || jobs_.size() >= kMaxWaiting) return false;
      jobs_.push_back(std::move(job));
    }
    wake_.notify_one();
    return true;
  }

  void stop() {
    std::deque<Job> left;  // freed here, on the caller's thread, without the lock: a job may own who knows what
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      left.swap(jobs_);
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void run() {
    pthread_setname_np(pthread_self(), "passwords");
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (stopping_) return;
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      bool right = verify_bcrypt(job.password, job.hash);
      job.done(right);
      job = Job{};
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  bool stopping_ = false;
  std::thread thread_;
};

PasswordHelper::PasswordHelper() : impl_(std::make_unique<Impl>()) {}
PasswordHelper::~PasswordHelper() = default;

void PasswordHelper::stop() {
  impl_->stop();
}

asio::awaitable<base::Result<bool>> PasswordHelper::verify(asio::any_io_executor executor, std::string password,
                                                           std::string hash) {
  using Answer = base::Result<bool>;
  // Not a coroutine itself: GCC 12.2 destroys a capturing lambda in a co_await expression twice.
  return asio::async_initiate<const asio::use_awaitable_t<>, void(Answer)>(
      [impl = impl_.get(), executor = std::move(executor), password = std::move(password),
       hash = std::move(hash)](auto handler) mutable {
        using Handler = decltype(handler);
        auto kept = std::make_shared<Handler>(std::move(handler));
        // The work that is tracked keeps the loop running until the answer is there.
        auto busy = asio::prefer(executor, asio::execution::outstanding_work_t::tracked);
        Impl::Job job{std::move(password), std::move(hash), [kept, busy](bool right) {
                        asio::post(busy, [kept, right] { std::move (*kept)(Answer(right)); });
                      }};
        if (impl->add(job)) return;
        asio::post(busy, [kept] {
          std::move (*kept)(Answer(base::fail(base::ErrorCode::Unavailable, "too many passwords wait to be verified")));
        });
      },
      asio::use_awaitable);
}

}  // namespace countersign::dnsd
