/* What is made of a node's answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "bootstrap/validate.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define CURRENT "/var/lib/kubelet/pki/kubelet-client-current.pem"

enum { NOW = 1800000000, DAY = 86400 };

static json_t *answer_of(json_t *certs)
{
	return kc_pack("{s:i, s:{s:b, s:s}, s:o}", "format", 1, "dns", "ok", 1, "why", "", "certs",
		       certs);
}

/* Whether the check of certificates is ok, and that its text has these words. */
static void assert_certs(json_t *certs, bool ok, const char *words)
{
	json_auto_t *answer = answer_of(certs), *checks = json_array();
	const json_t *c;

	assert_int_equal(validate_judge(checks, "w1", "fra1", "10.96.0.10", answer, NOW, NULL), 0);
	assert_int_equal(json_array_size(checks), 2);
	c = json_array_get(checks, 1);
	assert_string_equal(kc_json_get_str(c, "id", ""), "certificates/w1");
	assert_int_equal(kc_json_get_bool(c, "ok", !ok), ok);
	if (!strstr(kc_json_get_str(c, "text", ""), words))
		fail_msg("\"%s\" does not say \"%s\"", kc_json_get_str(c, "text", ""), words);
}

static json_t *two(const char *a, long a_end, const char *b, long b_end)
{
	return kc_pack("[{s:s, s:I}, {s:s, s:I}]", "path", a, "notAfter", (json_int_t)NOW + a_end,
		       "path", b, "notAfter", (json_int_t)NOW + b_end);
}

static void certificates(void **state)
{
	assert_certs(two("/a", 364 * DAY, "/b", 300 * DAY), true,
		     "the first expires in 300 days (/b)");
	assert_certs(two("/a", 60 * DAY, "/b", 300 * DAY), true, "60 days (/a)");
	assert_certs(two("/a", 60 * DAY - 1, "/b", 300 * DAY), false,
		     "/a expires in 59 days; `kubecdn cluster update fra1` renews");
	assert_certs(two("/a", 12 * DAY, "/b", -1), false, "/b has expired");
	assert_certs(two("/a", -1, "/b", 12 * DAY), false, "/a has expired");
	/* The kubelet renews its own, at up to nine tenths of its year. */
	assert_certs(two("/a", 364 * DAY, CURRENT, 37 * DAY), true, "37 days");
	assert_certs(two("/a", 364 * DAY, CURRENT, 29 * DAY), false, "journalctl -u kubelet");
	assert_certs(two("/a", 59 * DAY, CURRENT, 37 * DAY), false, "/a expires in 59 days");
	assert_certs(kc_pack("[{s:s, s:n}]", "path", "/a", "notAfter"), false, "/a is not there");
	assert_certs(json_array(), false, "has none");
}

static void dns(void **state)
{
	json_auto_t *good = answer_of(json_array()), *bad = answer_of(json_array()),
		    *checks = json_array();
	const json_t *c;

	json_object_set_new(bad, "dns", kc_pack("{s:b, s:s}", "ok", 0, "why", "no answer"));
	assert_int_equal(validate_judge(checks, "w1", "fra1", "10.96.0.10", good, NOW, NULL), 0);
	assert_int_equal(validate_judge(checks, "w2", "fra1", "10.96.0.10", bad, NOW, NULL), 0);
	c = json_array_get(checks, 0);
	assert_string_equal(kc_json_get_str(c, "id", ""), "dns/w1");
	assert_true(kc_json_get_bool(c, "ok", false));
	c = json_array_get(checks, 2);
	assert_string_equal(kc_json_get_str(c, "id", ""), "dns/w2");
	assert_false(kc_json_get_bool(c, "ok", true));
	assert_non_null(strstr(kc_json_get_str(c, "text", ""), "10.96.0.10: no answer"));
}

/* A malformed reply is an error, never health. */
static void malformed(void **state)
{
	static const char *const answers[] = {
		"{}", "{\"dns\":{\"ok\":true}}", "{\"dns\":1,\"certs\":[]}",
		"{\"dns\":{\"ok\":true},\"certs\":[{\"notAfter\":1}]}",
		"{\"dns\":{\"ok\":true},\"certs\":[\"/a\"]}"
	};

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		json_auto_t *answer = json_loads(answers[i], 0, NULL), *checks = json_array();
		struct kc_err err;

		assert_int_equal(validate_judge(checks, "w1", "fra1", "10.96.0.10", answer, NOW,
						&err),
				 KC_EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(certificates),
		cmocka_unit_test(dns),
		cmocka_unit_test(malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
