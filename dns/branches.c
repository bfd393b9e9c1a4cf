/* The IR's endpoints by client and by nearness, as a provider counts it; and how quick its checks
 * have to be. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dns/ir.h"
#include "lib/base/addr.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/geo/geo.h"

/* FAR_KM: from here on what stands for an endpoint is worth a warning. */
enum { FAR_KM = 500, DEFAULT_FAILURES = 3 };

static struct kc_geo_point point_of(const json_t *e)
{
	return (struct kc_geo_point){ .lat = (int32_t)kc_json_get_int(e, "lat", 0),
				      .lon = (int32_t)kc_json_get_int(e, "lon", 0) };
}

/* The provider's region that stands for an endpoint, and how far from it that is. */
static const struct kc_region *region_of(const struct kc_dns_traits *traits, const json_t *e,
					 int32_t *ret_km)
{
	const char *near = kc_json_get_str(json_object_get(e, "near"), traits->provider, NULL);
	const struct kc_region *region = near ? kc_region_find(traits->provider, near) : NULL;

	if (!region)
		return kc_region_nearest(traits->provider, point_of(e), ret_km);
	*ret_km = kc_geo_km(region->at, point_of(e));
	return region;
}

static void note_distance(const json_t *e, const struct kc_region *region, int32_t km,
			  json_t *fidelity)
{
	if (km)
		kc_fidelity(fidelity, "rank", "approximated", "%s answers as %s, %d km from it%s",
			    kc_json_get_str(e, "id", ""), region->code, km,
			    km > FAR_KM ? " (far)" : "");
}

/* The group of a region's code, made if it is the first member; in the order of codes. */
static json_t *group_of(json_t *groups, const char *code, struct kc_geo_point at)
{
	json_t *g;
	size_t i;

	json_array_foreach(groups, i, g) {
		int order = strcmp(kc_json_get_str(g, "region", ""), code);

		if (order == 0)
			return g;
		if (order > 0)
			break;
	}
	g = kc_pack("{s:s, s:i, s:i, s:[]}", "region", code, "lat", (int)at.lat, "lon", (int)at.lon,
		    "members");
	json_array_insert_new(groups, i, g);
	return g;
}

/* By address: members come by endpoint. */
static void add_member(json_t *group, const json_t *e, const char *address)
{
	json_t *members = json_object_get(group, "members"), *m;
	size_t i;

	json_array_foreach(members, i, m) {
		int order = strcmp(kc_json_get_str(m, "address", ""), address);

		if (order == 0)
			return;
		if (order > 0)
			break;
	}
	json_array_insert_new(members, i,
			      kc_pack("{s:O, s:s, s:O}", "id", json_object_get(e, "id"), "address",
				      address, "weight", json_object_get(e, "weight")));
}

static void add_endpoint(json_t *groups, const json_t *ir, const struct kc_dns_traits *traits,
			 const json_t *e, int family, json_t *fidelity)
{
	bool ranked = traits->ranks && streq(kc_json_get_str(ir, "route", ""), "latency");
	_cleanup_free_ char *code = xstrdup("");
	struct kc_geo_point at = { 0 };
	const json_t *a;
	size_t i;

	if (ranked && traits->provider) {
		int32_t km = 0;
		const struct kc_region *region = region_of(traits, e, &km);

		free(code);
		code = xstrdup(region ? region->code : "");
		at = region ? region->at : at;
		if (region)
			note_distance(e, region, km, fidelity);
	} else if (ranked) {
		at = point_of(e);
		free(code);
		code = xasprintf("%+010d%+011d", (int)at.lat, (int)at.lon);
	}
	json_array_foreach(json_object_get(e, "addresses"), i, a) {
		struct kc_addr addr;

		if (kc_addr_parse(json_string_value(a), &addr) && addr.family == family)
			add_member(group_of(groups, code, at), e, json_string_value(a));
	}
}

static json_t *groups_of(const json_t *ir, const struct kc_dns_traits *traits, const json_t *only,
			 int family, json_t *fidelity)
{
	json_t *groups = json_array(), *e;
	size_t i;

	json_array_foreach(json_object_get(ir, "endpoints"), i, e)
		if (!only || kc_json_has_str(only, kc_json_get_str(e, "id", "")))
			add_endpoint(groups, ir, traits, e, family, fidelity);
	return groups;
}

json_t *kc_ir_branches(const json_t *ir, const struct kc_dns_traits *traits, int family,
		       json_t *fidelity)
{
	json_auto_t *ignored = json_array();
	json_t *out = json_array(), *fence;
	size_t i;

	if (traits->fences)
		json_array_foreach(json_object_get(ir, "fence"), i, fence)
			json_array_append_new(out,
					      kc_pack("{s:O, s:o}", "clients",
						      json_object_get(fence, "clients"), "groups",
						      groups_of(ir, traits,
								json_object_get(fence, "only"),
								family, ignored)));
	json_array_append_new(out, kc_pack("{s:o}", "groups",
					   groups_of(ir, traits, NULL, family, fidelity)));
	return out;
}

int kc_ir_health(const json_t *ir, const struct kc_dns_traits *traits, json_t **ret,
		 struct kc_err *err)
{
	const json_t *health = json_object_get(ir, "health");
	int64_t within = kc_json_get_int(ir, "within", 0), ttl = kc_json_get_int(ir, "ttl", 0),
		best = 0;
	int interval = 0, failures = 0;

	if (!health) {
		*ret = NULL;
		return 0;
	}
	/* Of what is quick enough the most patience, for one lost packet is no death; then the
	 * least load. */
	for (const int *i = traits->intervals; *i; i++)
		for (int n = traits->min_failures;
		     n <= traits->max_failures && n <= DEFAULT_FAILURES; n++) {
			int64_t takes = (int64_t)*i * n + traits->timeout + ttl;

			if (!best || takes < best)
				best = takes;
			if ((!within || takes <= within) &&
			    (n > failures || (n == failures && *i > interval))) {
				interval = *i;
				failures = n;
			}
		}
	if (!interval)
		return kc_fail(err, KC_EINVAL,
			       "spec.failover.within is %lld s, and this provider needs %lld s at "
			       "best: a check every %d s, %d s for it to fail, and ttl.answer of "
			       "%lld "
			       "s; allow more, or lower the TTL",
			       (long long)within, (long long)best, traits->intervals[0],
			       traits->timeout, (long long)ttl);
	*ret = json_deep_copy(health);
	json_object_set_new(*ret, "interval", json_integer(interval));
	json_object_set_new(*ret, "failures", json_integer(failures));
	return 0;
}

void kc_ir_plain(const json_t *ir, json_t *rrsets)
{
	static const struct kc_dns_traits plain = { 0 };
	static const struct {
		int family;
		const char *type;
	} kinds[] = { { AF_INET, "A" }, { AF_INET6, "AAAA" } };

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		json_auto_t *branches = kc_ir_branches(ir, &plain, kinds[k].family, NULL);
		const json_t *group =
			json_array_get(json_object_get(json_array_get(branches, 0), "groups"), 0);
		json_t *data = json_array(), *m;
		size_t i;

		json_array_foreach(json_object_get(group, "members"), i, m)
			json_array_append(data, json_object_get(m, "address"));
		if (json_array_size(data))
			json_array_append_new(rrsets,
					      kc_pack("{s:O, s:s, s:O, s:O}", "name",
						      json_object_get(ir, "name"), "type",
						      kinds[k].type, "ttl",
						      json_object_get(ir, "ttl"), "data", data));
		json_decref(data);
	}
}
