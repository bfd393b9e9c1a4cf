/* From apiVersion and kind to a path: a table first, then discovery. */
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/kube_impl.h"

#define RBAC "rbac.authorization.k8s.io/v1"

static const struct resource {
	const char *api_version, *kind, *plural;
	bool namespaced;
} table[] = {
	{ "v1", "ConfigMap", "configmaps", true },
	{ "v1", "Endpoints", "endpoints", true },
	{ "v1", "Event", "events", true },
	{ "v1", "LimitRange", "limitranges", true },
	{ "v1", "Namespace", "namespaces", false },
	{ "v1", "Node", "nodes", false },
	{ "v1", "PersistentVolume", "persistentvolumes", false },
	{ "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true },
	{ "v1", "Pod", "pods", true },
	{ "v1", "ResourceQuota", "resourcequotas", true },
	{ "v1", "Secret", "secrets", true },
	{ "v1", "Service", "services", true },
	{ "v1", "ServiceAccount", "serviceaccounts", true },
	{ "apps/v1", "DaemonSet", "daemonsets", true },
	{ "apps/v1", "Deployment", "deployments", true },
	{ "apps/v1", "ReplicaSet", "replicasets", true },
	{ "apps/v1", "StatefulSet", "statefulsets", true },
	{ "batch/v1", "CronJob", "cronjobs", true },
	{ "batch/v1", "Job", "jobs", true },
	{ "networking.k8s.io/v1", "Ingress", "ingresses", true },
	{ "networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", true },
	{ "policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", true },
	{ RBAC, "ClusterRole", "clusterroles", false },
	{ RBAC, "ClusterRoleBinding", "clusterrolebindings", false },
	{ RBAC, "Role", "roles", true },
	{ RBAC, "RoleBinding", "rolebindings", true },
	{ "scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", false },
	{ "storage.k8s.io/v1", "StorageClass", "storageclasses", false },
	{ "coordination.k8s.io/v1", "Lease", "leases", true },
	{ "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions",
	  false },
	{ "apiregistration.k8s.io/v1", "APIService", "apiservices", false },
};

static char *root_of(const char *api_version)
{
	return xasprintf("%s/%s", strchr(api_version, '/') ? "/apis" : "/api", api_version);
}

int kube_kinds_of(const json_t *reply, const char *path, json_t **ret, struct kc_err *err)
{
	json_auto_t *kinds = json_object();
	const json_t *list, *item;
	size_t i;
	int r;

	r = kc_json_arr(reply, path, "resources", &list, err);
	if (r < 0)
		return r;
	json_array_foreach((json_t *)list, i, item) {
		const char *name = kc_json_get_str(item, "name", NULL),
			   *kind = kc_json_get_str(item, "kind", NULL);

		if (!name || !kind)
			return kc_fail(err, KC_EFAIL, "GET %s: a resource without name or kind",
				       path);
		if (!strchr(name, '/')) /* no subresources */
			json_object_set_new(kinds, kind,
					    kc_pack("{s:s, s:b}", "plural", name, "namespaced",
						    kc_json_get_bool(item, "namespaced", false)));
	}
	*ret = TAKE(kinds);
	return 0;
}

static int discover(struct kc_kube *k, const char *api_version, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *path = root_of(api_version);
	json_auto_t *reply = NULL;
	int r = kc_kube_get(k, path, &reply, err);

	return r < 0 ? r : kube_kinds_of(reply, path, ret, err);
}

static json_t *cached(struct kc_kube *k, const char *api_version, const char *kind)
{
	json_t *v;

	pthread_mutex_lock(&k->lock);
	v = json_deep_copy(json_object_get(json_object_get(k->groups, api_version), kind));
	pthread_mutex_unlock(&k->lock);
	return v;
}

/* What discovery says of a kind; asked of the API when it is not cached. */
static int look_up(struct kc_kube *k, const char *api_version, const char *kind, json_t **ret,
		   struct kc_err *err)
{
	json_t *v = cached(k, api_version, kind), *kinds = NULL;
	int r;

	if (!v) {
		r = discover(k, api_version, &kinds, err);
		if (r < 0)
			return kc_wrap(err, "looking for the kind %s %s", api_version, kind);
		pthread_mutex_lock(&k->lock);
		json_object_set_new(k->groups, api_version, kinds);
		pthread_mutex_unlock(&k->lock);
		v = cached(k, api_version, kind);
	}
	if (!v)
		return kc_fail(err, KC_ENOTFOUND, "the Kubernetes API has no kind %s in %s", kind,
			       api_version);
	*ret = v;
	return 0;
}

static char *format(const char *api_version, const char *plural, bool namespaced,
		    const char *namespace, const char *name)
{
	_cleanup_free_ char *root = root_of(api_version);

	if (namespaced && !namespace && name)
	namespace = "default";
	if (!namespaced)
	namespace = NULL;
	return xasprintf("%s%s%s/%s%s%s", root, namespace ? "/namespaces/" : "",
			 namespace ? namespace : "", plural, name ? "/" : "", name ? name : "");
}

static bool sane(const char *s)
{
	return !s || (*s && !strpbrk(s, "/?#% ") && !streq(s, "..") && !streq(s, "."));
}

int kc_kube_path(struct kc_kube *k, const char *api_version, const char *kind,
		 const char *namespace, const char *name, char **ret, struct kc_err *err)
{
	json_auto_t *found = NULL;
	int r;

	if (!sane(namespace) || !sane(name))
		return kc_fail(err, KC_EINVAL, "%s: \"%s\" cannot be part of an API path", kind,
			       sane(name) ? namespace : name);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (streq(table[i].kind, kind) && streq(table[i].api_version, api_version)) {
			*ret = format(api_version, table[i].plural, table[i].namespaced, namespace,
				      name);
			return 0;
		}
	r = look_up(k, api_version, kind, &found, err);
	if (r < 0)
		return r;
	*ret = format(api_version, kc_json_get_str(found, "plural", ""),
		      kc_json_get_bool(found, "namespaced", false), namespace, name);
	return 0;
}

int kc_kube_object_path(struct kc_kube *k, const json_t *o, char **ret, struct kc_err *err)
{
	const json_t *meta = json_object_get(o, "metadata");
	const char *v = kc_json_get_str(o, "apiVersion", NULL),
		   *kind = kc_json_get_str(o, "kind", NULL),
		   *name = kc_json_get_str(meta, "name", NULL);

	if (!v || !kind || !name)
		return kc_fail(err, KC_EINVAL,
			       "a manifest needs apiVersion, kind and metadata.name%s%s",
			       kind ? "; it is of kind " : "", kind ? kind : "");
	return kc_kube_path(k, v, kind, kc_json_get_str(meta, "namespace", NULL), name, ret, err);
}
