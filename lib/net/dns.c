/* Questions, updates, signatures. */
#include "lib/net/dns.h"

#include <string.h>
#include <time.h>

#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns_impl.h"

/* UDP_SIZE: what passes everywhere without fragments (DNS flag day 2020). FUDGE: seconds that the
 * clocks of a signer and a server may differ, as RFC 8945 recommends. */
enum { UDP_SIZE = 1232, FUDGE = 300, MAC_FIELD = 3, TIME_FIELD = 1 };

/* --- messages */

/* Family, prefix, scope 0, and as many bytes of the address as the prefix has (RFC 7871, 6). */
static int add_subnet(ldns_pkt *pkt, const char *text, struct kc_err *err)
{
	struct kc_cidr cidr;
	uint8_t option[20] = { 0 };
	ldns_edns_option_list *list;
	size_t n;

	if (!kc_cidr_parse(text, &cidr))
		return kc_fail(err, KC_EINVAL,
			       "no subnet: \"%.60s\"; write one like 198.51.100.0/24", text);
	option[1] = cidr.base.family == AF_INET6 ? 2 : 1;
	option[2] = (uint8_t)cidr.prefix;
	n = ((size_t)cidr.prefix + 7) / 8;
	memcpy(option + 4, cidr.base.bytes, n);
	list = ldns_edns_option_list_new();
	if (!list ||
	    !ldns_edns_option_list_push(list, ldns_edns_new_from_data(LDNS_EDNS_CLIENT_SUBNET,
								      4 + n, option)))
		abort();
	ldns_pkt_set_edns_option_list(pkt, list);
	return 0;
}

int dns_question(const struct kc_dns_question *q, ldns_pkt **ret, struct kc_err *err)
{
	_cleanup_pkt_ ldns_pkt *pkt = NULL;
	ldns_rr_type type;
	ldns_rdf *name = NULL;
	int r = dns_type(q->type, &type, err);

	if (r == 0)
		r = dns_name(q->name, &name, err);
	if (r < 0)
		return r;
	pkt = ldns_pkt_query_new(name, type, LDNS_RR_CLASS_IN, 0);
	if (!pkt)
		abort();
	ldns_pkt_set_random_id(pkt);
	ldns_pkt_set_edns_udp_size(pkt, UDP_SIZE);
	r = q->subnet ? add_subnet(pkt, q->subnet, err) : 0;
	if (r == 0)
		*ret = TAKE(pkt);
	return r;
}

static int scope_of(ldns_pkt *pkt)
{
	ldns_edns_option_list *list = ldns_pkt_edns_get_option_list(pkt);

	for (size_t i = 0; list && i < ldns_edns_option_list_get_count(list); i++) {
		const ldns_edns_option *o = ldns_edns_option_list_get_option(list, i);

		if (ldns_edns_get_code(o) == LDNS_EDNS_CLIENT_SUBNET && ldns_edns_get_size(o) >= 4)
			return ldns_edns_get_data(o)[3];
	}
	return -1;
}

char *dns_rcode_name(ldns_pkt *pkt)
{
	char *text = ldns_pkt_rcode2str(ldns_pkt_get_rcode(pkt)), *copy;

	copy = text ? xstrdup(text) : xasprintf("RCODE%d", (int)ldns_pkt_get_rcode(pkt));
	LDNS_FREE(text);
	return copy;
}

static json_t *reply_of(ldns_pkt *pkt)
{
	_cleanup_free_ char *rcode = dns_rcode_name(pkt);
	int scope = scope_of(pkt);
	json_t *reply = kc_pack("{s:s, s:b, s:o, s:o}", "rcode", rcode, "aa", (int)ldns_pkt_aa(pkt),
				"answer", dns_rrsets(ldns_pkt_answer(pkt)), "authority",
				dns_rrsets(ldns_pkt_authority(pkt)));

	if (scope >= 0)
		json_object_set_new(reply, "scope", json_integer(scope));
	return reply;
}

static int parse(const uint8_t *wire, size_t len, ldns_pkt **ret, struct kc_err *err)
{
	ldns_pkt *pkt = NULL;
	ldns_status s = ldns_wire2pkt(&pkt, wire, len);

	if (s != LDNS_STATUS_OK)
		return kc_fail(err, KC_EFAIL, "the reply is no DNS message: %s",
			       ldns_get_errorstr_by_id(s));
	*ret = pkt;
	return 0;
}

int kc_dns_parse(const uint8_t *wire, size_t len, json_t **ret, struct kc_err *err)
{
	_cleanup_pkt_ ldns_pkt *pkt = NULL;
	int r = parse(wire, len, &pkt, err);

	if (r == 0)
		*ret = reply_of(pkt);
	return r;
}

