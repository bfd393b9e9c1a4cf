/* Who lands where: weights, places, fences, the dead, whole clouds, and what is too much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "dns/simulate.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define FRA "aws/eu-central-1"
#define IOW "gcp/us-central1"
#define TYO "azure/japaneast"

static json_t *endpoint(const char *id, const char *at, const char *address, int weight,
			int capacity)
{
	json_t *e = kc_pack("{s:s, s:s, s:[s], s:i}", "id", id, "at", at, "addresses", address,
			    "weight", weight);

	if (capacity)
		json_object_set_new(e, "capacity", json_integer(capacity));
	return e;
}

/* With checks that take 37 s at PowerDNS, of which 30 are the TTL. endpoints is taken. */
static json_t *policy(const char *provider, const char *route, json_t *endpoints)
{
	json_t *publish = kc_pack("[{s:s, s:b}]", "provider", provider, "locations", 1);
	json_t *spec =
		kc_pack("{s:s, s:s, s:s, s:o, s:{s:i}, s:[], s:o, s:o}", "zone", "example.com",
			"owner", "prod", "route", route, "endpoints", endpoints, "ttl", "answer",
			30, "fence", "health",
			kc_pack("{s:s, s:i, s:s}", "protocol", "https", "port", 443, "path", "/"),
			"publish", publish);

	return kc_pack("{s:{s:s}, s:o}", "metadata", "name", "www.example.com", "spec", spec);
}

static json_t *spec_of(json_t *p)
{
	return json_object_get(p, "spec");
}

static json_t *world(const char *provider)
{
	return policy(provider, "latency",
		      kc_pack("[o, o, o]", endpoint("fra", FRA, "192.0.2.1", 1, 100),
			      endpoint("iow", IOW, "192.0.2.2", 1, 100),
			      endpoint("tyo", TYO, "192.0.2.3", 1, 100)));
}

static json_t *report_of(const json_t *p)
{
	json_t *report = kc_simulate(p, NULL, &(struct kc_simulate_opts){ 0 });

	assert_non_null(report);
	return report;
}

/* Of the copy's scenarios the one that failed so. Borrowed. */
static json_t *scenario(const json_t *report, size_t copy, const char *failed)
{
	json_t *c = json_array_get(json_object_get(report, "copies"), copy), *s;
	size_t i;

	json_array_foreach(json_object_get(c, "scenarios"), i, s)
		if (streq(kc_json_get_str(s, "failed", ""), failed))
			return s;
	fail_msg("no scenario \"%s\"", failed);
	return NULL;
}

static json_t *cell(const json_t *s, const char *client)
{
	json_t *c;
	size_t i;

	json_array_foreach(json_object_get(s, "cells"), i, c)
		if (streq(kc_json_get_str(c, "client", ""), client))
			return c;
	fail_msg("no client \"%s\"", client);
	return NULL;
}

static void assert_to(const json_t *s, const char *client, const char *want, int dead)
{
	json_t *c = cell(s, client);
	_cleanup_free_ char *to = kc_json_text(json_object_get(c, "to"));

	assert_string_equal(to, want);
	assert_int_equal(kc_json_get_int(c, "dead", -1), dead);
}

static void assert_outage(const json_t *s, int seconds)
{
	json_t *v = json_object_get(s, "outage");

	if (seconds < 0)
		assert_true(json_is_null(v));
	else
		assert_int_equal(json_integer_value(v), seconds);
}

static void test_nearest(void **state)
{
	json_auto_t *p = world("powerdns"), *report = report_of(p), *again = report_of(p);
	const json_t *none = scenario(report, 0, "none"),
		     *dead = scenario(report, 0, "endpoint fra");

	assert_to(none, "Frankfurt", "{\"fra\":1000}", 0);
	assert_to(none, "New York", "{\"iow\":1000}", 0);
	assert_to(none, "Sydney", "{\"tyo\":1000}", 0);
	assert_int_equal(kc_json_get_int(cell(none, "Frankfurt"), "km", -1), 0);
	assert_in_range(kc_json_get_int(cell(none, "Sydney"), "km", -1), 7780, 7870);
	assert_outage(none, 0);
	assert_to(dead, "Frankfurt", "{\"iow\":1000}", 0);
	assert_to(dead, "New York", "{\"iow\":1000}", 0);
	assert_to(dead, "Delhi", "{\"tyo\":1000}", 0);
	assert_outage(dead, 37);
	/* Exactly those that were in Frankfurt. */
	assert_int_equal(kc_json_get_int(dead, "moved", -1),
			 kc_json_get_int(kc_json_at(none, "load.fra"), "share", -2));
	assert_int_equal(json_array_size(json_object_get(dead, "empty")), 0);
	assert_true(json_equal(report, again));
	assert_string_equal(kc_json_get_str(json_object_get(report, "worst"), "failed", ""),
			    "endpoint tyo");
}

