/* The connection that all kinds share. */
#include <pthread.h>

#include "lib/base/clock.h"
#include "lib/codec/json.h"
#include "lib/objects/impl.h"

/* HUNG_MS: a request that took so long and failed; SILENT_MS: how long nobody asks after one. */
enum { TRIES = 6, HUNG_MS = 5000, SILENT_MS = 10000 };

struct kc_kube_ctx {
	kc_kube_conf_fn *conf;
	kc_kube_rejoin_fn *rejoin;
	void *cookie;
	pthread_mutex_t lock;
	struct kc_kube *kube; /* made once, then kept: borrowed by all threads */
	bool answered, expected;
	int64_t silent_until;
};

struct kc_kube_ctx *kc_kube_ctx_new(kc_kube_conf_fn *conf, void *cookie)
{
	struct kc_kube_ctx *c = xcalloc(1, sizeof(*c));

	c->conf = conf;
	c->cookie = cookie;
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

void kc_kube_ctx_free(struct kc_kube_ctx *c)
{
	if (!c)
		return;
	kc_kube_free(c->kube);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

int kc_kube_ctx_get(struct kc_kube_ctx *c, struct kc_kube **ret, struct kc_err *err)
{
	_cleanup_kube_conf_ struct kc_kube_conf conf = { 0 };
	int r = 0;

	pthread_mutex_lock(&c->lock);
	if (!c->kube) {
		r = c->conf(c->cookie, &conf, err);
		if (r == 0)
			r = kc_kube_new(&conf, &c->kube, err);
	}
	if (r == 0)
		*ret = c->kube;
	pthread_mutex_unlock(&c->lock);
	return r;
}

void kc_kube_ctx_on_lost(struct kc_kube_ctx *c, kc_kube_rejoin_fn *rejoin)
{
	c->rejoin = rejoin;
}

int kube_rejoin(struct kc_kube_ctx *c, const struct kc_task *task, struct kc_err *err)
{
	return c->rejoin ? c->rejoin(c->cookie, task, err) : 0;
}

static void answered(struct kc_kube_ctx *c)
{
	pthread_mutex_lock(&c->lock);
	c->answered = true;
	pthread_mutex_unlock(&c->lock);
}

void kc_kube_ctx_expect(struct kc_kube_ctx *c)
{
	pthread_mutex_lock(&c->lock);
	c->expected = true;
	pthread_mutex_unlock(&c->lock);
}

/*
 * Before the first control plane is up there is no API, and nothing in it. But what
 * is recorded was there, and once changes begin a silent API says nothing about
 * what it holds: taken for absence, it would make us forget what we made.
 */
static bool means_absent(struct kc_kube_ctx *c, const struct kc_task *task, int r)
{
	bool silent;

	pthread_mutex_lock(&c->lock);
	silent = !c->answered && !c->expected;
	pthread_mutex_unlock(&c->lock);
	return (r == KC_EAGAIN || r == KC_ETIMEOUT) && silent && !task->known;
}

/*
 * Dozens of objects would each wait in vain where one has. A plan ends with it, since somebody
 * looks at it; what changes things comes again later.
 */
static int if_silent(struct kc_kube_ctx *c, struct kc_err *err)
{
	int64_t until;
	bool expected;

	pthread_mutex_lock(&c->lock);
	until = c->silent_until;
	expected = c->expected;
	pthread_mutex_unlock(&c->lock);
	if (kc_now_ms() >= until)
		return 0;
	return kc_fail(err, expected ? KC_EAGAIN : KC_ETIMEOUT,
		       "the Kubernetes API does not answer; is etcd up?");
}

static int get(struct kc_kube_ctx *c, struct kc_kube *k, const char *path, json_t **ret,
	       struct kc_err *err)
{
	int64_t start = kc_now_ms(), now;
	int r = if_silent(c, err);

	if (r < 0)
		return r;
	r = kc_kube_get(k, path, ret, err);
	now = kc_now_ms();
	if (r == KC_EAGAIN && now - start >= HUNG_MS) {
		pthread_mutex_lock(&c->lock);
		c->silent_until = now + SILENT_MS;
		pthread_mutex_unlock(&c->lock);
	}
	return r;
}

int kube_find(struct kc_kube_ctx *c, const struct kc_task *task, const json_t *identity,
	      json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *path = NULL;
	json_t *live = NULL;
	struct kc_kube *k;
	int r;

	r = kc_kube_ctx_get(c, &k, err);
	if (r == 0)
		r = kc_kube_object_path(k, identity, &path, err);
	if (r == 0)
		r = get(c, k, path, &live, err);
	if (r == 0 || r == KC_ENOTFOUND)
		answered(c);
	if (r == KC_ENOTFOUND) /* the object, or its kind: a CRD that comes later */
		return 0;
	if (r < 0)
		return means_absent(c, task, r) ? 0 : r;
	*ret = live;
	return 0;
}

int kube_pause(const struct kc_task *task, int64_t ms, struct kc_err *err)
{
	int64_t end = kc_now_ms() + ms;

	for (;;) {
		int64_t left = end - kc_now_ms();

		if (task->canceled && task->canceled(task))
			return kc_fail(err, KC_ECANCELED, "%s: canceled", task->id);
		if (left <= 0)
			return 0;
		kc_sleep_ms(left < 100 ? left : 100);
	}
}

int kube_apply(struct kc_kube_ctx *c, const struct kc_task *task, const json_t *object,
	       json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *path = NULL;
	struct kc_kube *k;
	int r;

	r = kc_kube_ctx_get(c, &k, err);
	if (r == 0)
		r = kc_kube_object_path(k, object, &path, err);
	if (r < 0)
		return r;
	for (int i = 0;; i++) {
		int r2;

		r = kc_kube_apply(k, path, object, ret, err);
		if (r == KC_EINVAL && i < TRIES && kube_free_service_ip(k, object, path, err))
			continue;
		if (r != KC_EAGAIN || i == TRIES)
			return r;
		r2 = kube_pause(task, 200 << i, err);
		if (r2 < 0)
			return r2;
	}
}
