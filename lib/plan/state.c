/*
 * Record and journal.
 *
 * Segments are named <fence>-<serial>; the record says up to which pair it has
 * them folded in. Opening for writing replays what lies beyond that pair and
 * writes the result with the new fence by compare-and-swap: from then on
 * whatever an older holder still puts has a lower fence than the record, so
 * replay leaves it out, and its next compaction fails. What is lost that way is
 * nothing: an intent of which the old holder could not make good use any more
 * (its guard fails before the provider's call), or a result, without which the
 * task is pending and is looked up again.
 *
 * Group commit: whoever needs durability and finds no put under way takes all
 * that is queued and puts it as one segment; the others wait for it.
 */
#include "lib/plan/state.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/engine.h"

#define QUEUE_MAX 200 /* entries that may wait for somebody's durable one */

struct kc_state {
	struct kc_store *store;
	char *prefix, *uid;
	uint64_t fence;
	char etag[KC_STORE_ETAG];
	bool dirty;
	int (*guard)(void *cookie, struct kc_err *err);
	void *guard_cookie;

	pthread_mutex_t lock;
	pthread_cond_t cond;
	json_t *tasks, *generations, *queue;
	uint64_t seq, queued, committed;
	uint64_t serial; /* of the last segment */
	bool leading;
	struct kc_err failed; /* code != 0: a put failed, nothing more is written */
};

/* Keys of both; where they differ b's. For want: what either apply may have set. */
static json_t *merged(const json_t *a, const json_t *b)
{
	json_t *out, *v;
	const char *key;

	if (!json_is_object(a) || !json_is_object(b))
		return json_incref((json_t *)(b ? b : a));
	out = json_copy((json_t *)a);
	json_object_foreach((json_t *)b, key, v)
		json_object_set_new(out, key, merged(json_object_get(a, key), v));
	return out;
}

static void set_generation(json_t *generations, const char *id, int64_t g)
{
	json_object_set_new(generations, id, json_integer(g));
}

/* What is stored may be anything: the end of all numbers is not passed. */
static int64_t next(int64_t generation)
{
	return generation < INT64_MAX ? generation + 1 : generation;
}

static int64_t generation_of(const json_t *tasks, const json_t *generations, const char *id)
{
	const json_t *t = json_object_get(tasks, id);

	return t ? kc_json_get_int(t, "generation", 1) : kc_json_get_int(generations, id, 1);
}

/* A list of t's own under key, to be appended to: what is there may be an entry's, too. */
static void own_list(json_t *t, const char *key)
{
	json_t *list = json_object_get(t, key);

	json_object_set_new(t, key, json_is_array(list) ? json_copy(list) : json_array());
}

/* An intent: what was, plus what may be from now on. */
static void fold_intent(json_t *tasks, json_t *generations, const char *id, const json_t *e)
{
	static const char *const plain[] = { "kind", "via", "within" };
	json_t *t = json_object_get(tasks, id), *set = json_object_get(e, "set"), *v;
	size_t i;

	if (!t) {
		t = kc_pack("{s:I}", "generation",
			    (json_int_t)generation_of(tasks, generations, id));
		json_object_set_new(tasks, id, t);
	}
	for (i = 0; i < ARRAY_SIZE(plain); i++) {
		v = json_object_get(set, plain[i]);
		if (v)
			json_object_set(t, plain[i], v);
	}
	v = json_object_get(set, "want");
	if (v)
		json_object_set_new(t, "want", merged(json_object_get(t, "want"), v));
	own_list(t, "after");
	json_array_foreach(json_object_get(set, "after"), i, v)
		if (json_is_string(v) &&
		    !kc_json_has_str(json_object_get(t, "after"), json_string_value(v)))
			json_array_append(json_object_get(t, "after"), v);
	v = json_object_get(e, "old");
	if (v) {
		own_list(t, "old");
		json_array_append(json_object_get(t, "old"), v);
		json_object_del(t, "outputs");
	}
	v = json_object_get(e, "generation");
	if (v)
		json_object_set(t, "generation", v);
	json_object_set_new(t, "pending", json_true());
	json_object_set(t, "intent", json_object_get(e, "intent"));
}

