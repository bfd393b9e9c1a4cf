#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/state.h"
#include "tests/unit/toy.h"
#include "tests/unit/plan_world.h"

#define THING(id, rest) "{\"id\":\"" id "\",\"kind\":\"toy/thing\",\"want\":{" rest "}}"
#define TFILE(id, rest) "{\"id\":\"" id "\",\"kind\":\"toy/file\",\"want\":{" rest "}}"

static void test_bad_graphs(void **x)
{
	struct world *w = world_new();

	refused(w, "{}", "not a list");
	refused(w, "[{\"kind\":\"toy/thing\"}]", "no string \"id\"");
	refused(w, "[{\"id\":\"a\",\"kind\":\"toy/thing\"}]", "no object \"want\"");
	refused(w, "[{\"id\":\"a\",\"kind\":\"toy/none\",\"want\":{}}]", "toy/none");
	refused(w, "[" THING("a", "") "," THING("a", "") "]", "two tasks are named a");
	refused(w, "[" THING("a", "\"on\":{\"$ref\":\"b#oid\"}") "]", "refers to b");
	refused(w, "[{\"id\":\"a\",\"kind\":\"toy/thing\",\"want\":{},\"after\":[\"b\"]}]",
		"comes after b");
	refused(w, "[{\"id\":\"a\",\"kind\":\"toy/thing\",\"want\":{},\"limit\":\"x\"}]",
		"name:number");
	refused(w, "[{\"id\":\"a\",\"kind\":\"toy/thing\",\"want\":{},\"mode\":\"x\"}]",
		"unknown mode");
	refused(w,
		"[" THING("a", "\"on\":{\"$ref\":\"b#oid\"}") "," THING(
			"b", "\"on\":{\"$ref\":\"c#oid\"}") "," THING("c",
								      "\"on\":{\"$ref\":\"a#oid\"}"
								      "") "]",
		"circle: a -> b -> c -> a");
	refused(w, "[" THING("a", "\"x\":{\"$join\":[1,2]}") "]", "$join takes");
	refused(w, "[" THING("a", "\"x\":{\"$secret\":\"s\"}") "]", "$secret");
	assert_int_equal(w->toy.applies, 0);
	world_free(w);
}

static void test_three_way(void **x)
{
	struct world *w = world_new();

	apply_ok(w,
		 "[" THING("a", "\"n\":1,\"labels\":{\"x\":\"1\",\"y\":\"2\"},\"tags\":[1,2]") "]");
	/* Order of sets, numbers of another type and keys of the provider do not matter. */
	plan_ok(w, "[" THING("a",
			     "\"n\":1.0,\"labels\":{\"x\":\"1\",\"y\":\"2\"},\"tags\":[2,1]") "]");
	expect(w, "a", "keep");
	plan_ok(w, "[" THING("a", "\"labels\":{\"x\":\"9\"},\"tags\":[2]") "]");
	expect(w, "a", "update");
	expect_change(w, "a", "n", "1", NULL);
	expect_change(w, "a", "labels.x", "\"1\"", "\"9\"");
	expect_change(w, "a", "labels.y", "\"2\"", NULL);
	expect_change(w, "a", "tags", "[1,2]", "[2]");
	apply_ok(w, "[" THING("a", "\"n\":1,\"zone\":\"b\"") "]");
	plan_ok(w, "[" THING("a", "\"n\":1,\"zone\":\"c\"") "]");
	expect(w, "a", "replace");
	world_free(w);
}

static void test_sensitive(void **x)
{
	struct world *w = world_new();
	_cleanup_free_ char *json = NULL;
	_cleanup_buf_ struct kc_buf text = { 0 };

	plan_ok(w, "[" THING("a", "\"password\":\"hunter2\",\"n\":1") "]");
	json = kc_json_text(kc_plan_json(w->plan));
	kc_plan_text(kc_plan_json(w->plan), false, &text);
	assert_null(strstr(json, "hunter2"));
	assert_null(strstr(kc_buf_get(&text), "hunter2"));
	assert_non_null(strstr(kc_buf_get(&text), "password: (sensitive)"));
	free(json);
	plan_ok(w, "[" THING("a", "\"rules\":[{\"secret\":\"hunter2\",\"port\":1}]") "]");
	json = kc_json_text(kc_plan_json(w->plan));
	assert_null(strstr(json, "hunter2"));
	assert_non_null(strstr(json, "\"port\":1"));
	world_free(w);
}

