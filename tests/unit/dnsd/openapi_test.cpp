// dnsd/api/openapi.json against the code that it describes.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json.hpp>
#include <set>

#include "base/files.hpp"
#include "dnsd/api/control_api.hpp"
#include "dnsd/api/public_api.hpp"
#include "dnsd/api/registrar.hpp"
#include "tests/unit/dnsd/live_zone.hpp"

using namespace countersign;
using namespace countersign::dnsd;
namespace json = boost::json;

namespace {

json::value read_document() {
  auto text = base::read_file(std::filesystem::path(COUNTERSIGN_SOURCE_DIR) / "dnsd/api/openapi.json");
  REQUIRE(text);
  return json::parse(*text);
}

struct Operation {
  std::string method;  // "GET"
  std::string path;    // "/v1/txt/{name}"
  std::set<std::string> tags;
  json::object details;
};

std::vector<Operation> operations() {
  std::vector<Operation> all;
  json::value document = read_document();
  for (const json::key_value_pair& path : document.at("paths").as_object()) {
    for (const json::key_value_pair& one : path.value().as_object()) {
      std::string method(one.key());
      if (method != "get" && method != "put" && method != "post" && method != "delete") continue;
      for (char& c : method) c = static_cast<char>(c - 'a' + 'A');
      Operation operation{method, std::string(path.key()), {}, one.value().as_object()};
      for (const json::value& tag : operation.details.at("tags").as_array())
        operation.tags.insert(std::string(tag.as_string()));
      all.push_back(std::move(operation));
    }
  }
  return all;
}

// Both APIs over one zone, as the daemon has them.
struct Apis {
  asio::io_context context;
  tests::LiveZone zone;
  DaemonFacts facts;
  Counters counters;
  Registrar registrar{context.get_executor(), zone.registry(), zone.publisher(), zone.clock()};
  ControlApi control{context.get_executor(), zone.publisher(), facts, zone.clock(), &registrar};
  PublicApi api{registrar, zone.publisher(), zone.clock()};

  Apis() {
    conf::Config config = zone.config();
    config.api.registration = conf::RegistrationMode::Open;
    registrar.use(config);
    api.use(config, "");
    facts.counters.queries = {&counters};
  }

  template <class T>
  T wait(asio::awaitable<T> awaited) {
    std::optional<T> result;
    asio::co_spawn(context, std::move(awaited), [&result](std::exception_ptr, T value) { result = std::move(value); });
    context.restart();
    context.run();
    REQUIRE(result);
    return *std::move(result);
  }
  ApiResponse ask_control(const std::string& method, const std::string& target, const std::string& body) {
    return wait(control.handle_request(ApiRequest(method, target, body)));
  }
  HttpResponse ask_public(const std::string& method, const std::string& target) {
    HttpRequest request;
    request.method = method;
    request.target = target;
    request.peer = *base::SocketAddress::parse("192.0.2.1:4000");
    return wait(api.handle_request(std::move(request)));
  }
};

void replace(std::string& text, const std::string& part, const std::string& by) {
  if (std::size_t at = text.find(part); at != std::string::npos) text.replace(at, part.size(), by);
}

// Every "$ref" below `value`.
void collect_references(const json::value& value, std::set<std::string>& references) {
  if (const json::array* array = value.if_array()) {
    for (const json::value& entry : *array) collect_references(entry, references);
  } else if (const json::object* object = value.if_object()) {
    for (const json::key_value_pair& member : *object) {
      if (member.key() == "$ref") references.insert(std::string(member.value().as_string()));
      collect_references(member.value(), references);
    }
  }
}

}  // namespace

TEST_CASE("the OpenAPI document has the control socket's requests, each of them and no other", "[dnsd][api]") {
  std::set<std::string> documented;
  for (const Operation& operation : operations())
    if (operation.tags.contains("control")) documented.insert(operation.method + " " + operation.path);
  std::vector<std::string> routes = ControlApi::routes();
  CHECK(documented == std::set<std::string>(routes.begin(), routes.end()));
}

