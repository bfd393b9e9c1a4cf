/* The kinds of lib/objects, and net-kube below them, against a real API server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/objects/objects.h"
#include "lib/plan/engine.h"
#include "tests/unit/kube_lab.h"

#define OWNER "0123-uid"

static struct kube_lab lab;
static bool known; /* may the connection be made yet? */
static struct kc_kube_ctx *ctx;
static json_t *manifests;

static int conf(void *cookie, struct kc_kube_conf *ret, struct kc_err *err)
{
	if (!known)
		return kc_fail(err, KC_EAGAIN, "no address yet");
	*ret = kube_lab_conf(&lab);
	return 0;
}

static struct kc_task task(const json_t *want, const json_t *outputs)
{
	return (struct kc_task){ .id = "t", .want = want, .known = outputs, .owner = OWNER };
}

static void must(int r, const struct kc_err *err)
{
	if (r < 0)
		fail_msg("%d %s", r, err->msg);
}

static json_t *find(const struct kc_kind *kind, const json_t *want)
{
	struct kc_task t = task(want, NULL);
	struct kc_err err = { 0 };
	json_t *actual = NULL;

	must(kind->find(ctx, &t, &actual, &err), &err);
	return actual;
}

static json_t *apply(const struct kc_kind *kind, const json_t *want)
{
	json_auto_t *before = find(kind, want);
	struct kc_task t = task(want, NULL);
	struct kc_err err = { 0 };
	json_t *actual = NULL;

	must(kind->apply(ctx, &t, before, NULL, &actual, &err), &err);
	return actual;
}

/* The engine's own diff, as it would make it. */
static json_t *diff(const struct kc_kind *kind, const json_t *want, const json_t *old)
{
	json_auto_t *w = json_deep_copy(want), *have = find(kind, want);
	struct kc_diff d = { .kind = kind };
	json_t *changes = NULL;
	bool replace = false;

	assert_non_null(have);
	if (kind->normalize)
		kind->normalize(w, have);
	kc_diff(&d, w, have, old, &changes, &replace);
	return changes;
}

static void quiet(const struct kc_kind *kind, const json_t *want)
{
	json_auto_t *changes = diff(kind, want, want);
	_cleanup_free_ char *text = kc_json_text(changes);

	if (json_array_size(changes))
		fail_msg("drift where there is none: %s", text);
}

/* Exactly one change, at this path. */
static void one_change(const struct kc_kind *kind, const json_t *want, const json_t *old,
		       const char *path)
{
	json_auto_t *changes = diff(kind, want, old);
	_cleanup_free_ char *text = kc_json_text(changes);
	const char *at = kc_json_get_str(json_array_get(changes, 0), "path", "");

	if (json_array_size(changes) != 1 || !streq(at, path))
		fail_msg("wanted one change at %s, got %s", path, text);
}

/* A manifest by kind and name, as a task's want. Owned. */
static json_t *want_of(const char *kind)
{
	json_t *v;
	size_t i;

	json_array_foreach(manifests, i, v)
		if (streq(kc_json_get_str(v, "kind", ""), kind))
			return json_pack("{s:o}", "object", json_deep_copy(v));
	fail_msg("no manifest of kind %s", kind);
	return NULL;
}

static struct kc_kube *kube(void)
{
	struct kc_err err = { 0 };
	struct kc_kube *k = NULL;

	must(kc_kube_ctx_get(ctx, &k, &err), &err);
	return k;
}

static void patch(const char *path, const char *text)
{
	json_auto_t *v = json_loads(text, 0, NULL);
	struct kc_err err = { 0 };

	assert_non_null(v);
	must(kc_kube_merge(kube(), path, v, NULL, &err), &err);
}

static int setup(void **state)
{
	assert_true(kube_lab_init(&lab));
	manifests = json_load_file(KC_SOURCE_DIR "/tests/fixtures/objects/manifests.json", 0, NULL);
	assert_non_null(manifests);
	ctx = kc_kube_ctx_new(conf, NULL);
	return 0;
}

static int teardown(void **state)
{
	kc_kube_ctx_free(ctx);
	json_decref(manifests);
	kube_lab_stop(&lab);
	return 0;
}

