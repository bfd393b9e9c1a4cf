#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/store/lock.h"
#include "lib/store/type.h"
#include "tests/conformance/store.h"

#define LOCK "clusters/fra1/lock"

static char root[] = "/tmp/kc-store-XXXXXX";
static struct kc_store *store;
static struct kc_err err;

static struct kc_store *open_again(void *cookie)
{
	struct kc_store *s = NULL;

	if (kc_store_open(root, &s, NULL) < 0)
		abort();
	return s;
}

static void test_conformance(void **x)
{
	const struct kc_store_suite s = { .store = store, .open = open_again };

	conformance_store(&s);
}

static mode_t mode_of(const char *key)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", root, key);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void test_modes(void **x)
{
	umask(0);
	assert_int_equal(kc_store_put(store, "clusters/a/pki/ca.key", "k", 1, NULL, NULL, &err), 0);
	assert_int_equal(mode_of("clusters/a/pki/ca.key"), 0600);
	assert_int_equal(mode_of("clusters/a/pki"), 0700);
}

static void test_bad_places(void **x)
{
	struct kc_store *s = NULL;
	_cleanup_free_ char *file = xasprintf("%s-file", root), *below = NULL;

	assert_int_equal(kc_file_write(file, "x", 1, 0600, &err), 0);
	below = xasprintf("%s/state", file);
	assert_true(kc_store_open(below, &s, &err) < 0);
	assert_non_null(strstr(err.msg, below));
	assert_true(kc_store_open("/proc/kubecdn", &s, &err) < 0);
	assert_non_null(strstr(err.msg, "/proc/kubecdn"));
	assert_int_equal(kc_store_open("ftp://x", &s, &err), KC_EINVAL);
	assert_int_equal(kc_store_open("", &s, &err), KC_EINVAL);
	assert_null(s);
	unlink(file);
}

/* What a crashed writer left goes at the next open; what a living one holds stays. */
static void test_stale_temporaries(void **x)
{
	_cleanup_free_ char *stale = xasprintf("%s/.tmp/AAAAAA", root);
	struct kc_store *s = NULL;

	assert_int_equal(kc_file_write(stale, "x", 1, 0600, &err), 0);
	assert_int_equal(kc_store_open(root, &s, &err), 0);
	assert_false(kc_exists(stale));
	kc_store_close(s);
}

/* Somebody was stopped in the middle of a write: that is said, and not waited for for ever. */
static void test_a_stopped_writer(void **x)
{
	_cleanup_free_ char *path = xasprintf("%s/.lock", root);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct kc_store *second = NULL;

	assert_int_equal(flock(fd, LOCK_EX), 0);
	kc_store_dir_patience_ms = 100;
	assert_int_equal(kc_store_put(store, "clusters/a/x", "1", 1, NULL, NULL, &err),
			 KC_ETIMEOUT);
	assert_non_null(strstr(err.msg, ".lock: another process"));
	assert_non_null(strstr(err.msg, "fuser"));
	assert_int_equal(kc_store_remove(store, "clusters/a/x", NULL, &err), KC_ETIMEOUT);
	assert_int_equal(kc_store_open(root, &second, &err), 0);
	kc_store_close(second);
	kc_store_dir_patience_ms = 10000;
	assert_int_equal(flock(fd, LOCK_UN), 0);
	assert_int_equal(kc_store_put(store, "clusters/a/x", "1", 1, NULL, NULL, &err), 0);
	assert_int_equal(kc_store_remove(store, "clusters/a/x", NULL, &err), 0);
}

static void test_empty_folders_go(void **x)
{
	_cleanup_free_ char *dir = xasprintf("%s/gone", root);

	assert_int_equal(kc_store_put(store, "gone/a/b", "x", 1, NULL, NULL, &err), 0);
	assert_int_equal(kc_store_remove(store, "gone/a/b", NULL, &err), 0);
	assert_false(kc_exists(dir));
}

