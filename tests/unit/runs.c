/* Runs: what a session notes, what stays in the store, and what is told of one that was killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bootstrap/formats.h"
#include "bootstrap/runs.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/timeline.h"
#include "lib/store/lock.h"

#define FIXTURES KC_SOURCE_DIR "/tests/fixtures/state/2/"
#define PREFIX	 "clusters/fra1"

static char root[] = "/tmp/kc-runs-XXXXXX";
static struct kc_err err;

static void must(int r)
{
	if (r < 0)
		fail_msg("%d %s", r, err.msg);
}

static struct kc_store *take(const char *fixture)
{
	_cleanup_free_ char *from = xasprintf(FIXTURES "%s/.", fixture);
	struct kc_store *store = NULL;

	must(kc_rm_rf(root, &err));
	must(kc_runl(NULL, &err, "cp", "-r", from, root, NULL));
	must(kc_store_open(root, &store, &err));
	return store;
}

static char *uid_of(struct kc_store *store)
{
	json_auto_t *id = NULL;

	must(kc_store_get_json(store, PREFIX "/cluster.json", &kc_identity_format, &id, NULL,
			       &err));
	return xstrdup(kc_json_get_str(id, "uid", ""));
}

static const json_t *task_of(const json_t *run, const char *id)
{
	const json_t *t;
	size_t i;

	json_array_foreach(json_object_get(run, "tasks"), i, t)
		if (streq(kc_json_get_str(t, "id", ""), id))
			return t;
	fail_msg("no task %s", id);
	return NULL;
}

static json_t *event(const char *what, const char *task, int ms)
{
	return kc_pack("{s:s, s:s, s:s, s:i}", "event", what, "task", task, "action", "create",
		       "ms", ms);
}

static void say(struct runs *r, const char *what, const char *task, int ms)
{
	json_auto_t *e = event(what, task, ms);

	runs_event(r, "node/w1", e);
}

static json_t *noted(struct runs *r)
{
	json_t *times =
		kc_pack("[{s:s, s:I, s:I, s:s}]", "id", "node/w1", "due", (json_int_t)r->begin_ms,
			"start", (json_int_t)r->begin_ms, "error", "it\x1b[2J\nfailed");

	return runs_json(r, 7, times, "failed", "why\tso");
}

/* Phases follow each other without gaps; steps of hosts begin when they say and end or do not. */
static void test_notes(void **x)
{
	json_auto_t *run = NULL;
	const json_t *steps;
	struct runs r;

	runs_init(&r);
	runs_phase(&r, "prepare");
	kc_sleep_ms(5);
	runs_phase(&r, "apply");
	kc_sleep_ms(5);
	say(&r, "start", "unit/a", 0);
	say(&r, "done", "unit/a", 3);
	say(&r, "start", "unit/b", 0);
	say(&r, "wait", "unit/b", 0);
	say(&r, "done", "file/c", 1000000); /* longer than the run: a host's word */
	runs_step(&r, "node/w1", "connect", r.begin_ms, false);
	run = noted(&r);
	runs_done(&r);
	assert_int_equal(kc_json_get_int(run, "run", 0), 7);
	assert_string_equal(kc_json_get_str(run, "error", ""), "why so");
	assert_string_equal(kc_json_get_str(task_of(run, "node/w1"), "error", ""), "it [2J failed");
	assert_int_equal(kc_json_get_int(task_of(run, "node/w1"), "start", -1), 0);
	steps = json_object_get(task_of(run, "node/w1"), "steps");
	assert_int_equal(json_array_size(steps), 4);
	assert_string_equal(kc_json_get_str(json_array_get(steps, 0), "result", ""), "done");
	assert_null(json_object_get(json_array_get(steps, 1), "end"));
	assert_int_equal(kc_json_get_int(json_array_get(steps, 2), "start", -1), 0);
	assert_string_equal(kc_json_get_str(json_array_get(steps, 3), "result", ""), "failed");
	{
		json_auto_t *path = kc_timeline_path(run);

		assert_string_equal(kc_json_get_str(json_array_get(path, 0), "id", ""), "node/w1");
	}
	assert_int_equal(kc_json_get_int(json_array_get(json_object_get(run, "phases"), 1), "start",
					 -1),
			 kc_json_get_int(json_array_get(json_object_get(run, "phases"), 0), "ms",
					 -2));
}

/* A host that says something new for ever. */
static void test_bounds(void **x)
{
	_cleanup_free_ char *text = NULL;
	json_auto_t *run = NULL;
	struct runs r;

	runs_init(&r);
	runs_phase(&r, "apply");
	for (int i = 0; i < 5000; i++) {
		_cleanup_free_ char *name = xasprintf("%0500d\xc3\xa4", i);

		say(&r, "done", name, 1);
	}
	run = noted(&r);
	runs_done(&r);
	text = kc_json_text(run);
	assert_in_range(strlen(text), 1000, 300000);
	assert_int_equal(json_array_size(json_object_get(task_of(run, "node/w1"), "steps")), 1000);
	assert_int_equal(kc_json_get_int(run, "stepsLeftOut", 0), 4000);
}

