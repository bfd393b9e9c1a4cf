/* One job's steps: find, diff, intent, guard, call, result, ready. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "lib/plan/engine.h"

#define DEADLINE_MS 600000
#define BACKOFF_MS  20
#define BACKOFF_MAX 30000

static struct kc_call call_of(struct kc_run *r, struct kc_job *j)
{
	const struct kc_node *n = j->node;
	bool same = kc_json_get_int(n->rec, "generation", 1) == j->generation;

	return (struct kc_call){
		.caller = &r->caller,
		.node = n,
		.action = kc_action_name(n->action),
		.start_ms = j->start_ms,
		.want = n->task ? n->want : json_object_get(n->rec, "want"),
		.via = n->via ? n->via : json_object_get(n->rec, "via"),
		.known = same ? json_object_get(n->rec, "outputs") : NULL,
		.generation = j->generation,
		.token = kc_job_token(r, j),
	};
}

static void announce(struct kc_run *r, struct kc_job *j)
{
	struct kc_call c = call_of(r, j);

	if (!j->announced)
		kc_call_event(&c, KC_EV_START, NULL, NULL);
	j->announced = true;
}

/* What the run as a whole failed with: the first reason. */
static void note_first(struct kc_run *r, int code, const char *msg)
{
	pthread_mutex_lock(&r->lock);
	if (!r->failed)
		kc_fail(&r->first, code, "%s", msg);
	r->failed = true;
	pthread_mutex_unlock(&r->lock);
}

/* Lease and fence are still ours? If not nothing more may start. */
static int guard(struct kc_run *r, struct kc_err *err)
{
	int rc;

	if (kc_caller_canceled(&r->caller))
		return kc_fail(err, KC_ECANCELED, "stopped");
	if (!r->engine->guard)
		return 0;
	rc = r->engine->guard(r->engine->cookie, err);
	if (rc < 0) {
		note_first(r, rc, err->msg); /* before others fail with "stopped" */
		atomic_store(&r->caller.stop, true);
	}
	return rc;
}

/*
 * One incarnation, away: 0 once it is. Asked again after KC_EAGAIN, and then
 * find has the last word.
 */
static int remove_one(struct kc_run *r, struct kc_job *j, const struct kc_call *c,
		      const char *action, struct kc_err *err)
{
	json_auto_t *actual = NULL;
	int rc = kc_call_find(c, &actual, err);

	if (rc < 0 || !actual)
		return rc;
	announce(r, j);
	rc = kc_job_intent(r, j, action, NULL, err);
	if (rc == 0)
		rc = guard(r, err);
	if (rc == 0)
		rc = kc_call_remove(c, actual, err);
	return rc;
}

/* The incarnations that a create-first replace left behind. */
static int clean_up(struct kc_run *r, struct kc_job *j, struct kc_err *err)
{
	json_auto_t *entry = kc_state_entry(r->engine->state, j->node->id);
	json_t *old;
	size_t i;

	json_array_foreach(json_object_get(entry, "old"), i, old) {
		struct kc_call c = call_of(r, j);
		int rc;

		c.want = json_object_get(old, "want");
		c.known = json_object_get(old, "outputs");
		c.generation = kc_json_get_int(old, "generation", 1);
		c.token = NULL;
		j->intended = true; /* the record knows already that this one has to go */
		rc = remove_one(r, j, &c, "delete", err);
		if (rc == 0)
			rc = kc_job_append(r, j->node,
					   kc_pack("{s:s, s:I}", "result", "cleaned", "generation",
						   (json_int_t)c.generation),
					   false, err);
		if (rc < 0)
			return rc;
	}
	j->intended = false;
	return 0;
}

/* What no record knows needs no intent: its mark tells of it until it is gone. */
static int remove_stray(struct kc_run *r, struct kc_job *j, struct kc_err *err)
{
	const json_t *found;
	size_t i;

	json_array_foreach((json_t *)j->node->stray, i, found) {
		struct kc_call c = call_of(r, j);
		int rc;

		c.known = found;
		c.token = kc_json_get_str(found, "token", NULL);
		j->intended = true;
		rc = remove_one(r, j, &c, "delete", err);
		j->intended = false;
		if (rc < 0)
			return rc;
	}
	return kc_job_result(r, j->node, "gone", err); /* its token is used */
}

