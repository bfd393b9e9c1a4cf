/*
 * A change at Azure, which has no transactions: record sets are compared and swapped one at a time
 * by their etags, profiles of Traffic Manager not at all. What holds it together is the mark: every
 * change rewrites it, with a number of its own, and whose number is there at the end was alone.
 *
 *	what is there is as before -> the region's claim -> mark, by its etag -> still as before?
 *	-> profiles -> record sets at the name -> profiles that lead to others -> is the mark mine?
 *
 * Claims stand before the mark is taken, and what is there is looked at after it, so whoever takes
 * the mark later knows the claims of all that took it earlier; whoever finds at the end that
 *another has taken it is told so (KC_ECONFLICT), and looks again. Every call leaves something that
 * answers, and that the next run can read and bring to the end.
 *
 * Azure takes an alias of addresses only of a profile that has no other profile below at that
 * moment (and looks at that never again): so a profile is first put flat, then the alias is
 * written, once, then what leads to other profiles is put in.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dns/azure.h"
#include "dns/claims.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "lib/net/dns.h"

static const char *const steered[] = { "A", "AAAA" };

struct changing {
	struct az_conn *c;
	const char *name;
	char *mark;	/* its name */
	char token[33]; /* in the mark, as long as nobody else has changed something */
	const json_t *which, *before, *after;
	struct az_state s;
	bool profiles; /* there are some before or after */
	bool made;     /* the mark is new, and by us */
};

static void changing_init(struct changing *x, struct az_conn *c, const json_t *which)
{
	unsigned char random[16];

	kc_random(random, sizeof(random));
	x->c = c;
	x->which = which;
	x->name = kc_json_get_str(json_array_get(which, 0), "name", "");
	x->mark = kc_claim_name(x->name, NULL);
	kc_hex(random, sizeof(random), x->token);
}

static void changing_done(struct changing *x)
{
	free(x->mark);
	az_state_done(&x->s);
}

static json_t *find(const json_t *rrsets, const json_t *one)
{
	return kc_dns_rrset_find(rrsets, kc_json_get_str(one, "name", ""),
				 kc_json_get_str(one, "type", ""));
}

static bool is_same(const json_t *a, const json_t *b)
{
	return a && b ? json_equal(a, b) : a == b;
}

static bool is_text(const json_t *one)
{
	return streq(kc_json_get_str(one, "type", ""), "TXT");
}

static bool is_mark(const struct changing *x, const json_t *one)
{
	return is_text(one) && streq(kc_json_get_str(one, "name", ""), x->mark);
}

static bool has_profile(const json_t *rrsets)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)rrsets, i, one)
		if (json_object_get(one, "profile"))
			return true;
	return false;
}

/* The rrset of a type at the name itself. */
static json_t *at_name(const struct changing *x, const json_t *rrsets, const char *type)
{
	return kc_dns_rrset_find(rrsets, x->name, type);
}

/* --- record sets, each by the etag that we know */

static json_t *set_of(const struct changing *x, const json_t *one)
{
	_cleanup_free_ char *key =
		az_key(kc_json_get_str(one, "type", ""), kc_json_get_str(one, "name", ""));

	return json_object_get(x->s.sets, key);
}

static int put_set(struct changing *x, const json_t *rrset, struct kc_err *err)
{
	const char *type = kc_json_get_str(rrset, "type", ""),
		   *etag = kc_json_get_str(set_of(x, rrset), "etag", NULL);
	_cleanup_free_ char *relative = az_relative(x->c, kc_json_get_str(rrset, "name", "")),
			    *key = az_key(type, kc_json_get_str(rrset, "name", ""));
	json_auto_t *body = kc_pack("{s:o}", "properties", az_properties(x->c, rrset));
	json_t *now = NULL;
	int r;

	if (is_mark(x, rrset))
		json_object_set_new(json_object_get(body, "properties"), "metadata",
				    kc_pack("{s:s}", AZ_CHANGE, x->token));
	r = kc_azure_rrset_put(x->c->azure, &x->c->at, x->c->zone, type, relative, etag, body, &now,
			       err);
	if (r == 0)
		json_object_set_new(x->s.sets, key, now);
	return r;
}

