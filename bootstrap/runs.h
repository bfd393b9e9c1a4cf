/*
 * Runs: when everything happened that changed a cluster.
 *
 * A session notes its phases, what was done on each host, and in the end the engine's own times
 * (kc_plan_times()); one object a run lies beside the record, the last ten of a cluster:
 *
 *   <prefix>/runs/<fence>.json   {"run": fence, "verb", "started", "startedMs": since 1970,
 *      "state": "running|done|failed|stopped", "error", "ms",
 *      "phases": [{"name", "start", "ms"}],
 *      "tasks": [as kc_plan_times(), and "steps": [{"id", "action", "start", "end", "result"}]],
 *      "stepsLeftOut": how many more there were}
 *
 * All times but startedMs count from the run's begin. It is put before the first change, so that a
 * run that is killed leaves what it meant to do; the journal then says how far it came. What hosts
 * say is cut and cleaned; no value of a task is in it, so no secret either.
 */
#ifndef KC_BOOTSTRAP_RUNS_H
#define KC_BOOTSTRAP_RUNS_H

#include <jansson.h>
#include <pthread.h>

#include "lib/plan/plan.h"
#include "lib/store/store.h"

struct runs {
	pthread_mutex_t lock;
	int64_t begin_ms, started_ms; /* monotonic, and since 1970 */
	json_t *phases;
	json_t *steps; /* {task: [step]} */
	size_t nsteps, left_out;
	const char *verb;
	bool stored;
};

void runs_init(struct runs *r);
void runs_done(struct runs *r);
/* Begins a phase and ends the one before it. */
void runs_phase(struct runs *r, const char *name);
/* A nested task's event (bootstrap/node/protocol.h) on the host of a task. */
void runs_event(struct runs *r, const char *task, const json_t *event);
/* Something that was done on a host from since_ms (kc_now_ms()) until now. */
void runs_step(struct runs *r, const char *task, const char *what, int64_t since_ms, bool ok);
/* The run as it is stored. times is kc_plan_times() and consumed; error may be NULL. */
json_t *runs_json(struct runs *r, uint64_t fence, json_t *times, const char *state,
		  const char *error);

/* What a run's journal ({"task", "intent"|"result", "at"}) says of tasks, and how long it lived. */
void runs_fold(json_t *run, const json_t *journal);

/* Numbers of the runs below prefix, in order. */
int runs_list(struct kc_store *store, const char *prefix, json_t **ret, struct kc_err *err);
/*
 * One of them. A run that is stored as running is told from its journal: "running" if the lock is
 * held with its fence, else "killed". KC_ENOTFOUND: there is none.
 */
int runs_get(struct kc_store *store, const char *prefix, const char *uid, uint64_t fence,
	     json_t **ret, struct kc_err *err);
int runs_put(struct kc_store *store, const char *prefix, const json_t *run, struct kc_err *err);
/* By who holds the lock with this fence, before the journal is folded into the record: the last
 * run, if it was killed, keeps what only the journal knows. */
int runs_settle(struct kc_store *store, const char *prefix, const char *uid, uint64_t fence,
		struct kc_err *err);
/* All but the newest go. */
int runs_prune(struct kc_store *store, const char *prefix, struct kc_err *err);

#endif
