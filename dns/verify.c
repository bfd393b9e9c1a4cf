/* Asking every server what clients get. */
#include "dns/verify.h"

#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"

enum { PORT = 53, WHERE_MAX = 100 };

struct wanted {
	const json_t *wanted, *allowed, *subnets;
};

struct looking {
	struct kc_dns_server server;
	const char *where;
	const json_t *allowed, *subnets;
};

/* "192.0.2.1 192.0.2.2 (30 s)", "nothing". Owned. */
static char *told(const json_t *rrset)
{
	_cleanup_buf_ struct kc_buf text = { 0 };
	const json_t *d;
	size_t i;

	if (!rrset)
		return xstrdup("nothing");
	json_array_foreach(json_object_get(rrset, "data"), i, d)
		kc_buf_printf(&text, "%s ", json_string_value(d));
	kc_buf_printf(&text, "(%lld s)", (long long)kc_json_get_int(rrset, "ttl", 0));
	return kc_buf_steal(&text);
}

static bool is_among(const json_t *served, const json_t *allowed)
{
	const json_t *d;
	size_t i;

	json_array_foreach(json_object_get(served, "data"), i, d)
		if (!kc_json_has_str(json_object_get(allowed, "data"), json_string_value(d)))
			return false;
	return kc_json_get_int(served, "ttl", 0) <= kc_json_get_int(allowed, "ttl", 0);
}

int verify_ask(const struct kc_dns_server *server, const char *where,
	       const struct kc_dns_question *q, json_t **ret, struct kc_err *err)
{
	json_auto_t *reply = NULL;
	const char *rcode;
	int r = kc_dns_ask(server, q, &reply, err);

	if (r < 0)
		return r;
	rcode = kc_json_get_str(reply, "rcode", "");
	if (!streq(rcode, "NOERROR") && !streq(rcode, "NXDOMAIN"))
		return kc_fail(err, KC_EAGAIN, "%s: %s %s: %s; does this server have the zone?",
			       where, q->name, q->type, rcode);
	if (!kc_json_get_bool(reply, "aa", false))
		return kc_fail(err, KC_EAGAIN,
			       "%s: not an authoritative answer for %s; does this server have the "
			       "zone?",
			       where, q->name);
	*ret = TAKE(reply);
	return 0;
}

static int ask(const struct looking *l, const json_t *rrset, const char *subnet, bool tcp,
	       json_t **ret, struct kc_err *err)
{
	struct kc_dns_question q = { .name = kc_json_get_str(rrset, "name", ""),
				     .type = kc_json_get_str(rrset, "type", ""),
				     .subnet = subnet,
				     .tcp = tcp };
	json_auto_t *reply = NULL;
	int r = verify_ask(&l->server, l->where, &q, &reply, err);

	if (r == 0)
		*ret = json_incref(
			kc_dns_rrset_find(json_object_get(reply, "answer"), q.name, q.type));
	return r;
}

static int look_once(const struct looking *l, const json_t *rrset, bool chosen, const char *subnet,
		     bool tcp, struct kc_err *err)
{
	json_auto_t *served = NULL;
	_cleanup_free_ char *is = NULL, *want = NULL;
	int r = ask(l, rrset, subnet, tcp, &served, err);

	if (r < 0)
		return r;
	if (served && (chosen ? is_among(served, rrset) : json_equal(served, rrset)))
		return 0;
	is = told(served);
	want = told(rrset);
	return kc_fail(err, KC_EAGAIN, "%s answers %s %s by %s%s%s with %s instead of %s%s",
		       l->where, kc_json_get_str(rrset, "name", ""),
		       kc_json_get_str(rrset, "type", ""), tcp ? "TCP" : "UDP",
		       subnet ? " from " : "", subnet ? subnet : "", is, chosen ? "some of " : "",
		       want);
}

