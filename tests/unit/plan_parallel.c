/* --parallelism: how many calls run at a time, while planning, applying and deleting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/codec/json.h"
#include "lib/plan/plan.h"
#include "lib/plan/state.h"
#include "lib/store/store.h"

enum { THINGS = 40, PATIENCE_MS = 5000 };

static char root[] = "/tmp/kc-plan-XXXXXX";

/* Calls that are at it now, the most there have been, and how many there should come to be. */
static struct crowd {
	atomic_int now, most, expected;
	atomic_bool exist[THINGS];
} crowd;

static void come_and_go(void)
{
	int now = atomic_fetch_add(&crowd.now, 1) + 1, most = atomic_load(&crowd.most);
	int64_t end = kc_now_ms() + PATIENCE_MS;

	while (now > most && !atomic_compare_exchange_weak(&crowd.most, &most, now))
		;
	/* Those who may come find this one still here; one too many would, too. */
	while (atomic_load(&crowd.most) < crowd.expected && kc_now_ms() < end)
		kc_sleep_ms(1);
	kc_sleep_ms(2);
	atomic_fetch_sub(&crowd.now, 1);
}

static int number(const struct kc_task *task)
{
	return atoi(task->id + 1);
}

static int find(void *ctx, const struct kc_task *task, json_t **ret, struct kc_err *err)
{
	come_and_go();
	if (crowd.exist[number(task)])
		*ret = json_object();
	return 0;
}

static int apply(void *ctx, const struct kc_task *task, const json_t *actual, const json_t *changes,
		 json_t **ret, struct kc_err *err)
{
	come_and_go();
	crowd.exist[number(task)] = true;
	*ret = json_object();
	return 0;
}

static int take_away(void *ctx, const struct kc_task *task, const json_t *actual,
		     struct kc_err *err)
{
	come_and_go();
	crowd.exist[number(task)] = false;
	return 0;
}

static const struct kc_kind thing = {
	.name = "thing", .find = find, .apply = apply, .remove = take_away
};
static const struct kc_kind *const kinds[] = { &thing, NULL };

static void expect(int n)
{
	crowd.most = 0;
	crowd.expected = n;
}

static void pass(struct kc_engine *e, const json_t *tasks, int looks, int n)
{
	_cleanup_plan_ struct kc_plan *plan = NULL;
	struct kc_err err;

	expect(looks);
	if (kc_plan_make(e, tasks, &plan, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(crowd.most, looks);
	assert_int_equal(kc_plan_pending(plan), THINGS);
	expect(n);
	if (kc_plan_apply(e, plan, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(crowd.most, n);
}

/* A life from nothing to nothing, n at a time. */
static void live(int threads, int n)
{
	struct kc_provider provider = { .name = "things", .kinds = kinds };
	const struct kc_provider *const providers[] = { &provider, NULL };
	struct kc_engine e = {
		.providers = providers, .owner = "uid-1", .fence = 1, .threads = threads
	};
	_cleanup_free_ char *dir = xasprintf("%s/%d", root, threads);
	json_auto_t *tasks = json_array(), *none = json_array();
	struct kc_store *store = NULL;
	struct kc_err err;

	for (int i = 0; i < THINGS; i++) {
		_cleanup_free_ char *id = xasprintf("t%d", i);

		json_array_append_new(tasks, kc_pack("{s:s, s:s, s:{}}", "id", id, "kind", "thing",
						     "want"));
	}
	assert_int_equal(kc_store_open(dir, &store, &err), 0);
	assert_int_equal(kc_state_open(store, "c", "uid-1", 1, &e.state, &err), 0);
	pass(&e, tasks, n, n);
	pass(&e, none, 0, n); /* the record tells what there is */
	kc_state_close(e.state);
	kc_store_close(store);
}

static void test_parallelism(void **state)
{
	live(1, 1);
	live(3, 3);
	live(64, 16); /* what the provider stands */
	live(0, 16);
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(test_parallelism) };
	int r;

	if (!mkdtemp(root))
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	kc_rm_rf(root, NULL);
	return r;
}