/* A unit restarts when its file changes, and the preview says so before the file is written. */
static void test_rev(void **x)
{
	struct world *w = world_new();
#define REV(content)                                                                               \
	"[" TFILE("file/x", "\"content\":\"" content                                               \
			    "\"") "," THING("unit", "\"rev\":{\"$ref\":\"file/x#rev\"}") "]"

	plan_ok(w, REV("1"));
	expect(w, "unit", "create");
	apply_ok(w, REV("1"));
	plan_ok(w, REV("1"));
	assert_int_equal(kc_plan_pending(w->plan), 0);
	plan_ok(w, REV("2"));
	expect(w, "file/x", "update");
	expect(w, "unit", "update");
	expect_change(w, "unit", "rev", "\"1\"", "{\"$ref\":\"file/x#rev\"}");
	apply_ok(w, REV("2"));
	assert_string_equal(kc_json_get_str(kc_plan_output(w->plan, "unit"), "rev", ""), "2");
	plan_ok(w, REV("2"));
	assert_int_equal(kc_plan_pending(w->plan), 0);
	world_free(w);
}

static void test_modes(void **x)
{
	struct world *w = world_new();
#define MODE(mode)                                                                                 \
	"[{\"id\":\"a\",\"kind\":\"toy/thing\",\"mode\":\"" mode "\",\"want\":{\"n\":2}}]"

	assert_int_equal(plan(w, MODE("exists")), KC_ENOTFOUND);
	plan_ok(w, MODE("exists-warn"));
	expect(w, "a", "keep");
	assert_non_null(json_object_get(entry(w, "a"), "warning"));
	apply_ok(w, "[" THING("a", "\"n\":1") "]");
	apply_ok(w, MODE("exists"));
	expect(w, "a", "keep");
	/* It is not ours any more: leaving the graph does not remove it. */
	apply_ok(w, "[]");
	assert_int_equal(w->toy.removes, 0);
	apply_ok(w, MODE("ignore"));
	assert_int_equal(kc_plan_pending(w->plan), 0);
	/* Paused, not given up: what was recorded of it still answers references to it. */
	apply_ok(w, "[" THING("b", "\"n\":7") "]");
	for (int i = 0; i < 2; i++)
		apply_ok(w, "[{\"id\":\"b\",\"kind\":\"toy/"
			    "thing\",\"mode\":\"ignore\",\"want\":{\"n\":8}"
			    "}," THING("c", "\"x\":{\"$ref\":\"b#n\"}") "]");
	plan_ok(w, "[" THING("b", "\"n\":7") "]");
	expect(w, "b", "keep");
	world_free(w);
}

static void test_within(void **x)
{
	struct world *w = world_new();
#define HOST  "{\"id\":\"h\",\"kind\":\"toy/host\",\"want\":{}}"
#define GUEST "{\"id\":\"g\",\"kind\":\"toy/thing\",\"within\":\"h\",\"want\":{\"host\":\"h\"}}"

	apply_ok(w, "[" HOST "," GUEST "," THING("t", "\"on\":{\"$ref\":\"g#oid\"}") "]");
	plan_ok(w, "[" HOST "]");
	expect(w, "g", "delete");
	plan_ok(w, "[]");
	expect(w, "g", "forget");
	expect(w, "h", "delete");
	apply_ok(w, "[]");
	assert_int_equal(w->toy.removes, 2); /* t, then h */
	assert_int_equal(json_object_size(kc_state_tasks(w->e.state)), 0);
	world_free(w);
}

static void test_list_is_one_call(void **x)
{
	struct world *w = world_new();
	static const char graph[] = "[{\"id\":\"a\",\"kind\":\"toy/listed\",\"want\":{\"n\":1}},"
				    "{\"id\":\"b\",\"kind\":\"toy/listed\",\"want\":{\"n\":1}}]";

	apply_ok(w, graph);
	w->toy.finds = w->toy.lists = 0;
	plan_ok(w, graph);
	assert_int_equal(kc_plan_pending(w->plan), 0);
	assert_int_equal(w->toy.lists, 1);
	assert_int_equal(w->toy.finds, 0);
	world_free(w);
}

