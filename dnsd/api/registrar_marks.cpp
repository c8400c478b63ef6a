#include "dnsd/api/registrar_marks.hpp"

#include <algorithm>
#include <boost/asio/any_io_executor.hpp>
#include <utility>

#include "dnsd/api/publisher_async.hpp"

namespace countersign::dnsd {

zones::RegistrationChange UseMarks::slice(std::size_t count) const {
  zones::RegistrationChange change;
  change.kind = zones::RegistrationChange::Kind::MarkUsed;
  change.marks.assign(untold_.end() - static_cast<std::ptrdiff_t>(count), untold_.end());
  return change;
}

asio::awaitable<void> UseMarks::tell() {
  if (std::exchange(telling_, true)) co_return;
  untold_ = registry_.take_marks();
  while (!untold_.empty()) {
    std::size_t count = std::min(untold_.size(), kAtOnce);
    zones::RegistrationChange change = slice(count);
    base::Result<void> done = co_await change_registration(executor_, publisher_, std::move(change));
    if (!done) {
      // The store has said itself what is wrong; the next minute tries again.
      registry_.mark_again(untold_);
      untold_.clear();
      break;
    }
    untold_.resize(untold_.size() - std::min(count, untold_.size()));  // flush() may have taken all
  }
  telling_ = false;
}

void UseMarks::flush() {
  // Twice does no harm: a mark only ever grows.
  std::vector<zones::UsedMark> latest = registry_.take_marks();
  untold_.insert(untold_.end(), latest.begin(), latest.end());
  while (!untold_.empty()) {
    std::size_t count = std::min(untold_.size(), kAtOnce);
    publisher_.change_registration(slice(count), [](const base::Result<void>&) {});
    untold_.resize(untold_.size() - count);
  }
}

}  // namespace countersign::dnsd
