/* Whose word takes a region out of what servers answer that check nothing themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dns/policy.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

static json_t *policy_of(const char *regions, int quorum)
{
	json_auto_t *names = kc_json_split(regions, ','), *list = json_array();
	const json_t *name;
	size_t i;

	json_array_foreach(names, i, name)
		json_array_append_new(list, kc_pack("{s:O}", "name", name));
	return kc_pack("{s:{s:O, s:o*}}", "spec", "regions", list, "failover",
		       quorum ? kc_pack("{s:i}", "quorum", quorum) : NULL);
}

/* "eu:us,ap us: ap-": eu says us and ap are down; ap serves nowhere. */
static json_t *claims_of(const char *text)
{
	json_auto_t *words = kc_json_split(text, ' ');
	json_t *claims = json_object();
	const json_t *word;
	size_t i;

	json_array_foreach(words, i, word) {
		const char *s = json_string_value(word);
		size_t n = strcspn(s, ":-");
		_cleanup_free_ char *region = xstrndup(s, n);
		const char *down = s[n] && s[n + 1] ? s + n + 1 : NULL;

		json_object_set_new(claims, region,
				    kc_pack("{s:i, s:o, s:o*}", "epoch", 1, "addresses",
					    s[n] == '-' ? json_array()
							: kc_pack("[s]", "192.0.2.1"),
					    "down", down ? kc_json_split(down, ',') : NULL));
	}
	return claims;
}

static void check(const char *regions, int quorum, const char *claims, const char *left)
{
	json_auto_t *policy = policy_of(regions, quorum), *all = claims_of(claims),
		    *notes = json_array(), *up = kc_policy_up(policy, all, notes),
		    *expected = kc_json_split(left, ','), *got = json_array();
	const char *region;
	json_t *claim;

	json_object_foreach(up, region, claim)
		json_array_append_new(got, json_string(region));
	kc_json_sort(got);
	if (!json_equal(got, expected)) {
		_cleanup_free_ char *t = kc_json_text(got);

		fail_msg("%s quorum %d: %s leaves %s, not %s", regions, quorum, claims, t, left);
	}
	assert_int_equal(json_array_size(notes) > 0, json_object_size(up) < json_object_size(all) ||
							     (quorum == 1 && streq(left, "eu,us")));
}

static void test_quorum(void **x)
{
	/* Of two neither is removed by the other's word alone, but where that is asked for. */
	check("eu,us", 0, "eu: us:", "eu,us");
	check("eu,us", 0, "eu:us us:", "eu,us");
	check("eu,us", 1, "eu:us us:", "eu");
	/* More than half of the others: two of two, two of three, three of four. */
	check("ap,eu,us", 0, "ap:us eu: us:", "ap,eu,us");
	check("ap,eu,us", 0, "ap:us eu:us us:", "ap,eu");
	check("ap,eu,sa,us", 0, "ap:us eu:us sa: us:", "ap,eu,sa");
	check("af,ap,eu,sa,us", 0, "af: ap:us eu:us sa: us:", "af,ap,eu,sa,us");
	check("af,ap,eu,sa,us", 0, "af:us ap:us eu:us sa: us:", "af,ap,eu,sa");
	check("af,ap,eu,sa,us", 4, "af:us ap:us eu:us sa: us:", "af,ap,eu,sa,us");
}

static void test_voices(void **x)
{
	/* Others that have no claim still count as others. */
	check("af,ap,eu,sa,us", 0, "ap:us eu:us us:", "ap,eu,us");
	/* Its own word, and that of who serves nowhere, is none. */
	check("ap,eu,us", 0, "ap: eu:us us:us", "ap,eu,us");
	check("ap,eu,us", 0, "ap-us eu:us us:", "ap,eu,us");
	/* Of a partition in two halves the larger one stays. */
	check("af,ap,eu,sa,us", 0, "af:eu,sa,us ap:eu,sa,us eu:af,ap sa:af,ap us:af,ap",
	      "eu,sa,us");
	/* What is not claimed is not left out. */
	check("ap,eu,us", 0, "ap:us eu:us us-", "ap,eu,us");
}

static void test_never_the_last(void **x)
{
	check("eu,us", 1, "eu:us us:eu", "eu,us");
}

static void test_endpoints_lead_too(void **x)
{
	json_auto_t *policy = policy_of("eu,us", 1), *claims = claims_of("eu:us us:eu"),
		    *notes = json_array(), *up = NULL, *none = NULL;
	json_t *endpoint = kc_pack("{s:s, s:b}", "id", "fra", "drain", 0);

	json_object_set_new(json_object_get(policy, "spec"), "endpoints", kc_pack("[o]", endpoint));
	up = kc_policy_up(policy, claims, notes);
	assert_int_equal(json_object_size(up), 0);
	json_object_set_new(endpoint, "drain", json_true());
	none = kc_policy_up(policy, claims, notes);
	assert_int_equal(json_object_size(none), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quorum),
		cmocka_unit_test(test_voices),
		cmocka_unit_test(test_never_the_last),
		cmocka_unit_test(test_endpoints_lead_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
