/*
 * Stored formats: real states of earlier formats are read without a write, migrated under a
 * backup, and migrated the same when killed before or after any write; later ones are refused.
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

#include "bootstrap/formats.h"
#include "bootstrap/secrets.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/state.h"

#define FIXTURES KC_SOURCE_DIR "/tests/fixtures/state/1/"
#define PREFIX	 "clusters/fra1"

static char root[] = "/tmp/kc-formats-XXXXXX";
static struct kc_store *store;
static struct kc_err err;

static const struct kc_stored agent_stored[] = {
	{ "record.json", &kc_record_format },
	{ "journal/", &kc_journal_format },
	{ NULL, NULL },
};

static void must(int r)
{
	if (r < 0)
		fail_msg("%d %s", r, err.msg);
}

/* A fresh copy of a fixture as the store. */
static void take(const char *fixture)
{
	_cleanup_free_ char *from = xasprintf(FIXTURES "%s/.", fixture);

	kc_store_close(TAKE(store));
	must(kc_rm_rf(root, &err));
	must(kc_runl(NULL, &err, "cp", "-r", from, root, NULL));
	must(kc_store_open(root, &store, &err));
}

static json_t *tree_of(struct kc_store *s, const char *below)
{
	json_t *tree = json_object(), *k;
	json_auto_t *keys = NULL;
	size_t i;

	must(kc_store_list(s, below, &keys, &err));
	json_array_foreach(keys, i, k) {
		_cleanup_free_ char *text = NULL;

		must(kc_store_get(s, json_string_value(k), &text, NULL, NULL, &err));
		json_object_set_new(tree, json_string_value(k), json_string(text));
	}
	return tree;
}

static json_t *tasks_of(const char *prefix, const char *uid)
{
	_cleanup_state_ struct kc_state *state = NULL;

	must(kc_state_open(store, prefix, uid, 0, &state, &err));
	return kc_state_copy(state);
}

static char *uid_of(void)
{
	json_auto_t *id = NULL;

	must(kc_store_get_json(store, PREFIX "/cluster.json", &kc_identity_format, &id, NULL,
			       &err));
	return xstrdup(kc_json_get_str(id, "uid", ""));
}

static size_t older(void)
{
	size_t n = 0;

	must(kc_formats_check(store, PREFIX, kc_cluster_stored, &n, &err));
	return n;
}

/* A preview: everything can be read, nothing is written. */
static void reads_without_writing(void **state)
{
	static const char *const fixtures[] = { "whole", "killed" };

	for (size_t i = 0; i < ARRAY_SIZE(fixtures); i++) {
		json_auto_t *before = NULL, *tasks = NULL, *spec = NULL, *after = NULL;
		struct kc_secrets secrets = { .prefix = PREFIX };
		_cleanup_wiped_ char *ca = NULL;
		_cleanup_free_ char *uid = NULL;
		char key[KC_SHA256_HEX];
		int64_t version = 0;

		take(fixtures[i]);
		before = tree_of(store, "");
		uid = uid_of();
		tasks = tasks_of(PREFIX, uid);
		assert_non_null(json_object_get(tasks, "secret/ca"));
		must(kc_store_get_json(store, PREFIX "/spec.yaml", &kc_spec_format, &spec, NULL,
				       &err));
		assert_null(json_object_get(spec, "format"));
		assert_string_equal(kc_json_get_str(spec, "kind", ""), "Cluster");
		secrets.store = store;
		must(kc_secret_load(&secrets, "pki/ca.key", &ca, &version, &err));
		assert_int_equal(version, 1);
		must(kc_state_key(&secrets, "node/w1", key, &err)); /* the CA's stands in */
		after = tree_of(store, "");
		assert_true(json_equal(before, after));
	}
}

/* Below backup/ is what there was, and the rest is what was read from it. */
static void migrates(void **state)
{
	static const char *const fixtures[] = { "whole", "killed" };

	for (size_t i = 0; i < ARRAY_SIZE(fixtures); i++) {
		json_auto_t *before = NULL, *after = NULL, *was = NULL, *is = NULL;
		_cleanup_free_ char *uid = NULL;
		const char *key;
		json_t *text;

		take(fixtures[i]);
		before = tree_of(store, PREFIX "/");
		uid = uid_of();
		was = tasks_of(PREFIX, uid);
		assert_int_equal(older(), json_object_size(before) - 1); /* the lock is as it was */
		must(kc_formats_migrate(store, PREFIX, kc_cluster_stored, uid, NULL, &err));
		assert_int_equal(older(), 0);
		is = tasks_of(PREFIX, uid);
		assert_true(json_equal(was, is));
		json_object_foreach(before, key, text) {
			_cleanup_free_ char *copy =
				xasprintf(PREFIX "/backup/1/%s", key + strlen(PREFIX "/"));
			_cleanup_free_ char *kept = NULL;

			if (kc_endswith(key, "/lock"))
				continue;
			must(kc_store_get(store, copy, &kept, NULL, NULL, &err));
			assert_string_equal(kept, json_string_value(text));
		}
		after = tree_of(store, "");
		must(kc_formats_migrate(store, PREFIX, kc_cluster_stored, uid, NULL, &err));
		json_decref(before);
		before = tree_of(store, "");
		assert_true(json_equal(before, after));
	}
}

