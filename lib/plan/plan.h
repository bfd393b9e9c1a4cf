/*
 * The engine: resources as data.
 *
 *   tasks --sort--> order --resolve--> want' --find--> have --diff--> plan
 *         --gate--> apply --ready--> record --prune--> gone
 *
 * A graph is a JSON array of tasks:
 *   {"id": "node/w1", "kind": "node", "want": {…}, "after": ["pki/ca"],
 *    "limit": "etcd:1",        named semaphore, held until ready
 *    "within": "node/cp1",     dies with that task: when it is deleted, this one is forgotten
 *    "mode": "sync",           | ignore | exists | exists-warn
 *    "via": {…}}               how to reach it, kept in the record for delete
 * Values in want (lib/plan/resolve.h):
 *   {"$ref": "vpc/main#id"}    another task's output (value and edge at once)
 *   {"$cat": [ … ]}  {"$join": [",", [ … ]]}  {"$json": value -> its text}
 *   {"$fact": "name"} and {"$secret": "name"} are the embedder's, through kc_engine.resolve.
 * Users' strings are never scanned.
 *
 * The plan is a JSON value (kc_plan_json): {"format": 1, "tasks": [{"id", "kind", "action":
 * "create|update|replace|delete|forget|keep", "changes": [{"path", "from", "to"}], "provider",
 * "children": [ … ], "count"}]}, where count is how many an entry stands for (1), and text also
 * shows "more": changes left out; text, JSON and golden tests render this same value and its
 * SHA-256 is the token of --confirm.
 *
 * Durable state is behind struct kc_state (lib/plan/state.h): record, journal
 * of intents, fence. Everything here may be killed at any instant; the same
 * call with the same graph then resumes.
 */
#ifndef KC_PLAN_PLAN_H
#define KC_PLAN_PLAN_H

#include <jansson.h>
#include <stdatomic.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/plan/kind.h"

struct kc_state;

/* One step of a run, for progress; strings are borrowed for the call. */
struct kc_event {
	const char *task, *kind, *action;
	enum { KC_EV_START, KC_EV_PROGRESS, KC_EV_DONE, KC_EV_FAILED, KC_EV_WAIT } what;
	const char *text;     /* progress or error text; or NULL */
	const json_t *detail; /* nested event; or NULL */
	int64_t elapsed_ms;
};

struct kc_engine {
	const struct kc_provider *const *providers; /* NULL-terminated */
	const char *owner;			    /* the cluster's uid */
	struct kc_state *state; /* NULL: nothing recorded (plan of an empty record) */
	uint64_t fence;
	const char *forget; /* a task that left the graph: dropped from the record, not deleted */
	/* For a delete: also what carries owner's mark and neither graph nor record knows is
	 * deleted, and apply fails if anything but the graph's tasks is left in the end. */
	bool scan;
	/* Once so many tasks of one kind have failed, no other one of it that has something to do
	 * is begun; those under way end. 0: all are tried. */
	struct {
		const char *kind;
		int failures;
	} give_up;
	int threads;	  /* 0: the sum of the providers' caps, at most 64 */
	long deadline_ms; /* a task's, for becoming ready; 0: ten minutes */
	long backoff_ms;  /* the first sleep after KC_EAGAIN, doubled up to 30 s; 0: 20 */

	/* Resolve {"$fact": …} and {"$secret": …}: name is "$fact"/"$secret". KC_EAGAIN: known
	 * after apply. */
	int (*resolve)(void *cookie, const char *name, const json_t *arg, json_t **ret,
		       struct kc_err *err);
	/* Asked before each mutating call: lease and fence still ours? Optional. */
	int (*guard)(void *cookie, struct kc_err *err);
	/* Called with the engine's lock held: one at a time, from any thread. Optional. */
	void (*event)(void *cookie, const struct kc_event *ev);
	void *cookie;
	/* Set (by a signal handler) to stop cleanly: running calls finish. Or NULL. */
	const atomic_bool *cancel;
};

struct kc_plan;

/*
 * Sort, resolve, find and diff tasks; nothing is changed. Recorded tasks that
 * the graph lacks become delete (or forget, when they lie within one that is
 * deleted). A task whose want still has unresolved references is create
 * without find, unless it is recorded; its unknown values print as "(known
 * after apply)". The same goes for a task within one that is made anew.
 * With scan, what only the kinds' list knows is delete, too.
 */
int kc_plan_make(struct kc_engine *e, const json_t *tasks, struct kc_plan **ret,
		 struct kc_err *err);
void kc_plan_free(struct kc_plan *p);
KC_DEFINE_CLEANUP(struct kc_plan *, kc_plan_free)
#define _cleanup_plan_ _cleanup_(kc_plan_freep)

const json_t *kc_plan_json(const struct kc_plan *p);
/* Find's answer for a task (its actual), or NULL; borrowed. For preflight over facts. */
const json_t *kc_plan_actual(const struct kc_plan *p, const char *id);
/* Actions other than keep. */
size_t kc_plan_pending(const struct kc_plan *p);
/* How many entries of a plan's JSON have this kind and action (either may be NULL: any): for gates.
 */
size_t kc_plan_count(const json_t *plan, const char *kind, const char *action);
/* Lower-case hex SHA-256 of the canonical JSON; what --confirm takes. */
void kc_plan_hash(const struct kc_plan *p, char out[65]);

/* The plan for people (also of a nested or stored plan's JSON). color: ANSI. */
struct kc_buf;
void kc_plan_text(const json_t *plan, bool color, struct kc_buf *out);

/*
 * Do it: a task starts the instant its dependencies are ready. On failure
 * running tasks finish, no new one starts whose dependencies failed, and the
 * first error is returned after all results are in; the record is what is
 * true. With give_up fewer are begun. The engine's state must be open for writing.
 */
int kc_plan_apply(struct kc_engine *e, struct kc_plan *p, struct kc_err *err);

/* After apply: one task's outputs (its last actual), or NULL; borrowed. */
const json_t *kc_plan_output(const struct kc_plan *p, const char *id);

/*
 * What an apply did and when, one entry for each of its steps (a replace may have two):
 *   {"id", "kind", "action", "provider", "part": "remove|cleanup" of a replace, "limit",
 *    "after": [positions in this list], "due": nothing it depends on was in the way any more,
 *    "start", "end", "slept": waiting for it to become ready, "why": the last reason for that,
 *    "result": "done|failed|skipped|stopped", "error"}
 * Times are kc_now_ms(). Before an apply: what there is to do, without times and results. New
 * reference.
 */
json_t *kc_plan_times(const struct kc_plan *p);

#endif
