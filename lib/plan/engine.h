/*
 * Private to the room: how its files share a plan.
 *
 *	scan.c    owner -> what carries its mark         (over sched.c)
 *	graph.c   tasks + record + that -> nodes, edges, order
 *	find.c    nodes -> want, actual, action           (over sched.c)
 *	plan.c    the public calls, the plan's JSON
 *	jobs.c    nodes -> jobs (a replace may need two)  (over sched.c)
 *	apply.c   one job's steps                          (over call.c, intent.c)
 *	intent.c  its intent and result                    (over state.c)
 *	run.c     all jobs of an apply                     (over sched.c)
 *	times.c   when each of them ran                    (after run.c)
 *
 * While sched.c runs, a node is written by the one thread that runs its job and
 * read by jobs that depend on it, which start later; nothing else is shared
 * without a lock.
 */
#ifndef KC_PLAN_ENGINE_H
#define KC_PLAN_ENGINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/bucket.h"
#include "lib/plan/plan.h"
#include "lib/plan/resolve.h"
#include "lib/plan/state.h"

#define KC_NONE ((size_t)-1)

enum kc_action { KC_KEEP, KC_UPDATE, KC_CREATE, KC_REPLACE, KC_DELETE, KC_FORGET };
enum kc_mode { KC_SYNC, KC_IGNORE, KC_EXISTS, KC_EXISTS_WARN };

struct kc_idx {
	size_t *v, n, cap;
};
void kc_idx_add(struct kc_idx *x, size_t i);
void kc_idx_done(struct kc_idx *x);

struct kc_node {
	const char *id;
	const struct kc_kind *kind;
	const struct kc_provider *provider;
	size_t lane;	    /* the provider's number */
	size_t rank;	    /* the kind's number there */
	const json_t *task; /* in plan->tasks; NULL: it left the graph */
	const json_t *rec;  /* in plan->record; or NULL */
	/* In plan->strays: its incarnations, when only list knows it; or NULL. */
	const json_t *stray;
	size_t within;
	enum kc_mode mode;
	struct kc_idx deps;  /* all edges */
	struct kc_idx needs; /* those that carry data: what find waits for */

	enum kc_action action;
	json_t *want, *via; /* with what could be resolved; the rest are still references */
	int unknown;
	json_t *actual;	 /* find's last answer; NULL: absent or not asked */
	json_t *changes; /* [{path, from?, to?}] */
	json_t *output;	 /* after apply: the last actual */
	const char *warning;
	bool begun;  /* in this apply */
	bool hidden; /* kept unseen: what it lies within is to be repaired first */
};

struct kc_listing; /* one kind's answers to list */

struct kc_plan {
	json_t *tasks, *record, *strays, *index;
	struct kc_node *nodes;
	size_t n, *order;
	json_t *json;
	json_t *times; /* of the last apply; or NULL */
};

/* scan.c: [{id, kind, found: [actual]}] of every kind that has list, sorted. */
int kc_scan(struct kc_engine *e, json_t **ret, struct kc_err *err);
/* After a delete: KC_EFAIL names what is left of it. */
int kc_scan_left(struct kc_engine *e, const struct kc_plan *p, struct kc_err *err);

/* graph.c; strays: what kc_scan() gave, or NULL */
int kc_graph_build(const struct kc_engine *e, const json_t *tasks, json_t *strays,
		   struct kc_plan **ret, struct kc_err *err);
size_t kc_graph_index(const struct kc_plan *p, const char *id, size_t len);

/* resolve.c */
bool kc_is_hole(const json_t *v);
/* {"secret": name, "version"?: N, "hmac"?: hex}: what stands for a secret's bytes. */
bool kc_is_secret_ref(const json_t *v);
void kc_refs_set(const json_t *value, json_t *set); /* ids as keys of an object */
/* An output: its key, or a dotted path with list positions; NULL key: all of it. Borrowed. */
const json_t *kc_output_at(const json_t *output, const char *key);

/* diff.c */
struct kc_diff {
	const struct kc_kind *kind;
	/* Must a hole on an immutable key be taken as a change? NULL: no. */
	bool (*strong)(void *cookie, const json_t *hole);
	void *cookie;
};
/* Changes from actual to want; old is the want of the last apply, or NULL. */
void kc_diff(const struct kc_diff *d, const json_t *want, const json_t *actual, const json_t *old,
	     json_t **ret_changes, bool *ret_replace);
/* Is the path (list positions ignored) or one of its parents among keys? */
bool kc_path_in(const char *path, const char *const *keys);

/* The recorded want, when what it names must be looked for under its old identity: an immutable
 * key differs. Else n->want. */
const json_t *kc_identity_of(const struct kc_node *n);

/* find.c */
int kc_find_all(struct kc_engine *e, struct kc_plan *p, struct kc_err *err);
/* Resolve n's want and via against outputs (after apply) or plans (before it). */
int kc_node_resolve(struct kc_engine *e, struct kc_plan *p, struct kc_node *n, bool applying,
		    struct kc_err *err);
/* Diff n->want with actual: changes and action (never weaker than holes demand). */
void kc_node_diff(struct kc_plan *p, struct kc_node *n, const json_t *actual);

/* call.c: kinds' functions with caps, buckets, tokens and defensive copies */
struct kc_caller {
	struct kc_engine *engine;
	struct kc_bucket *buckets; /* one a lane */
	atomic_bool stop;	   /* fenced: as canceled */
	pthread_mutex_t event_lock;
};
void kc_caller_init(struct kc_caller *c, struct kc_engine *e);
void kc_caller_done(struct kc_caller *c);
bool kc_caller_canceled(struct kc_caller *c);

