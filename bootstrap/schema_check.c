/* What must hold between the fields of a Cluster; addresses are in schema_addr.c. */
#include <string.h>

#include "bootstrap/schema_priv.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* Clouds whose machines the user brings; all others make theirs from instance groups. */
static const char *const host_clouds[] = { "onprem", NULL };
static const char *const required_addons[] = { "coredns", "flannel", NULL };
/* Addons of the design: named, so that the message can say "not yet" instead of "unknown". */
static const char *const known_addons[] = { "coredns", "flannel", "video-edge", "monitoring",
					    NULL };

static size_t count(const char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

static bool contains(const char *const *list, const char *s)
{
	for (; *list; list++)
		if (streq(*list, s))
			return true;
	return false;
}

static char *joined(const char *const *list)
{
	_cleanup_buf_ struct kc_buf b = { 0 };

	for (size_t i = 0; list[i]; i++)
		kc_buf_printf(&b, "%s%s", i ? ", " : "", list[i]);
	return kc_buf_steal(&b);
}

static void check_version(const json_t *spec, const struct kc_cluster_limits *l,
			  struct kc_report *rep)
{
	const char *version = kc_json_get_str(spec, "kubernetesVersion", "");
	_cleanup_free_ char *all = joined(l->versions);

	if (!contains(l->versions, version))
		kc_report_value(rep, "/spec/kubernetesVersion",
				"Kubernetes %s is not supported by this version; use %s", version,
				all);
}

/* False: the cloud is not in this build. *ret stays NULL when no build is known. */
static bool check_cloud(const json_t *spec, const struct kc_cluster_limits *l,
			struct kc_report *rep, const struct kc_cloud **ret)
{
	const char *cloud = kc_json_get_str(spec, "cloud", "");
	_cleanup_buf_ struct kc_buf all = { 0 };

	for (size_t i = 0; l->clouds && l->clouds[i]; i++) {
		if (streq(l->clouds[i]->name, cloud)) {
			*ret = l->clouds[i];
			return true;
		}
		kc_buf_printf(&all, "%s%s", i ? ", " : "", l->clouds[i]->name);
	}
	if (!l->clouds)
		return true;
	kc_report_value(rep, "/spec/cloud",
			"%s is not available in this version yet; use one of %s", cloud,
			kc_buf_get(&all));
	return false;
}

/* Two entries of a list with the same name. */
static void check_names(const json_t *spec, const char *list, struct kc_report *rep)
{
	json_auto_t *seen = json_object();
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(spec, list), i, item) {
		const char *name = kc_json_get_str(item, "name", "");
		_cleanup_free_ char *at = xasprintf("/spec/%s/%zu/name", list, i);

		if (json_object_get(seen, name))
			kc_report_value(rep, at, "\"%s\" is already %s[%lld]; names must differ",
					name, list,
					(long long)json_integer_value(json_object_get(seen, name)));
		else
			json_object_set_new(seen, name, json_integer((json_int_t)i));
	}
}

static bool is_control_plane(const json_t *item)
{
	return streq(kc_json_get_str(item, "role", ""), "control-plane");
}

static void too_many(struct kc_report *rep, const char *pointer, long long n)
{
	kc_report_value(rep, pointer,
			"%lld control planes: this version runs one; make the others workers", n);
}

static void check_hosts(const json_t *spec, struct kc_report *rep)
{
	const json_t *hosts = json_object_get(spec, "hosts"), *host;
	_cleanup_free_ char *second = NULL;
	long long n = 0;
	size_t i;

	if (json_array_size(json_object_get(spec, "instanceGroups")))
		kc_report_key(rep, "/spec/instanceGroups",
			      "cloud %s takes no instanceGroups; list the machines under hosts",
			      kc_json_get_str(spec, "cloud", ""));
	json_array_foreach((json_t *)hosts, i, host)
		if (is_control_plane(host) && ++n == 2)
			second = xasprintf("/spec/hosts/%zu/role", i);
	if (n == 0)
		kc_report_key(rep, "/spec/hosts",
			      "no control plane; give one host the role control-plane");
	if (n > 1)
		too_many(rep, second, n);
}