/* --- signatures */

static int sign(ldns_pkt *pkt, const struct kc_dns_key *key, struct kc_err *err)
{
	ldns_status s =
		ldns_pkt_tsig_sign(pkt, key->name, key->secret, FUDGE, "hmac-sha256.", NULL);

	return s == LDNS_STATUS_OK
		       ? 0
		       : kc_fail(err, KC_EINVAL, "TSIG key %s: its secret is no base64 of a key",
				 key->name);
}

/* The 48 bits of a TSIG's time. */
static int64_t time_of(const ldns_rr *tsig)
{
	const ldns_rdf *rdf = ldns_rr_rdf(tsig, TIME_FIELD);
	int64_t t = 0;

	for (size_t i = 0; rdf && i < ldns_rdf_size(rdf); i++)
		t = t << 8 | ldns_rdf_data(rdf)[i];
	return t;
}

static int verify(ldns_pkt *reply, const uint8_t *wire, size_t len, const struct kc_dns_key *key,
		  const ldns_rdf *mac, struct kc_err *err)
{
	const ldns_rr *tsig = ldns_pkt_tsig(reply);
	int64_t off;

	/* Who does not know the key cannot sign, either. */
	if (ldns_pkt_get_rcode(reply) == LDNS_RCODE_NOTAUTH ||
	    ldns_pkt_get_rcode(reply) == LDNS_RCODE_REFUSED)
		return 0;
	if (!tsig)
		return kc_fail(err, KC_EAUTH, "the reply is not signed with TSIG key %s",
			       key->name);
	if (!ldns_pkt_tsig_verify(reply, wire, len, key->name, key->secret, mac))
		return kc_fail(err, KC_EAUTH, "the reply's signature is not by TSIG key %s",
			       key->name);
	off = time_of(tsig) - (int64_t)time(NULL);
	if (off > FUDGE || off < -FUDGE)
		return kc_fail(err, KC_EAUTH,
			       "the reply was signed %lld s from now; set the clocks",
			       (long long)off);
	return 0;
}

/* --- exchanges */

static int exchange(const struct kc_dns_server *server, bool tcp, ldns_pkt *pkt, ldns_pkt **ret,
		    struct kc_err *err)
{
	_cleanup_pkt_ ldns_pkt *reply = NULL;
	_cleanup_free_ uint8_t *bytes = NULL;
	uint8_t *wire = NULL;
	ldns_rdf *mac = NULL;
	size_t len, n;
	int r = server->key ? sign(pkt, server->key, err) : 0;

	if (r < 0)
		return r;
	if (ldns_pkt2wire(&wire, pkt, &len) != LDNS_STATUS_OK || len > DNS_MESSAGE_MAX) {
		LDNS_FREE(wire);
		return kc_fail(err, KC_EINVAL, "more than a DNS message's 64 KB");
	}
	r = dns_exchange(server, tcp, wire, len, &bytes, &n, err);
	LDNS_FREE(wire);
	if (r == 0)
		r = parse(bytes, n, &reply, err);
	if (r == 0 && server->key) {
		mac = ldns_rdf_clone(ldns_rr_rdf(ldns_pkt_tsig(pkt), MAC_FIELD));
		r = verify(reply, bytes, n, server->key, mac, err);
		ldns_rdf_deep_free(mac);
	}
	if (r == 0)
		*ret = TAKE(reply);
	return r;
}

int kc_dns_ask(const struct kc_dns_server *server, const struct kc_dns_question *q, json_t **ret,
	       struct kc_err *err)
{
	_cleanup_free_ char *where = dns_server_name(server);
	_cleanup_pkt_ ldns_pkt *pkt = NULL, *reply = NULL;
	struct kc_dns_server unsigned_one = *server;
	int r = dns_question(q, &pkt, err);

	unsigned_one.key = NULL; /* what is served is for everybody */
	if (r == 0)
		r = exchange(&unsigned_one, q->tcp, pkt, &reply, err);
	if (r == 0 && ldns_pkt_tc(reply) && !q->tcp) {
		ldns_pkt_free(TAKE(reply));
		r = exchange(&unsigned_one, true, pkt, &reply, err);
	}
	if (r < 0)
		return kc_wrap(err, "%s: %s %s", where, q->name, q->type);
	kc_debug("dns", "%s: %s %s%s: %d answers", where, q->name, q->type, q->tcp ? " by TCP" : "",
		 (int)ldns_pkt_ancount(reply));
	*ret = reply_of(reply);
	return 0;
}

static int push_bare(ldns_pkt *pkt, ldns_pkt_section section, const json_t *v, ldns_rr_class klass,
		     struct kc_err *err)
{
	ldns_rr *rr = NULL;
	int r = dns_bare_rr(kc_json_get_str(v, "name", ""), kc_json_get_str(v, "type", NULL), klass,
			    &rr, err);

