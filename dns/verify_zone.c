/* The zone itself at every server: its start (SOA), and what is said of names that are not there.
 */
#include <stdlib.h>
#include <string.h>

#include "dns/verify.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

struct zone {
	const char *name;
	const char *nobody; /* a name that nobody has */
	int64_t negative;
};

/* RFC 2308, 5; KC_EAGAIN: it is no SOA. */
static int negative_of(const json_t *soa, const char *where, int64_t *ret, struct kc_err *err)
{
	const json_t *data = json_object_get(soa, "data");
	const char *text = json_string_value(json_array_get(data, 0)),
		   *last = text ? strrchr(text, ' ') : NULL;
	int64_t ttl = kc_json_get_int(soa, "ttl", 0);
	long minimum;

	if (json_array_size(data) != 1 || !last || !kc_parse_long(last + 1, 0, INT32_MAX, &minimum))
		return kc_fail(err, KC_EAGAIN, "%s: the SOA of the zone is none: %s", where,
			       text ? text : "nothing");
	*ret = minimum < ttl ? minimum : ttl;
	return 0;
}

static int ask_soa(const struct zone *z, const struct kc_dns_server *server, const char *where,
		   bool tcp, int64_t *ret, struct kc_err *err)
{
	struct kc_dns_question q = { .name = z->name, .type = "SOA", .tcp = tcp };
	json_auto_t *reply = NULL;
	const json_t *soa;
	int r = verify_ask(server, where, &q, &reply, err);

	if (r < 0)
		return r;
	soa = kc_dns_rrset_find(json_object_get(reply, "answer"), z->name, "SOA");
	if (!soa)
		return kc_fail(err, KC_EAGAIN,
			       "%s answers SOA %s by %s with nothing; does this server have the "
			       "zone?",
			       where, z->name, tcp ? "TCP" : "UDP");
	return negative_of(soa, where, ret, err);
}

/* Does the zone have a name for all that have none? */
static int has_wildcard(const struct zone *z, const struct kc_dns_server *server, const char *where,
			bool *ret, struct kc_err *err)
{
	_cleanup_free_ char *name = xasprintf("*.%s", z->name);
	struct kc_dns_question q = { .name = name, .type = "A", .tcp = true };
	json_auto_t *reply = NULL;
	int r = verify_ask(server, where, &q, &reply, err);

	if (r == 0)
		*ret = streq(kc_json_get_str(reply, "rcode", ""), "NOERROR");
	return r;
}

/* What is kept counts, so the SOA beside the answer. */
static int ask_nobody(const struct zone *z, const struct kc_dns_server *server, const char *where,
		      bool tcp, int64_t *negative, struct kc_err *err)
{
	struct kc_dns_question q = { .name = z->nobody, .type = "A", .tcp = tcp };
	json_auto_t *reply = NULL;
	const json_t *soa;
	bool wildcard = false;
	int r = verify_ask(server, where, &q, &reply, err);

	if (r < 0)
		return r;
	if (!streq(kc_json_get_str(reply, "rcode", ""), "NXDOMAIN")) {
		r = has_wildcard(z, server, where, &wildcard, err);
		if (r < 0 || wildcard)
			return r;
		return kc_fail(err, KC_EAGAIN,
			       "%s answers by %s for %s, which nobody has, with NOERROR instead "
			       "of NXDOMAIN",
			       where, tcp ? "TCP" : "UDP", z->nobody);
	}
	soa = kc_dns_rrset_find(json_object_get(reply, "authority"), z->name, "SOA");
	if (!soa)
		return kc_fail(err, KC_EAGAIN,
			       "%s answers by %s for %s, which nobody has, without the SOA of %s: "
			       "resolvers cannot tell how long that holds",
			       where, tcp ? "TCP" : "UDP", z->nobody, z->name);
	return negative_of(soa, where, negative, err);
}

static int look_at(void *cookie, const struct kc_dns_server *server, const char *where,
		   struct kc_err *err)
{
	struct zone *z = cookie;

	for (int tcp = 0; tcp < 2; tcp++) {
		int64_t negative = 0;
		int r = ask_soa(z, server, where, tcp, &negative, err);

		if (r == 0)
			r = ask_nobody(z, server, where, tcp, &negative, err);
		if (r < 0)
			return r;
		z->negative = negative > z->negative ? negative : z->negative;
	}
	return 0;
}

int kc_dns_look_zone(const json_t *servers, const char *zone, int64_t *ret_negative,
		     struct kc_err *err)
{
	unsigned char random[8];
	char text[2 * sizeof(random) + 1];
	_cleanup_free_ char *nobody = NULL;
	struct zone z = { .name = zone };
	int r;

	kc_random(random, sizeof(random));
	kc_hex(random, sizeof(random), text);
	z.nobody = nobody = xasprintf("kc-%s.%s", text, zone);
	r = kc_dns_servers_visit(servers, look_at, &z, err);
	if (r == 0)
		*ret_negative = z.negative;
	return r;
}
