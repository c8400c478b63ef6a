#include "dnsd/api/rate_buckets.hpp"

#include "tests/support/catch.hpp"

using namespace countersign;
using dnsd::RateBuckets;
using std::chrono::milliseconds;

TEST_CASE("a bucket gives its burst at once and then a token each so often", "[dnsd][api]") {
  RateBuckets buckets(10);
  RateBuckets::Limit limit{2, 3};
  base::ElapsedTime now{5000};
  for (int i = 0; i < 3; ++i) CHECK_FALSE(buckets.take("a", limit, now));
  auto wait = buckets.take("a", limit, now);
  REQUIRE(wait);
  CHECK(*wait == milliseconds(500));
  // Asking does not make it longer.
  CHECK(buckets.take("a", limit, now + milliseconds(100)) == milliseconds(400));
  CHECK_FALSE(buckets.take("a", limit, now + *wait));
  CHECK(buckets.take("a", limit, now + *wait));
  CHECK_FALSE(buckets.take("b", limit, now));
  for (int i = 0; i < 9; ++i) CHECK_FALSE(buckets.look("b", limit, now));
  CHECK(buckets.look("a", limit, now + milliseconds(500)) == milliseconds(500));
  CHECK_FALSE(buckets.look("unknown", limit, now));
  // After a long pause there is the burst again, and no more.
  now += std::chrono::hours(1);
  for (int i = 0; i < 3; ++i) CHECK_FALSE(buckets.take("a", limit, now));
  CHECK(buckets.take("a", limit, now));
}

TEST_CASE("whoever waits as long as they were told gets a token, at any rate", "[dnsd][api]") {
  for (double rate : {1 / 60.0, 0.3, 1.0, 7.0, 333.0, 1e6}) {
    RateBuckets buckets(10);
    base::ElapsedTime now{1};
    for (int i = 0; i < 200; ++i) {
      auto wait = buckets.take("a", {rate, 1}, now);
      if (!wait) continue;
      INFO(rate << " " << i);
      CHECK_FALSE(buckets.take("a", {rate, 1}, now + *wait));
      now += *wait;
    }
  }
}

TEST_CASE("a rate or a burst of 0 is no limit", "[dnsd][api]") {
  RateBuckets buckets(10);
  for (int i = 0; i < 1000; ++i) {
    CHECK_FALSE(buckets.take("a", {0, 5}, base::ElapsedTime(1)));
    CHECK_FALSE(buckets.take("a", {5, 0}, base::ElapsedTime(1)));
  }
  CHECK(buckets.size() == 0);
}

TEST_CASE("a stranger with a million addresses neither fills the memory nor frees who is limited", "[dnsd][api]") {
  RateBuckets buckets(1000);
  RateBuckets::Limit limit{0.001, 5};
  base::ElapsedTime now{1};
  for (int i = 0; i < 5; ++i) CHECK_FALSE(buckets.take("limited", limit, now));
  for (int i = 0; i < 1'000'000; ++i) {
    CHECK_FALSE(buckets.take(std::to_string(i), limit, now));
    if (buckets.size() > 1000) FAIL("it grows");
  }
  CHECK(buckets.take("limited", limit, now));
}

TEST_CASE("full buckets are the first that are forgotten", "[dnsd][api]") {
  RateBuckets buckets(4);
  RateBuckets::Limit limit{1, 2};
  base::ElapsedTime now{1};
  for (const char* key : {"a", "b", "c"}) CHECK_FALSE(buckets.take(key, limit, now));
  now += std::chrono::seconds(10);
  CHECK_FALSE(buckets.take("d", limit, now));
  CHECK_FALSE(buckets.take("e", limit, now));
  CHECK(buckets.size() == 2);
  RateBuckets one(1);
  for (const char* key : {"a", "b", "c"}) CHECK_FALSE(one.take(key, limit, now));
  CHECK(one.size() == 1);
}

TEST_CASE("a token that is given back can be taken again, and is no more than there was", "[dnsd][api]") {
  RateBuckets buckets(10);
  RateBuckets::Limit limit{1, 2};
  base::ElapsedTime now{5000};
  buckets.give_back("unknown", limit, now);
  CHECK(buckets.size() == 0);
  for (int i = 0; i < 5; ++i) {
    CHECK_FALSE(buckets.take("a", limit, now));
    buckets.give_back("a", limit, now);
  }
  buckets.give_back("a", limit, now);
  for (int i = 0; i < 2; ++i) CHECK_FALSE(buckets.take("a", limit, now));
  CHECK(buckets.take("a", limit, now) == milliseconds(1000));
}
