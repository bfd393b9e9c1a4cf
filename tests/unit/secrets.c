/* The kind "secret" over a real store: made once, numbered, and the keys that are derived. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bootstrap/secrets.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

static char root[] = "/tmp/kc-secrets-XXXXXX";
static struct kc_store *store;
static struct kc_secrets secrets = { .prefix = "clusters/fra1" };
static struct kc_err err;

static json_t *want_of(const char *id)
{
	json_auto_t *tasks = kc_secret_tasks();
	json_t *t;
	size_t i;

	json_array_foreach(tasks, i, t)
		if (streq(kc_json_get_str(t, "id", ""), id))
			return json_deep_copy(json_object_get(t, "want"));
	fail_msg("no task %s", id);
	return NULL;
}

/* What apply answers; known is what the record has of the last one. */
static json_t *make(const char *id, const json_t *known)
{
	struct kc_provider p = kc_secrets_provider(&secrets);
	json_auto_t *want = want_of(id);
	struct kc_task t = { .id = id, .want = want, .known = known };
	json_t *actual = NULL;

	if (p.kinds[0]->apply(p.ctx, &t, NULL, NULL, &actual, &err) < 0)
		fail_msg("%s", err.msg);
	return actual;
}

static void versions_grow(void **state)
{
	json_auto_t *first = make("secret/ca", NULL), *again = make("secret/ca", first),
		    *second = NULL;
	_cleanup_free_ char *a = NULL, *b = NULL, *text = NULL;
	int64_t version = 0;

	assert_int_equal(kc_json_get_int(first, "version", 0), 1);
	assert_true(json_equal(first, again)); /* it was there: nothing new */
	assert_int_equal(kc_secret_get(&secrets, "pki/ca.crt", &a, &err), 0);
	assert_int_equal(kc_store_remove(store, "clusters/fra1/pki/ca.json", NULL, &err), 0);
	second = make("secret/ca", first);
	assert_int_equal(kc_json_get_int(second, "version", 0), 2);
	assert_int_equal(kc_secret_load(&secrets, "pki/ca.crt", &b, &version, &err), 0);
	assert_int_equal(version, 2);
	assert_string_not_equal(a, b);
	text = kc_json_text(second);
	assert_null(strstr(text, "PRIVATE"));
}

/* Its own for each purpose, the same every time, another one in another cluster. */
static void state_key(void **state)
{
	char a[KC_SHA256_HEX], b[KC_SHA256_HEX], c[KC_SHA256_HEX];
	_cleanup_wiped_ char *key = NULL;
	json_auto_t *out = NULL;

	secrets.prefix = "clusters/new";
	assert_int_equal(kc_state_key(&secrets, "node/w1", a, &err), KC_ENOTFOUND);
	out = make("secret/state", NULL);
	assert_int_equal(kc_state_key(&secrets, "node/w1", a, &err), 0);
	assert_int_equal(kc_state_key(&secrets, "node/w1", b, &err), 0);
	assert_string_equal(a, b);
	assert_int_equal(kc_state_key(&secrets, "node/w2", b, &err), 0);
	assert_string_not_equal(a, b);
	assert_int_equal(kc_secret_get(&secrets, "secrets/state.key", &key, &err), 0);
	assert_int_equal(strlen(key), 44); /* 32 bytes */
	secrets.prefix = "clusters/other";
	json_decref(out);
	out = make("secret/state", NULL);
	assert_int_equal(kc_state_key(&secrets, "node/w1", c, &err), 0);
	assert_string_not_equal(a, c);
	secrets.prefix = "clusters/fra1";
}

static int setup(void **state)
{
	if (!mkdtemp(root) || kc_store_open(root, &store, NULL) < 0)
		return -1;
	secrets.store = store;
	return 0;
}

static int teardown(void **state)
{
	kc_store_close(store);
	return kc_rm_rf(root, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_grow),
		cmocka_unit_test(state_key),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
