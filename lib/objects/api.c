/* kube/api: the gate that opens when the API takes objects. */
#include "lib/base/clock.h"
#include "lib/codec/json.h"
#include "lib/objects/impl.h"

enum { PATIENCE_MS = 300 * 1000, POLL_MS = 50 };

/*
 * The API serves and has made the namespace that system objects live in. /readyz would be 1.7 s
 * later, when hooks are through that these objects do not need; `validate` asks for that.
 */
static int ask(struct kc_kube_ctx *c, struct kc_err *err)
{
	struct kc_kube *k;
	int r;

	r = kc_kube_ctx_get(c, &k, err);
	if (r == 0)
		r = kc_kube_get(k, "/api/v1/namespaces/kube-system", NULL, err);
	if (r == KC_ENOTFOUND)
		return kc_fail(err, KC_EAGAIN, "the Kubernetes API has no kube-system yet");
	return r;
}

static bool may_come(int r)
{
	return r == KC_EAGAIN || r == KC_ETIMEOUT;
}

static int api_find(void *ctx, const struct kc_task *task, json_t **ret_actual, struct kc_err *err)
{
	int r = ask(ctx, err);

	if (may_come(r) && !task->known)
		return 0;
	if (r == 0)
		*ret_actual = kc_pack("{s:b}", "ready", true);
	return r;
}

/* Waits here instead of in ready: the scheduler's pauses are long, and everything waits for us. */
static int api_apply(void *ctx, const struct kc_task *task, const json_t *actual,
		     const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	int64_t deadline = kc_now_ms() + PATIENCE_MS;
	int r, r2;

	for (;;) {
		r = ask(ctx, err);
		if (r == 0) {
			*ret_actual = kc_pack("{s:b}", "ready", true);
			return 0;
		}
		if (!may_come(r))
			return r;
		if (kc_now_ms() > deadline)
			return kc_wrap(err, "the API did not become ready within five minutes");
		r2 = kube_pause(task, POLL_MS, err);
		if (r2 < 0)
			return r2;
	}
}

static int api_ready(void *ctx, const struct kc_task *task, const json_t *actual,
		     struct kc_err *err)
{
	if (kc_json_get_bool(actual, "ready", false))
		return 0;
	return kc_fail(err, KC_EAGAIN, "the Kubernetes API is not ready");
}

static int api_remove(void *ctx, const struct kc_task *task, const json_t *actual,
		      struct kc_err *err)
{
	return 0; /* a gate holds nothing */
}

const struct kc_kind kc_kube_api = {
	.name = "kube/api",
	.find = api_find,
	.apply = api_apply,
	.ready = api_ready,
	.remove = api_remove,
};

static const struct kc_kind *const kinds[] = { &kc_kube_api, &kc_kube_object, &kc_kube_node,
					       &kc_kube_applyset, NULL };

struct kc_provider kc_kube_provider(struct kc_kube_ctx *ctx)
{
	return (struct kc_provider){
		.name = "kube", .kinds = kinds, .ctx = ctx, .limits = kc_limits("kube")
	};
}
