// One run at a time for each certificate, and for the making of an account. Gone with the process, however it ends.
#pragma once

#include <filesystem>
#include <string>

#include "base/descriptor.hpp"
#include "base/result.hpp"

namespace countersign::acme {

class RunLock {
 public:
  // `what` is locked: "the certificate \"x\"". Error: Exists, naming the process that holds it; Denied, Io.
  [[nodiscard]] static base::Result<RunLock> take(const std::filesystem::path& file, const std::string& what);
  // Waits for the holder. Error: Interrupted, Denied, Io.
  [[nodiscard]] static base::Result<RunLock> await(const std::filesystem::path& file);
  // The same, beside others that share it.
  [[nodiscard]] static base::Result<RunLock> share(const std::filesystem::path& file);

 private:
  explicit RunLock(base::Descriptor file) : file_(std::move(file)) {}
  base::Descriptor file_;
};

}  // namespace countersign::acme
