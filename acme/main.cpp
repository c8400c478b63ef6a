// countersign: obtains certificates through challenges delegated to countersignd.
#include <string>
#include <vector>

#include "acme/commands/commands.hpp"

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv, argv + argc);
  if (!arguments.empty()) arguments.erase(arguments.begin());
  return static_cast<int>(countersign::acme::run_program(arguments));
}
