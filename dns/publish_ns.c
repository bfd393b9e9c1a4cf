/*
 * Writing the zone's name servers, as publish_delegation.c has chosen them, at the apex of every
 * copy: compare-and-swap, a look at every server, and back if it is not served. Every copy is by
 * itself, so whoever is stopped half-way runs the same command again.
 */
#include <stdlib.h>
#include <string.h>

#include "dns/publish_priv.h"
#include "dns/verify.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"

enum { TRIES = 3, PAUSE_MS = 100 };

static int read_ns(struct copy *c, const char *zone, json_t **ret, struct kc_err *err)
{
	json_auto_t *which = kc_pack("[{s:s, s:s}]", "name", zone, "type", "NS"), *rrsets = NULL;
	json_t *rrset;
	int r = c->backend->read(c->conn, which, &rrsets, err);

	if (r < 0)
		return r;
	rrset = kc_dns_rrset_find(rrsets, zone, "NS");
	if (!json_array_size(json_object_get(rrset, "data")))
		return kc_fail(err, KC_EFAIL, "%s has no NS records at the apex of %s",
			       c->backend->where(c->conn), zone);
	*ret = json_incref(rrset);
	return 0;
}

/* A reply may be lost: what counts is what is there afterwards. */
static int move_ns(struct copy *c, const char *zone, const json_t *from, const json_t *to,
		   struct kc_err *err)
{
	int r = 0;

	for (int i = 0; i < TRIES; i++) {
		json_auto_t *now = NULL;
		struct kc_err ignored;

		r = c->backend->set_ns(c->conn, from, to, err);
		if (r == 0 || (r != KC_EAGAIN && r != KC_ETIMEOUT && r != KC_ECONFLICT))
			return r;
		if (read_ns(c, zone, &now, &ignored) < 0)
			continue;
		if (json_equal(now, to))
			return 0;
		if (!json_equal(now, from))
			return kc_fail(err, KC_ECONFLICT,
				       "somebody else changed the NS records of %s meanwhile, and "
				       "nothing was changed by us; run the command again",
				       zone);
	}
	return r;
}

/* Until every server of the copy answers so. */
static int look(struct kc_publish *p, struct copy *c, const json_t *rrset, struct kc_err *err)
{
	int64_t deadline = kc_now_ms() + p->within_ms;
	json_auto_t *servers = NULL, *plain = json_copy((json_t *)rrset), *wanted = NULL;
	int r = publish_servers(c, &servers, err);

	json_object_del(plain, "metadata");
	wanted = kc_pack("[O]", plain);
	while (r == 0) {
		r = c->backend->settled ? c->backend->settled(c->conn, err) : 0;
		if (r == 0)
			r = kc_dns_look(servers, wanted, NULL, NULL, err);
		if (r == 0 || kc_now_ms() > deadline)
			return r;
		r = 0;
		kc_sleep_ms(PAUSE_MS);
	}
	return r;
}

static int write_copy(struct kc_publish *p, struct copy *c, const char *zone, const json_t *wanted,
		      struct kc_err *err)
{
	json_auto_t *before = NULL, *after = NULL;
	struct kc_err undone;
	int r = read_ns(c, zone, &before, err);

	if (r < 0)
		return r;
	after = json_deep_copy(before);
	json_object_set(after, "data", (json_t *)wanted);
	if (!json_equal(before, after)) {
		r = move_ns(c, zone, before, after, err);
		if (r < 0)
			return r;
	}
	r = look(p, c, after, err);
	if (r == 0 || json_equal(before, after))
		return r;
	if (move_ns(c, zone, after, before, &undone) == 0)
		return kc_wrap(err, "what was written is not served, and was taken back");
	kc_wrap(err, "what was written is not served");
	return kc_wrap(err, "it could not be taken back (%s)", undone.msg);
}

/* Nobody is sent to servers that have no such zone, or whose address is not to be found. */
static int check(struct kc_publish *p, const char *zone, const json_t *wanted, struct kc_err *err)
{
	json_auto_t *findings = publish_lint_with(p, wanted);
	const json_t *one;
	size_t i;

	for (i = 0; i < p->n; i++) {
		struct copy *c = &p->copies[i];
		json_auto_t *servers = NULL;
		int64_t negative;
		int r = publish_servers(c, &servers, err);

		if (r == 0)
			r = kc_dns_look_zone(servers, zone, &negative, err);
		if (r < 0)
			return kc_wrap(err, "%s %s is no copy to send anybody to", c->backend->name,
				       c->backend->where(c->conn));
	}
	json_array_foreach(findings, i, one)
		if (streq(kc_json_get_str(one, "level", ""), "error"))
			return kc_fail(err, KC_EINVAL, "%s %s: %s",
				       kc_json_get_str(one, "provider", "?"),
				       kc_json_get_str(one, "where", "?"),
				       kc_json_get_str(one, "text", ""));
	return 0;
}

int kc_publish_delegate(struct kc_publish *p, const json_t *delegation, const atomic_bool *cancel,
			struct kc_err *err)
{
	const json_t *wanted = json_object_get(delegation, "wanted");
	const char *zone = kc_json_get_str(delegation, "zone", "");
	size_t failed = 0;
	int r = check(p, zone, wanted, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < p->n; i++) {
		struct copy *c = &p->copies[i];
		struct kc_err why;

		if (cancel && atomic_load(cancel))
			return kc_fail(err, KC_ECANCELED, "stopped");
		c->why.code = 0;
		if (write_copy(p, c, zone, wanted, &why) < 0) {
			c->why = why;
			failed++;
		}
	}
	return failed ? kc_fail(err, KC_EFAIL, "%zu of %zu copies were not changed", failed, p->n)
		      : 0;
}
