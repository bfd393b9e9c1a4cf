/* The plan's first half: resolve, find and diff every task, each when its needs are planned. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/engine.h"

enum { FIND_PATIENCE_MS = 15000 };

/* One kind's answers to list, asked for once by whoever needs it first. */
struct kc_listing {
	const struct kc_kind *kind;
	pthread_mutex_t lock;
	bool asked;
	int r;
	struct kc_err err;
	json_t *by_id;
};

struct finding {
	struct kc_engine *engine;
	struct kc_plan *plan;
	struct kc_caller caller;
	struct kc_listing *lists;
	size_t nlists;
	struct { /* per node */
		struct kc_err err;
		int r;
		unsigned tries;
		int64_t start_ms;
	} * jobs;
};

struct resolving {
	struct kc_engine *engine;
	struct kc_plan *plan;
	const struct kc_node *node;
	bool applying;
};

/* Does an update of dep touch what its "rev" follows? */
static bool touches_rev(const struct kc_node *dep)
{
	size_t i;
	json_t *c;

	json_array_foreach(dep->changes, i, c)
		if (kc_path_in(kc_json_get_str(c, "path", ""), dep->kind->rev))
			return true;
	return false;
}

/* Will the value at key still be what find saw, once this task is applied? */
static bool survives(const struct kc_node *dep, const char *key)
{
	size_t i, n = key ? strcspn(key, ".") : 0;
	json_t *c;

	if (dep->action == KC_KEEP)
		return true;
	if (dep->action != KC_UPDATE || dep->kind->nested || !key)
		return false;
	if (dep->kind->rev && streq(key, "rev"))
		return !touches_rev(dep);
	if (!json_object_getn(dep->want, key, n))
		return false; /* the provider's: it may follow from what is updated */
	json_array_foreach(dep->changes, i, c) {
		const char *path = kc_json_get_str(c, "path", "");

		if (strncmp(path, key, n) == 0 && strchr(".[", path[n])) /* also the NUL */
			return false;
	}
	return true;
}

static int resolve_ref(const struct resolving *x, const json_t *arg, json_t **ret,
		       struct kc_err *err)
{
	const char *ref = json_string_value(arg), *hash, *key;
	const struct kc_node *dep;
	const json_t *v;
	size_t i;

	if (!ref)
		return kc_fail(err, KC_EINVAL, "$ref takes \"task#key\"");
	hash = strchr(ref, '#');
	i = kc_graph_index(x->plan, ref, hash ? (size_t)(hash - ref) : strlen(ref));
	if (i == KC_NONE)
		return kc_fail(err, KC_EINVAL, "%s: no such task", ref);
	dep = &x->plan->nodes[i];
	key = hash ? hash + 1 : NULL;
	if (x->applying)
		v = kc_output_at(dep->output, key);
	else if (dep->mode == KC_IGNORE)
		v = kc_output_at(json_object_get(dep->rec, "outputs"), key);
	else
		v = survives(dep, key) ? kc_output_at(dep->actual, key) : NULL;
	if (!v && x->applying)
		return kc_fail(err, KC_EINVAL, "%s: %s", ref,
			       dep->output ? "the task has no such output"
					   : "the task does not exist");
	if (!v)
		return KC_EAGAIN;
	*ret = json_deep_copy(v);
	return 0;
}

static int resolve_one(void *cookie, const char *name, const json_t *arg, json_t **ret,
		       struct kc_err *err)
{
	const struct resolving *x = cookie;

	if (streq(name, "$ref"))
		return resolve_ref(x, arg, ret, err);
	if (!x->engine->resolve)
		return kc_fail(err, KC_EINVAL, "nobody here knows values of %s", name);
	return x->engine->resolve(x->engine->cookie, name, arg, ret, err);
}

int kc_node_resolve(struct kc_engine *e, struct kc_plan *p, struct kc_node *n, bool applying,
		    struct kc_err *err)
{
	struct resolving x = { .engine = e, .plan = p, .node = n, .applying = applying };
	const json_t *via = json_object_get(n->task, "via");
	json_t *want = NULL, *new_via = NULL;
	int unknown = 0, via_unknown = 0;