static int run_delete(struct kc_run *r, struct kc_job *j, struct kc_err *err)
{
	struct kc_call c = call_of(r, j);
	int rc;

	if (j->node->stray)
		return remove_stray(r, j, err);
	rc = clean_up(r, j, err);

	if (rc == 0)
		rc = remove_one(r, j, &c, "delete", err);
	if (rc == 0)
		rc = kc_job_result(r, j->node, "gone", err);
	return rc;
}

/* The first half of a destroy-first replace. */
static int run_remove(struct kc_run *r, struct kc_job *j, struct kc_err *err)
{
	struct kc_call c = call_of(r, j);
	int rc;

	if (j->node->rec)
		c.want = json_object_get(j->node->rec, "want");
	rc = remove_one(r, j, &c, "replace", err);
	if (rc == 0 && j->intended)
		rc = kc_job_result(r, j->node, "removed", err);
	return rc;
}

/* A plan that somebody confirmed may turn out weaker, never stronger. */
static int check_strength(const struct kc_job *j, struct kc_err *err)
{
	if (j->node->action != KC_REPLACE || j->planned == KC_REPLACE)
		return 0;
	return kc_fail(err, KC_ECONFLICT,
		       "%s would have to be replaced, which the plan did not say: it, or what it "
		       "refers to, changed meanwhile; plan again",
		       j->node->id);
}

static int look(struct kc_run *r, struct kc_job *j, json_t **ret_actual, struct kc_err *err)
{
	struct kc_call c = call_of(r, j);
	int rc;

	/* A nested resource looks for itself when it is applied. */
	if (j->node->kind->nested && j->phase == KC_PH_START) {
		*ret_actual = json_deep_copy(j->node->actual);
		return 0;
	}
	c.want = j->renewed ? j->node->want : kc_identity_of(j->node);
	rc = kc_call_find(&c, ret_actual, err);
	if (rc < 0 || *ret_actual || c.want == j->node->want)
		return rc;
	c.want = j->node->want; /* the old one is gone already */
	return kc_call_find(&c, ret_actual, err);
}

static void set_output(struct kc_node *n, const json_t *actual)
{
	json_t *copy = kc_job_outputs(n, actual);

	json_decref(n->output);
	n->output = copy;
}

/*
 * What was made with this token is gone: by a removal that we never heard of, or behind our back.
 * Only a creation that was cut off has the token still to use.
 */
static void skip_used_generation(struct kc_job *j)
{
	const json_t *rec = j->node->rec;
	const char *intent = kc_json_get_str(rec, "intent", "");
	bool pending = kc_json_get_bool(rec, "pending", false);

	if (j->intended || j->skipped || j->renewed || !rec)
		return;
	if (!pending || streq(intent, "delete") || streq(intent, "replace")) {
		j->generation++;
		j->skipped = true;
	}
}

/*
 * Destroy first: the old one away, then look again for what is to be created. It
 * may take its time to go: then this is asked again until it is not found.
 */
static int replace_in_place(struct kc_run *r, struct kc_job *j, json_t **actual, struct kc_err *err)
{
	struct kc_call c = call_of(r, j);
	int rc;

	j->removing = true;
	c.want = kc_identity_of(j->node);
	rc = remove_one(r, j, &c, "replace", err);
	if (rc < 0)
		return rc;
	j->removing = false;
	j->renewed = true;
	if (j->intended) {
		rc = kc_job_result(r, j->node, "removed", err);
		j->generation++;
	}
	j->intended = false;
	json_decref(*actual);
	*actual = NULL;
	if (rc == 0)
		rc = look(r, j, actual, err);
	if (rc == 0 && *actual)
		rc = kc_fail(err, KC_EAGAIN, "the old one is still there");
	if (rc == 0)
		kc_node_diff(r->plan, j->node, NULL);
	return rc;
}

