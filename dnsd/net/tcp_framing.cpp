#include "dnsd/net/tcp_framing.hpp"

#include <algorithm>
#include <cstring>

namespace countersign::dnsd {
namespace {

constexpr std::size_t kHeaderLength = 12;  // RFC 1035 §4.1.1
// Up to here what is left of the last read is copied in front of the next one, so that a client that pipelines is read
// in large steps. More is not: a message that comes octet by octet would be copied once for each of them.
constexpr std::size_t kCopyAtMost = 512;
// A long message's buffer grows with what has come, not with what was announced.
constexpr std::size_t kGrowth = 16384;

}  // namespace

base::MutableBytes TcpInput::room(base::MutableBytes shared) {
  std::size_t size = own_.size();
  if (size > kCopyAtMost) {
    own_.resize(size + std::min(size, kGrowth));
    waiting_ = base::Bytes(own_).first(size);
    return base::MutableBytes(own_).subspan(size);
  }
  std::copy(own_.begin(), own_.end(), shared.begin());
  own_.clear();
  waiting_ = shared.first(size);
  return shared.subspan(size);
}

void TcpInput::arrived(base::Bytes shared, std::size_t count) {
  std::size_t size = waiting_.size() + count;
  if (own_.empty()) {
    waiting_ = shared.first(size);
  } else {
    own_.resize(size);
    waiting_ = own_;
  }
}

TcpInput::Next TcpInput::next(base::Bytes& message) {
  if (waiting_.size() < kTcpPrefix) return Next::Incomplete;
  std::size_t length = base::load_u16(waiting_.data());
  if (length < kHeaderLength) return Next::Malformed;
  if (waiting_.size() - kTcpPrefix < length) return Next::Incomplete;
  message = waiting_.subspan(kTcpPrefix, length);
  waiting_ = waiting_.subspan(kTcpPrefix + length);
  return Next::Message;
}

void TcpInput::settle() {
  if (!own_.empty() && own_.size() == waiting_.size()) return;
  std::vector<std::byte> rest(waiting_.begin(), waiting_.end());
  own_.swap(rest);
  waiting_ = own_;
}

}  // namespace countersign::dnsd
