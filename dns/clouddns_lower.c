/*
 * An IR as Cloud DNS' records, and back. There is one routing policy a name and type, and none
 * combines with another, so nearness leaves no room for weights:
 *
 *	route: latency	-> geo, an item a region: all its addresses
 *	weights		-> wrr, an item an address
 *	health		-> wrr, one item: all that are healthy
 *
 * With health addresses are healthCheckedTargets, else rrdatas.
 * https://docs.cloud.google.com/dns/docs/routing-policies-overview and RRSetRoutingPolicy in the
 * discovery document.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dns/clouddns.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/geo/geo.h"
#include "lib/net/dns.h"

/* Of an item's addresses and, as far as is known, of items: resourceRecordsPerRrset on
 * docs.cloud.google.com/dns/quotas. */
enum { MOST = 100 };

const struct kc_dns_traits cdns_traits = {
	.provider = "gcp",
	.ranks = true,
	.checks = true,
	/* A check for Cloud DNS (HealthCheck.sourceRegions): every 30 s at best; our timeoutSec. */
	.intervals = { 30 },
	.min_failures = 1,
	.max_failures = 10,
	.timeout = 5,
};

/* --- one value for what does the same */

static const char *order_of(const json_t *v, char **ret_text)
{
	const char *location = kc_json_get_str(v, "location", NULL);

	if (location)
		return location;
	*ret_text = kc_json_text(v);
	return *ret_text;
}

static int by_order(const void *a, const void *b)
{
	_cleanup_free_ char *x = NULL, *y = NULL;

	return strcmp(order_of(*(json_t *const *)a, &x), order_of(*(json_t *const *)b, &y));
}

/* Items by their region, else by their text. */
static json_t *sorted(json_t *list)
{
	size_t n = json_array_size(list);
	_cleanup_free_ json_t **v = xcalloc(n + 1, sizeof(*v));
	json_t *out = json_array();

	for (size_t i = 0; i < n; i++)
		v[i] = json_array_get(list, i);
	qsort(v, n, sizeof(*v), by_order);
	for (size_t i = 0; i < n; i++)
		json_array_append(out, v[i]);
	return out;
}

static bool says_nothing(const json_t *v)
{
	return json_is_null(v) || json_is_false(v) || (json_is_array(v) && !json_array_size(v)) ||
	       (json_is_object(v) && !json_object_size(v));
}

static bool is_filler(const char *key)
{
	return streq(key, "kind") || streq(key, "signatureRrdatas");
}

json_t *cdns_canonical(const json_t *v)
{
	json_auto_t *out = NULL;
	const char *key;
	json_t *one;
	size_t i;

	if (json_is_object(v)) {
		out = json_object();
		json_object_foreach((json_t *)v, key, one) {
			json_auto_t *c = is_filler(key) ? NULL : cdns_canonical(one);

			if (c && !says_nothing(c))
				json_object_set(out, key, c);
		}
		return TAKE(out);
	}
	if (json_is_array(v)) {
		out = json_array();
		json_array_foreach((json_t *)v, i, one)
			json_array_append_new(out, cdns_canonical(one));
		return sorted(out);
	}
	/* A weight of 1 may be written as 1.0. */
	if (json_is_real(v) && fabs(json_real_value(v)) < 1e15 &&
	    json_real_value(v) == trunc(json_real_value(v)))
		return json_integer((json_int_t)json_real_value(v));
	return json_deep_copy(v);
}

/* --- lowering */

struct lowering {
	const json_t *ir, *health;
	bool ranked, weighted; /* weighted: one address an answer */
	json_t *rrsets;
	size_t largest; /* of an answer, when all are alive */
	bool uneven;	/* weights would matter, and cannot be said */
};

/* {"rrdatas"} or {"healthCheckedTargets"}; takes addresses. */
static json_t *item_of(const struct lowering *l, json_t *addresses)
{
	return l->health ? kc_pack("{s:{s:o}}", "healthCheckedTargets", "externalEndpoints",
				   addresses)
			 : kc_pack("{s:o}", "rrdatas", addresses);
}

static void note_group(struct lowering *l, const json_t *members)
{
	size_t n = json_array_size(members), i;
	const json_t *m;

	if (n > l->largest)
		l->largest = n;
	json_array_foreach((json_t *)members, i, m)
		if (!json_equal(json_object_get(m, "weight"),
				json_object_get(json_array_get(members, 0), "weight")))
			l->uneven = true;
}

