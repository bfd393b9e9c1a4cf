/* One apply: a plan's jobs through the scheduler. */
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/plan/engine.h"

static int run_cb(void *cookie, size_t job, int64_t *ret_delay_ms)
{
	struct kc_run *r = cookie;

	return kc_job_run(r, &r->jobs[job], ret_delay_ms);
}

static void skipped_cb(void *cookie, size_t job, size_t because)
{
	struct kc_run *r = cookie;

	kc_job_skipped(r, &r->jobs[job], because);
}

static void due_cb(void *cookie, size_t job)
{
	struct kc_run *r = cookie;

	r->jobs[job].due_ms = kc_now_ms();
}

static bool canceled_cb(void *cookie)
{
	struct kc_run *r = cookie;

	return kc_caller_canceled(&r->caller);
}

/* Everything waits: a good moment to make results durable. */
static void idle_cb(void *cookie)
{
	struct kc_run *r = cookie;

	kc_state_flush(r->engine->state, NULL);
}

int kc_plan_apply(struct kc_engine *e, struct kc_plan *p, struct kc_err *err)
{
	struct kc_run r = { .engine = e, .plan = p, .lock = PTHREAD_MUTEX_INITIALIZER };
	struct kc_sched s = {
		.cookie = &r,
		.due = due_cb,
		.run = run_cb,
		.skipped = skipped_cb,
		.canceled = canceled_cb,
		.idle = idle_cb,
	};
	_cleanup_free_ int *caps = NULL;
	int rc;

	if (!e->state || !kc_state_writable(e->state))
		return kc_fail(err, KC_EINVAL, "the state is not open for writing");
	kc_jobs_make(&r, &s);
	for (size_t i = 0; i < r.n; i++)
		r.jobs[i].planned = r.jobs[i].node->action;
	s.caps = caps = kc_sched_caps(e, &s.lanes, &s.threads);
	kc_caller_init(&r.caller, e);
	kc_sched_run(&s);
	rc = kc_state_flush(e->state, r.failed ? NULL : &r.first);
	if (rc == 0 && !r.failed && e->scan)
		rc = kc_scan_left(e, p, &r.first);
	if (rc < 0)
		r.failed = true;
	json_decref(p->times);
	p->times = kc_times_make(&r, &s);
	for (size_t i = 0; i < r.n; i++) {
		kc_idx_done(&s.jobs[i].deps);
		free(r.jobs[i].error);
	}
	kc_caller_done(&r.caller);
	free(s.jobs);
	free(r.jobs);
	return r.failed ? kc_fail(err, r.first.code, "%s", r.first.msg) : 0;
}
