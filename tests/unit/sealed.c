/*
 * The sealed store: the conformance suite over objects that are all private, what is in the files,
 * and a change of keys that is killed at every put.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "tests/conformance/store.h"

#define PRIVATE "secrets/"

static char top[] = "/tmp/kc-sealed-XXXXXX";
static char *root, *keys;
static struct kc_err err;

static void must(int r)
{
	if (r < 0)
		fail_msg("%d %s", r, err.msg);
}

static char *line_of(unsigned char byte)
{
	unsigned char key[32];

	memset(key, byte, sizeof(key));
	return kc_base64_encode(key, sizeof(key));
}

/* The key file: of these keys, the first seals. */
static void set_keys(unsigned char first, unsigned char second)
{
	_cleanup_free_ char *a = line_of(first), *b = line_of(second),
			    *text = second ? xasprintf("%s\n%s\n", a, b) : xasprintf("%s\n", a);

	must(kc_file_write(keys, text, strlen(text), 0600, &err));
}

static struct kc_store *open_store(const char *key_file)
{
	struct kc_store *s = NULL;

	must(kc_store_open_sealed(root, key_file, &s, &err));
	return s;
}

/* ---- a store in which every key is private: for the suite, whose keys are not ---- */

struct below {
	struct kc_store base;
	struct kc_store *inner;
};

static struct kc_store *inner_of(struct kc_store *s)
{
	return ((struct below *)s)->inner;
}

static void below_close(struct kc_store *s)
{
	kc_store_close(inner_of(s));
	free(s->url);
	free(s);
}

static int below_get(struct kc_store *s, const char *key, char **ret, size_t *len,
		     char etag[KC_STORE_ETAG], struct kc_err *e)
{
	_cleanup_free_ char *k = xasprintf(PRIVATE "%s", key);

	return inner_of(s)->type->get(inner_of(s), k, ret, len, etag, e);
}

static int below_put(struct kc_store *s, const char *key, const void *data, size_t len,
		     const char *if_match, char etag[KC_STORE_ETAG], struct kc_err *e)
{
	_cleanup_free_ char *k = xasprintf(PRIVATE "%s", key);

	return inner_of(s)->type->put(inner_of(s), k, data, len, if_match, etag, e);
}

static int below_list(struct kc_store *s, const char *prefix, json_t **ret, struct kc_err *e)
{
	_cleanup_free_ char *k = xasprintf(PRIVATE "%s", prefix);
	json_auto_t *all = NULL;
	json_t *v;
	size_t i;
	int r = inner_of(s)->type->list(inner_of(s), k, &all, e);

	if (r < 0)
		return r;
	*ret = json_array();
	json_array_foreach(all, i, v)
		json_array_append_new(*ret, json_string(json_string_value(v) + strlen(PRIVATE)));
	return 0;
}

static int below_remove(struct kc_store *s, const char *key, const char *if_match, struct kc_err *e)
{
	_cleanup_free_ char *k = xasprintf(PRIVATE "%s", key);

	return inner_of(s)->type->remove(inner_of(s), k, if_match, e);
}

static int below_now(struct kc_store *s, int64_t *ret, struct kc_err *e)
{
	return inner_of(s)->type->now(inner_of(s), ret, e);
}

static const struct kc_store_type below_type = {
	.scheme = "below",
	.close = below_close,
	.get = below_get,
	.put = below_put,
	.list = below_list,
	.remove = below_remove,
	.now = below_now,
};

static struct kc_store *open_below(void *cookie)
{
	struct below *b = xcalloc(1, sizeof(*b));

	b->base.type = &below_type;
	b->base.url = xstrdup("below");
	b->inner = open_store(keys);
	return &b->base;
}

static void conformance(void **state)
{
	_cleanup_store_ struct kc_store *store = NULL;
	struct kc_store_suite suite = { .open = open_below };

	set_keys(1, 0);
	store = open_below(NULL);
	suite.store = store;
	conformance_store(&suite);
}

/* ---- what is in the files ---- */

static char *raw(const char *key)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", root, key);
	char *text = NULL;

	must(kc_file_read(path, 1 << 20, &text, NULL, &err));
	return text;
}

static void put(struct kc_store *s, const char *key, const char *text)
{
	must(kc_store_put(s, key, text, strlen(text), NULL, NULL, &err));
}

static int get(const char *key_file, const char *key, char **ret)
{
	_cleanup_store_ struct kc_store *s = open_store(key_file);

	return kc_store_get(s, key, ret, NULL, NULL, &err);
}

static void only_private_objects(void **state)
{
	static const char *const private[] = { "clusters/a/pki/ca.json",
					       "clusters/a/secrets/x.json",
					       "clusters/a/backup/1/pki/ca.json", "a/b.key" };
	static const char *const open[] = { "clusters/a/record.json", "clusters/pki.json",
					    "clusters/xpki/a" };
	_cleanup_store_ struct kc_store *s = NULL;

	set_keys(1, 0);
	s = open_store(keys);
	for (size_t i = 0; i < ARRAY_SIZE(private); i++) {
		_cleanup_free_ char *text = NULL, *back = NULL;

		put(s, private[i], "s3cret");
		text = raw(private[i]);
		assert_null(strstr(text, "s3cret"));
		assert_true(kc_startswith(text, "kubecdn-sealed 1 "));
		must(get(keys, private[i], &back));
		assert_string_equal(back, "s3cret");
		assert_int_equal(get(NULL, private[i], &back), KC_EAUTH);
		assert_non_null(strstr(err.msg, private[i]));
		assert_non_null(strstr(err.msg, "KUBECDN_STATE_KEY_FILE"));
	}
	for (size_t i = 0; i < ARRAY_SIZE(open); i++) {
		_cleanup_free_ char *text = NULL;

		put(s, open[i], "known");
		text = raw(open[i]);
		assert_string_equal(text, "known");
	}
}

