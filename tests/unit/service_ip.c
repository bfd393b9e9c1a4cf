/* A Service whose create was cut off between its address and itself, against a real API server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/objects/objects.h"
#include "tests/unit/kube_lab.h"

#define PATH "/apis/networking.k8s.io/v1/ipaddresses"

static struct kube_lab lab;
static struct kc_kube_ctx *ctx;

static int conf(void *cookie, struct kc_kube_conf *ret, struct kc_err *err)
{
	*ret = kube_lab_conf(&lab);
	return 0;
}

/* The API server gives out no addresses before it has seen their range. */
static bool has_range(void)
{
	json_auto_t *range = NULL;
	struct kc_kube *k;

	return kc_kube_ctx_get(ctx, &k, NULL) == 0 &&
	       kc_kube_get(k, "/apis/networking.k8s.io/v1/servicecidrs/kubernetes", &range, NULL) ==
		       0 &&
	       json_array_size(kc_json_at(range, "status.conditions"));
}

static int setup(void **state)
{
	struct kc_task t = { .id = "t", .want = json_object(), .owner = "o" };
	json_auto_t *actual = NULL;
	struct kc_err err = { 0 };

	assert_true(kube_lab_init(&lab));
	kube_lab_start(&lab);
	ctx = kc_kube_ctx_new(conf, NULL);
	if (kc_kube_api.apply(ctx, &t, NULL, NULL, &actual, &err) < 0)
		fail_msg("%s", err.msg);
	json_decref((json_t *)t.want);
	for (int i = 0; i < 600 && !has_range(); i++)
		kc_sleep_ms(50);
	return 0;
}

static int teardown(void **state)
{
	kc_kube_ctx_free(ctx);
	kube_lab_stop(&lab);
	return 0;
}

/* What a create that was cut off leaves: an address that says whose it is. */
static void take_address(const char *ip, const char *service)
{
	json_auto_t *address =
		kc_pack("{s:s, s:s, s:{s:s, s:{s:s, s:s}}, s:{s:{s:s, s:s, s:s, s:s}}}",
			"apiVersion", "networking.k8s.io/v1", "kind", "IPAddress", "metadata",
			"name", ip, "labels", "ipaddress.kubernetes.io/managed-by",
			"ipallocator.k8s.io", "ipaddress.kubernetes.io/ip-family", "IPv4", "spec",
			"parentRef", "group", "", "resource", "services", "namespace", "default",
			"name", service);
	struct kc_err err = { 0 };
	struct kc_kube *k;

	assert_int_equal(kc_kube_ctx_get(ctx, &k, &err), 0);
	if (kc_kube_create(k, PATH, address, NULL, &err) < 0)
		fail_msg("%s", err.msg);
}

static int apply(const char *ip, const char *service, struct kc_err *err)
{
	json_auto_t *want = kc_pack("{s:{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:[{s:i}]}}}", "object",
				    "apiVersion", "v1", "kind", "Service", "metadata", "name",
				    service, "namespace", "default", "spec", "clusterIP", ip,
				    "ports", "port", 53),
		    *actual = NULL;
	struct kc_task t = { .id = "t", .want = want, .owner = "o" };

	return kc_kube_object.apply(ctx, &t, NULL, NULL, &actual, err);
}

static void test_own_orphan(void **state)
{
	struct kc_err err = { 0 };

	take_address("10.96.0.77", "mine");
	if (apply("10.96.0.77", "mine", &err) < 0)
		fail_msg("%s", err.msg);
}

/* An address of somebody else stays theirs, also if their Service is not there. */
static void test_others(void **state)
{
	struct kc_err err = { 0 };
	struct kc_kube *k;

	take_address("10.96.0.78", "theirs");
	assert_int_equal(apply("10.96.0.78", "mine-too", &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "already allocated"));
	assert_int_equal(kc_kube_ctx_get(ctx, &k, &err), 0);
	assert_int_equal(kc_kube_get(k, PATH "/10.96.0.78", NULL, &err), 0);
	/* One that a Service has. */
	assert_int_equal(apply("10.96.0.77", "mine-too", &err), KC_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_orphan),
		cmocka_unit_test(test_others),
	};

	if (!getenv("KC_BUNDLE_BIN")) {
		printf("KC_BUNDLE_BIN is not set: nothing of this is tested\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
