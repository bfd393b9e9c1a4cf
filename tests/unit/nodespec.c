/* The NodeSpec as data: closed, uniform, and equal to tests/golden/nodespec. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "bootstrap/nodespec.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/resolve.h"

static const char *const roles[] = { "control-plane", "worker" };

/* What the envelope's node or the agent's own facts offer (bootstrap/node/facts.c). */
static const char *const facts[] = {
	"name",		"address",	"taints",
	"apiBackends",	"apiLocal",	"nodeSANs",
	"etcdSANs",	"apiSANs",	"etcdInitialCluster",
	"podMTU",	"cgroupDriver", "systemdCgroup",
	"failCgroupV1", "resolvConf",	"restrictOomScoreAdj",
	"conntrack",
};

static json_t *cluster(void)
{
	return kc_pack("{s:{s:s}, s:{s:s, s:s, s:{s:[s], s:[s], s:i}, s:{s:{s:s}}, s:{s:{}}}}",
		       "metadata", "name", "fra1", "spec", "cloud", "onprem", "kubernetesVersion",
		       "1.37.2", "networking", "podCIDRs", "10.244.0.0/16", "serviceCIDRs",
		       "10.96.0.0/12", "mtu", 0, "kubelet", "extraArgs", "max-pods", "42",
		       "apiServer", "extraArgs");
}

static json_t *fixture(void)
{
	json_t *bundle = json_load_file(KC_SOURCE_DIR "/tests/fixtures/bundle.json", 0, NULL);

	assert_non_null(bundle);
	return bundle;
}

/* As upstream has it: a program of its own behind every link. */
static json_t *separate(void)
{
	json_t *bundle = fixture(), *component, *blob, *target;
	const char *link;
	size_t i;

	json_array_foreach(json_object_get(bundle, "components"), i, component) {
		json_t *links = json_object_get(component, "links");
		json_t *blobs = json_object_get(component, "blobs");

		json_object_foreach(links, link, target) {
			blob = json_deep_copy(json_array_get(blobs, 0));
			json_object_set_new(blob, "path", json_sprintf("upstream-%s", link));
			json_array_append_new(blobs, blob);
		}
		json_object_foreach(links, link, target)
			json_object_set_new(links, link, json_sprintf("upstream-%s", link));
		if (streq(kc_json_get_str(component, "name", ""), "kubernetes"))
			json_array_remove(blobs, 0);
	}
	return bundle;
}

static json_t *make_spec_of(const char *role, int control_planes, const json_t *bundle)
{
	json_auto_t *doc = cluster();
	json_auto_t *agent = kc_pack("{s:s, s:i, s:s, s:s, s:i}", "sha256", "aa", "size", 1, "mode",
				     "0755", "blob", "bb", "blobSize", 1);
	const struct kc_nodespec_env env = {
		.cluster = doc, .bundle = bundle, .agent = agent, .control_planes = control_planes
	};
	json_t *spec = NULL;
	struct kc_err err;

	if (kc_nodespec(&env, role, &spec, &err) < 0)
		fail_msg("%s", err.msg);
	return spec;
}

static json_t *make_spec_among(const char *role, int control_planes)
{
	json_auto_t *bundle = fixture();

	return make_spec_of(role, control_planes, bundle);
}

static json_t *make_spec(const char *role)
{
	return make_spec_among(role, 1);
}

static json_t *ids_of(const json_t *spec)
{
	json_t *ids = json_object(), *task;
	size_t i;

	json_array_foreach(json_object_get(spec, "tasks"), i, task) {
		const char *id = kc_json_get_str(task, "id", NULL);

		assert_non_null(id);
		if (json_object_get(ids, id))
			fail_msg("two tasks %s", id);
		json_object_set_new(ids, id, json_true());
	}
	return ids;
}

static void need_all(const json_t *ids, const json_t *wanted, const char *task)
{
	const json_t *id;
	size_t i;

	json_array_foreach((json_t *)wanted, i, id)
		if (!json_object_get(ids, json_string_value(id)))
			fail_msg("%s depends on %s, which is not there", task,
				 json_string_value(id));
}

