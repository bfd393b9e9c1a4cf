/* Servers of your own that take dynamic updates: Knot, BIND, PowerDNS. RFC 2136 and RFC 8945. */
#include <stdlib.h>
#include <string.h>

#include "dns/backend.h"
#include "dns/claims.h"
#include "dns/policy.h"
#include "dns/update.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"

/* PART: names that are asked for, and held, at a time. */
enum { BATCH = 500, PART = 500 };

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

static int rfc_set_ns(void *conn, const json_t *before, const json_t *after, struct kc_err *err)
{
	return primary_set_ns(conn, before, after, err);
}

/* Is it the answer of a server that has the zone? */
static int check_reply(const struct primary *c, const char *name, const char *type,
		       const json_t *reply, struct kc_err *err)
{
	const char *rcode = kc_json_get_str(reply, "rcode", "");

	if (!streq(rcode, "NOERROR") && !streq(rcode, "NXDOMAIN"))
		return kc_fail(err, streq(rcode, "REFUSED") ? KC_ENOTFOUND : KC_EFAIL,
			       "%s: %s %s: %s; does this server have the zone %s?", c->where, name,
			       type, rcode, c->zone);
	if (!kc_json_get_bool(reply, "aa", false))
		return kc_fail(err, KC_ENOTFOUND,
			       "%s: not an authoritative answer for %s; does this server have the "
			       "zone %s?",
			       c->where, name, c->zone);
	return 0;
}