/* A removal that was killed before it came to them: they go at the next open, nobody else's do. */
static void test_folders_left_empty_go(void **x)
{
	_cleanup_free_ char *left = xasprintf("%s/clusters/gone/journal", root),
			    *gone = xasprintf("%s/clusters/gone", root),
			    *here = xasprintf("%s/clusters/here/a", root),
			    *theirs = xasprintf("%s/theirs", root);
	struct kc_store *s = NULL;

	assert_int_equal(kc_store_put(store, "clusters/here/a", "x", 1, NULL, NULL, &err), 0);
	assert_int_equal(kc_mkdir_p(left, 0700, &err), 0);
	assert_int_equal(kc_mkdir_p(theirs, 0700, &err), 0);
	assert_int_equal(kc_store_open(root, &s, &err), 0);
	assert_false(kc_exists(gone));
	assert_true(kc_exists(theirs));
	assert_true(kc_exists(here));
	assert_int_equal(kc_store_remove(s, "clusters/here/a", NULL, &err), 0);
	kc_store_close(s);
}

static void test_lock(void **x)
{
	struct kc_lock *a = NULL, *b = NULL;
	json_auto_t *lease = NULL;
	char pid[32];
	bool lives;

	assert_int_equal(kc_lock_acquire(store, LOCK, "cluster update", &a, &err), 0);
	assert_int_equal(kc_lock_check(a, &err), 0);
	assert_int_equal(kc_lock_acquire(store, LOCK, "cluster delete", &b, &err), KC_ECONFLICT);
	snprintf(pid, sizeof(pid), "pid %d", getpid());
	assert_non_null(strstr(err.msg, pid));
	assert_non_null(strstr(err.msg, "cluster update, since 20"));
	assert_non_null(strstr(err.msg, "kubecdn cluster unlock fra1 --force 1"));
	assert_int_equal(kc_lock_show(store, LOCK, &lease, &err), 0);
	assert_string_equal(kc_json_get_str(lease, "verb", ""), "cluster update");
	assert_int_equal(kc_lock_lives(store, LOCK, 1, &lives, &err), 0);
	assert_true(lives);
	assert_int_equal(kc_lock_lives(store, LOCK, 2, &lives, &err), 0);
	assert_false(lives);
	kc_lock_release(a);
	assert_int_equal(kc_lock_lives(store, LOCK, 1, &lives, &err), 0);
	assert_false(lives);
	assert_int_equal(kc_lock_acquire(store, LOCK, "cluster delete", &b, &err), 0);
	assert_int_equal(kc_lock_fence(b), 2);
	kc_lock_release(b);
	json_decref(lease);
	lease = json_null();
	assert_int_equal(kc_lock_show(store, LOCK, &lease, &err), 0);
	assert_null(lease);
}

/*
 * Renewed while held: a life of two seconds lasts longer than that. (A busy disk may take a second
 * for one write.)
 */
static void test_renewal_and_expiry(void **x)
{
	struct kc_lock *a = NULL, *b = NULL;
	int64_t until = kc_now_ms() + 5000;
	json_auto_t *foreign = NULL;

	assert_int_equal(kc_lock_acquire_for(store, "l/renew", "v", 2000, &a, &err), 0);
	while (kc_now_ms() < until) {
		assert_int_equal(kc_lock_acquire_for(store, "l/renew", "w", 2000, &b, &err),
				 KC_ECONFLICT);
		kc_sleep_ms(20);
	}
	assert_int_equal(kc_lock_check(a, &err), 0);
	kc_lock_release(a);

	/* Another host's, about to expire. */
	foreign = kc_pack("{s:s, s:s, s:s, s:i, s:s, s:i, s:I}", "holder", "root", "host",
			  "elsewhere", "bootId", "x", "pid", 1, "verb", "cluster update", "fence",
			  41, "expires", (json_int_t)(kc_realtime_ms() + 200));
	assert_int_equal(kc_store_put_json(store, "l/old", &kc_lock_format, foreign, NULL, NULL,
					   &err),
			 0);
	assert_int_equal(kc_lock_acquire(store, "l/old", "v", &b, &err), KC_ECONFLICT);
	assert_non_null(strstr(err.msg, "root@elsewhere pid 1"));
	until = kc_now_ms() + 5000;
	while (kc_lock_acquire(store, "l/old", "v", &b, &err) < 0 && kc_now_ms() < until)
		kc_sleep_ms(10);
	assert_non_null(b);
	assert_int_equal(kc_lock_fence(b), 42);
	kc_lock_release(b);
}

