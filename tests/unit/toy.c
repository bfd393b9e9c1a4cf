#include "tests/unit/toy.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* ---- the cloud's file ---- */

json_t *toy_load(const char *path)
{
	json_t *v = json_load_file(path, 0, NULL);

	return v ? v
		 : kc_pack("{s:{}, s:i, s:[], s:[]}", "objects", "next", 1, "spent", "violations");
}

static int toy_lock(const struct toy *t)
{
	_cleanup_free_ char *path = xasprintf("%s.lock", t->path);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		abort();
	return fd;
}

static void toy_save(const struct toy *t, const json_t *cloud)
{
	_cleanup_free_ char *tmp = xasprintf("%s.new", t->path);

	if (json_dump_file(cloud, tmp, JSON_SORT_KEYS) < 0 || rename(tmp, t->path) < 0)
		abort();
}

static void point(const struct toy *t, const char *where)
{
	if (t->point)
		t->point(where);
}

static void violation(json_t *cloud, const char *what, const char *task)
{
	_cleanup_free_ char *s = xasprintf("%s: %s", what, task);

	json_array_append_new(json_object_get(cloud, "violations"), json_string(s));
}

static bool mine(const json_t *o, const struct kc_task *task, const char *kind, bool by_token)
{
	return streq(kc_json_get_str(o, "kind", ""), kind) &&
	       streq(kc_json_get_str(o, "owner", ""), task->owner) &&
	       streq(kc_json_get_str(o, "task", ""), task->id) &&
	       (!by_token || streq(kc_json_get_str(o, "token", ""), task->token));
}

static json_t *lookup(const json_t *cloud, const struct kc_task *task, const char *kind,
		      bool by_token)
{
	const char *oid;
	json_t *o;

	json_object_foreach(json_object_get(cloud, "objects"), oid, o)
		if (mine(o, task, kind, by_token))
			return o;
	return NULL;
}

/* What the outside sees: attributes, number and state. */
static json_t *view(const json_t *o)
{
	json_t *v = json_deep_copy(json_object_get(o, "attrs"));

	json_object_set(v, "oid", json_object_get(o, "oid"));
	json_object_set_new(v, "state",
			    json_string(kc_json_get_int(o, "polls", 0) ? "starting" : "up"));
	return v;
}

/* It is gone, and with it its client token: who shows that again means something that is dead. */
static void drop(json_t *cloud, json_t *o)
{
	_cleanup_free_ char *oid = xstrdup(kc_json_get_str(o, "oid", ""));

	json_array_append(json_object_get(cloud, "spent"), json_object_get(o, "token"));
	json_object_del(json_object_get(cloud, "objects"), oid);
}

static bool in_use(const json_t *cloud, const json_t *gone)
{
	const char *oid = kc_json_get_str(gone, "oid", ""), *key;
	json_t *o;

	json_object_foreach(json_object_get(cloud, "objects"), key, o)
		if (streq(kc_json_get_str(json_object_get(o, "attrs"), "on", ""), oid))
			return true;
	return false;
}

static void check_unused(json_t *cloud, const json_t *gone, const char *task)
{
	if (in_use(cloud, gone))
		violation(cloud, "removed while in use", task);
}

/* A removal that was only accepted goes on by itself. */
static json_t *fade(struct toy *t, json_t *cloud, json_t *o)
{
	int64_t left = kc_json_get_int(o, "fading", 0);

	if (!left)
		return o;
	if (left > 1) {
		json_object_set_new(o, "fading", json_integer(left - 1));
	} else {
		drop(cloud, o);
		o = NULL;
	}
	toy_save(t, cloud);
	return o;
}

static int toy_find(struct toy *t, const struct kc_task *task, const char *kind, bool by_token,
		    json_t **ret)
{
	int fd = toy_lock(t);
	json_auto_t *cloud = toy_load(t->path);
	json_t *o = fade(t, cloud, lookup(cloud, task, kind, by_token));

	close(fd);
	atomic_fetch_add(&t->finds, 1);
	*ret = o ? view(o) : NULL;
	return 0;
}