/* Create first: the record remembers the old one, the new one has its own token. */
static int start_successor(struct kc_run *r, struct kc_job *j, json_t **actual, struct kc_err *err)
{
	const json_t *was = json_object_get(j->node->rec, "want");
	json_t *old = kc_pack("{s:I, s:o, s:o}", "generation", (json_int_t)j->generation, "want",
			      json_deep_copy(was ? was : j->node->want), "outputs",
			      json_deep_copy(*actual));
	struct kc_call c;
	int rc;

	j->generation++;
	j->renewed = true;
	rc = kc_job_intent(r, j, "create", old, err);
	if (rc < 0)
		return rc;
	json_decref(*actual);
	*actual = NULL;
	c = call_of(r, j);
	rc = kc_call_find(&c, actual, err);
	if (rc == 0)
		kc_node_diff(r->plan, j->node, *actual);
	return rc;
}

static int mutate(struct kc_run *r, struct kc_job *j, json_t **actual, struct kc_err *err)
{
	struct kc_node *n = j->node;
	json_t *after = NULL;
	struct kc_call c;
	int rc;

	rc = kc_job_intent(r, j, *actual ? "update" : "create", NULL, err);
	if (rc == 0)
		rc = guard(r, err);
	if (rc < 0)
		return rc;
	c = call_of(r, j);
	rc = kc_call_apply(&c, *actual, n->changes, &after, err);
	if (rc == 0 && !after)
		rc = kc_call_find(&c, &after, err);
	if (rc == 0 && !after)
		rc = kc_fail(err, KC_EAGAIN, "not visible yet");
	if (rc < 0)
		return rc;
	json_decref(*actual);
	*actual = after;
	return 0;
}

static int look_and_diff(struct kc_run *r, struct kc_job *j, json_t **ret_actual,
			 struct kc_err *err)
{
	int rc = look(r, j, ret_actual, err);

	if (rc < 0)
		return rc;
	kc_node_diff(r->plan, j->node, *ret_actual);
	if (j->node->kind->nested)
		j->node->action = j->planned; /* its children decided, in the plan */
	return check_strength(j, err);
}

static int converge(struct kc_run *r, struct kc_job *j, struct kc_err *err)
{
	struct kc_node *n = j->node;
	json_auto_t *actual = NULL;
	int rc = 0;

	if (!j->removing)
		rc = look_and_diff(r, j, &actual, err);
	if (rc < 0)
		return rc;
	if (n->action == KC_REPLACE && n->kind->replace == KC_DESTROY_FIRST)
		rc = replace_in_place(r, j, &actual, err);
	else if (n->action == KC_REPLACE)
		rc = start_successor(r, j, &actual, err);
	if (rc < 0)
		return rc;
	if (n->action == KC_CREATE)
		skip_used_generation(j);
	if (n->action != KC_KEEP) {
		announce(r, j);
		rc = mutate(r, j, &actual, err);
		if (rc < 0)
			return rc;
	}
	set_output(n, actual);
	return kc_job_record(r, j, actual, err);
}

/* One can look at it now. What is found amiss was in no plan, so nobody has agreed to it. */
static int reveal(struct kc_run *r, struct kc_job *j, struct kc_err *err)
{
	struct kc_node *n = j->node;
	json_auto_t *actual = NULL;
	int rc = look(r, j, &actual, err);

	if (rc < 0)
		return rc;
	kc_node_diff(r->plan, n, actual);
	if (n->action != KC_KEEP)
		return kc_fail(err, KC_ECONFLICT,
			       "%s is not as it should be, either, which could not be seen before; "
			       "run the command again to see and repair it",
			       n->id);
	set_output(n, actual);
	return kc_job_record(r, j, actual, err);
}

