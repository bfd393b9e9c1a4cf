#include "dns/publish.h"

#include <stdlib.h>
#include <string.h>

#include "dns/policy.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* PAUSE: between two looks at servers that do not answer as they should yet. */
enum { COPIES_MAX = 8, TRIES = 3, PAUSE_MS = 100 };

struct copy {
	const struct kc_dns_backend *backend;
	void *conn;
	json_t *before;	   /* rrsets as they were read; NULL: they could not be */
	struct kc_err why; /* it cannot be changed, if its code is not 0 */
};

struct kc_publish {
	const json_t *policy; /* borrowed */
	json_t *which, *wanted, *notes, *plan;
	long within_ms;
	struct copy copies[COPIES_MAX];
	size_t n;
};

json_t *kc_dns_rrset_find(const json_t *rrsets, const char *name, const char *type)
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)rrsets, i, v)
		if (streq(kc_json_get_str(v, "name", ""), name) &&
		    streq(kc_json_get_str(v, "type", ""), type))
			return v;
	return NULL;
}

static json_t *find_one(const json_t *rrsets, const json_t *one)
{
	return kc_dns_rrset_find(rrsets, kc_json_get_str(one, "name", ""),
				 kc_json_get_str(one, "type", ""));
}

/*
 * A CNAME beside anything else is not allowed, so one that is there counts, too. The mark is read
 * last: whoever makes records between our questions is then seen as their owner.
 */
static json_t *make_which(const json_t *policy)
{
	_cleanup_free_ char *name = kc_policy_name(policy), *mark = kc_policy_mark_name(policy);

	return kc_pack("[{s:s, s:s}, {s:s, s:s}, {s:s, s:s}, {s:s, s:s}]", "name", name, "type",
		       "A", "name", name, "type", "AAAA", "name", name, "type", "CNAME", "name",
		       mark, "type", "TXT");
}

/* Whose records are these? An error says so, and what to do. */
static int check_owner(const json_t *policy, const json_t *before, struct kc_err *err)
{
	_cleanup_free_ char *name = kc_policy_name(policy), *mark = kc_policy_mark_name(policy);
	const char *ours = kc_json_get_str(json_object_get(policy, "spec"), "owner", "");
	const json_t *txt = json_object_get(kc_dns_rrset_find(before, mark, "TXT"), "data"), *v;
	size_t i;

	json_array_foreach((json_t *)txt, i, v) {
		_cleanup_free_ char *owner = kc_policy_mark_owner(json_string_value(v));

		if (owner && json_array_size(txt) == 1 && streq(owner, ours))
			return 0;
		if (owner)
			return kc_fail(err, KC_ECONFLICT,
				       "%s belongs to \"%s\" (TXT %s); choose another name, or let "
				       "that owner give it up",
				       name, owner, mark);
		return kc_fail(err, KC_ECONFLICT, "the TXT record %s is not by kubecdn; remove it",
			       mark);
	}
	json_array_foreach((json_t *)before, i, v)
		return kc_fail(err, KC_ECONFLICT,
			       "%s has a %s record that nobody marked as yours; kubecdn changes no "
			       "record that it did not make: remove it, or choose another name",
			       name, kc_json_get_str(v, "type", "?"));
	return 0;
}

/* --- the plan */

static const char *action_of(const json_t *was, const json_t *is)
{
	if (!was)
		return "create";
	if (!is)
		return "delete";
	return json_equal(was, is) ? "keep" : "update";
}

static json_t *changes_of(const json_t *was, const json_t *is)
{
	static const char *const paths[] = { "data", "ttl" };
	json_t *out = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		const json_t *a = json_object_get(was, paths[i]),
			     *b = json_object_get(is, paths[i]);

		if (a && b && json_equal(a, b))
			continue;
		json_array_append_new(out, kc_pack("{s:s, s:O*, s:O*}", "path", paths[i], "from", a,
						   "to", b));
	}
	return out;
}