/* Before anything runs, all is absent; the gate then opens as soon as the API is up. */
static void test_gate(void **state)
{
	json_auto_t *want = json_object(), *cm = want_of("ConfigMap"), *actual = NULL,
		    *again = NULL;
	struct kc_task t = task(want, NULL);
	struct kc_err err = { 0 };

	for (int i = 0; i < 2; i++) {
		known = i == 1; /* no address yet; then nobody listening there */
		assert_null(find(&kc_kube_api, want));
		assert_null(find(&kc_kube_object, cm));
	}
	/* What is recorded was there: silence does not say that it is gone. */
	t = task(cm, cm);
	assert_int_equal(kc_kube_object.find(ctx, &t, &actual, &err), KC_EAGAIN);
	/* Nor does it once changes begin: what a killed run made is not recorded. */
	kc_kube_ctx_expect(ctx);
	t = task(cm, NULL);
	assert_int_equal(kc_kube_object.find(ctx, &t, &actual, &err), KC_EAGAIN);
	t = task(want, NULL);
	assert_int_equal(kc_kube_api.ready(ctx, &t, NULL, &err), KC_EAGAIN);
	kube_lab_start(&lab);
	actual = apply(&kc_kube_api, want);
	must(kc_kube_api.ready(ctx, &t, actual, &err), &err);
	again = find(&kc_kube_api, want);
	assert_true(kc_json_get_bool(again, "ready", false));
	/* The gate waits for kube-system; these tests work in default, which comes a moment later.
	 */
	for (int i = 0; kc_kube_get(kube(), "/api/v1/namespaces/default", NULL, &err) < 0; i++) {
		assert_true(i < 500);
		kc_sleep_ms(20);
	}
}

static void test_objects(void **state)
{
	json_t *v;
	size_t i;

	json_array_foreach(manifests, i, v) {
		json_auto_t *want = json_pack("{s:O}", "object", v), *actual = NULL;
		bool crd = streq(kc_json_get_str(v, "kind", ""), "CustomResourceDefinition");
		struct kc_task t = task(want, NULL);
		struct kc_err err = { 0 };

		assert_null(find(&kc_kube_object, want));
		actual = apply(&kc_kube_object, want);
		while (crd && kc_kube_object.ready(ctx, &t, actual, &err) == KC_EAGAIN) {
			json_decref(actual);
			actual = find(&kc_kube_object, want);
		}
		quiet(&kc_kube_object, want);
		json_decref(actual);
		actual = apply(&kc_kube_object, want); /* repeating it changes nothing */
		quiet(&kc_kube_object, want);
	}
}

static void test_drift(void **state)
{
	static const char path[] = "/apis/apps/v1/namespaces/default/deployments/web";
	json_auto_t *want = want_of("Deployment"), *less = json_deep_copy(want), *a = NULL,
		    *b = NULL, *live = NULL;
	json_t *containers = kc_json_at(want, "object.spec.template.spec.containers"), *spec;
	struct kc_err err = { 0 };

	/* Somebody scales it, adds a side car and a label: only what is ours is drift. */
	patch(path, "{\"spec\": {\"replicas\": 5}, \"metadata\": {\"labels\": {\"x\": \"y\"}}}");
	one_change(&kc_kube_object, want, want, "object.spec.replicas");
	a = apply(&kc_kube_object, want);
	quiet(&kc_kube_object, want);

	/* An element in the middle of a keyed list. */
	json_object_set_new(json_array_get(containers, 1), "image", json_string("img:2"));
	one_change(&kc_kube_object, want, less, "object.spec.template.spec.containers[1].image");
	b = apply(&kc_kube_object, want);
	quiet(&kc_kube_object, want);

	/* Keys and elements that want no longer has are removals. */
	spec = kc_json_at(less, "object.spec");
	json_object_set_new(json_array_get(kc_json_at(less, "object.spec.template.spec.containers"),
					   1),
			    "image", json_string("img:2"));
	json_object_del(spec, "revisionHistoryLimit");
	one_change(&kc_kube_object, less, want, "object.spec.revisionHistoryLimit");
	json_decref(b);
	b = apply(&kc_kube_object, less);
	quiet(&kc_kube_object, less);
	json_array_remove(kc_json_at(less, "object.spec.template.spec.containers"), 1);
	one_change(&kc_kube_object, less, want, "object.spec.template.spec.containers");
	json_decref(b);
	b = apply(&kc_kube_object, less);
	must(kc_kube_get(kube(), path, &live, &err), &err);
	assert_int_equal(json_array_size(kc_json_at(live, "spec.template.spec.containers")), 1);
	assert_string_equal(kc_json_get_str(kc_json_at(live, "metadata.labels"), "x", ""), "y");
}

