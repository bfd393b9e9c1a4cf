/*
 * Cloud DNS: a change whose deletions are rrsets exactly as they were read is compare-and-swap.
 * What is depended on and stays (the mark, the claims) is deleted and added as it is, for the same
 * reason. All regions share one rrset of a name and type, so two at once always meet.
 */
#include <stdlib.h>
#include <string.h>

#include "dns/backend.h"
#include "dns/lint.h"
#include "dns/clouddns.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "lib/net/dns.h"

/*
 * Of one change: rrsetAdditionsPerChange (as many deletions), totalRrdataSizePerChange on
 * docs.cloud.google.com/dns/quotas. BATCH: of names with addresses and a mark each.
 */
enum { CHANGES = 1000, CHANGE_BYTES = 100000, BATCH = 200 };

struct conn {
	struct kc_gcp *gcp;
	char *project, *zone, *zone_name, *owner, *where;
	json_t *servers; /* of the zone; NULL: not looked at yet */
	bool is_signed;
	/* {"NAME TYPE": {"ours": an rrset, "theirs": the API's}} as last read or written: what a
	 * deletion has to repeat. */
	json_t *as_is;
	char *change; /* the last one's ID */
	/* The last change was of checks that may not be needed any more; all of them. */
	bool sweep, sweep_all;
	struct cdns_checks checks;
};

static void cdns_close(void *conn)
{
	struct conn *c = conn;

	if (!c)
		return;
	cdns_checks_done(&c->checks);
	kc_gcp_close(c->gcp);
	free(c->project);
	free(c->zone);
	free(c->zone_name);
	free(c->owner);
	free(c->where);
	json_decref(c->servers);
	json_decref(c->as_is);
	free(c->change);
	free(c);
}

static int cdns_open(const json_t *publish, const char *zone, const char *owner, void **ret_conn,
		     struct kc_err *err)
{
	const char *endpoint = kc_json_get_str(publish, "endpoint", NULL);
	struct kc_gcp_conf conf = {
		.endpoint = { [KC_GCP_DNS] = endpoint, [KC_GCP_COMPUTE] = endpoint }
	};
	struct conn *c = xcalloc(1, sizeof(*c));
	int r = kc_gcp_open(&conf, &c->gcp, err);

	if (r < 0) {
		cdns_close(c);
		return r;
	}
	c->project = xstrdup(kc_json_get_str(publish, "project", ""));
	c->zone = xstrdup(kc_json_get_str(publish, "managedZone", ""));
	c->zone_name = xasprintf("%s.", zone);
	c->owner = xstrdup(owner);
	c->where = xasprintf("zone %s in %s", c->zone, c->project);
	c->as_is = json_object();
	c->checks.gcp = c->gcp;
	c->checks.project = c->project;
	*ret_conn = c;
	return 0;
}

static const char *cdns_where(const void *conn)
{
	return ((const struct conn *)conn)->where;
}

/* Is it the zone that it is taken for? */
static int look_at_zone(struct conn *c, struct kc_err *err)
{
	json_auto_t *zone = NULL;
	const json_t *ns;
	const char *state;
	size_t i;
	int r = c->servers ? 0 : kc_clouddns_zone(c->gcp, c->project, c->zone, &zone, err);

	if (r < 0 || c->servers)
		return r;
	if (!streq(kc_json_get_str(zone, "dnsName", ""), c->zone_name))
		return kc_fail(err, KC_EINVAL, "managedZone %s has the name %s, not %s", c->zone,
			       kc_json_get_str(zone, "dnsName", "?"), c->zone_name);
	if (streq(kc_json_get_str(zone, "visibility", "public"), "private"))
		return kc_fail(err, KC_EINVAL,
			       "managedZone %s is private: only networks of Google's are answered",
			       c->zone);
	state = kc_json_get_str(json_object_get(zone, "dnssecConfig"), "state", "off");
	c->is_signed = !streq(state, "off");
	c->servers = json_array();
	json_array_foreach(json_object_get(zone, "nameServers"), i, ns)
		if (json_is_string(ns))
			json_array_append_new(c->servers, kc_pack("{s:O}", "name", ns));
	return 0;
}

