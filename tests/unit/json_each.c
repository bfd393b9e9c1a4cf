/* The items of a list in a document, one after the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

static const char zone[] = " {\"account\": \"\", \"n\": 1.5, \"nested\": {\"rrsets\": [1]},\n"
			   "\"rrsets\": [{\"a\": \"]}\"}, {\"a\": [\"\\u00e9\"]} , 3],"
			   " \"serial\": 7} ";

static int keep(void *cookie, const json_t *item, struct kc_err *err)
{
	json_array_append(cookie, (json_t *)item);
	return 0;
}

static int refuse(void *cookie, const json_t *item, struct kc_err *err)
{
	return kc_fail(err, KC_ECONFLICT, "no more");
}

static void test_items(void **x)
{
	json_auto_t *got = json_array(), *all = NULL;
	struct kc_err err;

	assert_int_equal(kc_json_each(zone, strlen(zone), "t", "rrsets", keep, got, &err), 0);
	assert_int_equal(kc_json_parse(zone, strlen(zone), "t", &all, &err), 0);
	assert_true(json_equal(got, json_object_get(all, "rrsets")));
	assert_int_equal(kc_json_each("{\"a\": []}", 9, "t", "a", refuse, NULL, &err), 0);
	assert_int_equal(kc_json_each(zone, strlen(zone), "t", "rrsets", refuse, NULL, &err),
			 KC_ECONFLICT);
}

static void refused(const char *text, const char *why)
{
	json_auto_t *got = json_array();
	struct kc_err err;

	assert_int_equal(kc_json_each(text, strlen(text), "t", "a", keep, got, &err), KC_EINVAL);
	if (!strstr(err.msg, why))
		fail_msg("%s: %s", text, err.msg);
}

static void test_refused(void **x)
{
	refused("", "no object");
	refused("[]", "no object");
	refused("{}", "no list \"a\"");
	refused("{\"b\": []}", "no list \"a\"");
	refused("{\"a\": {}}", "no list");
	refused("{\"a\": [], \"a\": []}", "twice");
	refused("{\"a\": [1 2]}", "does not end");
	refused("{\"a\": [1,]}", "not JSON");
	refused("{\"a\": [{\"b\": 1, \"b\": 2}]}", "duplicate");
	refused("{\"a\": [1]", "does not end");
	refused("{\"a\": [1]} x", "more after the end");
	refused("{1: [1]}", "no member");
}

/* Cut anywhere it is an error, with any byte another never more than one. */
static void test_broken(void **x)
{
	size_t len = strlen(zone) - 1;

	for (size_t n = 0; n < len; n++) {
		json_auto_t *got = json_array();
		_cleanup_free_ char *copy = xmemdup(zone, n + 1);
		struct kc_err err;

		assert_int_equal(kc_json_each(copy, n, "t", "rrsets", keep, got, &err), KC_EINVAL);
	}
	for (size_t i = 0; i < len; i++)
		for (int bit = 0; bit < 8; bit++) {
			json_auto_t *got = json_array();
			_cleanup_free_ char *copy = xmemdup(zone, len);
			struct kc_err err;

			copy[i] ^= (char)(1 << bit);
			(void)kc_json_each(copy, len, "t", "rrsets", keep, got, &err);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_items),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