TEST_CASE("what the OpenAPI document says of the control socket's answers is so", "[dnsd][api]") {
  Apis apis;
  for (const Operation& operation : operations()) {
    if (!operation.tags.contains("control") || operation.path == "/v1/queries") continue;
    INFO(operation.method << " " << operation.path);
    ApiResponse made = apis.ask_control("POST", "/v1/registrations", "{}");
    REQUIRE(made.status == 201);
    std::string target = operation.path;
    replace(target, "{name}", "x.auth.test");
    replace(target, "{username}", std::string(json::parse(made.body).at("username").as_string()));
    std::string body = operation.method == "PUT" ? R"({"value":"v"})" : "";
    ApiResponse response = apis.ask_control(operation.method, target, body);
    std::string good;
    for (const json::key_value_pair& status : operation.details.at("responses").as_object())
      if (status.key().starts_with("2")) good = std::string(status.key());
    CHECK(std::to_string(response.status) == good);
    // What is not there is refused, in the same form, and that is documented, too.
    ApiResponse bad = apis.ask_control(operation.method, target + "?nonsense=1", body);
    CHECK(bad.status == 400);
    CHECK(operation.details.at("responses").as_object().contains("400"));
  }
}

TEST_CASE("the documents of the control socket have the members that OpenAPI requires", "[dnsd][api]") {
  Apis apis;
  json::value schemas = read_document().at("components").at("schemas");
  auto check = [&](const char* schema, const json::value& document) {
    INFO(schema << " " << json::serialize(document));
    const json::object& properties = schemas.at(schema).at("properties").as_object();
    if (const json::value* required = schemas.at(schema).as_object().if_contains("required"))
      for (const json::value& member : required->as_array()) CHECK(document.as_object().contains(member.as_string()));
    for (const json::key_value_pair& member : document.as_object()) CHECK(properties.contains(member.key()));
  };
  ApiResponse issued =
      apis.ask_control("POST", "/v1/registrations", R"({"for":["a.test"],"label":"x","allow_from":["::/0"]})");
  check("IssuedRegistration", json::parse(issued.body));
  check("Registration", json::parse(apis.ask_control("GET", "/v1/registrations", "").body).at(0));
  check("Value", json::parse(apis.ask_control("PUT", "/v1/txt/a.auth.test", R"({"value":"v"})").body).at(0));
  check("Status", json::parse(apis.ask_control("GET", "/v1/status", "").body));
  check("Error", json::parse(apis.ask_control("GET", "/nothing", "").body));
  check("RegistrationWishes", json::parse(R"({"name":"a","for":[],"label":"x","allow_from":[]})"));
  check("ValueWish", json::parse(R"({"value":"v","lifetime":"1h"})"));
}

TEST_CASE("the public API has what the OpenAPI document says, by that method alone", "[dnsd][api]") {
  Apis apis;
  std::size_t seen = 0;
  for (const Operation& operation : operations()) {
    // Metrics are for this host alone, and there are none here.
    if (!operation.tags.contains("public") || operation.path == "/metrics") continue;
    INFO(operation.method << " " << operation.path);
    ++seen;
    HttpResponse response = apis.ask_public(operation.method, operation.path);
    CHECK(response.status != 404);
    CHECK(response.status != 405);
    CHECK(operation.details.at("responses").as_object().contains(std::to_string(response.status)));
    CHECK(apis.ask_public("DELETE", operation.path).status == 405);
  }
  CHECK(seen == 5);
  CHECK(apis.ask_public("GET", "/v1/status").status == 404);
}

TEST_CASE("the OpenAPI document refers to nothing that it does not have", "[dnsd][api]") {
  json::value document = read_document();
  CHECK(document.at("openapi").as_string() == "3.0.3");
  std::set<std::string> references;
  collect_references(document, references);
  CHECK(references.size() > 5);
  for (const std::string& reference : references) {
    INFO(reference);
    REQUIRE(reference.starts_with("#/components/"));
    boost::system::error_code error;
    CHECK(document.find_pointer(reference.substr(1), error) != nullptr);
  }
  // Each segment in braces is explained.
  for (const Operation& operation : operations()) {
    INFO(operation.method << " " << operation.path);
    std::size_t in_path = 0;
    boost::system::error_code error;
    if (const json::value* parameters = operation.details.if_contains("parameters"))
      for (const json::value& parameter : parameters->as_array()) {
        const json::value* plain = &parameter;
        if (const json::value* reference = parameter.as_object().if_contains("$ref"))
          plain = document.find_pointer(reference->as_string().subview(1), error);
        REQUIRE(plain != nullptr);
        if (plain->at("in").as_string() == "path") ++in_path;
      }
    CHECK(in_path == static_cast<std::size_t>(std::count(operation.path.begin(), operation.path.end(), '{')));
    CHECK(operation.details.contains("summary"));
  }
}
