#include "dnsd/update/update_service.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>

#include "base/log.hpp"
#include "dnsd/answer/dns_constants.hpp"
#include "dnsd/net/moment.hpp"
#include "dnsd/net/tcp_framing.hpp"
#include "dnsd/update/reply.hpp"
#include "dnsd/update/update_message.hpp"

namespace countersign::dnsd {
namespace {

using zones::TxtChange;
using zones::UpdateVerdict;
using UpdateResult = base::Result<UpdateVerdict>;

// Seconds of the store's work; whoever comes then is told that we are busy.
constexpr std::size_t kMaxPending = 4096;
// A store that takes longer hangs with its disk.
constexpr std::chrono::seconds kPatience{10};
constexpr std::chrono::milliseconds kLookEvery{250};
// Anybody can send what is refused: these lines must not fill a disk.
constexpr unsigned kComplaintsAtOnce = 5;
constexpr std::chrono::seconds kComplaintPause{1};
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

std::string_view describe(TsigVerdict verdict) {
  switch (verdict) {
    case TsigVerdict::Good:
      break;
    case TsigVerdict::BadKey:
      return "no such key, or with another algorithm";
    case TsigVerdict::BadSig:
      return "the signature is wrong: another secret, or the message was changed";
    case TsigVerdict::BadTime:
      return "signed at another time: compare the clocks; or sent a second time";
    case TsigVerdict::BadTrunc:
      return "the signature is truncated";
    case TsigVerdict::Malformed:
      return "the TSIG record is malformed";
  }
  return "";
}

void log_change(const TxtChange& change, const std::string& from) {
  std::string name = change.name.text();
  switch (change.kind) {
    case TxtChange::Kind::Add:
      return base::log::info("value added", {{"who", change.owner},
                                             {"from", from},
                                             {"name", name},
                                             {"value", change.value ? change.value->text() : ""},
                                             {"by", "rfc2136"}});
    case TxtChange::Kind::Remove:
      return base::log::info("value removed", {{"who", change.owner},
                                               {"from", from},
                                               {"name", name},
                                               {"value", change.value ? change.value->text() : ""},
                                               {"by", "rfc2136"}});
    case TxtChange::Kind::RemoveAll:
      return base::log::info("values removed",
                             {{"who", change.owner}, {"from", from}, {"name", name}, {"by", "rfc2136"}});
  }
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
        begun_(now()) {}

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
    std::string from;
    base::ElapsedTime deadline{};
    Send send;  // empty: it was given up
  };