static void no_swaps_no_plants(void **state)
{
	_cleanup_free_ char *text = raw("clusters/a/pki/ca.json"), *back = NULL,
			    *to = xasprintf("%s/clusters/a/pki/sa.json", root);

	must(kc_file_write(to, text, strlen(text), 0600, &err));
	assert_int_equal(get(keys, "clusters/a/pki/sa.json", &back), KC_EAUTH);
	must(kc_file_write(to, "{}", 2, 0600, &err));
	assert_int_equal(get(keys, "clusters/a/pki/sa.json", &back), KC_EAUTH);
	assert_non_null(strstr(err.msg, "kubecdn cluster rekey a"));
	set_keys(2, 0);
	assert_int_equal(get(keys, "clusters/a/pki/ca.json", &back), KC_EAUTH);
	assert_non_null(strstr(err.msg, "not in the key file"));
	assert_null(back);
}

/* ---- rekey, killed at any put ---- */

static const struct kc_store_type *real;
static struct kc_store_type dying;
static int puts_left;

static int put_or_die(struct kc_store *s, const char *key, const void *data, size_t len,
		      const char *if_match, char etag[KC_STORE_ETAG], struct kc_err *e)
{
	int r;

	if (--puts_left == 0)
		_exit(9);
	r = real->put(s, key, data, len, if_match, etag, e);
	if (--puts_left == 0)
		_exit(9);
	return r;
}

static bool rekey_dies(int after, enum kc_reseal how)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct kc_store *dir = NULL, *s = NULL;
		json_t *changed = NULL;

		if (kc_store_open(root, &dir, NULL) < 0)
			_exit(1);
		puts_left = after;
		real = dir->type;
		dying = *real;
		dying.put = put_or_die;
		dir->type = &dying;
		_exit(kc_store_seal(dir, keys, &s, NULL) < 0 ||
		      kc_store_reseal(s, "clusters/r/", how, true, NULL, &changed, NULL) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 9));
	return WEXITSTATUS(status) == 9;
}

static size_t rekey(enum kc_reseal how, bool write)
{
	_cleanup_store_ struct kc_store *s = open_store(keys);
	json_auto_t *changed = NULL;

	must(kc_store_reseal(s, "clusters/r/", how, write, NULL, &changed, &err));
	return json_array_size(changed);
}

static const char *const objects[] = { "clusters/r/pki/a.json", "clusters/r/pki/b.json",
				       "clusters/r/secrets/c.json" };

static void expect_all(const char *key_file)
{
	for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
		_cleanup_free_ char *text = NULL;

		must(get(key_file, objects[i], &text));
		assert_string_equal(text, objects[i]);
	}
}

static void start_with(unsigned char key)
{
	_cleanup_store_ struct kc_store *s = NULL;

	if (key)
		set_keys(key, 0);
	s = open_store(key ? keys : NULL);
	for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
		put(s, objects[i], objects[i]);
	put(s, "clusters/r/record.json", "{}");
}

/* From one state to another, killed before and after each put, twice; then with the new file. */
static void killed(unsigned char from, unsigned char to, unsigned char also, enum kc_reseal how)
{
	bool died;
	int n = 0;

	do {
		start_with(from);
		set_keys(to, also);
		died = rekey_dies(++n, how);
		rekey_dies(n + 1, how);
		rekey(how, true);
		assert_int_equal(rekey(how, true), 0);
		if (how == KC_RESEAL)
			set_keys(to, 0); /* the old line may go */
		expect_all(how == KC_RESEAL ? keys : NULL);
	} while (died);
	assert_int_equal(n, 2 * (int)ARRAY_SIZE(objects) + 1);
}

static void rotation(void **state)
{
	killed(1, 2, 1, KC_RESEAL);
}

static void on_and_off(void **state)
{
	killed(0, 3, 0, KC_RESEAL);
	killed(3, 3, 0, KC_RESEAL_OFF);
	killed(1, 3, 1, KC_RESEAL_OFF);
}

/* A preview says what would be done; a key that is missing stops it before the first change. */
static void previews(void **state)
{
	_cleanup_store_ struct kc_store *s = NULL;
	_cleanup_free_ char *before = NULL, *after = NULL;
	json_t *changed = NULL;

	start_with(1);
	before = raw(objects[2]);
	set_keys(2, 1);
	assert_int_equal(rekey(KC_RESEAL, false), ARRAY_SIZE(objects));
	set_keys(2, 0);
	s = open_store(keys);
	assert_int_equal(kc_store_reseal(s, "clusters/r/", KC_RESEAL, true, NULL, &changed, &err),
			 KC_EAUTH);
	after = raw(objects[2]);
	assert_string_equal(before, after);
	kc_store_close(TAKE(s));
	s = open_store(NULL);
	assert_int_equal(kc_store_reseal(s, "clusters/r/", KC_RESEAL, true, NULL, &changed, &err),
			 KC_EINVAL);
	assert_null(changed);
}

static int setup(void **state)
{
	if (!mkdtemp(top))
		return -1;
	root = xasprintf("%s/state", top);
	keys = xasprintf("%s/keys", top);
	return 0;
}

static int teardown(void **state)
{
	free(root);
	free(keys);
	return kc_rm_rf(top, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conformance),	      cmocka_unit_test(only_private_objects),
		cmocka_unit_test(no_swaps_no_plants), cmocka_unit_test(rotation),
		cmocka_unit_test(on_and_off),	      cmocka_unit_test(previews),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
