/*
 * kill -9 at every point: before and after each put of the state, before and
 * after each change at the (toy) provider; then once more at a point of the run
 * that resumes. Whatever happened, running the same again ends in the same
 * cloud, with nothing left to do, no duplicate ever made, and nothing removed
 * while it was in use.
 */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/state.h"
#include "tests/unit/toy.h"

/*
 * Every second point in a plain build. fork() costs sanitized processes sixteen milliseconds: there
 * the second points are a sample, another one for each first point.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STEP 6
#else
#define STEP 1
#endif

static char root[64];
static int points;   /* passed by this process */
static int kill_at;  /* 0: live */
static int *counter; /* shared with the child: points it passed */
static bool scan;    /* deletes look for what nobody recorded */

static void at_point(const char *where)
{
	*counter = ++points;
	if (points == kill_at)
		raise(SIGKILL);
}

/* The child's whole life: lock-free, fence given, one thread so that points are counted alike. */
static int run(const char *dir, const char *graph, int fence, size_t *ret_pending,
	       struct kc_err *err)
{
	_cleanup_free_ char *state = xasprintf("%s/state", dir),
			    *cloud = xasprintf("%s/cloud", dir);
	json_auto_t *tasks = json_loads(graph, 0, NULL);
	struct toy toy = { .path = cloud, .point = at_point, .refuses = scan };
	struct kc_provider provider = scan ? toy_marking_provider(&toy) : toy_provider(&toy);
	const struct kc_provider *const providers[] = { &provider, NULL };
	struct kc_engine e = {
		.providers = providers,
		.owner = "uid-1",
		.threads = 1,
		.backoff_ms = 1,
		.scan = scan,
	};
	_cleanup_store_ struct kc_store *store = NULL;
	_cleanup_plan_ struct kc_plan *plan = NULL;
	struct kc_store *inner = NULL;
	int r;

	assert_non_null(tasks);
	if (kc_store_open(state, &inner, err) < 0)
		return -1;
	store = toy_store(inner, at_point);
	e.fence = (uint64_t)fence;
	r = kc_state_open(store, "clusters/x", "uid-1", e.fence, &e.state, err);
	if (r == 0)
		r = kc_plan_make(&e, tasks, &plan, err);
	if (r == 0 && ret_pending)
		*ret_pending = kc_plan_pending(plan);
	if (r == 0)
		r = kc_plan_apply(&e, plan, err);
	kc_state_close(e.state);
	return r;
}

/* Run in a child that dies at its n-th point (0: never). True if it lived; exit must then be 0. */
static bool run_child(const char *dir, const char *graph, int fence, int n)
{
	int status;
	pid_t pid;

	*counter = 0;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct kc_err err = { 0 };
		int r;

		points = 0;
		kill_at = n;
		r = run(dir, graph, fence, NULL, &err);
		if (r < 0)
			fprintf(stderr, "child: %s\n", err.msg);
		_exit(r < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return false;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	return true;
}

static void copy_into(const char *from, const char *to)
{
	DIR *d = opendir(from);
	struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d))) {
		_cleanup_free_ char *a = xasprintf("%s/%s", from, e->d_name);
		_cleanup_free_ char *b = xasprintf("%s/%s", to, e->d_name), *text = NULL;
		FILE *f;
		size_t n;

		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		if (e->d_type == DT_DIR) {
			assert_int_equal(mkdir(b, 0700), 0);
			copy_into(a, b);
			continue;
		}
		assert_int_equal(kc_file_read(a, 1 << 24, &text, &n, NULL), 0);
		f = fopen(b, "w");
		assert_non_null(f);
		assert_int_equal(fwrite(text, 1, n, f), n);
		fclose(f);
	}
	closedir(d);
}

static void copy(const char *from, const char *to)
{
	struct kc_err err = { 0 };

	assert_int_equal(kc_rm_rf(to, &err), 0);
	assert_int_equal(kc_mkdir_p(to, 0700, &err), 0);
	copy_into(from, to);
}

