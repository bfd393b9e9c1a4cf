/* From a TrafficPolicy's text to a checked document with its defaults. */
#include "dns/policy.h"

#include <stdlib.h>
#include <string.h>

#include "dns/backend.h"
#include "dns/claims.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/codec/yaml.h"
#include "lib/geo/geo.h"

enum { NAME_MAX_LEN = 253 };

static const char *name_of(const json_t *policy)
{
	return kc_json_get_str(json_object_get(policy, "metadata"), "name", "");
}

static const json_t *spec_of(const json_t *policy)
{
	return json_object_get(policy, "spec");
}

/* Of the records beside the name. Owned. */
static char *longest_name(const json_t *doc)
{
	_cleanup_free_ char *name = kc_policy_name(doc);
	char *longest = kc_policy_mark_name(doc);
	const json_t *region;
	size_t i;

	json_array_foreach(json_object_get(spec_of(doc), "regions"), i, region) {
		char *claim = kc_claim_name(name, kc_json_get_str(region, "name", ""));

		if (strlen(claim) > strlen(longest)) {
			free(longest);
			longest = claim;
		} else {
			free(claim);
		}
	}
	return longest;
}

static void check_name_in_zone(const json_t *doc, struct kc_report *rep)
{
	const char *name = name_of(doc), *zone = kc_json_get_str(spec_of(doc), "zone", "");
	_cleanup_free_ char *below = xasprintf(".%s", zone), *mark = longest_name(doc);

	if (!streq(name, zone) && !kc_endswith(name, below))
		kc_report_value(rep, "/metadata/name",
				"%s is not in the zone %s; name it in full, as www.%s", name, zone,
				zone);
	else if (strlen(mark) > NAME_MAX_LEN + 1)
		kc_report_value(rep, "/metadata/name",
				"the record beside it, %s, has a longer name than the %d bytes "
				"that DNS takes; use a shorter name",
				mark, NAME_MAX_LEN);
}

/* One key for two regions would let each write the other's claims. */
static void check_regions(const json_t *doc, struct kc_report *rep)
{
	static const char *const keys[] = { "name", "publicKey" };
	const json_t *list = json_object_get(spec_of(doc), "regions"), *a, *b;
	size_t i, k;

	json_array_foreach((json_t *)list, i, a)
		json_array_foreach((json_t *)list, k, b) {
			if (k >= i)
				break;
			for (size_t n = 0; n < ARRAY_SIZE(keys); n++) {
				_cleanup_free_ char *at =
					xasprintf("/spec/regions/%zu/%s", i, keys[n]);

				if (json_equal(json_object_get(a, keys[n]),
					       json_object_get(b, keys[n])))
					kc_report_value(rep, at,
							"spec.regions[%zu] has this %s, too; give "
							"each its own",
							k, keys[n]);
			}
		}
}

/* Fences, plans and maps name both kinds by one name. */
static void check_shared_names(const json_t *doc, struct kc_report *rep)
{
	const json_t *region, *e;
	size_t i, k;

	json_array_foreach(json_object_get(spec_of(doc), "regions"), i, region)
		json_array_foreach(json_object_get(spec_of(doc), "endpoints"), k, e) {
			_cleanup_free_ char *at = xasprintf("/spec/regions/%zu/name", i);

			if (json_equal(json_object_get(region, "name"), json_object_get(e, "id")))
				kc_report_value(rep, at,
						"spec.endpoints[%zu] is named so, too; give each "
						"its own name",
						k);
		}
}

static void check_some_source(const json_t *doc, struct kc_report *rep)
{
	if (!json_array_size(json_object_get(spec_of(doc), "endpoints")) &&
	    !json_array_size(json_object_get(spec_of(doc), "regions")))
		kc_report_value(rep, "/spec",
				"neither endpoints nor regions, so the name leads nowhere; give "
				"one of them");
}

/* The index of an earlier endpoint with the same id or address, or -1. */
static int earlier(const json_t *endpoints, size_t n, const char *id, const char *address)
{
	const json_t *e;
	size_t i;

	json_array_foreach((json_t *)endpoints, i, e) {
		if (i == n)
			break;
		if ((id && streq(kc_json_get_str(e, "id", ""), id)) ||
		    (address && kc_json_has_str(json_object_get(e, "addresses"), address)))
			return (int)i;
	}
	return -1;
}

static void check_endpoints(const json_t *doc, struct kc_report *rep)
{
	const json_t *list = json_object_get(spec_of(doc), "endpoints"), *e, *a;
	size_t i, k;

	json_array_foreach((json_t *)list, i, e) {
		const char *id = kc_json_get_str(e, "id", "");
		_cleanup_free_ char *at = xasprintf("/spec/endpoints/%zu/id", i);
		int first = earlier(list, i, id, NULL);

		if (first >= 0)
			kc_report_value(rep, at,
					"spec.endpoints[%d] is named \"%s\", too; give each its "
					"own id",
					first, id);
		json_array_foreach(json_object_get(e, "addresses"), k, a) {
			_cleanup_free_ char *where =
				xasprintf("/spec/endpoints/%zu/addresses/%zu", i, k);

			first = earlier(list, i, NULL, json_string_value(a));
			if (first >= 0)
				kc_report_value(rep, where,
						"spec.endpoints[%d] has %s, too; take it out of "
						"one of them",
						first, json_string_value(a));
		}
	}
}