static int delete_set(struct changing *x, const json_t *one, struct kc_err *err)
{
	const char *type = kc_json_get_str(one, "type", ""),
		   *etag = kc_json_get_str(set_of(x, one), "etag", NULL);
	_cleanup_free_ char *relative = az_relative(x->c, kc_json_get_str(one, "name", "")),
			    *key = az_key(type, kc_json_get_str(one, "name", ""));
	int r = etag ? kc_azure_rrset_delete(x->c->azure, &x->c->at, x->c->zone, type, relative,
					     etag, err)
		     : 0;

	if (r == 0)
		json_object_del(x->s.sets, key);
	return r;
}

/* --- the mark */

static int conflict(const struct changing *x, struct kc_err *err)
{
	return kc_fail(err, KC_ECONFLICT, "somebody else changes %s at the same time", x->name);
}

/* Is the mark there, as we wrote it? */
static bool is_mine(const struct changing *x, const json_t *raw)
{
	const json_t *metadata = kc_json_at(raw, "properties.metadata");

	return streq(kc_json_get_str(metadata, AZ_CHANGE, ""), x->token);
}

static int still_alone(void *cookie, struct kc_err *err)
{
	struct changing *x = cookie;
	_cleanup_free_ char *relative = az_relative(x->c, x->mark);
	json_auto_t *raw = NULL;
	int r = kc_azure_rrset_get(x->c->azure, &x->c->at, x->c->zone, "TXT", relative, &raw, err);

	if (r < 0 && r != KC_ENOTFOUND)
		return r;
	return is_mine(x, raw) ? 0 : conflict(x, err);
}

/* The mark that is to be, or is to go last; NULL: there is none. */
static const json_t *mark_of(const struct changing *x)
{
	const json_t *wanted = kc_dns_rrset_find(x->after, x->mark, "TXT");

	return wanted ? wanted : kc_dns_rrset_find(x->before, x->mark, "TXT");
}

/* The claims that are new, between making the mark, if there is none, and taking it. */
static int take_mark(struct changing *x, struct kc_err *err)
{
	const json_t *mark = mark_of(x), *one;
	size_t i;
	int r = 0;

	if (mark && !set_of(x, mark)) {
		r = put_set(x, mark, err);
		x->made = r == 0;
	}
	json_array_foreach((json_t *)x->after, i, one)
		if (r == 0 && is_text(one) && !is_mark(x, one) &&
		    !is_same(find(x->before, one), one))
			r = put_set(x, one, err);
	return r == 0 && mark ? put_set(x, mark, err) : r;
}

static json_t *tree_of(const struct changing *x, const char *type)
{
	return json_object_get(at_name(x, x->after, type), "profile");
}

static int check_ours(const struct changing *x, struct kc_err *err)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(steered) && r == 0; i++) {
		_cleanup_free_ char *top = az_profile_name(x->c, x->name, steered[i]);
		json_auto_t *list = az_profiles(tree_of(x, steered[i]), top);

		r = az_check_ours(x->c, x->s.profiles, x->name, list, err);
	}
	return r;
}

/* What is there now, and whether it is as before but for what we wrote. */
static int look(struct changing *x, bool taken, struct kc_err *err)
{
	struct az_state s;
	const json_t *one;
	size_t i;
	int r = az_load(x->c, x->which, x->profiles, &s, err);

	if (r < 0)
		return r;
	az_state_done(&x->s);
	x->s = s;
	json_array_foreach((json_t *)x->which, i, one) {
		const json_t *is = find(s.rrsets, one), *wanted = find(x->after, one);
		bool ours = taken && is_text(one) && (wanted || is_mark(x, one));

		if (!is_same(is, find(x->before, one)) && !(ours && is_same(is, wanted)))
			return conflict(x, err);
	}
	if (taken && mark_of(x) && !is_mine(x, set_of(x, mark_of(x))))
		return conflict(x, err);
	return check_ours(x, err);
}

