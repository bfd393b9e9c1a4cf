#include "bootstrap/gate.h"

#include <stdbool.h>

#include "lib/base/str.h"
#include "lib/codec/json.h"

enum { MANY_WORKERS = 10, PERCENT = 30 };

static bool is_loss(const char *action)
{
	return streq(action, "delete") || streq(action, "replace") || streq(action, "forget");
}

static const char *role_of(const json_t *recorded, const char *id)
{
	return kc_json_get_str(kc_json_at(json_object_get(recorded, id), "want.node"), "role", "");
}

static size_t count_workers(const json_t *recorded)
{
	const char *id;
	const json_t *task;
	size_t n = 0;

	json_object_foreach((json_t *)recorded, id, task)
		n += streq(kc_json_get_str(task, "kind", ""), "node") &&
		     streq(role_of(recorded, id), "worker");
	return n;
}

int kc_gate(const json_t *plan, const json_t *recorded, struct kc_err *err)
{
	size_t all = count_workers(recorded), lost = 0, i;
	const json_t *task;

	json_array_foreach(json_object_get(plan, "tasks"), i, task) {
		const char *id = kc_json_get_str(task, "id", ""),
			   *action = kc_json_get_str(task, "action", "");

		if (!streq(kc_json_get_str(task, "kind", ""), "node") || !is_loss(action))
			continue;
		if (streq(role_of(recorded, id), "control-plane"))
			return kc_fail(err, KC_ECONFLICT,
				       "%s is the control plane: this would %s it and lose the "
				       "cluster's data; use `kubecdn cluster delete` to remove the "
				       "cluster, or --force",
				       id, action);
		lost++;
	}
	if (all >= MANY_WORKERS && lost * 100 > all * PERCENT)
		return kc_fail(err, KC_ECONFLICT,
			       "this would take %zu of %zu workers away, more than %d %%; if that "
			       "is "
			       "meant, pass --force",
			       lost, all, PERCENT);
	return 0;
}
