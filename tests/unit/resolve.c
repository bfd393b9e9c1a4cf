#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/resolve.h"

static int facts(void *cookie, const char *name, const json_t *arg, json_t **ret,
		 struct kc_err *err)
{
	if (streq(json_string_value(arg), "later"))
		return KC_EAGAIN;
	*ret = json_string("V");
	return 0;
}

static void check_resolve(const char *in, const char *out, int unknown)
{
	json_auto_t *v = json_loads(in, JSON_DECODE_ANY, NULL), *r = NULL;
	_cleanup_free_ char *text = NULL;
	struct kc_err err;
	int n = 0;

	assert_non_null(v);
	if (kc_resolve(v, facts, NULL, &r, &n, &err) < 0)
		fail_msg("%s", err.msg);
	text = kc_json_text(r);
	assert_string_equal(text, out);
	assert_int_equal(n, unknown);
}

static void test_resolve(void **x)
{
	check_resolve("{\"a\":{\"$fact\":\"x\"},\"b\":[{\"$fact\":\"x\"},1]}",
		      "{\"a\":\"V\",\"b\":[\"V\",1]}", 0);
	check_resolve("{\"$cat\":[\"a\",{\"$fact\":\"x\"},7]}", "\"aV7\"", 0);
	check_resolve("{\"$join\":[\",\",[\"a\",{\"$fact\":\"x\"}]]}", "\"a,V\"", 0);
	check_resolve("{\"$json\":{\"b\":1,\"a\":{\"$fact\":\"x\"}}}",
		      "\"{\\\"a\\\":\\\"V\\\",\\\"b\\\":1}\"", 0);
	check_resolve("{\"$cat\":[\"a\",{\"$fact\":\"later\"}]}",
		      "{\"$cat\":[\"a\",{\"$fact\":\"later\"}]}", 1);
	check_resolve("{\"$ref\":\"x\",\"more\":1}", "{\"$ref\":\"x\",\"more\":1}", 0);
	check_resolve("\"${x} {{y}} $ref\"", "\"${x} {{y}} $ref\"", 0);
}

static void test_refs(void **x)
{
	json_auto_t *v = json_loads("{\"a\":{\"$cat\":[\"x\",{\"$ref\":\"n/1#id\"}]},"
				    "\"b\":[{\"$ref\":\"n/1#other\"},{\"$ref\":\"n/2\"}]}",
				    0, NULL);
	json_auto_t *ids = json_array();

	kc_refs(v, ids);
	assert_int_equal(json_array_size(ids), 2);
	assert_true(kc_json_has_str(ids, "n/1"));
	assert_true(kc_json_has_str(ids, "n/2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_refs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
