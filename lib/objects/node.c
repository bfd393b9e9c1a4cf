/* kube/node: labels, taints and pod addresses of a Node that its kubelet made; and its removal. */
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/objects/impl.h"

#define ROLE_LABEL "node-role.kubernetes.io/"
/* Which taints we set, as "key:effect,…": the API keeps taints as one list for everybody. */
#define TAINTS_NOTE "kubecdn.io/taints"

enum { PATIENCE_MS = 120 * 1000, EAGER_MS = 15 * 1000, CONFLICTS = 10 };

static const char *name_of(const struct kc_task *task)
{
	return kc_json_get_str(task->want ? task->want : task->known, "name", NULL);
}

static json_t *identity(const struct kc_task *task)
{
	return kc_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Node", "metadata",
		       "name", name_of(task));
}

static bool same_taint(const json_t *a, const json_t *b)
{
	return streq(kc_json_get_str(a, "key", ""), kc_json_get_str(b, "key", "")) &&
	       streq(kc_json_get_str(a, "effect", ""), kc_json_get_str(b, "effect", ""));
}

static json_t *find_taint(const json_t *list, const json_t *t)
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)list, i, v)
		if (same_taint(v, t))
			return v;
	return NULL;
}

static char *taint_id(const json_t *t)
{
	return xasprintf("%s:%s", kc_json_get_str(t, "key", ""), kc_json_get_str(t, "effect", ""));
}

/* Did an earlier apply of ours set it? */
static bool was_ours(const json_t *live, const json_t *taint)
{
	const char *note =
		kc_json_get_str(kc_json_at(live, "metadata.annotations"), TAINTS_NOTE, "");
	_cleanup_free_ char *copy = xstrdup(note), *id = taint_id(taint);
	char *save = NULL;

	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save))
		if (streq(w, id))
			return true;
	return false;
}

/* Want's taints that are there, in want's form and order, then those that we set before. */
static json_t *our_taints(const json_t *want, const json_t *live)
{
	const json_t *wanted = json_object_get(want, "taints"),
		     *have = kc_json_at(live, "spec.taints");
	json_t *out = json_array(), *v;
	size_t i;

	json_array_foreach((json_t *)wanted, i, v) {
		json_t *h = find_taint(have, v);

		if (h && streq(kc_json_get_str(h, "value", ""), kc_json_get_str(v, "value", "")))
			json_array_append(out, v);
		else if (h)
			json_array_append(out, h);
	}
	json_array_foreach((json_t *)have, i, v)
		if (!find_taint(wanted, v) && was_ours(live, v))
			json_array_append(out, v);
	return out;
}

/* Labels that want has or that our field manager set, but the role's. */
static json_t *our_labels(const json_t *want, const json_t *live)
{
	const json_t *owned = kc_json_at(kube_owned_fields(live), "f:metadata");
	const json_t *fields = json_object_get(owned, "f:labels"),
		     *wanted = json_object_get(want, "labels");
	json_t *out = json_object(), *v;
	const char *key;

	json_object_foreach(kc_json_at(live, "metadata.labels"), key, v) {
		_cleanup_free_ char *field = xasprintf("f:%s", key);

		if (json_object_get(wanted, key) ||
		    (json_object_get(fields, field) && !kc_startswith(key, ROLE_LABEL)))
			json_object_set(out, key, v);
	}
	return out;
}

static json_t *actual_of(const struct kc_task *task, const json_t *live)
{
	json_t *actual =
		kc_pack("{s:s, s:o, s:o}", "name", name_of(task), "labels",
			our_labels(task->want, live), "taints", our_taints(task->want, live));
	const char *role = kc_json_get_str(task->want, "role", "");
	_cleanup_free_ char *label = xasprintf(ROLE_LABEL "%s", role);

	if (json_object_get(task->want, "podRange")) /* where a block comes from, not which */
		json_object_set(actual, "podRange", json_object_get(task->want, "podRange"));
	if (!*role || json_object_get(kc_json_at(live, "metadata.labels"), label))
		json_object_set_new(actual, "role", json_string(role));
	return actual;
}

