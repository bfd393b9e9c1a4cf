/* Kinds' functions: token bucket, what they may see of a task, defensive copies, events. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "lib/plan/engine.h"

static size_t lanes(const struct kc_engine *e)
{
	size_t n = 0;

	while (e->providers && e->providers[n])
		n++;
	return n;
}

void kc_caller_init(struct kc_caller *c, struct kc_engine *e)
{
	size_t n = lanes(e);

	c->engine = e;
	c->buckets = xcalloc(n, sizeof(*c->buckets));
	for (size_t i = 0; i < n; i++) {
		const struct kc_limits *l = e->providers[i]->limits;

		kc_bucket_init(&c->buckets[i], l ? l->rate : 0, l ? l->burst : 0);
	}
	atomic_init(&c->stop, false);
	pthread_mutex_init(&c->event_lock, NULL);
}

void kc_caller_done(struct kc_caller *c)
{
	for (size_t i = 0; i < lanes(c->engine); i++)
		kc_bucket_done(&c->buckets[i]);
	free(c->buckets);
	pthread_mutex_destroy(&c->event_lock);
}

bool kc_caller_canceled(struct kc_caller *c)
{
	const atomic_bool *cancel = c->engine->cancel;

	return atomic_load(&c->stop) || (cancel && atomic_load(cancel));
}

static bool stopped(void *cookie)
{
	return kc_caller_canceled(cookie);
}

/* Blocks this thread on purpose: it holds one of the provider's own slots, no other's. */
static void take_token(struct kc_caller *c, size_t lane)
{
	kc_bucket_take(&c->buckets[lane], stopped, c);
}

void kc_token(const char *owner, const char *id, int64_t generation, char out[33])
{
	_cleanup_free_ char *text =
		xasprintf("%s\n%s\n%lld", owner ? owner : "", id, (long long)generation);
	char hex[KC_SHA256_HEX];

	kc_sha256(text, strlen(text), hex);
	memcpy(out, hex, 32);
	out[32] = '\0';
}

void kc_call_event(const struct kc_call *c, int what, const char *text, const json_t *detail)
{
	struct kc_event ev = {
		.task = c->node->id,
		.kind = c->node->kind->name,
		.action = c->action,
		.what = what,
		.text = text,
		.detail = detail,
		.elapsed_ms = c->start_ms ? kc_now_ms() - c->start_ms : 0,
	};

	if (!c->caller->engine->event)
		return;
	pthread_mutex_lock(&c->caller->event_lock);
	c->caller->engine->event(c->caller->engine->cookie, &ev);
	pthread_mutex_unlock(&c->caller->event_lock);
}

static void on_progress(const struct kc_task *task, const json_t *event)
{
	kc_call_event(task->engine, KC_EV_PROGRESS, json_string_value(event),
		      json_is_string(event) ? NULL : event);
}

static bool on_canceled(const struct kc_task *task)
{
	const struct kc_call *c = task->engine;

	return kc_caller_canceled(c->caller);
}

struct view {
	struct kc_task task;
	json_t *want, *via, *known;
	char token[33];
};

static void view_done(struct view *v)
{
	json_decref(v->want);
	json_decref(v->via);
	json_decref(v->known);
}

static void view_init(struct view *v, const struct kc_call *c)
{
	const struct kc_engine *e = c->caller->engine;

	v->want = json_deep_copy(c->want);
	v->via = json_deep_copy(c->via);
	v->known = json_deep_copy(c->known);
	if (c->token)
		snprintf(v->token, sizeof(v->token), "%s", c->token);
	else
		kc_token(e->owner, c->node->id, c->generation, v->token);
	v->task = (struct kc_task){
		.id = c->node->id,
		.want = v->want,
		.via = v->via,
		.known = v->known,
		.owner = e->owner,
		.token = v->token,
		.again = c->generation > 1,
		.leaving = c->node->action == KC_DELETE,
		.fence = e->fence,
		.progress = on_progress,
		.canceled = on_canceled,
		.engine = (void *)c,
	};
	take_token(c->caller, c->node->lane);
}

