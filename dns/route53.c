/*
 * Route 53: a batch in which every record that is replaced is deleted exactly as it was read is
 * compare-and-swap; UPSERT never is. What is depended on and stays (the mark, the claims) is
 * deleted and created as it is, for the same reason.
 */
#include "dns/route53.h"

#include <stdlib.h>
#include <string.h>

#include "dns/backend.h"
#include "dns/lint.h"
#include "dns/claims.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "lib/net/dns.h"

/* BATCH: of names with an address and a mark each, of which a mark that stays is named twice; a
 * change takes 1,000 values. */
enum { BATCH = 200 };

struct conn {
	struct kc_aws *aws;
	char *zone_name, *owner, *where;
	char *zone;   /* its ID; NULL: not looked up yet */
	char *change; /* the last one's ID */
	struct r53_checks checks;
};

static void r53_close(void *conn)
{
	struct conn *c = conn;

	if (!c)
		return;
	r53_checks_done(&c->checks);
	kc_aws_close(c->aws);
	free(c->zone_name);
	free(c->owner);
	free(c->where);
	free(c->zone);
	free(c->change);
	free(c);
}

static int r53_open(const json_t *publish, const char *zone, const char *owner, void **ret_conn,
		    struct kc_err *err)
{
	struct kc_aws_conf conf = { .service = "route53",
				    .region = "us-east-1",
				    .endpoint = kc_json_get_str(publish, "endpoint", NULL) };
	const char *id = kc_json_get_str(publish, "zoneId", NULL);
	struct conn *c = xcalloc(1, sizeof(*c));
	int r = kc_aws_open(&conf, &c->aws, err);

	if (r < 0) {
		r53_close(c);
		return r;
	}
	c->zone_name = xasprintf("%s.", zone);
	c->owner = xstrdup(owner);
	c->zone = id ? xstrdup(id) : NULL;
	c->where = xasprintf("zone %s", id ? id : zone);
	c->checks.aws = c->aws;
	*ret_conn = c;
	return 0;
}

static const char *r53_where(const void *conn)
{
	return ((const struct conn *)conn)->where;
}

static int find_zone(struct conn *c, struct kc_err *err)
{
	return c->zone ? 0 : kc_route53_zone_find(c->aws, c->zone_name, &c->zone, err);
}

static int r53_servers(void *conn, json_t **ret, struct kc_err *err)
{
	struct conn *c = conn;
	json_auto_t *zone = NULL, *out = json_array();
	const json_t *ns;
	size_t i;
	int r = find_zone(c, err);

	if (r == 0)
		r = kc_route53_zone(c->aws, c->zone, &zone, err);
	if (r < 0)
		return r;
	if (!streq(kc_json_get_str(zone, "name", ""), c->zone_name))
		return kc_fail(err, KC_EINVAL, "zoneId %s is the zone %s, not %s", c->zone,
			       kc_json_get_str(zone, "name", "?"), c->zone_name);
	json_array_foreach(json_object_get(zone, "ns"), i, ns)
		json_array_append_new(out, kc_pack("{s:O}", "name", ns));
	*ret = TAKE(out);
	return 0;
}

/* --- reading */

/* By the name that is steered, so that policies do not take each other's. */
static void set_prefix(struct conn *c, const char *name)
{
	_cleanup_free_ char *text = xasprintf("%s\n%s", c->owner, name);
	char hash[KC_SHA256_HEX];

	if (c->checks.prefix)
		return;
	kc_sha256(text, strlen(text), hash);
	c->checks.prefix = xasprintf("kubecdn-%.16s-", hash);
}

static int by_set(const void *a, const void *b)
{
	return strcmp(kc_json_get_str(*(json_t *const *)a, "set", ""),
		      kc_json_get_str(*(json_t *const *)b, "set", ""));
}

void r53_sort(json_t *items)
{
	size_t n = json_array_size(items);
	_cleanup_free_ json_t **v = xcalloc(n + 1, sizeof(*v));

	for (size_t i = 0; i < n; i++)
		v[i] = json_incref(json_array_get(items, i));
	qsort(v, n, sizeof(*v), by_set);
	json_array_clear(items);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(items, v[i]);
}

/* A record as an item: what names it is its rrset's, its alias' zone is this one, its check is told
 * by what it does. */
