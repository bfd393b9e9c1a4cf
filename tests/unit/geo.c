#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/geo/geo.h"

#define AT(lat, lon)                                                                               \
	(struct kc_geo_point)                                                                      \
	{                                                                                          \
		(int32_t)((lat)*1e6), (int32_t)((lon)*1e6)                                         \
	}

/* Published great-circle distances; half a percent is what a sphere costs. */
static void test_distances(void **x)
{
	static const struct {
		struct kc_geo_point a, b;
		int km;
	} known[] = {
		{ { 51477500, -461389 }, { 49009722, 2547778 }, 347 },	       /* LHR CDG */
		{ { 40639722, -73778889 }, { 51477500, -461389 }, 5540 },      /* JFK LHR */
		{ { 33942500, -118408056 }, { -33946111, 151177222 }, 12051 }, /* LAX SYD */
		{ { 0, 179900000 }, { 0, -179900000 }, 22 },	      /* over the date line */
		{ { 90000000, 0 }, { -90000000, 120000000 }, 20015 }, /* pole to pole */
		{ { 50110000, 8680000 }, { 50110000, 8680000 }, 0 },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		int km = kc_geo_km(known[i].a, known[i].b);

		assert_in_range(abs(km - known[i].km), 0, 1 + known[i].km / 200);
		assert_int_equal(km, kc_geo_km(known[i].b, known[i].a));
	}
}

static const char *nearest(const char *provider, struct kc_geo_point p)
{
	int32_t km;

	return kc_region_nearest(provider, p, &km)->code;
}

static void test_nearest(void **x)
{
	int32_t km;

	assert_string_equal(nearest("aws", AT(50.1, 8.6)), "eu-central-1");
	assert_string_equal(nearest("gcp", AT(50.1, 8.6)), "europe-west3");
	assert_string_equal(nearest("azure", AT(50.1, 8.6)), "germanywestcentral");
	assert_string_equal(nearest("aws", AT(35.7, 139.7)), "ap-northeast-1");
	/* Fiji: the nearest region lies beyond the date line of no one. */
	assert_string_equal(nearest("aws", AT(-18.1, 178.4)), "ap-southeast-6");
	/* Of two in one place the first by code. */
	assert_string_equal(nearest("azure", AT(-35.3, 149.1)), "australiacentral");
	/* Beijing has a region, of another cloud of that name. */
	assert_string_equal(nearest("aws", AT(39.9, 116.4)), "ap-northeast-2");
	assert_null(kc_region_nearest("none", AT(0, 0), &km));
}

static void test_table(void **x)
{
	static const char *const continents[] = { "AF", "AS", "EU", "NA", "OC", "SA" };
	size_t n;
	const struct kc_region *all = kc_regions(&n);

	assert_in_range(n, 100, 1000);
	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		assert_in_range(abs(all[i].at.lat), 1, 90000000);
		assert_in_range(abs(all[i].at.lon), 1, 180000000);
		while (k < 6 && strcmp(all[i].continent, continents[k]) != 0)
			k++;
		assert_in_range(k, 0, 5);
		assert_ptr_equal(kc_region_find(all[i].provider, all[i].code), &all[i]);
		if (i && strcmp(all[i].provider, all[i - 1].provider) == 0)
			assert_true(strcmp(all[i].code, all[i - 1].code) > 0);
	}
	assert_null(kc_region_find("aws", "europe-west3"));
}

static void test_cities(void **x)
{
	size_t n;
	const struct kc_city *all = kc_cities(&n);
	int sum = 0;

	assert_in_range(n, 40, 60);
	for (size_t i = 0; i < n; i++) {
		int order = i ? strcmp(all[i].continent, all[i - 1].continent) : 1;

		assert_in_range(all[i].permille, 1, 100);
		assert_in_range(abs(all[i].at.lat), 1, 90000000);
		assert_in_range(abs(all[i].at.lon), 1, 180000000);
		assert_true(order > 0 || (!order && strcmp(all[i].name, all[i - 1].name) > 0));
		sum += all[i].permille;
	}
	assert_int_equal(sum, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_distances),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_cities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
