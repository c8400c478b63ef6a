#include "acme/state/certificate_names.hpp"

#include <algorithm>

#include "acme/state/certificate_store.hpp"
#include "base/files.hpp"

namespace countersign::acme {

namespace fs = std::filesystem;

base::Result<std::vector<std::string>> certificate_names(const fs::path& acme_directory) {
  fs::path folder = acme_directory / "certificates";
  std::vector<std::string> names;
  std::error_code problem;
  fs::directory_iterator entries(folder, problem);
  if (problem == std::errc::no_such_file_or_directory) return names;
  for (; !problem && entries != fs::directory_iterator(); entries.increment(problem)) {
    std::string file = entries->path().filename().string();
    if (!file.ends_with(".json")) continue;
    file.resize(file.size() - std::string_view(".json").size());
    // What is no CERT is a leftover, or not ours.
    if (check_cert_name(file)) names.push_back(std::move(file));
  }
  if (problem)
    return base::fail(base::system_code(problem.value()), "cannot list the certificates in \"{}\": {}; run it as root",
                      folder.string(), base::system_reason(problem.value()));
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace countersign::acme