static int item_of(struct conn *c, const json_t *record, json_t **ret, struct kc_err *err)
{
	json_auto_t *item = json_deep_copy(record);
	json_t *alias = json_object_get(item, "alias");
	const char *health = kc_json_get_str(item, "health", NULL);
	const json_t *config;
	int r;

	if (streq(kc_json_get_str(alias, "zone", ""), c->zone))
		json_object_del(alias, "zone");
	if (health) {
		r = r53_check_config(&c->checks, health, &config, err);
		if (r < 0)
			return r;
		json_object_set(item, "health", (json_t *)config);
	}
	json_object_del(item, "name");
	json_object_del(item, "type");
	*ret = TAKE(item);
	return 0;
}

/* Records of one name and type as one rrset. */
static int add_record(struct conn *c, const json_t *record, json_t *found, struct kc_err *err)
{
	const char *name = kc_json_get_str(record, "name", ""),
		   *type = kc_json_get_str(record, "type", "");
	json_t *rrset = kc_dns_rrset_find(found, name, type), *item = NULL;
	int r;

	if (!rrset && json_object_get(record, "data") && !json_object_get(record, "set") &&
	    !json_object_get(record, "health")) {
		json_array_append(found, (json_t *)record);
		return 0;
	}
	r = item_of(c, record, &item, err);
	if (r < 0)
		return r;
	if (!rrset) {
		rrset = kc_pack("{s:s, s:s, s:[]}", "name", name, "type", type, "items");
		json_array_append_new(found, rrset);
	}
	json_array_append_new(json_object_get(rrset, "items"), item);
	return 0;
}

static bool matters(const json_t *which, const json_t *record)
{
	const char *name = kc_json_get_str(record, "name", "");
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)which, i, one)
		if (streq(kc_json_get_str(one, "name", ""), name) &&
		    json_equal(json_object_get(one, "type"), json_object_get(record, "type")))
			return true;
	return false;
}

/* "_kc-…" directly below name: our own groups. */
static bool is_group(const json_t *record, const char *name)
{
	const char *at = kc_json_get_str(record, "name", "");
	size_t label = strcspn(at, ".");
	_cleanup_free_ char *group = NULL, *bare = NULL;

	if (!kc_startswith(at, "_kc-"))
		return false;
	bare = xstrndup(at + 4, label - 4);
	group = kc_group_name(name, bare);
	return streq(group, at);
}

/* The zone's own NS records: below its name is all of the zone. */
static bool is_apex_ns(const struct conn *c, const json_t *which)
{
	const json_t *one = json_array_get(which, 0);

	return json_array_size(which) == 1 && streq(kc_json_get_str(one, "type", ""), "NS") &&
	       streq(kc_json_get_str(one, "name", ""), c->zone_name);
}

static int list_for(struct conn *c, const json_t *which, const char *name, json_t **ret,
		    struct kc_err *err)
{
	return is_apex_ns(c, which) ? kc_route53_rrsets_at(c->aws, c->zone, name, ret, err)
				    : kc_route53_rrsets(c->aws, c->zone, name, ret, err);
}

static int r53_read(void *conn, const json_t *which, json_t **ret_rrsets, struct kc_err *err)
{
	struct conn *c = conn;
	const char *name = kc_json_get_str(json_array_get(which, 0), "name", "");
	_cleanup_free_ char *mark = kc_claim_name(name, NULL);
	const char *parent = strchr(mark, '.') + 1;
	json_auto_t *records = NULL, *below = NULL, *found = json_array();
	const json_t *record;
	json_t *rrset;
	size_t i;
	int r = find_zone(c, err);

	set_prefix(c, name);
	json_decref(TAKE(c->checks.by_id));
	json_decref(TAKE(c->checks.retired));
	if (r == 0)
		r = list_for(c, which, name, &records, err);
	if (r == 0 && !streq(parent, name))
		r = kc_route53_rrsets(c->aws, c->zone, parent, &below, err);
	if (r < 0)
		return r;
	json_array_extend(records, below);
	json_array_foreach(records, i, record) {
		if (!matters(which, record) && !is_group(record, name))
			continue;
		r = add_record(c, record, found, err);
		if (r < 0)
			return r;
	}
	json_array_foreach(found, i, rrset)
		r53_sort(json_object_get(rrset, "items"));
	*ret_rrsets = TAKE(found);
	return 0;
}