static void plan_copy(const struct kc_publish *p, const struct copy *c, json_t *tasks)
{
	const json_t *one;
	size_t i;

	json_array_foreach(p->which, i, one) {
		const json_t *was = find_one(c->before, one), *is = find_one(p->wanted, one);
		_cleanup_free_ char *id =
			xasprintf("dns/%s/%s/%s %s", c->backend->name, c->backend->where(c->conn),
				  kc_json_get_str(one, "name", ""),
				  kc_json_get_str(one, "type", ""));

		if (!was && !is)
			continue;
		json_array_append_new(tasks,
				      kc_pack("{s:s, s:s, s:s, s:o, s:s}", "id", id, "kind",
					      "dns/rrset", "action", action_of(was, is), "changes",
					      changes_of(was, is), "provider", c->backend->name));
	}
}

static void make_plan(struct kc_publish *p)
{
	json_t *tasks = json_array();

	for (size_t i = 0; i < p->n; i++)
		if (!p->copies[i].why.code)
			plan_copy(p, &p->copies[i], tasks);
	p->plan = kc_pack("{s:i, s:o}", "format", 1, "tasks", tasks);
}

const json_t *kc_publish_plan(const struct kc_publish *p)
{
	return p->plan;
}

const json_t *kc_publish_notes(const struct kc_publish *p)
{
	return p->notes;
}

json_t *kc_publish_refused(const struct kc_publish *p)
{
	json_t *out = json_array();

	for (size_t i = 0; i < p->n; i++) {
		const struct copy *c = &p->copies[i];

		if (c->why.code)
			json_array_append_new(out, kc_pack("{s:s, s:s, s:s}", "provider",
							   c->backend->name, "where",
							   c->backend->where(c->conn), "why",
							   c->why.msg));
	}
	return out;
}

/* --- opening */

static const struct kc_dns_backend *backend_of(const struct kc_dns_backend *const *backends,
					       const char *name)
{
	for (; *backends; backends++)
		if (streq((*backends)->name, name))
			return *backends;
	return NULL;
}

static int open_copy(struct kc_publish *p, const json_t *publish,
		     const struct kc_dns_backend *const *backends, struct kc_err *err)
{
	const char *provider = kc_json_get_str(publish, "provider", "");
	struct copy *c = &p->copies[p->n];
	struct kc_err why;
	int r;

	c->backend = backend_of(backends, provider);
	if (!c->backend)
		return kc_fail(err, KC_EINVAL, "no DNS provider \"%s\"", provider);
	r = c->backend->open(publish,
			     kc_json_get_str(json_object_get(p->policy, "spec"), "zone", ""),
			     &c->conn, err);
	if (r < 0)
		return kc_wrap(err, "spec.publish[%zu]", p->n);
	p->n++;
	r = c->backend->read(c->conn, p->which, &c->before, &why);
	if (r == 0)
		r = check_owner(p->policy, c->before, &why);
	if (r < 0)
		c->why = why;
	return 0;
}

int kc_publish_open(const json_t *policy, const struct kc_dns_backend *const *backends,
		    struct kc_publish **ret, struct kc_err *err)
{
	const json_t *spec = json_object_get(policy, "spec"), *publish;
	struct kc_publish *p = xcalloc(1, sizeof(*p));
	size_t i;
	int r = 0;

	p->policy = policy;
	p->notes = json_array();
	p->which = make_which(policy);
	p->wanted = kc_policy_lower(policy, p->notes);
	if (!kc_parse_duration(json_string_value(kc_json_at(spec, "verify.within")), &p->within_ms))
		r = kc_fail(err, KC_EINVAL, "spec.verify.within is no time");
	json_array_foreach(json_object_get(spec, "publish"), i, publish)
		if (r == 0 && p->n < COPIES_MAX)
			r = open_copy(p, publish, backends, err);
	if (r < 0) {
		kc_publish_close(p);
		return r;
	}
	make_plan(p);
	*ret = p;
	return 0;
}

