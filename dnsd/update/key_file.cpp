// A TSIG key's file, as BIND's tsig-keygen writes it or the secret alone. No error shows a word of the file whose
// meaning is not certain: it may be the secret.
#include <algorithm>

#include "base/encoding.hpp"
#include "dnsd/update/tsig.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kBlanks = " \t\r";

// base64 with padding (RFC 4648 §4) to octets.
Result<std::string> decode_secret(std::string_view text) {
  std::string url(text);
  std::size_t padding = url.ends_with("==") ? 2 : url.ends_with('=') ? 1 : 0;
  bool whole = url.size() % 4 == 0 && url.find_first_of("-_") == std::string::npos;
  url.resize(url.size() - padding);
  std::replace(url.begin(), url.end(), '+', '-');
  std::replace(url.begin(), url.end(), '/', '_');
  auto octets = base::base64url_decode(url);
  if (!whole || !octets)
    return fail(ErrorCode::Invalid, "the secret in the key file is not base64; copy it whole, with the = at its end");
  if (octets->empty()) return fail(ErrorCode::Invalid, "the secret in the key file is empty");
  return std::string(base::as_text(*octets));
}

// The one line that holds something.
Result<std::string> parse_bare_secret(std::string_view text) {
  std::string_view secret;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    line = line.substr(0, line.find('#'));
    line.remove_prefix(std::min(line.size(), line.find_first_not_of(kBlanks)));
    line = line.substr(0, line.find_last_not_of(kBlanks) + 1);
    if (line.empty()) continue;
    if (!secret.empty())
      return fail(ErrorCode::Invalid,
                  "the key file has more than one line that is no remark; it holds the base64 secret alone, or one key "
                  "as tsig-keygen writes it");
    secret = line;
  }
  if (secret.empty())
    return fail(ErrorCode::Invalid,
                "the key file is empty; write the base64 secret into it, or what tsig-keygen prints");
  return decode_secret(secret);
}

// Words of BIND's configuration language. A mark is one of "{};"; behind the last word comes an empty mark.
struct Word {
  std::string_view text;
  enum class Kind { Plain, Quoted, Mark } kind = Kind::Mark;
  std::size_t line = 0;

  [[nodiscard]] bool is(std::string_view other) const { return kind != Kind::Quoted && text == other; }
  [[nodiscard]] bool is_mark() const { return kind == Kind::Mark; }
};

class WordReader {
 public:
  explicit WordReader(std::string_view text) : left_(text) {}

  Word next() {
    skip_remarks();
    if (left_.empty()) return {{}, Word::Kind::Mark, line_};
    if (kMarks.find(left_[0]) != std::string_view::npos) return {take(1), Word::Kind::Mark, line_};
    if (left_[0] != '"') return {take(left_.find_first_of(" \t\r\n\"#{};")), Word::Kind::Plain, line_};
    take(1);
    std::size_t line = line_;
    std::size_t end = left_.find_first_of("\"\n");
    Word word{take(end), Word::Kind::Quoted, line};
    // A quote that is left open ends with its line, and the file there.
    if (left_.starts_with('"'))
      take(1);
    else
      left_ = {};
    return word;
  }

 private:
  static constexpr std::string_view kMarks = "{};";

  std::string_view take(std::size_t count) {
    std::string_view taken = left_.substr(0, count);
    left_.remove_prefix(taken.size());
    line_ += static_cast<std::size_t>(std::count(taken.begin(), taken.end(), '\n'));
    return taken;
  }

  // Blanks, `# ...`, `// ...` and `/* ... */`.
  void skip_remarks() {
    while (!left_.empty()) {
      if (left_.starts_with('#') || left_.starts_with("//")) {
        take(left_.find('\n'));
      } else if (left_.starts_with("/*")) {
        std::size_t end = left_.find("*/", 2);
        take(end == std::string_view::npos ? end : end + 2);
      } else if (left_[0] == '\n' || kBlanks.find(left_[0]) != std::string_view::npos) {
        take(1);
      } else {
        return;
      }
    }
  }

  std::string_view left_;
  std::size_t line_ = 1;
};

struct BindKey {
  Word name, algorithm, secret;
};

tl::unexpected<base::Error> unexpected_word(const Word& word, std::string_view wanted) {
  return fail(ErrorCode::Invalid, "line {} of the key file: {} is missing{}; write it as tsig-keygen does", word.line,
              wanted, word.text.empty() && word.is_mark() ? " where the file ends" : "");
}

// `algorithm NAME;` and `secret "BASE64";`, up to the closing brace.
Result<void> parse_statements(WordReader& words, BindKey& key) {
  for (Word word = words.next(); !word.is("}"); word = words.next()) {
    Word* slot = word.is("algorithm") ? &key.algorithm : word.is("secret") ? &key.secret : nullptr;
    if (slot == nullptr) return unexpected_word(word, "\"algorithm\", \"secret\" or a closing brace");
    if (slot->line != 0) return fail(ErrorCode::Invalid, "line {} of the key file says it a second time", word.line);
    *slot = words.next();
    if (slot->is_mark()) return unexpected_word(*slot, "a value");
    if (Word end = words.next(); !end.is(";")) return unexpected_word(end, "a semicolon");
  }
  return {};
}

Result<BindKey> parse_bind_key(std::string_view text) {
  WordReader words(text);
  BindKey key;
  if (Word word = words.next(); !word.is("key")) return unexpected_word(word, "the word \"key\"");
  key.name = words.next();
  if (key.name.is_mark()) return unexpected_word(key.name, "the key's name");
  if (Word word = words.next(); !word.is("{")) return unexpected_word(word, "an opening brace");
  if (auto parsed = parse_statements(words, key); !parsed) return fail(parsed.error());
  Word word = words.next();
  if (word.is(";")) word = words.next();
  if (!word.is_mark() || !word.text.empty())
    return fail(ErrorCode::Invalid,
                "line {} of the key file: something follows the key; put each key into its own file", word.line);
  if (key.algorithm.line == 0) return fail(ErrorCode::Invalid, "the key file has no \"algorithm\"");
  if (key.secret.line == 0) return fail(ErrorCode::Invalid, "the key file has no \"secret\"");
  return key;
}

}  // namespace

Result<std::string> parse_key_file(std::string_view text, const base::Name& name, conf::TsigAlgorithm algorithm) {
  // No base64 has a brace.
  if (text.find('{') == std::string_view::npos) return parse_bare_secret(text);
  auto key = parse_bind_key(text);
  if (!key) return fail(key.error());
  auto found = base::Name::parse(key->name.text);
  if (!found) return fail(ErrorCode::Invalid, "line {} of the key file: the key's name is no name", key->name.line);
  if (*found != name)
    return fail(ErrorCode::Invalid, "the key file is of key \"{}\", the configuration of \"{}\"; they must be the same",
                found->text(), name.text());
  // Compared as names, which have no case and may have a final dot.
  auto used = base::Name::parse(key->algorithm.text);
  auto wanted = base::Name::parse(algorithm_text(algorithm));
  if (!used || !wanted || *used != *wanted)
    return fail(
        ErrorCode::Invalid, "the key file has {}, the configuration algorithm \"{}\"; they must be the same",
        used && used->text().starts_with("hmac-") ? fmt::format("algorithm \"{}\"", used->text()) : "another algorithm",
        algorithm_text(algorithm));
  return decode_secret(key->secret.text);
}

}  // namespace countersign::dnsd