	if (kc_resolve(json_object_get(n->task, "want"), resolve_one, &x, &want, &unknown, err) < 0)
		return kc_wrap(err, "task %s", n->id);
	if (via && kc_resolve(via, resolve_one, &x, &new_via, &via_unknown, err) < 0) {
		json_decref(want);
		return kc_wrap(err, "task %s", n->id);
	}
	json_decref(n->want);
	json_decref(n->via);
	n->want = want;
	n->via = new_via;
	n->unknown = unknown + via_unknown;
	if (applying && n->unknown)
		return kc_fail(err, KC_EFAIL, "task %s: its values are still unknown", n->id);
	return 0;
}

/* Is what the hole refers to made anew? Then its identity surely changes. */
static bool refers_to_new(void *cookie, const json_t *hole)
{
	const struct kc_plan *p = cookie;
	json_auto_t *refs = json_object();
	const char *id;
	json_t *v;

	kc_refs_set(hole, refs);
	json_object_foreach(refs, id, v) {
		size_t i = kc_graph_index(p, id, strlen(id));

		if (i != KC_NONE &&
		    (p->nodes[i].action == KC_CREATE || p->nodes[i].action == KC_REPLACE))
			return true;
	}
	return false;
}

/* The children of a resource that runs this engine itself decide. */
static bool children_change(const json_t *actual)
{
	const json_t *plan = json_object_get(actual, "plan"), *c;
	size_t i;

	if (json_is_object(plan))
		plan = json_object_get(plan, "tasks");
	json_array_foreach((json_t *)plan, i, c)
		if (!streq(kc_json_get_str(c, "action", "keep"), "keep"))
			return true;
	return false;
}

/* Only what is unknown, as changes: a nested resource's values are compared where it lives. */
static void add_holes(json_t *changes, const char *path, const json_t *want)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)want, key, v) {
		_cleanup_free_ char *p = xasprintf("%s%s%s", path, *path ? "." : "", key);

		if (kc_is_hole(v))
			json_array_append_new(changes, kc_pack("{s:s, s:O}", "path", p, "to", v));
		else if (json_is_object(v))
			add_holes(changes, p, v);
	}
}

void kc_node_diff(struct kc_plan *p, struct kc_node *n, const json_t *actual)
{
	struct kc_diff d = { .kind = n->kind, .strong = refers_to_new, .cookie = p };
	json_auto_t *want = NULL, *have = NULL;
	const json_t *old = actual ? json_object_get(n->rec, "want") : NULL;
	bool replace = false;

	json_decref(n->changes);
	n->changes = NULL;
	if (n->kind->nested) {
		n->changes = json_array();
		if (actual)
			add_holes(n->changes, "", n->want);
		replace = false;
	} else {
		if (actual && n->kind->normalize) {
			want = json_deep_copy(n->want);
			have = json_deep_copy(actual);
			n->kind->normalize(want, have);
		}
		kc_diff(&d, want ? want : n->want, have ? have : actual, old, &n->changes,
			&replace);
	}
	if (!actual)
		n->action = KC_CREATE;
	else if (n->kind->nested && children_change(actual))
		n->action = n->rec ? KC_UPDATE : KC_CREATE;
	else if (!json_array_size(n->changes) && !n->unknown)
		n->action = KC_KEEP;
	else
		n->action = replace ? KC_REPLACE : KC_UPDATE;
}

/*
 * What find may see of a want that is not known yet: each hole filled with what
 * was applied there last, or left out. Names and addresses are seldom holes.
 */
static json_t *without_holes(const json_t *want, const json_t *old)
{
	json_t *out, *v;
	const char *key;
	size_t i;

	if (kc_is_hole(want))
		return json_deep_copy(old);
	if (json_is_object(want)) {
		out = json_object();
		json_object_foreach((json_t *)want, key, v) {
			json_t *w = without_holes(v, json_object_get(old, key));

			if (w)
				json_object_set_new(out, key, w);
		}
		return out;
	}
	if (json_is_array(want)) {
		out = json_array();
		json_array_foreach((json_t *)want, i, v) {
			json_t *w = without_holes(v, json_array_get(old, i));

			json_array_append_new(out, w ? w : json_null());
		}
		return out;
	}
	return json_deep_copy(want);
}

static struct kc_listing *listing_of(struct finding *f, const struct kc_kind *kind)
{
	for (size_t i = 0; i < f->nlists; i++)
		if (f->lists[i].kind == kind)
			return &f->lists[i];
	return NULL;
}

