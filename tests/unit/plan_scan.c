/* The owner scan: what carries the mark, whoever recorded it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/state.h"
#include "tests/unit/toy.h"
#include "tests/unit/plan_world.h"

#define THING(id, rest) "{\"id\":\"" id "\",\"kind\":\"toy/thing\",\"want\":{" rest "}}"

/* What only list knows is in the plan of a delete, and in its hash. */
static void test_strays(void **x)
{
	struct world *w = world_new();
	_cleanup_buf_ struct kc_buf text = { 0 };
	char empty[65], hash[65];

	w->provider = toy_marking_provider(&w->toy);
	w->toy.refuses = true;
	plan_ok(w, "[]");
	kc_plan_hash(w->plan, empty);
	apply_ok(w, "[" THING("net", "") "," THING("vm", "\"on\":{\"$ref\":\"net#oid\"}") "]");
	assert_int_equal(kc_state_forget(w->e.state, "vm", &w->err), 0);
	assert_int_equal(kc_state_forget(w->e.state, "net", &w->err), 0);
	plan_ok(w, "[]");
	assert_int_equal(kc_plan_pending(w->plan),
			 0); /* an update touches nothing it did not make */
	w->e.scan = true;
	plan_ok(w, "[" THING("net", "") "]");
	expect(w, "net", "keep");
	expect(w, "vm", "delete");
	plan_ok(w, "[]");
	expect(w, "net", "delete");
	kc_plan_hash(w->plan, hash);
	assert_string_not_equal(hash, empty);
	kc_plan_text(kc_plan_json(w->plan), false, &text);
	assert_string_equal(kc_buf_get(&text),
			    "! net: carries this owner's mark, but is not recorded\n- delete net\n"
			    "! vm: carries this owner's mark, but is not recorded\n- delete vm\n\n"
			    "Plan: 0 to create, 0 to update, 2 to delete, 0 unchanged.\n");
	apply_ok(w, "[]");
	plan_ok(w, "[]");
	kc_plan_hash(w->plan, hash);
	assert_string_equal(hash, empty);
	no_violations(w);
	world_free(w);
}

/* Somebody goes on making things while all is deleted: it is named, and the delete has failed. */
static void test_left_over(void **x)
{
	struct world *w = world_new();
	struct kc_plan *early;

	w->provider = toy_marking_provider(&w->toy);
	w->e.scan = true;
	plan_ok(w, "[]");
	early = TAKE(w->plan);
	w->e.scan = false;
	apply_ok(w, "[" THING("late", "") "]");
	assert_int_equal(kc_state_forget(w->e.state, "late", &w->err), 0);
	w->e.scan = true;
	assert_int_equal(kc_plan_apply(&w->e, early, &w->err), KC_EFAIL);
	assert_non_null(strstr(w->err.msg, "late: left with this owner's mark"));
	kc_plan_free(early);
	apply_ok(w, "[]");
	/* What the user gave up is not in the way. */
	apply_ok(w, "[" THING("a", "") "]");
	w->e.forget = "a";
	apply_ok(w, "[]");
	world_free(w);
}

/* A list that cannot be understood is no empty one. */
static void test_malformed_list(void **x)
{
	static const char *const bad[] = {
		"null",		"[]",		"7",	      "{\"\":{}}",
		"{\"a#b\":{}}", "{\"a\":null}", "{\"a\":[]}", "{\"a\":[{},1]}"
	};
	struct world *w = world_new();

	w->e.scan = true;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		w->toy.list_says = bad[i];
		if (plan(w, "[]") != KC_EFAIL || !strstr(w->err.msg, "listing toy/listed: "))
			fail_msg("%s: %s", bad[i], w->err.msg);
	}
	w->e.scan = false;
	w->toy.list_says = "{\"a\":[{\"n\":1},{\"n\":1}]}";
	assert_int_equal(plan(w, "[{\"id\":\"a\",\"kind\":\"toy/listed\",\"want\":{}}]"),
			 KC_ECONFLICT);
	assert_non_null(strstr(w->err.msg, "there are 2 of a"));
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strays),
		cmocka_unit_test(test_left_over),
		cmocka_unit_test(test_malformed_list),
	};

	return cmocka_run_group_tests(tests, root_new, root_gone);
}
