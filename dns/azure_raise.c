/* Profiles of Traffic Manager as branches again (ir.h): what az_lower() made of them. */
#include <string.h>

#include "dns/azure.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/geo/geo.h"
#include "lib/net/dns.h"

static json_t *group_of(json_t *groups, const char *code)
{
	const struct kc_region *region = kc_region_find("azure", code);
	json_t *g;
	size_t i;

	json_array_foreach(groups, i, g) {
		int order = strcmp(kc_json_get_str(g, "region", ""), code);

		if (order == 0)
			return g;
		if (order > 0)
			break;
	}
	g = kc_pack("{s:s, s:i, s:i, s:[]}", "region", code, "lat",
		    region ? (int)region->at.lat : 0, "lon", region ? (int)region->at.lon : 0,
		    "members");
	json_array_insert_new(groups, i, g);
	return g;
}

/* By address. */
static void add_member(json_t *group, const json_t *endpoint)
{
	json_t *members = json_object_get(group, "members"), *m;
	const char *target = kc_json_get_str(endpoint, "target", "");
	size_t i;

	json_array_foreach(members, i, m)
		if (strcmp(kc_json_get_str(m, "address", ""), target) > 0)
			break;
	json_array_insert_new(members, i,
			      kc_pack("{s:s, s:I}", "address", target, "weight",
				      (json_int_t)kc_json_get_int(endpoint, "weight", 1)));
}

/* NULL: one of the endpoints is none that we make. */
static json_t *groups_of(const json_t *tree)
{
	json_auto_t *groups = json_array();
	json_t *e, *leaf;
	size_t i, k;

	json_array_foreach(json_object_get(tree, "endpoints"), i, e) {
		json_t *group = group_of(groups, kc_json_get_str(e, "location", "")),
		       *below = json_object_get(json_object_get(e, "profile"), "endpoints");

		if (json_object_get(e, "resource"))
			return NULL;
		if (json_object_get(e, "target") && !kc_json_get_bool(e, "disabled", false))
			add_member(group, e);
		json_array_foreach(below, k, leaf) {
			if (!json_object_get(leaf, "target"))
				return NULL;
			if (!kc_json_get_bool(leaf, "disabled", false))
				add_member(group, leaf);
		}
	}
	return TAKE(groups);
}

/* NULL: all others. */
static json_t *clients_of(const json_t *geo)
{
	json_auto_t *clients = json_array();
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)geo, i, one) {
		const char *code = json_string_value(one);

		if (streq(code, "WORLD"))
			return NULL;
		if (kc_startswith(code, "GEO-") && !streq(code, "GEO-ME"))
			json_array_append_new(clients,
					      json_string(streq(code, "GEO-AP") ? "OC" : code + 4));
	}
	kc_json_sort(clients);
	return TAKE(clients);
}

static json_t *fences_of(const json_t *tree)
{
	json_auto_t *branches = json_array();
	json_t *e, *alone = NULL;
	size_t i;

	json_array_foreach(json_object_get(tree, "endpoints"), i, e) {
		json_t *profile = json_object_get(e, "profile"), *groups, *b;

		alone = profile ? NULL : kc_pack("{s:[O]}", "endpoints", e);
		groups = groups_of(profile ? profile : alone);
		json_decref(alone);
		if (!groups)
			return NULL;
		b = kc_pack("{s:o, s:o*}", "groups", groups, "clients",
			    clients_of(json_object_get(e, "geo")));
		json_array_append_new(branches, b);
	}
	return TAKE(branches);
}

json_t *az_raise(const json_t *rrsets, const char *name, const char *type)
{
	const json_t *rrset = kc_dns_rrset_find(rrsets, name, type),
		     *tree = json_object_get(rrset, "profile");
	json_t *groups;

	if (rrset && !tree)
		return NULL;
	if (streq(kc_json_get_str(tree, "method", ""), "Geographic"))
		return fences_of(tree);
	groups = groups_of(tree);
	return groups ? kc_pack("[{s:o}]", "groups", groups) : NULL;
}