static int look_rrset(const struct looking *l, const json_t *rrset, bool chosen, struct kc_err *err)
{
	const json_t *subnet;
	size_t i;
	int r = look_once(l, rrset, chosen, NULL, false, err);

	if (r == 0)
		r = look_once(l, rrset, chosen, NULL, true, err);
	if (chosen)
		json_array_foreach((json_t *)l->subnets, i, subnet)
			if (r == 0)
				r = look_once(l, rrset, chosen, json_string_value(subnet), false,
					      err);
	return r;
}

static bool is_plain(const json_t *rrset)
{
	return json_object_get(rrset, "data") && !streq(kc_json_get_str(rrset, "type", ""), "LUA");
}

static int look_server(const struct looking *l, const json_t *wanted, struct kc_err *err)
{
	const json_t *rrset;
	size_t i;
	int r = 0;

	json_array_foreach((json_t *)wanted, i, rrset)
		if (r == 0 && is_plain(rrset))
			r = look_rrset(l, rrset, false, err);
	json_array_foreach((json_t *)l->allowed, i, rrset) {
		const char *name = kc_json_get_str(rrset, "name", "");
		const json_t *chosen =
			kc_dns_rrset_find(wanted, name, kc_json_get_str(rrset, "type", ""));

		/* One LUA record answers for every type. */
		if (!chosen)
			chosen = kc_dns_rrset_find(wanted, name, "LUA");
		if (r == 0 && chosen && !is_plain(chosen))
			r = look_rrset(l, rrset, true, err);
	}
	return r;
}

/* --- which servers there are */

struct visit {
	kc_dns_visit *visit;
	void *cookie;
};

static int visit(const struct visit *v, const char *name, const struct kc_addr *address, int port,
		 struct kc_err *err)
{
	struct kc_dns_server server = { .address = *address, .port = port };
	char text[KC_ADDR_STRLEN], where[WHERE_MAX];

	kc_addr_format(address, text);
	if (name)
		snprintf(where, sizeof(where), "%.40s (%s)", name, text);
	else
		snprintf(where, sizeof(where), "%s port %d", text, port);
	return v->visit(v->cookie, &server, where, err);
}

/* All of a name server's addresses that this machine has a way to. */
static int visit_name(const struct visit *v, const char *name, struct kc_err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG }, *list, *a;
	int code = getaddrinfo(name, "53", &hints, &list), r = 0;

	if (code)
		return kc_fail(err, KC_EAGAIN, "the name server %s is not found: %s", name,
			       gai_strerror(code));
	for (a = list; a && r == 0; a = a->ai_next) {
		char text[KC_ADDR_STRLEN] = "";
		struct kc_addr address;

		if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0,
				NI_NUMERICHOST) != 0 ||
		    !kc_addr_parse(text, &address))
			continue;
		r = visit(v, name, &address, PORT, err);
	}
	freeaddrinfo(list);
	return r;
}

int kc_dns_servers_visit(const json_t *servers, kc_dns_visit *each, void *cookie,
			 struct kc_err *err)
{
	const struct visit v = { .visit = each, .cookie = cookie };
	const json_t *s;
	size_t i;

	json_array_foreach((json_t *)servers, i, s) {
		const char *name = kc_json_get_str(s, "name", NULL);
		struct kc_addr address;
		int r;

		if (name)
			r = visit_name(&v, name, err);
		else if (kc_addr_parse(kc_json_get_str(s, "address", ""), &address))
			r = visit(&v, NULL, &address, (int)kc_json_get_int(s, "port", PORT), err);
		else
			r = kc_fail(err, KC_EINVAL, "a name server without name and address");
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- one policy at all of them */

static int look_at(void *cookie, const struct kc_dns_server *server, const char *where,
		   struct kc_err *err)
{
	const struct wanted *w = cookie;
	struct looking l = {
		.server = *server, .where = where, .allowed = w->allowed, .subnets = w->subnets
	};

	return look_server(&l, w->wanted, err);
}

int kc_dns_look(const json_t *servers, const json_t *wanted, const json_t *allowed,
		const json_t *subnets, struct kc_err *err)
{
	struct wanted w = { .wanted = wanted, .allowed = allowed, .subnets = subnets };

	return kc_dns_servers_visit(servers, look_at, &w, err);
}
