// The certificate of the public API: from two PEM files, read again when they change.
// Thread: the control thread.
#pragma once

#include <sys/stat.h>

#include <boost/asio/ssl/context.hpp>
#include <optional>
#include <string>

#include "base/result.hpp"

namespace countersign::dnsd {

// Makes OpenSSL load its configuration and what it needs for TLS: before the sandbox, which lets it load no modules.
void prepare_tls();

// Whether use() would take them, without taking them. The message begins with the key: "api.tls_key ...".
[[nodiscard]] base::Result<void> check_tls_files(const std::string& certificate, const std::string& key);

class TlsContext {
 public:
  // Reads both files now; no names: TLS is off. The files of the last use() stay as they are when nothing has changed
  // in them, so that clients can go on with their sessions. While there never was a certificate and a file of it is
  // missing, is_waiting(), without an error. Error: NotFound, Denied, Io, Invalid (nothing is changed then).
  [[nodiscard]] base::Result<void> use(const std::string& certificate, const std::string& key);
  // Without a certificate for now: is_waiting() until look() finds one that can be used.
  void wait_for(const std::string& certificate, const std::string& key);
  // Reads the files again if they have changed since they were read, which every call tries until it works. A log line
  // for a new certificate, and one for each reason why the old one stays.
  void look();

  // TLS is wanted and there is no certificate yet: nobody can be served.
  [[nodiscard]] bool is_waiting() const { return !certificate_.empty() && !context_; }
  // For new connections; null: plain HTTP, unless is_waiting().
  [[nodiscard]] boost::asio::ssl::context* get() { return context_ ? &*context_ : nullptr; }

 private:
  // Of the file that a path leads to. The change time too: `mv` and `cp -p` keep the other one.
  struct Mark {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = -1;  // no file
    timespec modified{}, changed{};

    static Mark of(const std::string& path);
    [[nodiscard]] bool is_same(const Mark& other) const;
  };
  struct Marks {
    Mark certificate, key;
    [[nodiscard]] bool are_same(const Marks& other) const;
  };

  std::string certificate_, key_;
  Marks marks_;  // from before the files were read
  std::optional<boost::asio::ssl::context> context_;
  std::string complaint_;
};

}  // namespace countersign::dnsd