/* --- profiles and what leads to them */

/* Does the record set lead to our own profile? */
static bool is_led(const struct changing *x, const char *type)
{
	json_auto_t *one = kc_pack("{s:s, s:s}", "name", x->name, "type", type);
	_cleanup_free_ char *own = az_profile_name(x->c, x->name, type),
			    *id = xasprintf("%s%s", x->c->prefix, own);
	const char *target =
		json_string_value(kc_json_at(set_of(x, one), "properties.targetResource.id"));

	return target && strcasecmp(target, id) == 0;
}

/* All below the top as they are to be; the top, if nothing leads to it yet, for the alias. */
static int prepare(struct changing *x, const char *type, struct kc_err *err)
{
	_cleanup_free_ char *top = az_profile_name(x->c, x->name, type);
	json_t *tree = tree_of(x, type);
	json_auto_t *flat = tree ? az_flat(tree) : NULL, *list = az_profiles(tree, top),
		    *first = az_profiles(flat, top);
	size_t n = json_array_size(list);
	int r = 0;

	for (size_t i = 0; i + 1 < n && r == 0; i++)
		r = az_ensure(x->c, x->s.profiles, x->name, json_array_get(list, i), err);
	if (r == 0 && n && !is_led(x, type))
		r = az_ensure(x->c, x->s.profiles, x->name, json_array_get(first, 0), err);
	return r;
}

static int finish(struct changing *x, const char *type, struct kc_err *err)
{
	_cleanup_free_ char *top = az_profile_name(x->c, x->name, type);
	json_auto_t *list = az_profiles(tree_of(x, type), top);
	size_t n = json_array_size(list);

	return n ? az_ensure(x->c, x->s.profiles, x->name, json_array_get(list, n - 1), err) : 0;
}

static bool is_there(const struct changing *x, const json_t *rrset)
{
	if (json_object_get(rrset, "profile"))
		return is_led(x, kc_json_get_str(rrset, "type", ""));
	return is_same(find(x->s.rrsets, rrset), rrset);
}

/* A CNAME has to be gone before there can be addresses, and the other way around: between these two
 * calls the name is not answered, and nothing can be done about it. */
static int write_sets(struct changing *x, struct kc_err *err)
{
	json_auto_t *alias = kc_pack("{s:s, s:s}", "name", x->name, "type", "CNAME");
	const json_t *wanted;
	int r = find(x->after, alias) ? 0 : delete_set(x, alias, err);

	for (size_t i = 0; i < ARRAY_SIZE(steered) && r == 0; i++) {
		wanted = at_name(x, x->after, steered[i]);
		if (wanted && !is_there(x, wanted))
			r = put_set(x, wanted, err);
	}
	for (size_t i = 0; i < ARRAY_SIZE(steered) && r == 0; i++) {
		json_auto_t *one = kc_pack("{s:s, s:s}", "name", x->name, "type", steered[i]);

		if (!find(x->after, one))
			r = delete_set(x, one, err);
	}
	wanted = find(x->after, alias);
	if (r == 0 && wanted && !is_there(x, wanted))
		r = put_set(x, wanted, err);
	return r;
}

