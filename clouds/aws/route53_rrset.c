/* ResourceRecordSet and our rrset: one table of names would not do, for they nest differently. */
#include <ctype.h>
#include <string.h>

#include "clouds/aws/route53_impl.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* Ways of routing that are only shown. */
static const char *const others[] = {
	"TrafficPolicyInstanceId",
	"CidrRoutingConfig",
	"GeoProximityLocation",
	"AZAffinity",
};

char *kc_route53_name(const char *name)
{
	char *out = xcalloc(1, strlen(name) + 2), *to = out;

	for (const char *p = name; *p;) {
		if (strncmp(p, "\\052", 4) == 0) {
			*to++ = '*';
			p += 4;
		} else {
			*to++ = (char)tolower((unsigned char)*p++);
		}
	}
	if (to == out || to[-1] != '.')
		*to = '.';
	return out;
}

static void set_name(json_t *o, const char *key, const char *name)
{
	_cleanup_free_ char *s = kc_route53_name(name);

	json_object_set_new(o, key, json_string(s));
}

static void copy(const json_t *from, const char *key, json_t *to, const char *as)
{
	json_t *v = json_object_get(from, key);

	if (v)
		json_object_set(to, as, v);
}

static int read_data(const json_t *theirs, json_t *ours, const char *what, struct kc_err *err)
{
	const json_t *records = json_object_get(theirs, "ResourceRecords"), *v;
	json_t *data;
	size_t i;
	int r;

	if (!records)
		return 0;
	data = json_array();
	json_object_set_new(ours, "data", data);
	json_array_foreach((json_t *)records, i, v) {
		const char *value;

		r = kc_json_str(v, what, "Value", &value, err);
		if (r < 0)
			return r;
		json_array_append(data, json_object_get(v, "Value"));
	}
	kc_json_sort(data);
	copy(theirs, "TTL", ours, "ttl");
	return 0;
}

static int read_alias(const json_t *theirs, json_t *ours, const char *what, struct kc_err *err)
{
	const json_t *alias = json_object_get(theirs, "AliasTarget");
	const char *zone, *name;
	json_t *o;
	int r;

	if (!alias)
		return 0;
	r = kc_json_str(alias, what, "HostedZoneId", &zone, err);
	if (r == 0)
		r = kc_json_str(alias, what, "DNSName", &name, err);
	if (r < 0)
		return r;
	if (!json_is_boolean(json_object_get(alias, "EvaluateTargetHealth")))
		return kc_fail(err, KC_EFAIL, "%s: no boolean \"EvaluateTargetHealth\"", what);
	o = kc_pack("{s:s}", "zone", zone);
	set_name(o, "name", name);
	copy(alias, "EvaluateTargetHealth", o, "evaluate");
	json_object_set_new(ours, "alias", o);
	return 0;
}

/* A location that is a continent or a country, "*" for all others; NULL if it is more than that. */
static const char *location_key(const json_t *location)
{
	if (json_object_size(location) != 1)
		return NULL;
	if (json_object_get(location, "ContinentCode"))
		return "ContinentCode";
	return json_object_get(location, "CountryCode") ? "CountryCode" : NULL;
}

static void read_location(const json_t *theirs, json_t *ours, json_t *other)
{
	json_t *location = json_object_get(theirs, "GeoLocation");
	const char *key = location ? location_key(location) : NULL;

	if (key)
		copy(location, key, ours, streq(key, "CountryCode") ? "country" : "continent");
	else if (location)
		json_object_set(other, "GeoLocation", location);
}

static void write_location(const json_t *ours, json_t *theirs)
{
	json_auto_t *location = json_object();

	copy(ours, "continent", location, "ContinentCode");
	copy(ours, "country", location, "CountryCode");
	if (json_object_size(location))
		json_object_set(theirs, "GeoLocation", location);
}

int kc_route53_rrset_read(const json_t *theirs, json_t **ret, struct kc_err *err)
{
	json_auto_t *ours = json_object(), *other = json_object();
	_cleanup_free_ char *what = NULL;
	const char *name, *type;
	int r;

	r = kc_json_str(theirs, "an rrset", "Name", &name, err);
	if (r == 0)
		r = kc_json_str(theirs, name, "Type", &type, err);
	if (r < 0)
		return r;
	what = xasprintf("%s %s", name, type);
	set_name(ours, "name", name);
	copy(theirs, "Type", ours, "type");
	copy(theirs, "SetIdentifier", ours, "set");
	copy(theirs, "Region", ours, "region");
	copy(theirs, "Weight", ours, "weight");
	copy(theirs, "Failover", ours, "failover");
	copy(theirs, "MultiValueAnswer", ours, "multi");
	copy(theirs, "HealthCheckId", ours, "health");
	read_location(theirs, ours, other);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		copy(theirs, others[i], other, others[i]);
	if (json_object_size(other))
		json_object_set(ours, "other", other);
	r = read_data(theirs, ours, what, err);
	if (r == 0)
		r = read_alias(theirs, ours, what, err);
	if (r < 0)
		return r;
	if (!json_object_get(ours, "data") == !json_object_get(ours, "alias") &&
	    !json_object_size(other))
		return kc_fail(err, KC_EFAIL, "%s has neither records nor an alias, or both", what);
	*ret = TAKE(ours);
	return 0;
}

/* Elements in the order of Route 53's model, which its schema demands. */
int kc_route53_rrset_write(const json_t *ours, json_t **ret, struct kc_err *err)
{
	json_auto_t *o = json_object();
	const json_t *data = json_object_get(ours, "data"), *alias = json_object_get(ours, "alias");
	const char *name = kc_json_get_str(ours, "name", NULL);
	json_t *records, *v, *a;
	size_t i;

	if (!name || !json_is_string(json_object_get(ours, "type")))
		return kc_fail(err, KC_EINVAL, "an rrset without a name or a type");
	if (json_object_get(ours, "other"))
		return kc_fail(err, KC_EINVAL,
			       "%s is routed in a way that kubecdn does not write; change it by "
			       "other means",
			       name);
	set_name(o, "Name", name);
	copy(ours, "type", o, "Type");
	copy(ours, "set", o, "SetIdentifier");
	copy(ours, "weight", o, "Weight");
	copy(ours, "region", o, "Region");
	write_location(ours, o);
	copy(ours, "failover", o, "Failover");
	copy(ours, "multi", o, "MultiValueAnswer");
	if (data) {
		records = json_array();
		json_array_foreach((json_t *)data, i, v)
			json_array_append_new(records, kc_pack("{s:O}", "Value", v));
		copy(ours, "ttl", o, "TTL");
		json_object_set_new(o, "ResourceRecords",
				    kc_pack("{s:o}", "ResourceRecord", records));
	}
	if (alias) {
		a = json_object();
		copy(alias, "zone", a, "HostedZoneId");
		copy(alias, "name", a, "DNSName");
		copy(alias, "evaluate", a, "EvaluateTargetHealth");
		json_object_set_new(o, "AliasTarget", a);
	}
	copy(ours, "health", o, "HealthCheckId");
	*ret = TAKE(o);
	return 0;
}