static int cdns_servers(void *conn, json_t **ret, struct kc_err *err)
{
	struct conn *c = conn;
	int r = look_at_zone(c, err);

	if (r == 0)
		*ret = json_incref(c->servers);
	return r;
}

/* --- reading */

/* By the name that is steered, so that policies do not take each other's. */
static void name_checks(struct conn *c, const char *name)
{
	_cleanup_free_ char *text = xasprintf("%s\n%s", c->owner, name);
	char hash[KC_SHA256_HEX];

	if (c->checks.prefix)
		return;
	kc_sha256(text, strlen(text), hash);
	c->checks.prefix = xasprintf("kc-%.16s-", hash);
	c->checks.about = xasprintf("kubecdn: %s of %s", name, c->owner);
}

static char *key_of(const json_t *rrset)
{
	return xasprintf("%s %s", kc_json_get_str(rrset, "name", ""),
			 kc_json_get_str(rrset, "type", ""));
}

static void remember(struct conn *c, const json_t *ours, const json_t *theirs)
{
	_cleanup_free_ char *key = key_of(ours);

	json_object_set_new(c->as_is, key, kc_pack("{s:O, s:O}", "ours", ours, "theirs", theirs));
}

static int policy_of(struct conn *c, const json_t *theirs, json_t **ret, struct kc_err *err)
{
	json_auto_t *policy = cdns_canonical(theirs);
	const char *url = kc_json_get_str(policy, "healthCheck", NULL);
	json_t *check;
	int r = url ? cdns_check_of(&c->checks, url, &check, err) : 0;

	if (r < 0)
		return r;
	if (url) {
		json_object_del(policy, "healthCheck");
		json_object_set_new(policy, "check", check);
	}
	*ret = TAKE(policy);
	return 0;
}

static int data_of(const json_t *theirs, json_t **ret, struct kc_err *err)
{
	json_auto_t *data = json_deep_copy(json_object_get(theirs, "rrdatas"));
	const json_t *v;
	size_t i;

	json_array_foreach(data, i, v)
		if (!json_is_string(v))
			break;
	if (!json_array_size(data) || i < json_array_size(data))
		return kc_fail(err, KC_EFAIL, "%s %s in the reply has neither rrdatas nor a policy",
			       kc_json_get_str(theirs, "name", "?"),
			       kc_json_get_str(theirs, "type", "?"));
	kc_json_sort(data);
	*ret = TAKE(data);
	return 0;
}

/* An rrset of the API's as one of ours. */
static int add_rrset(struct conn *c, const json_t *theirs, json_t *found, struct kc_err *err)
{
	const json_t *policy = json_object_get(theirs, "routingPolicy");
	json_auto_t *ours = NULL;
	json_t *v = NULL;
	int64_t ttl;
	int r = kc_json_int(theirs, "an rrset", "ttl", &ttl, err);

	if (r == 0)
		r = json_is_object(policy) ? policy_of(c, policy, &v, err)
					   : data_of(theirs, &v, err);
	if (r < 0)
		return r;
	ours = kc_pack("{s:O, s:O, s:I, s:o}", "name", json_object_get(theirs, "name"), "type",
		       json_object_get(theirs, "type"), "ttl", (json_int_t)ttl,
		       json_is_object(policy) ? "policy" : "data", v);
	remember(c, ours, theirs);
	json_array_append(found, ours);
	return 0;
}

/* All of which that stand at one name. */
static int read_name(struct conn *c, const char *name, const json_t *which, json_t *found,
		     struct kc_err *err)
{
	json_auto_t *list = NULL;
	const json_t *one, *theirs;
	size_t i, k;
	int r = kc_clouddns_rrsets(c->gcp, c->project, c->zone, name, NULL, &list, err);

