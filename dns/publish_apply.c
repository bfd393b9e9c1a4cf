/* Changing the copies: compare-and-swap, the look at what is served, and taking it back. */
#include <stdlib.h>
#include <string.h>

#include "dns/hosts.h"
#include "dns/publish_priv.h"
#include "dns/verify.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

/*
 * TRIES: of a change whose reply was lost. PAUSE_MS: between two looks at servers that do not
 * answer as they should yet. ROUNDS: of a claim that others are always quicker than, each after a
 * pause of up to JITTER_MS, so that of many who collide some get through.
 */
enum { TRIES = 3, PAUSE_MS = 100, ROUNDS = 200, JITTER_MS = 50 };

/*
 * From one state to the other. A reply may be lost, and others may write the very same: what counts
 * is what is there afterwards.
 */
static int move(struct copy *c, const json_t *from, const json_t *to, struct kc_err *err)
{
	int r = 0;

	for (int i = 0; i < TRIES; i++) {
		json_auto_t *now = NULL;
		struct kc_err ignored;

		r = c->backend->change(c->conn, c->which, from, to, err);
		if (r == 0 || (r != KC_EAGAIN && r != KC_ETIMEOUT && r != KC_ECONFLICT))
			return r;
		if (c->backend->read(c->conn, c->which, &now, &ignored) < 0)
			continue;
		if (publish_same(now, to))
			return 0;
		if (!publish_same(now, from))
			return kc_fail(err, KC_ECONFLICT,
				       "somebody else changed it meanwhile, and nothing was "
				       "changed by us; run the command again");
	}
	return r;
}

/* Does the zone still hold what we wrote? Only then is it worth waiting for its servers. */
static bool still_ours(struct copy *c)
{
	json_auto_t *now = NULL;
	struct kc_err ignored;

	return c->backend->read(c->conn, c->which, &now, &ignored) < 0 ||
	       publish_same(now, c->wanted);
}

int publish_servers(struct copy *c, json_t **ret, struct kc_err *err)
{
	json_t *listed = json_object_get(c->publish, "servers");

	if (!json_array_size(listed))
		return c->backend->servers(c->conn, ret, err);
	*ret = json_incref(listed);
	return 0;
}

int publish_settle(struct copy *c, int64_t deadline, struct kc_err *err)
{
	for (;;) {
		int r = c->backend->settled ? c->backend->settled(c->conn, err) : 0;

		if (r == 0 || kc_now_ms() > deadline)
			return r;
		kc_sleep_ms(PAUSE_MS);
	}
}

int publish_look(struct kc_publish *p, struct copy *c, struct kc_err *err)
{
	int64_t deadline = kc_now_ms() + p->within_ms;
	json_auto_t *servers = NULL;
	int r = publish_servers(c, &servers, err);

	if (r < 0)
		return r;
	for (;;) {
		r = c->backend->settled ? c->backend->settled(c->conn, err) : 0;
		if (r == 0)
			r = kc_dns_look(servers, c->wanted, c->allowed,
					kc_json_at(p->policy, "spec.verify.subnets"), err);
		if (r < 0 && !still_ours(c))
			return kc_fail(err, KC_ECONFLICT,
				       "it was written, and somebody else changed it right after; "
				       "run the command again");
		if (r == 0 || kc_now_ms() > deadline)
			return r;
		kc_sleep_ms(PAUSE_MS);
	}
}

static int apply_copy(struct kc_publish *p, struct copy *c, struct kc_err *err)
{
	struct kc_err undone;
	int r;

	if (publish_same(c->before, c->wanted))
		return publish_look(p, c, err);
	r = move(c, c->before, c->wanted, err);
	if (r < 0)
		return r;
	r = publish_look(p, c, err);
	if (r == 0 || r == KC_ECONFLICT)
		return r;
	if (move(c, c->wanted, c->before, &undone) == 0)
		return kc_wrap(err, "what was written is not served, and was taken back");
	kc_wrap(err, "what was written is not served");
	return kc_wrap(err, "it could not be taken back (%s)", undone.msg);
}

/* The region's claim, and what follows from it together with all others' as they are by then. */
static int apply_claim(struct kc_publish *p, struct copy *c, const atomic_bool *cancel,
		       struct kc_err *err)
{
	int r = 0;

	for (int i = 0; i < ROUNDS; i++) {
		unsigned char byte;

		if (cancel && atomic_load(cancel))
			return kc_fail(err, KC_ECANCELED, "stopped");
		r = apply_copy(p, c, err);
		if (r != KC_ECONFLICT)
			return r;
		kc_random(&byte, 1);
		kc_sleep_ms(byte * JITTER_MS / 255);
		r = publish_read(p, c, err);
		if (r < 0)
			return r;
	}
	return kc_fail(err, KC_ECONFLICT, "others change it all the time; run the command again");
}

/* Of all copies before the first is changed. */
static int check_shifts(const struct kc_publish *p, struct kc_err *err)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct copy *c = &p->copies[i];
		int r = c->why.code ? 0 : publish_check_shift(p, c, err);

		if (r < 0)
			return kc_wrap(err, "%s %s", c->backend->name, c->backend->where(c->conn));
	}
	return 0;
}

int kc_publish_apply(struct kc_publish *p, const atomic_bool *cancel, struct kc_err *err)
{
	size_t failed = 0, hosts = 0;
	int checked = check_shifts(p, err);

	if (checked < 0)
		return checked;
	for (size_t i = 0; i < p->n; i++) {
		struct copy *c = &p->copies[i];
		struct kc_err why;
		int r = 0;

		if (cancel && atomic_load(cancel))
			return kc_fail(err, KC_ECANCELED, "stopped");
		if (!c->why.code)
			r = p->claim ? apply_claim(p, c, cancel, &why) : apply_copy(p, c, &why);
		if (r == 0 && c->hosts && !c->why.code)
			r = hosts_apply(c->hosts, c, cancel, &why);
		if (r == KC_ECANCELED && c->hosts) {
			*err = why;
			return r;
		}
		if (r < 0)
			c->why = why;
		failed += c->why.code != 0;
		hosts += hosts_count_refused(c->hosts);
	}
	if (failed)
		return kc_fail(err, KC_EFAIL, "%zu of %zu copies of the zone were not changed",
			       failed, p->n);
	return hosts ? kc_fail(err, KC_EFAIL, "%zu hosts were not changed", hosts) : 0;
}
