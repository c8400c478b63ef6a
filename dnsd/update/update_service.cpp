#include "dnsd/update/update_service.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>

#include "dnsd/answer/dns_constants.hpp"
#include "dnsd/net/moment.hpp"
#include "dnsd/net/tcp_framing.hpp"
#include "dnsd/update/reply.hpp"
#include "dnsd/update/update_log.hpp"
#include "dnsd/update/update_message.hpp"

namespace countersign::dnsd {
namespace {

using zones::TxtChange;
using zones::UpdateVerdict;
using UpdateResult = base::Result<UpdateVerdict>;

// Seconds of the store's work; whoever comes then is told that we are busy. One message may bring a thousand records.
constexpr std::size_t kMaxPending = 4096;
constexpr std::size_t kMaxWork = 32'768;
// A store that takes longer hangs with its disk.
constexpr std::chrono::seconds kPatience{10};
constexpr std::chrono::milliseconds kLookEvery{250};
constexpr std::string_view kRefused = "update refused";

std::uint16_t rcode_of(const UpdateResult& result) {
  if (!result) return result.error().code == base::ErrorCode::Unavailable ? rcode::kServFail : rcode::kRefused;
  switch (*result) {
    case UpdateVerdict::Done:
      return rcode::kNoError;
    case UpdateVerdict::NxDomain:
      return rcode::kNxDomain;
    case UpdateVerdict::YxDomain:
      return rcode::kYxDomain;
    case UpdateVerdict::NxRrset:
      return rcode::kNxRrset;
    case UpdateVerdict::YxRrset:
      return rcode::kYxRrset;
  }
  return rcode::kServFail;
}

std::string reason_of(const UpdateResult& result) {
  return result ? "a prerequisite does not hold" : result.error().message;
}

std::size_t work_of(const zones::TxtUpdate& update) {
  return update.prerequisites.size() + update.changes.size();
}

// Counted by the thread that deferred the message.
bool counted_on_arrival(base::Counter Counters::* counter) {
  return counter == &Counters::queries_udp || counter == &Counters::queries_tcp || counter == &Counters::edns ||
         counter == &Counters::cookies_valid || counter == &Counters::cookies_invalid ||
         counter == &Counters::cookies_client;
}

base::Counter* counter_of(Counters& counters, std::uint16_t code) {
  switch (code) {
    case rcode::kNoError:
      return &counters.noerror;
    case rcode::kFormErr:
      return &counters.formerr;
    case rcode::kNxDomain:
      return &counters.nxdomain;
    case rcode::kRefused:
      return &counters.refused;
    case rcode::kNotAuth:
      return &counters.notauth;
    case rcode::kBadVers:
      return &counters.badvers;
    default:
      return nullptr;
  }
}

}  // namespace

class UpdateService::Impl {
 public:
  Impl(asio::any_io_executor executor, zones::Publisher& publisher, const Responder& responder,
       zones::Epochs::Reader& reader, const base::Clock& clock)
      : executor_(std::move(executor)),
        publisher_(publisher),
        responder_(responder),
        reader_(reader),
        clock_(clock),
        timer_(executor_),
        complaints_(clock) {
    for (const zones::SignedMark& mark : publisher.signed_marks()) window_.set_mark(mark.key, mark.time_signed);
  }

  void use(std::shared_ptr<const UpdatePolicy> policy) {
    if (policy) policy_ = std::move(policy);
  }
  void serve(base::Bytes message, const base::SocketAddress& client, Transport transport, Send send);

  [[nodiscard]] std::size_t pending() const { return unanswered_; }
  [[nodiscard]] const UpdateCounters& counters() const { return counters_; }
  [[nodiscard]] const Counters& query_counters() const { return query_counters_; }

 private:
  // A message while it is looked at.
  struct Job {
    base::Bytes message;
    const base::SocketAddress& client;
    Transport transport;
    Send& send;
    bool is_update = false;
    bool edns = false;
    std::size_t limit = 0;
  };
  // An update that is with the store.
  struct Waiting {
    std::string answer;  // all but its RCODE and signature
    TsigContext context;
    std::shared_ptr<const UpdatePolicy> policy;  // the context's key is one of its
    std::vector<TxtChange> changes;
    std::size_t work = 0;  // prerequisites and changes
    std::string from;
    base::ElapsedTime deadline{};
    Send send;  // empty: it was given up
  };