  void refuse(const Job& job, std::uint16_t rcode, std::string_view reason, const TsigContext* context);
  void finish(std::string answer, std::uint16_t rcode, const TsigContext* context, const Send& send);
  void serve_query(const Job& job, const std::string& stripped, const TsigContext* context);
  void serve_update(const Job& job, TsigContext context);
  void hand_to_store(const Job& job, TsigContext context, zones::TxtUpdate update);
  void complete(std::uint64_t number, const UpdateResult& result);
  void start_looking();
  void give_up_late_ones();
  void complain(std::string_view event, const std::string& from, std::string_view key, std::string_view reason);
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
  asio::steady_timer timer_;
  std::uint64_t begun_;  // seconds since 1970
  bool looking_ = false;
  UpdateCounters counters_;
  Counters query_counters_;
  Query query_;
  std::vector<std::byte> packet_;
  std::optional<base::ElapsedTime> complained_;
  unsigned complaints_ = 0;  // since then
  std::uint64_t unsaid_ = 0;
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
  std::string key;
  if (context != nullptr) key = context->request.key.text();
  complain(job.is_update ? kRefused : "signed query refused", job.client.text(), key, reason);
  // Names of a stranger's choice may leave no room for what they are told about them.
  if (context != nullptr && kHeaderLength + kOptLength + tsig_room(*context) > job.limit) context = nullptr;
  std::size_t room = context != nullptr ? tsig_room(*context) : 0;
  if (job.is_update) ++counters_.refused;
  finish(bare_reply(job.message, {rcode, job.edns, job.limit - room}), rcode, context, job.send);
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

void UpdateService::Impl::serve_update(const Job& job, TsigContext context) {
  const TsigRecord& request = context.request;
  ReplayWindow::Found found = window_.look(context.key->name.wire(), request.mac, request.time_signed, now());
  // What was applied before this start is forgotten: a message of that time may be a repeated one.
  if (found.verdict == ReplayWindow::Verdict::New && request.time_signed < begun_)
    found.verdict = ReplayWindow::Verdict::TooOld;
  switch (found.verdict) {
    case ReplayWindow::Verdict::New:
      break;
    case ReplayWindow::Verdict::Pending:
      ++counters_.replayed;
      return job.send({});
    case ReplayWindow::Verdict::Applied:
      ++counters_.replayed;
      return finish(bare_reply(job.message, {found.rcode, job.edns, job.limit - tsig_room(context)}), found.rcode,
                    &context, job.send);
    case ReplayWindow::Verdict::TooOld:
      ++counters_.tsig_errors;
      context.verdict = TsigVerdict::BadTime;
      return refuse(job, rcode::kNotAuth, describe(context.verdict), &context);
  }
  std::string stripped = without_tsig(job.message, request.at);
  auto parsed = parse_update(base::as_bytes(stripped), policy_->zones, *context.key);
  if (auto* refusal = std::get_if<UpdateRefusal>(&parsed))
    return refuse(job, refusal->rcode, refusal->reason, &context);
  if (waiting_.size() >= kMaxPending)
    return refuse(job, rcode::kServFail, "too many updates wait for the store", &context);
  hand_to_store(job, std::move(context), std::move(std::get<UpdateRequest>(parsed).update));
}

void UpdateService::Impl::hand_to_store(const Job& job, TsigContext context, zones::TxtUpdate update) {
  window_.note_begun(context.key->name.wire(), context.request.mac, context.request.time_signed);
  std::uint64_t number = ++last_number_;
  Waiting& waiting = waiting_[number];
  waiting.answer = bare_reply(job.message, {rcode::kNoError, job.edns, job.limit - tsig_room(context)});
  waiting.context = std::move(context);
  waiting.policy = policy_;
  waiting.changes = update.changes;
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
  std::uint16_t rcode = rcode_of(result);
  const TsigContext& context = waiting.context;
  // Also of one that was given up: should it come again, it must not be applied again.
  if (!waiting.send && rcode == rcode::kNoError)
    window_.note_begun(context.key->name.wire(), context.request.mac, context.request.time_signed);
  if (waiting.send || rcode == rcode::kNoError)
    window_.note_ended(context.key->name.wire(), context.request.mac, rcode);
  if (rcode == rcode::kNoError)
    for (const TxtChange& change : waiting.changes) log_change(change, waiting.from);
  if (!waiting.send) return;
  --unanswered_;
  ++(rcode == rcode::kNoError ? counters_.applied : counters_.refused);
  if (rcode != rcode::kNoError) complain(kRefused, waiting.from, context.key->name.text(), reason_of(result));
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
    // It may still be applied; then complete() remembers it. Until then the same may be tried again.
    const TsigContext& context = waiting.context;
    window_.note_ended(context.key->name.wire(), context.request.mac, rcode::kServFail);
    complain(kRefused, waiting.from, context.key->name.text(), "the store does not answer");
    --unanswered_;
    ++counters_.refused;
    Send send = std::exchange(waiting.send, nullptr);
    set_rcode(waiting.answer, rcode::kServFail);
    finish(std::move(waiting.answer), rcode::kServFail, &context, send);
  }
}

void UpdateService::Impl::complain(std::string_view event, const std::string& from, std::string_view key,
                                   std::string_view reason) {
  base::ElapsedTime now = clock_.elapsed();
  if (!complained_ || now - *complained_ >= kComplaintPause) {
    complained_ = now;
    complaints_ = 0;
  }
  if (complaints_ >= kComplaintsAtOnce) {
    ++unsaid_;
    return;
  }
  ++complaints_;
  std::string who = key.empty() ? "unsigned" : "key:" + std::string(key);
  base::log::warn(event, {{"who", std::move(who)},
                          {"from", from},
                          {"reason", std::string(reason)},
                          {"suppressed", std::to_string(std::exchange(unsaid_, 0))}});
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