static void add_items(struct lowering *l, const json_t *group, json_t *items)
{
	const json_t *members = json_object_get(group, "members"), *m;
	json_t *addresses = json_array(), *item;
	size_t i;

	note_group(l, members);
	json_array_foreach((json_t *)members, i, m) {
		json_t *address = json_object_get(m, "address");

		json_array_append(addresses, address);
		if (!l->weighted)
			continue;
		item = item_of(l, kc_pack("[O]", address));
		json_object_set(item, "weight", json_object_get(m, "weight"));
		json_array_append_new(items, item);
	}
	if (l->weighted) {
		json_decref(addresses);
		return;
	}
	item = item_of(l, addresses);
	if (l->ranked)
		json_object_set(item, "location", json_object_get(group, "region"));
	else
		json_object_set_new(item, "weight", json_integer(1));
	json_array_append_new(items, item);
}

static json_t *check_of(const json_t *health)
{
	bool tcp = streq(kc_json_get_str(health, "protocol", ""), "tcp");

	return kc_pack("{s:O, s:O, s:O*, s:O*, s:O, s:O}", "protocol",
		       json_object_get(health, "protocol"), "port", json_object_get(health, "port"),
		       "path", tcp ? NULL : json_object_get(health, "path"), "host",
		       tcp ? NULL : json_object_get(health, "host"), "interval",
		       json_object_get(health, "interval"), "failures",
		       json_object_get(health, "failures"));
}

static int check_limits(const char *name, const char *type, const json_t *items, struct kc_err *err)
{
	size_t most = json_array_size(items), i;
	const json_t *item;

	json_array_foreach((json_t *)items, i, item) {
		const json_t *list = json_object_get(item, "rrdatas");
		size_t n;

		list = list ? list : kc_json_at(item, "healthCheckedTargets.externalEndpoints");
		n = json_array_size(list);
		most = n > most ? n : most;
	}
	if (most <= MOST)
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "%s %s would have %zu addresses in one place, and Cloud DNS takes %d; give "
		       "fewer",
		       name, type, most, MOST);
}

static int lower_family(struct lowering *l, int family, const char *type, json_t *fidelity,
			struct kc_err *err)
{
	json_auto_t *branches = kc_ir_branches(l->ir, &cdns_traits, family, fidelity),
		    *items = json_array(), *policy = NULL;
	const char *name = kc_json_get_str(l->ir, "name", "");
	const json_t *group;
	size_t i;
	int r;

	json_array_foreach(json_object_get(json_array_get(branches, 0), "groups"), i, group)
		add_items(l, group, items);
	if (!json_array_size(items))
		return 0;
	r = check_limits(name, type, items, err);
	if (r < 0)
		return r;
	policy = kc_pack("{s:{s:O}}", l->ranked ? "geo" : "wrr", "items", items);
	if (l->health)
		json_object_set_new(policy, "check", check_of(l->health));
	json_array_append_new(l->rrsets, kc_pack("{s:s, s:s, s:O, s:o}", "name", name, "type", type,
						 "ttl", json_object_get(l->ir, "ttl"), "policy",
						 cdns_canonical(policy)));
	return 0;
}

/* No policy is needed: plain records. */
static int lower_plain(struct lowering *l, struct kc_err *err)
{
	const json_t *rrset;
	size_t i;

	kc_ir_plain(l->ir, l->rrsets);
	json_array_foreach(l->rrsets, i, rrset) {
		size_t n = json_array_size(json_object_get(rrset, "data"));

		l->largest = n > l->largest ? n : l->largest;
		if (n > MOST)
			return kc_fail(err, KC_EINVAL,
				       "%s %s would have %zu addresses, and Cloud DNS takes %d; "
				       "give fewer",
				       kc_json_get_str(rrset, "name", ""),
				       kc_json_get_str(rrset, "type", ""), n, MOST);
	}
	return 0;
}

static void account_take(const struct lowering *l, json_t *fidelity)
{
	size_t most = (size_t)kc_json_get_int(l->ir, "answers", 0);

	if (l->weighted && most > 1)
		kc_fidelity(fidelity, "take", "approximated",
			    "one address an answer, drawn by weight");
	else if (l->weighted || l->largest <= most)
		kc_fidelity(fidelity, "take", "exact", "never more than %zu an answer", most);
	else
		kc_fidelity(fidelity, "take", "approximated",
			    "up to %zu addresses an answer: all%s", l->largest,
			    l->ranked ? " of the nearest region" : "");
}

static void account(const struct lowering *l, const json_t *stages, json_t *fidelity)
{
	if (l->health)
		kc_fidelity(fidelity, "healthy", "exact",
			    "checked from three continents every %lld s",
			    (long long)kc_json_get_int(l->health, "interval", 0));
	if (l->ranked && !kc_fidelity_has(fidelity, "rank"))
		kc_fidelity(fidelity, "rank", "exact",
			    "geolocation by the nearest of Google's regions");
	if (kc_json_has_str(stages, "spread") && l->ranked && l->uneven)
		kc_fidelity(fidelity, "spread", "approximated",
			    "equal shares: a geolocation policy has no weights within a region");
	else if (kc_json_has_str(stages, "spread"))
		kc_fidelity(fidelity, "spread", "exact",
			    l->ranked ? "none that weigh differently are equally near"
				      : "weighted round robin");
	if (kc_json_has_str(stages, "take"))
		account_take(l, fidelity);
}

