/* Runs in the store: put, read, told from the journal when nobody could end them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bootstrap/formats.h"
#include "bootstrap/runs.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/state.h"
#include "lib/store/lock.h"

enum { RUNS_KEPT = 10 };

const struct kc_format kc_run_format = { .name = "run", .current = 1 };

static char *key_of(const char *prefix, uint64_t fence)
{
	return xasprintf("%s/runs/%010" PRIu64 ".json", prefix, fence);
}

int runs_list(struct kc_store *store, const char *prefix, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *dir = xasprintf("%s/runs/", prefix);
	json_auto_t *keys = NULL, *out = json_array();
	const json_t *key;
	size_t i;
	int r = kc_store_list(store, dir, &keys, err);

	json_array_foreach(keys, i, key) {
		uint64_t fence;
		int end = 0;

		if (sscanf(json_string_value(key) + strlen(dir), "%10" SCNu64 ".json%n", &fence,
			   &end) == 1 &&
		    end && !json_string_value(key)[strlen(dir) + (size_t)end])
			json_array_append_new(out, json_integer((json_int_t)fence));
	}
	if (r == 0)
		*ret = TAKE(out);
	return r;
}

int runs_put(struct kc_store *store, const char *prefix, const json_t *run, struct kc_err *err)
{
	_cleanup_free_ char *key = key_of(prefix, (uint64_t)kc_json_get_int(run, "run", 0));

	return kc_store_put_json(store, key, &kc_run_format, run, NULL, NULL, err);
}

static void set_at(json_t *task, const char *key, int64_t at)
{
	json_object_set_new(task, key, json_integer((json_int_t)at));
}

/* One entry over the task it is about. What it says last stands. */
static void fold_entry(json_t *task, const json_t *e, int64_t at)
{
	const char *result = kc_json_get_str(e, "result", "");
	bool failed = streq(result, "error");

	if (json_object_get(e, "intent")) {
		if (!json_object_get(task, "start"))
			set_at(task, "start", at);
		json_object_del(task, "end");
		json_object_del(task, "result");
	} else if (failed || streq(result, "ok") || streq(result, "gone") ||
		   streq(result, "forgotten")) {
		if (!json_object_get(task, "start"))
			set_at(task, "start", at);
		set_at(task, "end", at);
		json_object_set_new(task, "result", json_string(failed ? "failed" : "done"));
	}
}

void runs_fold(json_t *run, const json_t *journal)
{
	json_t *tasks = json_object_get(run, "tasks"), *task;
	int64_t begin = kc_json_get_int(run, "startedMs", 0), last = kc_json_get_int(run, "ms", 0);
	json_auto_t *by_id = json_object();
	const json_t *e;
	size_t i;

	json_array_foreach(tasks, i, task)
		json_object_set(by_id, kc_json_get_str(task, "id", ""), task);
	json_array_foreach((json_t *)journal, i, e) {
		int64_t at = kc_json_get_int(e, "at", 0) - begin;

		task = json_object_get(by_id, kc_json_get_str(e, "task", ""));
		if (at < 0) /* a clock that was set back, or no time at all */
			continue;
		last = at > last ? at : last;
		if (task)
			fold_entry(task, e, at);
	}
	json_object_set_new(run, "ms", json_integer((json_int_t)last));
}

/* The last phase goes on for as long as the run does. */
static void stretch_phase(json_t *run)
{
	json_t *phases = json_object_get(run, "phases"),
	       *last = json_array_get(phases, json_array_size(phases) - 1);
	int64_t ms = kc_json_get_int(run, "ms", 0) - kc_json_get_int(last, "start", 0);

	if (last && ms > kc_json_get_int(last, "ms", 0))
		json_object_set_new(last, "ms", json_integer((json_int_t)ms));
}

static int tell_open(struct kc_store *store, const char *prefix, const char *uid, uint64_t fence,
		     json_t *run, struct kc_err *err)
{
	_cleanup_free_ char *lock = xasprintf("%s/lock", prefix);
	json_auto_t *journal = NULL;
	bool alive;
	int r = kc_lock_lives(store, lock, fence, &alive, err);

	if (r == 0)
		r = kc_state_journal(store, prefix, uid, fence, &journal, err);
	if (r < 0)
		return r;
	runs_fold(run, journal);
	if (alive)
		json_object_set_new(run, "ms",
				    json_integer(
					    (json_int_t)(kc_realtime_ms() -
							 kc_json_get_int(run, "startedMs", 0))));
	else
		json_object_set_new(run, "state", json_string("killed"));
	stretch_phase(run);
	return 0;
}

static int read_run(struct kc_store *store, const char *prefix, uint64_t fence, json_t **ret,
		    struct kc_err *err)
{
	_cleanup_free_ char *key = key_of(prefix, fence);
	json_auto_t *run = NULL;
	const json_t *list;
	int r = kc_store_get_json(store, key, &kc_run_format, &run, NULL, err);

	if (r == 0)
		r = kc_json_arr(run, key, "tasks", &list, err);
	if (r == 0)
		r = kc_json_arr(run, key, "phases", &list, err);
	if (r == 0)
		*ret = TAKE(run);
	return r;
}

static bool is_open(const json_t *run)
{
	return streq(kc_json_get_str(run, "state", ""), "running");
}

int runs_get(struct kc_store *store, const char *prefix, const char *uid, uint64_t fence,
	     json_t **ret, struct kc_err *err)
{
	json_auto_t *run = NULL;
	int r = read_run(store, prefix, fence, &run, err);

	if (r == 0 && is_open(run))
		r = tell_open(store, prefix, uid, fence, run, err);
	if (r == 0)
		*ret = TAKE(run);
	return r;
}

int runs_settle(struct kc_store *store, const char *prefix, const char *uid, uint64_t fence,
		struct kc_err *err)
{
	json_auto_t *numbers = NULL, *run = NULL;
	uint64_t last;
	size_t n;
	int r = runs_list(store, prefix, &numbers, err);

	n = json_array_size(numbers);
	if (r < 0 || n == 0)
		return r;
	last = (uint64_t)json_integer_value(json_array_get(numbers, n - 1));
	r = read_run(store, prefix, last, &run, err);
	if (r < 0 || last == fence || !is_open(run))
		return r;
	r = tell_open(store, prefix, uid, last, run, err);
	return r < 0 ? r : runs_put(store, prefix, run, err);
}

int runs_prune(struct kc_store *store, const char *prefix, struct kc_err *err)
{
	json_auto_t *numbers = NULL;
	int r = runs_list(store, prefix, &numbers, err);

	for (size_t i = 0; r == 0 && i + RUNS_KEPT < json_array_size(numbers); i++) {
		_cleanup_free_ char *key =
			key_of(prefix, (uint64_t)json_integer_value(json_array_get(numbers, i)));

		r = kc_store_remove(store, key, NULL, err);
	}
	return r;
}
