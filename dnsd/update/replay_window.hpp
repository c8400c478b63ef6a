// Remembers which signed updates were judged, so that a repeated datagram, a retransmission or an attack, is answered
// and not applied a second time: what was added and removed since would come back (RFC 8945 §10.1). One that was
// refused could be applied later, when its prerequisites hold. Thread: the control thread.
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

  // What `key` signed at `time_signed` or before may have been applied by an earlier process: it is too old.
  void set_mark(std::string_view key, std::uint64_t time_signed);

  enum class Verdict {
    New,       // note_begun() it
    Pending,   // the same is being applied: say nothing, its answer is on the way
    GivenUp,   // the same, but it was answered already: SERVFAIL
    Answered,  // answer `rcode` again
    TooOld,    // signed before what is remembered: BADTIME
  };
  struct Found {
    Verdict verdict = Verdict::New;
    std::uint16_t rcode = 0;
  };
  // `mac`: the request's, which nobody but the key's holder can make twice. `time_signed`, `now`: seconds since 1970,
  // no further apart than kMaxFudge.
  [[nodiscard]] Found look(std::string_view key, std::string_view mac, std::uint64_t time_signed, std::uint64_t now);
  void note_begun(std::string_view key, std::string_view mac, std::uint64_t time_signed, std::uint64_t now);
  // It may still be applied: note_ended() will tell.
  void note_given_up(std::string_view key, std::string_view mac);
  // After SERVFAIL, with which nothing was applied, the same is New again for ten seconds from its first arrival.
  void note_ended(std::string_view key, std::string_view mac, std::uint16_t rcode);

 private:
  struct Memory;
  std::unique_ptr<Memory> memory_;
};

}  // namespace countersign::dnsd
