/*
 * An IR as Route 53's records. One latency record a region is all that Route 53 takes, so nearness
 * and what is equally near are two levels, joined by aliases that look at their target's health:
 *
 *	www latency, an alias a region -> _kc-eu-central-1.www weighted or multivalue, checked
 *
 * and a fence one more above them: www geolocation, an alias a continent -> _kc-fence-eu.www
 *latency. https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy.html
 */
#include <string.h>
#include <sys/socket.h>

#include "dns/claims.h"
#include "dns/route53.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* MULTI: addresses in a multivalue answer. ITEMS: routed records of one name and type. WEIGHT_MAX.
 */
enum { MULTI = 8, ITEMS = 100 };

const struct kc_dns_traits r53_traits = {
	.provider = "aws",
	.ranks = true,
	.fences = true,
	.checks = true,
	.spreads = true,
	/* RequestInterval, FailureThreshold; an HTTP check may take 4 s to connect and 2 s to
	 * answer, a TCP check 10 s: the HealthCheck chapter of the developer guide. */
	.intervals = { 10, 30 },
	.min_failures = 1,
	.max_failures = 10,
	.timeout = 10,
};

struct lowering {
	const json_t *ir, *health;
	const char *type;
	bool ranked, weighted; /* weighted: one address an answer */
	json_t *rrsets;
};

/* HealthCheckConfig of an address. */
static json_t *check_of(const json_t *health, const char *address)
{
	const char *protocol = kc_json_get_str(health, "protocol", "");
	bool tcp = streq(protocol, "tcp"), tls = streq(protocol, "https");
	json_t *c;

	if (!health)
		return NULL;
	c = kc_pack("{s:s, s:O, s:s, s:O, s:O}", "IPAddress", address, "Port",
		    json_object_get(health, "port"), "Type",
		    tcp	  ? "TCP"
		    : tls ? "HTTPS"
			  : "HTTP",
		    "RequestInterval", json_object_get(health, "interval"), "FailureThreshold",
		    json_object_get(health, "failures"));
	if (!tcp) {
		json_object_set(c, "ResourcePath", json_object_get(health, "path"));
		json_object_set(c, "FullyQualifiedDomainName", json_object_get(health, "host"));
	}
	if (tls)
		json_object_set_new(c, "EnableSNI", json_true());
	return c;
}

static json_t *new_rrset(const char *name, const char *type, json_t *items)
{
	return kc_pack("{s:s, s:s, s:o}", "name", name, "type", type, "items", items);
}

/* The addresses of one group, each a record of its own with its own check. */
static void add_members(const struct lowering *l, const char *name, const json_t *group)
{
	json_t *items = json_array(), *m;
	size_t i;

	json_array_foreach(json_object_get(group, "members"), i, m) {
		const char *address = kc_json_get_str(m, "address", "");
		json_t *item = kc_pack("{s:s, s:O, s:[s], s:o*}", "set", address, "ttl",
				       json_object_get(l->ir, "ttl"), "data", address, "health",
				       check_of(l->health, address));

		if (l->weighted)
			json_object_set(item, "weight", json_object_get(m, "weight"));
		else
			json_object_set_new(item, "multi", json_true());
		json_array_append_new(items, item);
	}
	json_array_append_new(l->rrsets, new_rrset(name, l->type, items));
}

/* evaluate: whether a target without anybody alive is passed over. */
static json_t *alias(const char *set, const char *target, bool evaluate)
{
	return kc_pack("{s:s, s:{s:s, s:b}}", "set", set, "alias", "name", target, "evaluate",
		       (int)evaluate);
}

/* All that a branch leads to, at name; prefix is for the names of what is below it. */
static void add_branch(const struct lowering *l, const char *name, const char *prefix,
		       const json_t *branch)
{
	const char *top = kc_json_get_str(l->ir, "name", "");
	json_t *items = json_array(), *group;
	size_t i;

	json_array_foreach(json_object_get(branch, "groups"), i, group) {
		const char *region = kc_json_get_str(group, "region", "");
		_cleanup_free_ char *label = xasprintf("%s%s", prefix, region),
				    *below = kc_group_name(top, label);
		json_t *item;

		if (!l->ranked) {
			add_members(l, name, group);
			continue;
		}
		add_members(l, below, group);
		item = alias(region, below, true);
		json_object_set_new(item, "region", json_string(region));
		json_array_append_new(items, item);
	}
	if (json_array_size(items))
		json_array_append_new(l->rrsets, new_rrset(name, l->type, items));
	else
		json_decref(items);
}

