/* The Cluster manifest: what is accepted, what defaults mean, and a wrong value for every field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <regex.h>
#include <string.h>
#include <cmocka.h>

#include "bootstrap/bundle/bundle.h"
#include "bootstrap/schema.h"
#include "bootstrap/schema_priv.h"
#include "clouds/local/local.h"
#include "clouds/onprem/onprem.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "tests/unit/cluster_schema_cases.h"

static char *read_source(const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", KC_SOURCE_DIR, name);
	struct kc_err err = { 0 };
	char *text = NULL;

	if (kc_file_read(path, 1 << 20, &text, NULL, &err) < 0)
		fail_msg("%s", err.msg);
	return text;
}

/* Everything that the schema knows, so that every field can be tried. */
static const struct kc_cluster_limits all_fields = { 0 };

/* The clouds there are. */
static const struct kc_cloud *const registry[] = { &kc_cloud_local, &kc_cloud_onprem, NULL };
static const struct kc_cluster_limits this_build = { .clouds = registry };

static json_t *load(const char *text)
{
	_cleanup_buf_ struct kc_buf errors = { 0 };
	struct kc_err err = { 0 };
	json_t *cluster = NULL;

	if (kc_cluster_load("t", text, strlen(text), &all_fields, &cluster, &errors, &err) < 0)
		fail_msg("%s", kc_buf_get(&errors));
	return cluster;
}

/* All errors of a text that must be refused; owned. */
static char *errors_of(const char *text, const struct kc_cluster_limits *limits)
{
	_cleanup_buf_ struct kc_buf errors = { 0 };
	struct kc_err err = { 0 };
	json_t *cluster = NULL;

	if (kc_cluster_load("t", text, strlen(text), limits, &cluster, &errors, &err) == 0)
		fail_msg("accepted:\n%s", text);
	assert_null(cluster);
	assert_int_equal(err.code, KC_EINVAL);
	assert_true(err.msg[0] && !strchr(err.msg, '\n'));
	return kc_buf_steal(&errors);
}

/* text with the first occurrence of one part replaced; owned. */
static char *replaced(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);

	if (!at)
		fail_msg("\"%s\" is not in the base manifest", from);
	return xasprintf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

/* Is there a line that begins with "t:<line>:<column>: " and holds message behind it? */
static bool has_line(const char *errors, const char *at, const char *message)
{
	_cleanup_free_ char *copy = xstrdup(errors), *prefix = xasprintf("t:%s: ", at);
	char *save = NULL;

	for (char *s = strtok_r(copy, "\n", &save); s; s = strtok_r(NULL, "\n", &save))
		if (kc_startswith(s, prefix) && strstr(s, message))
			return true;
	return false;
}

static void test_examples(void **state)
{
	static const char *const names[] = { "examples/cluster.yaml", "examples/cluster-local.yaml",
					     "tests/fuzz/corpus/yaml_spec/onprem-full.yaml",
					     "tests/fuzz/corpus/yaml_spec/cloud-full.yaml" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *text = read_source(names[i]);
		json_auto_t *cluster = load(text), *again = NULL;
		struct kc_err err = { 0 };

		/* A defaulted document is its own default. */
		assert_int_equal(kc_cluster_check(cluster, &all_fields, &again, NULL, &err), 0);
		assert_true(json_equal(cluster, again));
	}
}

