#include "base/log.hpp"

#include <poll.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>

namespace countersign::base::log {
namespace {

// Lossy: a stderr that nobody reads must not stop the thread that answers TCP, the control socket and SIGTERM.
class StderrSink final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (lost_ > 0 && !tell_lost(message.logger_name)) {
      ++lost_;
      return;
    }
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    if (!put({line.data(), line.size()})) ++lost_;
  }
  void flush_() override {}

 private:
  [[nodiscard]] bool tell_lost(spdlog::string_view_t logger_name) {
    std::string text =
        format_line("log lines were lost: stderr was not read in time", {{"lines", std::to_string(lost_)}});
    spdlog::memory_buf_t line;
    formatter_->format(spdlog::details::log_msg(logger_name, spdlog::level::warn, text), line);
    if (!put({line.data(), line.size()})) return false;
    lost_ = 0;
    return true;
  }

  // All of it, or false: nothing, or a part that the next line does not continue.
  [[nodiscard]] bool put(std::string_view text) {
    std::string whole;
    if (torn_) {
      whole = "\n" + std::string(text);
      text = whole;
    }
    bool begun = false;
    while (!text.empty()) {
      ssize_t wrote = put_some(text);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) {
        torn_ = torn_ || begun;
        return false;
      }
      begun = true;
      text.remove_prefix(static_cast<std::size_t>(wrote));
    }
    torn_ = false;
    return true;
  }

  [[nodiscard]] static ssize_t put_some(std::string_view text) {
    ssize_t sent = send(STDERR_FILENO, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0 || errno != ENOTSOCK) return sent;
    // The descriptor may be shared with other processes, so it cannot be made non-blocking. A pipe that is writable has
    // room for PIPE_BUF octets (pipe(7)); files always are, a terminal is unless it was stopped.
    pollfd ready{STDERR_FILENO, POLLOUT, 0};
    if (poll(&ready, 1, 0) < 0) return -1;
    if ((ready.revents & POLLOUT) == 0) return 0;
    return ::write(STDERR_FILENO, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
  }

  bool torn_ = false;  // the last line that went out has no end
  std::uint64_t lost_ = 0;
};

std::shared_ptr<spdlog::logger> make_logger() {
  auto made = std::make_shared<spdlog::logger>("countersign", std::make_shared<StderrSink>());
  // journald stamps each line itself and tells us so (systemd.exec, JOURNAL_STREAM).
  bool journald = std::getenv("JOURNAL_STREAM") != nullptr;
  made->set_pattern(journald ? "level=%l %v" : "time=%Y-%m-%dT%H:%M:%S.%eZ level=%l %v",
                    spdlog::pattern_time_type::utc);
  made->set_level(spdlog::level::info);
  made->flush_on(spdlog::level::trace);
  return made;
}

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = make_logger();
  return *instance;
}

void append_value(std::string& line, std::string_view value) {
  bool plain = !value.empty();
  for (char c : value) plain = plain && c > ' ' && c <= '~' && c != '"' && c != '=' && c != '\\';
  if (plain) {
    line += value;
    return;
  }
  line.push_back('"');
  for (char c : value) {
    if (c == '"' || c == '\\') {
      line += {'\\', c};
    } else if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') {
      line += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));  // a newline must not forge a line
    } else {
      line.push_back(c);
    }
  }
  line.push_back('"');
}

void write(spdlog::level::level_enum level, std::string_view event, std::initializer_list<Field> fields) {
  if (!logger().should_log(level)) return;
  logger().log(level, "{}", format_line(event, fields));
}

}  // namespace

std::string format_line(std::string_view event, std::initializer_list<Field> fields) {
  std::string line = "event=";
  append_value(line, event);
  for (const Field& field : fields) {
    line.push_back(' ');
    line += field.key;
    line.push_back('=');
    append_value(line, field.value);
  }
  return line;
}

Result<Level> parse_level(std::string_view text) {
  if (text == "error") return Level::Error;
  if (text == "warn") return Level::Warn;
  if (text == "info") return Level::Info;
  if (text == "debug") return Level::Debug;
  return fail(ErrorCode::Invalid, "\"{}\" is not a log level; use error, warn, info or debug", text);
}

void set_level(Level level) {
  switch (level) {
    case Level::Error:
      logger().set_level(spdlog::level::err);
      return;
    case Level::Warn:
      logger().set_level(spdlog::level::warn);
      return;
    case Level::Info:
      logger().set_level(spdlog::level::info);
      return;
    case Level::Debug:
      logger().set_level(spdlog::level::debug);
      return;
  }
}

void error(std::string_view event, std::initializer_list<Field> fields) {
  write(spdlog::level::err, event, fields);
}
void warn(std::string_view event, std::initializer_list<Field> fields) {
  write(spdlog::level::warn, event, fields);
}
void info(std::string_view event, std::initializer_list<Field> fields) {
  write(spdlog::level::info, event, fields);
}
void debug(std::string_view event, std::initializer_list<Field> fields) {
  write(spdlog::level::debug, event, fields);
}

}  // namespace countersign::base::log