static void fold_cleaned(json_t *t, int64_t generation)
{
	json_t *old;

	own_list(t, "old");
	old = json_object_get(t, "old");
	for (size_t i = json_array_size(old); i--;)
		if (kc_json_get_int(json_array_get(old, i), "generation", 0) == generation)
			json_array_remove(old, i);
	if (!json_array_size(old))
		json_object_del(t, "old");
}

/*
 * One journal entry over the tasks: the only place that knows what entries mean. Tasks and entries
 * share their values, which nobody changes any more; only the task's own members are set.
 */
static void fold(json_t *tasks, json_t *generations, const json_t *e)
{
	const char *id = kc_json_get_str(e, "task", NULL);
	const char *result = kc_json_get_str(e, "result", "");
	json_t *t = id ? json_object_get(tasks, id) : NULL, *old;

	if (!id)
		return;
	if (json_object_get(e, "intent")) {
		fold_intent(tasks, generations, id, e);
	} else if (streq(result, "ok")) {
		old = json_incref(json_object_get(t, "old"));
		t = json_copy(json_object_get(e, "set"));
		if (old)
			json_object_set_new(t, "old", old);
		json_object_set_new(tasks, id, t);
		json_object_del(generations, id);
	} else if (streq(result, "gone") || (streq(result, "forgotten") && t)) {
		set_generation(generations, id, next(generation_of(tasks, generations, id)));
		json_object_del(tasks, id);
	} else if (streq(result, "removed") && t) {
		json_object_set_new(t, "generation",
				    json_integer(next(kc_json_get_int(t, "generation", 1))));
		json_object_set_new(t, "intent", json_string("create"));
		json_object_del(t, "outputs");
	} else if (streq(result, "cleaned") && t) {
		fold_cleaned(t, kc_json_get_int(e, "generation", 0));
	} /* "error": stays pending */
}

static char *segment_key(const struct kc_state *s, uint64_t fence, uint64_t serial)
{
	return xasprintf("%s/journal/%010" PRIu64 "-%010" PRIu64 ".json", s->prefix, fence, serial);
}

/* Fence and serial of a segment's key; false for anything else. */
static bool parse_key(const char *key, uint64_t *ret_fence, uint64_t *ret_serial)
{
	const char *name = strrchr(key, '/');
	int end = 0;

	return name &&
	       sscanf(name + 1, "%10" SCNu64 "-%10" SCNu64 ".json%n", ret_fence, ret_serial,
		      &end) == 2 &&
	       end && !name[1 + end];
}

struct snapshot {
	json_t *tasks, *generations;
	uint64_t fence, serial; /* folded up to, this included */
	uint64_t last;		/* serial of the last segment of the asker's fence */
	bool replayed;
	char etag[KC_STORE_ETAG];
};

static void snapshot_done(struct snapshot *n)
{
	json_decref(n->tasks);
	json_decref(n->generations);
}

static int read_record(struct kc_state *s, struct snapshot *n, struct kc_err *err)
{
	_cleanup_free_ char *key = xasprintf("%s/record.json", s->prefix);
	json_auto_t *rec = NULL;
	const json_t *tasks;
	int64_t fence, serial;
	int r = kc_store_get_json(s->store, key, &kc_record_format, &rec, n->etag, err);

	if (r == KC_ENOTFOUND) {
		n->tasks = json_object();
		n->generations = json_object();
		n->etag[0] = '\0';
		return 0;
	}
	if (r < 0)
		return r;
	if (!streq(kc_json_get_str(rec, "uid", s->uid), s->uid))
		return kc_fail(err, KC_ECONFLICT,
			       "%s: this record is of another cluster of that name (uid %s, not "
			       "%s)",
			       key, kc_json_get_str(rec, "uid", "?"), s->uid);
	if (kc_json_int(rec, key, "fence", &fence, err) < 0 ||
	    kc_json_int(rec, key, "serial", &serial, err) < 0 ||
	    kc_json_obj(rec, key, "tasks", &tasks, err) < 0)
		return KC_EINVAL;
	n->fence = (uint64_t)fence;
	n->serial = (uint64_t)serial;
	n->tasks = json_deep_copy(tasks);
	n->generations = json_deep_copy(json_object_get(rec, "generations"));
	if (!n->generations)
		n->generations = json_object();
	return 0;
}