static void test_defaults(void **state)
{
	json_auto_t *c = load("apiVersion: kubecdn.io/v1alpha1\n"
			      "kind: Cluster\n"
			      "metadata: {name: a}\n"
			      "spec:\n"
			      "  cloud: onprem\n"
			      "  hosts:\n"
			      "  - {name: c, role: control-plane, addresses: [192.0.2.1]}\n"
			      "  - {name: w, role: worker, addresses: [192.0.2.2]}\n");
	json_auto_t *want = json_loads(
		"{\"cloud\": \"onprem\", \"region\": \"\", \"kubernetesVersion\": \"1.37.2\","
		"\"networking\": {\"podCIDRs\": [\"10.244.0.0/16\"], \"serviceCIDRs\":"
		" [\"10.96.0.0/12\"], \"cni\": \"flannel\", \"mtu\": 0},"
		"\"api\": {\"endpoint\": \"\", \"sans\": [], \"access\": [\"0.0.0.0/0\"]},"
		"\"hosts\": [{\"name\": \"c\", \"addresses\": [\"192.0.2.1\"],"
		" \"role\": \"control-plane\", \"labels\": {}, \"taints\":"
		" [\"node-role.kubernetes.io/control-plane:NoSchedule\"], \"ssh\": {\"host\": \"\","
		" \"user\": \"root\", \"port\": 22, \"identityFile\": \"\", \"hostKey\": \"\","
		" \"bastion\": \"\", \"transport\": \"libssh2\"}},"
		" {\"name\": \"w\", \"addresses\": [\"192.0.2.2\"], \"role\": \"worker\","
		" \"labels\": {}, \"taints\": [], \"ssh\": {\"host\": \"\","
		" \"user\": \"root\", \"port\": 22, \"identityFile\": \"\", \"hostKey\": \"\","
		" \"bastion\": \"\", \"transport\": \"libssh2\"}}],"
		"\"instanceGroups\": [], \"access\": {\"ssh\": []}, \"registries\": [],"
		"\"proxy\": {\"http\": \"\", \"https\": \"\", \"noProxy\": []}, \"extraCAs\": [],"
		"\"kubelet\": {\"extraArgs\": {}}, \"apiServer\": {\"extraArgs\": {}},"
		"\"addons\": [\"coredns\", \"flannel\"]}",
		0, NULL);

	assert_non_null(want);
	if (!json_equal(json_object_get(c, "spec"), want)) {
		_cleanup_free_ char *got = kc_json_text(json_object_get(c, "spec"));

		fail_msg("%s", got);
	}
}

static void test_taints(void **state)
{
	_cleanup_free_ char *full = read_source("tests/fuzz/corpus/yaml_spec/onprem-full.yaml");
	_cleanup_free_ char *bare = replaced(full, "taints: [\"a=b:NoSchedule\"]", "taints: []");
	json_auto_t *c = load(bare);
	const json_t *hosts = kc_json_at(c, "spec.hosts");
	const json_t *taints = json_object_get(json_array_get(hosts, 0), "taints");

	assert_true(json_is_array(taints));
	assert_int_equal(json_array_size(taints), 0);
}

static void test_group_defaults(void **state)
{
	_cleanup_free_ char *full = read_source("tests/fuzz/corpus/yaml_spec/cloud-full.yaml");
	json_auto_t *c = load(full);
	const json_t *group = json_array_get(kc_json_at(c, "spec.instanceGroups"), 0);

	assert_int_equal(kc_json_get_int(group, "maxSize", -1), 1);
	assert_string_equal(kc_json_get_str(group, "arch", ""), "amd64");
	assert_int_equal(json_array_size(json_object_get(group, "taints")), 1);
}

/* The path in an error line, without indices and map keys: "spec.hosts.ssh.port". */
static void note_paths(const char *errors, json_t *seen)
{
	_cleanup_free_ char *copy = xstrdup(errors);
	char *save = NULL;

	for (char *s = strtok_r(copy, "\n", &save); s; s = strtok_r(NULL, "\n", &save)) {
		_cleanup_buf_ struct kc_buf path = { 0 };

		for (int colons = 0; *s && colons < 3; s++)
			colons += *s == ':';
		for (s++; *s && *s != ':'; s++) {
			if (*s == '[')
				s += strcspn(s, "]");
			else
				kc_buf_putn(&path, s, 1);
		}
		json_object_set_new(seen, kc_buf_get(&path), json_true());
	}
}

/* Was there an error on this field, or in a map on one of its keys? */
static bool noted(const json_t *seen, const char *path)
{
	_cleanup_free_ char *below = xasprintf("%s.", path);
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)seen, key, v)
		if (streq(key, path) || kc_startswith(key, below))
			return true;
	return false;
}

static void every_field(const struct kc_field *table, const char *base, const json_t *seen)
{
	for (const struct kc_field *f = table; f->name; f++) {
		_cleanup_free_ char *path = xasprintf("%s%s%s", base, *base ? "." : "", f->name);
		const struct kc_field *inner = f->type == KC_FIELD_LIST ? f->item : f;

		if (inner->type == KC_FIELD_OBJECT)
			every_field(inner->fields, path, seen);
		else if (!noted(seen, path))
			fail_msg("no case with a wrong %s", path);
		assert_non_null(f->doc);
	}
}

