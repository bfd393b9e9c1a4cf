/* The gate over plans that take hosts away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "bootstrap/gate.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* One control plane and so many workers, the first lost of which the plan acts upon. */
static int judge(int workers, int lost, const char *action, const char *cp_action,
		 struct kc_err *err)
{
	json_auto_t *recorded = kc_pack("{s:{s:s, s:{s:{s:s}}}}", "node/cp1", "kind", "node",
					"want", "node", "role", "control-plane");
	json_auto_t *plan = kc_pack("{s:[{s:s, s:s, s:s}]}", "tasks", "id", "node/cp1", "kind",
				    "node", "action", cp_action);
	json_t *tasks = json_object_get(plan, "tasks");
	char id[32];

	for (int i = 0; i < workers; i++) {
		snprintf(id, sizeof(id), "node/w%d", i);
		json_object_set_new(recorded, id,
				    kc_pack("{s:s, s:{s:{s:s}}}", "kind", "node", "want", "node",
					    "role", "worker"));
		json_array_append_new(tasks, kc_pack("{s:s, s:s, s:s}", "id", id, "kind", "node",
						     "action", i < lost ? action : "keep"));
	}
	return kc_gate(plan, recorded, err);
}

static void the_control_plane_stays(void **state)
{
	static const char *const actions[] = { "delete", "replace", "forget" };
	struct kc_err err;

	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(judge(1, 0, "keep", actions[i], &err), KC_ECONFLICT);
		assert_non_null(strstr(err.msg, "node/cp1 is the control plane"));
		assert_non_null(strstr(err.msg, actions[i]));
	}
	assert_int_equal(judge(1, 0, "keep", "update", &err), 0);
}

static void a_few_workers_may_go(void **state)
{
	struct kc_err err;

	assert_int_equal(judge(9, 9, "delete", "keep", &err), 0);
	assert_int_equal(judge(10, 3, "delete", "keep", &err), 0);
	assert_int_equal(judge(10, 10, "update", "keep", &err), 0);
}

static void many_workers_at_once_are_asked_about(void **state)
{
	struct kc_err err;

	assert_int_equal(judge(10, 4, "delete", "keep", &err), KC_ECONFLICT);
	assert_string_equal(err.msg, "this would take 4 of 10 workers away, more than 30 %; if "
				     "that is meant, pass --force");
	assert_int_equal(judge(20, 7, "replace", "keep", &err), KC_ECONFLICT);
}

static void a_new_cluster_passes(void **state)
{
	json_auto_t *plan = kc_pack("{s:[{s:s, s:s, s:s}]}", "tasks", "id", "node/cp1", "kind",
				    "node", "action", "create");

	assert_int_equal(kc_gate(plan, NULL, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_control_plane_stays),
		cmocka_unit_test(a_few_workers_may_go),
		cmocka_unit_test(many_workers_at_once_are_asked_about),
		cmocka_unit_test(a_new_cluster_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
