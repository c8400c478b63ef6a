// Requests, keys and chains made by the openssl program, and what programs say about ours.
#pragma once

#include <fmt/format.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"

namespace countersign::tests {

struct ProgramRun {
  int status = -1;
  std::string output;  // of both streams
};

inline ProgramRun run_program(const std::string& command) {
  ProgramRun run;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "re");
  REQUIRE(pipe != nullptr);
  std::array<char, 4096> buffer{};
  for (std::size_t got = 0; (got = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    run.output.append(buffer.data(), got);
  int status = ::pclose(pipe);
  run.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return run;
}

// Works in a folder of its own; every command must succeed.
class OpensslProgram {
 public:
  void operator()(const std::string& arguments) const {
    ProgramRun run = run_program(fmt::format("cd '{}' && openssl {}", folder_.path.string(), arguments));
    INFO("openssl " << arguments << "\n" << run.output);
    REQUIRE(run.status == 0);
  }
  [[nodiscard]] std::string file(const std::string& name) const {
    std::ifstream in(folder_.path / name, std::ios::binary);
    REQUIRE(in);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_.path / name, std::ios::binary) << text;
  }
  [[nodiscard]] std::string path(const std::string& name) const { return (folder_.path / name).string(); }

  // NAME.key and a request NAME.csr for the names. `more`: arguments for openssl req.
  void request(const std::string& name, const std::string& alternative_names, const std::string& more = "") const {
    (*this)(
        fmt::format("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {0}.key -out {0}.csr "
                    "-subj / {1} {2}",
                    name, alternative_names.empty() ? "" : "-addext 'subjectAltName=" + alternative_names + "'", more));
  }
  // A certificate for itself: NAME.key, NAME.pem.
  void root(const std::string& name, const std::string& common_name, const std::string& more = "") const {
    (*this)(
        fmt::format("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout {0}.key "
                    "-out {0}.pem -subj '/CN={1}' {2}",
                    name, common_name, more));
  }
  // `certificate`.pem: NAME.csr signed by `issuer`. `extensions`: lines of an extension section.
  void sign(const std::string& name, const std::string& certificate, const std::string& issuer,
            const std::string& extensions, const std::string& more = "") const {
    write("extensions", extensions);
    (*this)(fmt::format("x509 -req -in {}.csr -CA {}.pem -CAkey {}.key -days 20 -out {}.pem -extfile extensions {}",
                        name, issuer, issuer, certificate, more));
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace countersign::tests