static void resume(const char *dir, const char *graph, const char *what)
{
	struct kc_err err = { 0 };

	kill_at = 0;
	if (run(dir, graph, 5, NULL, &err) < 0)
		fail_msg("%s: the third run: %s", what, err.msg);
}

static void check_end(const char *dir, const char *graph, const char *want, const char *what)
{
	_cleanup_free_ char *cloud = xasprintf("%s/cloud", dir), *have = NULL, *bad = NULL;
	json_auto_t *c = NULL;
	struct kc_err err = { 0 };
	size_t pending = 99;

	kill_at = 0;
	if (run(dir, graph, 99, &pending, &err) < 0)
		fail_msg("%s: the second run: %s", what, err.msg);
	if (pending)
		fail_msg("%s: the second plan has %zu changes", what, pending);
	c = toy_load(cloud);
	bad = kc_json_text(json_object_get(c, "violations"));
	if (!streq(bad, "[]"))
		fail_msg("%s: %s", what, bad);
	have = toy_portrait(cloud);
	if (!streq(have, want))
		fail_msg("%s: the cloud is\n%sinstead of\n%s", what, have, want);
}

/* From the state in base towards graph: dead at i, then at every k of the resuming run. */
static void crash_everywhere(const char *base, const char *graph, const char *step)
{
	_cleanup_free_ char *ref = xasprintf("%s/ref", root), *dir = xasprintf("%s/try", root);
	_cleanup_free_ char *mid = xasprintf("%s/mid", root);
	_cleanup_free_ char *cloud = xasprintf("%s/cloud", ref), *want = NULL;
	int runs = 0;

	copy(base, ref);
	assert_true(run_child(ref, graph, 2, 0));
	want = toy_portrait(cloud);
	check_end(ref, graph, want, step);
	for (int i = 1;; i++) {
		copy(base, mid);
		if (run_child(mid, graph, 3, i))
			break;
		for (int k = 1 + i % STEP;; k += STEP) {
			char what[100];
			bool lived;

			snprintf(what, sizeof(what), "%s, dead at %d, then at %d", step, i, k);
			copy(mid, dir);
			lived = run_child(dir, graph, 4, k);
			if (!lived)
				resume(dir, graph, what);
			check_end(dir, graph, want, what);
			runs++;
			if (lived)
				break;
		}
	}
	print_message("%s: %d double crashes\n", step, runs);
}

/*
 * Dead on the way to graph, then the user wants none of it any more: what the dead
 * run had begun must be found although nothing ever recorded how it ended.
 */
static void crash_then_delete(const char *base, const char *graph, const char *step)
{
	_cleanup_free_ char *dir = xasprintf("%s/try", root);
	int runs = 0;

	for (int i = 1;; i++, runs++) {
		char what[100];

		copy(base, dir);
		if (run_child(dir, graph, 3, i))
			break;
		snprintf(what, sizeof(what), "%s, dead at %d, then deleted", step, i);
		resume(dir, "[]", what);
		check_end(dir, "[]", "", what);
	}
	print_message("%s: %d crashes, each followed by a delete\n", step, runs);
}

/* Two things of somebody else in the same cloud, one with a name like ours. */
#define FOREIGN "{\"task\":\"thing/net\"}\n{\"task\":\"thing/theirs\"}\n"
static void add_foreign(const char *dir)
{
	_cleanup_free_ char *path = xasprintf("%s/cloud", dir);
	json_auto_t *cloud = toy_load(path);
	static const char *const ids[] = { "thing/net", "thing/theirs" };

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		_cleanup_free_ char *oid = xasprintf("x-%zu", i);

		json_object_set_new(json_object_get(cloud, "objects"), oid,
				    kc_pack("{s:s, s:s, s:s, s:s, s:s, s:{}}", "oid", oid, "kind",
					    "toy/thing", "owner", "uid-2", "task", ids[i], "token",
					    oid, "attrs"));
	}
	assert_int_equal(json_dump_file(cloud, path, 0), 0);
}