/* KC_EAGAIN: a segment went away while we read; somebody compacts. */
static int replay(struct kc_state *s, struct snapshot *n, struct kc_err *err)
{
	_cleanup_free_ char *dir = xasprintf("%s/journal/", s->prefix);
	json_auto_t *keys = NULL;
	json_t *k, *e;
	size_t i, j;
	int r = kc_store_list(s->store, dir, &keys, err);

	if (r < 0)
		return r;
	json_array_foreach(keys, i, k) {
		json_auto_t *seg = NULL;
		const json_t *entries;
		uint64_t f, q;

		if (!parse_key(json_string_value(k), &f, &q) || f < n->fence ||
		    (f == n->fence && q <= n->serial))
			continue;
		r = kc_store_get_json(s->store, json_string_value(k), &kc_journal_format, &seg,
				      NULL, err);
		if (r == KC_ENOTFOUND)
			return KC_EAGAIN;
		if (r < 0)
			return r;
		if (kc_json_arr(seg, json_string_value(k), "entries", &entries, err) < 0)
			return KC_EINVAL;
		/* A late word of an operator of the cluster that had this name before. */
		if (!streq(kc_json_get_str(seg, "uid", s->uid), s->uid))
			continue;
		json_array_foreach((json_t *)entries, j, e)
			fold(n->tasks, n->generations, e);
		n->replayed = true;
		if (f == s->fence && q > n->last)
			n->last = q;
	}
	return 0;
}

int kc_state_journal(struct kc_store *store, const char *prefix, const char *uid, uint64_t fence,
		     json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *dir = xasprintf("%s/journal/", prefix);
	json_auto_t *keys = NULL, *out = json_array();
	uint64_t f, q;
	json_t *k;
	size_t i;
	int r = kc_store_list(store, dir, &keys, err);

	json_array_foreach(keys, i, k) {
		const char *key = json_string_value(k);
		json_auto_t *seg = NULL;

		if (!parse_key(key, &f, &q) || f != fence)
			continue;
		r = kc_store_get_json(store, key, &kc_journal_format, &seg, NULL, err);
		if (r < 0 && r != KC_ENOTFOUND) /* or somebody folds it in just now */
			return r;
		if (streq(kc_json_get_str(seg, "uid", uid), uid))
			json_array_extend(out, json_object_get(seg, "entries"));
	}
	if (r == KC_ENOTFOUND)
		r = 0;
	if (r == 0)
		*ret = TAKE(out);
	return r;
}

static int put_record(struct kc_state *s, const json_t *tasks, const json_t *generations,
		      uint64_t serial, const char *if_match, struct kc_err *err)
{
	_cleanup_free_ char *key = xasprintf("%s/record.json", s->prefix);
	json_auto_t *rec =
		kc_pack("{s:s, s:I, s:I, s:O, s:O}", "uid", s->uid, "fence", (json_int_t)s->fence,
			"serial", (json_int_t)serial, "tasks", tasks, "generations", generations);

	return kc_store_put_json(s->store, key, &kc_record_format, rec, if_match, s->etag, err);
}

/* What the record has folded in. Never in the way: what stays is left out by replay. */
static void drop_segments(struct kc_state *s, uint64_t serial)
{
	_cleanup_free_ char *dir = xasprintf("%s/journal/", s->prefix);
	json_auto_t *keys = NULL;
	uint64_t f, q;
	json_t *k;
	size_t i;

	if (kc_store_list(s->store, dir, &keys, NULL) < 0)
		return;
	json_array_foreach(keys, i, k) {
		const char *key = json_string_value(k);

		if (parse_key(key, &f, &q) && (f < s->fence || (f == s->fence && q <= serial)))
			kc_store_remove(s->store, key, NULL, NULL);
	}
}

