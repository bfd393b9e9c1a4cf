/*
 * An IR as profiles of Traffic Manager, one method each:
 *
 *	Geographic (fence) -> Performance (rank) -> Weighted (spread), or MultiValue alone
 *
 * An endpoint belongs to an Azure region; several in one region share its clients evenly, so a
 * Weighted profile stands between only where weights differ. "Traffic Manager routing methods",
 * "Traffic Manager endpoint monitoring", learn.microsoft.com.
 */
#include <string.h>
#include <sys/socket.h>

#include "dns/azure.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* MULTI: addresses in a MultiValue answer. ENDPOINTS: in a profile. RECORDS: in a record set. */
enum { MULTI = 10, ENDPOINTS = 200, RECORDS = 20 };

const struct kc_dns_traits az_traits = {
	.provider = "azure",
	.ranks = true,
	.spreads = true,
	.fences = true,
	.checks = true,
	/* intervalInSeconds, toleratedNumberOfFailures + 1, timeoutInSeconds. */
	.intervals = { 10, 30 },
	.min_failures = 1,
	.max_failures = 10,
	.timeout = 5,
};

struct lowering {
	const json_t *ir, *health;
	const char *type;
	bool ranked, weighted; /* weighted: one address an answer */
	json_t *rrsets;
};

static json_t *monitor_of(const struct lowering *l)
{
	const char *protocol = kc_json_get_str(l->health, "protocol", "");
	bool tcp = streq(protocol, "tcp");
	json_t *m;

	/* A profile cannot do without one; endpoints that are always served are not probed. */
	if (!l->health)
		return kc_pack("{s:s, s:i, s:i, s:i, s:i}", "protocol", "TCP", "port", 443,
			       "interval", 30, "timeout", 10, "tolerated", 3);
	m = kc_pack("{s:s, s:O, s:O, s:i, s:I}", "protocol",
		    tcp			       ? "TCP"
		    : streq(protocol, "https") ? "HTTPS"
					       : "HTTP",
		    "port", json_object_get(l->health, "port"), "interval",
		    json_object_get(l->health, "interval"), "timeout", az_traits.timeout,
		    "tolerated", (json_int_t)kc_json_get_int(l->health, "failures", 1) - 1);
	if (!tcp) {
		json_object_set(m, "path", json_object_get(l->health, "path"));
		json_object_set(m, "host", json_object_get(l->health, "host"));
		json_object_set_new(m, "expect", json_string("200-299"));
	}
	return m;
}

static json_t *new_tree(const struct lowering *l, const char *method)
{
	return kc_pack("{s:s, s:O, s:o, s:[]}", "method", method, "ttl",
		       json_object_get(l->ir, "ttl"), "monitor", monitor_of(l), "endpoints");
}

static json_t *external(const struct lowering *l, const json_t *member)
{
	json_t *e = kc_pack("{s:O}", "target", json_object_get(member, "address"));

	if (!l->health)
		json_object_set_new(e, "always", json_true());
	return e;
}

static json_t *weighted_tree(const struct lowering *l, const json_t *group)
{
	json_t *tree = new_tree(l, "Weighted"), *m;
	size_t i;

	json_array_foreach(json_object_get(group, "members"), i, m) {
		json_t *e = external(l, m);

		json_object_set(e, "weight", json_object_get(m, "weight"));
		az_endpoint_add(json_object_get(tree, "endpoints"), e);
	}
	return tree;
}

static bool is_even(const json_t *group)
{
	const json_t *members = json_object_get(group, "members"), *m;
	size_t i;

	json_array_foreach((json_t *)members, i, m)
		if (!json_equal(json_object_get(m, "weight"),
				json_object_get(json_array_get(members, 0), "weight")))
			return false;
	return true;
}

static void add_group(const struct lowering *l, json_t *endpoints, const json_t *group)
{
	json_t *region = json_object_get(group, "region"), *m, *e;
	size_t i;

	if (!is_even(group)) {
		e = kc_pack("{s:o, s:O}", "profile", weighted_tree(l, group), "location", region);
		az_endpoint_add(endpoints, e);
		return;
	}
	json_array_foreach(json_object_get(group, "members"), i, m) {
		e = external(l, m);
		json_object_set(e, "location", region);
		az_endpoint_add(endpoints, e);
	}
}

static json_t *multi_tree(const struct lowering *l, const json_t *group)
{
	int64_t most = kc_json_get_int(l->ir, "answers", MULTI);
	json_t *tree = new_tree(l, "MultiValue"), *m;
	size_t i;

	json_object_set_new(tree, "most", json_integer(most > MULTI ? MULTI : most));
	json_array_foreach(json_object_get(group, "members"), i, m)
		az_endpoint_add(json_object_get(tree, "endpoints"), external(l, m));
	return tree;
}

/* below: of a fence, where MultiValue cannot be. */
static json_t *branch_tree(const struct lowering *l, const json_t *branch, bool below)
{
	const json_t *groups = json_object_get(branch, "groups"), *group;
	json_t *tree;
	size_t i;

	if (!l->ranked)
		return l->weighted || below ? weighted_tree(l, json_array_get(groups, 0))
					    : multi_tree(l, json_array_get(groups, 0));
	tree = new_tree(l, "Performance");
	json_array_foreach((json_t *)groups, i, group)
		add_group(l, json_object_get(tree, "endpoints"), group);
	return tree;
}

/* Continents as Traffic Manager has them, in the order of their codes; clients NULL: all others. */
static json_t *geo_of(const json_t *clients)
{
	json_t *geo = json_array(), *client;
	size_t i;

	json_array_foreach((json_t *)clients, i, client) {
		const char *code = json_string_value(client);
		_cleanup_free_ char *text = xasprintf("GEO-%s", streq(code, "OC") ? "AP" : code);

		json_array_append_new(geo, json_string(text));
		if (streq(code, "AS"))
			json_array_append_new(geo, json_string("GEO-ME"));
	}
	if (!clients)
		json_array_append_new(geo, json_string("WORLD"));
	kc_json_sort(geo);
	return geo;
}

