#include "tests/conformance/store.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/store/format.h"

#define WRITERS 40

static struct kc_err err;

static void put_ok(struct kc_store *s, const char *key, const char *text, const char *if_match,
		   char etag[KC_STORE_ETAG])
{
	if (kc_store_put(s, key, text, strlen(text), if_match, etag, &err) < 0)
		fail_msg("put: %s", err.msg);
}

static void expect(struct kc_store *s, const char *key, const char *text)
{
	_cleanup_free_ char *data = NULL;
	size_t len;

	if (kc_store_get(s, key, &data, &len, NULL, &err) < 0)
		fail_msg("get: %s", err.msg);
	assert_int_equal(len, strlen(text));
	assert_memory_equal(data, text, len);
}

static void conditions(struct kc_store *s)
{
	char a[KC_STORE_ETAG], b[KC_STORE_ETAG], c[KC_STORE_ETAG];
	_cleanup_free_ char *data = NULL;

	assert_int_equal(kc_store_get(s, "c/x", &data, NULL, NULL, &err), KC_ENOTFOUND);
	assert_int_equal(kc_store_put(s, "c/x", "1", 1, "0123", NULL, &err), KC_ECONFLICT);
	put_ok(s, "c/x", "one", "", a);
	assert_int_equal(kc_store_put(s, "c/x", "2", 1, "", NULL, &err), KC_ECONFLICT);
	expect(s, "c/x", "one");
	put_ok(s, "c/x", "two", a, b);
	assert_string_not_equal(a, b);
	assert_int_equal(kc_store_put(s, "c/x", "3", 1, a, NULL, &err), KC_ECONFLICT);
	assert_non_null(strstr(err.msg, "c/x"));
	put_ok(s, "c/x", "three", NULL, b);
	assert_int_equal(kc_store_get(s, "c/x", &data, NULL, c, &err), 0);
	assert_string_equal(b, c);
	assert_int_equal(kc_store_remove(s, "c/x", a, &err), KC_ECONFLICT);
	assert_int_equal(kc_store_remove(s, "c/x", b, &err), 0);
	assert_int_equal(kc_store_remove(s, "c/x", NULL, &err), 0);
	assert_int_equal(kc_store_put(s, "c/x", "4", 1, b, NULL, &err), KC_ECONFLICT);
}

static void keys(struct kc_store *s)
{
	static const char *const bad[] = { "",	   "/x",   "x/", "../x", "a/../b", "a//b",
					   "a/.b", "a\\b", "A",	 "a b",	 ".",	   "a/." };
	char longer[1200];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(kc_store_put(s, bad[i], "x", 1, NULL, NULL, &err), KC_EINVAL);
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(kc_store_put(s, longer, "x", 1, NULL, NULL, &err), KC_EINVAL);
}

/* Empty, binary and large values come back as they went in. */
static void values(struct kc_store *s)
{
	_cleanup_free_ char *big = xmalloc(3 << 20), *data = NULL, *none = NULL;
	size_t len;

	for (size_t i = 0; i < 3 << 20; i++)
		big[i] = (char)(i * 31 + (i >> 8));
	assert_int_equal(kc_store_put(s, "v/big", big, 3 << 20, NULL, NULL, &err), 0);
	assert_int_equal(kc_store_get(s, "v/big", &data, &len, NULL, &err), 0);
	assert_int_equal(len, 3 << 20);
	assert_memory_equal(data, big, len);
	assert_int_equal(kc_store_put(s, "v/none", "", 0, NULL, NULL, &err), 0);
	assert_int_equal(kc_store_get(s, "v/none", &none, &len, NULL, &err), 0);
	assert_int_equal(len, 0);
	assert_int_equal(kc_store_put(s, "v/huge", big, (size_t)KC_STORE_MAX + 1, NULL, NULL, &err),
			 KC_EINVAL);
}

/* More than a page of any object store (1,000 keys), sorted, by prefix of the key's text. */
static void lists(struct kc_store *s)
{
	json_auto_t *all = NULL, *some = NULL, *none = NULL;
	char key[64];

	for (int i = 0; i < 1100; i++) {
		snprintf(key, sizeof(key), "l/j/%04d.json", i);
		put_ok(s, key, "x", NULL, NULL);
	}
	put_ok(s, "l/jx", "x", NULL, NULL);
	assert_int_equal(kc_store_list(s, "l/j/", &all, &err), 0);
	assert_int_equal(json_array_size(all), 1100);
	for (size_t i = 0; i < 1100; i++) {
		snprintf(key, sizeof(key), "l/j/%04zu.json", i);
		assert_string_equal(json_string_value(json_array_get(all, i)), key);
	}
	assert_int_equal(kc_store_list(s, "l/j", &some, &err), 0);
	assert_int_equal(json_array_size(some), 1101);
	assert_int_equal(kc_store_list(s, "nothing/here/", &none, &err), 0);
	assert_int_equal(json_array_size(none), 0);
}

struct race {
	const struct kc_store_suite *suite;
	char etag[KC_STORE_ETAG];
	const char *key, *if_match;
	atomic_int won, lost, other;
	pthread_barrier_t start;
};

