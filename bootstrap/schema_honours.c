/*
 * Which fields of a Cluster somebody acts on. Everything that neither this list nor the cloud's own
 * has is refused as soon as it says more than its default: a setting that would be ignored is worse
 * than one that is refused, and a field that is new in the table is refused until it does
 * something.
 */
#include <string.h>

#include "bootstrap/schema_priv.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* Acted on whatever the cloud is. */
const char *const kc_cluster_honours[] = { "cloud",
					   "kubernetesVersion",
					   "networking.podCIDRs",
					   "networking.serviceCIDRs",
					   "networking.mtu",
					   "api.endpoint",
					   "api.sans",
					   "kubelet.extraArgs",
					   "apiServer.extraArgs",
					   "addons",
					   NULL };
/* For people and policies: nothing has to happen. */
static const char *const information[] = { "region", "location.lat", "location.lon", NULL };

struct walk {
	const struct kc_cloud *cloud;
	struct kc_report *rep;
};

static bool has(const char *const *list, const char *path, bool below)
{
	size_t n = strlen(path);

	for (; list && *list; list++)
		if (streq(*list, path) ||
		    (below && strncmp(*list, path, n) == 0 && (*list)[n] == '.'))
			return true;
	return false;
}

/* below: also when only something inside the object at path is acted on. */
static bool is_honoured(const struct kc_cloud *cloud, const char *path, bool below)
{
	return has(kc_cluster_honours, path, below) || has(information, path, below) ||
	       has(cloud->honours, path, below);
}

bool kc_cluster_honoured(const struct kc_cloud *cloud, const char *path)
{
	return is_honoured(cloud, path, false);
}

/* "", [], and objects of such say nothing. */
static bool is_empty(const json_t *v)
{
	const char *key;
	json_t *item;

	if (json_is_object(v)) {
		json_object_foreach((json_t *)v, key, item)
			if (!is_empty(item))
				return false;
		return true;
	}
	return !v || (json_is_array(v) && !json_array_size(v)) ||
	       (json_is_string(v) && !json_string_length(v));
}

static bool is_default(const struct kc_field *f, const json_t *object)
{
	const json_t *v = json_object_get(object, f->name);
	json_auto_t *def = f->def ? json_loads(f->def, JSON_DECODE_ANY, NULL) : NULL;

	/* Its default is the other one. */
	if (streq(f->name, "maxSize") && json_equal(v, json_object_get(object, "minSize")))
		return true;
	return is_empty(v) || json_equal(v, def);
}

static void walk(const struct walk *w, const struct kc_field *table, const json_t *object,
		 const char *path, const char *pointer);

/* A field that holds objects, one or a list of them. */
static void walk_into(const struct walk *w, const struct kc_field *f, const json_t *v,
		      const char *path, const char *pointer)
{
	const json_t *item;
	size_t i;

	if (f->type == KC_FIELD_OBJECT) {
		walk(w, f->fields, v, path, pointer);
		return;
	}
	json_array_foreach((json_t *)v, i, item) {
		_cleanup_free_ char *at = xasprintf("%s/%zu", pointer, i);

		walk(w, f->item->fields, item, path, at);
	}
}

static void walk(const struct walk *w, const struct kc_field *table, const json_t *object,
		 const char *path, const char *pointer)
{
	for (const struct kc_field *f = table; f->name; f++) {
		_cleanup_free_ char *p = xasprintf("%s%s%s", path, *path ? "." : "", f->name),
				    *at = kc_spec_join(pointer, f->name);

		if (is_honoured(w->cloud, p, false) || is_default(f, object))
			continue;
		if (is_honoured(w->cloud, p, true))
			walk_into(w, f, json_object_get(object, f->name), p, at);
		/* Machines of the other sort: check_hosts() and check_groups() say more. */
		else if (!streq(p, "hosts") && !streq(p, "instanceGroups"))
			kc_report_key(w->rep, at,
				      "this version does not act on it yet with cloud %s, so it "
				      "would be ignored; remove it",
				      w->cloud->name);
	}
}

void kc_cluster_cross_honours(const json_t *cluster, const struct kc_cloud *cloud,
			      struct kc_report *rep)
{
	const struct walk w = { .cloud = cloud, .rep = rep };

	for (const struct kc_field *f = kc_cluster_kind.fields; f->name; f++)
		if (streq(f->name, "spec"))
			walk(&w, f->fields, json_object_get(cluster, "spec"), "", "/spec");
}
