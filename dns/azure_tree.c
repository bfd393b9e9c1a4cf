/* Profiles of Traffic Manager as values: canonical trees, from and to Azure's JSON. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dns/azure.h"
#include "lib/base/addr.h"
#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define TYPE "Microsoft.Network/trafficManagerProfiles/"

/* DEPTH: of what we make there are three; more is somebody else's. */
enum { DEPTH = 4 };

static char *lowered(const char *s)
{
	char *out = xstrdup(s);

	for (char *p = out; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return out;
}

/* What an endpoint is called in its profile, and a profile below after it. Owned. */
static char *label_of(const json_t *endpoint)
{
	const char *target = kc_json_get_str(endpoint, "target", NULL),
		   *geo = json_string_value(json_array_get(json_object_get(endpoint, "geo"), 0));
	char *out;

	if (!target)
		return geo ? lowered(geo) : xstrdup(kc_json_get_str(endpoint, "location", "?"));
	out = xasprintf("ip-%s", target);
	for (char *p = out; *p; p++)
		if (*p == ':')
			*p = '-';
	return out;
}

void az_endpoint_add(json_t *endpoints, json_t *endpoint)
{
	_cleanup_free_ char *label = label_of(endpoint);
	json_t *other;
	size_t i;

	json_array_foreach(endpoints, i, other) {
		_cleanup_free_ char *theirs = label_of(other);

		if (strcmp(theirs, label) > 0)
			break;
	}
	json_array_insert_new(endpoints, i, endpoint);
}

static void add_profiles(const json_t *tree, const char *name, json_t *out)
{
	json_t *profile = json_copy((json_t *)tree), *endpoints = json_array(), *e;
	size_t i;

	json_array_foreach(json_object_get(tree, "endpoints"), i, e) {
		_cleanup_free_ char *label = label_of(e), *below = xasprintf("%s-%s", name, label);
		json_t *one = json_copy(e), *sub = json_object_get(e, "profile");

		json_object_set_new(one, "name", json_string(kc_json_get_str(e, "named", label)));
		json_object_del(one, "named");
		json_object_del(one, "profile");
		if (sub) {
			json_object_set_new(one, "nested", json_string(below));
			add_profiles(sub, below, out);
		}
		json_array_append_new(endpoints, one);
	}
	json_object_set_new(profile, "endpoints", endpoints);
	json_array_append_new(out, kc_pack("{s:s, s:o}", "name", name, "profile", profile));
}

json_t *az_profiles(const json_t *tree, const char *name)
{
	json_t *out = json_array();

	if (tree)
		add_profiles(tree, name, out);
	return out;
}

/* --- for a moment */

static bool has_target(const json_t *endpoints, const json_t *target, json_t **ret)
{
	json_t *e;
	size_t i;

	json_array_foreach((json_t *)endpoints, i, e)
		if (json_equal(json_object_get(e, "target"), target)) {
			*ret = e;
			return true;
		}
	return false;
}

/* All endpoints with an address, at or below an endpoint, with its location. */
static void add_leaves(const json_t *endpoint, const json_t *location, json_t *out)
{
	const json_t *below = json_object_get(json_object_get(endpoint, "profile"), "endpoints");
	json_t *leaf, *e, *known;
	size_t i;

	if (!location)
		location = json_object_get(endpoint, "location");
	json_array_foreach((json_t *)below, i, e)
		add_leaves(e, location, out);
	if (!json_object_get(endpoint, "target") ||
	    has_target(out, json_object_get(endpoint, "target"), &known))
		return;
	leaf = kc_pack("{s:O, s:O*}", "target", json_object_get(endpoint, "target"), "always",
		       json_object_get(endpoint, "always"));
	if (location)
		json_object_set(leaf, "location", (json_t *)location);
	az_endpoint_add(out, leaf);
}

/* One address of a branch: one that no other branch has, for a target stands in a profile once;
 * else the branch joins another that it may have the address of. */
static void add_branch(json_t *endpoints, const json_t *branch)
{
	json_auto_t *leaves = json_array();
	json_t *leaf, *known, *geo = json_object_get(branch, "geo");
	size_t i;

	add_leaves(branch, NULL, leaves);
	json_array_foreach(leaves, i, leaf)
		if (!has_target(endpoints, json_object_get(leaf, "target"), &known)) {
			json_object_del(leaf, "location");
			json_object_set_new(leaf, "geo", json_deep_copy(geo));
			az_endpoint_add(endpoints, json_incref(leaf));
			return;
		}
	if (has_target(endpoints, json_object_get(json_array_get(leaves, 0), "target"), &known)) {
		json_array_extend(json_object_get(known, "geo"), geo);
		kc_json_sort(json_object_get(known, "geo"));
	}
}

json_t *az_flat(const json_t *tree)
{
	json_t *flat = json_copy((json_t *)tree), *endpoints = json_array(), *e;
	bool geographic = streq(kc_json_get_str(tree, "method", ""), "Geographic");
	size_t i;

	json_array_foreach(json_object_get(tree, "endpoints"), i, e) {
		if (geographic)
			add_branch(endpoints, e);
		else if (json_object_get(e, "profile"))
			add_leaves(e, NULL, endpoints);
		else
			az_endpoint_add(endpoints, json_deep_copy(e));
	}
	json_object_set_new(flat, "endpoints", endpoints);
	return flat;
}

/* --- from Azure's */

/* "West Europe" and "westeurope" are one. Owned. */
static char *location_of(const char *text)
{
	char *out = lowered(text), *to = out;

	for (const char *p = out; *p; p++)
		if (*p != ' ')
			*to++ = *p;
	*to = '\0';
	return out;
}

/* "200-299,301-301"; owned, or NULL. */
static char *expect_of(const json_t *ranges)
{
	_cleanup_buf_ struct kc_buf out = { 0 };
	const json_t *range;
	size_t i;

	json_array_foreach((json_t *)ranges, i, range)
		kc_buf_printf(&out, "%s%lld-%lld", i ? "," : "",
			      (long long)kc_json_get_int(range, "min", 0),
			      (long long)kc_json_get_int(range, "max", 0));
	return json_array_size(ranges) ? kc_buf_steal(&out) : NULL;
}

static const char *host_of(const json_t *headers)
{
	const json_t *h;
	size_t i;

	json_array_foreach((json_t *)headers, i, h)
		if (strcasecmp(kc_json_get_str(h, "name", ""), "host") == 0)
			return kc_json_get_str(h, "value", NULL);
	return NULL;
}

/* What is left out is Traffic Manager's default. */
static json_t *monitor_read(const json_t *raw)
{
	_cleanup_free_ char *expect = expect_of(json_object_get(raw, "expectedStatusCodeRanges"));
	const char *path = kc_json_get_str(raw, "path", NULL),
		   *host = host_of(json_object_get(raw, "customHeaders"));
	json_t *m = kc_pack("{s:s, s:I, s:I, s:I, s:I}", "protocol",
			    kc_json_get_str(raw, "protocol", "HTTP"), "port",
			    (json_int_t)kc_json_get_int(raw, "port", 80), "interval",
			    (json_int_t)kc_json_get_int(raw, "intervalInSeconds", 30), "timeout",
			    (json_int_t)kc_json_get_int(raw, "timeoutInSeconds", 10), "tolerated",
			    (json_int_t)kc_json_get_int(raw, "toleratedNumberOfFailures", 3));

	if (path && *path)
		json_object_set_new(m, "path", json_string(path));
	if (host)
		json_object_set_new(m, "host", json_string(host));
	if (expect)
		json_object_set_new(m, "expect", json_string(expect));
	return m;
}

/* The last part of an id or a type, in lower case; owned. */
static char *last_of(const char *id)
{
	const char *slash = strrchr(id, '/');

	return lowered(slash ? slash + 1 : id);
}

static void target_read(const json_t *raw, const json_t *properties, json_t *e)
{
	_cleanup_free_ char *kind = last_of(kc_json_get_str(raw, "type", "")), *below = NULL;
	const char *target = kc_json_get_str(properties, "target", ""),
		   *id = kc_json_get_str(properties, "targetResourceId", "");
	char text[KC_ADDR_STRLEN];
	struct kc_addr a;

	if (streq(kind, "externalendpoints")) {
		if (kc_addr_parse(target, &a)) {
			kc_addr_format(&a, text);
			target = text;
		}
		json_object_set_new(e, "target", json_string(target));
	} else if (streq(kind, "nestedendpoints") && *id &&
		   kc_json_get_int(properties, "minChildEndpoints", 1) == 1) {
		below = last_of(id);
		json_object_set_new(e, "nested", json_string(below));
	} else {
		json_object_set_new(e, "resource", json_string(*id ? id : target));
	}
}

static int endpoint_read(const json_t *raw, const char *method, json_t *endpoints,
			 struct kc_err *err)
{
	const char *location, *name;
	const json_t *properties;
	json_t *e, *geo;
	int r = kc_json_str(raw, "an endpoint", "name", &name, err);

	if (r == 0)
		r = kc_json_obj(raw, "an endpoint", "properties", &properties, err);
	if (r < 0)
		return r;
	e = kc_pack("{s:s}", "name", name);
	target_read(raw, properties, e);
	location = kc_json_get_str(properties, "endpointLocation", NULL);
	if (location && streq(method, "Performance")) {
		_cleanup_free_ char *code = location_of(location);

		json_object_set_new(e, "location", json_string(code));
	}
	if (streq(method, "Weighted") && json_object_get(e, "target"))
		json_object_set_new(e, "weight",
				    json_integer(kc_json_get_int(properties, "weight", 1)));
	if (streq(method, "Geographic")) {
		geo = json_deep_copy(json_object_get(properties, "geoMapping"));
		geo = geo ? geo : json_array();
		kc_json_sort(geo);
		json_object_set_new(e, "geo", geo);
	}
	if (streq(kc_json_get_str(properties, "alwaysServe", ""), "Enabled"))
		json_object_set_new(e, "always", json_true());
	if (streq(kc_json_get_str(properties, "endpointStatus", ""), "Disabled"))
		json_object_set_new(e, "disabled", json_true());
	az_endpoint_add(endpoints, e);
	return 0;
}

static int check_geo(const json_t *raw, const char *what, struct kc_err *err)
{
	const json_t *geo = json_object_get(json_object_get(raw, "properties"), "geoMapping"), *g;
	size_t i;

	json_array_foreach((json_t *)geo, i, g)
		if (!json_is_string(g))
			return kc_fail(err, KC_EINVAL, "%s: geoMapping has what is no text", what);
	return 0;
}

int az_profile_read(const json_t *raw, json_t **ret, struct kc_err *err)
{
	const char *what = kc_json_get_str(raw, "name", "a profile"), *method;
	const json_t *properties, *dns, *monitor, *list, *e;
	json_auto_t *endpoints = json_array();
	json_t *most;
	int64_t ttl;
	size_t i;
	int r = kc_json_obj(raw, what, "properties", &properties, err);

	if (r == 0)
		r = kc_json_str(properties, what, "trafficRoutingMethod", &method, err);
	if (r == 0)
		r = kc_json_obj(properties, what, "dnsConfig", &dns, err);
	if (r == 0)
		r = kc_json_int(dns, what, "ttl", &ttl, err);
	if (r == 0)
		r = kc_json_obj(properties, what, "monitorConfig", &monitor, err);
	if (r == 0)
		r = kc_json_arr(properties, what, "endpoints", &list, err);
	if (r < 0)
		return r;
	json_array_foreach((json_t *)list, i, e) {
		r = check_geo(e, what, err);
		if (r == 0)
			r = endpoint_read(e, method, endpoints, err);
		if (r < 0)
			return r;
	}
	*ret = kc_pack("{s:s, s:I, s:o, s:O}", "method", method, "ttl", (json_int_t)ttl, "monitor",
		       monitor_read(monitor), "endpoints", endpoints);
	most = json_object_get(properties, "maxReturn");
	if (streq(method, "MultiValue") && json_is_integer(most))
		json_object_set(*ret, "most", most);
	if (streq(kc_json_get_str(properties, "profileStatus", ""), "Disabled"))
		json_object_set_new(*ret, "disabled", json_true());
	return 0;
}

/* A profile below only where we would have made it. */
static int grow(const json_t *raws, const char *name, int depth, json_t **ret, struct kc_err *err)
{
	json_auto_t *tree = NULL;
	json_t *endpoints = json_array(), *e;
	size_t i;
	int r = az_profile_read(json_object_get(raws, name), &tree, err);

	json_array_foreach(json_object_get(tree, "endpoints"), i, e) {
		_cleanup_free_ char *label = label_of(e), *below = xasprintf("%s-%s", name, label);
		const char *nested = kc_json_get_str(e, "nested", NULL);
		json_t *sub = NULL;

		if (r == 0 && nested && streq(nested, below) && depth < DEPTH &&
		    json_object_get(raws, below))
			r = grow(raws, below, depth + 1, &sub, err);
		if (sub)
			json_object_set_new(e, "profile", sub);
		else if (nested)
			json_object_set_new(e, "resource", json_string(nested));
		json_object_del(e, "nested");
		if (strcasecmp(kc_json_get_str(e, "name", ""), label) != 0)
			json_object_set(e, "named", json_object_get(e, "name"));
		json_object_del(e, "name");
		az_endpoint_add(endpoints, json_incref(e));
	}
	if (r == 0) {
		json_object_set(tree, "endpoints", endpoints);
		*ret = TAKE(tree);
	}
	json_decref(endpoints);
	return r;
}

int az_tree_read(const json_t *raws, const char *name, json_t **ret, struct kc_err *err)
{
	return grow(raws, name, 1, ret, err);
}

/* --- to Azure's */

json_t *az_endpoint_body(const json_t *e, const char *prefix)
{
	const char *nested = kc_json_get_str(e, "nested", NULL);
	json_t *p = kc_pack("{s:s, s:O*, s:O*, s:O*, s:O*}", "endpointStatus",
			    kc_json_get_bool(e, "disabled", false) ? "Disabled" : "Enabled",
			    "target", json_object_get(e, "target"), "endpointLocation",
			    json_object_get(e, "location"), "weight", json_object_get(e, "weight"),
			    "geoMapping", json_object_get(e, "geo"));

	if (nested) {
		_cleanup_free_ char *id = xasprintf("%s%s", prefix, nested);

		json_object_set_new(p, "targetResourceId", json_string(id));
		json_object_set_new(p, "minChildEndpoints", json_integer(1));
	}
	if (kc_json_get_bool(e, "always", false))
		json_object_set_new(p, "alwaysServe", json_string("Enabled"));
	return kc_pack("{s:O, s:s, s:o}", "name", json_object_get(e, "name"), "type",
		       nested ? TYPE "nestedEndpoints" : TYPE "externalEndpoints", "properties", p);
}

static json_t *monitor_body(const json_t *m)
{
	json_t *out = kc_pack("{s:O, s:O, s:O*, s:O, s:O, s:O}", "protocol",
			      json_object_get(m, "protocol"), "port", json_object_get(m, "port"),
			      "path", json_object_get(m, "path"), "intervalInSeconds",
			      json_object_get(m, "interval"), "timeoutInSeconds",
			      json_object_get(m, "timeout"), "toleratedNumberOfFailures",
			      json_object_get(m, "tolerated"));
	json_auto_t *ranges = NULL;
	const json_t *one;
	size_t i;

	if (json_object_get(m, "host"))
		json_object_set_new(out, "customHeaders",
				    kc_pack("[{s:s, s:O}]", "name", "host", "value",
					    json_object_get(m, "host")));
	if (!json_object_get(m, "expect"))
		return out;
	ranges = kc_json_split(kc_json_get_str(m, "expect", ""), ',');
	json_object_set_new(out, "expectedStatusCodeRanges", json_array());
	json_array_foreach(ranges, i, one) {
		char *end;
		long min = strtol(json_string_value(one), &end, 10),
		     max = strtol(end + (*end == '-'), NULL, 10);

		json_array_append_new(json_object_get(out, "expectedStatusCodeRanges"),
				      kc_pack("{s:I, s:I}", "min", (json_int_t)min, "max",
					      (json_int_t)max));
	}
	return out;
}

json_t *az_profile_body(const json_t *profile, const char *name, const char *prefix,
			const json_t *tags)
{
	bool disabled = kc_json_get_bool(profile, "disabled", false);
	json_t *endpoints = json_array(), *e;
	size_t i;

	json_array_foreach(json_object_get(profile, "endpoints"), i, e)
		json_array_append_new(endpoints, az_endpoint_body(e, prefix));
	return kc_pack("{s:s, s:O, s:{s:s, s:O, s:{s:s, s:O}, s:o, s:O*, s:o}}", "location",
		       "global", "tags", tags, "properties", "profileStatus",
		       disabled ? "Disabled" : "Enabled", "trafficRoutingMethod",
		       json_object_get(profile, "method"), "dnsConfig", "relativeName", name, "ttl",
		       json_object_get(profile, "ttl"), "monitorConfig",
		       monitor_body(json_object_get(profile, "monitor")), "maxReturn",
		       json_object_get(profile, "most"), "endpoints", endpoints);
}