/* A kind that fails without a word still fails on an object. */
static int result(int r, const struct kc_call *c, const char *verb, const struct kc_err *from,
		  struct kc_err *err)
{
	if (r == 0)
		return 0;
	if (r > 0)
		r = KC_EFAIL;
	if (r == KC_EAGAIN)
		return kc_fail(err, r, "%s", from->msg);
	return kc_fail(err, r, "%s %s: %s", verb, c->node->id,
		       *from->msg ? from->msg : kc_err_name(r));
}

int kc_call_find(const struct kc_call *c, json_t **ret_actual, struct kc_err *err)
{
	_cleanup_(view_done) struct view v = { 0 };
	struct kc_err e = { 0 };
	json_t *actual = NULL;
	int r;

	view_init(&v, c);
	r = c->node->kind->find(c->node->provider->ctx, &v.task, &actual, &e);
	if (r != 0)
		return result(r, c, "looking up", &e, err);
	*ret_actual = actual;
	return 0;
}

/* Ids that no task can have, or something there that is no actual: absence is never guessed. */
static int check_list(const json_t *by_id, struct kc_err *err)
{
	const char *id;
	json_t *found, *v;
	size_t i;

	if (!json_is_object(by_id))
		return kc_fail(err, KC_EFAIL, "the provider gave no list");
	json_object_foreach((json_t *)by_id, id, found) {
		bool good = *id && !strchr(id, '#') &&
			    (json_is_object(found) || json_array_size(found));

		json_array_foreach(found, i, v)
			good = good && json_is_object(v);
		if (!good)
			return kc_fail(err, KC_EFAIL, "the provider's list is malformed at \"%s\"",
				       id);
	}
	return 0;
}

int kc_call_list(struct kc_caller *c, size_t lane, const struct kc_kind *kind, json_t **ret,
		 struct kc_err *err)
{
	json_auto_t *by_id = NULL;
	struct kc_err e = { 0 };
	int r;

	take_token(c, lane);
	r = kind->list(c->engine->providers[lane]->ctx, c->engine->owner, &by_id, &e);
	if (r == 0)
		r = check_list(by_id, &e);
	if (r != 0)
		return kc_fail(err, r > 0 ? KC_EFAIL : r, "listing %s: %s", kind->name,
			       *e.msg ? e.msg : kc_err_name(r));
	*ret = TAKE(by_id);
	return 0;
}

int kc_call_apply(const struct kc_call *c, const json_t *actual, const json_t *changes,
		  json_t **ret_actual, struct kc_err *err)
{
	_cleanup_(view_done) struct view v = { 0 };
	json_auto_t *a = json_deep_copy(actual), *ch = json_deep_copy(changes), *out = NULL;
	struct kc_err e = { 0 };
	int r;

	view_init(&v, c);
	r = c->node->kind->apply(c->node->provider->ctx, &v.task, a, ch, &out, &e);
	if (r != 0)
		return result(r, c, c->action, &e, err);
	*ret_actual = TAKE(out);
	return 0;
}

int kc_call_ready(const struct kc_call *c, const json_t *actual, struct kc_err *err)
{
	_cleanup_(view_done) struct view v = { 0 };
	json_auto_t *a = json_deep_copy(actual);
	struct kc_err e = { 0 };

	view_init(&v, c);
	return result(c->node->kind->ready(c->node->provider->ctx, &v.task, a, &e), c,
		      "waiting for", &e, err);
}

int kc_call_remove(const struct kc_call *c, const json_t *actual, struct kc_err *err)
{
	_cleanup_(view_done) struct view v = { 0 };
	json_auto_t *a = json_deep_copy(actual);
	struct kc_err e = { 0 };

	view_init(&v, c);
	return result(c->node->kind->remove(c->node->provider->ctx, &v.task, a, &e), c, "removing",
		      &e, err);
}
