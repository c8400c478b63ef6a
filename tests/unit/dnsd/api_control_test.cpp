#include <signal.h>
#include <sys/resource.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json.hpp>
#include <future>
#include <set>

#include "dnsd/api/control_api.hpp"
#include "tests/unit/dnsd/live_zone.hpp"

using namespace countersign;
using namespace countersign::dnsd;
namespace json = boost::json;

namespace {

// The API over a live zone, without a socket.
struct Api {
  // Before the zone, as in the daemon: the store thread's last completions still hold timers and work of this loop.
  asio::io_context context;
  tests::LiveZone zone;
  DaemonFacts facts;
  Counters counters;
  ControlApi api{context.get_executor(), zone.publisher(), facts, zone.clock()};

  Api() {
    facts.listen = {*base::SocketAddress::parse("127.0.0.1:53")};
    facts.started = zone.clock().elapsed();
    facts.counters.queries = {&counters};
  }

  ApiResponse ask(std::string method, std::string target, std::string body = {}) {
    std::optional<ApiResponse> response;
    asio::co_spawn(context, api.handle_request(ApiRequest(std::move(method), std::move(target), std::move(body))),
                   [&response](std::exception_ptr, ApiResponse answer) { response = std::move(answer); });
    context.restart();
    context.run();
    REQUIRE(response);
    return *response;
  }
};

std::string error_code(const ApiResponse& response) {
  return json::parse(response.body).at("error").at("code").as_string().c_str();
}

std::string values(const ApiResponse& response) {
  std::string all;
  json::value document = json::parse(response.body);
  for (const json::value& entry : document.as_array()) all += std::string(entry.at("value").as_string()) + " ";
  return all;
}

}  // namespace

TEST_CASE("a value that was put is in the answer and in the list", "[dnsd][api]") {
  Api api;
  ApiResponse put = api.ask("PUT", "/v1/txt/Example.com.AUTH.test.", R"({"value":"abc"})");
  REQUIRE(put.status == 200);
  // The fake clock stands at 2026-11-18T12:26:40Z; challenge.lifetime is an hour.
  std::string expected = R"([{"name":"example.com.auth.test","value":"abc","owner":"control","expires":")" +
                         base::format_rfc3339(api.zone.clock().wall() + std::chrono::hours(1)) + R"("}])";
  CHECK(put.body == expected);
  CHECK(api.ask("GET", "/v1/txt").body == expected);
  CHECK(api.ask("GET", "/v1/txt?name=example.com.auth.test").body == expected);
  CHECK(api.ask("GET", "/v1/txt?name=other.auth.test").body == "[]");
}

TEST_CASE("a lifetime of 0 is for ever, and the same value again has the new lifetime", "[dnsd][api]") {
  Api api;
  CHECK(api.ask("PUT", "/v1/txt/a.auth.test", R"({"value":"v","lifetime":"10m"})").status == 200);
  ApiResponse again = api.ask("PUT", "/v1/txt/a.auth.test", R"({"value":"v","lifetime":"0"})");
  CHECK(again.status == 200);
  CHECK(again.body == R"([{"name":"a.auth.test","value":"v","owner":"control","expires":null}])");
}

TEST_CASE("values are removed one by one or all at once, and removing nothing is no error", "[dnsd][api]") {
  Api api;
  for (const char* value : {"one", "two words+", "three"})
    REQUIRE(api.ask("PUT", "/v1/txt/a.auth.test", json::serialize(json::object{{"value", value}})).status == 200);
  ApiResponse gone = api.ask("DELETE", "/v1/txt/a.auth.test?value=two+words%2B");
  CHECK(gone.status == 204);
  CHECK(gone.body.empty());
  CHECK(values(api.ask("GET", "/v1/txt")) == "one three ");
  CHECK(api.ask("DELETE", "/v1/txt/a.auth.test?value=unknown").status == 204);
  CHECK(api.ask("DELETE", "/v1/txt/a.auth.test").status == 204);
  CHECK(api.ask("DELETE", "/v1/txt/a.auth.test").status == 204);
  CHECK(api.ask("DELETE", "/v1/txt/nowhere.example").status == 204);
  CHECK(api.ask("GET", "/v1/txt").body == "[]");
}