void kc_publish_close(struct kc_publish *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++) {
		p->copies[i].backend->close(p->copies[i].conn);
		json_decref(p->copies[i].before);
	}
	json_decref(p->which);
	json_decref(p->wanted);
	json_decref(p->notes);
	json_decref(p->plan);
	free(p);
}

/* --- applying */

static bool same(const struct kc_publish *p, const json_t *a, const json_t *b)
{
	const json_t *one;
	size_t i;

	json_array_foreach(p->which, i, one) {
		const json_t *x = find_one(a, one), *y = find_one(b, one);

		if (!x != !y || (x && !json_equal(x, y)))
			return false;
	}
	return true;
}

/*
 * From one state to the other. A reply may be lost, and others may write the very same: what counts
 * is what is there afterwards.
 */
static int move(struct kc_publish *p, struct copy *c, const json_t *from, const json_t *to,
		struct kc_err *err)
{
	int r = 0;

	for (int i = 0; i < TRIES; i++) {
		json_auto_t *now = NULL;
		struct kc_err ignored;

		r = c->backend->change(c->conn, p->which, from, to, err);
		if (r == 0 || (r != KC_EAGAIN && r != KC_ETIMEOUT && r != KC_ECONFLICT))
			return r;
		if (c->backend->read(c->conn, p->which, &now, &ignored) < 0)
			continue;
		if (same(p, now, to))
			return 0;
		if (!same(p, now, from))
			return kc_fail(err, KC_ECONFLICT,
				       "somebody else changed it meanwhile, and nothing was "
				       "changed by us; run the command again");
	}
	return r;
}

/* Does the zone still hold what we wrote? Only then is it worth waiting for its servers. */
static bool still_ours(struct kc_publish *p, struct copy *c)
{
	json_auto_t *now = NULL;
	struct kc_err ignored;

	return c->backend->read(c->conn, p->which, &now, &ignored) < 0 || same(p, now, p->wanted);
}

/*
 * All that is wanted, from every server; what is to be gone a wildcard may still answer.
 * KC_ECONFLICT: somebody wrote something else after us.
 */
static int look(struct kc_publish *p, struct copy *c, struct kc_err *err)
{
	int64_t deadline = kc_now_ms() + p->within_ms;
	const json_t *rrset;
	size_t i;

	for (;;) {
		int r = 0;

		json_array_foreach(p->wanted, i, rrset) {
			r = c->backend->look(c->conn, rrset, rrset, err);
			if (r < 0)
				break;
		}
		if (r < 0 && !still_ours(p, c))
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

	if (same(p, c->before, p->wanted))
		return look(p, c, err);
	r = move(p, c, c->before, p->wanted, err);
	if (r < 0)
		return r;
	r = look(p, c, err);
	if (r == 0 || r == KC_ECONFLICT)
		return r;
	if (move(p, c, p->wanted, c->before, &undone) == 0)
		return kc_wrap(err, "what was written is not served, and was taken back");
	kc_wrap(err, "what was written is not served");
	return kc_wrap(err, "it could not be taken back (%s)", undone.msg);
}

int kc_publish_apply(struct kc_publish *p, const atomic_bool *cancel, struct kc_err *err)
{
	size_t failed = 0;

	for (size_t i = 0; i < p->n; i++) {
		struct copy *c = &p->copies[i];
		struct kc_err why;

		if (cancel && atomic_load(cancel))
			return kc_fail(err, KC_ECANCELED, "stopped");
		if (!c->why.code && apply_copy(p, c, &why) < 0)
			c->why = why;
		failed += c->why.code != 0;
	}
	return failed ? kc_fail(err, KC_EFAIL, "%zu of %zu copies of the zone were not changed",
				failed, p->n)
		      : 0;
}
