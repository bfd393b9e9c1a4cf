/* The clouds' models: pure functions from a spec to tasks and nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "clouds/local/local.h"
#include "clouds/onprem/onprem.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "tests/fixtures/cloud-null/cloud_null.h"

static const struct kc_cloud_env env = { .cluster = "t", .uid = "0123456789abcdef", .cache = "/c" };

static json_t *parse(const char *text)
{
	json_t *v = NULL;
	struct kc_err err;

	if (kc_json_parse(text, strlen(text), "test", &v, &err) < 0)
		fail_msg("%s", err.msg);
	return v;
}

static void expect(const json_t *actual, const char *text)
{
	json_auto_t *want = parse(text);

	if (!json_equal(actual, want)) {
		_cleanup_free_ char *got = kc_json_text(actual);

		fail_msg("got %s", got);
	}
}

static void onprem_fills_in_what_ssh_needs(void **state)
{
	json_auto_t *c =
		parse("{\"spec\":{\"hosts\":[{\"name\":\"cp1\",\"addresses\":[\"192.0.2.1\","
		      "\"2001:db8::1\"],\"role\":\"control-plane\",\"ssh\":{\"identityFile\":"
		      "\"~/.ssh/id\"}},{\"name\":\"w1\",\"addresses\":[\"192.0.2.2\"],"
		      "\"labels\":{\"a\":\"b\"},\"ssh\":{"
		      "\"host\":\"w1.example\",\"user\":\"ops\",\"port\":2222,\"hostKey\":"
		      "\"ssh-ed25519 AA\",\"bastion\":\"j\"}}]}}");
	json_auto_t *tasks = NULL, *nodes = NULL;
	struct kc_err err;

	setenv("HOME", "/home/op", 1);
	assert_int_equal(kc_cloud_onprem.model(&env, c, &tasks, &nodes, &err), 0);
	expect(tasks, "[]");
	expect(json_array_get(nodes, 0),
	       "{\"name\":\"cp1\",\"role\":\"control-plane\",\"group\":\"control-plane\","
	       "\"addresses\":[\"192.0.2.1\",\"2001:db8::1\"],\"labels\":{},\"taints\":[],"
	       "\"after\":[],"
	       "\"ssh\":{\"host\":\"192.0.2.1\",\"user\":\"root\",\"port\":22,\"hostKey\":\"\","
	       "\"bastion\":\"\",\"identityFile\":\"/home/op/.ssh/id\"}}");
	expect(json_array_get(nodes, 1),
	       "{\"name\":\"w1\",\"role\":\"worker\",\"group\":\"workers\",\"addresses\":"
	       "[\"192.0.2.2\"],\"labels\":{\"a\":\"b\"},\"taints\":[],\"after\":[],"
	       "\"ssh\":{\"host\":\"w1.example\",\"user\":"
	       "\"ops\","
	       "\"port\":2222,\"hostKey\":\"ssh-ed25519 "
	       "AA\",\"bastion\":\"j\",\"identityFile\":\"\"}}");
}

static void onprem_without_hosts_is_refused(void **state)
{
	json_auto_t *c = parse("{\"spec\":{\"hosts\":[]}}"), *none = NULL;
	json_auto_t *h = parse("{\"spec\":{\"hosts\":[{\"name\":\"a\",\"addresses\":[]}]}}");
	json_t *tasks = NULL, *nodes = NULL;
	struct kc_err err;

	assert_int_equal(kc_cloud_onprem.model(&env, c, &tasks, &nodes, &err), KC_EINVAL);
	assert_string_equal(err.msg, "spec.hosts is empty: cloud onprem needs hosts");
	assert_int_equal(kc_cloud_onprem.model(&env, h, &tasks, &nodes, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "host a has no address"));
	assert_int_equal(kc_cloud_onprem.defaults("x", 1, &none, &err), KC_EINVAL);
	assert_null(tasks);
	assert_null(nodes);
}

static void local_names_machines_and_refers_to_them(void **state)
{
	json_auto_t *spec = NULL, *c = NULL, *tasks = NULL, *nodes = NULL;
	struct kc_err err;

	assert_int_equal(kc_cloud_local.defaults(NULL, 2, &spec, &err), 0);
	assert_string_equal(kc_json_get_str(spec, "region", ""), "local");
	c = kc_pack("{s:O}", "spec", spec);
	assert_int_equal(kc_cloud_local.model(&env, c, &tasks, &nodes, &err), 0);
	assert_int_equal(json_array_size(tasks), 6);
	assert_int_equal(json_array_size(nodes), 3);
	expect(json_array_get(tasks, 3),
	       "{\"id\":\"local/machine/cp1\",\"kind\":\"local/machine\",\"want\":{\"hostname\":"
	       "\"cp1\",\"running\":true},\"after\":[\"local/root\",\"local/key\",\"local/"
	       "network\"]}");
	expect(json_array_get(nodes, 2),
	       "{\"name\":\"w2\",\"role\":\"worker\",\"group\":\"workers\",\"addresses\":[{\"$"
	       "ref\":"
	       "\"local/machine/w2#address\"}],\"labels\":{},\"taints\":[],\"after\":"
	       "[\"local/machine/w2\"],\"ssh\":{\"host\":{\"$ref\":\"local/machine/w2#address\"},"
	       "\"user\":\"root\",\"port\":22,\"identityFile\":{\"$ref\":\"local/key#path\"},"
	       "\"hostKey\":{\"$ref\":\"local/machine/w2#hostKey\"},\"bastion\":\"\"},\"within\":"
	       "\"local/machine/w2\"}");
}

/* A task's want must not change when machines come or go: it would touch the others. */
static void local_machines_do_not_depend_on_each_other(void **state)
{
	json_auto_t *one = NULL, *two = NULL, *c1 = NULL, *c2 = NULL;
	json_auto_t *t1 = NULL, *t2 = NULL, *n1 = NULL, *n2 = NULL;
	struct kc_err err;
	json_t *t;
	size_t i;

	assert_int_equal(kc_cloud_local.defaults(NULL, 1, &one, &err), 0);
	assert_int_equal(kc_cloud_local.defaults(NULL, 5, &two, &err), 0);
	c1 = kc_pack("{s:O}", "spec", one);
	c2 = kc_pack("{s:O}", "spec", two);
	assert_int_equal(kc_cloud_local.model(&env, c1, &t1, &n1, &err), 0);
	assert_int_equal(kc_cloud_local.model(&env, c2, &t2, &n2, &err), 0);
	json_array_foreach(t1, i, t)
		assert_true(json_equal(t, json_array_get(t2, i)));
}

