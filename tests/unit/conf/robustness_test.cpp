// Whatever the file holds, loading it ends, and every problem is one printable line inside of the file.
#include <algorithm>
#include <array>
#include <filesystem>
#include <random>
#include <string>

#include "base/files.hpp"
#include "conf/load.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/conf/example.hpp"

namespace countersign::conf {
namespace {

void check_sound(const std::string& text) {
  Loaded loaded = load_text(text);
  auto lines = static_cast<std::uint32_t>(1 + std::ranges::count(text, '\n'));
  Position last;
  for (const Problem& problem : loaded.problems) {
    std::string printed = format_problem("f", problem);
    bool sound = printed.find('\n') == std::string::npos && printed.size() < 2000 && problem.at.line <= lines &&
                 !problem.text.empty();
    if (problem.at.line != 0) {
      sound = sound && std::pair(last.line, last.column) <= std::pair(problem.at.line, problem.at.column);
      last = problem.at;
    }
    if (!sound) {
      INFO(text);
      FAIL(printed);
    }
  }
  if (loaded.problems.empty()) CHECK((!loaded.config.zones.empty() || !loaded.config.acme.server.empty()));
}

std::string sample() {
  auto text = base::read_file(std::filesystem::path(COUNTERSIGN_SOURCE_DIR) / "conf/countersign.toml");
  REQUIRE(text);
  return *text;
}

TEST_CASE("random octets are never more than a problem", "[conf]") {
  std::mt19937 random(20261122);
  for (int round = 0; round < 2000; ++round) {
    std::string text(random() % 200, '\0');
    for (char& c : text) c = static_cast<char>(random());
    check_sound(text);
  }
}

TEST_CASE("random pieces of TOML are never more than a problem", "[conf]") {
  constexpr std::array<std::string_view, 47> pieces{"rate_limit", "slip",     "dns.rate_limit",
                                                    "[",          "]",        "[[",
                                                    "]]",         "zone",     "dns",
                                                    "acme",       "name",     "listen",
                                                    "=",          " = ",      "\n",
                                                    "\"",         "\"\"",     "\"\"\"",
                                                    "'",          "'''",      "{",
                                                    "}",          ",",        ".",
                                                    "#",          "1",        "-1",
                                                    "1.5",        "true",     "inf",
                                                    "1979-05-27", "07:32:00", "\\",
                                                    "\\u00e9",    "\\x",      "ü",
                                                    "\r\n",       "\t",       " ",
                                                    "0x",         "1e400",    "99999999999999999999",
                                                    "ttl",        "\"1s\"",   "a.b",
                                                    "nan",        "\x7f"};
  std::mt19937 random(42);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (auto count = random() % 24; count > 0; --count) text += pieces[random() % pieces.size()];
    check_sound(text);
  }
}

TEST_CASE("the sample with any few octets changed is never more than a problem", "[conf]") {
  std::string original = sample();
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    std::string text = original;
    for (auto changes = 1 + random() % 4; changes > 0; --changes) {
      std::size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, 1 + random() % 8);
          break;
        case 2:
          text.insert(at, text.substr(random() % text.size(), random() % 30));
          break;
        default:
          text[at] = "[]{}=.,\"'#\n"[random() % 11];
      }
    }
    check_sound(text);
  }
}

TEST_CASE("the sample cut anywhere is never more than a problem", "[conf]") {
  std::string original = sample();
  for (std::size_t length = 0; length < original.size(); ++length) check_sound(original.substr(0, length));
}

std::string repeated(std::string_view piece, std::size_t count) {
  std::string out;
  out.reserve(piece.size() * count);
  while (count-- > 0) out += piece;
  return out;
}

TEST_CASE("a megabyte of anything nested does not exhaust the stack", "[conf]") {
  constexpr std::size_t kMany = 300'000;
  const std::array<std::string, 14> texts{
      "[" + repeated("a.", kMany) + "a]",
      repeated("a.", kMany) + "a = 1",
      "[" + repeated("\"a\".", 200'000) + "a]",
      "[" + repeated("'a' . ", 150'000) + "a]",
      "x = {" + repeated("a.", kMany) + "a = 1}",
      "x = [{" + repeated("a.", kMany) + "a = 1}]",
      "x = \"\"\"\"\"\"\n" + repeated("a.", kMany) + "a = 1",
      "x = '''a'''''\n" + repeated("a.", kMany) + "a = 1",
      "x = \"\\\\\"\n" + repeated("a.", kMany) + "a = 1",
      "x = " + repeated("[", kMany),
      "x = " + repeated("{a=", kMany),
      repeated("[", kMany),
      "x = " + repeated(repeated("{", 1) + repeated("a.", 16) + "a=", 250) + "1" + repeated("}", 250),
      "x = " + repeated("[\n{" + repeated("a.", 16) + "a=", 120) + "1" + repeated("}]", 120),
  };
  for (const std::string& text : texts) {
    INFO(text.substr(0, 40));
    CHECK(!load_text(text).problems.empty());
    check_sound(text);
  }
}

TEST_CASE("a megabyte of values, keys or zones is judged in bounded time", "[conf]") {
  std::string listen = "[dns]\nlisten = [" + repeated("\"127.0.0.1:53\",\n", 50'000) + "]\n";
  CHECK(load_text(listen + kZone).problems.size() == 49'999);
  CHECK(load_text(repeated(kZone, 8'000)).problems.size() == 7'999);
  std::string keys;
  for (int i = 0; i < 50'000; ++i) keys += "k" + std::to_string(i) + " = 1\n";
  CHECK(load_text(keys + kZone).problems.size() == 50'000);
  check_sound("\"" + std::string(1'000'000, 'k') + "\" = 1\n" + kZone);
  check_sound(kZone + "file = \"" + std::string(1'000'000, 'k') + "\"\n");
  check_sound("[[zone]]\nname = \"" + std::string(1'000'000, 'k') + "\"\n");
  check_sound("[[zone]]\nhostmaster = \"" + std::string(1'000'000, '.') + "@b.c\"\n");
}

}  // namespace
}  // namespace countersign::conf