static void test_secret(void **state)
{
	json_auto_t *actual = NULL,
		    *want = kc_pack("{s:{s:s, s:s, s:{s:s, s:s}, s:{s:s}}}", "object", "apiVersion",
				    "v1", "kind", "Secret", "metadata", "name", "sec", "namespace",
				    "default", "stringData", "password", "tr0ub4dor"),
		    *bare = json_deep_copy(want);
	struct kc_task t = task(want, NULL);
	struct kc_err err = { 0 };

	assert_int_equal(kc_kube_object.find(ctx, &t, &actual, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "Secret default/sec: its values would stand in plans"));
	assert_null(strstr(err.msg, "tr0ub4dor"));
	assert_int_equal(kc_kube_object.apply(ctx, &t, NULL, NULL, &actual, &err), KC_EINVAL);
	assert_null(actual);
	json_object_del(json_object_get(bare, "object"), "stringData");
	t.want = bare;
	must(kc_kube_object.find(ctx, &t, &actual, &err), &err);
	json_decref(actual);
}

static void test_ready(void **state)
{
	json_auto_t *web = want_of("Deployment"), *agent = want_of("DaemonSet"), *a = NULL,
		    *b = NULL, *c = NULL;
	struct kc_task t = task(web, NULL);
	struct kc_err err = { 0 };

	a = find(&kc_kube_object, web);
	assert_int_equal(kc_kube_object.ready(ctx, &t, a, &err), KC_EAGAIN);
	patch("/apis/apps/v1/namespaces/default/deployments/web/status",
	      "{\"status\": {\"observedGeneration\": 99, \"replicas\": 2, \"updatedReplicas\": 2, "
	      "\"readyReplicas\": 1, \"availableReplicas\": 1}}");
	json_decref(a);
	a = find(&kc_kube_object, web);
	assert_int_equal(kc_kube_object.ready(ctx, &t, a, &err), KC_EAGAIN);
	assert_string_equal(err.msg, "Deployment default/web: 1 of 2 pods available");
	patch("/apis/apps/v1/namespaces/default/deployments/web/status",
	      "{\"status\": {\"readyReplicas\": 2, \"availableReplicas\": 2}}");
	b = find(&kc_kube_object, web);
	must(kc_kube_object.ready(ctx, &t, b, &err), &err);

	json_object_set_new(agent, "wait", json_false());
	t.want = agent;
	c = find(&kc_kube_object, agent);
	must(kc_kube_object.ready(ctx, &t, c, &err), &err);
	quiet(&kc_kube_object, agent);
}

static void test_foreign(void **state)
{
	static const char path[] = "/api/v1/namespaces/default/configmaps/theirs";
	json_auto_t *theirs = kc_pack("{s:s, s:s, s:{s:s, s:s}}", "apiVersion", "v1", "kind",
				      "ConfigMap", "metadata", "name", "theirs", "namespace",
				      "default"),
		    *want = kc_pack("{s:O}", "object", theirs), *actual = NULL, *got = NULL;
	struct kc_task t = task(want, NULL), gone = task(NULL, want);
	struct kc_err err = { 0 };

	must(kc_kube_create(kube(), "/api/v1/namespaces/default/configmaps", theirs, NULL, &err),
	     &err);
	assert_int_equal(kc_kube_object.find(ctx, &t, &actual, &err), KC_ECONFLICT);
	assert_non_null(strstr(err.msg, "ConfigMap default/theirs exists"));
	assert_int_equal(kc_kube_object.apply(ctx, &t, NULL, NULL, &actual, &err), KC_ECONFLICT);
	assert_int_equal(kc_kube_object.remove(ctx, &gone, NULL, &err), KC_ECONFLICT);
	must(kc_kube_object.find(ctx, &gone, &actual, &err), &err);
	assert_null(actual);
	must(kc_kube_get(kube(), path, NULL, &err), &err);
	json_object_set_new(want, "adopt", json_true());
	got = apply(&kc_kube_object, want);
	quiet(&kc_kube_object, want);
	json_object_del(want, "adopt");
	must(kc_kube_object.remove(ctx, &gone, NULL, &err), &err);
	assert_int_equal(kc_kube_get(kube(), path, NULL, &err), KC_ENOTFOUND);
}