/* Another cluster's mark on a Node of ours: two operators share one API. */
static bool foreign(const json_t *live, const char *owner)
{
	const char *mark = kc_json_get_str(kc_json_at(live, "metadata.annotations"),
					   KC_OWNER_ANNOTATION, owner);

	return !streq(mark, owner);
}

static int node_find(void *ctx, const struct kc_task *task, json_t **ret_actual, struct kc_err *err)
{
	json_auto_t *id = NULL, *live = NULL;
	int r;

	if (!name_of(task))
		return 0;
	id = identity(task);
	r = kube_find(ctx, task, id, &live, err);
	if (r < 0 || !live)
		return r;
	if (foreign(live, task->owner))
		return kc_fail(err, KC_ECONFLICT, "node %s belongs to another cluster's operator",
			       name_of(task));
	*ret_actual = actual_of(task, live);
	return 0;
}

static int wait_for_node(struct kc_kube_ctx *c, const struct kc_task *task, json_t **ret_live,
			 struct kc_err *err)
{
	int64_t began = kc_now_ms(), deadline = began + PATIENCE_MS;
	json_auto_t *id = identity(task);
	int r;

	for (;;) {
		r = kube_find(c, task, id, ret_live, err);
		if ((r < 0 && r != KC_EAGAIN) || *ret_live)
			return r;
		if (kc_now_ms() > deadline)
			return kc_fail(err, KC_ETIMEOUT,
				       "node %s did not join within two minutes; look at its "
				       "kubelet: journalctl -u kubelet",
				       name_of(task));
		/* It joins moments after the API is up, and waits for us to be Ready. */
		r = kube_pause(task, kc_now_ms() - began < EAGER_MS ? 50 : 250, err);
		if (r < 0)
			return r;
	}
}

/* With the Node's uid, so that a Node which was deleted meanwhile is not made by us. */
static int apply_labels(struct kc_kube_ctx *c, const struct kc_task *task, const json_t *live,
			json_t **ret, struct kc_err *err)
{
	const char *role = kc_json_get_str(task->want, "role", "");
	json_auto_t *object = identity(task), *labels = NULL;
	json_t *meta = json_object_get(object, "metadata");

	labels = json_deep_copy(json_object_get(task->want, "labels"));
	if (!labels)
		labels = json_object();
	if (*role) {
		_cleanup_free_ char *label = xasprintf(ROLE_LABEL "%s", role);

		json_object_set_new(labels, label, json_string(""));
	}
	json_object_set(meta, "uid", json_object_get(json_object_get(live, "metadata"), "uid"));
	json_object_set(meta, "labels", labels);
	json_object_set_new(meta, "annotations",
			    kc_pack("{s:s}", KC_OWNER_ANNOTATION, task->owner));
	return kube_apply(c, task, object, ret, err);
}

/* A patch that makes our taints want's and leaves other people's alone; NULL: nothing to do. */
static json_t *taint_patch(const struct kc_task *task, const json_t *live)
{
	const json_t *wanted = json_object_get(task->want, "taints"),
		     *have = kc_json_at(live, "spec.taints");
	json_auto_t *list = json_array(), *ours = our_taints(task->want, live);
	_cleanup_free_ char *note = xstrdup("");
	json_t *v;
	size_t i;

	if (json_array_size(ours) == json_array_size(wanted) &&
	    (!json_array_size(wanted) || json_equal(ours, (json_t *)wanted)))
		return NULL;
	json_array_foreach((json_t *)have, i, v)
		if (!find_taint(wanted, v) && !was_ours(live, v))
			json_array_append(list, v);
	json_array_foreach((json_t *)wanted, i, v) {
		_cleanup_free_ char *id = taint_id(v), *old = TAKE(note);

		json_array_append(list, v);
		note = xasprintf("%s%s%s", old, *old ? "," : "", id);
	}
	return kc_pack("{s:{s:s, s:{s:s}}, s:{s:O}}", "metadata", "resourceVersion",
		       kc_json_get_str(json_object_get(live, "metadata"), "resourceVersion", ""),
		       "annotations", TAINTS_NOTE, note, "spec", "taints", list);
}