static void lose_record(const char *dir)
{
	_cleanup_free_ char *state = xasprintf("%s/state", dir);

	assert_int_equal(kc_rm_rf(state, NULL), 0);
}

/*
 * Dead at i on the way to graph, then the record is lost with its journal, and so it is once more
 * when the delete died at k: what has our mark goes, what has another one stays.
 */
static void lose_and_delete(const char *base, const char *graph, const char *step)
{
	_cleanup_free_ char *mid = xasprintf("%s/mid", root), *dir = xasprintf("%s/try", root);
	bool done = false;
	int runs = 0;

	for (int i = 1; !done; i += STEP) {
		copy(base, mid);
		add_foreign(mid);
		done = run_child(mid, graph, 3, i);
		lose_record(mid);
		for (int k = 1 + i % STEP;; k += STEP, runs++) {
			char what[100];
			bool lived;

			snprintf(what, sizeof(what), "%s, dead at %d, lost, delete dead at %d",
				 step, i, k);
			copy(mid, dir);
			lived = run_child(dir, "[]", 4, k);
			if (!lived && k % 2)
				lose_record(dir);
			if (!lived)
				resume(dir, "[]", what);
			check_end(dir, "[]", FOREIGN, what);
			if (lived)
				break;
		}
	}
	print_message("%s: %d crashes of a delete without a record\n", step, runs);
}

/* A base of its own for the next step: graph applied without a crash. */
static void advance(const char *base, const char *graph)
{
	assert_true(run_child(base, graph, 1, 0));
}

#define GUEST                                                                                      \
	"{\"id\":\"thing/guest\",\"kind\":\"toy/thing\",\"within\":\"host/h\",\"want\":{"          \
	"\"host\":\"host/h\"}}"
#define FADES                                                                                      \
	"{\"id\":\"thing/fades\",\"kind\":\"toy/thing\",\"limit\":\"vm:1\",\"want\":{"             \
	"\"fades\":2,\"flaky\":true,\"zone\":"
#define VM                                                                                         \
	"{\"id\":\"thing/vm\",\"kind\":\"toy/thing\",\"limit\":\"vm:1\",\"want\":{\"on\":{"        \
	"\"$ref\":\"thing/net#oid\"}}}"
#define USER                                                                                       \
	"{\"id\":\"file/user\",\"kind\":\"toy/file\",\"want\":{\"on\":{\"$ref\":\"front/"          \
	"f#oid\"}}}"
#define OLD                                                                                        \
	"{\"id\":\"thing/old\",\"kind\":\"toy/thing\",\"want\":{\"slow\":1}},{\"id\":\"thing/"     \
	"older\",\"kind\":\"toy/thing\",\"want\":{\"on\":{\"$ref\":\"thing/old#oid\"}}}"

static char *base_dir(const char *name)
{
	char *dir = xasprintf("%s/%s", root, name);

	assert_int_equal(kc_mkdir_p(dir, 0700, NULL), 0);
	return dir;
}

static void test_replace_and_prune(void **x)
{
	static const char a[] = "[{\"id\":\"thing/net\",\"kind\":\"toy/thing\",\"want\":{\"zone\":"
				"\"a\",\"slow\":1}}," VM "," OLD "]";
	static const char b[] = "[{\"id\":\"thing/net\",\"kind\":\"toy/thing\",\"want\":{\"zone\":"
				"\"b\",\"slow\":1}}," VM "]";
	_cleanup_free_ char *base = base_dir("r");

	crash_everywhere(base, a, "create");
	advance(base, a);
	crash_then_delete(base, b, "replace and prune");
	crash_everywhere(base, b, "replace and prune");
	advance(base, b);
	crash_everywhere(base, "[]", "delete");
}