/* With places, nearness can be told; with regions of lib/geo, a provider's own can be named. */
static void check_places(const json_t *doc, const char *list, struct kc_report *rep)
{
	static const char *const providers[] = { "aws", "gcp", "azure" };
	bool ranked = streq(kc_json_get_str(spec_of(doc), "route", ""), "latency");
	const json_t *e;
	size_t i;

	json_array_foreach(json_object_get(spec_of(doc), list), i, e) {
		_cleanup_free_ char *at = xasprintf("/spec/%s/%zu", list, i);
		const json_t *place = json_object_get(e, "at"), *site = json_object_get(e, "site");

		if (place && site)
			kc_report_value(rep, at, "at and site both say where it is; keep one");
		if (ranked && !place && !site)
			kc_report_value(rep, at,
					"route is latency, so where it is has to be known; give at "
					"(a cloud's region) or site (lat, lon)");
		for (size_t n = 0; n < ARRAY_SIZE(providers); n++) {
			const char *code =
				kc_json_get_str(json_object_get(e, "near"), providers[n], NULL);
			_cleanup_free_ char *near = xasprintf("%s/near/%s", at, providers[n]);

			if (code && !kc_region_find(providers[n], code))
				kc_report_value(rep, near,
						"\"%.40s\" is not a region of %s that is known "
						"here",
						code, providers[n]);
		}
	}
}

static bool is_known(const json_t *doc, const char *id)
{
	const json_t *e;
	size_t i;

	json_array_foreach(json_object_get(spec_of(doc), "endpoints"), i, e)
		if (streq(kc_json_get_str(e, "id", ""), id))
			return true;
	json_array_foreach(json_object_get(spec_of(doc), "regions"), i, e)
		if (streq(kc_json_get_str(e, "name", ""), id))
			return true;
	return false;
}

static void check_fences(const json_t *doc, struct kc_report *rep)
{
	const json_t *fence, *one, *seen[8] = { NULL };
	size_t i, k, n = 0, m;

	json_array_foreach(json_object_get(spec_of(doc), "fence"), i, fence) {
		json_array_foreach(json_object_get(fence, "only"), k, one) {
			_cleanup_free_ char *at = xasprintf("/spec/fence/%zu/only/%zu", i, k);

			if (!is_known(doc, json_string_value(one)))
				kc_report_value(rep, at,
						"no endpoint and no region is named \"%.60s\"",
						json_string_value(one));
		}
		json_array_foreach(json_object_get(fence, "clients"), k, one) {
			_cleanup_free_ char *at = xasprintf("/spec/fence/%zu/clients/%zu", i, k);

			for (m = 0; m < n; m++)
				if (json_equal(seen[m], one))
					kc_report_value(rep, at,
							"%s is fenced already; put both "
							"into one",
							json_string_value(one));
			if (n < ARRAY_SIZE(seen))
				seen[n++] = one;
		}
	}
}

static void check_failover(const json_t *doc, struct kc_report *rep)
{
	const json_t *spec = spec_of(doc);
	const char *protocol = kc_json_get_str(json_object_get(spec, "health"), "protocol", "");

	if (json_object_get(spec, "failover") && !json_object_get(spec, "health"))
		kc_report_value(rep, "/spec/failover",
				"without spec.health nobody notices that an endpoint is dead; say "
				"how to find out");
	if (streq(protocol, "tcp") && json_object_get(json_object_get(spec, "health"), "host"))
		kc_report_value(rep, "/spec/health/host",
				"a TCP connection asks for no host; take it out");
}

static bool listed(const char *const *names, const char *name)
{
	for (; names && *names; names++)
		if (streq(*names, name))
			return true;
	return false;
}

/* What an entry of publish must have, may have, and may not. */
static void check_publish(const json_t *doc, struct kc_report *rep)
{
	static const char *const common[] = { "provider", "servers", "ns", NULL };
	const json_t *entry;
	const char *key;
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(spec_of(doc), "publish"), i, entry) {
		const char *provider = kc_json_get_str(entry, "provider", "");
		const struct kc_dns_backend *b = kc_dns_backend_find(provider);
		_cleanup_free_ char *at = xasprintf("/spec/publish/%zu", i);

		for (size_t n = 0; b && b->needs[n]; n++)
			if (!json_object_get(entry, b->needs[n])) {
				_cleanup_free_ char *missing = xasprintf("%s/%s", at, b->needs[n]);

				kc_report_value(rep, missing, "missing; %s needs it", provider);
			}
		json_object_foreach((json_t *)entry, key, v) {
			_cleanup_free_ char *here = xasprintf("%s/%s", at, key);

			if (b && !listed(common, key) && !listed(b->needs, key) &&
			    !listed(b->takes, key))
				kc_report_key(rep, here, "%s has no use for it; take it out",
					      provider);
		}
	}
}