static void *writer(void *arg)
{
	static atomic_int serial; /* an etag may be the content's hash: never the same twice */
	struct race *r = arg;
	struct kc_store *s = r->suite->open(r->suite->cookie);
	char text[32];
	int rc;

	snprintf(text, sizeof(text), "writer %d", atomic_fetch_add(&serial, 1));
	pthread_barrier_wait(&r->start);
	rc = kc_store_put(s, r->key, text, strlen(text), r->if_match, NULL, NULL);
	atomic_fetch_add(rc == 0 ? &r->won : rc == KC_ECONFLICT ? &r->lost : &r->other, 1);
	kc_store_close(s);
	return NULL;
}

static void race(const struct kc_store_suite *suite, const char *key, const char *if_match)
{
	struct race r = { .suite = suite, .key = key, .if_match = if_match };
	pthread_t t[WRITERS];

	pthread_barrier_init(&r.start, NULL, WRITERS);
	for (int i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, writer, &r), 0);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(t[i], NULL);
	pthread_barrier_destroy(&r.start);
	assert_int_equal(r.won, 1);
	assert_int_equal(r.lost, WRITERS - 1);
}

static void one_winner(const struct kc_store_suite *suite)
{
	char etag[KC_STORE_ETAG];
	_cleanup_free_ char *data = NULL;

	race(suite, "race/new/deep", "");
	assert_int_equal(kc_store_get(suite->store, "race/new/deep", &data, NULL, etag, &err), 0);
	race(suite, "race/new/deep", etag);
}

struct tear {
	const struct kc_store_suite *suite;
	atomic_bool stop;
	atomic_int torn;
};

static void *reader(void *arg)
{
	struct tear *t = arg;
	struct kc_store *s = t->suite->open(t->suite->cookie);

	while (!atomic_load(&t->stop)) {
		_cleanup_free_ char *data = NULL;
		size_t len;

		if (kc_store_get(s, "tear/x", &data, &len, NULL, NULL) < 0 || len != 100000)
			atomic_fetch_add(&t->torn, 1);
		for (size_t i = 1; data && i < len; i++)
			if (data[i] != data[0]) {
				atomic_fetch_add(&t->torn, 1);
				break;
			}
	}
	kc_store_close(s);
	return NULL;
}

static void no_torn_read(const struct kc_store_suite *suite)
{
	struct tear t = { .suite = suite };
	_cleanup_free_ char *text = xmalloc(100000);
	pthread_t thread;

	memset(text, 'a', 100000);
	assert_int_equal(kc_store_put(suite->store, "tear/x", text, 100000, NULL, NULL, &err), 0);
	assert_int_equal(pthread_create(&thread, NULL, reader, &t), 0);
	for (int i = 0; i < 50; i++) {
		memset(text, 'a' + i % 26, 100000);
		if (kc_store_put(suite->store, "tear/x", text, 100000, NULL, NULL, &err) < 0)
			fail_msg("%s", err.msg);
	}
	atomic_store(&t.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(t.torn, 0);
}

static int to_two(json_t *value, const char *owner, struct kc_err *e)
{
	return json_object_set_new(value, "two", json_true());
}

static void formats(struct kc_store *s)
{
	static kc_format_step *const steps[] = { to_two };
	const struct kc_format one = { .name = "x", .current = 1 },
			       two = { .name = "x", .current = 2, .steps = steps };
	json_auto_t *v = kc_pack("{s:i}", "n", 7), *back = NULL, *never = NULL;
	_cleanup_free_ char *text = NULL;

	assert_int_equal(kc_store_put_json(s, "f/x.json", &two, v, NULL, NULL, &err), 0);
	assert_int_equal(kc_store_get(s, "f/x.json", &text, NULL, NULL, &err), 0);
	assert_non_null(strstr(text, "\"format\":2"));
	assert_non_null(strstr(text, "\"writtenBy\":\"kubecdn "));
	assert_int_equal(kc_store_get_json(s, "f/x.json", &two, &back, NULL, &err), 0);
	assert_true(json_equal(v, back));
	assert_int_equal(kc_store_get_json(s, "f/x.json", &one, &never, NULL, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "upgrade"));
	put_ok(s, "f/y.json", "{\"format\":1,", NULL, NULL);
	assert_int_equal(kc_store_get_json(s, "f/y.json", &one, &never, NULL, &err), KC_EINVAL);
	put_ok(s, "f/z.json", "{}", NULL, NULL);
	assert_int_equal(kc_store_get_json(s, "f/z.json", &one, &never, NULL, &err), KC_EINVAL);
	assert_null(never);
}

static void clock_runs(struct kc_store *s)
{
	int64_t a, b;

	assert_int_equal(s->type->now(s, &a, &err), 0);
	assert_int_equal(s->type->now(s, &b, &err), 0);
	assert_true(b >= a);
	assert_true(a > INT64_C(1600000000000));
}

void conformance_store(const struct kc_store_suite *s)
{
	conditions(s->store);
	keys(s->store);
	values(s->store);
	lists(s->store);
	one_winner(s);
	no_torn_read(s);
	formats(s->store);
	clock_runs(s->store);
}
