#include "base/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <memory>

namespace countersign::base::log {
namespace {

std::shared_ptr<spdlog::logger> make_logger() {
  auto made = std::make_shared<spdlog::logger>("countersign", std::make_shared<spdlog::sinks::stderr_sink_mt>());
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
