/* How many clients a change sends elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dns/shift.h"
#include "lib/codec/json.h"

static json_t *group(int lat, int lon, const char *address, int weight, const char *other, int more)
{
	json_t *members = kc_pack("[{s:s, s:i}]", "address", address, "weight", weight);

	if (other)
		json_array_append_new(members,
				      kc_pack("{s:s, s:i}", "address", other, "weight", more));
	return kc_pack("{s:i, s:i, s:o}", "lat", lat * 1000000, "lon", lon * 1000000, "members",
		       members);
}

static json_t *one(json_t *a)
{
	return kc_pack("[{s:[o]}]", "groups", a);
}

static json_t *two(json_t *a, json_t *b)
{
	return kc_pack("[{s:[o, o]}]", "groups", a, b);
}

static void test_nothing(void **state)
{
	json_auto_t *a =
		two(group(50, 8, "192.0.2.1", 1, NULL, 0), group(35, 139, "192.0.2.2", 1, NULL, 0));

	assert_int_equal(kc_traffic_shift(a, a), 0);
	assert_int_equal(kc_branches_addresses(a), 2);
}

static void test_everything(void **state)
{
	json_auto_t *a = one(group(50, 8, "192.0.2.1", 1, NULL, 0)),
		    *b = one(group(50, 8, "192.0.2.2", 1, NULL, 0)), *none = json_array();

	assert_int_equal(kc_traffic_shift(a, b), 1000);
	assert_int_equal(kc_traffic_shift(a, none), 1000);
}

static void test_by_weight(void **state)
{
	json_auto_t *a = one(group(0, 0, "192.0.2.1", 1, "192.0.2.2", 1)),
		    *b = one(group(0, 0, "192.0.2.1", 3, "192.0.2.2", 1)),
		    *c = one(group(0, 0, "192.0.2.1", 1, NULL, 0));

	assert_int_equal(kc_traffic_shift(a, b), 250);
	assert_int_equal(kc_traffic_shift(a, c), 500);
}

/* A far one that is added takes those that are near it, and nobody else. */
static void test_by_place(void **state)
{
	json_auto_t *a = one(group(50, 8, "192.0.2.1", 1, NULL, 0)),
		    *b = two(group(50, 8, "192.0.2.1", 1, NULL, 0),
			     group(-33, 151, "192.0.2.2", 1, NULL, 0));
	int moved = kc_traffic_shift(a, b);

	assert_true(moved > 5);
	assert_true(moved < 400);
}

static void test_a_fence(void **state)
{
	json_auto_t *a = one(group(50, 8, "192.0.2.1", 1, NULL, 0)),
		    *b = kc_pack("[{s:[s], s:[o]}, {s:[o]}]", "clients", "EU", "groups",
				 group(0, 0, "192.0.2.2", 1, NULL, 0), "groups",
				 group(50, 8, "192.0.2.1", 1, NULL, 0));
	int moved = kc_traffic_shift(a, b);

	assert_true(moved > 50);
	assert_true(moved < 300);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),	  cmocka_unit_test(test_everything),
		cmocka_unit_test(test_by_weight), cmocka_unit_test(test_by_place),
		cmocka_unit_test(test_a_fence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