	if (r < 0)
		return r;
	json_array_foreach((json_t *)which, i, one) {
		if (!streq(kc_json_get_str(one, "name", ""), name))
			continue;
		json_array_foreach(list, k, theirs)
			if (r == 0 &&
			    json_equal(json_object_get(theirs, "name"),
				       json_object_get(one, "name")) &&
			    json_equal(json_object_get(theirs, "type"),
				       json_object_get(one, "type")))
				r = add_rrset(c, theirs, found, err);
	}
	return r;
}

static int cdns_read(void *conn, const json_t *which, json_t **ret_rrsets, struct kc_err *err)
{
	struct conn *c = conn;
	json_auto_t *found = json_array(), *was = TAKE(c->as_is);
	const char *last = "";
	const json_t *one;
	size_t i;
	int r = look_at_zone(c, err);

	name_checks(c, kc_json_get_str(json_array_get(which, 0), "name", ""));
	json_decref(TAKE(c->checks.all));
	c->as_is = json_object();
	/* Types of one name come one after the other. */
	json_array_foreach((json_t *)which, i, one) {
		const char *name = kc_json_get_str(one, "name", "");

		if (r == 0 && !streq(name, last))
			r = read_name(c, name, which, found, err);
		last = name;
	}
	if (r < 0) {
		json_decref(c->as_is);
		c->as_is = TAKE(was);
		return r;
	}
	*ret_rrsets = TAKE(found);
	return 0;
}

/* One rrset of a whole zone. What a deletion could not be made of again is remembered. */
static int scan_rrset(struct conn *c, const json_t *theirs, kc_dns_found_fn *found, void *cookie,
		      struct kc_err *err)
{
	bool plain = !json_is_object(json_object_get(theirs, "routingPolicy"));
	struct kc_dns_found f = { .name = kc_json_get_str(theirs, "name", ""),
				  .type = kc_json_get_str(theirs, "type", "") };
	json_auto_t *data = NULL, *ours = NULL;
	_cleanup_free_ const char **text = NULL;
	int r = kc_json_int(theirs, "an rrset", "ttl", &f.ttl, err);

	if (r == 0 && plain)
		r = data_of(theirs, &data, err);
	if (r < 0)
		return r;
	f.n = json_array_size(data);
	text = xcalloc(f.n + 1, sizeof(*text));
	for (size_t i = 0; i < f.n; i++)
		text[i] = json_string_value(json_array_get(data, i));
	f.data = plain ? text : NULL;
	ours = kc_pack("{s:s, s:s, s:I, s:O*}", "name", f.name, "type", f.type, "ttl",
		       (json_int_t)f.ttl, "data", data);
	if (plain && !json_equal(data, json_object_get(theirs, "rrdatas")))
		remember(c, ours, theirs);
	return found(cookie, &f, err);
}

static int cdns_scan(void *conn, const char *const *names, size_t n, kc_dns_found_fn *found,
		     void *cookie, struct kc_err *err)
{
	struct conn *c = conn;
	json_auto_t *list = NULL;
	const json_t *theirs;
	size_t i;
	int r = look_at_zone(c, err);

	if (r == 0)
		r = kc_clouddns_rrsets(c->gcp, c->project, c->zone, NULL, NULL, &list, err);
	json_array_foreach(list, i, theirs)
		if (r == 0)
			r = scan_rrset(c, theirs, found, cookie, err);
	return r;
}

static int cdns_links(void *conn, json_t **ret, struct kc_err *err)
{
	struct conn *c = conn;
	json_auto_t *list = NULL, *out = json_array();
	const json_t *theirs;
	size_t i;
	int r = look_at_zone(c, err);

	if (r == 0)
		r = kc_clouddns_rrsets(c->gcp, c->project, c->zone, NULL, NULL, &list, err);
	json_array_foreach(list, i, theirs) {
		const char *type = kc_json_get_str(theirs, "type", "");
		json_t *data = NULL;

		if (r < 0 || !kc_lint_is_link(type) ||
		    json_is_object(json_object_get(theirs, "routingPolicy")))
			continue;
		r = data_of(theirs, &data, err);
		if (r == 0)
			json_array_append_new(out, kc_pack("{s:O, s:s, s:o}", "name",
							   json_object_get(theirs, "name"), "type",
							   type, "data", data));
	}
	if (r == 0)
		*ret = TAKE(out);
	return r;
}

