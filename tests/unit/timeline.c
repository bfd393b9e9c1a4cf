/* The critical path of runs made up here, and what the engine tells of a real one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/state.h"
#include "lib/plan/timeline.h"
#include "tests/unit/toy.h"
#include "tests/unit/plan_world.h"

#define PHASES                                                                                     \
	"\"phases\":[{\"name\":\"prepare\",\"start\":0,\"ms\":10},"                                \
	"{\"name\":\"plan\",\"start\":10,\"ms\":90},"                                              \
	"{\"name\":\"apply\",\"start\":100,\"ms\":800},"                                           \
	"{\"name\":\"validate\",\"start\":900,\"ms\":100}],\"ms\":1000"

static json_t *run_of(const char *tasks)
{
	_cleanup_free_ char *text = xasprintf("{" PHASES ",\"tasks\":[%s]}", tasks);
	struct kc_err err = { 0 };
	json_t *run = NULL;

	if (kc_json_parse(text, strlen(text), "run", &run, &err) < 0)
		fail_msg("%s", err.msg);
	return run;
}

/* A task: id, provider, limit, what it comes after, due, start, end. */
#define T(id, provider, limit, after, due, start, end)                                             \
	"{\"id\":\"" id "\",\"kind\":\"toy\",\"action\":\"create\",\"provider\":\"" provider "\"," \
	"" limit "\"after\":[" after "],\"due\":" #due ",\"start\":" #start ",\"end\":" #end       \
	",\"result\":\"done\"}"

/* "plan 90, a 300, (b 5 behind a for ssh), b 100" */
static char *words(const json_t *path)
{
	_cleanup_buf_ struct kc_buf b = { 0 };
	const json_t *l;
	size_t i;

	json_array_foreach((json_t *)path, i, l) {
		bool queue = streq(kc_json_get_str(l, "what", ""), "queue");

		kc_buf_printf(&b, "%s%s%s %lld", i ? ", " : "", queue ? "(" : "",
			      kc_json_get_str(l, "id", "?"),
			      (long long)kc_json_get_int(l, "ms", -1));
		if (queue)
			kc_buf_printf(&b, " behind %s for %s)",
				      kc_json_get_str(l, "behind", "nobody"),
				      kc_json_get_str(l, "for", "?"));
	}
	return b.len ? kc_buf_steal(&b) : xstrdup("");
}

/* Without gaps, in order, and as long as the run. */
static void assert_whole(const json_t *run, const json_t *path)
{
	int64_t at = 0;
	const json_t *l;
	size_t i;

	json_array_foreach((json_t *)path, i, l) {
		assert_int_equal(kc_json_get_int(l, "start", -1), at);
		assert_true(kc_json_get_int(l, "ms", -1) >= 0);
		at += kc_json_get_int(l, "ms", 0);
	}
	assert_int_equal(at, kc_json_get_int(run, "ms", -1));
}

static void expect_path(const char *tasks, const char *expected)
{
	json_auto_t *run = run_of(tasks), *path = kc_timeline_path(run);
	_cleanup_free_ char *text = words(path);

	assert_string_equal(text, expected);
	assert_whole(run, path);
}

static void test_dependencies(void **x)
{
	/* d waits for b, though c is longer: b ended last of those that it comes after. */
	expect_path(T("a", "p", "", "", 100, 100,
		      300) "," T("b", "p", "", "0", 300, 300,
				 500) "," T("c", "p", "", "", 100, 100,
					    490) "," T("d", "p", "", "1,2", 500, 500, 900),
		    "prepare 10, plan 90, a 200, b 200, d 400, validate 100");
	expect_path("", "prepare 10, plan 90, apply 800, validate 100");
	/* The scheduler's own time is between a and b, and after b. */
	expect_path(T("a", "p", "", "", 103, 103, 300) "," T("b", "p", "", "0", 310, 310, 890),
		    "prepare 10, plan 90, apply 3, a 197, (b 10 behind nobody for ?), b 580, "
		    "apply 10, validate 100");
}

