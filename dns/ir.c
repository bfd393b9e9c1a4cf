/* Policy and claims as the IR: who is there, where, and what is asked of the DNS. */
#include "dns/ir.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/policy.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/geo/geo.h"

static const json_t *spec_of(const json_t *policy)
{
	return json_object_get(policy, "spec");
}

/* Of a field "at" or "site": where it is, and whose cloud that is. */
static void add_place(const json_t *from, json_t *endpoint)
{
	const char *at = kc_json_get_str(from, "at", NULL), *slash = at ? strchr(at, '/') : NULL;
	const json_t *site = json_object_get(from, "site");

	if (slash) {
		_cleanup_free_ char *cloud = xstrndup(at, (size_t)(slash - at));
		const struct kc_region *region = kc_region_find(cloud, slash + 1);

		json_object_set_new(endpoint, "cloud", json_string(cloud));
		if (region) {
			json_object_set_new(endpoint, "lat", json_integer(region->at.lat));
			json_object_set_new(endpoint, "lon", json_integer(region->at.lon));
		}
	} else if (site) {
		double lat = json_number_value(json_object_get(site, "lat")),
		       lon = json_number_value(json_object_get(site, "lon"));

		json_object_set_new(endpoint, "lat", json_integer(llround(lat * 1e6)));
		json_object_set_new(endpoint, "lon", json_integer(llround(lon * 1e6)));
	}
}

static json_t *endpoint_of(const json_t *from, const char *id, json_t *addresses)
{
	json_t *e =
		kc_pack("{s:s, s:O, s:I, s:O*, s:O*}", "id", id, "addresses", addresses, "weight",
			(json_int_t)kc_json_get_int(from, "weight", 1), "capacity",
			json_object_get(from, "capacity"), "near", json_object_get(from, "near"));

	add_place(from, e);
	return e;
}

static int by_id(const void *a, const void *b)
{
	return strcmp(kc_json_get_str(*(json_t *const *)a, "id", ""),
		      kc_json_get_str(*(json_t *const *)b, "id", ""));
}

static json_t *sorted(const json_t *list)
{
	size_t n = json_array_size(list);
	_cleanup_free_ json_t **v = xcalloc(n + 1, sizeof(*v));
	json_t *out = json_array();

	for (size_t i = 0; i < n; i++)
		v[i] = json_array_get(list, i);
	qsort(v, n, sizeof(*v), by_id);
	for (size_t i = 0; i < n; i++)
		json_array_append(out, v[i]);
	return out;
}

/* Endpoints and the regions that claim an address; drained ones only if there is nothing else. */
static json_t *endpoints_of(const json_t *policy, const json_t *claims, json_t *notes)
{
	static const char *const lists[] = { "endpoints", "regions" };
	json_auto_t *left = json_array(), *drained = json_array();
	const json_t *one;
	size_t i;

	for (size_t n = 0; n < ARRAY_SIZE(lists); n++)
		json_array_foreach(json_object_get(spec_of(policy), lists[n]), i, one) {
			const char *id = kc_json_get_str(one, n ? "name" : "id", "");
			json_t *addresses =
				json_object_get(n ? json_object_get(claims, id) : one, "addresses");

			if (json_array_size(addresses))
				json_array_append_new(kc_json_get_bool(one, "drain", false)
							      ? drained
							      : left,
						      endpoint_of(one, id, addresses));
		}
	if (json_array_size(left) || !json_array_size(drained))
		return sorted(left);
	json_array_append_new(notes, json_string("all endpoints are drained: all are answered, for "
						 "the name is never left empty"));
	return sorted(drained);
}

static json_t *health_of(const json_t *policy)
{
	const json_t *health = json_object_get(spec_of(policy), "health");
	json_t *out;

	if (!health)
		return NULL;
	out = json_deep_copy(health);
	if (!json_object_get(out, "host")) {
		const char *name = kc_json_get_str(json_object_get(policy, "metadata"), "name", "");

		/* Nobody answers for the label "*" itself. */
		json_object_set_new(out, "host",
				    json_string(kc_startswith(name, "*.") ? name + 2 : name));
	}
	return out;
}

json_t *kc_ir_make(const json_t *policy, const json_t *claims, json_t *notes)
{
	_cleanup_free_ char *name = kc_policy_name(policy);
	const json_t *spec = spec_of(policy);
	const char *within = json_string_value(kc_json_at(spec, "failover.within"));
	json_t *ir;
	long ms;

	ir = kc_pack("{s:s, s:O, s:O, s:O, s:O*, s:O, s:o*, s:o}", "name", name, "ttl",
		     kc_json_at(spec, "ttl.answer"), "owner", json_object_get(spec, "owner"),
		     "route", json_object_get(spec, "route"), "answers",
		     json_object_get(spec, "answers"), "fence", json_object_get(spec, "fence"),
		     "health", health_of(policy), "endpoints", endpoints_of(policy, claims, notes));
	if (within && kc_parse_duration(within, &ms))
		json_object_set_new(ir, "within", json_integer(ms / 1000));
	return ir;
}

json_t *kc_ir_stages(const json_t *ir)
{
	json_t *out = json_array(), *e;
	bool weighted = false;
	int64_t first = 0;
	size_t i;

	if (json_object_get(ir, "health"))
		json_array_append_new(out, json_string("healthy"));
	if (json_array_size(json_object_get(ir, "fence")))
		json_array_append_new(out, json_string("fence"));
	if (streq(kc_json_get_str(ir, "route", "any"), "latency"))
		json_array_append_new(out, json_string("rank"));
	json_array_foreach(json_object_get(ir, "endpoints"), i, e) {
		if (i == 0)
			first = kc_json_get_int(e, "weight", 1);
		weighted = weighted || kc_json_get_int(e, "weight", 1) != first;
	}
	if (weighted)
		json_array_append_new(out, json_string("spread"));
	if (json_object_get(ir, "answers"))
		json_array_append_new(out, json_string("take"));
	return out;
}

void kc_fidelity(json_t *fidelity, const char *stage, const char *how, const char *fmt, ...)
{
	char why[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	json_array_append_new(fidelity,
			      kc_pack("{s:s, s:s, s:s}", "stage", stage, "how", how, "why", why));
}

bool kc_fidelity_has(const json_t *fidelity, const char *stage)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)fidelity, i, one)
		if (streq(kc_json_get_str(one, "stage", ""), stage))
			return true;
	return false;
}