TEST_CASE("bad requests are refused with what is wrong, and change nothing", "[dnsd][api]") {
  Api api;
  struct Bad {
    const char* method;
    const char* target;
    const char* body;
    unsigned status;
    const char* code;
  };
  std::string long_value = R"({"value":")" + std::string(1025, 'x') + R"("})";
  for (const Bad& bad : {
           Bad{"PUT", "/v1/txt/a.auth.test", "", 400, "invalid"},
           Bad{"PUT", "/v1/txt/a.auth.test", "nonsense", 400, "invalid"},
           Bad{"PUT", "/v1/txt/a.auth.test", "[]", 400, "invalid"},
           Bad{"PUT", "/v1/txt/a.auth.test", "{}", 400, "invalid"},
           Bad{"PUT", "/v1/txt/a.auth.test", R"({"value":7})", 400, "invalid"},
           Bad{"PUT", "/v1/txt/a.auth.test", R"({"value":""})", 400, "invalid"},
           Bad{"PUT", "/v1/txt/a.auth.test", R"({"value":"a\nb"})", 400, "invalid"},
           Bad{"PUT", "/v1/txt/a.auth.test", long_value.c_str(), 400, "invalid"},
           Bad{"PUT", "/v1/txt/a.auth.test", R"({"value":"v","lifetime":3600})", 400, "invalid"},
           Bad{"PUT", "/v1/txt/a.auth.test", R"({"value":"v","lifetime":"soon"})", 400, "invalid"},
           Bad{"PUT", "/v1/txt/a.auth.test", R"({"value":"v","life":"1h"})", 400, "invalid"},
           Bad{"PUT", "/v1/txt/a.auth.test?x=y", R"({"value":"v"})", 400, "invalid"},
           Bad{"PUT", "/v1/txt/a..auth.test", R"({"value":"v"})", 400, "invalid"},
           Bad{"PUT", "/v1/txt/%zz.auth.test", R"({"value":"v"})", 400, "invalid"},
           Bad{"PUT", "/v1/txt/alias.auth.test", R"({"value":"v"})", 400, "invalid"},
           Bad{"PUT", "/v1/txt/a.example", R"({"value":"v"})", 404, "not_found"},
           Bad{"PUT", "/v1/txt", R"({"value":"v"})", 405, "method_not_allowed"},
           Bad{"POST", "/v1/txt/a.auth.test", "", 405, "method_not_allowed"},
           Bad{"DELETE", "/v1/status", "", 405, "method_not_allowed"},
           Bad{"POST", "/v1/queries", "", 405, "method_not_allowed"},
           Bad{"GET", "/v1/queries?name=a..b", "", 400, "invalid"},
           Bad{"DELETE", "/v1/txt/a..b", "", 400, "invalid"},
           Bad{"DELETE", "/v1/txt/a.auth.test?value=%00", "", 400, "invalid"},
           Bad{"DELETE", "/v1/txt/a.auth.test?value=a&value=b", "", 400, "invalid"},
           Bad{"GET", "/v1/txt?name=a..b", "", 400, "invalid"},
           Bad{"GET", "/v1/txt?nane=a.auth.test", "", 400, "invalid"},
           Bad{"GET", "/v1/txt?name=", "", 400, "invalid"},
           Bad{"GET", "/", "", 404, "not_found"},
           Bad{"GET", "/v1", "", 404, "not_found"},
           Bad{"GET", "/v2/status", "", 404, "not_found"},
           Bad{"GET", "/metrics/x", "", 404, "not_found"},
           Bad{"GET", "/v1/metrics", "", 404, "not_found"},
           Bad{"POST", "/metrics", "", 405, "method_not_allowed"},
           Bad{"GET", "/metrics?name=x", "", 400, "invalid"},
           Bad{"GET", "/v1/txt/a/b", "", 404, "not_found"},
           Bad{"GET", "http://elsewhere/v1/status", "", 400, "invalid"},
       }) {
    INFO(bad.method << " " << bad.target << " " << bad.body);
    ApiResponse response = api.ask(bad.method, bad.target, bad.body);
    CHECK(response.status == bad.status);
    CHECK(error_code(response) == bad.code);
    CHECK_FALSE(json::parse(response.body).at("error").at("message").as_string().empty());
  }
  CHECK(api.ask("GET", "/v1/txt").body == "[]");
  CHECK(api.ask("POST", "/v1/txt/a.auth.test").allow == "PUT, DELETE");
}