static void local_has_a_ceiling(void **state)
{
	json_auto_t *c =
		parse("{\"spec\":{\"instanceGroups\":[{\"name\":\"control-plane\",\"role\":"
		      "\"control-plane\",\"minSize\":10}]}}");
	json_t *tasks = NULL, *nodes = NULL;
	struct kc_err err;

	assert_int_equal(kc_cloud_local.model(&env, c, &tasks, &nodes, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "instance group control-plane: minSize 10"));
}

static void a_cloud_is_one_folder_and_one_line(void **state)
{
	static const struct kc_cloud *const registry[] = { &kc_cloud_onprem, &kc_cloud_local,
							   &kc_cloud_null };
	json_auto_t *spec = NULL, *c = NULL, *tasks = NULL, *nodes = NULL;
	const struct kc_cloud *found = NULL;
	struct kc_err err;

	for (size_t i = 0; i < ARRAY_SIZE(registry); i++)
		if (streq(registry[i]->name, "null"))
			found = registry[i];
	assert_non_null(found);
	assert_int_equal(found->defaults("nowhere", 3, &spec, &err), 0);
	c = kc_pack("{s:O}", "spec", spec);
	assert_int_equal(found->model(&env, c, &tasks, &nodes, &err), 0);
	assert_int_equal(json_array_size(tasks), 0);
	assert_int_equal(json_array_size(nodes), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(onprem_fills_in_what_ssh_needs),
		cmocka_unit_test(onprem_without_hosts_is_refused),
		cmocka_unit_test(local_names_machines_and_refers_to_them),
		cmocka_unit_test(local_machines_do_not_depend_on_each_other),
		cmocka_unit_test(local_has_a_ceiling),
		cmocka_unit_test(a_cloud_is_one_folder_and_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