/* --- changing */

/* An rrset of ours as the API takes it. */
static int write_rrset(struct conn *c, const json_t *ours, json_t **ret, struct kc_err *err)
{
	json_auto_t *policy = json_deep_copy(json_object_get(ours, "policy")),
		    *data = json_deep_copy(json_object_get(ours, "data"));
	const json_t *check = json_object_get(policy, "check");
	char *url;
	int r = check ? cdns_check_url(&c->checks, check, &url, err) : 0;

	if (r < 0)
		return r;
	if (check) {
		json_object_del(policy, "check");
		json_object_set_new(policy, "healthCheck", json_string(url));
		free(url);
	}
	kc_json_sort(data);
	*ret = kc_pack("{s:O, s:O, s:O, s:O*, s:O*}", "name", json_object_get(ours, "name"), "type",
		       json_object_get(ours, "type"), "ttl", json_object_get(ours, "ttl"),
		       "rrdatas", data, "routingPolicy", policy);
	return 0;
}

/* As it was read or written, if that is what is meant. */
static int repeat_rrset(struct conn *c, const json_t *ours, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *key = key_of(ours);
	const json_t *known = json_object_get(c->as_is, key);
	json_auto_t *in_order = json_deep_copy(ours);

	kc_json_sort(json_object_get(in_order, "data"));
	if (!known || !json_equal(json_object_get(known, "ours"), in_order))
		return write_rrset(c, ours, ret, err);
	*ret = json_incref(json_object_get(known, "theirs"));
	return 0;
}

static json_t *same_place(const json_t *rrsets, const json_t *one)
{
	return kc_dns_rrset_find(rrsets, kc_json_get_str(one, "name", ""),
				 kc_json_get_str(one, "type", ""));
}

/* What stays and is only compared: the mark and the claims. */
static bool guards(const json_t *rrset)
{
	return streq(kc_json_get_str(rrset, "type", ""), "TXT");
}

static int make_change(struct conn *c, const json_t *before, const json_t *after, json_t *deletions,
		       json_t *additions, struct kc_err *err)
{
	const json_t *one;
	size_t i;
	int r;

	json_array_foreach((json_t *)before, i, one) {
		const json_t *is = same_place(after, one);
		bool stays = is && json_equal(one, is);
		json_t *theirs;

		if (stays && !guards(one))
			continue;
		r = repeat_rrset(c, one, &theirs, err);
		if (r < 0)
			return r;
		json_array_append_new(deletions, theirs);
		if (stays)
			json_array_append(additions, theirs);
	}
	json_array_foreach((json_t *)after, i, one) {
		const json_t *was = same_place(before, one);
		json_t *theirs;

		if (was && json_equal(one, was))
			continue;
		r = write_rrset(c, one, &theirs, err);
		if (r < 0)
			return r;
		json_array_append_new(additions, theirs);
	}
	return 0;
}

/* Is there a health check in it, whose ever it is? */
static bool has_check(const json_t *rrsets)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)rrsets, i, one)
		if (kc_json_at(one, "policy.check"))
			return true;
	return false;
}

/* The zone is as in after now. Plain records are written as they are told, every time. */
static void note_change(struct conn *c, const json_t *before, const json_t *after,
			const json_t *additions)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)before, i, one) {
		_cleanup_free_ char *key = key_of(one);

		if (!same_place(after, one) || same_place(additions, one))
			json_object_del(c->as_is, key);
	}
	json_array_foreach((json_t *)additions, i, one)
		if (json_object_get(one, "routingPolicy"))
			remember(c, same_place(after, one), one);
	if (has_check(before) || has_check(after)) {
		c->sweep = true;
		c->sweep_all = json_array_size(after) == 0;
	}
}