/* Attributes: want's keys win, keys of changes without "to" go, the others stay. */
static void set_attrs(json_t *o, const json_t *want, const json_t *changes)
{
	json_t *attrs = json_object_get(o, "attrs"), *c;
	size_t i;

	json_object_update(attrs, (json_t *)want);
	json_array_foreach((json_t *)changes, i, c)
		if (!json_object_get(c, "to"))
			json_object_del(attrs, kc_json_get_str(c, "path", ""));
}

static json_t *make(json_t *cloud, const struct kc_task *task, const char *kind, bool by_token)
{
	int64_t n = kc_json_get_int(cloud, "next", 1);
	char oid[32];
	json_t *o;

	if (lookup(cloud, task, kind, by_token))
		violation(cloud, "duplicate", task->id);
	if (kc_json_has_str(json_object_get(cloud, "spent"), task->token))
		violation(cloud, "token of a dead one used again", task->id);
	snprintf(oid, sizeof(oid), "%c-%lld", kind[4], (long long)n);
	o = kc_pack("{s:s, s:s, s:s, s:s, s:s, s:{}, s:I}", "oid", oid, "kind", kind, "owner",
		    task->owner, "task", task->id, "token", task->token, "attrs", "polls",
		    (json_int_t)kc_json_get_int(task->want, "slow", 0));
	json_object_set_new(json_object_get(cloud, "objects"), oid, o);
	json_object_set_new(cloud, "next", json_integer(n + 1));
	return o;
}

static void gauge(struct toy *t, const struct kc_task *task)
{
	int now, most;

	if (!kc_json_get_bool(task->want, "gauge", false))
		return;
	now = atomic_fetch_add(&t->inside, 1) + 1;
	most = atomic_load(&t->most);
	while (now > most && !atomic_compare_exchange_weak(&t->most, &most, now))
		;
}

/* "meet": N waits for N calls to be under way at once, ten seconds at most. */
static int meet(struct toy *t, const struct kc_task *task, struct kc_err *err)
{
	int many = (int)kc_json_get_int(task->want, "meet", 0);
	int64_t until = kc_now_ms() + 10000;

	if (!many)
		return 0;
	atomic_fetch_add(&t->most, 1);
	while (atomic_load(&t->most) < many && kc_now_ms() < until)
		kc_sleep_ms(2);
	if (atomic_load(&t->most) >= many)
		return 0;
	return kc_fail(err, KC_EFAIL, "only %d of %d came together", atomic_load(&t->most), many);
}

static int toy_apply(struct toy *t, const struct kc_task *task, const char *kind, bool by_token,
		     const json_t *changes, json_t **ret, struct kc_err *err)
{
	json_auto_t *cloud = NULL;
	json_t *o;
	int fd;

	atomic_fetch_add(&t->applies, 1);
	if (streq(kind, "toy/host"))
		t->shut = 0;
	if (t->fail_apply && kc_json_get_bool(task->want, "fails", false))
		return kc_fail(err, t->fail_apply, "the toy cloud is out of toys");
	point(t, "before apply");
	gauge(t, task);
	if (meet(t, task, err) < 0)
		return KC_EFAIL;
	fd = toy_lock(t);
	cloud = toy_load(t->path);
	o = lookup(cloud, task, kind, by_token);
	/* Like a provider without idempotency: asked to create, it creates. */
	if (!o || !changes)
		o = make(cloud, task, kind, by_token);
	set_attrs(o, task->want, changes);
	if (json_object_get(task->want, "content"))
		json_object_set(json_object_get(o, "attrs"), "rev",
				json_object_get(task->want, "content"));
	toy_save(t, cloud);
	close(fd);
	point(t, "after apply");
	if (kc_json_get_bool(task->want, "flaky", false) && !changes)
		return kc_fail(err, KC_EAGAIN, "accepted, but throttled");
	*ret = view(o);
	return 0;
}

static int toy_ready(struct toy *t, const struct kc_task *task, const char *kind, bool by_token,
		     struct kc_err *err)
{
	int fd = toy_lock(t);
	json_auto_t *cloud = toy_load(t->path);
	json_t *o = lookup(cloud, task, kind, by_token);
	int64_t polls = kc_json_get_int(o, "polls", 0);

