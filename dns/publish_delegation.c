/* Which servers the zone has at each copy, and which it is to have in its parent. */
#include <stdlib.h>
#include <string.h>

#include "dns/lint.h"
#include "dns/nsset.h"
#include "dns/publish_priv.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"

/* The names at the apex of a copy. */
static int apex_of(struct copy *c, const char *zone, json_t **ret, struct kc_err *err)
{
	json_auto_t *which = kc_pack("[{s:s, s:s}]", "name", zone, "type", "NS"), *rrsets = NULL;
	json_t *data;
	int r = c->backend->read(c->conn, which, &rrsets, err);

	if (r < 0)
		return r;
	data = json_object_get(kc_dns_rrset_find(rrsets, zone, "NS"), "data");
	*ret = data ? json_incref(data) : json_array();
	return 0;
}

/* The provider's own names; a server of one's own is what the apex says it is. */
static int offered_by(struct copy *c, const json_t *apex, json_t **ret, struct kc_err *err)
{
	json_auto_t *servers = NULL, *names = json_array();
	const json_t *s;
	size_t i;
	int r = c->backend->servers(c->conn, &servers, err);

	if (r < 0)
		return r;
	json_array_foreach(servers, i, s)
		if (json_object_get(s, "name")) {
			_cleanup_free_ char *name = kc_lint_name(kc_json_get_str(s, "name", ""));

			json_array_append_new(names, json_string(name));
		}
	*ret = json_array_size(names) ? TAKE(names) : json_incref((json_t *)apex);
	return 0;
}

/* Servers of one's own, whose names only the apex tells? */
static bool is_own(const json_t *copy)
{
	return json_is_true(json_object_get(copy, "own"));
}

/* At the apex of one's own server all names may stand by now: those of clouds, and those of other
 * copies' providers, are not its own. */
static bool is_others(const json_t *copies, const json_t *copy, const char *name)
{
	const json_t *other;
	size_t i;

	json_array_foreach((json_t *)copies, i, other)
		if (other != copy && !is_own(other) &&
		    kc_json_has_str(json_object_get(other, "offered"), name))
			return true;
	return is_own(copy) && kc_lint_cloud(name);
}

static void drop_others(json_t *copies)
{
	json_t *copy, *name;
	size_t i, n;

	json_array_foreach(copies, i, copy) {
		json_t *own = json_array();

		json_array_foreach(json_object_get(copy, "offered"), n, name)
			if (!is_others(copies, copy, json_string_value(name)))
				json_array_append(own, name);
		json_object_set_new(copy, "offered", own);
	}
}

/* Of two servers of one's own that have the same names at their apex nobody knows which is whose:
 * all of them stay, and are counted once. */
static void merge_own(json_t *a, json_t *b)
{
	json_t *left = json_array(), *names = json_object_get(a, "offered"), *name;
	size_t i;

	json_array_foreach(json_object_get(b, "offered"), i, name)
		if (!kc_json_has_str(names, json_string_value(name)))
			json_array_append(left, name);
	if (json_array_size(left) < json_array_size(json_object_get(b, "offered")))
		for (int k = 0; k < 2; k++) {
			json_object_set_new(k ? b : a, "shared", json_true());
			json_object_set_new(k ? b : a, "fixed", json_true());
			json_object_set_new(k ? b : a, "want", json_integer(0));
		}
	json_object_set_new(b, "offered", left);
}

void publish_tell_apart(json_t *copies)
{
	json_t *a, *b;
	size_t i, k;

	drop_others(copies);
	json_array_foreach(copies, i, a)
		json_array_foreach(copies, k, b)
			if (k > i && is_own(a) && is_own(b))
				merge_own(a, b);
}

char *publish_zone(const struct kc_publish *p)
{
	return xasprintf("%s.", kc_json_get_str(json_object_get(p->policy, "spec"), "zone", ""));
}

int publish_apex(struct copy *c, const char *zone, json_t **ret_apex, json_t **ret_offered,
		 struct kc_err *err)
{
	json_auto_t *apex = NULL;
	int r = apex_of(c, zone, &apex, err);

	if (r == 0)
		r = offered_by(c, apex, ret_offered, err);
	if (r == 0)
		*ret_apex = TAKE(apex);
	return r;
}

int kc_publish_delegation(struct kc_publish *p, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *zone = publish_zone(p);
	json_auto_t *copies = json_array(), *wanted = NULL;
	int r;

	for (size_t i = 0; i < p->n; i++) {
		struct copy *c = &p->copies[i];
		json_auto_t *apex = NULL, *offered = NULL;

		r = publish_apex(c, zone, &apex, &offered, err);
		if (r < 0)
			return kc_wrap(err, "%s", c->backend->where(c->conn));
		json_array_append_new(copies,
				      kc_pack("{s:s, s:s, s:O, s:O, s:b, s:b, s:i, s:I}",
					      "provider", c->backend->name, "where",
					      c->backend->where(c->conn), "offered", offered,
					      "apex", apex, "own", !c->backend->cloud, "fixed",
					      (int)c->backend->ns_fixed, "most",
					      c->backend->ns_most, "want",
					      (json_int_t)kc_json_get_int(c->publish, "ns", 0)));
	}
	publish_tell_apart(copies);
	r = kc_nsset_solve(copies, &wanted, err);
	if (r < 0)
		return r;
	*ret = kc_pack("{s:s, s:O, s:O}", "zone", zone, "wanted", wanted, "copies", copies);
	return 0;
}
