/*
 * The graph and the plan of a whole new cluster, for several shapes, against
 * tests/golden/cluster/SHAPE, made from in.yaml there. The graph is the real model's; the world it
 * is planned against is one where nothing exists yet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "bootstrap/model.h"
#include "bootstrap/schema.h"
#include "clouds/onprem/onprem.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/codec/yaml.h"
#include "lib/plan/plan.h"

struct shape {
	const char *name;
	int control_planes, workers;
};

static int absent(void *ctx, const struct kc_task *task, json_t **ret_actual, struct kc_err *err)
{
	return 0;
}

#define ABSENT(kind_name)                                                                          \
	&(const struct kc_kind)                                                                    \
	{                                                                                          \
		.name = kind_name, .find = absent                                                  \
	}

static char *path_of(const char *shape, const char *file)
{
	return xasprintf(KC_SOURCE_DIR "/tests/golden/cluster/%s/%s", shape, file);
}

static char *read_input(const char *shape)
{
	_cleanup_free_ char *path = path_of(shape, "in.yaml");
	struct kc_err err;
	char *text = NULL;

	if (kc_file_read(path, 1 << 20, &text, NULL, &err) < 0)
		fail_msg("%s", err.msg);
	return text;
}

/* The table's defaults only, below the rule that refuses more than one control plane. */
static json_t *below_the_rules(const char *text)
{
	_cleanup_(kc_yaml_freep) struct kc_yaml *yaml = NULL;
	_cleanup_report_ struct kc_report rep = { 0 };
	struct kc_err err;
	json_t *doc = NULL;

	assert_int_equal(kc_yaml_parse("in.yaml", text, strlen(text), &yaml, &err), 0);
	if (kc_spec_validate(kc_cluster_kind.fields, kc_yaml_value(yaml, 0), &rep, &doc, &err) < 0)
		fail_msg("%s", err.msg);
	return doc;
}

static json_t *document(const struct shape *shape)
{
	_cleanup_free_ char *text = read_input(shape->name);
	struct kc_err err;
	json_t *doc = NULL;
	int r = kc_cluster_load("in.yaml", text, strlen(text), NULL, &doc, NULL, &err);

	if (shape->control_planes > 1) {
		assert_int_equal(r, KC_EINVAL);
		assert_non_null(strstr(err.msg, "control planes: this version runs one"));
		return below_the_rules(text);
	}
	if (r < 0)
		fail_msg("%s", err.msg);
	return doc;
}

static void compare(const char *shape, const char *file, const char *text)
{
	_cleanup_free_ char *path = path_of(shape, file), *golden = NULL;
	struct kc_err err;

	if (getenv("KC_GOLDEN_UPDATE"))
		kc_file_write(path, text, strlen(text), 0644, NULL);
	if (kc_file_read(path, 4 << 20, &golden, NULL, &err) < 0)
		fail_msg("%s", err.msg);
	if (!streq(golden, text))
		fail_msg("%s is not what the code makes; see KC_GOLDEN_UPDATE", path);
}

static json_t *graph(const struct shape *shape)
{
	json_auto_t *doc = document(shape);
	json_auto_t *bundle = json_load_file(KC_SOURCE_DIR "/tests/fixtures/bundle.json", 0, NULL);
	json_auto_t *agent = kc_pack("{s:s, s:i, s:s, s:s, s:i}", "sha256", "aa", "size", 1, "mode",
				     "0755", "blob", "bb", "blobSize", 1);
	json_auto_t *specs = NULL;
	const struct kc_model_env env = {
		.cloud = &kc_cloud_onprem,
		.cloud_env = { .cluster = "fra1", .uid = "0123456789abcdef0123456789abcdef" },
		.cluster = doc,
		.bundle = bundle,
		.agent = agent,
	};
	json_t *tasks = NULL;
	struct kc_err err;

	assert_non_null(bundle);
	if (kc_cluster_model(&env, &tasks, &specs, &err) < 0)
		fail_msg("%s", err.msg);
	/* Uniform: one spec a role, however many nodes. */
	assert_int_equal(json_object_size(specs), shape->workers ? 2 : 1);
	return tasks;
}

/* tests/golden/nodespec has the specs themselves: their hash would only say that they changed. */
static void name_specs(json_t *tasks)
{
	json_t *task;
	size_t i;

	json_array_foreach(tasks, i, task) {
		json_t *want = json_object_get(task, "want");
		const char *role = json_string_value(kc_json_at(want, "node.role"));

		if (streq(kc_json_get_str(task, "kind", ""), "node"))
			json_object_set_new(want, "spec", json_sprintf("(of a %s)", role));
	}
}

/* Every value of the graph: names in certificates, members of etcd, edges. */
static void graph_is_golden(void **state)
{
	const struct shape *shape = *state;
	json_auto_t *tasks = graph(shape);
	_cleanup_free_ char *text = NULL;

	name_specs(tasks);
	text = json_dumps(tasks, JSON_INDENT(1) | JSON_SORT_KEYS);
	compare(shape->name, "tasks.json", text);
}

static void plan_is_golden(void **state)
{
	static const struct kc_kind node = { .name = "node", .find = absent, .nested = true };
	const struct kc_kind *const kinds[] = { ABSENT("secret"),
						&node,
						ABSENT("kube/api"),
						ABSENT("kube/node"),
						ABSENT("kube/object"),
						ABSENT("kube/applyset"),
						NULL };
	const struct kc_provider nowhere = { .name = "nowhere", .kinds = kinds };
	const struct kc_provider *const providers[] = { &nowhere, NULL };
	const struct shape *shape = *state;
	struct kc_engine engine = { .providers = providers,
				    .owner = "0123456789abcdef0123456789abcdef" };
	json_auto_t *tasks = graph(shape);
	_cleanup_plan_ struct kc_plan *plan = NULL;
	_cleanup_buf_ struct kc_buf text = { 0 };
	_cleanup_free_ char *json = NULL;
	struct kc_err err;

	if (kc_plan_make(&engine, tasks, &plan, &err) < 0)
		fail_msg("%s", err.msg);
	kc_plan_text(kc_plan_json(plan), false, &text);
	json = json_dumps(kc_plan_json(plan), JSON_INDENT(1) | JSON_SORT_KEYS);
	compare(shape->name, "plan.txt", kc_buf_get(&text));
	compare(shape->name, "plan.json", json);
}

int main(void)
{
	static struct shape shapes[] = { { "1+0", 1, 0 }, { "1+2", 1, 2 }, { "3+5", 3, 5 } };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(plan_is_golden, &shapes[0]),
		cmocka_unit_test_prestate(plan_is_golden, &shapes[1]),
		cmocka_unit_test_prestate(plan_is_golden, &shapes[2]),
		cmocka_unit_test_prestate(graph_is_golden, &shapes[0]),
		cmocka_unit_test_prestate(graph_is_golden, &shapes[1]),
		cmocka_unit_test_prestate(graph_is_golden, &shapes[2]),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