static void check_groups(const json_t *spec, struct kc_report *rep)
{
	const json_t *groups = json_object_get(spec, "instanceGroups"), *group;
	_cleanup_free_ char *where = NULL;
	long long n = 0;
	size_t i;

	if (json_array_size(json_object_get(spec, "hosts")))
		kc_report_key(rep, "/spec/hosts",
			      "cloud %s takes no hosts; use instanceGroups, or set cloud: onprem",
			      kc_json_get_str(spec, "cloud", ""));
	json_array_foreach((json_t *)groups, i, group) {
		long long min = kc_json_get_int(group, "minSize", 0);
		long long max = kc_json_get_int(group, "maxSize", 0);
		_cleanup_free_ char *at = xasprintf("/spec/instanceGroups/%zu/%s", i,
						    min > 1 ? "minSize" : "maxSize");

		if (max < min)
			kc_report_value(rep, at, "maxSize %lld is less than minSize %lld", max,
					min);
		if (!is_control_plane(group))
			continue;
		n += max > min ? max : min;
		if (min == 0 && max > 0)
			kc_report_value(rep, at,
					"a control plane cannot scale to 0; set minSize: 1");
		if (n > 1 && !where)
			where = TAKE(at);
	}
	if (n == 0)
		kc_report_key(rep, "/spec/instanceGroups",
			      "no control plane; give one group the role control-plane, minSize: "
			      "1");
	if (n > 1)
		too_many(rep, where, n);
}

static void check_taints(const json_t *spec, const char *list, struct kc_report *rep)
{
	json_t *item, *taint;
	size_t i, k;

	json_array_foreach(json_object_get(spec, list), i, item) {
		json_auto_t *seen = json_object();

		json_array_foreach(json_object_get(item, "taints"), k, taint) {
			const char *s = json_string_value(taint);
			_cleanup_free_ char *key =
				xasprintf("%.*s%s", (int)strcspn(s, "=:"), s, strrchr(s, ':'));
			_cleanup_free_ char *at = xasprintf("/spec/%s/%zu/taints/%zu", list, i, k);

			if (json_object_get(seen, key))
				kc_report_value(rep, at,
						"a second taint with the same key and effect; "
						"remove one");
			json_object_set_new(seen, key, json_true());
		}
	}
}

enum arg_type { ARG_INT, ARG_DURATION };

/*
 * Arguments that tune and cannot break: nothing about identity, authentication, addresses, paths
 * or cgroups. Bounds are Kubernetes' own where it has any.
 */
struct arg {
	const char *name;
	enum arg_type type;
	long min, max;
};

static const struct arg kubelet_args[] = {
	/* A node has a /24 of pod addresses. */
	{ "max-pods", ARG_INT, 1, 250 },
	{ "v", ARG_INT, 0, 10 },
	{ "image-gc-high-threshold", ARG_INT, 1, 100 },
	{ "image-gc-low-threshold", ARG_INT, 0, 100 },
	{ "minimum-image-ttl-duration", ARG_DURATION, 0, 0 },
	{ "node-status-update-frequency", ARG_DURATION, 0, 0 },
	{ "registry-qps", ARG_INT, 0, 1000 },
	{ "registry-burst", ARG_INT, 0, 1000 },
	{ 0 }
};

static const struct arg api_server_args[] = { { "v", ARG_INT, 0, 10 },
					      { "audit-log-maxage", ARG_INT, 0, 3650 },
					      { "audit-log-maxbackup", ARG_INT, 0, 1000 },
					      { "audit-log-maxsize", ARG_INT, 1, 10000 },
					      { "event-ttl", ARG_DURATION, 0, 0 },
					      { "max-requests-inflight", ARG_INT, 1, 100000 },
					      { "max-mutating-requests-inflight", ARG_INT, 1,
						100000 },
					      { "min-request-timeout", ARG_INT, 60, 86400 },
					      { 0 } };

static const struct arg *arg_find(const struct arg *args, const char *name)
{
	for (; args->name; args++)
		if (streq(args->name, name))
			return args;
	return NULL;
}

static void arg_unknown(const struct arg *args, const char *name, const char *at,
			struct kc_report *rep)
{
	_cleanup_buf_ struct kc_buf all = { 0 };

