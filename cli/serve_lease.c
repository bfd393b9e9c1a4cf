/* The elector's thread: keep the Lease, or wait for it. */
#include <stdio.h>
#include <time.h>

#include "cli/serve.h"
#include "lib/base/clock.h"
#include "lib/net/kubeconfig.h"

/* WAIT_MS: between two looks of who does not hold it. AGAIN_MS: after a failure. FRESH_MS: a
 * kubelet replaces tokens long before they end; a minute is what client-go takes. */
enum { WAIT_MS = 2000, AGAIN_MS = 1000, FRESH_MS = 60000, END_MS = 1000 };

void serve_api_drop(struct serve_api *a)
{
	kc_kube_free(a->kube);
	a->kube = NULL;
}

int serve_api_get(struct serve_api *a, struct kc_kube **ret, struct kc_err *err)
{
	if (!a->kube || kc_now_ms() > a->since + FRESH_MS) {
		_cleanup_kube_conf_ struct kc_kube_conf conf = { 0 };
		int r = kc_kubeconfig_read(a->kubeconfig, &conf, err);

		serve_api_drop(a);
		if (r == 0)
			r = kc_kube_new(&conf, &a->kube, err);
		if (r < 0)
			return r;
		a->since = kc_now_ms();
	}
	*ret = a->kube;
	return 0;
}

static int once(struct serve *s, struct kc_err *err)
{
	struct kc_kube *k;
	int r = serve_api_get(&s->elector_api, &k, err);

	if (r == 0)
		r = kc_lease_try(&s->lease, k, err);
	if (r < 0)
		serve_api_drop(&s->elector_api);
	return r;
}

/* Only when nothing can be written any more, and the next one need not wait. */
static void release(struct serve *s)
{
	int64_t deadline = kc_now_ms() + END_MS;
	struct kc_kube *k;

	while (!atomic_load(&s->worker_done) && kc_now_ms() < deadline)
		kc_sleep_ms(10);
	if (atomic_load(&s->worker_done) && serve_api_get(&s->elector_api, &k, NULL) == 0)
		kc_lease_release(&s->lease, k, NULL);
}

void *serve_elect(void *cookie)
{
	struct serve *s = cookie;
	bool failing = false;

	while (!atomic_load(s->stop)) {
		struct kc_err err = { 0 };
		bool failed = once(s, &err) < 0;
		char when[21];

		kc_time_format(time(NULL), when);
		if (failed && !failing)
			fprintf(stderr, "%s %s: the Lease %s: %s\n", when, s->region, s->lease_name,
				err.msg);
		failing = failed;
		serve_sleep(s, failed			  ? AGAIN_MS
			       : kc_lease_held(&s->lease) ? KC_LEASE_RETRY_MS
							  : WAIT_MS);
	}
	release(s);
	serve_api_drop(&s->elector_api);
	atomic_store(&s->elector_done, true);
	return NULL;
}