static int from_list(struct finding *f, const struct kc_node *n, json_t **ret_actual,
		     struct kc_err *err)
{
	struct kc_listing *l = listing_of(f, n->kind);
	const json_t *found;
	int r;

	pthread_mutex_lock(&l->lock);
	if (!l->asked)
		l->r = kc_call_list(&f->caller, n->lane, n->kind, &l->by_id, &l->err);
	l->asked = l->r != KC_EAGAIN;
	r = l->r;
	found = json_object_get(l->by_id, n->id);
	if (r < 0)
		kc_fail(err, r, "%s", l->err.msg);
	else if (json_is_array(found))
		r = kc_fail(err, KC_ECONFLICT,
			    "there are %zu of %s; delete the extra ones, or take the mark off them",
			    json_array_size(found), n->id);
	else
		*ret_actual = json_deep_copy(found);
	pthread_mutex_unlock(&l->lock);
	return r;
}

/*
 * Can list answer for find? Not where a crash may have hidden what a pending task made: only find,
 * by name, sees that for sure. Nor where the token says which incarnation is meant.
 */
static bool is_listed(const struct kc_node *n)
{
	return n->kind->list && !n->kind->brief && n->kind->replace != KC_CREATE_FIRST &&
	       !n->unknown && !kc_json_get_bool(n->rec, "pending", false);
}

static int find(struct finding *f, const struct kc_node *n, json_t **ret_actual, struct kc_err *err)
{
	const json_t *old = json_object_get(n->rec, "want");
	json_auto_t *want = NULL, *via = NULL;
	struct kc_call c = {
		.caller = &f->caller,
		.node = n,
		.action = "plan",
		.known = json_object_get(n->rec, "outputs"),
		.generation = f->engine->state ? kc_state_generation(f->engine->state, n->id) : 1,
	};
	int r;

	if (is_listed(n))
		return from_list(f, n, ret_actual, err);
	if (n->unknown) {
		want = without_holes(n->want, old);
		via = without_holes(n->via, json_object_get(n->rec, "via"));
	}
	c.want = want ? want : kc_identity_of(n);
	c.via = via ? via : n->via;
	r = kc_call_find(&c, ret_actual, err);
	if (r < 0 || *ret_actual || c.want == n->want || want)
		return r;
	c.want = n->want; /* the old one is gone already */
	return kc_call_find(&c, ret_actual, err);
}

static int check_mode(struct kc_node *n, struct kc_err *err)
{
	n->action = KC_KEEP;
	if (n->actual || n->mode == KC_IGNORE)
		return 0;
	if (n->mode == KC_EXISTS)
		return kc_fail(err, KC_ENOTFOUND,
			       "task %s: its mode is exists, but it does not exist; make it, or "
			       "let "
			       "kubecdn do it with mode sync",
			       n->id);
	n->warning = "does not exist";
	return 0;
}

/* Its host, so to speak, is made anew: nothing can be there yet. */
static bool born_later(const struct finding *f, const struct kc_node *n)
{
	const struct kc_node *w;

	if (n->within == KC_NONE)
		return false;
	w = &f->plan->nodes[n->within];
	return w->action == KC_CREATE || w->action == KC_REPLACE;
}

/*
 * What it lies within is not as it should be, and will be: one cannot always look inside now. Nor
 * does one have to be let in: its certificates may have expired.
 */
static bool is_shut(const struct finding *f, const struct kc_node *n, int r)
{
	return (r == KC_EAGAIN || r == KC_ETIMEOUT || r == KC_EAUTH) && n->within != KC_NONE &&
	       f->plan->nodes[n->within].action == KC_UPDATE;
}

/* Was exactly this made once? Then it is taken to be there until one can look. */
static bool is_as_recorded(const struct kc_node *n)
{
	return n->mode == KC_SYNC && !n->unknown && !kc_json_get_bool(n->rec, "pending", false) &&
	       json_object_get(n->rec, "outputs") &&
	       json_equal(json_object_get(n->rec, "want"), n->want);
}