  void refuse(const Job& job, std::uint16_t rcode, std::string_view reason, const TsigContext* context);
  // Of an update that is Good: it is not judged anew when it comes again.
  void refuse_for_good(const Job& job, std::uint16_t rcode, std::string_view reason, const TsigContext& context);
  void slip(const Job& job, std::uint16_t rcode);
  void finish(std::string answer, std::uint16_t rcode, const TsigContext* context, const Send& send);
  void serve_query(const Job& job, const std::string& stripped, const TsigContext* context);
  void answer_again(const Job& job, std::uint16_t rcode, const TsigContext& context);
  void serve_update(const Job& job, TsigContext context);
  void hand_to_store(const Job& job, TsigContext context, zones::TxtUpdate update);
  void complete(std::uint64_t number, const UpdateResult& result);
  void start_looking();
  void give_up_late_ones();
  [[nodiscard]] std::uint64_t now() const;

  asio::any_io_executor executor_;
  zones::Publisher& publisher_;
  const Responder& responder_;
  zones::Epochs::Reader& reader_;
  const base::Clock& clock_;
  std::shared_ptr<const UpdatePolicy> policy_ = std::make_shared<UpdatePolicy>();
  ReplayWindow window_;
  std::map<std::uint64_t, Waiting> waiting_;  // the oldest first, and so the first deadline
  std::uint64_t last_number_ = 0;
  std::size_t unanswered_ = 0;  // of waiting_
  std::size_t work_ = 0;        // of waiting_
  asio::steady_timer timer_;
  bool looking_ = false;
  UpdateCounters counters_;
  Counters query_counters_;
  Query query_;
  std::vector<std::byte> packet_;
  Complaints complaints_;
  // For completions that come when the service is gone. Asked only on its thread.
  std::shared_ptr<Impl*> self_ = std::make_shared<Impl*>(this);
};

std::uint64_t UpdateService::Impl::now() const {
  auto since = std::chrono::duration_cast<std::chrono::seconds>(clock_.wall().time_since_epoch()).count();
  return since < 0 ? 0 : static_cast<std::uint64_t>(since);
}

void UpdateService::Impl::serve(base::Bytes message, const base::SocketAddress& client, Transport transport,
                                Send send) {
  if (message.size() < kHeaderLength) return send({});
  std::uint16_t flags = base::load_u16(message.data() + 2);
  // Never answered, or two servers could talk for ever.
  if ((flags & header::kQr) != 0) return send({});
  Job job{message, client, transport, send};
  job.is_update = (flags & header::kOpcode) == opcode::kUpdate;
  job.limit = transport == Transport::Tcp ? kTcpMaxMessage : kMinUdpPayload;
  ++(job.is_update ? counters_.updates : counters_.signed_queries);
  std::optional<std::uint8_t> version = find_edns_version(message);
  job.edns = version.has_value();
  auto record = find_tsig(message);
  if (!record) return refuse(job, rcode::kFormErr, record.error().message, nullptr);
  if (!*record) {
    if (job.is_update) return refuse(job, rcode::kRefused, "it is not signed", nullptr);
    return serve_query(job, std::string(base::as_text(message)), nullptr);
  }
  TsigContext context = verify_tsig(message, std::move(**record), policy_->keys, now());
  if (context.verdict == TsigVerdict::Malformed)
    return refuse(job, rcode::kFormErr, describe(context.verdict), nullptr);
  if (context.verdict != TsigVerdict::Good) {
    ++counters_.tsig_errors;
    return refuse(job, rcode::kNotAuth, describe(context.verdict), &context);
  }
  if (!job.is_update) return serve_query(job, without_tsig(message, context.request.at), &context);
  if (version.value_or(0) != 0) return refuse(job, rcode::kBadVers, "its EDNS version is unknown", &context);
  serve_update(job, std::move(context));
}

// An error; `context` signs it.
void UpdateService::Impl::refuse(const Job& job, std::uint16_t rcode, std::string_view reason,
                                 const TsigContext* context) {
  if (job.is_update) ++counters_.refused;
  // A message that was signed once may be anybody's until its time is known to be good.
  bool proved = context != nullptr && context->verdict == TsigVerdict::Good;
  if (job.transport == Transport::Udp && !proved) {
    RateLimiter::Verdict verdict = RateLimiter::Verdict::Pass;
    {
      zones::ReadScope scope(reader_);
      verdict = responder_.judge_error(*job.client.data(), rcode, read_moment().elapsed_us);
    }
    if (verdict != RateLimiter::Verdict::Pass) query_counters_.rate_limited.add();
    if (verdict == RateLimiter::Verdict::Slip) return slip(job, rcode);
    if (verdict == RateLimiter::Verdict::Drop) {
      query_counters_.dropped_rate.add();
      complaints_.swallow();
      return job.send({});
    }
  }
  std::string key;
  if (context != nullptr) key = context->request.key.text();
  complaints_.say(job.is_update ? kRefused : "signed query refused", job.client.text(), key, reason);
  // Names of a stranger's choice may leave no room for what they are told about them.
  if (context != nullptr && kHeaderLength + kOptLength + tsig_room(*context) > job.limit) context = nullptr;
  std::size_t room = context != nullptr ? tsig_room(*context) : 0;
  finish(bare_reply(job.message, {rcode, job.edns, job.limit - room}), rcode, context, job.send);
}

void UpdateService::Impl::refuse_for_good(const Job& job, std::uint16_t rcode, std::string_view reason,
                                          const TsigContext& context) {
  window_.note_begun(context.key->name.wire(), context.request.mac, context.request.time_signed, now());
  window_.note_ended(context.key->name.wire(), context.request.mac, rcode);
  refuse(job, rcode, reason, &context);
}

// As the responder does with errors: without the TSIG record, so that it is smaller than what it answers.
void UpdateService::Impl::slip(const Job& job, std::uint16_t rcode) {
  query_counters_.slipped.add();
  complaints_.swallow();
  finish(bare_reply(job.message, {rcode, job.edns, job.limit}), rcode, nullptr, job.send);
}

void UpdateService::Impl::finish(std::string answer, std::uint16_t rcode, const TsigContext* context,
                                 const Send& send) {
  query_counters_.responses.add();
  if (base::Counter* counter = counter_of(query_counters_, rcode)) counter->add();
  if (context != nullptr) append_tsig(answer, *context, now());
  send(std::move(answer));
}

// `context`: null when the query was not signed after all.
void UpdateService::Impl::serve_query(const Job& job, const std::string& stripped, const TsigContext* context) {
  packet_.resize(kTcpMaxMessage);
  std::copy_n(base::as_bytes(stripped).begin(), stripped.size(), packet_.begin());
  query_.packet = packet_.data();
  query_.capacity = packet_.size();
  query_.length = stripped.size();
  query_.client = job.client.data();
  query_.moment = read_moment();
  query_.transport = job.transport;
  Counters counted;
  Seen seen;
  std::size_t room = context != nullptr ? tsig_room(*context) : 0;
  std::size_t limit = 0;
  std::size_t length = 0;
  {
    zones::ReadScope scope(reader_);
    responder_.parse(query_, counted);
    limit = query_.limit;
    query_.limit = static_cast<std::uint16_t>(limit - std::min(room, limit - kHeaderLength));
    responder_.find(query_);
    length = responder_.compose(query_, counted, seen);
  }
  for (const CounterRow& row : kCounterTable)
    if (!counted_on_arrival(row.counter)) (query_counters_.*row.counter).add((counted.*row.counter).read());
  std::string answer(base::as_text(base::Bytes(packet_).first(length)));
  if (context != nullptr && length > 0) {
    // RFC 8945 §5.3: what does not fit with its signature goes out cut short, and signed.
    if (length + room > limit) cut_short(answer, limit - std::min(room, limit));
    append_tsig(answer, *context, now());
  }
  job.send(std::move(answer));
}

void UpdateService::Impl::answer_again(const Job& job, std::uint16_t rcode, const TsigContext& context) {
  ++counters_.replayed;
  finish(bare_reply(job.message, {rcode, job.edns, job.limit - tsig_room(context)}), rcode, &context, job.send);
}

void UpdateService::Impl::serve_update(const Job& job, TsigContext context) {
  const TsigRecord& request = context.request;
  ReplayWindow::Found found = window_.look(context.key->name.wire(), request.mac, request.time_signed, now());
  switch (found.verdict) {
    case ReplayWindow::Verdict::New:
      break;
    case ReplayWindow::Verdict::Pending:
      ++counters_.replayed;
      return job.send({});
    case ReplayWindow::Verdict::GivenUp:
    case ReplayWindow::Verdict::Answered:
      return answer_again(job, found.rcode, context);
    case ReplayWindow::Verdict::TooOld:
      ++counters_.tsig_errors;
      context.verdict = TsigVerdict::BadTime;
      return refuse(job, rcode::kNotAuth, describe(context.verdict), &context);
  }
  std::string stripped = without_tsig(job.message, request.at);
  auto parsed = parse_update(base::as_bytes(stripped), policy_->zones, *context.key);
  if (auto* refusal = std::get_if<UpdateRefusal>(&parsed))
    return refuse_for_good(job, refusal->rcode, refusal->reason, context);
  zones::TxtUpdate& update = std::get<UpdateRequest>(parsed).update;
  if (waiting_.size() >= kMaxPending || work_ + work_of(update) > kMaxWork)
    return refuse_for_good(job, rcode::kServFail, "too many updates wait for the store", context);
  hand_to_store(job, std::move(context), std::move(update));
}

void UpdateService::Impl::hand_to_store(const Job& job, TsigContext context, zones::TxtUpdate update) {
  const TsigRecord& request = context.request;
  window_.note_begun(context.key->name.wire(), request.mac, request.time_signed, now());
  update.signed_by = zones::SignedMark{std::string(context.key->name.wire()), request.time_signed};
  std::uint64_t number = ++last_number_;
  Waiting& waiting = waiting_[number];
  waiting.answer = bare_reply(job.message, {rcode::kNoError, job.edns, job.limit - tsig_room(context)});
  waiting.context = std::move(context);
  waiting.policy = policy_;
  waiting.changes = update.changes;
  waiting.work = work_of(update);
  work_ += waiting.work;
  waiting.from = job.client.text();
  waiting.deadline = clock_.elapsed() + kPatience;
  waiting.send = std::move(job.send);
  ++unanswered_;
  start_looking();
  // Tracked, so that the loop runs until the store has answered.
  auto busy = asio::prefer(executor_, asio::execution::outstanding_work_t::tracked);
  publisher_.update(std::move(update), [weak = std::weak_ptr(self_), number, busy](UpdateResult result) {
    asio::post(busy, [weak, number, result = std::move(result)] {
      if (auto self = weak.lock()) (*self)->complete(number, result);
    });
  });
}

void UpdateService::Impl::complete(std::uint64_t number, const UpdateResult& result) {
  auto found = waiting_.find(number);
  if (found == waiting_.end()) return;
  Waiting waiting = std::move(found->second);
  waiting_.erase(found);
  work_ -= waiting.work;
  std::uint16_t rcode = rcode_of(result);
  const TsigContext& context = waiting.context;
  // Also of one that was given up.
  window_.note_ended(context.key->name.wire(), context.request.mac, rcode);
  if (rcode == rcode::kNoError)
    for (const TxtChange& change : waiting.changes) log_change(change, waiting.from);
  if (!waiting.send) return;
  --unanswered_;
  ++(rcode == rcode::kNoError ? counters_.applied : counters_.refused);
  if (rcode != rcode::kNoError) complaints_.say(kRefused, waiting.from, context.key->name.text(), reason_of(result));
  set_rcode(waiting.answer, rcode);
  finish(std::move(waiting.answer), rcode, &context, waiting.send);
  if (unanswered_ == 0) timer_.cancel();
}

void UpdateService::Impl::start_looking() {
  if (looking_) return;
  looking_ = true;
  timer_.expires_after(kLookEvery);
  timer_.async_wait([weak = std::weak_ptr(self_)](boost::system::error_code) {
    auto self = weak.lock();
    if (!self) return;
    (*self)->looking_ = false;
    (*self)->give_up_late_ones();
    if ((*self)->unanswered_ > 0) (*self)->start_looking();
  });
}

void UpdateService::Impl::give_up_late_ones() {
  base::ElapsedTime now = clock_.elapsed();
  for (auto& [number, waiting] : waiting_) {
    if (waiting.deadline > now) return;
    if (!waiting.send) continue;
    // It may still be applied. Tried again behind what its client does next, it would undo that.
    const TsigContext& context = waiting.context;
    window_.note_given_up(context.key->name.wire(), context.request.mac);
    complaints_.say(kRefused, waiting.from, context.key->name.text(), "the store does not answer");
    --unanswered_;
    ++counters_.refused;
    Send send = std::exchange(waiting.send, nullptr);
    set_rcode(waiting.answer, rcode::kServFail);
    finish(std::move(waiting.answer), rcode::kServFail, &context, send);
  }
}

UpdateService::UpdateService(asio::any_io_executor executor, zones::Publisher& publisher, const Responder& responder,
                             zones::Epochs::Reader& reader, const base::Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(executor), publisher, responder, reader, clock)) {}