/* Each case changes one place of a good manifest; its error stands where the change is. */
static void test_wrong_fields(void **state)
{
	_cleanup_free_ char *onprem = read_source("tests/fuzz/corpus/yaml_spec/onprem-full.yaml");
	_cleanup_free_ char *cloud = read_source("tests/fuzz/corpus/yaml_spec/cloud-full.yaml");
	json_auto_t *seen = json_object();
	size_t wrong = 0;

	for (size_t i = 0; i < ARRAY_SIZE(field_cases); i++) {
		const struct field_case *c = &field_cases[i];
		_cleanup_free_ char *text =
			replaced(c->base == ONPREM ? onprem : cloud, c->from, c->to);
		_cleanup_free_ char *errors = errors_of(text, &all_fields);

		note_paths(errors, seen);
		if (has_line(errors, c->at, c->message))
			continue;
		wrong++;
		print_error("%s -> %s\n  wanted t:%s: %s\n  got %s", c->from, c->to, c->at,
			    c->message, errors);
	}
	assert_int_equal(wrong, 0);
	every_field(kc_cluster_kind.fields, "", seen);
}

static void test_documents(void **state)
{
	static const struct {
		const char *text, *line;
	} cases[] = {
		{ "", "t:1:1: no Cluster in this file; give one with kind: Cluster\n" },
		{ "---\n---\n", "t:3:1: no Cluster in this file" },
		{ "kind: Fleet\n",
		  "t:1:7: kind: Fleet is not available in this version yet; it knows "
		  "Cluster\n" },
		{ "---\nkind: Cluster\n---\nkind: TrafficPolicy\n",
		  "t:4:7: kind: a TrafficPolicy is for `kubecdn dns`" },
		{ "kind: Clutser\n",
		  "t:1:7: kind: no kind \"Clutser\"; did you mean \"Cluster\"?\n" },
		{ "kind: Deployment\n", "t:1:7: kind: no kind \"Deployment\"; this version knows" },
		{ "kind: Cluster\n---\nkind: Cluster\n", "t:3:1: a second Cluster; put each one" },
		{ "[1]\n", "t:1:1: expects a mapping with apiVersion" },
		{ "a: [\n", "t:2:1: not YAML: did not find expected node content" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *errors = errors_of(cases[i].text, NULL);

		if (!kc_startswith(errors, cases[i].line))
			fail_msg("\"%s\" does not begin with \"%s\"", errors, cases[i].line);
	}
}

static void test_limits(void **state)
{
	static const char *const versions[] = { "1.38.0", "1.37.2", NULL };
	static const struct kc_cloud *const clouds[] = { &kc_cloud_local, &kc_cloud_onprem, NULL };
	static const char *const addons[] = { "coredns", "flannel", "monitoring", NULL };
	const struct kc_cluster_limits l = { versions, addons, clouds };
	_cleanup_free_ char *local = read_source("examples/cluster-local.yaml");
	_cleanup_free_ char *aws = replaced(local, "cloud: local", "cloud: aws");
	_cleanup_free_ char *old = replaced(local, "1.37.2", "1.36.0");
	_cleanup_free_ char *unset = replaced(local, "  kubernetesVersion: 1.37.2\n", "");
	_cleanup_free_ char *extra = replaced(unset, "flannel]", "flannel, monitoring]");
	_cleanup_free_ char *e1 = errors_of(aws, &l), *e2 = errors_of(old, &l);
	json_auto_t *cluster = NULL;
	struct kc_err err = { 0 };

	assert_non_null(strstr(e1, "spec.cloud: aws is not available in this version yet; use one "
				   "of local, onprem\n"));
	assert_non_null(strstr(e2, "Kubernetes 1.36.0 is not supported by this version; use "
				   "1.38.0, 1.37.2\n"));
	assert_int_equal(kc_cluster_load("t", extra, strlen(extra), &l, &cluster, NULL, &err), 0);
	assert_string_equal(kc_json_get_str(kc_json_at(cluster, "spec"), "kubernetesVersion", ""),
			    "1.38.0");
}

/* What a bundle can be built for, a manifest may ask for. */
static void test_versions(void **state)
{
	json_auto_t *bundles = NULL;
	const json_t *v;
	size_t i;

	assert_int_equal(kc_bundle_list(&bundles, NULL), 0);
	json_array_foreach(json_object_get(bundles, "supported"), i, v) {
		_cleanup_free_ char *local = read_source("examples/cluster-local.yaml");
		_cleanup_free_ char *text = replaced(local, "1.37.2", json_string_value(v));
		json_auto_t *cluster = NULL;
		struct kc_err err = { 0 };

		if (kc_cluster_load("t", text, strlen(text), NULL, &cluster, NULL, &err) < 0)
			fail_msg("%s", err.msg);
	}
	assert_true(i > 1);
}

/* A setting that nothing acts on is refused by name and place, not ignored. */
static void test_unsupported(void **state)
{
	static const char why[] = "this version does not act on it yet with cloud ";
	static const char *const hosts[] = { "21:5: spec.api.access",
					     "25:5: spec.hosts[0].externalAddress",
					     "26:5: spec.hosts[0].interface",
					     "39:3: spec.registries",
					     "47:3: spec.proxy",
					     "51:3: spec.extraCAs" };
	static const char *const groups[] = { "10:5: spec.instanceGroups[0].machineType",
					      "14:5: spec.instanceGroups[1].machineType",
					      "16:5: spec.instanceGroups[1].image",
					      "18:5: spec.instanceGroups[1].maxSize",
					      "19:5: spec.instanceGroups[1].zones",
					      "21:5: spec.instanceGroups[1].rootDisk",
					      "24:3: spec.access" };
	_cleanup_free_ char *onprem = read_source("tests/fuzz/corpus/yaml_spec/onprem-full.yaml");
	_cleanup_free_ char *cloud = read_source("tests/fuzz/corpus/yaml_spec/cloud-full.yaml");
	_cleanup_free_ char *local = replaced(cloud, "cloud: aws", "cloud: local");
	_cleanup_free_ char *e1 = errors_of(onprem, &this_build),
			    *e2 = errors_of(local, &this_build);
	_cleanup_buf_ struct kc_buf want = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
		kc_buf_printf(&want, "t:%s: %sonprem, so it would be ignored; remove it\n",
			      hosts[i], why);
	assert_string_equal(e1, kc_buf_get(&want));
	want.len = 0;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		kc_buf_printf(&want, "t:%s: %slocal, so it would be ignored; remove it\n",
			      groups[i], why);
	assert_string_equal(e2, kc_buf_get(&want));
}

/* What a full document with its defaults says again is no reason to refuse it. */
static void test_defaults_are_not_refused(void **state)
{
	static const char *const names[] = { "examples/cluster.yaml",
					     "examples/cluster-local.yaml" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *text = read_source(names[i]);
		json_auto_t *cluster = load(text), *again = NULL;
		struct kc_err err = { 0 };

		if (kc_cluster_check(cluster, &this_build, &again, NULL, &err) < 0)
			fail_msg("%s", err.msg);
		assert_true(json_equal(cluster, again));
	}
}

static void test_from_flags(void **state)
{
	json_auto_t *doc =
		kc_pack("{s:s, s:s, s:{s:s}, s:{s:s, s:[{s:s, s:s}, {s:s, s:s, s:i}]}}",
			"apiVersion", KC_API_VERSION, "kind", "Cluster", "metadata", "name",
			"local-local", "spec", "cloud", "local", "instanceGroups", "name",
			"control-plane", "role", "control-plane", "name", "workers", "role",
			"worker", "minSize", 2000);
	_cleanup_buf_ struct kc_buf errors = { 0 };
	struct kc_err err = { 0 };
	json_t *cluster = NULL;

	assert_int_equal(kc_cluster_check(doc, NULL, &cluster, &errors, &err), KC_EINVAL);
	assert_null(cluster);
	assert_string_equal(err.msg, "spec.instanceGroups[1].minSize: 2000 is out of range; use 0 "
				     "to 1000");
	assert_string_equal(kc_buf_get(&errors), "spec.instanceGroups[1].minSize: 2000 is out of "
						 "range; use 0 to 1000\n");
}

static void test_update(void **state)
{
	_cleanup_free_ char *old_text = read_source("examples/cluster.yaml");
	_cleanup_free_ char *new_text = replaced(old_text, "10.244.0.0/16", "10.245.0.0/16");
	_cleanup_free_ char *labels = replaced(old_text, "tier: edge", "tier: core");
	json_auto_t *old = load(old_text), *new = load(new_text), *free_change = load(labels);
	/* Behind another document, as positions depend on it. */
	_cleanup_free_ char *stream = xasprintf("---\n---\n%s", new_text);
	const struct kc_cluster_source source = { "t", stream, strlen(stream) };
	_cleanup_buf_ struct kc_buf errors = { 0 };
	struct kc_err err = { 0 };

	assert_int_equal(kc_cluster_check_update(NULL, old, free_change, &errors, &err), 0);
	assert_int_equal(kc_cluster_check_update(NULL, old, new, &errors, &err), KC_EINVAL);
	assert_string_equal(err.msg, "spec.networking.podCIDRs: cannot change once the object "
				     "exists (it is [\"10.244.0.0/16\"], and would be "
				     "[\"10.245.0.0/16\"]); set it back, or make a new one under "
				     "another name");
	errors.len = 0;
	assert_int_equal(kc_cluster_check_update(&source, old, new, &errors, &err), KC_EINVAL);
	assert_true(kc_startswith(err.msg, "t:17:15: spec.networking.podCIDRs: cannot change"));
	assert_true(kc_startswith(kc_buf_get(&errors), err.msg));
	errors.len = 0;
	assert_int_equal(kc_cluster_check_name(&source, new, "fra1", &errors, &err), 0);
	assert_int_equal(kc_cluster_check_name(&source, new, "fra2", &errors, &err), KC_EINVAL);
	assert_true(kc_startswith(err.msg, "t:9:9: metadata.name: the cluster is named \"fra1\""));
}

/* Editors see patterns, the program runs checks: they must agree. */
static void test_patterns(void **state)
{
	static const struct {
		const char *pattern;
		kc_field_check *check;
	} pairs[] = {
		{ KC_PATTERN_NAME, kc_check_name },
		{ KC_PATTERN_VERSION, kc_check_version },
		{ KC_PATTERN_TAINT, kc_check_taint },
		{ KC_PATTERN_DISK, kc_check_disk },
	};
	static const char *const samples[] = {
		"",
		"a",
		"a-b",
		"-a",
		"a-",
		"A",
		"1.37.2",
		"1.37",
		"v1.37.2",
		"1.37.2.",
		"0.0.0",
		"50Gi",
		"050Gi",
		"50",
		"1Ti",
		"1234567Gi",
		"k:NoSchedule",
		"k=:NoExecute",
		"k=v:No",
		"=v:NoExecute",
		"a/k=v:NoExecute",
		"k=v=w:NoSchedule",
		"k=v:NoSchedule",
		"a_b",
		"k:v:NoSchedule",
		"kk/:NoSchedule",
		"k=-:NoSchedule",
	};

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		regex_t re;

		assert_int_equal(regcomp(&re, pairs[i].pattern, REG_EXTENDED | REG_NOSUB), 0);
		for (size_t k = 0; k < ARRAY_SIZE(samples); k++) {
			bool matches = regexec(&re, samples[k], 0, NULL, 0) == 0;

			if (matches != (pairs[i].check(samples[k], NULL) == 0))
				print_error("%s: \"%s\"\n", pairs[i].pattern, samples[k]);
			assert_int_equal(matches, pairs[i].check(samples[k], NULL) == 0);
		}
		regfree(&re);
	}
}