static void test_queues(void **x)
{
	/* Two at a time: c could start at 100 and does when a leaves. */
	expect_path(T("a", "p", "", "", 100, 100, 400) "," T("b", "p", "", "", 100, 100,
							     500) "," T("c", "p", "", "", 100, 400,
									900),
		    "prepare 10, plan 90, a 300, c 500, validate 100");
	/* The limit's holder is in the way, not the one of the same provider that ends later. */
	expect_path(T("a", "p", "\"limit\":\"etcd:1\",", "", 100, 100,
		      390) "," T("b", "p", "", "", 100, 100,
				 395) "," T("c", "p", "\"limit\":\"etcd:1\",", "", 100, 400, 900),
		    "prepare 10, plan 90, a 290, (c 10 behind a for etcd:1), c 500, validate 100");
	/* Nobody left just before: then it came from its dependency, and waited. */
	expect_path(T("a", "p", "", "", 100, 100, 200) "," T("c", "p", "", "", 100, 100,
							     300) "," T("b", "p", "", "0", 200, 600,
									900),
		    "prepare 10, plan 90, a 100, (b 400 behind nobody for ?), b 300, validate 100");
	/* Another provider's: there were too few threads. */
	expect_path(T("a", "q", "", "", 100, 100, 595) "," T("b", "p", "", "", 100, 600, 900),
		    "prepare 10, plan 90, a 495, (b 5 behind a for threads), b 300, validate 100");
}

/* What was killed has no end: it ran until then. What never started is looked through. */
static void test_cut_off(void **x)
{
	static const char tasks[] =
		T("a", "p", "", "", 100, 100,
		  300) ","
		       "{\"id\":\"b\",\"kind\":\"toy\",\"after\":[0]},"
		       "{\"id\":\"c\",\"kind\":\"toy\",\"after\":[1],\"start\":300}";

	expect_path(tasks, "prepare 10, plan 90, a 200, c 700");
	expect_path("{\"id\":\"a\",\"kind\":\"toy\",\"after\":[],\"result\":\"skipped\"}",
		    "prepare 10, plan 90, apply 800, validate 100");
}

/* A stored run may say anything. */
static void test_nonsense(void **x)
{
	expect_path(T("a", "p", "", "1", 100, 100, 100) "," T("b", "p", "", "0", 100, 100, 100),
		    "prepare 10, plan 90, b 0, a 0, apply 800, validate 100");
	expect_path(T("a", "p", "", "7,-1", 100, 500, 300),
		    "prepare 10, plan 90, (a 400 behind nobody for ?), a 0, apply 400, validate "
		    "100");
}

/* A run of a scheduler with three slots that takes tasks in order, by chance. */
static json_t *any_run(unsigned seed)
{
	json_t *run = run_of(""), *tasks = json_object_get(run, "tasks");
	int64_t slots[3] = { 100, 100, 100 }, end[40], all = 1000;
	size_t n = 1 + (unsigned)rand_r(&seed) % 40;

	for (size_t i = 0; i < n; i++) {
		int64_t due = 100, start, *slot = &slots[0];
		json_t *after = json_array();

		for (size_t d = 0; d < i; d++)
			if (rand_r(&seed) % 6 == 0) {
				json_array_append_new(after, json_integer((json_int_t)d));
				due = end[d] > due ? end[d] : due;
			}
		for (size_t k = 1; k < 3; k++)
			slot = slots[k] < *slot ? &slots[k] : slot;
		start = *slot > due ? *slot : due;
		*slot = end[i] = start + rand_r(&seed) % 90;
		all = end[i] > all ? end[i] : all;
		json_array_append_new(tasks, kc_pack("{s:s, s:s, s:o, s:I, s:I, s:I}", "id", "t",
						     "provider", "p", "after", after, "due",
						     (json_int_t)due, "start", (json_int_t)start,
						     "end", (json_int_t)end[i]));
	}
	json_object_set_new(run, "ms", json_integer(all));
	return run;
}

/* Whatever it is, the path is as long; and tasks and the work before them are all there is of it.
 */