static void test_create_first(void **x)
{
	static const char a[] = "[{\"id\":\"front/f\",\"kind\":\"toy/front\",\"want\":{\"zone\":"
				"\"a\",\"slow\":1}}," USER "]";
	static const char b[] = "[{\"id\":\"front/f\",\"kind\":\"toy/front\",\"want\":{\"zone\":"
				"\"b\",\"slow\":1}}," USER "]";
	_cleanup_free_ char *base = base_dir("f");

	crash_everywhere(base, a, "create a front");
	advance(base, a);
	crash_then_delete(base, b, "replace, create first");
	crash_everywhere(base, b, "replace, create first");
	advance(base, b);
	crash_everywhere(base, "[]", "delete a front");
}

static void test_within_and_update(void **x)
{
	static const char a[] = "[{\"id\":\"host/h\",\"kind\":\"toy/host\",\"want\":{\"zone\":"
				"\"a\"}}," GUEST ",{\"id\":\"thing/t\",\"kind\":\"toy/thing\","
				"\"want\":{\"n\":1,\"m\":1}}]";
	static const char b[] = "[{\"id\":\"host/h\",\"kind\":\"toy/host\",\"want\":{\"zone\":"
				"\"b\"}}," GUEST ",{\"id\":\"thing/t\",\"kind\":\"toy/thing\","
				"\"want\":{\"n\":2}}]";
	_cleanup_free_ char *base = base_dir("w");

	advance(base, a);
	crash_then_delete(base, b, "replace a host, update");
	crash_everywhere(base, b, "replace a host, update");
	advance(base, b);
	crash_everywhere(base, "[]", "delete a host");
}

/* A provider that only accepts removals, answers late, and two that share a limit. */
static void test_accepted_removal(void **x)
{
	static const char a[] = "[{\"id\":\"thing/net\",\"kind\":\"toy/thing\",\"want\":{\"zone\":"
				"\"a\"}}," VM "," FADES "\"a\"}}]";
	static const char b[] = "[{\"id\":\"thing/net\",\"kind\":\"toy/thing\",\"want\":{\"zone\":"
				"\"a\"}}," VM "," FADES "\"b\"}}]";
	_cleanup_free_ char *base = base_dir("a");

	crash_then_delete(base, a, "create");
	crash_everywhere(base, a, "create, two under a limit");
	advance(base, a);
	crash_then_delete(base, b, "replace what only fades");
	crash_everywhere(base, b, "replace what only fades");
	advance(base, b);
	crash_everywhere(base, "[]", "delete what only fades");
}

/* The record is lost entirely: only the marks tell what there is. */
static void test_lost_record(void **x)
{
	static const char a[] =
		"[{\"id\":\"thing/net\",\"kind\":\"toy/thing\",\"want\":{\"slow\":"
		"1}}," VM ",{\"id\":\"host/h\",\"kind\":\"toy/host\",\"want\":{}}," GUEST
		",{\"id\":\"front/f\",\"kind\":\"toy/front\",\"want\":{"
		"\"zone\":\"a\"}}," USER "]";
	static const char b[] = "[{\"id\":\"front/f\",\"kind\":\"toy/front\",\"want\":{\"zone\":"
				"\"b\"}}," USER "," FADES "\"a\"}}]";
	_cleanup_free_ char *base = base_dir("l");

	scan = true;
	lose_and_delete(base, a, "create");
	advance(base, a);
	lose_and_delete(base, b, "replace, create first");
	scan = false;
}

static int setup(void **x)
{
	struct stat st;

	/* Memory: crash points are about kill -9 here, not about power. */
	strcpy(root,
	       stat("/dev/shm", &st) == 0 ? "/dev/shm/kc-crash-XXXXXX" : "/tmp/kc-crash-XXXXXX");
	counter = mmap(NULL, sizeof(*counter), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	return mkdtemp(root) && counter != MAP_FAILED ? 0 : -1;
}

static int teardown(void **x)
{
	return kc_rm_rf(root, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replace_and_prune), cmocka_unit_test(test_create_first),
		cmocka_unit_test(test_within_and_update), cmocka_unit_test(test_accepted_removal),
		cmocka_unit_test(test_lost_record),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