/* As 0.1.0 wrote it. */
static void test_stored(void **x)
{
	struct kc_store *store = take("whole");
	json_auto_t *run = NULL, *numbers = NULL;

	must(runs_list(store, PREFIX, &numbers, &err));
	assert_int_equal(json_array_size(numbers), 1);
	must(runs_get(store, PREFIX, "x", 1, &run, &err));
	assert_string_equal(kc_json_get_str(run, "state", ""), "done");
	assert_int_equal(json_array_size(json_object_get(run, "tasks")), 30);
	json_decref(TAKE(run));
	assert_int_equal(runs_get(store, PREFIX, "x", 2, &run, &err), KC_ENOTFOUND);
	must(kc_store_put(store, PREFIX "/runs/0000000001.json",
			  "{\"format\":2,\"writtenBy\":\"kubecdn 9.9\"}", 38, NULL, NULL, &err));
	assert_int_equal(runs_get(store, PREFIX, "x", 1, &run, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "9.9"));
	must(kc_store_put(store, PREFIX "/runs/0000000001.json", "{\"format\":1,\"tasks\":3}", 22,
			  NULL, NULL, &err));
	assert_int_equal(runs_get(store, PREFIX, "x", 1, &run, &err), KC_EINVAL);
	kc_store_close(store);
}

/* The journal tells of it until the next holder folds it in; by then the run has it. */
static void test_killed(void **x)
{
	struct kc_store *store = take("killed");
	_cleanup_free_ char *uid = uid_of(store);
	json_auto_t *run = NULL, *after = NULL, *keys = NULL, *other = NULL;
	const json_t *key;
	size_t i;

	must(runs_get(store, PREFIX, uid, 1, &run, &err));
	assert_string_equal(kc_json_get_str(run, "state", ""), "killed");
	assert_non_null(json_object_get(task_of(run, "secret/ca"), "end"));
	assert_non_null(json_object_get(task_of(run, "node/cp1"), "start"));
	assert_null(json_object_get(task_of(run, "node/cp1"), "end"));
	assert_null(json_object_get(task_of(run, "kube/api"), "start"));
	/* Somebody else's journal says nothing. */
	must(runs_get(store, PREFIX, "another", 1, &other, &err));
	assert_null(json_object_get(task_of(other, "node/cp1"), "start"));
	must(runs_settle(store, PREFIX, uid, 1, &err)); /* our own is not over */
	must(runs_settle(store, PREFIX, uid, 2, &err));
	must(kc_store_list(store, PREFIX "/journal/", &keys, &err));
	assert_true(json_array_size(keys) > 0);
	json_array_foreach(keys, i, key)
		must(kc_store_remove(store, json_string_value(key), NULL, &err));
	must(runs_get(store, PREFIX, uid, 1, &after, &err));
	assert_true(json_equal(run, after));
	kc_store_close(store);
}

static void test_under_way(void **x)
{
	struct kc_store *store = take("killed");
	_cleanup_free_ char *uid = uid_of(store);
	struct kc_lock *lock = NULL;
	json_auto_t *run = NULL, *raw = NULL;

	must(kc_store_get_json(store, PREFIX "/runs/0000000001.json", &kc_run_format, &raw, NULL,
			       &err));
	must(kc_lock_acquire(store, PREFIX "/lock", "cluster create", &lock, &err));
	json_object_set_new(raw, "run", json_integer((json_int_t)kc_lock_fence(lock)));
	json_object_set_new(raw, "startedMs", json_integer(kc_realtime_ms() - 5000));
	must(runs_put(store, PREFIX, raw, &err));
	must(runs_get(store, PREFIX, uid, kc_lock_fence(lock), &run, &err));
	assert_string_equal(kc_json_get_str(run, "state", ""), "running");
	assert_in_range(kc_json_get_int(run, "ms", 0), 5000, 60000);
	kc_lock_release(lock);
	kc_store_close(store);
}

static void test_the_last_ten(void **x)
{
	struct kc_store *store = take("whole");
	json_auto_t *numbers = NULL, *raw = NULL;

	must(runs_get(store, PREFIX, "x", 1, &raw, &err));
	for (int n = 2; n < 15; n++) {
		json_object_set_new(raw, "run", json_integer(n));
		must(runs_put(store, PREFIX, raw, &err));
		must(runs_prune(store, PREFIX, &err));
	}
	must(runs_list(store, PREFIX, &numbers, &err));
	assert_int_equal(json_array_size(numbers), 10);
	assert_int_equal(json_integer_value(json_array_get(numbers, 0)), 5);
	assert_int_equal(json_integer_value(json_array_get(numbers, 9)), 14);
	kc_store_close(store);
}

static int new_root(void **x)
{
	return mkdtemp(root) ? 0 : -1;
}

static int no_root(void **x)
{
	return kc_rm_rf(root, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_notes),	  cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_stored),	  cmocka_unit_test(test_killed),
		cmocka_unit_test(test_under_way), cmocka_unit_test(test_the_last_ten),
	};

	kc_json_init();
	return cmocka_run_group_tests(tests, new_root, no_root);
}
