#include "zones/publisher_jobs.hpp"

namespace countersign::zones {
namespace {

template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};

}  // namespace

void refuse(GroupedJob& job, const base::Error& error) {
  std::visit([&error](auto& with_done) { with_done.done(base::fail(error)); }, job);
}

void refuse(Job& job, const base::Error& error) {
  std::visit(Overloaded{[&](GroupedJob& grouped) { refuse(grouped, error); }, [](RetireJob&) {},
                        [&](auto& with_done) { with_done.done(base::fail(error)); }},
             job);
}

std::size_t weight_of(const GroupedJob& job) {
  if (const auto* update = std::get_if<UpdateJob>(&job))
    return 1 + update->update.changes.size() + update->update.prerequisites.size();
  if (const auto* registration = std::get_if<RegistrationJob>(&job)) return 1 + registration->change.marks.size();
  return 1;
}

std::optional<base::Error> error_of(const Outcome& outcome) {
  return std::visit(
      [](const auto& result) {
        return result ? std::optional<base::Error>() : std::optional<base::Error>(result.error());
      },
      outcome);
}

Outcome apply(TxtTransaction& transaction, const GroupedJob& job, std::chrono::milliseconds lifetime) {
  return std::visit(
      Overloaded{
          [&](const ChangeJob& change) -> Outcome { return transaction.apply(change.change, lifetime); },
          [&](const UpdateJob& update) -> Outcome { return transaction.apply(update.update, lifetime); },
          [&](const RegistrationJob& registration) -> Outcome { return transaction.apply(registration.change); }},
      job);
}

void complete(const TxtTransaction& transaction, GroupedJob& job, const Outcome& outcome) {
  if (auto* update = std::get_if<UpdateJob>(&job)) return update->done(std::get<base::Result<UpdateVerdict>>(outcome));
  const auto& result = std::get<base::Result<void>>(outcome);
  if (auto* registration = std::get_if<RegistrationJob>(&job)) return registration->done(result);
  auto& change = std::get<ChangeJob>(job);
  if (!result) return change.done(base::fail(result.error()));
  change.done(transaction.values(change.change.name));
}

}  // namespace countersign::zones