static void test_remove(void **state)
{
	struct kc_err err = { 0 };

	/* Backwards, as the engine does: a CRD takes its objects with it. */
	for (size_t i = json_array_size(manifests); i-- > 0;) {
		json_t *v = json_array_get(manifests, i);
		json_auto_t *want = json_pack("{s:O}", "object", v), *outputs = NULL,
			    *actual = NULL;
		struct kc_task t = task(NULL, NULL);
		int r;

		if (streq(kc_json_get_str(v, "kind", ""), "Namespace"))
			continue; /* goes with a controller that does not run here */
		outputs = find(&kc_kube_object, want);
		t.known = outputs; /* only the record knows it */
		must(kc_kube_object.find(ctx, &t, &actual, &err), &err);
		assert_non_null(actual);
		r = kc_kube_object.remove(ctx, &t, actual, &err);
		if (r != KC_EAGAIN)
			must(r, &err);
		while (r == KC_EAGAIN) {
			json_auto_t *now = NULL;

			must(kc_kube_object.find(ctx, &t, &now, &err), &err);
			if (!now)
				break;
		}
		must(kc_kube_object.remove(ctx, &t, NULL, &err), &err); /* gone is success */
	}
}

static void test_applyset(void **state)
{
	json_auto_t *want = kc_pack("{s:[s,s], s:[s]}", "groupKinds", "Service.", "Deployment.apps",
				    "namespaces", "default"),
		    *a = NULL, *live = NULL;
	struct kc_task t = task(NULL, want);
	struct kc_err err = { 0 };
	char id[64];

	/* printf %s kubecdn-addons.kube-system.ConfigMap. | openssl sha256 -binary | basenc
	 * --base64url */
	kc_applyset_id(id);
	assert_string_equal(id, "applyset-oFNIaSvUzxgW3ccyvUsB5WkJQp_QJ5QsYNLfV93js1Y-v1");
	a = apply(&kc_kube_applyset, want);
	quiet(&kc_kube_applyset, want);
	must(kc_kube_get(kube(), "/api/v1/namespaces/kube-system/configmaps/kubecdn-addons", &live,
			 &err),
	     &err);
	assert_string_equal(kc_json_get_str(kc_json_at(live, "metadata.annotations"),
					    "applyset.kubernetes.io/contains-group-kinds", ""),
			    "Deployment.apps,Service.");
	json_array_remove(json_object_get(want, "groupKinds"), 0);
	one_change(&kc_kube_applyset, want, NULL, "groupKinds");
	must(kc_kube_applyset.remove(ctx, &t, NULL, &err), &err);
	assert_null(find(&kc_kube_applyset, want));
}

static json_t *node_want(void)
{
	return kc_pack("{s:s, s:s, s:{s:s, s:s}, s:[{s:s, s:s}], s:s}", "name", "w1", "role",
		       "worker", "labels", "zone", "a", "disk", "ssd", "taints", "key", "edge",
		       "effect", "NoSchedule", "podRange", "10.244.0.0/16");
}

static bool stop(const struct kc_task *t)
{
	return true;
}

static void make_node(void)
{
	json_auto_t *node =
		json_loads("{\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": "
			   "{\"name\": \"w1\", \"labels\": {\"kubelet\": \"x\"}}, \"spec\": "
			   "{\"taints\": [{\"key\": \"theirs\", \"effect\": "
			   "\"NoSchedule\"}]}}",
			   0, NULL);
	struct kc_err err = { 0 };

	must(kc_kube_create(kube(), "/api/v1/nodes", node, NULL, &err), &err);
}

static void test_node(void **state)
{
	json_auto_t *want = node_want(), *less = node_want(), *a = NULL, *b = NULL, *live = NULL;
	struct kc_task t = task(want, NULL);
	struct kc_err err = { 0 };
	const json_t *labels;

	assert_null(find(&kc_kube_node, want));
	t.canceled = stop;
	assert_int_equal(kc_kube_node.apply(ctx, &t, NULL, NULL, &a, &err), KC_ECANCELED);
	assert_int_equal(kc_kube_get(kube(), "/api/v1/nodes/w1", NULL, &err), KC_ENOTFOUND);
	make_node();
	a = apply(&kc_kube_node, want);
	quiet(&kc_kube_node, want);

	json_object_del(json_object_get(less, "labels"), "disk");
	one_change(&kc_kube_node, less, want, "labels.disk");
	json_object_del(less, "taints");
	b = apply(&kc_kube_node, less);
	quiet(&kc_kube_node, less);
	must(kc_kube_get(kube(), "/api/v1/nodes/w1", &live, &err), &err);
	labels = kc_json_at(live, "metadata.labels");
	assert_null(json_object_get(labels, "disk"));
	assert_string_equal(kc_json_get_str(labels, "kubelet", ""), "x");
	assert_string_equal(kc_json_get_str(labels, "node-role.kubernetes.io/worker", "-"), "");
	assert_null(
		strstr(json_string_value(
			       json_object_get(json_array_get(kc_json_at(live, "spec.taints"), 0),
					       "key")),
		       "edge"));
	/* Other people's taints stay (not-ready is set by an admission plug-in). */
	assert_int_equal(json_array_size(kc_json_at(live, "spec.taints")), 2);
}