/* A page has 300 of the zone's records, so that all of them are few requests. */
static int r53_scan(void *conn, const char *const *names, size_t n, kc_dns_found_fn *found,
		    void *cookie, struct kc_err *err)
{
	struct conn *c = conn;
	json_auto_t *records = NULL;
	const json_t *record;
	size_t i;
	int r = find_zone(c, err);

	if (r == 0)
		r = kc_route53_rrsets(c->aws, c->zone, NULL, &records, err);
	json_array_foreach(records, i, record) {
		const json_t *data = json_object_get(record, "data");
		struct kc_dns_found f = { .name = kc_json_get_str(record, "name", ""),
					  .type = kc_json_get_str(record, "type", ""),
					  .ttl = kc_json_get_int(record, "ttl", 0),
					  .n = json_array_size(data) };
		_cleanup_free_ const char **text = xcalloc(f.n + 1, sizeof(*text));
		bool plain = data && !json_object_get(record, "set") &&
			     !json_object_get(record, "health");

		for (size_t k = 0; k < f.n; k++)
			text[k] = json_string_value(json_array_get(data, k));
		f.data = plain ? text : NULL;
		f.n = plain ? f.n : 0;
		if (r == 0)
			r = found(cookie, &f, err);
	}
	return r;
}

static int r53_links(void *conn, json_t **ret, struct kc_err *err)
{
	struct conn *c = conn;
	json_auto_t *records = NULL, *out = json_array();
	json_t *record;
	size_t i;
	int r = find_zone(c, err);

	if (r == 0)
		r = kc_route53_rrsets(c->aws, c->zone, NULL, &records, err);
	if (r < 0)
		return r;
	json_array_foreach(records, i, record) {
		const char *type = kc_json_get_str(record, "type", "");
		json_t *alias = json_object_get(record, "alias"),
		       *data = json_object_get(record, "data");

		/* Our own groups are what our own aliases lead to. */
		if (kc_startswith(kc_json_get_str(record, "name", ""), "_kc-"))
			continue;
		if (alias || (data && kc_lint_is_link(type)))
			json_array_append_new(out, kc_pack("{s:O, s:s, s:O*, s:b}", "name",
							   json_object_get(record, "name"), "type",
							   type, "data", data, "alias", !!alias));
	}
	*ret = TAKE(out);
	return 0;
}

/* --- changing */

/* An item as a record again. */
static int record_of(struct conn *c, const json_t *rrset, const json_t *item, json_t **ret,
		     struct kc_err *err)
{
	json_auto_t *record = json_deep_copy(item);
	json_t *alias = json_object_get(record, "alias"),
	       *health = json_object_get(record, "health");
	char *id;
	int r;

	json_object_set(record, "name", json_object_get(rrset, "name"));
	json_object_set(record, "type", json_object_get(rrset, "type"));
	if (alias && !json_object_get(alias, "zone"))
		json_object_set_new(alias, "zone", json_string(c->zone));
	if (health) {
		r = r53_check_id(&c->checks, health, &id, err);
		if (r < 0)
			return r;
		json_object_set_new(record, "health", json_string(id));
		free(id);
	}
	*ret = TAKE(record);
	return 0;
}

static bool has_item(const json_t *rrset, const json_t *item)
{
	const json_t *other;
	size_t i;

	json_array_foreach(json_object_get(rrset, "items"), i, other)
		if (json_equal(other, item))
			return true;
	return false;
}

/* An action for each record of rrset that other does not have. */
static int add_changes(struct conn *c, const char *action, const json_t *rrset, const json_t *other,
		       bool all, json_t *changes, struct kc_err *err)
{
	const json_t *items = json_object_get(rrset, "items"), *item;
	size_t i;

	if (!rrset)
		return 0;
	if (!items) {
		if (all || !other || !json_equal(rrset, other))
			json_array_append_new(changes, kc_pack("{s:s, s:O}", "action", action,
							       "rrset", rrset));
		return 0;
	}
	json_array_foreach((json_t *)items, i, item) {
		json_t *record = NULL;
		int r;

		if (!all && has_item(other, item))
			continue;
		r = record_of(c, rrset, item, &record, err);
		if (r < 0)
			return r;
		json_array_append_new(changes,
				      kc_pack("{s:s, s:o}", "action", action, "rrset", record));
	}
	return 0;
}

/* The mark and the claims are compared even where they stay. */
static bool guards(const json_t *rrset)
{
	return streq(kc_json_get_str(rrset, "type", ""), "TXT");
}

