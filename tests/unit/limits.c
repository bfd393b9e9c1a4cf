/* The table of providers' limits: they take their numbers from it, and the scheduler keeps to it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bootstrap/hosts.h"
#include "bootstrap/secrets.h"
#include "clouds/local/local.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/objects/objects.h"
#include "lib/plan/state.h"
#include "tests/unit/toy.h"
#include "tests/unit/plan_world.h"

static char *many(int n, const char *want)
{
	struct kc_buf g = { 0 };

	for (int i = 0; i < n; i++)
		kc_buf_printf(&g, "%s{\"id\":\"m%d\",\"kind\":\"toy/thing\",\"want\":{%s}}",
			      i ? "," : "[", i, want);
	kc_buf_puts(&g, "]");
	return kc_buf_steal(&g);
}

/* Never faster than the bucket allows, whatever the clock does to us: a lower bound. */
static void test_rate(void **x)
{
	static const struct kc_limits slow = { .rate = 50, .burst = 60 };
	struct world *w = world_new();
	_cleanup_free_ char *graph = many(50, "");
	int64_t start, spent;
	int calls;

	plan_ok(w, graph);
	w->provider.limits = &slow;
	start = kc_now_ms();
	w->toy.finds = 0;
	assert_int_equal(kc_plan_apply(&w->e, w->plan, &w->err), 0);
	spent = kc_now_ms() - start;
	calls = w->toy.finds + w->toy.applies;
	assert_true(calls >= 100);
	if (spent < (calls - 60) * 1000 / 50)
		fail_msg("%d calls in %lld ms", calls, (long long)spent);
	world_free(w);
}

static void test_parallel(void **x)
{
	static const struct kc_limits three = { .parallel = 3 };
	struct world *w = world_new();
	_cleanup_free_ char *graph = many(40, "\"gauge\":true");

	w->provider.limits = &three;
	apply_ok(w, graph);
	assert_in_range(w->toy.most, 1, 3);
	world_free(w);
}

static void check_row(const struct kc_provider *p)
{
	assert_non_null(p->limits);
	assert_string_equal(p->limits->provider, p->name);
	assert_true(p->limits->parallel > 0);
}

static void test_providers_have_their_rows(void **x)
{
	struct kc_secrets secrets = { 0 };
	struct kc_kube_ctx *kube = kc_kube_ctx_new(NULL, NULL);
	struct kc_provider p = kc_kube_provider(kube);
	struct kc_hosts hosts;
	struct kc_err err;

	check_row(&p);
	kc_kube_ctx_free(kube);
	kc_hosts_init(&hosts);
	p = kc_hosts_provider(&hosts);
	check_row(&p);
	assert_int_equal(kc_limits_parallel(p.limits), 32);
	kc_hosts_done(&hosts);
	p = kc_secrets_provider(&secrets);
	check_row(&p);
	assert_null(kc_limits("nobody"));
	assert_int_equal(kc_limits_parallel(kc_limits("nobody")), 16);
	if (kc_cloud_local.open(&(struct kc_cloud_env){ .cluster = "t",
							.uid = "0123456789abcdef",
							.cache = "/nonexistent" },
				&p, &err) < 0)
		skip(); /* not on a host that cannot have it */
	check_row(&p);
	kc_cloud_local.close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_parallel),
		cmocka_unit_test(test_providers_have_their_rows),
	};

	return cmocka_run_group_tests(tests, root_new, root_gone);
}