static int plan_node(struct finding *f, struct kc_node *n, struct kc_err *err)
{
	json_t *actual = NULL;
	int r;

	r = kc_node_resolve(f->engine, f->plan, n, false, err);
	if (r < 0)
		return r;
	if (n->mode == KC_IGNORE)
		return check_mode(n, err);
	if (!born_later(f, n) && (!n->unknown || n->rec || n->mode != KC_SYNC)) {
		r = find(f, n, &actual, err);
		if (r < 0 && !is_shut(f, n, r))
			return r;
		n->hidden = r < 0 && is_as_recorded(n);
	}
	json_decref(n->actual);
	n->actual = actual;
	if (n->mode != KC_SYNC)
		return check_mode(n, err);
	kc_node_diff(f->plan, n, n->actual);
	if (n->hidden)
		n->action = KC_KEEP;
	/* The second half of a replace that was cut off: the old one is still there. */
	if (json_array_size(json_object_get(n->rec, "old")))
		n->action = KC_REPLACE;
	return 0;
}

static int find_run(void *cookie, size_t job, int64_t *ret_delay_ms)
{
	struct finding *f = cookie;
	struct kc_node *n = &f->plan->nodes[job];
	struct kc_call c = { .caller = &f->caller, .node = n, .action = "plan" };
	int r;

	if (!n->task)
		return 0;
	if (!f->jobs[job].start_ms)
		f->jobs[job].start_ms = kc_now_ms();
	c.start_ms = f->jobs[job].start_ms;
	r = plan_node(f, n, &f->jobs[job].err);
	/* A plan is looked at by somebody who waits; the reason says more than "no answer". */
	if (r == KC_EAGAIN && kc_now_ms() - c.start_ms > FIND_PATIENCE_MS)
		r = f->jobs[job].err.code = KC_ETIMEOUT;
	if (r == KC_EAGAIN) {
		unsigned k = f->jobs[job].tries++;

		*ret_delay_ms = 20 << (k < 8 ? k : 8);
		return r;
	}
	f->jobs[job].r = r;
	if (r < 0)
		kc_call_event(&c, KC_EV_FAILED, f->jobs[job].err.msg, NULL);
	return r;
}

static void find_skipped(void *cookie, size_t job, size_t because)
{
	struct finding *f = cookie;

	if (because == KC_NONE)
		f->jobs[job].r = kc_fail(&f->jobs[job].err, KC_ECANCELED, "stopped");
}

static bool find_canceled(void *cookie)
{
	struct finding *f = cookie;

	return kc_caller_canceled(&f->caller);
}

static void finding_init(struct finding *f)
{
	f->jobs = xcalloc(f->plan->n, sizeof(*f->jobs));
	f->lists = xcalloc(f->plan->n, sizeof(*f->lists));
	for (size_t i = 0; i < f->plan->n; i++) {
		const struct kc_kind *kind = f->plan->nodes[i].kind;

		if (!kind->list || listing_of(f, kind))
			continue;
		f->lists[f->nlists].kind = kind;
		pthread_mutex_init(&f->lists[f->nlists++].lock, NULL);
	}
	kc_caller_init(&f->caller, f->engine);
}

static void finding_done(struct finding *f)
{
	for (size_t i = 0; i < f->nlists; i++) {
		json_decref(f->lists[i].by_id);
		pthread_mutex_destroy(&f->lists[i].lock);
	}
	free(f->lists);
	free(f->jobs);
	kc_caller_done(&f->caller);
}

int kc_find_all(struct kc_engine *e, struct kc_plan *p, struct kc_err *err)
{
	_cleanup_(finding_done) struct finding f = { .engine = e, .plan = p };
	_cleanup_free_ struct kc_sched_job *jobs = xcalloc(p->n, sizeof(*jobs));
	_cleanup_free_ int *caps = NULL;
	struct kc_sched s = {
		.jobs = jobs,
		.n = p->n,
		.cookie = &f,
		.run = find_run,
		.skipped = find_skipped,
		.canceled = find_canceled,
	};

	finding_init(&f);
	for (size_t i = 0; i < p->n; i++) {
		jobs[i].deps = p->nodes[i].needs;
		jobs[i].lane = p->nodes[i].lane;
	}
	s.caps = caps = kc_sched_caps(e, &s.lanes, &s.threads);
	kc_sched_run(&s);
	/* The first in the graph's order, whichever came first in time. */
	for (size_t i = 0; i < p->n; i++)
		if (f.jobs[p->order[i]].r < 0)
			return kc_fail(err, f.jobs[p->order[i]].r, "%s",
				       f.jobs[p->order[i]].err.msg);
	return 0;
}