static void make_plain_node(const char *name, const char *block)
{
	json_auto_t *node = kc_pack("{s:s, s:s, s:{s:s}, s:{}}", "apiVersion", "v1", "kind", "Node",
				    "metadata", "name", name, "spec");
	struct kc_err err = { 0 };

	if (block) {
		json_object_set_new(json_object_get(node, "spec"), "podCIDR", json_string(block));
		json_object_set_new(json_object_get(node, "spec"), "podCIDRs",
				    kc_pack("[s]", block));
	}
	must(kc_kube_create(kube(), "/api/v1/nodes", node, NULL, &err), &err);
}

/* After applying want for it, the block of pod addresses that a node has; "" for none. */
static void has_block(const char *name, const char *range, const char *block)
{
	_cleanup_free_ char *path = xasprintf("/api/v1/nodes/%s", name);
	json_auto_t *want = kc_pack("{s:s, s:s, s:s}", "name", name, "role", "worker", "podRange",
				    range),
		    *a = apply(&kc_kube_node, want), *live = NULL;
	struct kc_err err = { 0 };

	must(kc_kube_get(kube(), path, &live, &err), &err);
	assert_string_equal(kc_json_get_str(json_object_get(live, "spec"), "podCIDR", ""), block);
	quiet(&kc_kube_node, want);
	must(kc_kube_delete(kube(), path, NULL, NULL, 0, &err), &err);
}

/* From the top, where the controller manager comes last; a block that is there stays. */
static void test_pod_blocks(void **state)
{
	struct kc_err err = { 0 };

	make_plain_node("n1", "10.9.255.0/24");
	make_plain_node("n2", "10.9.253.0/24");
	make_plain_node("n3", NULL);
	has_block("n3", "10.9.0.0/16", "10.9.254.0/24");
	make_plain_node("n4", NULL);
	has_block("n4", "10.9.252.0/23", ""); /* its upper half is n2's: left to the others */
	must(kc_kube_delete(kube(), "/api/v1/nodes/n1", NULL, NULL, 0, &err), &err);
	has_block("n2", "10.9.0.0/16", "10.9.253.0/24");
}

static void test_node_remove(void **state)
{
	json_auto_t
		*pod = json_loads("{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": "
				  "{\"name\": \"p\", \"namespace\": \"default\"}, \"spec\": "
				  "{\"nodeName\": \"w1\", \"terminationGracePeriodSeconds\": 0, "
				  "\"tolerations\": [{\"operator\": \"Exists\"}], "
				  "\"containers\": [{\"name\": \"c\", \"image\": \"i\"}]}}",
				  0, NULL),
		*want = node_want();
	struct kc_task t = task(NULL, want);
	struct kc_err err = { 0 };

	must(kc_kube_create(kube(), "/api/v1/namespaces/default/pods", pod, NULL, &err), &err);
	must(kc_kube_node.remove(ctx, &t, NULL, &err), &err);
	assert_int_equal(kc_kube_get(kube(), "/api/v1/namespaces/default/pods/p", NULL, &err),
			 KC_ENOTFOUND);
	assert_null(find(&kc_kube_node, want));
	must(kc_kube_node.remove(ctx, &t, NULL, &err), &err);
}

