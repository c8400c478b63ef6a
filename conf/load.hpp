// Reads countersign.toml: every problem in the file is found in one run.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "conf/config.hpp"

namespace countersign::conf {

struct Problem {
  Position at;
  std::string key;   // dotted: dns.listen, zone[1].name; "" when it is the file as a whole
  std::string text;  // what is wrong; what to do
};

struct Loaded {
  Config config;                  // usable only when there are no problems
  std::vector<Problem> problems;  // in the order of the file
  // Where the value of each key stands that is in the file, for what is found wrong later: "dns.listen".
  std::map<std::string, Position, std::less<>> places;
};

// `--config`'s value if not empty, else $COUNTERSIGN_CONFIG, else /etc/countersign/countersign.toml.
[[nodiscard]] std::filesystem::path config_path(std::string_view from_command_line);

// An unreadable file, a TOML error, an unknown key (the nearest known one is named), a wrong type or value: all are
// problems. Never throws.
[[nodiscard]] Loaded load_file(const std::filesystem::path& path);
[[nodiscard]] Loaded load_text(std::string_view text);

// In the order of the file; what stands nowhere in it comes last: it is to be added. Of one place, as they were.
void sort_problems(std::vector<Problem>& problems);

// "FILE:LINE:COL: key: what is wrong; what to do", one line. The position is left out where there is none.
[[nodiscard]] std::string format_problem(const std::filesystem::path& file, const Problem& problem);

}  // namespace countersign::conf