static void test_dead_holder(void **x)
{
	struct kc_lock *l = NULL;
	int64_t start;
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(kc_lock_acquire(store, "l/dead", "cluster create", &l, NULL) < 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	start = kc_now_ms();
	assert_int_equal(kc_lock_acquire(store, "l/dead", "cluster create", &l, &err), 0);
	assert_true(kc_now_ms() - start < 5000);
	assert_int_equal(kc_lock_fence(l), 2);
	kc_lock_release(l);
}

static void test_break(void **x)
{
	struct kc_lock *a = NULL, *b = NULL;
	int64_t until = kc_now_ms() + 20000;

	assert_int_equal(kc_lock_break(store, "l/break", 1, &err), KC_ENOTFOUND);
	assert_int_equal(kc_lock_acquire_for(store, "l/break", "v", 90000, &a, &err), 0);
	assert_int_equal(kc_lock_break(store, "l/break", 7, &err), KC_ECONFLICT);
	assert_int_equal(kc_lock_break(store, "l/break", 1, &err), 0);
	assert_int_equal(kc_lock_acquire_for(store, "l/break", "w", 2000, &b, &err), 0);
	assert_int_equal(kc_lock_fence(b), 2);
	while (kc_lock_check(a, &err) == 0 && kc_now_ms() < until)
		kc_sleep_ms(10);
	assert_int_equal(kc_lock_check(a, &err), KC_ECONFLICT);
	kc_lock_release(a); /* must not free b's */
	assert_int_equal(kc_lock_check(b, &err), 0);
	assert_int_equal(kc_lock_acquire_for(store, "l/break", "x", 2000, &a, &err), KC_ECONFLICT);
	kc_lock_release(b);
}

/* The end of a delete: the lock's object goes, but never somebody else's lease. */
static void test_remove(void **x)
{
	struct kc_lock *mine = NULL, *theirs = NULL;
	json_t *none = NULL;
	uint64_t fence;

	assert_int_equal(kc_lock_acquire(store, "l/rm", "cluster delete", &mine, &err), 0);
	fence = kc_lock_fence(mine);
	kc_lock_release(mine);
	assert_int_equal(kc_lock_acquire(store, "l/rm", "cluster create", &theirs, &err), 0);
	assert_int_equal(kc_lock_remove(store, "l/rm", fence, &err), 0);
	assert_int_equal(kc_lock_check(theirs, &err), 0);
	fence = kc_lock_fence(theirs);
	kc_lock_release(theirs);
	assert_int_equal(kc_lock_remove(store, "l/rm", fence, &err), 0);
	assert_int_equal(kc_store_get_json(store, "l/rm", &kc_lock_format, &none, NULL, &err),
			 KC_ENOTFOUND);
	assert_int_equal(kc_lock_remove(store, "l/rm", fence, &err), 0);
}

static int setup(void **x)
{
	return mkdtemp(root) ? kc_store_open(root, &store, &err) : -1;
}

static int teardown(void **x)
{
	kc_store_close(store);
	return kc_rm_rf(root, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conformance),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_bad_places),
		cmocka_unit_test(test_stale_temporaries),
		cmocka_unit_test(test_a_stopped_writer),
		cmocka_unit_test(test_empty_folders_go),
		cmocka_unit_test(test_folders_left_empty_go),
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_renewal_and_expiry),
		cmocka_unit_test(test_dead_holder),
		cmocka_unit_test(test_break),
		cmocka_unit_test(test_remove),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