	if (o && polls)
		json_object_set_new(o, "polls", json_integer(polls - 1));
	toy_save(t, cloud);
	close(fd);
	if (!o)
		return kc_fail(err, KC_EFAIL, "it went away");
	if (polls)
		return kc_fail(err, KC_EAGAIN, "starting");
	if (kc_json_get_bool(task->want, "gauge", false))
		atomic_fetch_sub(&t->inside, 1);
	return 0;
}

/* What lies on a host dies with it. */
static void drop_guests(json_t *cloud, const char *host)
{
	json_t *objects = json_object_get(cloud, "objects"), *o;
	const char *key;
	void *tmp;

	json_object_foreach_safe(objects, tmp, key, o)
		if (streq(kc_json_get_str(json_object_get(o, "attrs"), "host", ""), host))
			drop(cloud, o);
}

/* "quorum": N says how many of those that say so must stay. */
static void check_quorum(json_t *cloud, const json_t *gone, const char *task)
{
	int64_t least = kc_json_get_int(json_object_get(gone, "attrs"), "quorum", 0), there = 0;
	const char *key;
	json_t *o;

	json_object_foreach(json_object_get(cloud, "objects"), key, o)
		there += o != gone && json_object_get(json_object_get(o, "attrs"), "quorum") &&
			 !kc_json_get_int(o, "polls", 0);
	if (there < least)
		violation(cloud, "removed although too few are left", task);
}

static int toy_remove(struct toy *t, const struct kc_task *task, const char *kind, bool by_token,
		      struct kc_err *err)
{
	json_auto_t *cloud = NULL;
	int64_t slow, left, fades;
	int fd, r = 0;
	json_t *o;

	atomic_fetch_add(&t->removes, 1);
	point(t, "before remove");
	fd = toy_lock(t);
	cloud = toy_load(t->path);
	o = lookup(cloud, task, kind, by_token);
	slow = kc_json_get_int(json_object_get(o, "attrs"), "slow", 0);
	left = kc_json_get_int(o, "going", slow);
	fades = kc_json_get_int(json_object_get(o, "attrs"), "fades", 0);
	if (o && left) {
		json_object_set_new(o, "going", json_integer(left - 1));
		r = kc_fail(err, KC_EAGAIN, "going");
	} else if (o && t->refuses && in_use(cloud, o)) {
		r = kc_fail(err, KC_EAGAIN, "in use");
	} else if (o) {
		check_unused(cloud, o, task->id);
		check_quorum(cloud, o, task->id);
		if (streq(kind, "toy/host"))
			drop_guests(cloud, task->id);
		if (!fades)
			drop(cloud, o);
		else if (!json_object_get(o, "fading"))
			json_object_set_new(o, "fading", json_integer(fades));
		r = fades ? kc_fail(err, KC_EAGAIN, "accepted") : 0;
	}
	toy_save(t, cloud);
	close(fd);
	point(t, "after remove");
	return r;
}

/* Everything of a kind that is owner's; the token tells incarnations apart. */
static int toy_list(struct toy *t, const char *owner, const char *kind, bool by_token, json_t **ret,
		    struct kc_err *err)
{
	int fd = toy_lock(t);
	json_auto_t *cloud = toy_load(t->path);
	json_t *out = json_object(), *o;
	const char *oid;

	json_object_foreach(json_object_get(cloud, "objects"), oid, o) {
		const char *id = kc_json_get_str(o, "task", "");
		json_t *v, *have = json_object_get(out, id);

		if (!streq(kc_json_get_str(o, "kind", ""), kind) ||
		    !streq(kc_json_get_str(o, "owner", ""), owner))
			continue;
		v = view(o);
		if (by_token)
			json_object_set(v, "token", json_object_get(o, "token"));
		if (have)
			v = json_is_array(have) ? json_array_append_new(have, v),
			json_incref(have)	: kc_pack("[O, o]", have, v);
		json_object_set_new(out, id, v);
	}
	close(fd);
	atomic_fetch_add(&t->lists, 1);
	if (t->list_says) {
		json_decref(out);
		out = json_loads(t->list_says, JSON_DECODE_ANY, NULL);
	}
	*ret = out;
	return 0;
}

/* ---- the kinds: one line each ---- */

