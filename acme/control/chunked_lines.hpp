// An HTTP/1.1 answer without end (RFC 9112 §7.1) cut into its lines: feed it what arrives, take the lines out.
// Bounded: an overlong line, chunk header or head ends the stream.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace countersign::acme {

class ChunkedLines {
 public:
  // Complete lines that `octets` ended, without their line feeds; empty ones are left out.
  [[nodiscard]] std::vector<std::string> feed(std::string_view octets);
  // The stream is over: its last chunk came, or it is not what was asked for.
  [[nodiscard]] bool ended() const { return stage_ == Stage::Ended; }
  // The status of the answer, 0 until its head is complete.
  [[nodiscard]] unsigned status() const { return status_; }

 private:
  enum class Stage { Head, Size, Data, DataEnd, Raw, Ended };

  void take_head_line();
  void take_size_line();
  // Collects one line of the protocol's own in partial_; true when it is complete.
  bool collect(std::string_view& octets, std::size_t limit);
  void take_data(std::string_view data, std::vector<std::string>& lines);

  Stage stage_ = Stage::Head;
  std::string partial_;  // a line of the head or a chunk header
  std::size_t head_octets_ = 0;
  unsigned status_ = 0;
  bool chunked_ = false;
  std::uint64_t left_ = 0;  // octets of the chunk still to come
  std::string line_;        // of the body, not complete yet
};

}  // namespace countersign::acme