/* Nothing to do, but the record may not know it yet. */
static int keep(struct kc_run *r, struct kc_job *j, struct kc_err *err)
{
	struct kc_node *n = j->node;

	if (n->mode == KC_IGNORE)
		set_output(n, json_object_get(n->rec, "outputs"));
	else
		set_output(n, n->actual);
	if (n->mode == KC_IGNORE)
		return 0; /* what is recorded stands until it is looked after again */
	if (n->mode != KC_SYNC)
		return n->rec ? kc_job_result(r, n, "forgotten", err) : 0;
	return kc_job_record(r, j, n->actual, err);
}

static int be_ready(struct kc_run *r, struct kc_job *j, struct kc_err *err)
{
	struct kc_node *n = j->node;
	json_auto_t *actual = NULL;
	struct kc_call c;
	int rc;

	if (!n->kind->ready || !n->output || n->mode == KC_IGNORE)
		return 0;
	if (j->phase == KC_PH_READY) { /* we slept: what we knew is stale */
		rc = look(r, j, &actual, err);
		if (rc < 0)
			return rc;
		if (!actual)
			return kc_fail(err, KC_EAGAIN, "it is not visible");
		set_output(n, actual);
	}
	j->phase = KC_PH_READY;
	j->renewed = true;
	c = call_of(r, j);
	rc = kc_call_ready(&c, n->output, err);
	if (rc < 0 || !actual || n->mode != KC_SYNC)
		return rc;
	return kc_job_record(r, j, actual, err);
}

static int run_main(struct kc_run *r, struct kc_job *j, struct kc_err *err)
{
	struct kc_node *n = j->node;
	int rc = 0;

	if (j->planned == KC_DELETE)
		return run_delete(r, j, err);
	if (j->planned == KC_FORGET)
		return kc_job_result(r, n, "forgotten", err);
	if (j->phase == KC_PH_START) {
		if (!j->resolved)
			rc = kc_node_resolve(r->engine, r->plan, n, true, err);
		if (rc < 0 && j->planned == KC_KEEP && n->mode != KC_SYNC)
			rc = 0; /* what it should look like does not matter */
		if (rc < 0)
			return rc;
		j->resolved = true;
		if (n->hidden)
			rc = reveal(r, j, err);
		else
			rc = j->planned == KC_KEEP ? keep(r, j, err) : converge(r, j, err);
		if (rc < 0)
			return rc;
	}
	return be_ready(r, j, err);
}

/*
 * The first steps are short, for what is local and fast. Later ones are a part of what the wait
 * took so far: it is noticed to be over a tenth too late, on average, and one of ten minutes asks
 * some fifty times.
 */
static int64_t backoff(const struct kc_engine *e, const struct kc_provider *p, unsigned tries,
		       int64_t spent_ms)
{
	int64_t first = e->backoff_ms > 0 ? e->backoff_ms : BACKOFF_MS;
	int64_t max = first << (tries < 16 ? tries : 16);
	int64_t cap =
		p->limits && p->limits->poll_max_ms > 0 ? p->limits->poll_max_ms : BACKOFF_MAX;
	uint32_t rnd;

	if (cap > spent_ms / 4)
		cap = spent_ms / 4 > first ? spent_ms / 4 : first;
	if (max > cap)
		max = cap;
	kc_random(&rnd, sizeof(rnd));
	return 1 + max / 2 + (int64_t)(rnd % (uint64_t)(max / 2 + 1));
}

static int wait_more(struct kc_run *r, struct kc_job *j, int64_t *ret_delay_ms, struct kc_err *err)
{
	int64_t limit = r->engine->deadline_ms > 0 ? r->engine->deadline_ms : DEADLINE_MS;
	int64_t spent = kc_now_ms() - j->start_ms;
	struct kc_call c = call_of(r, j);
	bool news = !j->tries || !streq(j->waiting.msg, err->msg);

	j->waiting = *err;
	if (spent >= limit)
		return kc_fail(err, KC_ETIMEOUT, "%s: not %s after %lld s%s%s", j->node->id,
			       j->planned == KC_DELETE ? "gone" : "ready",
			       (long long)(spent / 1000), *j->waiting.msg ? ": " : "",
			       j->waiting.msg);
	if (news)
		kc_call_event(&c, KC_EV_WAIT, *j->waiting.msg ? j->waiting.msg : NULL, NULL);
	*ret_delay_ms = backoff(r->engine, j->node->provider, j->tries++, spent);
	if (*ret_delay_ms > limit - spent)
		*ret_delay_ms = limit - spent + 1;
	j->slept_ms += *ret_delay_ms;
	return KC_EAGAIN;
}