static void agents_record(void **state)
{
	json_auto_t *was = NULL, *is = NULL;
	_cleanup_free_ char *text = NULL;

	take("agent");
	was = tasks_of("node", "");
	must(kc_formats_migrate(store, "node", agent_stored, "", NULL, &err));
	is = tasks_of("node", "");
	assert_true(json_equal(was, is));
	assert_int_equal(kc_json_get_int(kc_json_at(json_object_get(is, "file/ca.crt"),
						    "want.content"),
					 "version", 0),
			 1);
	text = kc_json_text(is);
	assert_null(strstr(text, "\"hmac\"")); /* under a key that could be guessed */
}

/* ---- killed before or after any write ---- */

static struct kc_store_type dying; /* the directory's, but for put */
static const struct kc_store_type *real;
static int puts_left;

static int put_or_die(struct kc_store *s, const char *key, const void *data, size_t len,
		      const char *if_match, char etag[KC_STORE_ETAG], struct kc_err *e)
{
	int r;

	if (--puts_left == 0)
		_exit(9); /* before it */
	r = real->put(s, key, data, len, if_match, etag, e);
	if (--puts_left == 0)
		_exit(9); /* after it */
	return r;
}

/* True when it died. */
static bool dies(int after, const char *uid)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		puts_left = after;
		real = store->type;
		dying = *real;
		dying.put = put_or_die;
		store->type = &dying;
		_exit(kc_formats_migrate(store, PREFIX, kc_cluster_stored, uid, NULL, NULL) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 9));
	return WEXITSTATUS(status) == 9;
}

static void killed_anywhere(void **state)
{
	json_auto_t *whole = NULL;
	_cleanup_free_ char *uid = NULL;
	int n = 0;
	bool died;

	take("killed");
	uid = uid_of();
	must(kc_formats_migrate(store, PREFIX, kc_cluster_stored, uid, NULL, &err));
	whole = tree_of(store, "");
	do {
		json_auto_t *after = NULL;

		take("killed");
		died = dies(++n, uid);
		dies(n + 1, uid); /* and once more, a little further */
		must(kc_formats_migrate(store, PREFIX, kc_cluster_stored, uid, NULL, &err));
		after = tree_of(store, "");
		assert_true(json_equal(after, whole));
	} while (died);
	assert_true(n > 4 * (int)(json_object_size(whole) / 2 - 1));
}

/* ---- what is newer ---- */

static void make_newer(const char *key, bool yaml)
{
	_cleanup_free_ char *text = NULL, *newer = NULL;
	json_auto_t *v = NULL;

	must(kc_store_get(store, key, &text, NULL, NULL, &err));
	if (yaml) {
		newer = xasprintf("format: 99\nwrittenBy: kubecdn 9.9.9\n%s", text);
	} else {
		must(kc_json_parse(text, strlen(text), key, &v, &err));
		json_object_set_new(v, "format", json_integer(99));
		json_object_set_new(v, "writtenBy", json_string("kubecdn 9.9.9"));
		newer = kc_json_text(v);
	}
	must(kc_store_put(store, key, newer, strlen(newer), NULL, NULL, &err));
}

static void newer_is_refused(void **state)
{
	static const char *const names[] = { "cluster.json",
					     "spec.yaml",
					     "record.json",
					     "pki/ca.json",
					     "secrets/encryption.json",
					     "lock",
					     "journal/0000000001-0000000002.json" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *key = xasprintf(PREFIX "/%s", names[i]);
		size_t n = 0;

		take("killed");
		make_newer(key, kc_endswith(key, ".yaml"));
		assert_int_equal(kc_formats_check(store, PREFIX, kc_cluster_stored, &n, &err),
				 KC_EINVAL);
		assert_non_null(strstr(err.msg, key));
		assert_non_null(strstr(err.msg, "written by kubecdn 9.9.9 in format 99"));
		assert_non_null(strstr(err.msg, ": upgrade"));
	}
}

static void nonsense_is_refused(void **state)
{
	static const char *const texts[] = {
		"{\"format\":0}", "{\"format\":-1}", "{}", "{\"format\":\"1\"}", "[]", "no"
	};
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		take("whole");
		must(kc_store_put(store, PREFIX "/record.json", texts[i], strlen(texts[i]), NULL,
				  NULL, &err));
		assert_int_equal(kc_formats_check(store, PREFIX, kc_cluster_stored, &n, &err),
				 KC_EINVAL);
		assert_non_null(strstr(err.msg, "record.json"));
	}
}

static int setup(void **state)
{
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	kc_store_close(store);
	return kc_rm_rf(root, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_without_writing), cmocka_unit_test(migrates),
		cmocka_unit_test(agents_record),	 cmocka_unit_test(killed_anywhere),
		cmocka_unit_test(newer_is_refused),	 cmocka_unit_test(nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
