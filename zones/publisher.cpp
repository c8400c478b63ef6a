#include "zones/publisher.hpp"

#include <malloc.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <thread>

#include "base/log.hpp"
#include "zones/generation.hpp"
#include "zones/publisher_jobs.hpp"
#include "zones/txt_transaction.hpp"

namespace countersign::zones {
namespace {

using base::ErrorCode;
using base::fail;
using base::Name;
using base::Result;
using std::chrono::milliseconds;

// More than any sane load leaves waiting; beyond it callers are told at once instead of after a long queue.
constexpr std::size_t kMaxWaiting = 65'536;
// Changes of one transaction: large enough that the disk's sync is shared by many, small enough to stay below 0.1 s.
constexpr std::int64_t kMaxGroup = 4096;
// The wall clock is compared this often at least; also the longest sleep.
constexpr milliseconds kLongestSleep{60'000};
constexpr milliseconds kRetryAfterFailure{1'000};
// What readers may still have seen is freed soon, also when no update follows: after a reload it is a whole table.
constexpr milliseconds kRetireTick{20};
// Slewing by NTP stays below this; a step does not.
constexpr milliseconds kClockStep{2'000};

TxtLimits limits_of(const conf::Config& config) {
  return {static_cast<std::uint32_t>(config.challenge.ttl.count()), config.challenge.max_values,
          config.dns.max_udp_payload};
}

}  // namespace

class Publisher::Impl {
 public:
  Impl(Store store, const conf::Config& config, NameTable& table, const base::Clock& clock)
      : store_(std::move(store)), table_(table), lifetime_(config.challenge.lifetime), clock_(clock) {}

  ~Impl() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
    // The thread's last completions may have retired something more.
    for (Job& job : waiting_) {
      if (auto* retire = std::get_if<RetireJob>(&job)) table_.epochs().retire(retire->object, retire->free);
    }
  }

  Result<void> load(Registry& registry);
  // At the start and at each reload; an error leaves everything as it was. True when it wrote serials.
  Result<bool> fill(std::vector<StaticZone> zones, TxtLimits limits);
  void start() {
    // Signals are another thread's: here they would only interrupt the disk's work.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  void enqueue(Job job);
  [[nodiscard]] const std::vector<SignedMark>& signed_marks() const { return signed_marks_; }

 private:
  void run();
  void run_jobs(std::deque<Job>& jobs);
  void run_group(std::vector<GroupedJob>& group);
  void run_list_registrations(const ListRegistrationsJob& job);
  void run_list(const ListJob& job);
  void run_snapshot(const SnapshotJob& job);
  void run_reload(ReloadJob& job);
  void follow_clock();
  void prune();
  void prune_in_memory();
  void retry();
  [[nodiscard]] milliseconds sleep_time();
  void note_failure(const base::Error& error);
  void note_success();

  Store store_;
  NameTable& table_;
  std::unique_ptr<ZoneRecords> records_;
  std::vector<StoredSerial> serials_;
  std::vector<SignedMark> signed_marks_;
  milliseconds lifetime_;
  LifetimeClock clock_;
  std::int64_t pruned_until_ = INT64_MIN;  // deadlines that memory, but not the disk, has done with
  StoreSnapshot counts_;                   // commits, prunes, store_ok, store_error

  std::mutex mutex_;  // guards the three below
  std::condition_variable wake_;
  std::deque<Job> waiting_;
  bool stopping_ = false;
  std::thread thread_;
};

void Publisher::Impl::enqueue(Job job) {
  std::string_view why;
  {
    std::lock_guard lock(mutex_);
    bool refusable = !std::holds_alternative<RetireJob>(job);  // nobody else could free it
    if (refusable && stopping_)
      why = "the server is shutting down; try again when it is back";
    else if (refusable && waiting_.size() >= kMaxWaiting)
      why = "too many updates are waiting for the disk; try again later";
    else
      waiting_.push_back(std::move(job));
  }
  if (why.empty())
    wake_.notify_one();
  else
    refuse(job, {ErrorCode::Unavailable, std::string(why)});
}

Result<void> Publisher::Impl::load(Registry& registry) {
  auto count = store_.count_registrations();
  if (!count) return fail(count.error());
  counts_.registrations = *count;
  constexpr std::int64_t kAll = -1;  // no LIMIT
  auto marks = store_.signed_marks();
  if (!marks) return fail(marks.error());
  signed_marks_ = std::move(*marks);
  return store_.each_registration("", kAll, [&](const Registration& registration) { registry.put(registration); });
}

Result<bool> Publisher::Impl::fill(std::vector<StaticZone> zones, TxtLimits limits) {
  auto made = build_generation(store_, std::move(zones), limits, table_, clock_.now());
  if (!made) return fail(made.error());
  if (auto stored = store_serials(store_, *made); !stored) {
    if (records_) note_failure(stored.error());  // at the start it is the start's own error
    return fail(stored.error());
  }
  bool wrote = made->must_store();
  made->records->take_over(std::move(records_));
  records_ = std::move(made->records);
  serials_ = std::move(made->serials);
  // What the making needed lies in holes between what it made; the C library keeps them unless it is asked.
  malloc_trim(0);
  return wrote;
}

milliseconds Publisher::Impl::sleep_time() {
  if (!counts_.store_ok) return kRetryAfterFailure;
  auto deadline = store_.next_deadline();
  if (!deadline) return kRetryAfterFailure;
  milliseconds longest = table_.epochs().waiting() > 0 ? kRetireTick : kLongestSleep;
  if (!*deadline) return longest;
  milliseconds left(**deadline - to_milliseconds(clock_.now()));
  return std::clamp(left, milliseconds(1), longest);
}

void Publisher::Impl::run() {
  for (;;) {
    std::deque<Job> jobs;
    bool stopping = false;
    milliseconds sleep = sleep_time();
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, sleep, [this] { return stopping_ || !waiting_.empty(); });
      jobs.swap(waiting_);
      stopping = stopping_;
    }
    follow_clock();
    prune();
    retry();
    run_jobs(jobs);
    // After all acknowledgements: freeing what a reload replaced takes a while.
    table_.epochs().reclaim();
    if (stopping) return;
  }
}

void Publisher::Impl::run_jobs(std::deque<Job>& jobs) {
  std::vector<GroupedJob> group;
  std::size_t weight = 0;
  auto flush = [&] {
    if (!group.empty()) run_group(group);
    group.clear();
    weight = 0;
  };
  for (Job& job : jobs) {
    if (auto* grouped = std::get_if<GroupedJob>(&job)) {
      group.push_back(std::move(*grouped));
      weight += weight_of(group.back());
      if (weight >= static_cast<std::size_t>(kMaxGroup)) flush();
      continue;
    }
    flush();  // whoever asks sees what was submitted before
    if (auto* list = std::get_if<ListJob>(&job)) run_list(*list);
    if (auto* list = std::get_if<ListRegistrationsJob>(&job)) run_list_registrations(*list);
    if (auto* snapshot = std::get_if<SnapshotJob>(&job)) run_snapshot(*snapshot);
    if (auto* reload = std::get_if<ReloadJob>(&job)) run_reload(*reload);
    if (auto* retire = std::get_if<RetireJob>(&job)) table_.epochs().retire(retire->object, retire->free);
  }
  flush();
}

void Publisher::Impl::run_group(std::vector<GroupedJob>& group) {
  TxtTransaction transaction(store_, *records_, serials_, clock_.now());
  std::vector<Outcome> outcomes;
  outcomes.reserve(group.size());
  std::optional<base::Error> failure;
  for (const GroupedJob& job : group) {
    outcomes.push_back(apply(transaction, job, lifetime_));
    auto error = error_of(outcomes.back());
    if (!error || error->code != ErrorCode::Unavailable) continue;
    failure = std::move(error);
    break;
  }
  if (!failure) {
    if (auto finished = transaction.finish(); !finished) failure = finished.error();
  }
  if (failure) {
    transaction.abandon();
    note_failure(*failure);
  } else if (transaction.wrote()) {
    ++counts_.commits;
    counts_.registrations += static_cast<std::uint64_t>(transaction.registrations());
    note_success();
  }
  for (std::size_t i = 0; i < group.size(); ++i) {
    // Of a group that failed only what is wrong whatever the others did: a name taken by one that was undone is free.
    auto error = i < outcomes.size() ? error_of(outcomes[i]) : std::nullopt;
    bool stands = error && (error->code == ErrorCode::NotFound || error->code == ErrorCode::Invalid);
    if (failure && !stands)
      refuse(group[i], *failure);
    else
      complete(transaction, group[i], outcomes[i]);
  }
}

void Publisher::Impl::run_list_registrations(const ListRegistrationsJob& job) {
  std::vector<Registration> found;
  auto read = store_.each_registration(job.after, static_cast<std::int64_t>(job.limit),
                                       [&](Registration registration) { found.push_back(std::move(registration)); });
  if (!read) return job.done(fail(read.error()));
  job.done(std::move(found));
}

void Publisher::Impl::run_list(const ListJob& job) {
  std::vector<PublishedValue> found;
  std::int64_t now = to_milliseconds(clock_.now());
  auto add = [&](const Name& name, const StoredValue& value) {
    if ((value.expires && *value.expires <= now) || !records_->has_place(name.wire())) return;
    PublishedValue published{name, value.value, value.owner, std::nullopt};
    if (value.expires) published.expires = from_milliseconds(*value.expires);
    found.push_back(std::move(published));
  };
  if (!job.name) {
    auto read = store_.each(add);
    if (!read) return job.done(fail(read.error()));
    return job.done(std::move(found));
  }
  auto values = store_.values(*job.name);
  if (!values) return job.done(fail(values.error()));
  for (const StoredValue& value : *values) add(*job.name, value);
  job.done(std::move(found));
}

void Publisher::Impl::run_snapshot(const SnapshotJob& job) {
  StoreSnapshot snapshot = counts_;
  for (std::size_t i = 0; i < records_->zone_count(); ++i) {
    ValueCount count = records_->count(i);
    snapshot.zones.push_back({records_->zone(i).apex, serials_[i].serial, count.names, count.values});
    snapshot.values += count.values;
  }
  job.done(std::move(snapshot));
}

void Publisher::Impl::run_reload(ReloadJob& job) {
  auto filled = fill(std::move(job.zones), job.limits);
  if (!filled) return job.done(fail(filled.error()));
  lifetime_ = job.lifetime;
  if (*filled) {
    ++counts_.commits;
    note_success();
  }
  job.done({});
}

void Publisher::Impl::follow_clock() {
  milliseconds drift = clock_.drift();
  if (drift > -kClockStep && drift < kClockStep) return;
  // The clock was set: what is left of each lifetime stays, told in the new time.
  auto shifted = store_.begin();
  if (shifted) shifted = store_.shift_deadlines(drift.count(), to_milliseconds(clock_.now() + drift));
  if (shifted) shifted = store_.commit();
  if (!shifted) {
    store_.rollback();
    note_failure(shifted.error());
    return;  // deadlines go on in the old time until this succeeds
  }
  clock_.follow(drift);
  pruned_until_ = INT64_MIN;  // it was told in the old time
  ++counts_.commits;
  note_success();
  base::log::info("the clock was set; deadlines moved with it", {{"milliseconds", std::to_string(drift.count())}});
}

void Publisher::Impl::prune() {
  for (;;) {
    TxtTransaction transaction(store_, *records_, serials_, clock_.now());
    auto pruned = transaction.prune(kMaxGroup);
    if (pruned && *pruned == 0) return;
    auto finished = pruned ? transaction.finish() : Result<void>(fail(pruned.error()));
    if (!finished) {
      transaction.abandon();
      note_failure(finished.error());
      prune_in_memory();
      return;
    }
    counts_.prunes += *pruned;
    pruned_until_ = INT64_MIN;
    ++counts_.commits;
    note_success();
    if (*pruned < static_cast<std::size_t>(kMaxGroup)) return;
  }
}

// A quiet server has nothing else to write, and would call its disk full for ever.
void Publisher::Impl::retry() {
  if (!counts_.store_ok && store_.probe()) note_success();
}

// The disk cannot forget them now, but nobody is told of them any more.
void Publisher::Impl::prune_in_memory() {
  std::int64_t now = to_milliseconds(clock_.now());
  constexpr std::int64_t kAll = -1;  // no LIMIT
  auto expired = store_.expired(pruned_until_, now, kAll);
  if (!expired) return;
  pruned_until_ = now;
  for (const auto& row : *expired) {
    if (!row.ours || !records_->has_place(row.ours->wire())) continue;
    if (auto values = store_.values(*row.ours)) records_->publish(*row.ours, unexpired(*values, now));
  }
}

void Publisher::Impl::note_failure(const base::Error& error) {
  if (counts_.store_ok) base::log::error("the store cannot write; updates are refused", {{"reason", error.message}});
  counts_.store_ok = false;
  counts_.store_error = error.message;
}

void Publisher::Impl::note_success() {
  if (!counts_.store_ok) base::log::info("the store writes again");
  counts_.store_ok = true;
}

Result<std::unique_ptr<Publisher>> Publisher::open(const std::filesystem::path& folder, const conf::Config& config,
                                                   std::vector<StaticZone> zones, NameTable& table, Registry& registry,
                                                   const base::Clock& clock) {
  auto store = Store::open(folder / "store.sqlite3");
  if (!store) return fail(store.error());
  auto impl = std::make_unique<Impl>(std::move(*store), config, table, clock);
  if (auto filled = impl->fill(std::move(zones), limits_of(config)); !filled) return fail(filled.error());
  if (auto loaded = impl->load(registry); !loaded) return fail(loaded.error());
  impl->start();
  return std::unique_ptr<Publisher>(new Publisher(std::move(impl)));
}

Publisher::Publisher(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Publisher::~Publisher() = default;

void Publisher::submit(TxtChange change, ChangeCompletion done) {
  impl_->enqueue(GroupedJob(ChangeJob{std::move(change), std::move(done)}));
}

void Publisher::update(TxtUpdate update, UpdateCompletion done) {
  impl_->enqueue(GroupedJob(UpdateJob{std::move(update), std::move(done)}));
}

const std::vector<SignedMark>& Publisher::signed_marks() const {
  return impl_->signed_marks();
}

void Publisher::change_registration(RegistrationChange change, RegistrationCompletion done) {
  impl_->enqueue(GroupedJob(RegistrationJob{std::move(change), std::move(done)}));
}

void Publisher::list_registrations(std::string after, std::size_t limit, RegistrationsCompletion done) {
  impl_->enqueue(ListRegistrationsJob{std::move(after), limit, std::move(done)});
}

void Publisher::list(std::optional<Name> name, ListCompletion done) {
  impl_->enqueue(ListJob{std::move(name), std::move(done)});
}

void Publisher::snapshot(SnapshotCompletion done) {
  impl_->enqueue(SnapshotJob{std::move(done)});
}

void Publisher::reload(const conf::Config& config, std::vector<StaticZone> zones, ReloadCompletion done) {
  impl_->enqueue(ReloadJob{limits_of(config), config.challenge.lifetime, std::move(zones), std::move(done)});
}

void Publisher::retire(void* object, void (*free)(void*)) {
  impl_->enqueue(RetireJob{object, free});
}

}  // namespace countersign::zones
