/* From a manifest's text to a checked document with its defaults. */
#include "bootstrap/schema.h"

#include "bootstrap/schema_priv.h"
#include "dns/policy.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/codec/yaml.h"

#define CONTROL_PLANE_TAINT "node-role.kubernetes.io/control-plane:NoSchedule"

/* Kinds of the design that are not built yet: named, so that the message can say so. */
static const char *const future_kinds[] = { "Fleet", "PropagationPolicy", "OverridePolicy", "Drill",
					    "RegionScaler" };

static struct kc_cluster_limits with_defaults(const struct kc_cluster_limits *limits)
{
	static const char *const versions[] = { "1.37.2", "1.36.3", NULL };
	static const char *const addons[] = { "coredns", "flannel", NULL };
	struct kc_cluster_limits l = limits ? *limits : (struct kc_cluster_limits){ 0 };

	if (!l.versions)
		l.versions = versions;
	if (!l.addons)
		l.addons = addons;
	return l;
}

/* Defaults that depend on other fields; doc is the validated copy. */
static void derive(json_t *doc, const struct kc_cluster_limits *limits)
{
	json_t *spec = json_object_get(doc, "spec"), *v;
	const char *const lists[] = { "hosts", "instanceGroups" };
	size_t i;

	if (!json_object_get(spec, "kubernetesVersion"))
		json_object_set_new(spec, "kubernetesVersion", json_string(limits->versions[0]));
	for (size_t k = 0; k < ARRAY_SIZE(lists); k++)
		json_array_foreach(json_object_get(spec, lists[k]), i, v) {
			bool cp = streq(kc_json_get_str(v, "role", ""), "control-plane");

			if (json_object_get(v, "taints"))
				continue;
			json_object_set_new(v, "taints",
					    cp ? kc_pack("[s]", CONTROL_PLANE_TAINT)
					       : json_array());
		}
	json_array_foreach(json_object_get(spec, "instanceGroups"), i, v)
		if (!json_object_get(v, "maxSize"))
			json_object_set(v, "maxSize", json_object_get(v, "minSize"));
}

static int check(const json_t *doc, const struct kc_cluster_limits *limits, struct kc_report *rep,
		 json_t **ret, struct kc_err *err)
{
	struct kc_cluster_limits l = with_defaults(limits);
	json_auto_t *full = NULL;
	int r;

	r = kc_spec_validate(kc_cluster_kind.fields, doc, rep, &full, err);
	if (r < 0)
		return r;
	derive(full, &l);
	kc_cluster_cross(full, &l, rep);
	kc_cluster_cross_addr(full, rep);
	r = kc_report_result(rep, err);
	if (r < 0)
		return r;
	*ret = TAKE(full);
	return 0;
}

static bool is_future_kind(const char *kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(future_kinds); i++)
		if (streq(future_kinds[i], kind))
			return true;
	return false;
}

/*
 * Is this document a Cluster? Other kinds are reported; one without a kind counts as a Cluster,
 * so that validation says what is missing.
 */
static bool is_cluster(const json_t *doc, struct kc_report *rep)
{
	const char *kind = json_string_value(json_object_get(doc, "kind"));
	const char *const known[] = { "Cluster" };

	if (!kind || streq(kind, "Cluster"))
		return true;
	if (streq(kind, kc_traffic_kind.name))
		kc_report_value(rep, "/kind", "a %s is for `kubecdn dns`; give a Cluster here",
				kind);
	else if (is_future_kind(kind))
		kc_report_value(rep, "/kind",
				"%s is not available in this version yet; it knows Cluster", kind);
	else if (kc_nearest(kind, known, 1))
		kc_report_value(rep, "/kind", "no kind \"%.60s\"; did you mean \"Cluster\"?", kind);
	else
		kc_report_value(rep, "/kind", "no kind \"%.60s\"; this version knows Cluster",
				kind);
	return false;
}

int kc_cluster_load(const char *file, const char *text, size_t len,
		    const struct kc_cluster_limits *limits, json_t **ret_cluster,
		    struct kc_buf *errors, struct kc_err *err)
{
	_cleanup_(kc_yaml_freep) struct kc_yaml *y = NULL;
	_cleanup_report_ struct kc_report rep = { 0 };
	struct kc_err local;
	json_t *doc = NULL;
	int r;

	if (!err)
		err = &local;
	r = kc_yaml_parse(file, text, len, &y, err);
	if (r == 0) {
		rep.yaml = y;
		r = kc_spec_choose(y, &kc_cluster_kind, is_cluster, &rep, &doc, err);
	}
	if (r == 0)
		r = check(doc, limits, &rep, ret_cluster, err);
	if (r < 0)
		kc_report_lines(&rep, err, errors);
	return r;
}

int kc_cluster_check(const json_t *cluster, const struct kc_cluster_limits *limits,
		     json_t **ret_cluster, struct kc_buf *errors, struct kc_err *err)
{
	_cleanup_report_ struct kc_report rep = { 0 };
	struct kc_err local;
	int r;

	if (!err)
		err = &local;
	r = check(cluster, limits, &rep, ret_cluster, err);
	if (r < 0)
		kc_report_lines(&rep, err, errors);
	return r;
}

/* Positions of a source that has been loaded before; without one, rep stays as it is. */
static int locate(const struct kc_cluster_source *source, struct kc_yaml **ret,
		  struct kc_report *rep, struct kc_err *err)
{
	json_t *doc;
	int r;

	if (!source)
		return 0;
	r = kc_yaml_parse(source->file, source->text, source->len, ret, err);
	if (r < 0)
		return r;
	rep->yaml = *ret;
	return kc_spec_choose(*ret, &kc_cluster_kind, is_cluster, rep, &doc, err);
}

int kc_cluster_check_update(const struct kc_cluster_source *source, const json_t *old,
			    const json_t *new, struct kc_buf *errors, struct kc_err *err)
{
	_cleanup_(kc_yaml_freep) struct kc_yaml *y = NULL;
	_cleanup_report_ struct kc_report rep = { 0 };
	struct kc_err local;
	int r;

	if (!err)
		err = &local;
	r = locate(source, &y, &rep, err);
	if (r == 0) {
		kc_spec_check_update(kc_cluster_kind.fields, old, new, &rep);
		r = kc_report_result(&rep, err);
	}
	if (r < 0)
		kc_report_lines(&rep, err, errors);
	return r;
}

int kc_cluster_check_name(const struct kc_cluster_source *source, const json_t *cluster,
			  const char *name, struct kc_buf *errors, struct kc_err *err)
{
	const char *own = kc_json_get_str(json_object_get(cluster, "metadata"), "name", "");
	_cleanup_(kc_yaml_freep) struct kc_yaml *y = NULL;
	_cleanup_report_ struct kc_report rep = { 0 };
	struct kc_err local;
	int r;

	if (streq(own, name))
		return 0;
	if (!err)
		err = &local;
	r = locate(source, &y, &rep, err);
	if (r == 0) {
		kc_report_value(&rep, "/metadata/name",
				"the cluster is named \"%s\", not \"%s\"; give that name, or none",
				own, name);
		r = kc_report_result(&rep, err);
	}
	kc_report_lines(&rep, err, errors);
	return r;
}