#define TOY_KIND(NAME, KIND, TOKEN)                                                                \
	static int NAME##_find(void *ctx, const struct kc_task *task, json_t **ret,                \
			       struct kc_err *err)                                                 \
	{                                                                                          \
		struct toy *t = ctx;                                                               \
                                                                                                   \
		if (t->shut && kc_json_get_bool(task->want, "behind", false))                      \
			return kc_fail(err, t->shut, "its host is shut");                          \
		return toy_find(t, task, KIND, TOKEN, ret);                                        \
	}                                                                                          \
	static int NAME##_apply(void *ctx, const struct kc_task *task, const json_t *actual,       \
				const json_t *changes, json_t **ret, struct kc_err *err)           \
	{                                                                                          \
		return toy_apply(ctx, task, KIND, TOKEN, actual ? changes : NULL, ret, err);       \
	}                                                                                          \
	static int NAME##_ready(void *ctx, const struct kc_task *task, const json_t *actual,       \
				struct kc_err *err)                                                \
	{                                                                                          \
		return toy_ready(ctx, task, KIND, TOKEN, err);                                     \
	}                                                                                          \
	static int NAME##_remove(void *ctx, const struct kc_task *task, const json_t *actual,      \
				 struct kc_err *err)                                               \
	{                                                                                          \
		return toy_remove(ctx, task, KIND, TOKEN, err);                                    \
	}                                                                                          \
	static int NAME##_list(void *ctx, const char *owner, json_t **ret, struct kc_err *err)     \
	{                                                                                          \
		return toy_list(ctx, owner, KIND, TOKEN, ret, err);                                \
	}
#define TOY_CALLS(NAME)                                                                            \
	.find = NAME##_find, .apply = NAME##_apply, .ready = NAME##_ready, .remove = NAME##_remove

/* clang-format off */
TOY_KIND(thing, "toy/thing", false)
TOY_KIND(front, "toy/front", true)
TOY_KIND(host, "toy/host", false)
TOY_KIND(file, "toy/file", false)
TOY_KIND(listed, "toy/listed", false)
/* clang-format on */

static int nested_find(void *ctx, const struct kc_task *task, json_t **ret, struct kc_err *err)
{
	*ret = kc_pack("{s:O, s:s}", "plan", json_object_get(task->want, "plan"), "address",
		       "192.0.2.7");
	return 0;
}

static int nested_apply(void *ctx, const struct kc_task *task, const json_t *actual,
			const json_t *changes, json_t **ret, struct kc_err *err)
{
	struct toy *t = ctx;
	json_auto_t *event = kc_pack("{s:s}", "task", "file/inside");

	atomic_fetch_add(&t->applies, 1);
	task->progress(task, event);
	*ret = kc_pack("{s:[], s:s}", "plan", "address", "192.0.2.7");
	return 0;
}

static int nested_remove(void *ctx, const struct kc_task *task, const json_t *actual,
			 struct kc_err *err)
{
	return 0;
}

static const struct kc_kind toy_thing = {
	.name = "toy/thing",
	.immutable = (const char *const[]){ "zone", "on", NULL },
	.sensitive = (const char *const[]){ "password", "rules.secret", NULL },
	.sets = (const char *const[]){ "tags", NULL },
	TOY_CALLS(thing),
};
static const struct kc_kind toy_front = {
	.name = "toy/front",
	.immutable = (const char *const[]){ "zone", NULL },
	.replace = KC_CREATE_FIRST,
	TOY_CALLS(front),
};
static const struct kc_kind toy_host = {
	.name = "toy/host",
	.immutable = (const char *const[]){ "zone", NULL },
	TOY_CALLS(host),
};
static const struct kc_kind toy_file = {
	.name = "toy/file",
	.rev = (const char *const[]){ "content", NULL },
	TOY_CALLS(file),
};
static const struct kc_kind toy_listed = {
	.name = "toy/listed",
	.list = listed_list,
	TOY_CALLS(listed),
};
static const struct kc_kind toy_nested = {
	.name = "toy/nested",
	.nested = true,
	.find = nested_find,
	.apply = nested_apply,
	.remove = nested_remove,
};

const struct kc_kind *const toy_kinds[] = { &toy_thing,	 &toy_front,  &toy_host, &toy_file,
					    &toy_listed, &toy_nested, NULL };

struct kc_provider toy_provider(struct toy *t)
{
	return (struct kc_provider){ .name = "toy", .kinds = toy_kinds, .ctx = t };
}