/* The list is shared with the node controller: read, change, write if nobody else did. */
static int apply_taints(struct kc_kube *k, const struct kc_task *task, json_t **live,
			struct kc_err *err)
{
	_cleanup_free_ char *path = xasprintf("/api/v1/nodes/%s", name_of(task));
	int r = KC_ECONFLICT;

	for (int i = 0; r == KC_ECONFLICT && i < CONFLICTS; i++) {
		json_auto_t *patch = NULL, *now = NULL;

		if (i) {
			r = kc_kube_get(k, path, &now, err);
			if (r < 0)
				return r;
			json_decref(*live);
			*live = TAKE(now);
		}
		patch = taint_patch(task, *live);
		if (!patch)
			return 0;
		r = kc_kube_merge(k, path, patch, &now, err);
		if (r == 0) {
			json_decref(*live);
			*live = TAKE(now);
		}
	}
	return r;
}

/*
 * Somebody deleted it. Its kubelet thinks that it is registered, and its pods have addresses of the
 * block that the Node had; it will get another one.
 */
static int bring_back(struct kc_kube_ctx *c, struct kc_kube *k, const struct kc_task *task,
		      struct kc_err *err)
{
	int r = kube_drop_pods(k, name_of(task), err);

	return r < 0 ? r : kube_rejoin(c, task, err);
}

static int node_apply(void *ctx, const struct kc_task *task, const json_t *actual,
		      const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	const char *range = kc_json_get_str(task->want, "podRange", NULL);
	json_auto_t *live = NULL, *after = NULL;
	struct kc_kube *k;
	int r;

	if (!name_of(task))
		return kc_fail(err, KC_EINVAL, "%s: a node needs a name", task->id);
	r = kc_kube_ctx_get(ctx, &k, err);
	if (r == 0 && !actual && task->again)
		r = bring_back(ctx, k, task, err);
	if (r == 0)
		r = wait_for_node(ctx, task, &live, err);
	if (r == 0 && range)
		r = kube_give_pod_cidr(k, name_of(task), range, &live, err);
	if (r == 0)
		r = apply_labels(ctx, task, live, &after, err);
	if (r == 0)
		r = apply_taints(k, task, &after, err);
	if (r < 0)
		return r;
	*ret_actual = actual_of(task, after);
	return 0;
}

static int node_remove(void *ctx, const struct kc_task *task, const json_t *actual,
		       struct kc_err *err)
{
	json_auto_t *id = NULL, *live = NULL;
	_cleanup_free_ char *path = NULL;
	struct kc_kube *k;
	int r;

	if (!name_of(task))
		return 0;
	id = identity(task);
	path = xasprintf("/api/v1/nodes/%s", name_of(task));
	r = kc_kube_ctx_get(ctx, &k, err);
	if (r == 0)
		r = kc_kube_get(k, path, &live, err);
	if (r < 0)
		return r == KC_ENOTFOUND ? 0 : r;
	if (foreign(live, task->owner))
		return kc_fail(err, KC_ECONFLICT, "node %s belongs to another cluster's operator",
			       name_of(task));
	r = kube_drain(k, task, name_of(task), err);
	if (r == 0)
		r = kc_kube_delete(k, path, "Background", NULL, -1, err);
	return r == KC_ENOTFOUND ? 0 : r;
}

static void node_normalize(json_t *want, json_t *actual)
{
	/* Left out means none, so that what we set before shows as a removal. */
	if (!json_object_get(want, "labels"))
		json_object_set_new(want, "labels", json_object());
	if (!json_object_get(want, "taints"))
		json_object_set_new(want, "taints", json_array());
}

const struct kc_kind kc_kube_node = {
	.name = "kube/node",
	.find = node_find,
	.apply = node_apply,
	.remove = node_remove,
	.normalize = node_normalize,
};