UpdateService::~UpdateService() = default;

void UpdateService::use(std::shared_ptr<const UpdatePolicy> policy) {
  impl_->use(std::move(policy));
}

void UpdateService::serve(base::Bytes message, const base::SocketAddress& client, Transport transport, Send send) {
  impl_->serve(message, client, transport, std::move(send));
}

std::size_t UpdateService::pending() const {
  return impl_->pending();
}

const UpdateCounters& UpdateService::counters() const {
  return impl_->counters();
}

const Counters& UpdateService::query_counters() const {
  return impl_->query_counters();
}

DeferredInbox::Handler connect_service(UpdateService& service, TcpServer& server) {
  server.set_deferred_handler(
      [&service](base::Bytes message, const base::SocketAddress& client, UpdateService::Send send) {
        service.serve(message, client, Transport::Tcp, std::move(send));
      });
  return [&service](const DeferredDatagram& datagram) {
    const DatagramOrigin& origin = datagram.origin;
    auto client = base::SocketAddress::from(reinterpret_cast<const sockaddr*>(&origin.client), origin.client_length);
    service.serve(datagram.message(), client, Transport::Udp, [origin](const std::string& answer) {
      if (!answer.empty()) send_datagram(origin, base::as_bytes(answer));
    });
  };
}

}  // namespace countersign::dnsd
