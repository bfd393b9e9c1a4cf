#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/engine.h"
#include "lib/plan/plan.h"
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

static char *text_of_change(const char *from, const char *to)
{
	_cleanup_buf_ struct kc_buf out = { 0 };
	json_auto_t *plan = NULL;
	_cleanup_free_ char *text =
		xasprintf("[{\"id\": \"file/a\", \"action\": \"update\", \"changes\": [{\"path\": "
			  "\"content\", \"from\": %s, \"to\": %s}]}]",
			  from, to);

	assert_int_equal(kc_json_parse(text, strlen(text), "plan", &plan, NULL), 0);
	kc_plan_text(plan, false, &out);
	return kc_buf_steal(&out);
}

/* A secret is one value: a change says which version takes which one's place, never an HMAC. */
static void test_secret_versions(void **x)
{
	const struct kc_kind kind = { .name = "x" };
	const struct kc_diff d = { .kind = &kind };
	json_auto_t *want = NULL, *actual = NULL;
	json_t *changes = NULL;
	bool replace = false;
	static const char *const cases[][3] = {
		{ "{\"secret\":\"pki/ca.crt\",\"version\":1,\"hmac\":\"aa\"}",
		  "{\"secret\":\"pki/ca.crt\",\"version\":2,\"hmac\":\"bb\"}",
		  "content: pki/ca.crt: version 1 -> 2\n" },
		{ "{\"secret\":\"pki/ca.crt\",\"hmac\":\"aa\"}",
		  "{\"secret\":\"pki/ca.crt\",\"version\":2,\"hmac\":\"bb\"}",
		  "content: pki/ca.crt: other bytes -> version 2\n" },
		{ "{\"secret\":\"pki/ca.crt\",\"version\":2,\"hmac\":\"aa\"}",
		  "{\"secret\":\"pki/ca.crt\",\"version\":2,\"hmac\":\"bb\"}",
		  "content: pki/ca.crt: version 2 -> other bytes of version 2\n" },
		{ "\"text\"", "{\"secret\":\"pki/ca.crt\",\"version\":2,\"hmac\":\"bb\"}",
		  "content: \"text\" -> pki/ca.crt: version 2\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = text_of_change(cases[i][0], cases[i][1]);

		if (!strstr(text, cases[i][2]))
			fail_msg("%s is not in %s", cases[i][2], text);
	}
	want = kc_pack("{s:{s:s, s:i, s:s}}", "c", "secret", "s", "version", 2, "hmac", "bb");
	actual = kc_pack("{s:{s:s, s:i, s:s}}", "c", "secret", "s", "version", 1, "hmac", "aa");
	kc_diff(&d, want, actual, actual, &changes, &replace);
	assert_int_equal(json_array_size(changes), 1);
	assert_string_equal(kc_json_get_str(json_array_get(changes, 0), "path", ""), "c");
	json_decref(changes);
	kc_diff(&d, want, want, actual, &changes, &replace);
	assert_int_equal(json_array_size(changes), 0);
	json_decref(changes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_refs),
		cmocka_unit_test(test_secret_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
