#include "dnsd/api/control_message.hpp"

#include "dnsd/api/documents.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;

struct Words {
  unsigned status;
  std::string_view code;
};

Words words_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::Usage:
    case ErrorCode::Invalid:
    case ErrorCode::Protocol:
      return {400, "invalid"};
    case ErrorCode::Denied:
    case ErrorCode::Refused:
      return {403, "denied"};
    case ErrorCode::NotFound:
      return {404, "not_found"};
    case ErrorCode::Full:
      return {409, "full"};
    case ErrorCode::Exists:
      return {409, "exists"};
    case ErrorCode::Unavailable:
    case ErrorCode::Timeout:
    case ErrorCode::Interrupted:
    case ErrorCode::Io:
      return {503, "unavailable"};
  }
  return {500, "internal"};
}

}  // namespace

ApiResponse error_response(unsigned status, std::string_view code, std::string_view message) {
  return ApiResponse(status, error_document(code, message));
}

ApiResponse error_response(const base::Error& error) {
  Words words = words_of(error.code);
  return error_response(words.status, words.code, error.message);
}

}  // namespace countersign::dnsd
