#include "base/files.hpp"

#include <sys/stat.h>

#include <string>

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

TEST_CASE("a file that exists is not created again", "[base]") {
  TemporaryFolder folder;
  fs::path file = folder.path / "key.pem";
  REQUIRE(create_file(file, "one", 0600));
  REQUIRE(create_file(file, "two", 0600).error().code == ErrorCode::Exists);
  REQUIRE(read_file(file) == "one");
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
}