TEST_CASE("more values than a name may have are refused, not silently dropped", "[dnsd][api]") {
  Api api;
  for (const char* body : {R"({"value":"1"})", R"({"value":"2"})", R"({"value":"3"})"})
    REQUIRE(api.ask("PUT", "/v1/txt/a.auth.test", body).status == 200);
  ApiResponse full = api.ask("PUT", "/v1/txt/a.auth.test", R"({"value":"4"})");
  CHECK(full.status == 409);
  CHECK(error_code(full) == "full");
  CHECK(values(api.ask("GET", "/v1/txt")) == "1 2 3 ");
}

TEST_CASE("a store that cannot write is 503, and works again afterwards", "[dnsd][api]") {
  Api api;
  REQUIRE(api.ask("PUT", "/v1/txt/a.auth.test", R"({"value":"before"})").status == 200);
  // No file may grow: as on a full disk.
  auto old_handler = signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit none{0, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &none);
  ApiResponse response = api.ask("PUT", "/v1/txt/a.auth.test", R"({"value":"during"})");
  ApiResponse status = api.ask("GET", "/v1/status");
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, old_handler);
  CHECK(response.status == 503);
  CHECK(error_code(response) == "unavailable");
  CHECK(json::parse(status.body).at("store").at("ok").as_bool() == false);
  CHECK_FALSE(json::parse(status.body).at("store").at("error").as_string().empty());
  CHECK(values(api.ask("GET", "/v1/txt")) == "before ");
  CHECK(api.ask("PUT", "/v1/txt/a.auth.test", R"({"value":"after"})").status == 200);
  CHECK(json::parse(api.ask("GET", "/v1/status").body).at("store").at("ok").as_bool());
}

TEST_CASE("the status has the zones, the addresses and the sums of all counters", "[dnsd][api]") {
  Api api;
  Counters other;
  api.facts.counters.queries.push_back(&other);
  api.counters.queries_udp.add(3);
  other.queries_udp.add(4);
  other.nxdomain.add();
  api.zone.clock().advance(std::chrono::seconds(90));
  REQUIRE(api.ask("PUT", "/v1/txt/a.auth.test", R"({"value":"v"})").status == 200);
  ApiResponse response = api.ask("GET", "/v1/status");
  REQUIRE(response.status == 200);
  json::value status = json::parse(response.body);
  CHECK(status.at("version").as_string() == COUNTERSIGN_VERSION);
  CHECK(status.at("uptime_s").to_number<int>() == 90);
  CHECK(status.at("values").to_number<int>() == 1);
  CHECK(status.at("registrations").to_number<int>() == 0);
  CHECK(json::serialize(status.at("listen")) == R"(["127.0.0.1:53"])");
  const json::value& zone = status.at("zones").at(0);
  CHECK(zone.at("name").as_string() == "auth.test");
  CHECK(zone.at("names").to_number<int>() == 1);
  CHECK(zone.at("values").to_number<int>() == 1);
  CHECK(zone.at("serial").to_number<std::uint32_t>() > 0);
  CHECK(status.at("queries").at("udp").to_number<int>() == 7);
  CHECK(status.at("queries").at("nxdomain").to_number<int>() == 1);
  CHECK(status.at("store").at("ok").as_bool());
}

