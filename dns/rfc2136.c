/* Servers of your own that take dynamic updates: Knot, BIND, PowerDNS. RFC 2136 and RFC 8945. */
#include <stdlib.h>
#include <string.h>

#include "dns/backend.h"
#include "dns/update.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"

static int rfc_open(const json_t *publish, const char *zone, const char *owner, void **ret_conn,
		    struct kc_err *err)
{
	struct primary *p = xcalloc(1, sizeof(*p));
	int r = primary_open(publish, zone, p, err);

	if (r < 0) {
		primary_done(p);
		free(p);
		return r;
	}
	*ret_conn = p;
	return 0;
}

static void rfc_close(void *conn)
{
	if (!conn)
		return;
	primary_done(conn);
	free(conn);
}

static const char *rfc_where(const void *conn)
{
	return ((const struct primary *)conn)->where;
}

static int rfc_servers(void *conn, json_t **ret, struct kc_err *err)
{
	*ret = primary_servers(conn);
	return 0;
}

static int rfc_change(void *conn, const json_t *which, const json_t *before, const json_t *after,
		      struct kc_err *err)
{
	return primary_change(conn, which, before, after, err);
}

static int ask(struct primary *c, const json_t *one, bool tcp, json_t **ret, struct kc_err *err)
{
	struct kc_dns_question q = { .name = kc_json_get_str(one, "name", ""),
				     .type = kc_json_get_str(one, "type", ""),
				     .tcp = tcp };
	json_auto_t *reply = NULL;
	const char *rcode;
	int r = kc_dns_ask(&c->server, &q, &reply, err);

	if (r < 0)
		return r;
	rcode = kc_json_get_str(reply, "rcode", "");
	if (!streq(rcode, "NOERROR") && !streq(rcode, "NXDOMAIN"))
		return kc_fail(err, streq(rcode, "REFUSED") ? KC_ENOTFOUND : KC_EFAIL,
			       "%s: %s %s: %s; does this server have the zone %s?", c->where,
			       q.name, q.type, rcode, c->zone);
	if (!kc_json_get_bool(reply, "aa", false))
		return kc_fail(err, KC_ENOTFOUND,
			       "%s: not an authoritative answer for %s; does this server have the "
			       "zone %s?",
			       c->where, q.name, c->zone);
	*ret = json_incref(kc_dns_rrset_find(json_object_get(reply, "answer"), q.name, q.type));
	return 0;
}

/*
 * A wildcard's answer looks like any other; whether the rrset itself is there only a prerequisite
 * tells. An update that changes nothing asks it.
 */
static int is_there(struct primary *c, const json_t *rrset, bool *ret, struct kc_err *err)
{
	json_auto_t *absent = kc_pack("[{s:O, s:O, s:b}]", "name", json_object_get(rrset, "name"),
				      "type", json_object_get(rrset, "type"), "absent", 1);
	json_auto_t *nothing = json_array();
	int r = kc_dns_update(&c->server, c->zone, absent, nothing, err);

	if (r < 0 && r != KC_ECONFLICT)
		return r;
	*ret = r == KC_ECONFLICT;
	return 0;
}

static int rfc_read(void *conn, const json_t *which, json_t **ret_rrsets, struct kc_err *err)
{
	json_auto_t *found = json_array();
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)which, i, one) {
		json_auto_t *rrset = NULL;
		bool there = false;
		int r = ask(conn, one, true, &rrset, err);

		if (r == 0 && rrset)
			r = is_there(conn, rrset, &there, err);
		if (r < 0)
			return r;
		if (there)
			json_array_append(found, rrset);
	}
	*ret_rrsets = TAKE(found);
	return 0;
}

/* What plain records make of a stage. */
static const char *loss_of(const char *stage)
{
	static const struct {
		const char *stage, *loss;
	} losses[] = {
		{ "healthy",
		  "dead ones too, for as long as they stand in the zone; failover.within is not "
		  "kept" },
		{ "rank", "near and far" },
		{ "spread", "and takes any of them alike" },
		{ "take", "however many they are" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(losses); i++)
		if (streq(losses[i].stage, stage))
			return losses[i].loss;
	return "whatever the policy says";
}

static int rfc_lower(const json_t *publish, const json_t *ir, json_t *rrsets, json_t *fidelity,
		     struct kc_err *err)
{
	size_t many = json_array_size(json_object_get(ir, "endpoints"));
	json_auto_t *stages = kc_ir_stages(ir);
	const json_t *stage;
	size_t i;

	if (json_array_size(json_object_get(ir, "fence")))
		return kc_fail(err, KC_EINVAL,
			       "plain records cannot keep clients to some endpoints, as spec.fence "
			       "asks; publish this policy elsewhere, or take the fence out");
	json_array_foreach(stages, i, stage)
		kc_fidelity(fidelity, json_string_value(stage), "approximated",
			    "plain records: every client gets all addresses, %s",
			    loss_of(json_string_value(stage)));
	if (!json_array_size(stages) && many > 1)
		kc_fidelity(fidelity, "spread", "exact", "every client gets all addresses");
	kc_ir_plain(ir, rrsets);
	return 0;
}

static const char *const needs[] = { "server", "tsig", NULL };
static const char *const takes[] = { "port", NULL };
static const char *const types[] = { "A", "AAAA", "CNAME", NULL };
static const struct kc_dns_traits traits = { 0 };

const struct kc_dns_backend kc_dns_rfc2136 = {
	.name = "rfc2136",
	.needs = needs,
	.takes = takes,
	.types = types,
	.traits = &traits,
	.lower = rfc_lower,
	.open = rfc_open,
	.close = rfc_close,
	.where = rfc_where,
	.servers = rfc_servers,
	.read = rfc_read,
	.change = rfc_change,
};