static size_t bytes_of(const json_t *rrsets)
{
	const json_t *one, *v;
	size_t sum = 0, i, k;

	json_array_foreach((json_t *)rrsets, i, one)
		json_array_foreach(json_object_get(one, "rrdatas"), k, v)
			sum += json_string_length(v);
	return sum;
}

static int check_size(const json_t *deletions, const json_t *additions, struct kc_err *err)
{
	size_t bytes = bytes_of(deletions) + bytes_of(additions);

	if (json_array_size(deletions) <= CHANGES && json_array_size(additions) <= CHANGES &&
	    bytes <= CHANGE_BYTES)
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "%zu deletions and %zu additions of %zu bytes are too much for one change "
		       "of Cloud DNS, which takes %d of each and %d bytes",
		       json_array_size(deletions), json_array_size(additions), bytes, CHANGES,
		       CHANGE_BYTES);
}

static int cdns_change(void *conn, const json_t *which, const json_t *before, const json_t *after,
		       struct kc_err *err)
{
	struct conn *c = conn;
	json_auto_t *deletions = json_array(), *additions = json_array(), *change = NULL;
	int r = c->is_signed ? cdns_check_signed(after, err) : 0;

	if (r == 0)
		r = make_change(c, before, after, deletions, additions, err);
	if (r == 0)
		r = check_size(deletions, additions, err);
	if (r == 0)
		r = kc_clouddns_change(c->gcp, c->project, c->zone, deletions, additions, &change,
				       err);
	if (r < 0)
		return r;
	note_change(c, before, after, additions);
	free(c->change);
	c->change = xstrdup(kc_json_get_str(change, "id", ""));
	return 0;
}

/* The health checks that the zone has now, by URL. New reference. */
static json_t *used_checks(const struct conn *c)
{
	json_t *out = json_array(), *known;
	const char *key;

	json_object_foreach(c->as_is, key, known) {
		json_t *url = kc_json_at(known, "theirs.routingPolicy.healthCheck");

		if (json_is_string(url))
			json_array_append(out, url);
	}
	return out;
}

static int cdns_set_ns(void *conn, const json_t *before, const json_t *after, struct kc_err *err)
{
	json_auto_t *from = kc_pack("[O]", before), *to = kc_pack("[O]", after);

	return cdns_change(conn, NULL, from, to, err);
}

static int cdns_settled(void *conn, struct kc_err *err)
{
	struct conn *c = conn;
	json_auto_t *change = NULL, *used = NULL;
	struct kc_err ignored;
	int r;

	if (!c->change)
		return 0;
	r = kc_clouddns_change_get(c->gcp, c->project, c->zone, c->change, &change, err);
	if (r < 0)
		return r;
	if (!streq(kc_json_get_str(change, "status", ""), "done"))
		return kc_fail(err, KC_EAGAIN, "change %s is still pending", c->change);
	free(TAKE(c->change));
	/* What is left over costs a little; the next change sees to it. */
	used = used_checks(c);
	if (c->sweep)
		cdns_checks_sweep(&c->checks, used, c->sweep_all, &ignored);
	c->sweep = false;
	return 0;
}

static const char *const needs[] = { "project", "managedZone", NULL };
static const char *const takes[] = { "endpoint", NULL };
static const char *const types[] = { "A", "AAAA", "CNAME", NULL };

const struct kc_dns_backend kc_dns_clouddns = {
	.name = "clouddns",
	.needs = needs,
	.takes = takes,
	.types = types,
	.traits = &cdns_traits,
	.cloud = "gcp",
	.ns_most = 8, /* nameserversPerDelegation: docs.cloud.google.com/dns/quotas */
	.lower = cdns_lower,
	.raise = cdns_raise,
	.open = cdns_open,
	.close = cdns_close,
	.where = cdns_where,
	.servers = cdns_servers,
	.read = cdns_read,
	.scan = cdns_scan,
	.links = cdns_links,
	.batch = BATCH,
	.change = cdns_change,
	.set_ns = cdns_set_ns,
	.settled = cdns_settled,
};