static void test_weights(void **state)
{
	json_auto_t *endpoints = kc_pack("[o, o, o]", endpoint("a", FRA, "192.0.2.1", 5, 0),
					 endpoint("b", FRA, "192.0.2.2", 3, 0),
					 endpoint("c", IOW, "192.0.2.3", 1, 0));
	json_auto_t *ranked = policy("powerdns", "latency", json_deep_copy(endpoints)),
		    *any = policy("powerdns", "any", json_deep_copy(endpoints)),
		    *plain = policy("rfc2136", "any", json_deep_copy(endpoints)),
		    *of_ranked = report_of(ranked), *of_any = report_of(any),
		    *of_plain = report_of(plain);

	assert_to(scenario(of_ranked, 0, "none"), "Paris", "{\"a\":625,\"b\":375}", 0);
	assert_to(scenario(of_ranked, 0, "endpoint a"), "Paris", "{\"b\":1000}", 0);
	assert_to(scenario(of_any, 0, "none"), "Paris", "{\"a\":556,\"b\":333,\"c\":111}", 0);
	/* Plain records know no weights, and whoever is dead stays in the answer. */
	assert_to(scenario(of_plain, 0, "none"), "Paris", "{\"a\":334,\"b\":333,\"c\":333}", 0);
	assert_to(scenario(of_plain, 0, "endpoint b"), "Paris", "{\"a\":334,\"b\":333,\"c\":333}",
		  333);
	assert_outage(scenario(of_plain, 0, "endpoint b"), -1);
	assert_int_equal(json_array_size(
				 json_object_get(scenario(of_plain, 0, "endpoint b"), "empty")),
			 0);
}

static void test_fences(void **state)
{
	json_auto_t *p = world("powerdns"), *report = NULL;
	const json_t *s;
	struct kc_err err;

	json_object_set_new(spec_of(p), "fence",
			    kc_pack("[{s:[s], s:[s]}]", "clients", "EU", "only", "fra"));
	report = report_of(p);
	s = scenario(report, 0, "endpoint fra");
	/* Never out of the fence, dead or not; others of the same place go where somebody lives. */
	assert_to(s, "Frankfurt", "{\"fra\":1000}", 1000);
	assert_to(s, "Cairo", "{\"tyo\":1000}", 0);
	assert_true(kc_json_has_str(json_object_get(s, "empty"), "Moscow"));
	assert_false(kc_json_has_str(json_object_get(s, "empty"), "Istanbul"));
	assert_outage(s, -1);
	assert_int_equal(kc_json_get_int(s, "dead", -1), 126);

	assert_int_equal(kc_simulate_check(p, NULL, &err), 0);
	json_object_set_new(spec_of(p), "safety", kc_pack("{s:s}", "survive", "endpoint"));
	assert_int_equal(kc_simulate_check(p, NULL, &err), KC_EINVAL);
	assert_non_null(
		strstr(err.msg, "endpoint fra dead nobody alive answers Bucharest and others"));
}

static void test_no_checks(void **state)
{
	json_auto_t *p = world("powerdns"), *report = NULL;
	const json_t *s;

	json_object_del(spec_of(p), "health");
	report = report_of(p);
	s = scenario(report, 0, "endpoint tyo");
	assert_to(s, "Tokyo", "{\"tyo\":1000}", 1000);
	assert_to(s, "Paris", "{\"fra\":1000}", 0);
	assert_outage(s, -1);
	assert_int_equal(kc_json_get_int(s, "moved", -1), 0);
}

static void test_all_dead(void **state)
{
	json_auto_t *p = policy("powerdns", "latency",
				kc_pack("[o, o]", endpoint("a", FRA, "192.0.2.1", 1, 0),
					endpoint("b", "aws/us-east-1", "192.0.2.2", 1, 0))),
		    *report = report_of(p);
	const json_t *s = scenario(report, 0, "cloud aws");

	/* All of them are answered again: the nearest, dead as it is. */
	assert_to(s, "Paris", "{\"a\":1000}", 1000);
	assert_to(s, "New York", "{\"b\":1000}", 1000);
	assert_int_equal(json_array_size(json_object_get(s, "empty")),
			 json_array_size(json_object_get(report, "clients")));
	assert_int_equal(kc_json_get_int(s, "dead", -1), 1000);
	assert_outage(s, -1);
}

/* With Amazon dead its endpoints are, and the copy at Route 53; the other copy still answers. */
static void test_cloud(void **state)
{
	json_auto_t *p = world("powerdns"), *report = NULL, *alone = NULL;
	struct kc_err err;
	const json_t *s;

	json_array_append_new(json_object_get(spec_of(p), "publish"),
			      kc_pack("{s:s}", "provider", "route53"));
	json_object_set_new(spec_of(p), "safety", kc_pack("{s:s}", "survive", "cloud"));
	report = report_of(p);
	s = scenario(report, 0, "cloud aws");
	assert_false(kc_json_get_bool(s, "gone", true));
	assert_to(s, "Frankfurt", "{\"iow\":1000}", 0);
	assert_outage(s, 37);
	s = scenario(report, 1, "cloud aws");
	assert_true(kc_json_get_bool(s, "gone", false));
	assert_int_equal(json_array_size(json_object_get(s, "empty")), 0);
	assert_outage(s, 0);
	s = scenario(report, 1, "cloud gcp");
	assert_false(kc_json_get_bool(s, "gone", true));
	/* 30 s three times at most, 10 s for a check to fail, the TTL. */
	assert_outage(s, 130);
	assert_int_equal(kc_simulate_check(p, NULL, &err), 0);

	json_array_remove(json_object_get(spec_of(p), "publish"), 0);
	alone = report_of(p);
	s = scenario(alone, 0, "cloud aws");
	assert_true(kc_json_get_bool(s, "gone", false));
	assert_int_equal(kc_json_get_int(s, "dead", -1), 1000);
	assert_outage(s, -1);
	assert_int_equal(kc_simulate_check(p, NULL, &err), KC_EINVAL);
	json_object_set_new(spec_of(p), "safety", kc_pack("{s:s}", "survive", "endpoint"));
	assert_int_equal(kc_simulate_check(p, NULL, &err), 0);
}

