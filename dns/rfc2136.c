/* Servers of your own that take dynamic updates: Knot, BIND, PowerDNS. RFC 2136 and RFC 8945. */
#include <stdlib.h>
#include <string.h>

#include "dns/backend.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"

enum { SECRET_MAX = 4096 };

struct conn {
	struct kc_dns_server server;
	struct kc_dns_key key;
	char *where, *zone, *key_name, *secret;
};

static int read_secret(const char *path, char **ret, struct kc_err *err)
{
	_cleanup_free_ char *full = kc_expand_home(path);
	_cleanup_wiped_ char *text = NULL;
	size_t len;
	int r = kc_file_read_private(full, SECRET_MAX, &text, &len, err);

	if (r < 0)
		return r;
	while (len && strchr(" \t\r\n", text[len - 1]))
		text[--len] = '\0';
	if (!len || strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				 "0123456789+/=") < len)
		return kc_fail(err, KC_EINVAL,
			       "%s: no TSIG secret; it has to hold the key's secret in base64 and "
			       "nothing else",
			       path);
	*ret = TAKE(text);
	return 0;
}

static void rfc_close(void *conn)
{
	struct conn *c = conn;

	if (!c)
		return;
	free(c->where);
	free(c->zone);
	free(c->key_name);
	kc_free_wiped(c->secret);
	free(c);
}

static int rfc_open(const json_t *publish, const char *zone, void **ret_conn, struct kc_err *err)
{
	const json_t *tsig = json_object_get(publish, "tsig");
	const char *server = kc_json_get_str(publish, "server", "");
	struct conn *c = xcalloc(1, sizeof(*c));
	int r;

	c->server.port = (int)kc_json_get_int(publish, "port", 53);
	c->where = xasprintf("%s port %d", server, c->server.port);
	c->zone = xasprintf("%s.", zone);
	c->key_name = xasprintf("%s.", kc_json_get_str(tsig, "name", ""));
	r = kc_addr_parse(server, &c->server.address)
		    ? read_secret(kc_json_get_str(tsig, "secretFile", ""), &c->secret, err)
		    : kc_fail(err, KC_EINVAL, "no address: %s", server);
	if (r < 0) {
		rfc_close(c);
		return r;
	}
	c->key = (struct kc_dns_key){ .name = c->key_name, .secret = c->secret };
	c->server.key = &c->key;
	*ret_conn = c;
	return 0;
}

static const char *rfc_where(const void *conn)
{
	return ((const struct conn *)conn)->where;
}

static int ask(struct conn *c, const json_t *one, bool tcp, json_t **ret, struct kc_err *err)
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
static int is_there(struct conn *c, const json_t *rrset, bool *ret, struct kc_err *err)
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

/*
 * All deletions before all additions: beside a CNAME nothing else can be added, and a server
 * ignores it without a word (RFC 2136, 3.4.2.2).
 */
static int rfc_change(void *conn, const json_t *which, const json_t *before, const json_t *after,
		      struct kc_err *err)
{
	struct conn *c = conn;
	json_auto_t *prerequisites = json_array(), *changes = json_array(), *adds = json_array();
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)which, i, one) {
		const char *name = kc_json_get_str(one, "name", ""),
			   *type = kc_json_get_str(one, "type", "");
		json_t *was = kc_dns_rrset_find(before, name, type),
		       *is = kc_dns_rrset_find(after, name, type);

		json_array_append_new(prerequisites,
				      was ? kc_pack("{s:s, s:s, s:O}", "name", name, "type", type,
						    "data", json_object_get(was, "data"))
					  : kc_pack("{s:s, s:s, s:b}", "name", name, "type", type,
						    "absent", 1));
		if ((was && is && json_equal(was, is)) || (!was && !is))
			continue;
		if (was)
			json_array_append_new(changes, kc_pack("{s:{s:s, s:s}}", "delete", "name",
							       name, "type", type));
		if (is)
			json_array_append_new(adds, kc_pack("{s:O}", "add", is));
	}
	json_array_extend(changes, adds);
	return kc_dns_update(&c->server, c->zone, prerequisites, changes, err);
}

/* "192.0.2.1 192.0.2.2 (30 s)", "nothing". Owned. */
static char *told(const json_t *rrset)
{
	_cleanup_free_ char *list = NULL;
	const json_t *d;
	size_t i;

	if (!rrset)
		return xstrdup("nothing");
	list = xstrdup("");
	json_array_foreach(json_object_get(rrset, "data"), i, d) {
		_cleanup_free_ char *old = list;

		list = xasprintf("%s%s ", old, json_string_value(d));
	}
	return xasprintf("%s(%lld s)", list, (long long)kc_json_get_int(rrset, "ttl", 0));
}

static int rfc_look(void *conn, const json_t *rrset, struct kc_err *err)
{
	struct conn *c = conn;

	for (int tcp = 0; tcp < 2; tcp++) {
		json_auto_t *served = NULL;
		_cleanup_free_ char *is = NULL, *want = NULL;
		int r = ask(c, rrset, tcp, &served, err);

		if (r < 0)
			return r;
		if (served && json_equal(served, rrset))
			continue;
		is = told(served);
		want = told(rrset);
		return kc_fail(err, KC_EAGAIN, "%s answers %s %s by %s with %s instead of %s",
			       c->where, kc_json_get_str(rrset, "name", ""),
			       kc_json_get_str(rrset, "type", ""), tcp ? "TCP" : "UDP", is, want);
	}
	return 0;
}

const struct kc_dns_backend kc_dns_rfc2136 = {
	.name = "rfc2136",
	.open = rfc_open,
	.close = rfc_close,
	.where = rfc_where,
	.read = rfc_read,
	.change = rfc_change,
	.look = rfc_look,
};