/*
 * What others point to is made first and deleted last: before and after are in that order, as
 * r53_lower() makes them and as the zone lists them.
 */
static int make_changes(struct conn *c, const json_t *before, const json_t *after, json_t *changes,
			struct kc_err *err)
{
	const json_t *rrset;
	size_t i;
	int r = 0;

	json_array_foreach((json_t *)before, i, rrset)
		if (r == 0)
			r = add_changes(c, "DELETE", rrset,
					kc_dns_rrset_find(after, kc_json_get_str(rrset, "name", ""),
							  kc_json_get_str(rrset, "type", "")),
					guards(rrset), changes, err);
	json_array_foreach((json_t *)after, i, rrset)
		if (r == 0)
			r = add_changes(c, "CREATE", rrset,
					kc_dns_rrset_find(before,
							  kc_json_get_str(rrset, "name", ""),
							  kc_json_get_str(rrset, "type", "")),
					guards(rrset), changes, err);
	return r;
}

/* Is there a health check in it, whose ever it is? */
static bool has_check(const json_t *rrsets)
{
	const json_t *rrset, *item;
	size_t i, k;

	json_array_foreach((json_t *)rrsets, i, rrset)
		json_array_foreach(json_object_get(rrset, "items"), k, item)
			if (json_object_get(item, "health"))
				return true;
	return false;
}

static int r53_change(void *conn, const json_t *which, const json_t *before, const json_t *after,
		      struct kc_err *err)
{
	struct conn *c = conn;
	json_auto_t *changes = json_array();
	struct kc_err ignored;
	char *id = NULL;
	int r = make_changes(c, before, after, changes, err);

	if (r == 0)
		r = kc_route53_change(c->aws, c->zone, "kubecdn", changes, &id, NULL, err);
	if (r < 0)
		return r;
	free(c->change);
	c->change = id;
	/* A change of other records tells nothing of which checks are in use. What is left over
	 * costs a little; the next change sees to it. */
	if (has_check(before) || has_check(after))
		r53_checks_sweep(&c->checks, after, json_array_size(after) == 0, &ignored);
	return 0;
}

static int r53_set_ns(void *conn, const json_t *before, const json_t *after, struct kc_err *err)
{
	json_auto_t *from = kc_pack("[O]", before), *to = kc_pack("[O]", after);

	return r53_change(conn, NULL, from, to, err);
}

static int r53_settled(void *conn, struct kc_err *err)
{
	struct conn *c = conn;

	return c->change ? kc_route53_change_done(c->aws, c->change, err) : 0;
}

/* TestDNSAnswer: the first bits of the subnet's address are sent along, as a resolver does. */
static int r53_says(void *conn, const char *name, const char *type, const char *subnet,
		    json_t **ret_data, struct kc_err *err)
{
	struct conn *c = conn;
	_cleanup_free_ char *address = xstrndup(subnet, strcspn(subnet, "/"));
	const char *slash = strchr(subnet, '/');
	struct kc_route53_question q = { .name = name, .type = type, .subnet = address };
	json_auto_t *reply = NULL;
	long bits = 0;
	int r = find_zone(c, err);

	if (r < 0)
		return r;
	if (!slash || !kc_parse_long(slash + 1, 0, 128, &bits))
		return kc_fail(err, KC_EINVAL, "\"%s\" is no subnet", subnet);
	q.zone = c->zone;
	q.bits = (int)bits;
	r = kc_route53_test(c->aws, &q, &reply, err);
	if (r == 0)
		*ret_data = json_incref(json_object_get(reply, "data"));
	return r;
}

static const char *const needs[] = { NULL };
static const char *const takes[] = { "zoneId", "endpoint", NULL };
static const char *const types[] = { "A", "AAAA", "CNAME", NULL };

const struct kc_dns_backend kc_dns_route53 = {
	.name = "route53",
	.needs = needs,
	.takes = takes,
	.types = types,
	.traits = &r53_traits,
	.cloud = "aws",
	.lower = r53_lower,
	.raise = r53_raise,
	.open = r53_open,
	.close = r53_close,
	.where = r53_where,
	.servers = r53_servers,
	.read = r53_read,
	.scan = r53_scan,
	.links = r53_links,
	.batch = BATCH,
	.change = r53_change,
	.set_ns = r53_set_ns,
	.settled = r53_settled,
	.says = r53_says,
};
