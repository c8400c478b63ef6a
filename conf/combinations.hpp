// What is right by itself and wrong together, in [acme] and [[certificate]].
#pragma once

#include <map>
#include <string>
#include <vector>

#include "conf/config.hpp"
#include "conf/document.hpp"
#include "conf/load.hpp"

namespace countersign::conf {

// Once the whole file is read: what a [[certificate]] does not say is as [acme] says.
class Combinations {
 public:
  Combinations(const Acme& acme, std::vector<Problem>& problems) : acme_(acme), problems_(problems) {}

  void check_acme(const Node& table);
  // `path`: "certificate[2]", for messages.
  void check_certificate(const Node& table, const std::string& path, const Certificate& certificate);

 private:
  void check_csr(const Node& table, const std::string& path, const CertificateOptions& options);
  void check_server(const Node& table, const std::string& path, const CertificateOptions& options);
  void check_dates(const Node& table, const std::string& path, const CertificateOptions& options);
  void check_cert_name(const Node& table, const std::string& path, const Certificate& certificate);
  void problem(const Node& table, const std::string& path, std::string_view key, std::string text);

  const Acme& acme_;
  std::vector<Problem>& problems_;
  std::map<std::string, Position> cert_names_;
};

}  // namespace countersign::conf