static void test_nested(void **x)
{
	struct world *w = world_new();
	_cleanup_buf_ struct kc_buf text = { 0 };
	static const char busy[] =
		"[{\"id\":\"node/w1\",\"kind\":\"toy/nested\",\"want\":{\"plan\":[{\"id\":\"file/"
		"inside\",\"kind\":\"file\",\"action\":\"create\"}]}}]";
	static const char idle[] = "[{\"id\":\"node/w1\",\"kind\":\"toy/nested\",\"want\":{"
				   "\"plan\":[]}}]";

	apply_ok(w, busy);
	expect(w, "node/w1", "create");
	kc_plan_text(kc_plan_json(w->plan), false, &text);
	assert_string_equal(kc_buf_get(&text),
			    "+ create node/w1\n    + create file/inside\n\n"
			    "Plan: 1 to create, 0 to update, 0 to delete, 0 unchanged.\n");
	assert_non_null(strstr(w->events, "progress node/w1"));
	assert_string_equal(kc_json_get_str(kc_plan_output(w->plan, "node/w1"), "address", ""),
			    "192.0.2.7");
	assert_null(json_object_get(kc_plan_output(w->plan, "node/w1"), "plan"));
	plan_ok(w, busy); /* the record knows it now */
	expect(w, "node/w1", "update");
	plan_ok(w, idle);
	assert_int_equal(kc_plan_pending(w->plan), 0);
	world_free(w);
}

static void test_failure_is_contained(void **x)
{
	struct world *w = world_new();
	static const char graph[] = "[" THING("bad", "\"fails\":true") "," THING(
		"user", "\"on\":{\"$ref\":\"bad#oid\"}") "," THING("other", "\"slow\":2") "]";

	w->toy.fail_apply = KC_EAUTH;
	plan_ok(w, graph);
	assert_int_equal(kc_plan_apply(&w->e, w->plan, &w->err), KC_EAUTH);
	assert_string_equal(w->err.msg, "create bad: the toy cloud is out of toys");
	assert_non_null(strstr(w->events, "failed user: skipped: bad failed"));
	assert_non_null(strstr(w->events, "done other"));
	w->toy.fail_apply = 0;
	apply_ok(w, graph);
	plan_ok(w, graph);
	assert_int_equal(kc_plan_pending(w->plan), 0);
	world_free(w);
}

/* What was made after the plan, or before an error that means "again", is not made twice. */
static void test_no_duplicates(void **x)
{
	struct world *w = world_new();
	static const char graph[] = "[" THING("a", "\"n\":1") "]";
	struct kc_plan *early;

	plan_ok(w, graph);
	early = w->plan;
	w->plan = NULL;
	apply_ok(w, graph);
	assert_int_equal(kc_plan_apply(&w->e, early, &w->err), 0);
	kc_plan_free(early);
	apply_ok(w, "[" THING("b", "\"flaky\":true") "]");
	no_violations(w);
	world_free(w);
}

static void test_limit(void **x)
{
	struct world *w = world_new();
	_cleanup_buf_ struct kc_buf g = { 0 };

	for (int i = 0; i < 12; i++)
		kc_buf_printf(&g,
			      "%s{\"id\":\"m%d\",\"kind\":\"toy/thing\",\"limit\":\"etcd:2\","
			      "\"want\":{\"gauge\":true,\"slow\":2}}",
			      i ? "," : "[", i);
	kc_buf_puts(&g, "]");
	apply_ok(w, kc_buf_get(&g));
	assert_int_equal(w->toy.most, 2);
	world_free(w);
}

/* One limit spans a removal and the creation after it, also where users must go in between. */
static void test_limit_over_replace(void **x)
{
	struct world *w = world_new();
#define MEMBER(n, zone)                                                                            \
	"{\"id\":\"m" n "\",\"kind\":\"toy/thing\",\"limit\":\"etcd:1\",\"want\":{\"quorum\":2,"   \
	"\"slow\":1,\"zone\":\"" zone "\"}}," THING("u" n, "\"on\":{\"$ref\":\"m" n "#oid\"}")
#define MEMBERS(zone) "[" MEMBER("1", zone) "," MEMBER("2", zone) "," MEMBER("3", zone) "]"

	apply_ok(w, MEMBERS("a"));
	apply_ok(w, MEMBERS("b"));
	expect(w, "m1", "replace");
	expect(w, "u1", "replace");
	no_violations(w);
	plan_ok(w, MEMBERS("b"));
	assert_int_equal(kc_plan_pending(w->plan), 0);
	world_free(w);
}