static int read_again_unchanged(struct kc_state *s, const struct snapshot *n, struct kc_err *err)
{
	struct snapshot now = { 0 };
	int r = read_record(s, &now, err);

	snapshot_done(&now);
	if (r < 0)
		return r;
	return streq(now.etag, n->etag) ? 0 : KC_EAGAIN;
}

/* One try; KC_EAGAIN when the record changed under our hands. */
static int try_open(struct kc_state *s, struct kc_err *err)
{
	_cleanup_(snapshot_done) struct snapshot n = { 0 };
	int r = read_record(s, &n, err);

	if (r == 0 && s->fence && n.fence > s->fence)
		r = kc_fail(err, KC_ECONFLICT,
			    "%s: a newer operator (fence %" PRIu64
			    ") changed this state; ours is %" PRIu64 "; run the command again",
			    s->prefix, n.fence, s->fence);
	if (r < 0)
		return r;
	if (n.fence == s->fence)
		n.last = n.serial;
	r = replay(s, &n, err);
	if (r < 0)
		return r;
	if (!s->fence) {
		r = read_again_unchanged(s, &n, err);
	} else if (n.fence < s->fence || n.replayed || !*n.etag) {
		r = put_record(s, n.tasks, n.generations, n.last, n.etag, err);
		if (r == KC_ECONFLICT)
			return KC_EAGAIN;
		if (r == 0)
			drop_segments(s, n.last);
	} else {
		memcpy(s->etag, n.etag, sizeof(s->etag));
	}
	if (r < 0)
		return r;
	s->serial = n.last;
	s->tasks = TAKE(n.tasks);
	s->generations = TAKE(n.generations);
	return 0;
}

int kc_state_open(struct kc_store *store, const char *prefix, const char *uid, uint64_t fence,
		  struct kc_state **ret, struct kc_err *err)
{
	struct kc_state *s = xcalloc(1, sizeof(*s));
	int r = KC_EAGAIN;