/* Every default passes its own field's rules, and explain reaches every field. */
static void explain_all(const struct kc_field *table, const char *base)
{
	for (const struct kc_field *f = table; f->name; f++) {
		_cleanup_free_ char *path = xasprintf("%s.%s", base, f->name), *text = NULL;
		const struct kc_field *inner = f->type == KC_FIELD_LIST ? f->item : f;
		struct kc_err err = { 0 };

		if (kc_spec_explain(kc_kinds, path, &text, &err) < 0)
			fail_msg("%s", err.msg);
		assert_non_null(strstr(text, "DESCRIPTION:\n  "));
		if (inner->type == KC_FIELD_OBJECT)
			explain_all(inner->fields, path);
	}
}

static void test_explain(void **state)
{
	_cleanup_free_ char *text = NULL;
	json_auto_t *schema = kc_spec_json_schema(&kc_cluster_kind);
	struct kc_err err = { 0 };

	explain_all(kc_cluster_kind.fields, "cluster");
	assert_int_equal(kc_spec_explain(kc_kinds, "cluster.spec.networking", &text, &err), 0);
	assert_non_null(strstr(text, "FIELD:    spec.networking\n"));
	assert_non_null(strstr(text, "  podCIDRs <[]string>, default [\"10.244.0.0/16\"], 1 to 2, "
				     "fixed after creation\n"));
	assert_non_null(kc_json_at(schema, "properties.spec.properties.hosts.items.properties.ssh."
					   "properties.port"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_taints),
		cmocka_unit_test(test_group_defaults),
		cmocka_unit_test(test_wrong_fields),
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_from_flags),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_unsupported),
		cmocka_unit_test(test_defaults_are_not_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