/* Two under one limit, one on top of the other: they cannot take turns, and must not wait for ever.
 */
static void test_limit_cannot_be_kept(void **x)
{
	struct world *w = world_new();
#define STACK(zone)                                                                                \
	"[{\"id\":\"a\",\"kind\":\"toy/thing\",\"limit\":\"l:1\",\"want\":{\"zone\":\"" zone       \
	"\"}},{\"id\":\"b\",\"kind\":\"toy/thing\",\"limit\":\"l:1\",\"want\":{\"on\":{\"$ref\":"  \
	"\"a#oid\"}}}]"

	apply_ok(w, STACK("a"));
	apply_ok(w, STACK("b"));
	expect(w, "b", "replace");
	no_violations(w);
	world_free(w);
}

/* What uses the old one and leaves, or moves away, does so before the old one goes. */
static void test_users_let_go_first(void **x)
{
	struct world *w = world_new();
#define FRONT(zone)   "{\"id\":\"f\",\"kind\":\"toy/front\",\"want\":{\"zone\":\"" zone "\"}}"
#define MOVES(id, on) TFILE(id, "\"on\":{\"$ref\":\"" on "#oid\"}")

	apply_ok(w, "[" FRONT("a") "," THING("x", "\"zone\":\"a\"") "," MOVES(
			    "gone", "f") "," MOVES("moves", "f") "," MOVES("other", "x") "]");
	apply_ok(w, "[" FRONT("b") "," THING("x", "\"zone\":\"b\"") "," THING("y", "") "," MOVES(
			    "moves", "y") "," MOVES("other", "y") "]");
	expect(w, "gone", "delete");
	expect(w, "f", "replace");
	expect(w, "x", "replace");
	no_violations(w);
	world_free(w);
}

/* Lost behind our back, or with its host: the next one must not look like the dead one. */
static void test_tokens_are_used_once(void **x)
{
	struct world *w = world_new();
	json_auto_t *cloud = NULL;
	const char *oid;
	json_t *o;
	void *tmp;

	apply_ok(w, "[" THING("a", "") "]");
	cloud = toy_load(w->cloud);
	json_object_foreach_safe(json_object_get(cloud, "objects"), tmp, oid, o) {
		json_array_append(json_object_get(cloud, "spent"), json_object_get(o, "token"));
		json_object_del(json_object_get(cloud, "objects"), oid);
	}
	assert_int_equal(json_dump_file(cloud, w->cloud, 0), 0);
	apply_ok(w, "[" THING("a", "") "]");
	expect(w, "a", "create");
	no_violations(w);
	world_free(w);
}

/* Many become ready at once while one thread sleeps: each gets a thread. */
static void test_fan_out(void **x)
{
	struct world *w = world_new();
	_cleanup_buf_ struct kc_buf g = { 0 };

	kc_buf_puts(&g, "[" THING("r0", "") "," THING("r1", ""));
	for (int i = 0; i < 12; i++)
		kc_buf_printf(&g,
			      ",{\"id\":\"d%d\",\"kind\":\"toy/thing\",\"after\":[\"r0\",\"r1\"],"
			      "\"want\":{\"meet\":12}}",
			      i);
	kc_buf_puts(&g, "]");
	apply_ok(w, kc_buf_get(&g));
	assert_int_equal(w->toy.most, 12);
	world_free(w);
}

static void test_deadline_and_cancel(void **x)
{
	static const atomic_bool stop = true;
	struct world *w = world_new();

	w->e.deadline_ms = 150;
	plan_ok(w, "[" THING("a", "\"slow\":100000") "]");
	assert_int_equal(kc_plan_apply(&w->e, w->plan, &w->err), KC_ETIMEOUT);
	assert_string_equal(w->err.msg, "a: not ready after 0 s: starting");
	w->e.deadline_ms = 0;
	plan_ok(w, "[" THING("a", "\"slow\":100000") "," THING("b", "") "]");
	w->e.cancel = &stop;
	assert_int_equal(kc_plan_apply(&w->e, w->plan, &w->err), KC_ECANCELED);
	world_free(w);
}

static int no_longer_ours(void *cookie, struct kc_err *err)
{
	return kc_fail(err, KC_ECONFLICT, "the lock was taken away");
}