	s->store = store;
	s->prefix = xstrdup(prefix);
	s->uid = xstrdup(uid);
	s->fence = fence;
	s->queue = json_array();
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->cond, NULL);
	for (int i = 0; r == KC_EAGAIN && i < 50; i++)
		r = try_open(s, err);
	if (r == KC_EAGAIN)
		r = kc_fail(err, KC_ECONFLICT, "%s: the state keeps changing; try again", prefix);
	if (r < 0) {
		kc_state_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void kc_state_guard(struct kc_state *s, int (*fn)(void *cookie, struct kc_err *err), void *cookie)
{
	s->guard = fn;
	s->guard_cookie = cookie;
}

const json_t *kc_state_tasks(const struct kc_state *s)
{
	return s->tasks;
}

json_t *kc_state_copy(struct kc_state *s)
{
	json_t *v;

	pthread_mutex_lock(&s->lock);
	v = json_deep_copy(s->tasks);
	pthread_mutex_unlock(&s->lock);
	return v;
}

bool kc_state_writable(const struct kc_state *s)
{
	return s->fence != 0;
}

/* Under the lock: put all that is queued as one segment. The lock is given up meanwhile. */
static void lead(struct kc_state *s)
{
	json_t *batch = s->queue;
	uint64_t upto = s->queued, serial = ++s->serial;
	_cleanup_free_ char *key = segment_key(s, s->fence, serial);
	json_auto_t *seg = NULL;
	struct kc_err err = { 0 };
	int r;

	s->leading = true;
	s->queue = json_array();
	pthread_mutex_unlock(&s->lock);
	seg = kc_pack("{s:s, s:I, s:I, s:o}", "uid", s->uid, "fence", (json_int_t)s->fence,
		      "serial", (json_int_t)serial, "entries", batch);
	r = s->guard ? s->guard(s->guard_cookie, &err) : 0;
	if (r == 0) {
		r = kc_store_put_json(s->store, key, &kc_journal_format, seg, "", NULL, &err);
		if (r < 0)
			kc_wrap(&err, "the journal cannot be written; nothing more is changed");
	}
	pthread_mutex_lock(&s->lock);
	s->leading = false;
	if (r < 0) {
		s->failed = err;
	} else {
		s->committed = upto;
	}
	pthread_cond_broadcast(&s->cond);
}

/* Under the lock. */
static int commit(struct kc_state *s, uint64_t upto, struct kc_err *err)
{
	while (s->committed < upto && !s->failed.code) {
		if (s->leading)
			pthread_cond_wait(&s->cond, &s->lock);
		else
			lead(s);
	}
	if (s->committed < upto)
		return kc_fail(err, s->failed.code, "%s", s->failed.msg);
	return 0;
}

int kc_state_append(struct kc_state *s, json_t *entry, bool durable, struct kc_err *err)
{
	int r = 0;

	pthread_mutex_lock(&s->lock);
	if (s->failed.code) {
		r = kc_fail(err, s->failed.code, "%s", s->failed.msg);
		json_decref(entry);
		pthread_mutex_unlock(&s->lock);
		return r;
	}
	json_object_set_new(entry, "seq", json_integer((json_int_t)++s->seq));
	json_object_set_new(entry, "at", json_integer((json_int_t)kc_realtime_ms()));
	fold(s->tasks, s->generations, entry);
	json_array_append_new(s->queue, entry);
	s->dirty = true;
	s->queued++;
	if (durable || json_array_size(s->queue) > QUEUE_MAX)
		r = commit(s, s->queued, err);
	pthread_mutex_unlock(&s->lock);
	return r;
}

int kc_state_flush(struct kc_state *s, struct kc_err *err)
{
	int r;

	pthread_mutex_lock(&s->lock);
	r = commit(s, s->queued, err);
	pthread_mutex_unlock(&s->lock);
	return r;
}

json_t *kc_state_entry(struct kc_state *s, const char *id)
{
	json_t *v;

	pthread_mutex_lock(&s->lock);
	v = json_deep_copy(json_object_get(s->tasks, id));
	pthread_mutex_unlock(&s->lock);
	return v;
}

int64_t kc_state_generation(struct kc_state *s, const char *id)
{
	int64_t g;

	pthread_mutex_lock(&s->lock);
	g = generation_of(s->tasks, s->generations, id);
	pthread_mutex_unlock(&s->lock);
	return g;
}

int kc_state_compact(struct kc_state *s, struct kc_err *err)
{
	int r = 0;

	if (!s->fence || !s->dirty)
		return 0;
	pthread_mutex_lock(&s->lock);
	/* What is only queued goes straight into the record. */
	while (s->leading)
		pthread_cond_wait(&s->cond, &s->lock);
	if (s->failed.code)
		r = kc_fail(err, s->failed.code, "%s", s->failed.msg);
	else
		r = put_record(s, s->tasks, s->generations, s->serial, s->etag, err);
	if (r == KC_ECONFLICT)
		kc_wrap(err, "a newer operator took over this state");
	if (r == 0) {
		json_array_clear(s->queue);
		s->committed = s->queued;
		s->dirty = false;
		drop_segments(s, s->serial);
	} else if (!s->failed.code) {
		s->failed = (struct kc_err){ .code = r, .msg = "the record cannot be written" };
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

int kc_state_forget(struct kc_state *s, const char *id, struct kc_err *err)
{
	if (!s->fence)
		return kc_fail(err, KC_EINVAL, "%s: the state is open for reading only", s->prefix);
	if (!json_object_get(s->tasks, id))
		return kc_fail(err, KC_ENOTFOUND, "%s: %s is not recorded", s->prefix, id);
	return kc_state_append(s, kc_pack("{s:s, s:s}", "task", id, "result", "forgotten"), true,
			       err);
}

void kc_state_close(struct kc_state *s)
{
	if (!s)
		return;
	if (s->tasks)
		kc_state_compact(s, NULL);
	json_decref(s->tasks);
	json_decref(s->generations);
	json_decref(s->queue);
	pthread_cond_destroy(&s->cond);
	pthread_mutex_destroy(&s->lock);
	free(s->prefix);
	free(s->uid);
	free(s);
}