namespace {

// The value of a sample, as text; "" when it is not there.
std::string sample(const std::string& metrics, const std::string& name) {
  std::size_t at = ("\n" + metrics).find("\n" + name + " ");
  if (at == std::string::npos) return {};
  at += name.size() + 1;
  return metrics.substr(at, metrics.find('\n', at) - at);
}

}  // namespace

TEST_CASE("the metrics have the sums of all counters, each family once", "[dnsd][api]") {
  Api api;
  Counters other;
  UdpCounters udp;
  api.facts.counters.queries.push_back(&other);
  api.facts.counters.udp = {&udp};
  api.facts.started_at = base::WallTime(std::chrono::milliseconds(1'795'000'000'250));
  api.facts.reloads.failed = 2;
  api.facts.reloads.last_failed = true;
  api.counters.queries_udp.add(3);
  other.queries_udp.add(4);
  other.nxdomain.add();
  udp.cut.add(5);
  REQUIRE(api.ask("PUT", "/v1/txt/a.auth.test", R"({"value":"v"})").status == 200);
  REQUIRE(api.ask("PUT", "/v1/txt/a.auth.test", R"({"value":"w"})").status == 200);
  ApiResponse response = api.ask("GET", "/metrics");
  REQUIRE(response.status == 200);
  CHECK(response.content_type == "text/plain; version=0.0.4; charset=utf-8");
  const std::string& text = response.body;
  INFO(text);
  CHECK(text.ends_with('\n'));
  CHECK(sample(text, R"(countersign_dns_queries_total{transport="udp"})") == "7");
  CHECK(sample(text, R"(countersign_dns_queries_total{transport="tcp"})") == "0");
  CHECK(sample(text, R"(countersign_dns_responses_total{rcode="NXDOMAIN"})") == "1");
  CHECK(sample(text, "countersign_dns_udp_cut_total") == "5");
  CHECK(sample(text, R"(countersign_zone_values{zone="auth.test"})") == "2");
  CHECK(sample(text, R"(countersign_zone_names{zone="auth.test"})") == "1");
  CHECK(std::stoul(sample(text, R"(countersign_zone_serial{zone="auth.test"})")) > 0);
  CHECK(sample(text, "countersign_store_commits_total") == "2");
  CHECK(sample(text, "countersign_store_ok") == "1");
  CHECK(sample(text, "process_start_time_seconds") == "1795000000.25");
  CHECK(std::stoul(sample(text, "process_resident_memory_bytes")) > 1'000'000);
  CHECK(sample(text, R"(countersign_reloads_total{result="failed"})") == "2");
  CHECK(sample(text, "countersign_config_last_reload_successful") == "0");
  CHECK(sample(text, R"(countersign_build_info{version=")" COUNTERSIGN_VERSION R"("})") == "1");
  for (const CounterRow& row : kCounterTable) {
    std::string labels = row.labels.empty() ? "" : "{" + std::string(row.labels) + "}";
    CHECK_FALSE(sample(text, "countersign_dns_" + std::string(row.family) + labels).empty());
  }
  std::set<std::string> families;
  for (std::size_t at = 0; (at = text.find("# TYPE ", at)) != std::string::npos; ++at)
    CHECK(families.insert(text.substr(at + 7, text.find(' ', at + 7) - at - 7)).second);
}