	if (r == 0 && !ldns_pkt_push_rr(pkt, section, rr))
		abort();
	return r;
}

/* RFC 2136, 2.4: they stand where a reply has its answer. */
static int push_prerequisite(ldns_pkt *pkt, const json_t *p, struct kc_err *err)
{
	if (json_object_get(p, "data"))
		return dns_push_rrset(pkt, LDNS_SECTION_ANSWER, p, LDNS_RR_CLASS_IN, 0, err);
	return push_bare(pkt, LDNS_SECTION_ANSWER, p,
			 kc_json_get_bool(p, "absent", false) ? LDNS_RR_CLASS_NONE
							      : LDNS_RR_CLASS_ANY,
			 err);
}

/* RFC 2136, 2.5: where a reply has its authority. */
static int push_change(ldns_pkt *pkt, const json_t *c, struct kc_err *err)
{
	const json_t *add = json_object_get(c, "add"), *del = json_object_get(c, "delete");

	if (add)
		return dns_push_rrset(pkt, LDNS_SECTION_AUTHORITY, add, LDNS_RR_CLASS_IN,
				      (uint32_t)kc_json_get_int(add, "ttl", 0), err);
	if (json_object_get(del, "data"))
		return dns_push_rrset(pkt, LDNS_SECTION_AUTHORITY, del, LDNS_RR_CLASS_NONE, 0, err);
	return push_bare(pkt, LDNS_SECTION_AUTHORITY, del, LDNS_RR_CLASS_ANY, err);
}

static int make_update(const char *zone, const json_t *prerequisites, const json_t *changes,
		       ldns_pkt **ret, struct kc_err *err)
{
	_cleanup_pkt_ ldns_pkt *pkt = NULL;
	ldns_rdf *name = NULL;
	const json_t *v;
	size_t i;
	int r = dns_name(zone, &name, err);

	if (r < 0)
		return r;
	pkt = ldns_pkt_query_new(name, LDNS_RR_TYPE_SOA, LDNS_RR_CLASS_IN, 0);
	if (!pkt)
		abort();
	ldns_pkt_set_opcode(pkt, LDNS_PACKET_UPDATE);
	ldns_pkt_set_random_id(pkt);
	json_array_foreach((json_t *)prerequisites, i, v) {
		r = push_prerequisite(pkt, v, err);
		if (r < 0)
			return r;
	}
	json_array_foreach((json_t *)changes, i, v) {
		r = push_change(pkt, v, err);
		if (r < 0)
			return r;
	}
	*ret = TAKE(pkt);
	return 0;
}

/* RFC 2136, 2.2. What a prerequisite says of a name comes as NXDOMAIN, of an rrset as NXRRSET. */
static int judge(ldns_pkt *reply, struct kc_err *err)
{
	_cleanup_free_ char *rcode = dns_rcode_name(reply);

	switch (ldns_pkt_get_rcode(reply)) {
	case LDNS_RCODE_NOERROR:
		return 0;
	case LDNS_RCODE_NXDOMAIN:
	case LDNS_RCODE_YXDOMAIN:
	case LDNS_RCODE_YXRRSET:
	case LDNS_RCODE_NXRRSET:
		return kc_fail(err, KC_ECONFLICT, "somebody else changed it meanwhile (%s)", rcode);
	case LDNS_RCODE_REFUSED:
	case LDNS_RCODE_NOTAUTH:
		return kc_fail(err, KC_EAUTH,
			       "updates are refused (%s); give the zone's TSIG key, and let that "
			       "key update it",
			       rcode);
	case LDNS_RCODE_SERVFAIL:
		return kc_fail(err, KC_EAGAIN, "the server failed (%s)", rcode);
	default:
		return kc_fail(err, KC_EFAIL, "the update failed (%s)", rcode);
	}
}

int kc_dns_update(const struct kc_dns_server *server, const char *zone, const json_t *prerequisites,
		  const json_t *changes, struct kc_err *err)
{
	_cleanup_free_ char *where = dns_server_name(server);
	_cleanup_pkt_ ldns_pkt *pkt = NULL, *reply = NULL;
	int r = make_update(zone, prerequisites, changes, &pkt, err);

	if (r == 0)
		r = exchange(server, true, pkt, &reply, err);
	if (r == 0)
		r = judge(reply, err);
	kc_debug("dns", "%s: update of %s: %d prerequisites, %d changes: %d", where, zone,
		 (int)json_array_size(prerequisites), (int)json_array_size(changes), r);
	return r < 0 ? kc_wrap(err, "%s: zone %s", where, zone) : 0;
}
