// One client of the stream of challenge queries: a bounded queue of lines between SeenStream and its connection.
// Thread: the control thread.
#pragma once

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <memory>
#include <string>

#include "dnsd/api/control_api.hpp"
#include "dnsd/net/seen_stream.hpp"

namespace countersign::dnsd {

using ControlStream = boost::beast::basic_stream<asio::local::stream_protocol>;

enum class HttpFraming { Chunked, UntilClose };  // HTTP/1.1, HTTP/1.0

class QuerySession {
 public:
  QuerySession(ControlStream& stream, SeenStream& seen, QueryFilter filter, HttpFraming framing);
  QuerySession(const QuerySession&) = delete;
  QuerySession& operator=(const QuerySession&) = delete;

  // Writes the head at once and lines as they come, until the client goes away or stop() is called.
  [[nodiscard]] asio::awaitable<void> run();
  void stop() { end_->set(); }

 private:
  void take(const SeenEvent& event, base::WallTime time);
  void watch_client();
  [[nodiscard]] std::string frame(std::string text) const;

  ControlStream& stream_;
  SeenStream& seen_;
  QueryFilter filter_;
  HttpFraming framing_;
  // Apart, because the wait for the client's end may complete after this object's own.
  struct End {
    explicit End(const asio::any_io_executor& executor) : wake(executor) {}
    void set() {
      reached = true;
      wake.cancel();
    }
    asio::steady_timer wake;
    bool reached = false;
  };
  std::shared_ptr<End> end_;
  std::string waiting_;  // lines
};

}  // namespace countersign::dnsd
