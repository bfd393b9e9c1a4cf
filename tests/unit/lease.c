/* One of several replicas, elected by a Lease at a real API server; time is the test's own. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/codec/json.h"
#include "lib/objects/lease.h"
#include "tests/unit/kube_lab.h"

#define PATH "/apis/coordination.k8s.io/v1/namespaces/default/leases/test"

static struct kube_lab lab;
static struct kc_kube *k;
static int64_t later; /* what the clock is ahead */

int64_t __real_kc_boottime_ms(void);
int64_t __wrap_kc_boottime_ms(void);
int64_t __wrap_kc_boottime_ms(void)
{
	return __real_kc_boottime_ms() + later;
}

static int setup(void **state)
{
	struct kc_kube_conf conf;
	struct kc_err err = { 0 };

	assert_true(kube_lab_init(&lab));
	kube_lab_start(&lab);
	conf = kube_lab_conf(&lab);
	assert_int_equal(kc_kube_new(&conf, &k, &err), 0);
	kc_kube_conf_done(&conf);
	for (int i = 0; i < 1200; i++) {
		if (kc_kube_get(k, "/api/v1/namespaces/default", NULL, &err) == 0)
			return 0;
		kc_sleep_ms(50);
	}
	fail_msg("%s", err.msg);
	return -1;
}

static int teardown(void **state)
{
	kc_kube_free(k);
	kube_lab_stop(&lab);
	return 0;
}

static struct kc_lease lease(const char *identity)
{
	return (struct kc_lease){ .namespace = "default", .name = "test", .identity = identity };
}

static bool try(struct kc_lease *l)
{
	struct kc_err err = { 0 };

	if (kc_lease_try(l, k, &err) < 0)
		fail_msg("%s", err.msg);
	return kc_lease_held(l);
}

static json_t *spec(void)
{
	json_auto_t *live = NULL;
	struct kc_err err;

	assert_int_equal(kc_kube_get(k, PATH, &live, &err), 0);
	return json_incref(json_object_get(live, "spec"));
}

static void test_life(void **state)
{
	_cleanup_lease_ struct kc_lease a = lease("a"), b = lease("b");
	json_auto_t *first = NULL, *second = NULL, *released = NULL;
	struct kc_err err;

	assert_true(try(&a));
	first = spec();
	assert_string_equal(kc_json_get_str(first, "holderIdentity", ""), "a");
	assert_int_equal(kc_json_get_int(first, "leaseDurationSeconds", 0), 15);
	assert_int_equal(kc_json_get_int(first, "leaseTransitions", -1), 0);
	assert_false(try(&b));
	/* While it is renewed nobody takes it, however long that is. */
	for (int i = 0; i < 4; i++) {
		later += 6000;
		assert_true(try(&a));
		assert_false(try(&b));
	}
	/* Who does not renew stops before anybody may take it. */
	later += KC_LEASE_DEADLINE_MS;
	assert_false(kc_lease_held(&a));
	assert_false(try(&b));
	later += KC_LEASE_S * 1000 - KC_LEASE_DEADLINE_MS;
	assert_true(try(&b));
	assert_false(try(&a));
	second = spec();
	assert_string_equal(kc_json_get_str(second, "holderIdentity", ""), "b");
	assert_int_equal(kc_json_get_int(second, "leaseTransitions", -1), 1);
	/* What is released is taken at once. */
	assert_int_equal(kc_lease_release(&b, k, &err), 0);
	assert_false(kc_lease_held(&b));
	released = spec();
	assert_string_equal(kc_json_get_str(released, "holderIdentity", ""), "");
	assert_true(try(&a));
	assert_false(try(&b));
}

static void *try_it(void *cookie)
{
	kc_lease_try(cookie, k, NULL);
	return NULL;
}

/* All see that it is free: the API's compare-and-swap lets one through. */
static void test_many_at_once(void **state)
{
	static const char *const names[] = { "p", "q", "r", "s", "t", "u", "v", "w" };
	struct kc_lease l[ARRAY_SIZE(names)];
	pthread_t thread[ARRAY_SIZE(names)];
	struct kc_err err;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		l[i] = lease(names[i]);
	for (int round = 0; round < 5; round++) {
		size_t held = 0, holder = 0;

		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			try(&l[i]);
		later += 60000;
		/* Or deleted by somebody: made again by whoever comes first. */
		if (round == 4)
			assert_int_equal(kc_kube_delete(k, PATH, NULL, NULL, -1, &err), 0);
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			assert_int_equal(pthread_create(&thread[i], NULL, try_it, &l[i]), 0);
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			pthread_join(thread[i], NULL);
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			if (kc_lease_held(&l[i])) {
				held++;
				holder = i;
			}
		assert_int_equal(held, 1);
		{
			json_auto_t *now = spec();

			assert_string_equal(kc_json_get_str(now, "holderIdentity", ""),
					    names[holder]);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		kc_lease_done(&l[i]);
}

static void test_an_api_that_is_away(void **state)
{
	_cleanup_lease_ struct kc_lease a = lease("a");
	_cleanup_kube_conf_ struct kc_kube_conf conf = kube_lab_conf(&lab);
	_cleanup_kube_ struct kc_kube *away = NULL;
	struct kc_err err;

	free(conf.server);
	conf.server = xstrdup("https://127.0.0.1:1");
	assert_int_equal(kc_kube_new(&conf, &away, &err), 0);
	try(&a);
	later += 60000;
	assert_true(try(&a));
	assert_int_equal(kc_lease_try(&a, away, &err), KC_EAGAIN);
	assert_true(kc_lease_held(&a));
	later += KC_LEASE_DEADLINE_MS;
	assert_false(kc_lease_held(&a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_an_api_that_is_away),
	};

	if (!getenv("KC_BUNDLE_BIN")) {
		fprintf(stderr, "lease: skipped: KC_BUNDLE_BIN is not set\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