static void test_too_much(void **state)
{
	json_auto_t *p = world("powerdns"), *report = report_of(p), *loaded = NULL;
	const json_t *copy = json_array_get(json_object_get(report, "copies"), 0),
		     *none = scenario(report, 0, "none"),
		     *dead = scenario(report, 0, "endpoint tyo");
	int64_t share = kc_json_get_int(kc_json_at(none, "load.tyo"), "share", 0);

	/* Asia is half of the world: what Tokyo can carry is what all can. */
	assert_in_range(share, 400, 500);
	assert_in_range(kc_json_get_int(none, "carries", 0), 100000 / (share + 1),
			100000 / (share - 1));
	assert_int_equal(kc_json_get_int(copy, "load", 0), kc_json_get_int(none, "carries", -1));
	assert_false(kc_json_get_bool(kc_json_at(none, "load.tyo"), "over", true));
	assert_true(kc_json_get_bool(kc_json_at(dead, "load.fra"), "over", false));
	assert_false(kc_json_get_bool(kc_json_at(dead, "load.tyo"), "over", true));

	loaded = kc_simulate(p, NULL, &(struct kc_simulate_opts){ .load = 100 });
	dead = scenario(loaded, 0, "endpoint tyo");
	assert_false(kc_json_get_bool(kc_json_at(dead, "load.fra"), "over", true));
}

/* Claims count as endpoints do; what could not be read is not guessed. */
static void test_claims(void **state)
{
	json_auto_t *p = world("powerdns"), *report = NULL, *unread = NULL,
		    *claims = kc_pack("[{s:{s:i, s:[s]}}]", "syd", "epoch", 1, "addresses",
				      "192.0.2.9"),
		    *unknown = kc_pack("[n]");
	const json_t *copy;

	json_object_set_new(spec_of(p), "regions",
			    kc_pack("[{s:s, s:s}]", "name", "syd", "at", "aws/ap-southeast-2"));
	report = kc_simulate(p, claims, &(struct kc_simulate_opts){ 0 });
	assert_to(scenario(report, 0, "none"), "Sydney", "{\"syd\":1000}", 0);
	assert_to(scenario(report, 0, "cloud aws"), "Sydney", "{\"tyo\":1000}", 0);
	unread = kc_simulate(p, unknown, &(struct kc_simulate_opts){ 0 });
	copy = json_array_get(json_object_get(unread, "copies"), 0);
	assert_non_null(strstr(kc_json_get_str(copy, "refused", ""), "could not be read"));
	assert_null(json_object_get(copy, "scenarios"));
}

/* Clients that ask for AAAA are sent to whoever has one. */
static void test_families(void **state)
{
	json_auto_t *p = world("powerdns"), *report = NULL;
	struct kc_err err;
	json_t *fra = json_array_get(json_object_get(spec_of(p), "endpoints"), 0);

	json_array_append_new(json_object_get(fra, "addresses"), json_string("2001:db8::1"));
	report = kc_simulate(p, NULL, &(struct kc_simulate_opts){ .family = AF_INET6 });
	assert_string_equal(kc_json_get_str(report, "type", ""), "AAAA");
	assert_to(scenario(report, 0, "none"), "Tokyo", "{\"fra\":1000}", 0);
	json_object_set_new(spec_of(p), "safety", kc_pack("{s:s}", "survive", "endpoint"));
	assert_int_equal(kc_simulate_check(p, NULL, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "(AAAA, powerdns of spec.publish[0])"));
}

static void test_refused(void **state)
{
	json_auto_t *p = world("powerdns"), *report = NULL;
	const json_t *copy;

	json_object_set_new(json_array_get(json_object_get(spec_of(p), "publish"), 0), "locations",
			    json_false());
	report = report_of(p);
	copy = json_array_get(json_object_get(report, "copies"), 0);
	assert_non_null(strstr(kc_json_get_str(copy, "refused", ""), "geoip-database-files"));
	assert_true(json_is_null(json_object_get(report, "worst")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nearest),	 cmocka_unit_test(test_weights),
		cmocka_unit_test(test_fences),	 cmocka_unit_test(test_no_checks),
		cmocka_unit_test(test_all_dead), cmocka_unit_test(test_cloud),
		cmocka_unit_test(test_too_much), cmocka_unit_test(test_claims),
		cmocka_unit_test(test_families), cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
