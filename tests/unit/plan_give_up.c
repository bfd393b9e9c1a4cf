/* An apply that begins no more tasks of a kind once too many of them failed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bootstrap/results.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/state.h"
#include "tests/unit/toy.h"
#include "tests/unit/plan_world.h"

enum { HOSTS = 10 };
static int slow; /* looks until n0 is up */

/* Things n0 to n9 with a file each that needs it; those in fails are refused. */
static json_t *graph(const char *fails)
{
	json_t *tasks = json_array();

	for (int i = 0; i < HOSTS; i++) {
		bool bad = strchr(fails, '0' + i) != NULL;

		json_array_append_new(tasks, kc_pack("{s:o, s:s, s:{s:b, s:i}}", "id",
						     json_sprintf("n%d", i), "kind", "toy/thing",
						     "want", "fails", bad, "slow", i ? 0 : slow));
		json_array_append_new(tasks, kc_pack("{s:o, s:s, s:{}, s:[o]}", "id",
						     json_sprintf("f%d", i), "kind", "toy/file",
						     "want", "after", json_sprintf("n%d", i)));
	}
	return tasks;
}

/* The results of all n (or f) in order, a letter each: d(one), f(ailed), s(topped), k(skipped). */
static char *letters(struct world *w, char what)
{
	json_auto_t *times = kc_plan_times(w->plan);
	char *out = xcalloc(HOSTS + 1, 1);
	const json_t *t;
	size_t i;

	json_array_foreach(times, i, t) {
		const char *id = kc_json_get_str(t, "id", ""),
			   *result = kc_json_get_str(t, "result", "?");

		if (id[0] == what)
			out[id[1] - '0'] = streq(result, "skipped") ? 'k' : result[0];
	}
	return out;
}

static int run(struct world *w, const char *fails, int failures, const char *n, const char *f)
{
	json_auto_t *tasks = graph(fails);
	_cleanup_free_ char *things = NULL, *files = NULL;
	int r;

	w->e.threads = 1; /* one after the other */
	w->e.give_up.kind = "toy/thing";
	w->e.give_up.failures = failures;
	w->toy.fail_apply = KC_EFAIL;
	kc_plan_free(TAKE(w->plan));
	assert_int_equal(kc_plan_make(&w->e, tasks, &w->plan, &w->err), 0);
	r = kc_plan_apply(&w->e, w->plan, &w->err);
	things = letters(w, 'n');
	files = letters(w, 'f');
	assert_string_equal(things, n);
	assert_string_equal(files, f);
	return r;
}

static void test_gives_up(void **x)
{
	struct world *w = world_new();

	/* What has failed may not hide: the files of those that were done are made. */
	assert_int_equal(run(w, "1357", 2, "dfdfssssss", "dkdkssssss"), KC_EFAIL);
	assert_null(strstr(w->events, "n4"));
	assert_null(strstr(w->events, "f4"));
	assert_non_null(strstr(w->events, "skipped: n3 failed"));
	/* The same again: done ones count for nothing, and what was not begun goes on. */
	assert_int_equal(run(w, "1", 2, "dfdddddddd", "dkdddddddd"), KC_EFAIL);
	assert_int_equal(run(w, "", 1, "dddddddddd", "dddddddddd"), 0);
	no_violations(w);
	world_free(w);
}

static void test_tries_all_without(void **x)
{
	struct world *w = world_new();

	assert_int_equal(run(w, "0123456", 0, "fffffffddd", "kkkkkkkddd"), KC_EFAIL);
	world_free(w);
}

/* What was begun ends, also if it has to wait: n0 is not up yet when n1 fails. */
static void test_ends_what_was_begun(void **x)
{
	struct world *w = world_new();

	slow = 3;
	assert_int_equal(run(w, "1", 1, "dfssssssss", "dkssssssss"), KC_EFAIL);
	slow = 0;
	assert_non_null(strstr(w->events, "wait n0"));
	world_free(w);
}

static void summary(const char *times, int code, const char *why, const char *want)
{
	json_auto_t *steps = json_loads(times, 0, NULL), *results = kc_host_results(steps);
	struct kc_err err;

	assert_non_null(steps);
	kc_fail(&err, code, "%s", why);
	assert_int_equal(kc_host_summary(results, "fra", code, &err), code);
	assert_string_equal(err.msg, want);
}

#define NODE(name, rest) "{\"id\":\"node/" name "\",\"kind\":\"node\"," rest "}"
#define DONE		 "\"action\":\"create\",\"result\":\"done\",\"start\":5,\"end\":9"
#define FAILED		 "\"action\":\"create\",\"result\":\"failed\",\"error\":\"create node/b: no room\""
#define STOPPED		 "\"action\":\"create\",\"result\":\"stopped\""
#define KEPT		 "\"action\":\"keep\",\"result\":\"done\""
#define API                                                                                        \
	"{\"id\":\"kube/api\",\"kind\":\"kube/api\",\"result\":\"failed\",\"action\":\"create\"}"

static void test_summaries(void **x)
{
	static const char end[] =
		"; mend what failed and run the same command again, it goes on with what is left";
	_cleanup_free_ char *some = xasprintf("cluster fra: 1 of 3 hosts is done, 1 failed, 1 was "
					      "not begun%s",
					      end),
			    *both = xasprintf("the API is away\n%s", some);

	summary("[" NODE("a", DONE) "," NODE("b", FAILED) "," NODE("c", STOPPED) "," NODE("d",
											  KEPT) "]",
		KC_EINVAL, "create node/b: no room", some);
	summary("[" NODE("a", DONE) "," NODE("b", FAILED) "," NODE("c", STOPPED) "," API "]",
		KC_EFAIL, "the API is away", both);
	/* One host says it best itself; without a failed one, and stopped by hand, there is no sum.
	 */
	summary("[" NODE("a", FAILED) "," NODE("b", KEPT) "]", KC_EFAIL, "no room", "no room");
	summary("[" NODE("a", DONE) "," NODE("b", DONE) "," API "]", KC_EFAIL, "away", "away");
	summary("[" NODE("a", FAILED) "," NODE("b", STOPPED) "]", KC_ECANCELED, "stop", "stop");
}

static void test_results(void **x)
{
	json_auto_t *steps =
		json_loads("[" NODE("a", DONE) "," NODE("b", FAILED) "," API
								     "," NODE("d", KEPT) "]",
			   0, NULL);
	json_auto_t *results = kc_host_results(steps);
	_cleanup_free_ char *text = kc_json_text(results);

	assert_string_equal(text,
			    "[{\"action\":\"create\",\"host\":\"a\",\"ms\":4,\"result\":\"done\"},"
			    "{\"action\":\"create\",\"host\":\"b\",\"result\":\"failed\",\"why\":"
			    "\"no room\"},"
			    "{\"action\":\"keep\",\"host\":\"d\",\"result\":\"unchanged\"}]");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gives_up),
		cmocka_unit_test(test_tries_all_without),
		cmocka_unit_test(test_ends_what_was_begun),
		cmocka_unit_test(test_summaries),
		cmocka_unit_test(test_results),
	};

	return cmocka_run_group_tests(tests, root_new, root_gone);
}
