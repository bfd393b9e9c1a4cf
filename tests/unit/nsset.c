/* The delegation of a zone with several providers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dns/nsset.h"
#include "lib/codec/json.h"

static json_t *copy(const char *provider, size_t offered, bool fixed, int most, int want)
{
	json_t *names = json_array();

	for (size_t i = 0; i < offered; i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s-%zu.test.", provider, i);
		json_array_append_new(names, json_string(name));
	}
	return kc_pack("{s:s, s:o, s:b, s:i, s:i}", "provider", provider, "offered", names, "fixed",
		       (int)fixed, "most", most, "want", want);
}

/* How many of the names are of this provider. */
static size_t of(const json_t *names, const char *provider)
{
	size_t i, n = 0;
	json_t *v;

	json_array_foreach((json_t *)names, i, v)
		n += strncmp(json_string_value(v), provider, strlen(provider)) == 0;
	return n;
}

static void test_three_clouds(void **state)
{
	json_auto_t *copies =
			    kc_pack("[o, o, o]", copy("route53", 4, false, 0, 0),
				    copy("clouddns", 4, false, 8, 0), copy("azure", 4, true, 0, 0)),
		    *names = NULL;

	assert_int_equal(kc_nsset_solve(copies, &names, NULL), 0);
	assert_int_equal(json_array_size(names), 8);
	assert_int_equal(of(names, "azure"), 4);
	assert_int_equal(of(names, "route53"), 2);
	assert_int_equal(of(names, "clouddns"), 2);
}

static void test_no_room(void **state)
{
	json_auto_t *copies =
			    kc_pack("[o, o, o, o]", copy("route53", 4, false, 0, 3),
				    copy("clouddns", 4, false, 8, 2), copy("azure", 4, true, 0, 0),
				    copy("rfc2136", 2, false, 0, 0)),
		    *names = NULL;
	struct kc_err err;

	assert_int_equal(kc_nsset_solve(copies, &names, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "10 name servers"));
	assert_non_null(strstr(err.msg, "clouddns takes 8"));
	assert_null(names);
}

static void test_wishes(void **state)
{
	json_auto_t *copies = kc_pack("[o, o]", copy("route53", 4, false, 0, 3),
				      copy("rfc2136", 1, false, 0, 0)),
		    *names = NULL, *too_many = kc_pack("[o]", copy("rfc2136", 2, false, 0, 3)),
		    *fixed = kc_pack("[o]", copy("azure", 4, true, 0, 2)),
		    *empty = kc_pack("[o]", copy("rfc2136", 0, false, 0, 0));
	struct kc_err err;

	assert_int_equal(kc_nsset_solve(copies, &names, NULL), 0);
	assert_int_equal(of(names, "route53"), 3);
	assert_int_equal(of(names, "rfc2136"), 1);
	assert_int_equal(kc_nsset_solve(too_many, &names, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "publish[0].ns is 3"));
	assert_int_equal(kc_nsset_solve(fixed, &names, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "none of which can be taken out"));
	assert_int_equal(kc_nsset_solve(empty, &names, &err), KC_EINVAL);
}

static void test_alone(void **state)
{
	json_auto_t *copies = kc_pack("[o]", copy("route53", 4, false, 0, 0)), *names = NULL;

	assert_int_equal(kc_nsset_solve(copies, &names, NULL), 0);
	assert_int_equal(json_array_size(names), 4);
}

/* A second server of one's own that has no name but the first one's is no mistake. */
static void test_shared(void **state)
{
	json_t *second = copy("rfc2136", 0, true, 0, 0);
	json_auto_t *copies = kc_pack("[o, o, o]", copy("own", 2, true, 0, 0), second,
				      copy("route53", 4, false, 0, 0)),
		    *names = NULL, *none = NULL;

	assert_int_equal(kc_nsset_solve(copies, &none, NULL), KC_EINVAL);
	json_object_set_new(second, "shared", json_true());
	assert_int_equal(kc_nsset_solve(copies, &names, NULL), 0);
	assert_int_equal(json_array_size(names), 4);
	assert_int_equal(of(names, "own"), 2);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_three_clouds), cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_wishes),	     cmocka_unit_test(test_alone),
		cmocka_unit_test(test_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