TEST_CASE("a store that hangs does not hold up the status and the metrics, which tell of it", "[dnsd][api]") {
  Api api;
  REQUIRE(api.ask("PUT", "/v1/txt/a.auth.test", R"({"value":"v"})").status == 200);
  ControlApi hurried(api.context.get_executor(), api.zone.publisher(), api.facts, api.zone.clock(), nullptr,
                     std::chrono::milliseconds(20));
  auto ask = [&](const std::string& target) {
    std::optional<ApiResponse> response;
    asio::co_spawn(api.context, hurried.handle_request(ApiRequest("GET", target)),
                   [&response](std::exception_ptr, ApiResponse answer) { response = std::move(answer); });
    api.context.restart();
    while (!response) REQUIRE(api.context.run_one_for(std::chrono::seconds(10)) == 1);
    return *response;
  };
  CHECK(sample(ask("/metrics").body, "countersign_store_stalled") == "0");
  // A completion that does not return is to the store thread what a disk is that does not.
  std::promise<void> hanging, released;
  api.zone.publisher().snapshot([&](base::Result<zones::StoreSnapshot>) {
    hanging.set_value();
    released.get_future().wait();
  });
  hanging.get_future().wait();
  // The second one does not even try.
  for (int round = 0; round < 2; ++round) {
    ApiResponse metrics = ask("/metrics");
    CHECK(metrics.status == 200);
    CHECK(sample(metrics.body, "countersign_store_ok") == "0");
    CHECK(sample(metrics.body, "countersign_store_stalled") == "1");
    CHECK(sample(metrics.body, R"(countersign_zone_values{zone="auth.test"})") == "1");
    CHECK_FALSE(sample(metrics.body, R"(countersign_dns_queries_total{transport="udp"})").empty());
    ApiResponse status = ask("/v1/status");
    REQUIRE(status.status == 200);
    json::value document = json::parse(status.body);
    CHECK_FALSE(document.at("store").at("ok").as_bool());
    CHECK(document.at("store").at("error").as_string() == "the store does not answer; its disk may hang");
    CHECK(document.at("values").to_number<int>() == 1);
  }
  released.set_value();
  api.context.restart();
  api.context.run();  // until the late answer is there
  CHECK(sample(ask("/metrics").body, "countersign_store_ok") == "1");
  CHECK(sample(ask("/metrics").body, "countersign_store_stalled") == "0");
}

TEST_CASE("an IPv4 client of a socket for both families is written as IPv4", "[dnsd][api]") {
  for (auto [address, text] :
       {std::pair("[::ffff:192.0.2.1]:4000", "192.0.2.1"), std::pair("192.0.2.1:4000", "192.0.2.1"),
        std::pair("[2001:db8::1]:4000", "2001:db8::1")}) {
    SeenEvent event;
    event.client = *base::SocketAddress::parse(address);
    event.name_length = 1;  // the root
    CHECK(json::parse(query_line(event, {})).at("client").as_string() == text);
  }
}

TEST_CASE("only a well-formed GET of the queries is a stream", "[dnsd][api]") {
  CHECK(ControlApi::query_stream(ApiRequest("GET", "/v1/queries")));
  auto filtered = ControlApi::query_stream(ApiRequest("GET", "/v1/queries?name=A.auth.test."));
  REQUIRE(filtered);
  CHECK(filtered->name == *base::Name::parse("a.auth.test"));
  CHECK_FALSE(ControlApi::query_stream(ApiRequest("POST", "/v1/queries")));
  CHECK_FALSE(ControlApi::query_stream(ApiRequest("GET", "/v1/queries/x")));
  CHECK_FALSE(ControlApi::query_stream(ApiRequest("GET", "/v1/queries?name=a..b")));
}

TEST_CASE("a target is split before it is decoded", "[dnsd][api]") {
  auto target = RequestTarget::parse("/v1/txt/a%2Fb.auth.test?name=x%26y&value=a+b");
  REQUIRE(target);
  CHECK(target->path == std::vector<std::string>{"v1", "txt", "a/b.auth.test"});
  REQUIRE(target->query.size() == 2);
  CHECK(target->query[0].second == "x&y");
  CHECK(target->query[1].second == "a b");
  for (const char* bad : {"", "v1", "/%", "/%4", "/%4x", "/a?b=%"}) CHECK_FALSE(RequestTarget::parse(bad));
}