static void test_guard(void **x)
{
	struct world *w = world_new();

	w->e.guard = no_longer_ours;
	plan_ok(w, "[" THING("a", "") "," THING("b", "") "]");
	assert_int_equal(kc_plan_apply(&w->e, w->plan, &w->err), KC_ECONFLICT);
	assert_int_equal(w->toy.applies, 0);
	world_free(w);
}

/* Who slept past the lease puts no segment either. */
static void test_guarded_journal(void **x)
{
	struct world *w = world_new();
	json_auto_t *keys = NULL;

	apply_ok(w, "[" THING("a", "\"n\":1") "]");
	assert_int_equal(kc_state_compact(w->e.state, &w->err), 0);
	kc_state_guard(w->e.state, no_longer_ours, NULL);
	plan_ok(w, "[" THING("a", "\"n\":2") "," THING("b", "") "]");
	assert_int_equal(kc_plan_apply(&w->e, w->plan, &w->err), KC_ECONFLICT);
	assert_non_null(strstr(w->err.msg, "the lock was taken away"));
	assert_int_equal(w->toy.applies, 1);
	assert_int_equal(kc_store_list(w->store, "c/journal/", &keys, &w->err), 0);
	assert_int_equal(json_array_size(keys), 0);
	world_free(w);
}

/* The older holder cannot record: its segments are left out, its compaction fails. */
static void test_fence(void **x)
{
	struct world *w = world_new();
	struct kc_state *newer = NULL, *reader = NULL;
	json_auto_t *keys = NULL;

	apply_ok(w, "[" THING("a", "\"n\":1") "]");
	assert_int_equal(kc_state_open(w->store, "c", "uid-1", 2, &newer, &w->err), 0);
	assert_int_equal(json_object_size(kc_state_tasks(newer)), 1);
	plan_ok(w, "[" THING("a", "\"n\":1") "," THING("late", "") "]");
	kc_plan_apply(&w->e, w->plan, &w->err);
	assert_int_equal(kc_state_compact(w->e.state, &w->err), KC_ECONFLICT);
	assert_non_null(strstr(w->err.msg, "newer operator"));
	assert_int_equal(kc_state_open(w->store, "c", "uid-1", 0, &reader, &w->err), 0);
	assert_null(json_object_get(kc_state_tasks(reader), "late"));
	kc_state_close(reader);
	reader = NULL;
	assert_int_equal(kc_state_open(w->store, "c", "uid-1", 1, &reader, &w->err), KC_ECONFLICT);
	kc_state_close(newer);
	assert_int_equal(kc_state_open(w->store, "c", "uid-1", 3, &newer, &w->err), 0);
	kc_state_close(newer);
	assert_int_equal(kc_store_list(w->store, "c/journal/", &keys, &w->err), 0);
	assert_int_equal(json_array_size(keys), 0);
	world_free(w);
}

static void test_forget(void **x)
{
	struct world *w = world_new();

	apply_ok(w, "[" THING("a", "") "]");
	assert_int_equal(kc_state_forget(w->e.state, "b", &w->err), KC_ENOTFOUND);
	assert_int_equal(kc_state_forget(w->e.state, "a", &w->err), 0);
	plan_ok(w, "[]");
	assert_int_equal(kc_plan_pending(w->plan), 0);
	world_free(w);
}

static void test_forget_in_a_plan(void **x)
{
	struct world *w = world_new();

	apply_ok(w, "[" THING("a", "") "," THING("b", "") "]");
	w->e.forget = "a";
	plan_ok(w, "[" THING("a", "") "]"); /* it is still wanted */
	expect(w, "a", "keep");
	expect(w, "b", "delete");
	apply_ok(w, "[]");
	expect(w, "a", "forget");
	expect(w, "b", "delete");
	w->e.forget = NULL;
	plan_ok(w, "[]");
	assert_int_equal(kc_plan_pending(w->plan), 0);
	plan_ok(w, "[" THING("a", "") "," THING("b", "") "]");
	expect(w, "a", "keep"); /* it was left as it is */
	expect(w, "b", "create");
	world_free(w);
}

static void test_hash_ignores_timing(void **x)
{
	struct world *w = world_new();
	_cleanup_buf_ struct kc_buf g = { 0 };
	char first[65], hash[65];

	for (int i = 0; i < 60; i++)
		kc_buf_printf(&g,
			      "%s{\"id\":\"m%d\",\"kind\":\"toy/thing\",\"want\":{\"n\":%d},"
			      "\"after\":[%s]}",
			      i ? "," : "[", i, i, i ? "\"m0\"" : "");
	kc_buf_puts(&g, "]");
	for (int i = 0; i < 10; i++) {
		w->e.threads = 1 + i * 3;
		plan_ok(w, kc_buf_get(&g));
		kc_plan_hash(w->plan, i ? hash : first);
		if (i)
			assert_string_equal(hash, first);
	}
	world_free(w);
}