/* net-kube: pages, codes, discovery, identity. */
static void test_client(void **state)
{
	static const char maps[] = "/api/v1/namespaces/default/configmaps";
	_cleanup_kube_conf_ struct kc_kube_conf c = kube_lab_conf(&lab);
	_cleanup_kube_ struct kc_kube *nobody = NULL, *stranger = NULL;
	_cleanup_free_ char *path = NULL;
	json_auto_t *items = NULL, *cm = NULL;
	struct kc_err err = { 0 };

	for (int i = 0; i < 260; i++) {
		json_auto_t *o = kc_pack("{s:s, s:s, s:{s:o, s:{s:s}}}", "apiVersion", "v1", "kind",
					 "ConfigMap", "metadata", "name",
					 json_sprintf("page-%d", i), "labels", "page", "yes");

		must(kc_kube_create(kube(), maps, o, NULL, &err), &err);
	}
	must(kc_kube_list(kube(), maps, "labelSelector=page%3Dyes", &items, &err), &err);
	assert_int_equal(json_array_size(items), 260);
	assert_int_equal(kc_kube_path(kube(), "v1", "Wombat", NULL, "x", &path, &err),
			 KC_ENOTFOUND);
	assert_int_equal(kc_kube_path(kube(), "no.such/v1", "X", NULL, "x", &path, &err),
			 KC_ENOTFOUND);
	assert_int_equal(kc_kube_path(kube(), "v1", "Pod", "../x", "x", &path, &err), KC_EINVAL);
	must(kc_kube_path(kube(), "events.k8s.io/v1", "Event", "a", NULL, &path, &err), &err);
	assert_string_equal(path, "/apis/events.k8s.io/v1/namespaces/a/events");
	cm = json_loads("{\"metadata\": {\"name\": \"page-1\"}}", 0, NULL);
	assert_int_equal(kc_kube_create(kube(), maps, cm, NULL, &err), KC_ECONFLICT);
	assert_null(strchr(err.msg, '\n'));

	free(TAKE(c.cert_pem));
	kc_free_wiped(TAKE(c.key_pem));
	must(kc_kube_new(&c, &nobody, &err), &err);
	assert_int_equal(kc_kube_get(nobody, "/api/v1/nodes", NULL, &err), KC_EAUTH);
	c.token = xstrdup("nonsense");
	must(kc_kube_new(&c, &stranger, &err), &err);
	assert_int_equal(kc_kube_get(stranger, "/api/v1/nodes", NULL, &err), KC_EAUTH);
	assert_null(strstr(err.msg, "nonsense"));
}

/* An API server that hangs is waited for once, not once an object. */
static void test_silent(void **state)
{
	json_auto_t *cm = want_of("ConfigMap"), *actual = NULL;
	_cleanup_kube_ctx_ struct kc_kube_ctx *mine = kc_kube_ctx_new(conf, NULL);
	struct kc_task t = task(cm, NULL);
	struct kc_err first = { 0 }, second = { 0 };
	int64_t start;

	must(kc_kube_object.find(mine, &t, &actual, &first), &first);
	json_decref(TAKE(actual));
	kube_lab_freeze(&lab);
	kc_kube_object.find(mine, &t, &actual, &first);
	start = kc_now_ms();
	kc_kube_object.find(mine, &t, &actual, &second);
	kube_lab_thaw(&lab);
	assert_true(!actual && kc_now_ms() - start < 5000);
	assert_int_equal(first.code, KC_EAGAIN);
	assert_non_null(strstr(first.msg, "the Kubernetes API: no answer within 10 s"));
	assert_int_equal(second.code, KC_ETIMEOUT);
	kc_kube_ctx_expect(mine); /* from here on it is asked again later */
	assert_int_equal(kc_kube_object.find(mine, &t, &actual, &first), KC_EAGAIN);
}

/* Once it has answered, an API that is away is an error, not absence. Last: it stops the API. */
static void test_away(void **state)
{
	json_auto_t *cm = want_of("ConfigMap"), *actual = NULL;
	struct kc_task t = task(cm, NULL);
	struct kc_err err = { 0 };

	kube_lab_stop(&lab);
	lab.api = 0;
	lab.ca = lab.ca_key = lab.cert = lab.key = NULL;
	assert_int_equal(kc_kube_object.find(ctx, &t, &actual, &err), KC_EAGAIN);
	assert_null(actual);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gate),	    cmocka_unit_test(test_objects),
		cmocka_unit_test(test_drift),	    cmocka_unit_test(test_secret),
		cmocka_unit_test(test_ready),	    cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_remove),	    cmocka_unit_test(test_applyset),
		cmocka_unit_test(test_node),	    cmocka_unit_test(test_pod_blocks),
		cmocka_unit_test(test_node_remove), cmocka_unit_test(test_client),
		cmocka_unit_test(test_silent),	    cmocka_unit_test(test_away),
	};

	if (!getenv("KC_BUNDLE_BIN")) {
		printf("KC_BUNDLE_BIN is not set: nothing of this is tested\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