static json_t *fence_tree(const struct lowering *l, const json_t *branches)
{
	json_t *tree = new_tree(l, "Geographic"), *branch;
	size_t i;

	json_array_foreach((json_t *)branches, i, branch)
		az_endpoint_add(json_object_get(tree, "endpoints"),
				kc_pack("{s:o, s:o}", "profile", branch_tree(l, branch, true),
					"geo", geo_of(json_object_get(branch, "clients"))));
	return tree;
}

/* A branch without an address of this family cannot be said. */
static bool has_hole(const json_t *branches)
{
	const json_t *b;
	size_t i;

	json_array_foreach((json_t *)branches, i, b)
		if (!json_array_size(json_object_get(b, "groups")))
			return true;
	return false;
}

static void lower_family(struct lowering *l, int family, json_t *fidelity)
{
	/* How far endpoints are from their regions is the same for both families. */
	json_auto_t *branches =
		kc_ir_branches(l->ir, &az_traits, family, family == AF_INET ? fidelity : NULL);
	size_t n = json_array_size(branches);
	json_t *tree;

	if (!json_array_size(json_object_get(json_array_get(branches, n - 1), "groups")))
		return;
	if (has_hole(branches)) {
		kc_fidelity(fidelity, "fence", "approximated",
			    "no %s records at all: a fence has no address of that kind", l->type);
		return;
	}
	tree = n > 1 ? fence_tree(l, branches) : branch_tree(l, json_array_get(branches, 0), false);
	json_array_append_new(l->rrsets,
			      kc_pack("{s:O, s:s, s:o}", "name", json_object_get(l->ir, "name"),
				      "type", l->type, "profile", tree));
}

static void account(const struct lowering *l, const json_t *stages, json_t *fidelity)
{
	int64_t most = kc_json_get_int(l->ir, "answers", 0);
	bool multi = !l->ranked && !l->weighted && !kc_json_has_str(stages, "fence");

	if (kc_json_has_str(stages, "healthy"))
		kc_fidelity(fidelity, "healthy", "exact",
			    "probed from several regions every %lld s",
			    (long long)kc_json_get_int(l->health, "interval", 0));
	if (kc_json_has_str(stages, "fence") && !kc_fidelity_has(fidelity, "fence"))
		kc_fidelity(fidelity, "fence", "exact",
			    "a Geographic profile; which countries a continent has is Azure's "
			    "list");
	if (kc_json_has_str(stages, "rank") && !kc_fidelity_has(fidelity, "rank"))
		kc_fidelity(fidelity, "rank", "exact",
			    "a Performance profile, by latency to Azure's own regions");
	if (kc_json_has_str(stages, "spread"))
		kc_fidelity(fidelity, "spread", "exact", "a Weighted profile");
	if (!most)
		return;
	if (multi && most > MULTI)
		kc_fidelity(fidelity, "take", "approximated", "up to %d addresses an answer",
			    MULTI);
	else if (multi || most == 1)
		kc_fidelity(fidelity, "take", "exact", "%lld an answer", (long long)most);
	else
		kc_fidelity(fidelity, "take", "approximated", "one address an answer");
}

static int check_tree(const json_t *tree, const char *name, struct kc_err *err)
{
	const json_t *endpoints = json_object_get(tree, "endpoints"), *e;
	size_t i;
	int r = 0;

	if (json_array_size(endpoints) > ENDPOINTS)
		return kc_fail(err, KC_EINVAL,
			       "%s would be %zu endpoints of one profile, and Traffic Manager "
			       "takes "
			       "%d; give fewer addresses",
			       name, json_array_size(endpoints), ENDPOINTS);
	json_array_foreach((json_t *)endpoints, i, e)
		if (r == 0)
			r = check_tree(json_object_get(e, "profile"), name, err);
	return r;
}

static int check_limits(const json_t *rrsets, struct kc_err *err)
{
	const json_t *rrset;
	size_t i;
	int r = 0;

	json_array_foreach((json_t *)rrsets, i, rrset) {
		const char *name = kc_json_get_str(rrset, "name", "");
		size_t n = json_array_size(json_object_get(rrset, "data"));

		if (n > RECORDS)
			return kc_fail(err, KC_EINVAL,
				       "%s would be %zu records of one type, and Azure DNS takes "
				       "%d; give fewer addresses",
				       name, n, RECORDS);
		if (r == 0)
			r = check_tree(json_object_get(rrset, "profile"), name, err);
	}
	return r;
}

int az_lower(const json_t *publish, const json_t *ir, json_t *rrsets, json_t *fidelity,
	     struct kc_err *err)
{
	json_auto_t *stages = kc_ir_stages(ir), *health = NULL;
	struct lowering l = { .ir = ir, .rrsets = rrsets };
	int r = kc_ir_health(ir, &az_traits, &health, err);

	if (r < 0)
		return r;
	if (!json_array_size(stages)) {
		kc_ir_plain(ir, rrsets);
		return check_limits(rrsets, err);
	}
	l.health = health;
	l.ranked = kc_json_has_str(stages, "rank");
	l.weighted = kc_json_has_str(stages, "spread") || kc_json_get_int(ir, "answers", 0) == 1;
	l.type = "A";
	lower_family(&l, AF_INET, fidelity);
	l.type = "AAAA";
	lower_family(&l, AF_INET6, fidelity);
	account(&l, stages, fidelity);
	return check_limits(rrsets, err);
}
