#include "dnsd/api/store_view.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/log.hpp"

namespace countersign::dnsd {
namespace {

constexpr std::string_view kLate = "the store does not answer; its disk may hang";

}  // namespace

// Apart from the view, because a late answer may come after it is gone.
struct StoreView::Memory {
  std::optional<zones::StoreSnapshot> last;
  unsigned late = 0;  // questions that were given up and not answered since
};

struct StoreView::Question {
  Question(const asio::any_io_executor& executor, std::shared_ptr<Memory> with_memory)
      : patience(executor), memory(std::move(with_memory)) {}
  void hear(base::Result<zones::StoreSnapshot> taken) {
    if (given_up) --memory->late;
    if (taken) memory->last = *taken;
    answer = std::move(taken);
    patience.cancel();
  }
  asio::steady_timer patience;
  std::shared_ptr<Memory> memory;
  std::optional<base::Result<zones::StoreSnapshot>> answer;
  bool given_up = false;
};

StoreView::StoreView(asio::any_io_executor executor, zones::Publisher& publisher, std::chrono::milliseconds patience)
    : executor_(std::move(executor)), publisher_(publisher), patience_(patience), memory_(std::make_shared<Memory>()) {
  static_cast<void>(put());
}

std::shared_ptr<StoreView::Question> StoreView::put() {
  auto question = std::make_shared<Question>(executor_, memory_);
  // The work that is tracked keeps the loop running until the answer is there.
  auto busy = asio::prefer(executor_, asio::execution::outstanding_work_t::tracked);
  publisher_.snapshot([question, busy](base::Result<zones::StoreSnapshot> taken) {
    asio::post(busy, [question, taken = std::move(taken)]() mutable { question->hear(std::move(taken)); });
  });
  return question;
}

StoreReport StoreView::without(std::string problem) const {
  return {memory_->last, std::move(problem)};
}

asio::awaitable<StoreReport> StoreView::ask() {
  // Scrapes go on while a disk hangs: they must not fill the publisher's queue, nor wait each.
  if (memory_->late > 0) co_return without(std::string(kLate));
  std::shared_ptr<Question> question = put();
  question->patience.expires_after(patience_);
  auto waited = co_await question->patience.async_wait(kAsTuple);
  static_cast<void>(waited);
  if (!question->answer) {
    question->given_up = true;
    if (memory_->late++ == 0)
      base::log::warn("the store does not answer; its disk may hang",
                      {{"milliseconds", std::to_string(patience_.count())}});
    co_return without(std::string(kLate));
  }
  if (!*question->answer) co_return without(question->answer->error().message);
  co_return StoreReport(memory_->last, {});
}

}  // namespace countersign::dnsd