int cdns_lower(const json_t *publish, const json_t *ir, json_t *rrsets, json_t *fidelity,
	       struct kc_err *err)
{
	json_auto_t *stages = kc_ir_stages(ir), *health = NULL;
	struct lowering l = { .ir = ir, .rrsets = rrsets };
	int r = kc_ir_health(ir, &cdns_traits, &health, err);

	if (r < 0)
		return r;
	if (kc_json_has_str(stages, "fence"))
		return kc_fail(err, KC_EINVAL,
			       "Cloud DNS has one routing policy a name, and none goes by "
			       "continent, so it cannot keep clients to some endpoints as "
			       "spec.fence asks; publish this policy elsewhere, or take the fence "
			       "out");
	l.health = health;
	l.ranked = kc_json_has_str(stages, "rank");
	l.weighted = !l.ranked &&
		     (kc_json_has_str(stages, "spread") || kc_json_get_int(ir, "answers", 0) == 1);
	if (!l.health && !l.ranked && !l.weighted) {
		r = lower_plain(&l, err);
	} else {
		r = lower_family(&l, AF_INET, "A", fidelity, err);
		if (r == 0)
			r = lower_family(&l, AF_INET6, "AAAA", NULL, err);
	}
	if (r == 0)
		account(&l, stages, fidelity);
	return r;
}

/* "When using health-checked targets for DNSSEC-enabled zones, you can only use at most one
 * health-checked IP address per item": the discovery document. */
int cdns_check_signed(const json_t *rrsets, struct kc_err *err)
{
	static const char *const kinds[] = { "geo", "wrr" };
	const json_t *rrset, *item;
	size_t i, n;

	json_array_foreach((json_t *)rrsets, i, rrset)
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			const json_t *body =
				json_object_get(json_object_get(rrset, "policy"), kinds[k]);

			json_array_foreach(json_object_get(body, "items"), n, item)
				if (json_array_size(
					    kc_json_at(item,
						       "healthCheckedTargets.externalEndpoints")) >
				    1)
					return kc_fail(err, KC_EINVAL,
						       "the zone is signed (DNSSEC), and Cloud DNS "
						       "then "
						       "checks one address an item: %s",
						       k ? "set spec.answers to 1"
							 : "let one address stand for each region, "
							   "or take "
							   "spec.health out");
		}
	return 0;
}

/* --- and back */

static void add_member(json_t *members, const json_t *address, int64_t weight)
{
	json_t *m;
	size_t i;

	json_array_foreach(members, i, m)
		if (strcmp(kc_json_get_str(m, "address", ""), json_string_value(address)) > 0)
			break;
	json_array_insert_new(members, i,
			      kc_pack("{s:O, s:I}", "address", address, "weight",
				      (json_int_t)weight));
}

static void add_members(json_t *members, const json_t *item)
{
	static const char *const lists[] = { "rrdatas", "healthCheckedTargets.externalEndpoints" };
	const json_t *address;
	size_t i;

	for (size_t n = 0; n < ARRAY_SIZE(lists); n++)
		json_array_foreach(kc_json_at(item, lists[n]), i, address)
			if (json_is_string(address))
				add_member(members, address, kc_json_get_int(item, "weight", 1));
}

static json_t *new_group(const char *code)
{
	const struct kc_region *region = kc_region_find("gcp", code);

	return kc_pack("{s:s, s:i, s:i, s:[]}", "region", code, "lat",
		       region ? (int)region->at.lat : 0, "lon", region ? (int)region->at.lon : 0,
		       "members");
}

json_t *cdns_raise(const json_t *rrsets, const char *name, const char *type)
{
	const json_t *policy = json_object_get(kc_dns_rrset_find(rrsets, name, type), "policy"),
		     *item;
	json_auto_t *all = new_group("");
	json_t *groups;
	size_t i;

	if (json_object_get(policy, "primaryBackup"))
		return NULL;
	groups = json_array();
	json_array_foreach(kc_json_at(policy, "geo.items"), i, item) {
		json_t *g = new_group(kc_json_get_str(item, "location", ""));

		add_members(json_object_get(g, "members"), item);
		json_array_append_new(groups, g);
	}
	json_array_foreach(kc_json_at(policy, "wrr.items"), i, item)
		add_members(json_object_get(all, "members"), item);
	if (json_array_size(json_object_get(all, "members")))
		json_array_append(groups, all);
	return kc_pack("[{s:o}]", "groups", groups);
}
