// The daemon's log: one line an event on stderr, `key=value`, values quoted where they need it. Never waits: lines that
// stderr has no room for are lost, and counted in a line of its own when it has room again.
// Thread: any; never on the path of a query.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace countersign::base::log {

enum class Level { Error, Warn, Info, Debug };

struct Field {
  std::string_view key;
  std::string value;
};

// error, warn, info or debug. Error: Invalid.
[[nodiscard]] Result<Level> parse_level(std::string_view text);
void set_level(Level level);

// log::info("zone loaded", {{"zone", name.text()}, {"names", std::to_string(count)}});
void error(std::string_view event, std::initializer_list<Field> fields = {});
void warn(std::string_view event, std::initializer_list<Field> fields = {});
void info(std::string_view event, std::initializer_list<Field> fields = {});
void debug(std::string_view event, std::initializer_list<Field> fields = {});

// `event="..." key=value ...`, as the lines above end.
[[nodiscard]] std::string format_line(std::string_view event, std::initializer_list<Field> fields);

}  // namespace countersign::base::log
