// The floor of the benchmark: sends every datagram back as it came, in batches, and parses nothing. What a server costs
// beyond this is its own; the rest is the kernel's UDP path.
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/descriptor.hpp"
#include "base/socket_address.hpp"

namespace {

namespace base = countersign::base;

constexpr std::size_t kBatch = 32;
constexpr std::size_t kSize = 2048;
constexpr std::size_t kStride = kSize + 192;  // not all slots in the same sets of the cache

void reflect(int fd) {
  std::vector<std::byte> packets(kBatch * kStride);
  std::array<mmsghdr, kBatch> messages{};
  std::array<iovec, kBatch> buffers{};
  std::array<sockaddr_in6, kBatch> clients{};
  pollfd waiting{fd, POLLIN, 0};
  for (;;) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      buffers[i] = {packets.data() + i * kStride, kSize};
      messages[i].msg_hdr.msg_name = &clients[i];
      messages[i].msg_hdr.msg_namelen = sizeof clients[i];
      messages[i].msg_hdr.msg_iov = &buffers[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    int got = recvmmsg(fd, messages.data(), kBatch, MSG_DONTWAIT, nullptr);
    if (got <= 0) {
      poll(&waiting, 1, -1);
      continue;
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(got); ++i) buffers[i].iov_len = messages[i].msg_len;
    sendmmsg(fd, messages.data(), static_cast<unsigned>(got), MSG_DONTWAIT);
  }
}

}  // namespace

int main(int argc, char* argv[]) {
  auto address = base::SocketAddress::parse(argc == 2 ? argv[1] : "");
  if (!address) {
    std::fprintf(stderr, "usage: bench_dns_reflector ADDRESS:PORT\n");
    return 2;
  }
  base::Descriptor socket(::socket(address->family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  int buffer = 4 << 20;
  setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  if (!socket || bind(socket.get(), address->data(), address->size()) != 0) {
    std::fprintf(stderr, "cannot bind %s: %s\n", address->text().c_str(), std::strerror(errno));
    return 1;
  }
  std::printf("ready\n");
  std::fflush(stdout);
  reflect(socket.get());
}
