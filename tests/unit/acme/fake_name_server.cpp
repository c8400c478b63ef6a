#include "tests/unit/acme/fake_name_server.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <sstream>
#include <stdexcept>

#include "base/wire.hpp"

namespace countersign::test {
namespace {

using acme::dns::RecordType;

base::SocketAddress parsed(const std::string& text, std::uint16_t port = 0) {
  auto address = port == 0 ? base::SocketAddress::parse(text) : base::SocketAddress::parse(text, port);
  if (!address) throw std::runtime_error(address.error().message);
  return *address;
}

base::Name name_of(const std::string& text) {
  auto name = base::Name::parse(text);
  if (!name) throw std::runtime_error(name.error().message);
  return *name;
}

std::uint16_t type_of(const std::string& text) {
  for (auto type :
       {RecordType::A, RecordType::Ns, RecordType::Cname, RecordType::Soa, RecordType::Txt, RecordType::Aaaa})
    if (acme::dns::type_text(type) == text) return static_cast<std::uint16_t>(type);
  throw std::runtime_error("no type " + text);
}

std::string rdata(RecordType type, const std::string& text) {
  switch (type) {
    case RecordType::A:
    case RecordType::Aaaa: {
      auto address = parsed(type == RecordType::Aaaa ? "[" + text + "]" : text, 1);
      const auto* raw = reinterpret_cast<const char*>(address.data());
      return type == RecordType::A ? std::string(raw + offsetof(sockaddr_in, sin_addr), 4)
                                   : std::string(raw + offsetof(sockaddr_in6, sin6_addr), 16);
    }
    case RecordType::Ns:
    case RecordType::Cname:
      return std::string(name_of(text).wire());
    case RecordType::Soa:
      return std::string(name_of("ns." + text).wire()) + std::string(name_of("hostmaster." + text).wire()) +
             std::string(20, '\0');
    case RecordType::Txt: {
      std::string out;
      for (std::size_t i = 0; i < text.size(); i += 255) {
        std::string part = text.substr(i, 255);
        out += static_cast<char>(part.size()) + part;
      }
      return out;
    }
  }
  return "";
}

void put_record(base::WireWriter& writer, const std::string& line) {
  std::istringstream words(line);
  std::string owner;
  std::string type;
  std::string data;
  words >> owner >> type;
  std::getline(words >> std::ws, data);
  std::string bytes = rdata(static_cast<RecordType>(type_of(type)), data);
  writer.bytes(base::as_bytes(name_of(owner).wire()));
  writer.u16(type_of(type));
  writer.u16(1);
  writer.u32(1);
  writer.u16(static_cast<std::uint16_t>(bytes.size()));
  writer.bytes(base::as_bytes(bytes));
}

}  // namespace

std::string reply_to(const Asked& asked, const Says& says) {
  std::vector<std::byte> buffer(60'000);
  base::WireWriter writer(buffer);
  base::WireReader query(base::as_bytes(asked.message));
  writer.u16(query.u16());
  writer.u16(static_cast<std::uint16_t>(0x8000U | (says.aa ? 0x400U : 0U) | (says.tc ? 0x200U : 0U) |
                                        (asked.recursion ? 0x100U : 0U) | (says.ra ? 0x80U : 0U) | (says.rcode & 15U)));
  writer.u16(1);
  writer.u16(static_cast<std::uint16_t>(says.answer.size()));
  writer.u16(static_cast<std::uint16_t>(says.authority.size()));
  writer.u16(static_cast<std::uint16_t>(says.additional.size() + (asked.edns ? 1 : 0)));
  writer.bytes(base::as_bytes(name_of(asked.name).wire()));
  writer.u16(asked.type);
  writer.u16(1);
  for (const auto* section : {&says.answer, &says.authority, &says.additional})
    for (const std::string& line : *section) put_record(writer, line);
  if (asked.edns) {
    writer.u8(0);
    writer.u16(41);
    writer.u16(1232);
    writer.u32(0);
    std::size_t option = says.ede ? 6 + says.ede->second.size() : 0;
    writer.u16(static_cast<std::uint16_t>(option));
    if (says.ede) {
      writer.u16(15);
      writer.u16(static_cast<std::uint16_t>(option - 4));
      writer.u16(says.ede->first);
      writer.bytes(base::as_bytes(says.ede->second));
    }
  }
  if (!writer.ok()) throw std::runtime_error("the reply does not fit");
  return std::string(base::as_text(base::Bytes(buffer).first(writer.position())));
}

FakeNameServer::FakeNameServer(Handler handler, const std::string& address) : handler_(std::move(handler)) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) throw std::runtime_error("pipe");
  stop_read_ = base::Descriptor(ends[0]);
  stop_write_ = base::Descriptor(ends[1]);
  // The same port for both transports: another process may have one of them, so a few are tried.
  for (int tries = 0; tries < 20; ++tries) {
    address_ = parsed(address + ":0");
    udp_ = base::Descriptor(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    tcp_ = base::Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    socklen_t length = address_.size();
    if (::bind(udp_.get(), address_.data(), length) != 0) throw std::runtime_error("bind");
    if (::getsockname(udp_.get(), address_.data(), &length) != 0) throw std::runtime_error("getsockname");
    if (::bind(tcp_.get(), address_.data(), length) != 0) continue;
    if (::listen(tcp_.get(), 16) != 0) continue;
    thread_ = std::thread([this] { run(); });
    return;
  }
  throw std::runtime_error("no free port");
}

FakeNameServer::~FakeNameServer() {
  stop_write_.close();
  thread_.join();
}

std::vector<Asked> FakeNameServer::log() const {
  std::lock_guard lock(mutex_);
  return log_;
}

std::vector<std::string> FakeNameServer::handle(std::string message, Via via) {
  Asked asked;
  base::WireReader reader(base::as_bytes(message));
  reader.skip(2);
  asked.recursion = (reader.u16() & 0x100U) != 0;
  reader.skip(6);
  asked.edns = reader.u16() == 1;
  for (std::uint8_t length = reader.u8(); length != 0 && reader.ok(); length = reader.u8()) {
    if (!asked.name.empty()) asked.name += '.';
    asked.name += base::as_text(reader.bytes(length));
  }
  asked.type = reader.u16();
  asked.via = via;
  asked.message = std::move(message);
  std::lock_guard lock(mutex_);
  log_.push_back(asked);
  return handler_(asked);
}

void FakeNameServer::run() {
  for (;;) {
    std::array<pollfd, 3> entries{{{udp_.get(), POLLIN, 0}, {tcp_.get(), POLLIN, 0}, {stop_read_.get(), POLLIN, 0}}};
    ::poll(entries.data(), entries.size(), -1);
    if (entries[2].revents != 0) return;
    if (entries[0].revents != 0) serve_datagram();
    if (entries[1].revents != 0) serve_connection();
  }
}

void FakeNameServer::serve_datagram() {
  std::array<char, 4096> buffer;
  base::SocketAddress peer;
  socklen_t length = peer.size();
  ssize_t count = ::recvfrom(udp_.get(), buffer.data(), buffer.size(), 0, peer.data(), &length);
  if (count < 0) return;
  for (const std::string& reply : handle({buffer.data(), static_cast<std::size_t>(count)}, Via::Udp))
    ::sendto(udp_.get(), reply.data(), reply.size(), 0, peer.data(), length);
}

void FakeNameServer::serve_connection() {
  base::Descriptor connection(::accept(tcp_.get(), nullptr, nullptr));
  if (!connection) return;
  std::array<char, 4096> buffer;
  std::size_t have = 0;
  auto want = [&] { return have < 2 ? 2U : 2U + base::load_u16(reinterpret_cast<const std::byte*>(buffer.data())); };
  while (have < want()) {
    ssize_t count = ::recv(connection.get(), buffer.data() + have, buffer.size() - have, 0);
    if (count <= 0) return;
    have += static_cast<std::size_t>(count);
  }
  for (const std::string& reply : handle({buffer.data() + 2, have - 2}, Via::Tcp)) {
    std::string framed(2, '\0');
    base::store_u16(reinterpret_cast<std::byte*>(framed.data()), static_cast<std::uint16_t>(reply.size()));
    framed += reply;
    // In two pieces: readers have to put them together.
    ::send(connection.get(), framed.data(), 1, MSG_NOSIGNAL);
    ::send(connection.get(), framed.data() + 1, framed.size() - 1, MSG_NOSIGNAL);
  }
}

base::SocketAddress closed_port() {
  base::Descriptor probe(::socket(AF_INET, SOCK_DGRAM, 0));
  auto address = parsed("127.0.0.1:0");
  socklen_t length = address.size();
  if (::bind(probe.get(), address.data(), length) != 0 || ::getsockname(probe.get(), address.data(), &length) != 0)
    throw std::runtime_error("no port");
  return address;
}

FakeNameServer::Handler table(std::map<std::string, Says> entries) {
  return [entries = std::move(entries)](const Asked& asked) -> std::vector<std::string> {
    auto found =
        entries.find(asked.name + " " + std::string(acme::dns::type_text(static_cast<RecordType>(asked.type))));
    if (found != entries.end()) return {reply_to(asked, found->second)};
    return {reply_to(asked, Says{.rcode = acme::dns::kNxDomain, .authority = {"example.test SOA example.test"}})};
  };
}

}  // namespace countersign::test