struct kc_provider toy_marking_provider(struct toy *t)
{
	static struct kc_kind all[ARRAY_SIZE(toy_kinds) - 1];
	static const struct kc_kind *kinds[ARRAY_SIZE(toy_kinds)];
	static int (*const lists[])(void *, const char *, json_t **, struct kc_err *) = {
		thing_list, front_list, host_list, file_list, listed_list,
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		all[i] = *toy_kinds[i];
		if (i < ARRAY_SIZE(lists))
			all[i].list = lists[i];
		all[i].brief = true; /* find is asked as ever */
		kinds[i] = &all[i];
	}
	return (struct kc_provider){ .name = "toy", .kinds = kinds, .ctx = t };
}

char *toy_portrait(const char *path)
{
	json_auto_t *cloud = toy_load(path);
	json_t *objects = json_object_get(cloud, "objects"), *o;
	_cleanup_free_ char **lines = xcalloc(json_object_size(objects) + 1, sizeof(*lines));
	char *out = xstrdup("");
	const char *oid;
	size_t n = 0;

	json_object_foreach(objects, oid, o) {
		json_auto_t *attrs = json_copy(json_object_get(o, "attrs"));
		const char *on = kc_json_get_str(attrs, "on", NULL);
		const json_t *target = on ? json_object_get(objects, on) : NULL;

		if (on) /* numbers differ from run to run; what they stand for must not */
			json_object_set_new(attrs, "on",
					    json_string(
						    kc_json_get_str(target, "task", "dangling")));
		json_object_set(attrs, "task", json_object_get(o, "task"));
		lines[n++] = kc_json_text(attrs);
	}
	kc_sort_text((const char **)lines, n);
	for (size_t i = 0; i < n; i++) {
		char *next = xasprintf("%s%s\n", out, lines[i]);

		free(lines[i]);
		free(out);
		out = next;
	}
	return out;
}

/* ---- a store with crash points ---- */

struct wrapped {
	struct kc_store base;
	struct kc_store *inner;
	void (*point)(const char *where);
};

static void w_close(struct kc_store *s)
{
	kc_store_close(((struct wrapped *)s)->inner);
	free(s->url);
	free(s);
}

static int w_get(struct kc_store *s, const char *key, char **ret_data, size_t *ret_len,
		 char ret_etag[KC_STORE_ETAG], struct kc_err *err)
{
	struct kc_store *i = ((struct wrapped *)s)->inner;

	return i->type->get(i, key, ret_data, ret_len, ret_etag, err);
}

static int w_put(struct kc_store *s, const char *key, const void *data, size_t len,
		 const char *if_match, char ret_etag[KC_STORE_ETAG], struct kc_err *err)
{
	struct wrapped *w = (struct wrapped *)s;
	int r;

	w->point("before put");
	r = w->inner->type->put(w->inner, key, data, len, if_match, ret_etag, err);
	w->point("after put");
	return r;
}

static int w_list(struct kc_store *s, const char *prefix, json_t **ret, struct kc_err *err)
{
	struct kc_store *i = ((struct wrapped *)s)->inner;

	return i->type->list(i, prefix, ret, err);
}

static int w_remove(struct kc_store *s, const char *key, const char *if_match, struct kc_err *err)
{
	struct wrapped *w = (struct wrapped *)s;

	w->point("before remove");
	return w->inner->type->remove(w->inner, key, if_match, err);
}

static int w_now(struct kc_store *s, int64_t *ret_ms, struct kc_err *err)
{
	struct kc_store *i = ((struct wrapped *)s)->inner;

	return i->type->now(i, ret_ms, err);
}

static const struct kc_store_type wrapped_type = {
	.scheme = "toy",
	.close = w_close,
	.get = w_get,
	.put = w_put,
	.list = w_list,
	.remove = w_remove,
	.now = w_now,
};

struct kc_store *toy_store(struct kc_store *inner, void (*point_fn)(const char *where))
{
	struct wrapped *w = xcalloc(1, sizeof(*w));

	w->base.type = &wrapped_type;
	w->base.url = xstrdup("toy");
	w->inner = inner;
	w->point = point_fn;
	return &w->base;
}
