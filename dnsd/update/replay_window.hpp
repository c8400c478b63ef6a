// Remembers which signed updates were applied, so that a repeated datagram, a retransmission or an attack, is answered
// and not applied a second time: what was added and removed since would come back (RFC 8945 §10.1). Thread: the control
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace countersign::dnsd {

class ReplayWindow {
 public:
  explicit ReplayWindow(std::size_t capacity = 65'536);
  ~ReplayWindow();

  enum class Verdict {
    New,      // note_begun() it
    Pending,  // the same is being applied: say nothing, its answer is on the way
    Applied,  // answer `rcode` again
    TooOld,   // signed before what had to be forgotten for room: BADTIME
  };
  struct Found {
    Verdict verdict = Verdict::New;
    std::uint16_t rcode = 0;
  };
  // `mac`: the request's, which nobody but the key's holder can make twice. `time_signed`, `now`: seconds since 1970.
  [[nodiscard]] Found look(std::string_view key, std::string_view mac, std::uint64_t time_signed, std::uint64_t now);
  void note_begun(std::string_view key, std::string_view mac, std::uint64_t time_signed);
  // NOERROR is remembered; anything else is forgotten, because nothing was applied and the same may be tried again.
  void note_ended(std::string_view key, std::string_view mac, std::uint16_t rcode);

 private:
  struct Memory;
  std::unique_ptr<Memory> memory_;
};

}  // namespace countersign::dnsd