/* A fence is never left, so its alias does not ask whether anybody there is alive. */
static void add_fences(const struct lowering *l, const json_t *branches)
{
	const char *top = kc_json_get_str(l->ir, "name", "");
	json_t *items = json_array(), *branch, *client;
	size_t i, k;

	json_array_foreach((json_t *)branches, i, branch) {
		const json_t *clients = json_object_get(branch, "clients");
		_cleanup_free_ char *label =
					    clients ? xasprintf("fence-%zu", i) : xstrdup("others"),
				    *below = kc_group_name(top, label),
				    *prefix = xasprintf("%s-", label);

		add_branch(l, below, prefix, branch);
		json_array_foreach(clients, k, client) {
			json_t *item = alias(json_string_value(client), below, false);

			json_object_set(item, "continent", client);
			json_array_append_new(items, item);
		}
		if (!clients) {
			json_t *item = alias(label, below, false);

			json_object_set_new(item, "country", json_string("*"));
			json_array_append_new(items, item);
		}
	}
	r53_sort(items);
	json_array_append_new(l->rrsets, new_rrset(top, l->type, items));
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
	json_auto_t *branches = kc_ir_branches(l->ir, &r53_traits, family, fidelity);
	bool some = json_array_size(
		json_object_get(json_array_get(branches, json_array_size(branches) - 1), "groups"));

	if (some && has_hole(branches))
		kc_fidelity(fidelity, "fence", "approximated",
			    "no %s records at all: a fence has no address of that kind", l->type);
	else if (some && json_array_size(branches) > 1)
		add_fences(l, branches);
	else if (some)
		add_branch(l, kc_json_get_str(l->ir, "name", ""), "", json_array_get(branches, 0));
}

static void account(const struct lowering *l, const json_t *stages, json_t *fidelity)
{
	int64_t most = kc_json_get_int(l->ir, "answers", 0);

	if (kc_json_has_str(stages, "healthy"))
		kc_fidelity(fidelity, "healthy", "exact",
			    "checked from several regions every %lld s",
			    (long long)kc_json_get_int(l->health, "interval", 0));
	if (kc_json_has_str(stages, "fence"))
		kc_fidelity(fidelity, "fence", "exact", "geolocation records by continent");
	if (kc_json_has_str(stages, "rank") && !kc_fidelity_has(fidelity, "rank"))
		kc_fidelity(fidelity, "rank", "exact", "latency records of Route 53's own regions");
	if (kc_json_has_str(stages, "spread"))
		kc_fidelity(fidelity, "spread", "exact", "weighted records");
	if (most && l->weighted && most > 1)
		kc_fidelity(fidelity, "take", "approximated",
			    "one address an answer, drawn by weight");
	else if (most && !l->weighted && most != MULTI)
		kc_fidelity(fidelity, "take", "approximated", "up to %d addresses an answer",
			    MULTI);
	else if (most)
		kc_fidelity(fidelity, "take", "exact", "%lld an answer", (long long)most);
}

static int check_limits(const json_t *rrsets, struct kc_err *err)
{
	const json_t *rrset;
	size_t i;

	json_array_foreach((json_t *)rrsets, i, rrset)
		if (json_array_size(json_object_get(rrset, "items")) > ITEMS)
			return kc_fail(err, KC_EINVAL,
				       "%s %s would be %zu records, and Route 53 takes %d of one "
				       "name; give fewer addresses",
				       kc_json_get_str(rrset, "name", ""),
				       kc_json_get_str(rrset, "type", ""),
				       json_array_size(json_object_get(rrset, "items")), ITEMS);
	return 0;
}

int r53_lower(const json_t *publish, const json_t *ir, json_t *rrsets, json_t *fidelity,
	      struct kc_err *err)
{
	json_auto_t *stages = kc_ir_stages(ir), *health = NULL;
	struct lowering l = { .ir = ir, .rrsets = rrsets };
	int r = kc_ir_health(ir, &r53_traits, &health, err);

	if (r < 0)
		return r;
	if (!json_array_size(stages)) {
		kc_ir_plain(ir, rrsets);
		return 0;
	}
	l.health = health;
	l.ranked = kc_json_has_str(stages, "rank");
	l.weighted = kc_json_has_str(stages, "spread") || kc_json_get_int(ir, "answers", 0) == 1;
	l.type = "A";
	lower_family(&l, AF_INET, fidelity);
	l.type = "AAAA";
	lower_family(&l, AF_INET6, NULL);
	account(&l, stages, fidelity);
	return check_limits(rrsets, err);
}