	for (; args->name; args++)
		kc_buf_printf(&all, "%s%s", all.len ? ", " : "", args->name);
	kc_report_key(rep, at, "the argument \"%.60s\" is not allowed here; allowed are: %s", name,
		      kc_buf_get(&all));
}

static void arg_check(const struct arg *arg, const char *value, const char *at,
		      struct kc_report *rep)
{
	long v;

	if (arg->type == ARG_INT && !kc_parse_long(value, arg->min, arg->max, &v))
		kc_report_value(rep, at, "\"%.60s\" is not a number from %ld to %ld", value,
				arg->min, arg->max);
	if (arg->type == ARG_DURATION && (!kc_parse_duration(value, &v) || v < 1000))
		kc_report_value(rep, at, "\"%.60s\" is not a duration; use one like 90s, 5m or 2h",
				value);
}

static void check_args(const json_t *spec, const char *component, const struct arg *args,
		       struct kc_report *rep)
{
	_cleanup_free_ char *base = xasprintf("/spec/%s/extraArgs", component);
	const json_t *map = json_object_get(json_object_get(spec, component), "extraArgs");
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)map, name, value) {
		_cleanup_free_ char *at = kc_spec_join(base, name);
		const struct arg *arg = arg_find(args, name);

		if (arg)
			arg_check(arg, json_string_value(value), at, rep);
		else
			arg_unknown(args, name, at, rep);
	}
}

static void check_addon(const char *name, const char *at, const struct kc_cluster_limits *l,
			struct kc_report *rep)
{
	_cleanup_free_ char *all = joined(l->addons);
	const char *near = kc_nearest(name, known_addons, count(known_addons));

	if (contains(l->addons, name))
		return;
	if (contains(known_addons, name))
		kc_report_value(rep, at,
				"the addon %s is not available in this version yet; remove it",
				name);
	else if (near)
		kc_report_value(rep, at, "no addon \"%.60s\"; did you mean \"%s\"?", name, near);
	else
		kc_report_value(rep, at, "no addon \"%.60s\"; this version has %s", name, all);
}

static void check_addons(const json_t *spec, const struct kc_cluster_limits *l,
			 struct kc_report *rep)
{
	const json_t *addons = json_object_get(spec, "addons"), *addon;
	json_auto_t *seen = json_object();
	size_t i;

	json_array_foreach((json_t *)addons, i, addon) {
		const char *name = json_string_value(addon);
		_cleanup_free_ char *at = xasprintf("/spec/addons/%zu", i);

		check_addon(name, at, l, rep);
		if (json_object_get(seen, name))
			kc_report_value(rep, at, "%.60s is listed twice; remove one", name);
		json_object_set_new(seen, name, json_true());
	}
	for (i = 0; required_addons[i]; i++)
		if (!json_object_get(seen, required_addons[i]))
			kc_report_value(rep, "/spec/addons",
					"%s is missing: no cluster works without it; add it",
					required_addons[i]);
}

void kc_cluster_cross(const json_t *cluster, const struct kc_cluster_limits *limits,
		      struct kc_report *rep)
{
	const json_t *spec = json_object_get(cluster, "spec");
	int64_t mtu = kc_json_get_int(json_object_get(spec, "networking"), "mtu", 0);
	const struct kc_cloud *cloud = NULL;
	bool here = check_cloud(spec, limits, rep, &cloud);

	check_version(spec, limits, rep);
	if (cloud)
		kc_cluster_cross_honours(cluster, cloud, rep);
	if (mtu != 0 && mtu < 1280)
		kc_report_value(rep, "/spec/networking/mtu",
				"%lld is out of range; use 0 (automatic) or 1280 to 9216",
				(long long)mtu);
	/* Of a cloud that is not there yet it is no question what its machines need. */
	if (here && contains(host_clouds, kc_json_get_str(spec, "cloud", "")))
		check_hosts(spec, rep);
	else if (here)
		check_groups(spec, rep);
	check_names(spec, "hosts", rep);
	check_names(spec, "instanceGroups", rep);
	check_taints(spec, "hosts", rep);
	check_taints(spec, "instanceGroups", rep);
	check_args(spec, "kubelet", kubelet_args, rep);
	check_args(spec, "apiServer", api_server_args, rep);
	check_addons(spec, limits, rep);
}
