/* Which servers the zone has at each copy, and which it is to have in its parent. */
#include <stdlib.h>
#include <string.h>

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
		if (json_object_get(s, "name"))
			json_array_append(names, json_object_get(s, "name"));
	*ret = json_array_size(names) ? TAKE(names) : json_incref((json_t *)apex);
	return 0;
}

/* Names that another copy's provider offers are that one's, whatever apex they stand at. */
static void drop_shared(json_t *copies)
{
	json_t *a, *b, *name;
	size_t i, k, n;

	json_array_foreach(copies, i, a) {
		json_t *own = json_array();

		json_array_foreach(json_object_get(a, "offered"), n, name) {
			bool other = false;

			json_array_foreach(copies, k, b)
				other = other || (k != i &&
						  !json_equal(json_object_get(b, "offered"),
							      json_object_get(b, "apex")) &&
						  kc_json_has_str(json_object_get(b, "offered"),
								  json_string_value(name)));
			if (!other)
				json_array_append(own, name);
		}
		json_object_set_new(a, "offered", own);
	}
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
			return kc_wrap(err, "%s", c->backend->name);
		json_array_append_new(copies,
				      kc_pack("{s:s, s:s, s:O, s:O, s:b, s:i, s:I}", "provider",
					      c->backend->name, "where", c->backend->where(c->conn),
					      "offered", offered, "apex", apex, "fixed",
					      (int)c->backend->ns_fixed, "most",
					      c->backend->ns_most, "want",
					      (json_int_t)kc_json_get_int(c->publish, "ns", 0)));
	}
	drop_shared(copies);
	r = kc_nsset_solve(copies, &wanted, err);
	if (r < 0)
		return r;
	*ret = kc_pack("{s:s, s:O, s:O}", "zone", zone, "wanted", wanted, "copies", copies);
	return 0;
}