static int sweep(struct changing *x, struct kc_err *err)
{
	json_auto_t *keep = json_object();
	bool gone = !kc_dns_rrset_find(x->after, x->mark, "TXT");
	const json_t *one;
	struct kc_err why;
	size_t i;
	int r;

	if (!x->profiles && !(gone && kc_dns_rrset_find(x->before, x->mark, "TXT")))
		return 0;
	for (size_t k = 0; k < ARRAY_SIZE(steered); k++) {
		_cleanup_free_ char *top = az_profile_name(x->c, x->name, steered[k]);
		json_auto_t *list = az_profiles(tree_of(x, steered[k]), top);

		json_array_foreach(list, i, one)
			json_object_set_new(keep, kc_json_get_str(one, "name", ""), json_true());
	}
	r = az_sweep(x->c, x->name, keep, gone, still_alone, x, &why);
	/* What is left over costs a little, and the next change sees to it; but there is no next
	 * one of a name that is gone. Who may not even look has never made any. */
	if (r == 0 || !gone || (r == KC_EAUTH && !x->profiles))
		return 0;
	return kc_fail(err, r, "%s", why.msg);
}

static int delete_texts(struct changing *x, struct kc_err *err)
{
	const json_t *one;
	size_t i;
	int r = 0;

	/* The mark is the last in which. */
	json_array_foreach((json_t *)x->which, i, one)
		if (r == 0 && is_text(one) && !find(x->after, one))
			r = delete_set(x, one, err);
	return r;
}

/* All that comes after the mark was taken. */
static int write_all(struct changing *x, struct kc_err *err)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(steered) && r == 0; i++)
		r = prepare(x, steered[i], err);
	if (r == 0)
		r = write_sets(x, err);
	for (size_t i = 0; i < ARRAY_SIZE(steered) && r == 0; i++)
		r = finish(x, steered[i], err);
	if (r == 0)
		r = sweep(x, err);
	if (r == 0)
		r = delete_texts(x, err);
	if (r == 0 && kc_dns_rrset_find(x->after, x->mark, "TXT"))
		r = still_alone(x, err);
	return r;
}

/* --- back, if it failed half-way */

/* Records at the name that are neither as before nor as after are somebody else's. */
static bool is_touched(const struct changing *x, const json_t *now)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)x->which, i, one) {
		const json_t *is = find(now, one);

		if (!is_text(one) && !json_object_get(is, "profile") &&
		    !is_same(is, find(x->before, one)) && !is_same(is, find(x->after, one)))
			return true;
	}
	return false;
}

/*
 * As before, unless somebody else has taken the mark since, or it was not us who made it and others
 * may be at work. Where somebody else has put records meanwhile only mark and claims go.
 */
static int take_back(const struct changing *x, int r, struct kc_err *err)
{
	struct changing back = { 0 };
	struct kc_err why, what;
	const json_t *mark = mark_of(x);
	int b;

	if (!mark || (r == KC_ECONFLICT && !x->made))
		return r;
	changing_init(&back, x->c, x->which);
	back.profiles = x->profiles;
	b = az_load(x->c, x->which, x->profiles, &back.s, &why);
	if (b == 0 && is_mine(x, set_of(&back, mark))) {
		back.before = back.s.rrsets;
		back.after = x->before;
		b = put_set(&back, mark, &why);
		if (b == 0)
			b = is_touched(x, back.before) ? delete_texts(&back, &why)
						       : write_all(&back, &why);
	}
	changing_done(&back);
	if (b == 0)
		return r;
	what = *err;
	return kc_fail(err, r, "%.500s; and what was done could not be taken back: %.400s",
		       what.msg, why.msg);
}

int az_change(void *conn, const json_t *which, const json_t *before, const json_t *after,
	      struct kc_err *err)
{
	_cleanup_(changing_done) struct changing x = { 0 };
	int r;

	changing_init(&x, conn, which);
	x.before = before;
	x.after = after;
	x.profiles = has_profile(before) || has_profile(after);
	r = look(&x, false, err);
	if (r < 0)
		return r;
	r = take_mark(&x, err);
	if (r == 0)
		r = look(&x, true, err);
	if (r == 0)
		r = write_all(&x, err);
	return r < 0 ? take_back(&x, r, err) : 0;
}
