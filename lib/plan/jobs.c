/*
 * From nodes to jobs. Nearly every node is one job; a replace may need two:
 *
 *  - destroy first, and somebody who uses the old one goes or is replaced, too:
 *    a REMOVE job of its own, after the users' removals (the main job, which the
 *    users wait for, comes after it). Otherwise the main job does both halves,
 *    so that a named limit spans them.
 *  - create first: a CLEANUP job after all users have moved to the new one.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/engine.h"

static bool destroys_first(const struct kc_node *n)
{
	return n->task && n->action == KC_REPLACE && n->kind->replace == KC_DESTROY_FIRST &&
	       !n->kind->nested;
}

static bool creates_first(const struct kc_node *n)
{
	return n->task && n->action == KC_REPLACE && n->kind->replace == KC_CREATE_FIRST;
}

static size_t add_job(struct kc_run *r, struct kc_sched_job *jobs, size_t node,
		      enum kc_job_type type)
{
	r->jobs[r->n] = (struct kc_job){ .node = &r->plan->nodes[node], .type = type };
	jobs[r->n].lane = r->plan->nodes[node].lane;
	return r->n++;
}

/* The REMOVE job of node x, made when first asked for. */
static size_t remove_job(struct kc_run *r, struct kc_sched_job *jobs, size_t *removes, size_t x)
{
	if (removes[x] == KC_NONE) {
		removes[x] = add_job(r, jobs, x, KC_JOB_REMOVE);
		jobs[removes[x]].limit = jobs[x].limit;
		jobs[removes[x]].heir = 1 + x; /* from the removal until the new one is ready */
		kc_idx_add(&jobs[x].deps, removes[x]);
	}
	return removes[x];
}

/* The node that a recorded edge leads to, or KC_NONE. */
static size_t recorded(const struct kc_plan *p, const json_t *edge)
{
	const char *id = json_string_value(edge);

	return id ? kc_graph_index(p, id, strlen(id)) : KC_NONE;
}

/* Will d, which used x until now, let go of it: because it leaves, or refers to it no longer? */
static bool lets_go(const struct kc_plan *p, size_t d, size_t x)
{
	const struct kc_node *n = &p->nodes[d];

	if (!n->task)
		return n->action == KC_DELETE;
	for (size_t k = 0; k < n->deps.n; k++)
		if (n->deps.v[k] == x)
			return false;
	return d != x && !destroys_first(n);
}

/* Users of replaced things go first: those that are removed themselves, and those that move away.
 */
static void order_removals(struct kc_run *r, struct kc_sched_job *jobs, size_t *removes)
{
	struct kc_plan *p = r->plan;

	for (size_t d = 0; d < p->n; d++) {
		const struct kc_node *n = &p->nodes[d];
		json_t *v;
		size_t k;

		for (k = 0; destroys_first(n) && k < n->deps.n; k++) {
			size_t x = n->deps.v[k];

			if (destroys_first(&p->nodes[x])) {
				size_t rx = remove_job(r, jobs, removes, x);

				kc_idx_add(&jobs[rx].deps, remove_job(r, jobs, removes, d));
			}
		}
		json_array_foreach(json_object_get(n->rec, "after"), k, v) {
			size_t x = recorded(p, v);

			if (x != KC_NONE && destroys_first(&p->nodes[x]) && lets_go(p, d, x)) {
				size_t rx = remove_job(r, jobs, removes, x);

				kc_idx_add(&jobs[rx].deps, d);
			}
		}
	}
}

/* Jobs that can never start; all zero when there is none. */
static bool has_circle(const struct kc_run *r, const struct kc_sched_job *jobs)
{
	_cleanup_free_ bool *done = xcalloc(r->n, sizeof(*done));
	bool moved = true;
	size_t left = r->n;

	while (moved) {
		moved = false;
		for (size_t i = 0; i < r->n; i++) {
			size_t k = 0;

			while (!done[i] && k < jobs[i].deps.n && done[jobs[i].deps.v[k]])
				k++;
			if (!done[i] && k == jobs[i].deps.n) {
				done[i] = moved = true;
				left--;
			}
		}
	}
	return left != 0;
}

/*
 * A thing that is gone from the graph may have to outlive a user of it which in
 * turn waits for the replaced one. Then the provider's own order (EAGAIN from
 * remove) has to do.
 */
static void break_circle(struct kc_run *r, struct kc_sched_job *jobs)
{
	for (size_t i = 0; i < r->n; i++) {
		size_t kept = 0;

		if (r->jobs[i].type != KC_JOB_REMOVE)
			continue;
		for (size_t k = 0; k < jobs[i].deps.n; k++)
			if (r->jobs[jobs[i].deps.v[k]].type == KC_JOB_REMOVE)
				jobs[i].deps.v[kept++] = jobs[i].deps.v[k];
		jobs[i].deps.n = kept;
	}
}

static void add_cleanups(struct kc_run *r, struct kc_sched_job *jobs)
{
	struct kc_plan *p = r->plan;
	_cleanup_free_ size_t *cleanup = xcalloc(p->n, sizeof(*cleanup));

	for (size_t i = 0; i < p->n; i++) {
		cleanup[i] =
			creates_first(&p->nodes[i]) ? add_job(r, jobs, i, KC_JOB_CLEANUP) : KC_NONE;
		if (cleanup[i] != KC_NONE)
			kc_idx_add(&jobs[cleanup[i]].deps, i);
	}
	for (size_t i = 0; i < p->n; i++) {
		json_t *v;
		size_t k;

		for (k = 0; k < p->nodes[i].deps.n; k++)
			if (cleanup[p->nodes[i].deps.v[k]] != KC_NONE)
				kc_idx_add(&jobs[cleanup[p->nodes[i].deps.v[k]]].deps, i);
		/* Who used it and leaves, or will no longer refer to it, still uses the old one. */
		json_array_foreach(json_object_get(p->nodes[i].rec, "after"), k, v) {
			size_t x = recorded(p, v);

			if (x != KC_NONE && cleanup[x] != KC_NONE && x != i)
				kc_idx_add(&jobs[cleanup[x]].deps, i);
		}
	}
}

void kc_jobs_make(struct kc_run *r, struct kc_sched *s)
{
	struct kc_plan *p = r->plan;
	struct kc_sched_job *jobs = xcalloc(3 * p->n, sizeof(*jobs));
	_cleanup_free_ size_t *removes = xcalloc(p->n, sizeof(*removes));

	r->jobs = xcalloc(3 * p->n, sizeof(*r->jobs));
	for (size_t i = 0; i < p->n; i++) {
		const struct kc_idx *deps = &p->nodes[i].deps;

		add_job(r, jobs, i, KC_JOB_MAIN);
		removes[i] = KC_NONE;
		jobs[i].limit = kc_json_get_str(p->nodes[i].task, "limit", NULL);
		for (size_t k = 0; k < deps->n; k++)
			kc_idx_add(&jobs[i].deps, deps->v[k]);
	}
	order_removals(r, jobs, removes);
	if (r->n > p->n && has_circle(r, jobs))
		break_circle(r, jobs);
	add_cleanups(r, jobs);
	s->jobs = jobs;
	s->n = r->n;
}