/* Two entries for one copy of the zone would write each other's records. */
static void check_copies(const json_t *doc, struct kc_report *rep)
{
	static const char *const where[] = { "server",	     "port",	     "zoneId",
					     "endpoint",     "project",	     "managedZone",
					     "subscription", "resourceGroup" };
	const json_t *list = json_object_get(spec_of(doc), "publish"), *a, *b;
	size_t i, k;

	json_array_foreach((json_t *)list, i, a)
		json_array_foreach((json_t *)list, k, b) {
			_cleanup_free_ char *at = xasprintf("/spec/publish/%zu", i);
			bool same = true;

			if (k >= i)
				break;
			for (size_t n = 0; n < ARRAY_SIZE(where); n++) {
				const json_t *x = json_object_get(a, where[n]),
					     *y = json_object_get(b, where[n]);

				same = same && (x == y || (x && y && json_equal(x, y)));
			}
			if (same)
				kc_report_value(rep, at,
						"spec.publish[%zu] is this copy of the zone, too; "
						"take one of them out",
						k);
		}
}

static void check_host(const json_t *doc, size_t i, const json_t *host, json_t *seen,
		       struct kc_report *rep)
{
	const char *name = kc_json_get_str(host, "name", ""), *a;
	const char *zone = kc_json_get_str(spec_of(doc), "zone", "");
	size_t n = strlen(name), z = strlen(zone), k, m;
	const json_t *addresses = json_object_get(host, "addresses"), *v, *w,
		     *first = json_object_get(seen, name);
	_cleanup_free_ char *at = xasprintf("/spec/hosts/%zu/name", i);

	if (streq(name, name_of(doc)))
		kc_report_value(rep, at, "this is metadata.name, which spec.endpoints lead from");
	else if (first)
		kc_report_value(rep, at,
				"spec.hosts[%lld] is named \"%s\", too; put its addresses into "
				"one of them",
				(long long)json_integer_value(first), name);
	else if (!streq(name, zone) &&
		 !(n > z && name[n - z - 1] == '.' && streq(name + n - z, zone)))
		kc_report_value(rep, at, "%s is not in the zone %s; name it in full, as n1.%s",
				name, zone, zone);
	else if (n + strlen("_kc._wildcard.") > NAME_MAX_LEN)
		kc_report_value(rep, at,
				"the record beside it would have a longer name than the %d bytes "
				"that DNS takes; use a shorter name",
				NAME_MAX_LEN);
	json_object_set_new(seen, name, json_integer((json_int_t)i));
	json_array_foreach((json_t *)addresses, k, v)
		json_array_foreach((json_t *)addresses, m, w) {
			_cleanup_free_ char *here = NULL;

			if (m >= k || !json_equal(v, w))
				continue;
			here = xasprintf("/spec/hosts/%zu/addresses/%zu", i, k);
			a = json_string_value(v);
			kc_report_value(rep, here, "%s is in the list already; take it out", a);
		}
}

static void check_hosts(const json_t *doc, struct kc_report *rep)
{
	json_auto_t *seen = json_object();
	const json_t *host;
	size_t i;

	json_array_foreach(json_object_get(spec_of(doc), "hosts"), i, host)
		check_host(doc, i, host, seen, rep);
}

static int check(const json_t *doc, struct kc_report *rep, json_t **ret, struct kc_err *err)
{
	json_auto_t *full = NULL;
	int r = kc_spec_validate(kc_traffic_kind.fields, doc, rep, &full, err);

	if (r < 0)
		return r;
	check_name_in_zone(full, rep);
	check_some_source(full, rep);
	check_endpoints(full, rep);
	check_hosts(full, rep);
	check_regions(full, rep);
	check_shared_names(full, rep);
	check_places(full, "endpoints", rep);
	check_places(full, "regions", rep);
	check_fences(full, rep);
	check_failover(full, rep);
	check_publish(full, rep);
	check_copies(full, rep);
	r = kc_report_result(rep, err);
	if (r == 0)
		*ret = TAKE(full);
	return r;
}

/* One without a kind counts as a policy, so that validation says what is missing. */
static bool is_policy(const json_t *doc, struct kc_report *rep)
{
	const char *kind = json_string_value(json_object_get(doc, "kind"));

	if (!kind || streq(kind, kc_traffic_kind.name))
		return true;
	kc_report_value(rep, "/kind", "a %.60s is not a TrafficPolicy", kind);
	return false;
}

int kc_policy_load(const char *file, const char *text, size_t len, json_t **ret_policy,
		   struct kc_buf *errors, struct kc_err *err)
{
	_cleanup_(kc_yaml_freep) struct kc_yaml *y = NULL;
	_cleanup_report_ struct kc_report rep = { 0 };
	json_t *doc = NULL;
	int r = kc_yaml_parse(file, text, len, &y, err);

	if (r == 0) {
		rep.yaml = y;
		r = kc_spec_choose(y, &kc_traffic_kind, is_policy, &rep, &doc, err);
	}
	if (r == 0)
		r = check(doc, &rep, ret_policy, err);
	if (r < 0)
		kc_report_lines(&rep, err, errors);
	return r;
}
