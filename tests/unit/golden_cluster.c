/*
 * The plan of a whole new cluster, in text and JSON, for several shapes, against
 * tests/golden/cluster. The graph is the real model's; the world it is planned
 * against is one where nothing exists yet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "bootstrap/model.h"
#include "clouds/onprem/onprem.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
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

static json_t *host(const char *name, int octet, const char *role)
{
	json_t *taints =
		streq(role, "worker")
			? json_array()
			: kc_pack("[s]", "node-role.kubernetes.io/control-plane:NoSchedule");

	return kc_pack("{s:s, s:[o], s:s, s:{}, s:o, s:{s:s, s:i, s:s}}", "name", name, "addresses",
		       json_sprintf("192.0.2.%d", octet), "role", role, "labels", "taints", taints,
		       "ssh", "user", "root", "port", 22, "identityFile", "/root/.ssh/id_ed25519");
}

static json_t *document(const struct shape *shape)
{
	json_t *hosts = json_array();

	for (int i = 1; i <= shape->control_planes; i++) {
		_cleanup_free_ char *name = xasprintf("cp%d", i);

		json_array_append_new(hosts, host(name, 10 + i, "control-plane"));
	}
	for (int i = 1; i <= shape->workers; i++) {
		_cleanup_free_ char *name = xasprintf("w%d", i);

		json_array_append_new(hosts, host(name, 20 + i, "worker"));
	}
	return kc_pack("{s:{s:s}, s:{s:s, s:s, s:o, s:{s:[s], s:[s], s:i}, s:{s:{}}, s:{s:{}}, "
		       "s:{s:s, s:[s]}, s:[s, s]}}",
		       "metadata", "name", "fra1", "spec", "cloud", "onprem", "kubernetesVersion",
		       "1.37.2", "hosts", hosts, "networking", "podCIDRs", "10.244.0.0/16",
		       "serviceCIDRs", "10.96.0.0/12", "mtu", 0, "kubelet", "extraArgs",
		       "apiServer", "extraArgs", "api", "endpoint", "", "sans", "api.example.com",
		       "addons", "coredns", "flannel");
}

static void compare(const char *shape, const char *file, const char *text)
{
	_cleanup_free_ char *path =
		xasprintf(KC_SOURCE_DIR "/tests/golden/cluster/%s/%s", shape, file);
	_cleanup_free_ char *golden = NULL;
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
