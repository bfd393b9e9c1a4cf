/* Emptying a node: evictions first, so that PodDisruptionBudgets have their say for a while. */
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/http.h"
#include "lib/objects/impl.h"

enum { PATIENCE_MS = 30 * 1000, POLL_MS = 500 };

/* Pods that a drain leaves: the kubelet's own, and those a DaemonSet would make again. */
static bool stays(const json_t *pod)
{
	const json_t *meta = json_object_get(pod, "metadata");
	json_t *v;
	size_t i;

	if (json_object_get(json_object_get(meta, "annotations"), "kubernetes.io/config.mirror"))
		return true;
	json_array_foreach(json_object_get(meta, "ownerReferences"), i, v)
		if (streq(kc_json_get_str(v, "kind", ""), "DaemonSet") &&
		    kc_json_get_bool(v, "controller", false))
			return true;
	return false;
}

static int pods_on(struct kc_kube *k, const char *node, bool all_of_them, json_t **ret,
		   struct kc_err *err)
{
	_cleanup_free_ char *query = xasprintf("fieldSelector=spec.nodeName%%3D%s", node);
	json_auto_t *all = NULL;
	json_t *out, *v;
	size_t i;
	int r;

	r = kc_kube_list(k, "/api/v1/pods", query, &all, err);
	if (r < 0)
		return r;
	out = json_array();
	json_array_foreach(all, i, v)
		if (all_of_them || !stays(v))
			json_array_append(out, v);
	*ret = out;
	return 0;
}

static char *pod_path(const json_t *pod)
{
	const json_t *meta = json_object_get(pod, "metadata");

	return xasprintf("/api/v1/namespaces/%s/pods/%s", kc_json_get_str(meta, "namespace", ""),
			 kc_json_get_str(meta, "name", ""));
}

/* Ask once; a budget that refuses (429) is asked again in the next round. */
static int evict(struct kc_kube *k, const json_t *pod, struct kc_err *err)
{
	const json_t *meta = json_object_get(pod, "metadata");
	_cleanup_free_ char *path = pod_path(pod), *where = xasprintf("%s/eviction", path);
	json_auto_t *eviction = NULL;
	int r;

	if (json_object_get(meta, "deletionTimestamp"))
		return 0;
	eviction = kc_pack("{s:s, s:s, s:{s:s, s:s}}", "apiVersion", "policy/v1", "kind",
			   "Eviction", "metadata", "name", kc_json_get_str(meta, "name", ""),
			   "namespace", kc_json_get_str(meta, "namespace", ""));
	r = kc_kube_create(k, where, eviction, NULL, err);
	return r == KC_EAGAIN || r == KC_ENOTFOUND ? 0 : r;
}

static int for_each(struct kc_kube *k, const json_t *pods, bool force, struct kc_err *err)
{
	json_t *pod;
	size_t i;

	json_array_foreach((json_t *)pods, i, pod) {
		_cleanup_free_ char *path = pod_path(pod);
		int r = force ? kc_kube_delete(k, path, "Background", NULL, 0, err)
			      : evict(k, pod, err);

		if (r < 0 && r != KC_ENOTFOUND)
			return r;
	}
	return 0;
}

int kube_drop_pods(struct kc_kube *k, const char *node, struct kc_err *err)
{
	json_auto_t *pods = NULL;
	int r = pods_on(k, node, true, &pods, err);

	return r < 0 ? r : for_each(k, pods, true, err);
}

int kube_drain(struct kc_kube *k, const struct kc_task *task, const char *node, struct kc_err *err)
{
	json_auto_t *cordon = kc_pack("{s:{s:b}}", "spec", "unschedulable", true);
	_cleanup_free_ char *path = xasprintf("/api/v1/nodes/%s", node);
	int64_t deadline = kc_now_ms() + PATIENCE_MS;
	int r;

	r = kc_kube_merge(k, path, cordon, NULL, err);
	while (r == 0) {
		json_auto_t *pods = NULL;

		r = pods_on(k, node, false, &pods, err);
		if (r < 0 || !json_array_size(pods))
			break;
		if (kc_now_ms() > deadline)
			return for_each(k, pods, true, err);
		r = for_each(k, pods, false, err);
		if (r == 0)
			r = kube_pause(task, POLL_MS, err);
	}
	return r == KC_ENOTFOUND ? 0 : r < 0 ? kc_wrap(err, "draining node %s", node) : 0;
}