static void check_references(const json_t *spec)
{
	json_auto_t *ids = ids_of(spec);
	json_t *task;
	size_t i;

	json_array_foreach(json_object_get(spec, "tasks"), i, task) {
		json_auto_t *refs = json_array();
		const char *id = kc_json_get_str(task, "id", "");

		kc_refs(json_object_get(task, "want"), refs);
		need_all(ids, refs, id);
		need_all(ids, json_object_get(task, "after"), id);
	}
}

static void every_reference_has_its_task(void **state)
{
	for (size_t k = 0; k < ARRAY_SIZE(roles); k++) {
		json_auto_t *spec = make_spec(roles[k]);

		check_references(spec);
	}
}

/* A unit is restarted when its own program changes, and not before that is there. */
static void separate_programs_are_as_good_as_one(void **state)
{
	json_auto_t *bundle = separate();

	for (size_t k = 0; k < ARRAY_SIZE(roles); k++) {
		json_auto_t *spec = make_spec_of(roles[k], 1, bundle);
		json_t *task;
		size_t i;

		check_references(spec);
		json_array_foreach(json_object_get(spec, "tasks"), i, task) {
			json_auto_t *refs = json_array();

			if (!streq(kc_json_get_str(task, "id", ""), "unit/kubelet"))
				continue;
			kc_refs(json_object_get(task, "want"), refs);
			assert_true(kc_json_has_str(refs, "blob/upstream-kubelet"));
			assert_true(kc_json_has_str(json_object_get(task, "after"),
						    "blob/upstream-kubelet"));
		}
	}
}

static void check_names(const json_t *v)
{
	const char *key, *name;
	json_t *child;
	size_t i;

	if (json_is_array(v)) {
		json_array_foreach((json_t *)v, i, child)
			check_names(child);
		return;
	}
	name = json_string_value(json_object_get(v, "$fact"));
	for (i = 0; name && i < ARRAY_SIZE(facts); i++)
		if (streq(facts[i], name))
			return;
	if (name)
		fail_msg("nobody knows the fact %s", name);
	json_object_foreach((json_t *)v, key, child)
		check_names(child);
}

static void only_known_facts(void **state)
{
	for (size_t k = 0; k < ARRAY_SIZE(roles); k++) {
		json_auto_t *spec = make_spec(roles[k]);

		check_names(spec);
	}
}

static void users_flags_are_there(void **state)
{
	json_auto_t *spec = make_spec("worker");
	_cleanup_free_ char *text = kc_json_text(spec);

	assert_non_null(strstr(text, "--max-pods=42"));
	assert_null(strstr(text, "kube-apiserver.service"));
	assert_null(strstr(text, "ca.key"));
}

/* Set KC_GOLDEN_UPDATE to rewrite the files after a wanted change; then read the diff. */
static void equals_golden(void **state)
{
	static const struct {
		const char *name, *role;
		int control_planes;
	} cases[] = { { "control-plane", "control-plane", 1 },
		      { "control-plane-of-3", "control-plane", 3 },
		      { "worker", "worker", 1 } };

	for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
		json_auto_t *spec = make_spec_among(cases[k].role, cases[k].control_planes);
		_cleanup_free_ char *path =
			xasprintf(KC_SOURCE_DIR "/tests/golden/nodespec/%s.json", cases[k].name);
		_cleanup_free_ char *text = json_dumps(spec, JSON_INDENT(1)), *golden = NULL;
		struct kc_err err;

		if (getenv("KC_GOLDEN_UPDATE"))
			kc_file_write(path, text, strlen(text), 0644, NULL);
		if (kc_file_read(path, 1 << 20, &golden, NULL, &err) < 0)
			fail_msg("%s", err.msg);
		if (!streq(golden, text))
			fail_msg("%s is not what the code makes; see KC_GOLDEN_UPDATE", path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reference_has_its_task),
		cmocka_unit_test(separate_programs_are_as_good_as_one),
		cmocka_unit_test(only_known_facts),
		cmocka_unit_test(users_flags_are_there),
		cmocka_unit_test(equals_golden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
