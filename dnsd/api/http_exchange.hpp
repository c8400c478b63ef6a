// HTTP/1.1 (RFC 9112) without a socket: requests out of octets as they come, responses into octets.
#pragma once

#include <boost/beast/http/basic_parser.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "dnsd/api/http_message.hpp"

namespace countersign::dnsd {

struct HttpLimits {
  std::uint32_t header = 8192;  // octets, with the request line
  std::uint32_t body = 4096;
};

// Why a request cannot be answered as it is: a status, and the word for {"error": "..."}.
struct HttpFailure {
  unsigned status;
  std::string_view word;
};
[[nodiscard]] HttpResponse to_response(HttpFailure failure);

// One request; a new one for the next.
class HttpReader {
 public:
  explicit HttpReader(HttpLimits limits = {});

  // How many of the octets were used; those that are left belong before the ones that come next. Not again after
  // is_done() or failure().
  [[nodiscard]] std::size_t read(std::string_view octets);
  // An octet of the request has been used, or waits in what read() left.
  [[nodiscard]] bool is_begun() const { return begun_; }
  [[nodiscard]] bool is_done() const { return !failure_ && parser_.is_done(); }
  [[nodiscard]] const std::optional<HttpFailure>& failure() const { return failure_; }

  // The client sends its body when it has got a 100 (RFC 9110 §10.1.1). True once.
  [[nodiscard]] bool take_wish_to_continue();
  [[nodiscard]] bool keep_alive() const { return parser_.keep_alive(); }
  [[nodiscard]] unsigned version() const { return parser_.version; }  // 10 or 11
  [[nodiscard]] bool is_head() const { return parser_.head; }
  // A HEAD has become a GET, whose body to_octets() leaves out; of "http://host/path" the path is left.
  [[nodiscard]] HttpRequest take_request() { return std::move(parser_.request); }

 private:
  // Only the fields that the API knows are kept.
  struct Parser : boost::beast::http::basic_parser<true> {
    using Field = boost::beast::http::field;
    using Verb = boost::beast::http::verb;
    using Text = boost::beast::string_view;
    using ErrorCode = boost::beast::error_code;

    void on_request_impl(Verb verb, Text method, Text target, int number, ErrorCode& error) override;
    void on_response_impl(int, Text, int, ErrorCode&) override {}
    void on_field_impl(Field field, Text name, Text value, ErrorCode& error) override;
    void on_header_impl(ErrorCode&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>&, ErrorCode&) override {}
    std::size_t on_body_impl(Text octets, ErrorCode& error) override;
    void on_chunk_header_impl(std::uint64_t, Text, ErrorCode&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, Text octets, ErrorCode& error) override;
    void on_finish_impl(ErrorCode&) override {}

    HttpRequest request;
    unsigned version = 11;
    unsigned hosts = 0;
    bool head = false;
    bool other_coding = false;  // a transfer coding that is not "chunked" alone
    bool has_coding = false;
    bool expects_continue = false;
  };

  void check_header();

  Parser parser_;
  HttpLimits limits_;
  std::size_t header_octets_ = 0;
  std::optional<HttpFailure> failure_;
  bool begun_ = false;
  bool wish_taken_ = false;
};

// What stands before a body that is to come.
inline constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

enum class AfterResponse { Keep, Close };
enum class ResponseBody { Sent, LeftOut };  // LeftOut: RFC 9110 §9.3.2, the answer to a HEAD

// Appends header and body. `version` is the request's. Fields with control characters are left out.
void to_octets(const HttpResponse& response, unsigned version, AfterResponse after, ResponseBody body,
               std::string& octets);

}  // namespace countersign::dnsd