static int ask(struct primary *c, const json_t *one, bool tcp, json_t **ret, struct kc_err *err)
{
	struct kc_dns_question q = { .name = kc_json_get_str(one, "name", ""),
				     .type = kc_json_get_str(one, "type", ""),
				     .tcp = tcp };
	json_auto_t *reply = NULL;
	int r = kc_dns_ask(&c->server, &q, &reply, err);

	if (r == 0)
		r = check_reply(c, q.name, q.type, reply, err);
	if (r < 0)
		return r;
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

/* --- many names */

/*
 * A part of the names: three questions each. What comes in answer may be a wildcard's; where there
 * is none beside the name it is not.
 */
struct scanning {
	struct primary *c;
	struct kc_dns_query *q;
	json_t *rrsets;	   /* what was answered */
	json_t *wildcards; /* {"*.example.com.": is it there?} */
	int r;
	struct kc_err *err;
};

static void keep(void *cookie, size_t i, const json_t *reply)
{
	struct scanning *s = cookie;
	const struct kc_dns_query *q = &s->q[i];
	const json_t *answer = json_object_get(reply, "answer");
	json_t *rrset = kc_dns_rrset_find(answer, q->name, q->type),
	       *alias = kc_dns_rrset_find(answer, q->name, "CNAME");

	if (s->r == 0)
		s->r = check_reply(s->c, q->name, q->type, reply, s->err);
	if (rrset)
		json_array_append(s->rrsets, rrset);
	if (alias && streq(q->type, "A"))
		json_array_append(s->rrsets, alias);
}

static int ask_many(struct scanning *s, size_t n, struct kc_err *err)
{
	int r;

	s->r = 0;
	s->err = err;
	json_array_clear(s->rrsets);
	r = kc_dns_ask_many(&s->c->server, true, s->q, n, keep, s, err);
	return r < 0 ? r : s->r;
}

/* Does a wildcard answer beside name? One for which there is none is not made by another. */
static int has_wildcard(struct scanning *s, const char *name, bool *ret, struct kc_err *err)
{
	static const char *const types[] = { "A", "AAAA", "TXT" };
	_cleanup_free_ char *at = xasprintf("*%s", name + strcspn(name, "."));
	const json_t *known = json_object_get(s->wildcards, at);

	for (size_t i = 0; !known && i < ARRAY_SIZE(types); i++) {
		json_auto_t *reply = NULL;
		struct kc_dns_question q = { .name = at, .type = types[i], .tcp = true };
		int r = kc_dns_ask(&s->c->server, &q, &reply, err);

		if (r < 0)
			return r;
		json_object_set_new(s->wildcards, at,
				    json_boolean(
					    json_array_size(json_object_get(reply, "answer"))));
		if (json_is_true(json_object_get(s->wildcards, at)))
			break;
	}
	*ret = json_is_true(json_object_get(s->wildcards, at));
	return 0;
}

/* Only what may be otherwise is asked for by a prerequisite: all beside a wildcard, and text that
 * is nobody's mark, since that could be a wildcard's below the name. */
static int is_real(struct scanning *s, const json_t *rrset, bool *ret, struct kc_err *err)
{
	const char *name = kc_json_get_str(rrset, "name", "");
	const json_t *data = json_object_get(rrset, "data");
	bool beside =
		kc_startswith(name, "_kc.") && streq(kc_json_get_str(rrset, "type", ""), "TXT");
	_cleanup_free_ char *owner = NULL;
	int r = has_wildcard(s, beside ? name + strlen("_kc.") : name, ret, err);

	if (r < 0)
		return r;
	if (beside)
		owner = kc_policy_mark_owner(json_string_value(json_array_get(data, 0)));
	if (*ret || (beside && !owner))
		return is_there(s->c, rrset, ret, err);
	*ret = true;
	return 0;
}

static int tell(const json_t *rrset, kc_dns_found_fn *found, void *cookie, struct kc_err *err)
{
	const json_t *data = json_object_get(rrset, "data");
	struct kc_dns_found f = { .name = kc_json_get_str(rrset, "name", ""),
				  .type = kc_json_get_str(rrset, "type", ""),
				  .ttl = kc_json_get_int(rrset, "ttl", 0),
				  .n = json_array_size(data) };
	_cleanup_free_ const char **text = xcalloc(f.n + 1, sizeof(*text));

	for (size_t i = 0; i < f.n; i++)
		text[i] = json_string_value(json_array_get(data, i));
	f.data = text;
	return found(cookie, &f, err);
}

static int scan_part(struct scanning *s, const char *const *names, size_t n, kc_dns_found_fn *found,
		     void *cookie, struct kc_err *err)
{
	_cleanup_free_ char **beside = xcalloc(n + 1, sizeof(*beside));
	const json_t *rrset;
	size_t i;
	int r;

	for (i = 0; i < n; i++) {
		beside[i] = kc_claim_name(names[i], NULL);
		s->q[3 * i] = (struct kc_dns_query){ names[i], "A" };
		s->q[3 * i + 1] = (struct kc_dns_query){ names[i], "AAAA" };
		s->q[3 * i + 2] = (struct kc_dns_query){ beside[i], "TXT" };
	}
	r = ask_many(s, 3 * n, err);
	json_array_foreach(s->rrsets, i, rrset) {
		bool real = false;

		if (r == 0)
			r = is_real(s, rrset, &real, err);
		if (r == 0 && real)
			r = tell(rrset, found, cookie, err);
	}
	for (i = 0; i < n; i++)
		free(beside[i]);
	return r;
}

static int rfc_scan(void *conn, const char *const *names, size_t n, kc_dns_found_fn *found,
		    void *cookie, struct kc_err *err)
{
	_cleanup_free_ struct kc_dns_query *q = xcalloc(PART, 3 * sizeof(*q));
	json_auto_t *rrsets = json_array(), *wildcards = json_object();
	struct scanning s = { .c = conn, .q = q, .rrsets = rrsets, .wildcards = wildcards };
	int r = 0;

	for (size_t at = 0; at < n && r == 0; at += PART)
		r = scan_part(&s, names + at, n - at < PART ? n - at : PART, found, cookie, err);
	return r;
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
	.scan = rfc_scan,
	.batch = BATCH,
	.change = rfc_change,
	.set_ns = rfc_set_ns,
};
