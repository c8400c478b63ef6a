#include "dnsd/net/udp_batch.hpp"

#include <cerrno>
#include <cstring>

#include "dnsd/answer/dns_constants.hpp"
#include "dnsd/net/moment.hpp"

namespace countersign::dnsd {
namespace {

// The answer's source has to be the query's destination: of what came with the query, only that goes back with the
// answer. The interface is left to the routing table, which may know a better way; only a link-local address means
// nothing without one.
void keep_destination(msghdr& message) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
    if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
      reinterpret_cast<in_pktinfo*>(CMSG_DATA(control))->ipi_ifindex = 0;
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
      auto* info = reinterpret_cast<in6_pktinfo*>(CMSG_DATA(control));
      if (!IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr)) info->ipi6_ifindex = 0;
    } else {
      continue;
    }
    std::size_t length = control->cmsg_len;
    std::memmove(message.msg_control, control, length);
    message.msg_controllen = CMSG_ALIGN(length);
    return;
  }
  message.msg_controllen = 0;
}

}  // namespace

UdpBatch::UdpBatch() : packets_(kSlots * kStride) {
  for (std::size_t i = 0; i < kSlots; ++i) {
    queries_[i].packet = packets_.data() + i * kStride;
    queries_[i].capacity = kSlotSize;
    queries_[i].transport = Transport::Udp;
    queries_[i].client = reinterpret_cast<const sockaddr*>(&clients_[i]);
    buffers_[i] = {queries_[i].packet, kSlotSize};
    msghdr& message = messages_[i].msg_hdr;
    message.msg_name = &clients_[i];
    message.msg_namelen = sizeof(clients_[i]);
    message.msg_iov = &buffers_[i];
    message.msg_iovlen = 1;
    message.msg_control = controls_[i].octets.data();
    message.msg_controllen = kControlSize;
  }
}

std::size_t UdpBatch::receive(int fd, UdpCounters& counters) {
  for (std::size_t i = 0; i < used_; ++i) {
    buffers_[i].iov_len = kSlotSize;
    messages_[i].msg_hdr.msg_namelen = sizeof(clients_[i]);
    messages_[i].msg_hdr.msg_controllen = kControlSize;
  }
  int got = recvmmsg(fd, messages_.data(), kSlots, MSG_DONTWAIT, nullptr);
  used_ = got > 0 ? static_cast<std::size_t>(got) : 0;
  if (got < 0 && errno != EAGAIN && errno != EINTR) counters.receive_errors.add();
  for (std::size_t i = 0; i < used_; ++i) {
    msghdr& message = messages_[i].msg_hdr;
    if (message.msg_controllen != 0) keep_destination(message);
    queries_[i].length = messages_[i].msg_len;
    if ((message.msg_flags & MSG_TRUNC) != 0) {
      // Not dropped: a query that gets no answer makes resolvers believe that the server is dead (RFC 8906 §3). Its
      // header without the question it promises is a format error, and the answer cannot amplify anything.
      queries_[i].length = kHeaderLength;
      counters.cut.add();
    }
  }
  return used_;
}

void UdpBatch::answer(const Responder& responder, Counters& counters, SeenRing* ring) {
  Moment moment = read_moment();
  for (std::size_t i = 0; i < used_; ++i) queries_[i].moment = moment;
  // Three passes: while one query's slot or node is on its way from memory, the others are worked on.
  for (std::size_t i = 0; i < used_; ++i) responder.parse(queries_[i], counters);
  for (std::size_t i = 0; i < used_; ++i) responder.find(queries_[i]);
  for (std::size_t i = 0; i < used_; ++i) {
    Seen seen;
    buffers_[i].iov_len = responder.compose(queries_[i], counters, seen);
    if (ring != nullptr && !seen.name.empty()) {
      const msghdr& message = messages_[i].msg_hdr;
      ring->push(static_cast<const sockaddr*>(message.msg_name), message.msg_namelen, Transport::Udp, seen);
    }
  }
}

std::size_t UdpBatch::send(int fd, UdpCounters& counters, DeferredRing& deferred) {
  std::size_t at = 0;
  std::size_t count = 0;
  while (at < used_) {
    if (buffers_[at].iov_len == 0) {
      if (queries_[at].fate == Query::Fate::Deferred && defer(fd, at, deferred)) ++count;
      ++at;
      continue;
    }
    std::size_t end = at + 1;
    while (end < used_ && buffers_[end].iov_len != 0) ++end;
    at = send_run(fd, at, end, counters);
  }
  return count;
}

bool UdpBatch::defer(int fd, std::size_t slot, DeferredRing& deferred) const {
  static_assert(kSlotSize <= DeferredDatagram::kMaxSize);
  const msghdr& message = messages_[slot].msg_hdr;
  base::Bytes octets(queries_[slot].packet, queries_[slot].length);
  if (message.msg_controllen > DatagramOrigin::kMaxControl) return false;
  DeferredDatagram* datagram = deferred.reserve();
  if (datagram == nullptr) return false;
  DatagramOrigin& origin = datagram->origin;
  origin.socket = fd;
  origin.client = clients_[slot];
  origin.client_length = message.msg_namelen;
  origin.control_length = static_cast<std::uint16_t>(message.msg_controllen);
  std::memcpy(origin.control.data(), controls_[slot].octets.data(), message.msg_controllen);
  datagram->length = static_cast<std::uint16_t>(octets.size());
  std::memcpy(datagram->octets.data(), octets.data(), octets.size());
  deferred.commit();
  return true;
}

std::size_t UdpBatch::send_run(int fd, std::size_t begin, std::size_t end, UdpCounters& counters) {
  while (begin < end) {
    // Never waits: with the device's queue full, dropping is what the network would do, and those behind need not wait.
    int sent = sendmmsg(fd, &messages_[begin], static_cast<unsigned>(end - begin), MSG_DONTWAIT);
    if (sent > 0) {
      begin += static_cast<std::size_t>(sent);
    } else if (errno != EINTR) {
      // The error is the first packet's; those behind it have not been tried.
      counters.send_errors.add();
      ++begin;
    }
  }
  return end;
}

}  // namespace countersign::dnsd
