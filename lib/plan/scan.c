/*
 * What carries the owner's mark, whoever recorded it: asked before a delete is
 * planned, because a record may be lost, and again when all is done, because
 * somebody may have made something meanwhile.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/engine.h"

enum {
	LIST_PATIENCE_MS = 15000, /* for providers that throttle */
	GOING_MS = 2000,	  /* for what is on its way out when all else is done */
	NAMES_MAX = 8,
};

struct listing {
	const struct kc_kind *kind;
	size_t lane;
	json_t *by_id;
	int64_t start_ms;
	unsigned tries;
	int r;
	struct kc_err err;
};

struct scanning {
	struct kc_caller caller;
	struct listing *lists;
	size_t n;
};

static int list_run(void *cookie, size_t job, int64_t *ret_delay_ms)
{
	struct scanning *s = cookie;
	struct listing *l = &s->lists[job];
	int64_t now = kc_now_ms();

	if (!l->start_ms)
		l->start_ms = now;
	l->r = kc_call_list(&s->caller, l->lane, l->kind, &l->by_id, &l->err);
	if (l->r == KC_EAGAIN && now - l->start_ms < LIST_PATIENCE_MS) {
		*ret_delay_ms = 20 << (l->tries < 8 ? l->tries : 8);
		l->tries++;
		return KC_EAGAIN;
	}
	if (l->r == KC_EAGAIN)
		l->r = KC_ETIMEOUT;
	return l->r;
}

static void list_skipped(void *cookie, size_t job, size_t because)
{
	struct scanning *s = cookie;

	s->lists[job].r = kc_fail(&s->lists[job].err, KC_ECANCELED, "stopped");
}

static bool list_canceled(void *cookie)
{
	struct scanning *s = cookie;

	return kc_caller_canceled(&s->caller);
}

static void scanning_init(struct scanning *s, struct kc_engine *e)
{
	size_t n = 0;

	kc_caller_init(&s->caller, e);
	for (size_t p = 0; e->providers[p]; p++)
		for (size_t k = 0; e->providers[p]->kinds[k]; k++)
			n++;
	s->lists = xcalloc(n, sizeof(*s->lists));
	for (size_t p = 0; e->providers[p]; p++)
		for (size_t k = 0; e->providers[p]->kinds[k]; k++)
			if (e->providers[p]->kinds[k]->list)
				s->lists[s->n++] =
					(struct listing){ .kind = e->providers[p]->kinds[k],
							  .lane = p };
}

static void scanning_done(struct scanning *s)
{
	for (size_t i = 0; i < s->n; i++)
		json_decref(s->lists[i].by_id);
	free(s->lists);
	kc_caller_done(&s->caller);
}

/* In the order of their ids: a plan's hash must not depend on the provider's mood. */
static void add_found(const struct listing *l, json_t *out)
{
	size_t n;
	_cleanup_free_ const char **ids = kc_json_keys(l->by_id, &n);

	for (size_t i = 0; i < n; i++) {
		json_t *found = json_object_get(l->by_id, ids[i]);

		found = json_is_array(found) ? json_incref(found) : kc_pack("[O]", found);
		json_array_append_new(out, kc_pack("{s:s, s:s, s:o}", "id", ids[i], "kind",
						   l->kind->name, "found", found));
	}
}

int kc_scan(struct kc_engine *e, json_t **ret, struct kc_err *err)
{
	_cleanup_(scanning_done) struct scanning x = { 0 };
	_cleanup_free_ struct kc_sched_job *jobs = NULL;
	_cleanup_free_ int *caps = NULL;
	struct kc_sched s = {
		.cookie = &x,
		.run = list_run,
		.skipped = list_skipped,
		.canceled = list_canceled,
	};
	json_t *out;

	scanning_init(&x, e);
	s.jobs = jobs = xcalloc(x.n + 1, sizeof(*jobs));
	s.n = x.n;
	for (size_t i = 0; i < x.n; i++)
		jobs[i].lane = x.lists[i].lane;
	s.caps = caps = kc_sched_caps(e, &s.lanes, &s.threads);
	kc_sched_run(&s);
	for (size_t i = 0; i < x.n; i++)
		if (x.lists[i].r < 0)
			return kc_fail(err, x.lists[i].r, "%s", x.lists[i].err.msg);
	out = json_array();
	for (size_t i = 0; i < x.n; i++)
		add_found(&x.lists[i], out);
	*ret = out;
	return 0;
}

/* Is it meant to be there still: because it is wanted, or was dropped with open eyes? */
static bool may_stay(const struct kc_plan *p, const char *id)
{
	size_t i = kc_graph_index(p, id, strlen(id));

	return i != KC_NONE && (p->nodes[i].task ||
				(p->nodes[i].action == KC_FORGET && p->nodes[i].within == KC_NONE));
}

/* Their names in text, some of them at least; how many there are. */
static size_t name_left(const struct kc_plan *p, const json_t *found, struct kc_buf *text)
{
	const json_t *s;
	size_t i, n = 0;

	json_array_foreach(found, i, s) {
		const char *id = kc_json_get_str(s, "id", "");

		if (may_stay(p, id))
			continue;
		if (n++ < NAMES_MAX)
			kc_buf_printf(text, "%s%s", n > 1 ? ", " : "", id);
	}
	if (n > NAMES_MAX)
		kc_buf_printf(text, " and %zu more", n - NAMES_MAX);
	return n;
}

int kc_scan_left(struct kc_engine *e, const struct kc_plan *p, struct kc_err *err)
{
	int64_t deadline = kc_now_ms() + GOING_MS;

	for (long pause = 10;; pause *= 2) {
		_cleanup_buf_ struct kc_buf text = { 0 };
		json_auto_t *found = NULL;
		int r = kc_scan(e, &found, err);

		if (r < 0)
			return kc_wrap(err, "looking whether anything is left");
		if (!name_left(p, found, &text))
			return 0;
		if (kc_now_ms() > deadline)
			return kc_fail(err, KC_EFAIL,
				       "%s: left with this owner's mark although all was deleted; "
				       "whoever made it while the delete ran must stop, then run "
				       "the delete again",
				       kc_buf_get(&text));
		kc_sleep_ms(pause);
	}
}
