// SIGHUP: reads the configuration again on a thread of its own and applies it, or says what is wrong and changes
// nothing. One at a time; what is asked for meanwhile becomes exactly one more.
// Thread: the control thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "dnsd/answer/responder.hpp"
#include "dnsd/api/documents.hpp"
#include "dnsd/configuration.hpp"
#include "dnsd/faces.hpp"
#include "dnsd/net/asio.hpp"
#include "dnsd/net/tcp_server.hpp"
#include "zones/publisher.hpp"

namespace countersign::dnsd {

[[nodiscard]] TcpLimits tcp_limits(const conf::Dns& dns);

class Reloader {
 public:
  // What a reload acts on. All outlive the reloader, and the running of `context` the publisher's last completion.
  struct Target {
    asio::io_context& context;
    zones::Publisher& publisher;
    Responder& responder;
    TcpServer& tcp;
    Faces& faces;
    DaemonFacts& facts;
    const base::Clock& clock;
  };
  struct Source {
    std::filesystem::path path;  // absolute: the working folder is not promised
    conf::Config started;        // what needs a restart is compared with it
    HandedOver handed_over;
    std::string reads_as;  // the user that files are read as; "" = the one that started the daemon
    CookieSecret random_secret;
  };
  Reloader(Target target, Source source);
  // Waits for a file that is being read; a while, for it may be a pipe that nobody writes to.
  ~Reloader();
  Reloader(const Reloader&) = delete;
  Reloader& operator=(const Reloader&) = delete;

  void request();
  // Nothing new is begun.
  void stop() { stopping_ = true; }

 private:
  // Shared with the reading thread, which may outlive the rest when its file system hangs.
  struct Reading {
    std::mutex lock;
    std::condition_variable changed;
    Reloader* owner = nullptr;
    bool ended = false;
  };
  static void read_file(const std::shared_ptr<Reading>& reading, const std::filesystem::path& path);

  void begin();
  void judge(const std::shared_ptr<Configuration>& read);
  void apply(const std::shared_ptr<Configuration>& read, const base::Result<void>& published);
  void refuse(const Configuration& read);
  void note_failed();
  void watch_reading();
  void end();

  Target target_;
  Source source_;
  std::thread thread_;
  std::shared_ptr<Reading> reading_;
  asio::steady_timer patience_;
  bool busy_ = false;
  bool again_ = false;
  bool stopping_ = false;
  std::chrono::steady_clock::time_point began_{};
};

}  // namespace countersign::dnsd