static void test_any_run(void **x)
{
	for (unsigned seed = 1; seed <= 300; seed++) {
		json_auto_t *run = any_run(seed), *path = kc_timeline_path(run),
			    *report = kc_timeline_report(run);
		int64_t waited = 0;
		const json_t *l;
		size_t i;

		assert_whole(run, path);
		json_array_foreach(path, i, l)
			if (streq(kc_json_get_str(l, "what", ""), "queue"))
				waited += kc_json_get_int(l, "ms", 0);
		assert_int_equal(waited, 0); /* a slot that is free is taken at once */
		assert_in_range(kc_json_get_int(json_object_get(report, "parallelism"), "max", -1),
				0, 3);
	}
}

static void test_report(void **x)
{
	json_auto_t *run = run_of(
		"{\"id\":\"node/w1\",\"kind\":\"node\",\"provider\":\"ssh\",\"after\":[],"
		"\"due\":100,\"start\":100,\"end\":500},"
		"{\"id\":\"kube/node/w1\",\"kind\":\"kube/"
		"node\",\"provider\":\"kube\",\"after\":[0],"
		"\"due\":500,\"start\":500,\"end\":900}," T("net", "p", "", "", 100, 100, 300));
	json_auto_t *report = kc_timeline_report(run);
	const json_t *tasks = json_object_get(report, "tasks");

	assert_string_equal(kc_json_get_str(json_array_get(tasks, 1), "host", ""), "w1");
	assert_null(json_object_get(json_array_get(tasks, 2), "host"));
	assert_true(kc_json_has_str(json_object_get(json_array_get(tasks, 1), "after"), "node/w1"));
	assert_int_equal(kc_json_get_int(json_object_get(report, "parallelism"), "max", 0), 2);
	assert_float_equal(json_real_value(kc_json_at(report, "parallelism.average")), 1.3, 0.001);
	assert_string_equal(kc_json_get_str(json_array_get(json_object_get(report, "slowest"), 2),
					    "id", ""),
			    "net");
}

/* --- of a real apply */

#define THING(id, rest) "{\"id\":\"" id "\",\"kind\":\"toy/thing\",\"want\":{" rest "}}"

static const json_t *of(const json_t *times, const char *id)
{
	const json_t *t;
	size_t i;

	json_array_foreach((json_t *)times, i, t)
		if (streq(kc_json_get_str(t, "id", ""), id))
			return t;
	fail_msg("no times of %s", id);
	return NULL;
}

static void test_engine_times(void **x)
{
	struct world *w = world_new();
	json_auto_t *before = NULL, *times = NULL;
	int64_t since = kc_now_ms();
	const json_t *a, *b;

	plan_ok(w, "[" THING("a", "\"n\":1") "," THING("b", "\"on\":{\"$ref\":\"a#oid\"}") "]");
	before = kc_plan_times(w->plan);
	assert_null(json_object_get(of(before, "a"), "start"));
	assert_string_equal(kc_json_get_str(of(before, "b"), "action", ""), "create");
	assert_int_equal(json_integer_value(
				 json_array_get(json_object_get(of(before, "b"), "after"), 0)),
			 0);
	apply_ok(w, "[" THING("a", "\"n\":1") "," THING("b", "\"on\":{\"$ref\":\"a#oid\"}") "]");
	times = kc_plan_times(w->plan);
	a = of(times, "a");
	b = of(times, "b");
	assert_true(kc_json_get_int(a, "due", 0) >= since);
	assert_true(kc_json_get_int(a, "start", 0) >= kc_json_get_int(a, "due", 0));
	assert_true(kc_json_get_int(a, "end", 0) >= kc_json_get_int(a, "start", 0));
	assert_true(kc_json_get_int(b, "due", 0) >= kc_json_get_int(a, "end", 0));
	assert_string_equal(kc_json_get_str(b, "result", ""), "done");
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dependencies), cmocka_unit_test(test_queues),
		cmocka_unit_test(test_cut_off),	     cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_any_run),	     cmocka_unit_test(test_report),
		cmocka_unit_test(test_engine_times),
	};

	return cmocka_run_group_tests(tests, root_new, root_gone);
}