static void job_ended(struct kc_job *j, const char *result, const char *error)
{
	j->result = result;
	j->error = xstrdup(error);
	if (j->start_ms)
		j->end_ms = kc_now_ms();
}

static bool counts(const struct kc_run *r, const struct kc_job *j)
{
	return r->engine->give_up.failures > 0 &&
	       streq(j->node->kind->name, r->engine->give_up.kind);
}

/* Too many of its kind have failed for one more to be begun. */
static bool given_up(struct kc_run *r, const struct kc_job *j)
{
	bool over;

	if (!counts(r, j) || j->node->begun || j->planned == KC_KEEP || j->planned == KC_FORGET)
		return false;
	pthread_mutex_lock(&r->lock);
	over = r->given_up_on >= r->engine->give_up.failures;
	pthread_mutex_unlock(&r->lock);
	return over;
}

static void job_failed(struct kc_run *r, struct kc_job *j, const struct kc_err *err)
{
	struct kc_call c = call_of(r, j);

	if (counts(r, j)) {
		pthread_mutex_lock(&r->lock);
		r->given_up_on++;
		pthread_mutex_unlock(&r->lock);
	}

	if (j->intended)
		kc_job_append(r, j->node,
			      kc_pack("{s:s, s:s}", "result", "error", "error", err->msg), false,
			      NULL);
	kc_call_event(&c, KC_EV_FAILED, err->msg, NULL);
	note_first(r, err->code, err->msg);
}

int kc_job_run(struct kc_run *r, struct kc_job *j, int64_t *ret_delay_ms)
{
	struct kc_err err = { 0 };
	struct kc_call c;
	int rc;

	if (given_up(r, j)) {
		job_ended(j, "stopped", NULL);
		return KC_ECANCELED;
	}
	j->node->begun = true;
	if (!j->start_ms) {
		j->start_ms = kc_now_ms();
		j->generation = kc_state_generation(r->engine->state, j->node->id);
	}
	if (j->type == KC_JOB_REMOVE)
		rc = run_remove(r, j, &err);
	else if (j->type == KC_JOB_CLEANUP)
		rc = clean_up(r, j, &err);
	else
		rc = run_main(r, j, &err);
	if (rc == KC_EAGAIN)
		rc = wait_more(r, j, ret_delay_ms, &err);
	if (rc == KC_EAGAIN)
		return rc;
	job_ended(j, rc < 0 ? "failed" : "done", rc < 0 ? err.msg : NULL);
	if (rc < 0) {
		err.code = rc;
		job_failed(r, j, &err);
	} else if (j->announced || j->tries) {
		c = call_of(r, j);
		kc_call_event(&c, KC_EV_DONE, NULL, NULL);
	}
	if (j->type == KC_JOB_MAIN)
		j->node->action = j->planned;
	return rc;
}

void kc_job_skipped(struct kc_run *r, struct kc_job *j, size_t because)
{
	struct kc_call c = call_of(r, j);
	_cleanup_free_ char *text = NULL;
	bool unbegun = because != KC_NONE && streq(r->jobs[because].result, "stopped");

	job_ended(j, because == KC_NONE || unbegun ? "stopped" : "skipped", NULL);
	if (because == KC_NONE) {
		note_first(r, KC_ECANCELED,
			   "stopped before all was done; run the command again to go on");
		return;
	}
	if (j->planned == KC_KEEP || unbegun)
		return; /* nothing was to be done; or who gave up says so of all */
	text = xasprintf("skipped: %s failed", r->jobs[because].node->id);
	kc_call_event(&c, KC_EV_FAILED, text, NULL);
}
