#include "base/files.hpp"

#include <sys/stat.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace countersign::base;
using countersign::tests::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

mode_t mode_of(const fs::path& path) {
  struct stat status{};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777U;
}

}  // namespace

TEST_CASE("a file is replaced as a whole and leaves nothing beside it", "[base]") {
  TemporaryFolder folder;
  fs::path file = folder.path / "key.pem";
  REQUIRE(replace_file(file, "one", 0600));
  REQUIRE(replace_file(file, "two", 0600));
  REQUIRE(read_file(file) == "two");
  REQUIRE(mode_of(file) == 0600);
  REQUIRE(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()) == 1);
}

TEST_CASE("what a killed process left beside a file goes with the next replacement", "[base]") {
  TemporaryFolder folder;
  fs::path file = folder.path / "key.pem", left = folder.path / ".key.pem.new", link = folder.path / "link";
  REQUIRE(is_temporary_name(left.filename().string()));
  REQUIRE_FALSE(is_temporary_name("key.pem.new"));
  REQUIRE_FALSE(is_temporary_name(".new"));
  REQUIRE(create_file(left, "half of a longer text", 0644));
  fs::create_symlink("gone", folder.path / ".link.new");
  REQUIRE(replace_file(file, "whole", 0600));
  REQUIRE(replace_symlink(link, "target"));
  CHECK(read_file(file) == "whole");
  CHECK(mode_of(file) == 0600);
  CHECK(fs::read_symlink(link) == "target");
  CHECK(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()) == 2);
}

TEST_CASE("what was planted under the temporary name is not written to", "[base]") {
  TemporaryFolder folder;
  fs::path file = folder.path / "key.pem", planted = folder.path / ".key.pem.new", victim = folder.path / "victim";
  REQUIRE(create_file(victim, "precious", 0600));
  fs::create_symlink(victim, planted);
  REQUIRE(replace_file(file, "one", 0600));
  fs::create_hard_link(victim, planted);
  REQUIRE(replace_file(file, "two", 0600));
  REQUIRE(::mkfifo(planted.c_str(), 0666) == 0);
  REQUIRE(replace_file(file, "three", 0600));
  CHECK(read_file(victim) == "precious");
  CHECK(read_file(file) == "three");
  CHECK(fs::is_regular_file(fs::symlink_status(file)));
  // Nobody removes a folder by mistake.
  fs::create_directory(planted);
  CHECK_FALSE(replace_file(file, "four", 0600));
  CHECK(read_file(file) == "three");
}

TEST_CASE("many who replace one file at once tear nothing and lose nothing but their turn", "[base]") {
  TemporaryFolder folder;
  fs::path file = folder.path / "shared";
  auto text = [](int writer) {
    return std::string(20'000 + static_cast<std::size_t>(writer), static_cast<char>('a' + writer));
  };
  REQUIRE(replace_file(file, text(0), 0600));
  std::atomic<bool> torn{false}, failed{false}, done{false};
  std::thread reader([&] {
    while (!done) {
      auto seen = read_file(file);
      if (!seen || seen->empty() || *seen != text(seen->front() - 'a')) torn = true;
    }
  });
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 6; ++writer)
    writers.emplace_back([&, writer] {
      for (int i = 0; i < 40; ++i)
        if (!replace_file(file, text(writer), 0600)) failed = true;
    });
  for (std::thread& writer : writers) writer.join();
  done = true;
  reader.join();
  CHECK_FALSE(torn);
  CHECK_FALSE(failed);
  CHECK(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()) == 1);
}

TEST_CASE("a file that exists is not created again", "[base]") {
  TemporaryFolder folder;
  fs::path file = folder.path / "key.pem";
  REQUIRE(create_file(file, "one", 0600));
  REQUIRE(create_file(file, "two", 0600).error().code == ErrorCode::Exists);
  REQUIRE(read_file(file) == "one");
}

TEST_CASE("several files are created all or none", "[base]") {
  TemporaryFolder folder;
  fs::path one = folder.path / "one", two = folder.path / "two", three = folder.path / "three";
  REQUIRE(create_file(two, "there", 0600));
  auto created = create_files({{one, "1", 0644}, {two, "2", 0600}, {three, "3", 0600}});
  REQUIRE(created.error().code == ErrorCode::Exists);
  REQUIRE(created.error().message.find(two.string()) != std::string::npos);
  CHECK_FALSE(fs::exists(one));
  CHECK_FALSE(fs::exists(three));
  CHECK(read_file(two) == "there");
  REQUIRE(create_files({{one, "1", 0644}, {three, std::string(300'000, '3'), 0600}}));
  CHECK(read_file(one) == "1");
  CHECK(mode_of(one) == 0644);
  CHECK(read_file(three) == std::string(300'000, '3'));
  CHECK(mode_of(three) == 0600);
}

TEST_CASE("reading tells absence from size", "[base]") {
  TemporaryFolder folder;
  REQUIRE(read_file(folder.path / "none").error().code == ErrorCode::NotFound);
  REQUIRE(create_file(folder.path / "big", "0123456789", 0644));
  REQUIRE(read_file(folder.path / "big", 9).error().code == ErrorCode::Full);
  REQUIRE(read_file(folder.path / "big", 10));
}

TEST_CASE("a symlink is switched at once", "[base]") {
  TemporaryFolder folder;
  fs::path link = folder.path / "live";
  REQUIRE(replace_symlink(link, "one"));
  REQUIRE(replace_symlink(link, "two"));
  REQUIRE(fs::read_symlink(link) == "two");
}

TEST_CASE("folders are made with their mode, and a file in the way is named", "[base]") {
  TemporaryFolder folder;
  REQUIRE(make_directories(folder.path / "a" / "b", 0700));
  REQUIRE(make_directories(folder.path / "a" / "b", 0755));
  REQUIRE(mode_of(folder.path / "a" / "b") == 0700);
  REQUIRE(create_file(folder.path / "f", "", 0644));
  auto made = make_directories(folder.path / "f" / "g", 0700);
  REQUIRE_FALSE(made);
  REQUIRE(made.error().message.find("a file has that name") != std::string::npos);
  made = make_directories(folder.path / "f", 0700);
  REQUIRE_FALSE(made);
  REQUIRE(make_directories(folder.path / "c" / "d" / "", 0700));
  REQUIRE(mode_of(folder.path / "c" / "d") == 0700);
  REQUIRE(make_directories("", 0700));
  fs::create_symlink("nowhere", folder.path / "dangling");
  REQUIRE_FALSE(make_directories(folder.path / "dangling" / "x", 0700));
}
