/* What a session notes while it runs. */
#include "bootstrap/runs.h"

#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* A host may say what it likes, as often as it likes. */
enum {
	STEPS_MAX = 20000,
	STEPS_OF_TASK = 1000,
	NAME_MAX_LEN = 160,
	TEXT_MAX_LEN = 300,
	ERROR_MAX_LEN = 600
};

/* Not longer than max bytes. Owned. */
static char *plain(const char *text, size_t max)
{
	char *out = xmalloc(max + 1);

	kc_clean(out, max + 1, text, ' ');
	return out;
}

void runs_init(struct runs *r)
{
	*r = (struct runs){ .begin_ms = kc_now_ms(), .started_ms = kc_realtime_ms() };
	pthread_mutex_init(&r->lock, NULL);
	r->phases = json_array();
	r->steps = json_object();
}

void runs_done(struct runs *r)
{
	if (!r->phases)
		return;
	pthread_mutex_destroy(&r->lock);
	json_decref(r->phases);
	json_decref(r->steps);
	*r = (struct runs){ 0 };
}

static int64_t now(const struct runs *r)
{
	return kc_now_ms() - r->begin_ms;
}

/* The last phase, as it is at a moment. */
static void end_phase(json_t *phases, int64_t at)
{
	json_t *last = json_array_get(phases, json_array_size(phases) - 1);

	if (last)
		json_object_set_new(last, "ms",
				    json_integer(
					    (json_int_t)(at - kc_json_get_int(last, "start", 0))));
}

void runs_phase(struct runs *r, const char *name)
{
	int64_t at;

	pthread_mutex_lock(&r->lock);
	at = json_array_size(r->phases) ? now(r) : 0;
	end_phase(r->phases, at);
	json_array_append_new(r->phases,
			      kc_pack("{s:s, s:I}", "name", name, "start", (json_int_t)at));
	pthread_mutex_unlock(&r->lock);
}

/* Under the lock: the steps of a task, or NULL if there is no room for one more. */
static json_t *room_for_step(struct runs *r, const char *task)
{
	json_t *steps = json_object_get(r->steps, task);

	if (r->nsteps == STEPS_MAX || json_array_size(steps) == STEPS_OF_TASK) {
		r->left_out++;
		return NULL;
	}
	if (!steps)
		json_object_set_new(r->steps, task, steps = json_array());
	r->nsteps++;
	return steps;
}

static void add_step(struct runs *r, const char *task, json_t *step)
{
	json_t *steps = room_for_step(r, task);

	if (steps)
		json_array_append_new(steps, step);
	else
		json_decref(step);
}

static json_t *open_step(struct runs *r, const char *task, const char *id)
{
	json_t *steps = json_object_get(r->steps, task);

	for (size_t i = json_array_size(steps); i--;) {
		json_t *s = json_array_get(steps, i);

		if (!json_object_get(s, "end") && streq(kc_json_get_str(s, "id", ""), id))
			return s;
	}
	return NULL;
}

/*
 * The agent says when a task starts and how long it took; a start that is not followed by an end is
 * what was under way. Hosts' clocks differ from ours, so only durations are taken from there.
 */
void runs_event(struct runs *r, const char *task, const json_t *event)
{
	const char *what = kc_json_get_str(event, "event", "");
	_cleanup_free_ char *id = plain(kc_json_get_str(event, "task", ""), NAME_MAX_LEN),
			    *action = plain(kc_json_get_str(event, "action", ""), 20);
	int64_t took = kc_json_get_int(event, "ms", 0), at;
	json_t *step;

	if (!*id || !(streq(what, "start") || streq(what, "done") || streq(what, "failed")))
		return;
	pthread_mutex_lock(&r->lock);
	at = now(r);
	took = took < 0 ? 0 : took > at ? at : took;
	step = open_step(r, task, id);
	if (streq(what, "start")) {
		if (!step)
			add_step(r, task,
				 kc_pack("{s:s, s:s, s:I}", "id", id, "action", action, "start",
					 (json_int_t)(at - took)));
	} else if (step) {
		json_object_set_new(step, "end", json_integer((json_int_t)at));
		json_object_set_new(step, "result", json_string(what));
	} else {
		add_step(r, task,
			 kc_pack("{s:s, s:s, s:I, s:I, s:s}", "id", id, "action", action, "start",
				 (json_int_t)(at - took), "end", (json_int_t)at, "result", what));
	}
	pthread_mutex_unlock(&r->lock);
}

void runs_step(struct runs *r, const char *task, const char *what, int64_t since_ms, bool ok)
{
	pthread_mutex_lock(&r->lock);
	add_step(r, task,
		 kc_pack("{s:s, s:I, s:I, s:s}", "id", what, "start",
			 (json_int_t)(since_ms - r->begin_ms), "end", (json_int_t)now(r), "result",
			 ok ? "done" : "failed"));
	pthread_mutex_unlock(&r->lock);
}

/* Times of the engine as the run's; texts as they may be shown. */
static void take_over(struct runs *r, json_t *task)
{
	static const char *const times[] = { "due", "start", "end" }, *const texts[] = { "why",
											 "error" };
	const char *id = kc_json_get_str(task, "id", "");
	json_t *steps = json_object_get(r->steps, id);

	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		int64_t ms = kc_json_get_int(task, times[i], 0);

		if (ms)
			json_object_set_new(task, times[i],
					    json_integer((json_int_t)(ms - r->begin_ms)));
	}
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const char *text = kc_json_get_str(task, texts[i], NULL);
		_cleanup_free_ char *cut = text ? plain(text, TEXT_MAX_LEN) : NULL;

		if (cut)
			json_object_set_new(task, texts[i], json_string(cut));
	}
	if (steps && !json_object_get(task, "part"))
		json_object_set_new(task, "steps", json_deep_copy(steps));
}

json_t *runs_json(struct runs *r, uint64_t fence, json_t *times, const char *state,
		  const char *error)
{
	_cleanup_free_ char *why = error ? plain(error, ERROR_MAX_LEN) : NULL;
	int64_t ms = now(r);
	json_t *task, *out;
	char started[21];
	size_t i;

	kc_time_format((time_t)(r->started_ms / 1000), started);
	pthread_mutex_lock(&r->lock);
	end_phase(r->phases, ms);
	json_array_foreach(times, i, task)
		take_over(r, task);
	out = kc_pack("{s:I, s:s, s:s, s:I, s:s, s:I, s:s*, s:o, s:o}", "run", (json_int_t)fence,
		      "verb", r->verb ? r->verb : "", "started", started, "startedMs",
		      (json_int_t)r->started_ms, "state", state, "ms", (json_int_t)ms, "error", why,
		      "phases", json_deep_copy(r->phases), "tasks", times);
	if (r->left_out)
		json_object_set_new(out, "stepsLeftOut", json_integer((json_int_t)r->left_out));
	pthread_mutex_unlock(&r->lock);
	return out;
}