/* Many tasks, many threads: what TSan looks at. */
static void test_crowd(void **x)
{
	struct world *w = world_new();
	_cleanup_buf_ struct kc_buf g = { 0 };

	for (int i = 0; i < 200; i++)
		kc_buf_printf(&g,
			      "%s{\"id\":\"m%d\",\"kind\":\"%s\",\"want\":{\"slow\":%d,\"on\":%s}}",
			      i ? "," : "[", i, i % 3 ? "toy/thing" : "toy/listed", i % 2,
			      i < 20   ? "null"
			      : i < 40 ? "{\"$ref\":\"m7#oid\"}"
				       : "{\"$ref\":\"m27#oid\"}");
	kc_buf_puts(&g, "]");
	apply_ok(w, kc_buf_get(&g));
	plan_ok(w, kc_buf_get(&g));
	assert_int_equal(kc_plan_pending(w->plan), 0);
	apply_ok(w, "[]");
	plan_ok(w, "[]");
	assert_int_equal(kc_plan_pending(w->plan), 0);
	world_free(w);
}

/* ---- golden plans: tests/golden/engine/<case>/{before,after}.json -> plan.{txt,json} ---- */

static void check_golden(const char *name, const char *file, const char *text)
{
	_cleanup_free_ char *path =
		xasprintf(KC_SOURCE_DIR "/tests/golden/engine/%s/%s", name, file);
	_cleanup_free_ char *want = NULL;
	struct kc_err err;

	if (getenv("KC_GOLDEN_UPDATE"))
		assert_int_equal(kc_file_write(path, text, strlen(text), 0644, &err), 0);
	if (kc_file_read(path, 1 << 20, &want, NULL, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(text, want);
}

static void golden(const char *name)
{
	_cleanup_free_ char *dir = xasprintf(KC_SOURCE_DIR "/tests/golden/engine/%s", name);
	_cleanup_free_ char *before = xasprintf("%s/before.json", dir), *a = NULL;
	_cleanup_free_ char *after = xasprintf("%s/after.json", dir), *b = NULL, *json = NULL;
	_cleanup_buf_ struct kc_buf text = { 0 }, line = { 0 };
	struct world *w = world_new();

	w->e.threads = 1;
	assert_int_equal(kc_file_read(before, 1 << 20, &a, NULL, &w->err), 0);
	assert_int_equal(kc_file_read(after, 1 << 20, &b, NULL, &w->err), 0);
	apply_ok(w, a);
	plan_ok(w, b);
	kc_plan_text(kc_plan_json(w->plan), false, &text);
	json = json_dumps(kc_plan_json(w->plan), JSON_INDENT(2) | JSON_SORT_KEYS);
	kc_buf_printf(&line, "%s\n", json);
	check_golden(name, "plan.txt", kc_buf_get(&text));
	check_golden(name, "plan.json", kc_buf_get(&line));
	world_free(w);
}

static void test_golden(void **x)
{
	golden("create");
	golden("change");
	golden("delete");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_graphs),
		cmocka_unit_test(test_three_way),
		cmocka_unit_test(test_sensitive),
		cmocka_unit_test(test_rev),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_within),
		cmocka_unit_test(test_list_is_one_call),
		cmocka_unit_test(test_nested),
		cmocka_unit_test(test_failure_is_contained),
		cmocka_unit_test(test_no_duplicates),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_limit_over_replace),
		cmocka_unit_test(test_limit_cannot_be_kept),
		cmocka_unit_test(test_users_let_go_first),
		cmocka_unit_test(test_tokens_are_used_once),
		cmocka_unit_test(test_fan_out),
		cmocka_unit_test(test_deadline_and_cancel),
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_guarded_journal),
		cmocka_unit_test(test_fence),
		cmocka_unit_test(test_forget),
		cmocka_unit_test(test_forget_in_a_plan),
		cmocka_unit_test(test_hash_ignores_timing),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_golden),
	};

	return cmocka_run_group_tests(tests, root_new, root_gone);
}