struct kc_call {
	struct kc_caller *caller;
	const struct kc_node *node;
	const char *action;
	int64_t start_ms;
	const json_t *want, *via, *known;
	int64_t generation;
	const char *token; /* NULL: the one of the generation */
};
int kc_call_find(const struct kc_call *c, json_t **ret_actual, struct kc_err *err);
/* {id: actual or [actuals]}, with nothing else in it. */
int kc_call_list(struct kc_caller *c, size_t lane, const struct kc_kind *kind, json_t **ret,
		 struct kc_err *err);
int kc_call_apply(const struct kc_call *c, const json_t *actual, const json_t *changes,
		  json_t **ret_actual, struct kc_err *err);
int kc_call_ready(const struct kc_call *c, const json_t *actual, struct kc_err *err);
int kc_call_remove(const struct kc_call *c, const json_t *actual, struct kc_err *err);
void kc_call_event(const struct kc_call *c, int what, const char *text, const json_t *detail);
void kc_token(const char *owner, const char *id, int64_t generation, char out[33]);

/* sched.c */
struct kc_sched_job {
	struct kc_idx deps;
	size_t lane;
	const char *limit; /* "name:N", validated; or NULL */
	size_t heir;	   /* 1 + the job that goes on holding the limit after this one; 0: none */
};
struct kc_sched {
	struct kc_sched_job *jobs;
	size_t n;
	const int *caps; /* one a lane */
	size_t lanes;
	int threads;
	void *cookie;
	/* Nothing that it depends on is in the way any more; a limit or a cap may be. Under the
	 * scheduler's lock. Optional. */
	void (*due)(void *cookie, size_t job);
	/* 0: done. KC_EAGAIN: again in *ret_delay_ms. Else failed: its dependents are skipped. */
	int (*run)(void *cookie, size_t job, int64_t *ret_delay_ms);
	/* because: the failed job, or KC_NONE when canceled. */
	void (*skipped)(void *cookie, size_t job, size_t because);
	bool (*canceled)(void *cookie);
	void (*idle)(void *cookie); /* everything waits for timers */
};
void kc_sched_run(const struct kc_sched *s);
/* Lanes' caps and the number of threads that an engine asks for. */
int *kc_sched_caps(const struct kc_engine *e, size_t *ret_lanes, int *ret_threads);
bool kc_limit_parse(const char *limit, size_t *ret_name_len, long *ret_n);

/* jobs.c */
enum kc_job_type { KC_JOB_MAIN, KC_JOB_REMOVE, KC_JOB_CLEANUP };
enum kc_phase { KC_PH_START, KC_PH_READY /* asked once, slept since */ };
struct kc_job {
	struct kc_node *node;
	enum kc_job_type type;
	enum kc_action planned; /* what was shown and confirmed */
	enum kc_phase phase;
	bool announced; /* KC_EV_START went out */
	bool resolved, intended, skipped;
	bool removing; /* destroy first: the old incarnation is on its way out */
	bool renewed;  /* the old incarnation of a replace is out of the way */
	unsigned tries;
	int64_t due_ms, start_ms, end_ms, slept_ms;
	const char *result; /* times.c; NULL: under way */
	char *error;
	int64_t generation, token_of; /* token is of that generation */
	char token[33];
	struct kc_err waiting; /* why it was last told to wait */
};
struct kc_run {
	struct kc_engine *engine;
	struct kc_plan *plan;
	struct kc_caller caller;
	struct kc_job *jobs;
	size_t n;
	pthread_mutex_t lock;
	struct kc_err first;
	bool failed;
	int given_up_on; /* failed tasks of the kind that kc_engine.give_up names */
};
void kc_jobs_make(struct kc_run *r, struct kc_sched *s);

/* times.c: what kc_plan_times() says after an apply */
json_t *kc_times_make(const struct kc_run *r, const struct kc_sched *s);

/* intent.c: what goes into the journal */
const char *kc_job_token(struct kc_run *r, struct kc_job *j);
/* Outputs as they are recorded: without what is news, not state, such as a nested plan. */
json_t *kc_job_outputs(const struct kc_node *n, const json_t *actual);
/* entry is consumed. */
int kc_job_append(struct kc_run *r, const struct kc_node *n, json_t *entry, bool durable,
		  struct kc_err *err);
int kc_job_result(struct kc_run *r, const struct kc_node *n, const char *result,
		  struct kc_err *err);
/* Write what is true of a task, unless the record says so already. */
int kc_job_record(struct kc_run *r, struct kc_job *j, const json_t *actual, struct kc_err *err);
/* Durable before the first mutating call of a job. old is consumed: what it replaces, or NULL. */
int kc_job_intent(struct kc_run *r, struct kc_job *j, const char *action, json_t *old,
		  struct kc_err *err);

/* apply.c: what struct kc_sched wants, for one job */
int kc_job_run(struct kc_run *r, struct kc_job *j, int64_t *ret_delay_ms);
void kc_job_skipped(struct kc_run *r, struct kc_job *j, size_t because);
const char *kc_action_name(enum kc_action a);

/* state.c: entry is consumed. durable: wait until it is stored. */
int kc_state_append(struct kc_state *s, json_t *entry, bool durable, struct kc_err *err);
int kc_state_flush(struct kc_state *s, struct kc_err *err);
/* A copy of one task's entry, or NULL. */
json_t *kc_state_entry(struct kc_state *s, const char *id);
int64_t kc_state_generation(struct kc_state *s, const char *id);
bool kc_state_writable(const struct kc_state *s);

#endif
