/* The end of a delete: the lock's object goes, but never somebody else's lease. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "bootstrap/session.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

#define KEY "clusters/c/lock"

static void a_lease_taken_since_stays(void **state)
{
	char dir[] = "/tmp/kc-session-XXXXXX";
	struct kc_lock *mine = NULL, *theirs = NULL;
	struct kc_store *store = NULL;
	json_auto_t *lease = NULL;
	struct kc_err err;
	json_t *none = NULL;
	uint64_t fence;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(kc_store_open(dir, &store, &err), 0);
	assert_int_equal(kc_lock_acquire(store, KEY, "cluster delete", &mine, &err), 0);
	fence = kc_lock_fence(mine);
	kc_lock_release(mine);
	assert_int_equal(kc_lock_acquire(store, KEY, "cluster create", &theirs, &err), 0);
	assert_int_equal(session_remove_lock(store, KEY, fence, &err), 0);
	assert_int_equal(kc_lock_show(store, KEY, &lease, &err), 0);
	assert_non_null(lease);
	assert_int_equal(kc_lock_check(theirs, &err), 0);

	fence = kc_lock_fence(theirs);
	kc_lock_release(theirs);
	assert_int_equal(session_remove_lock(store, KEY, fence, &err), 0);
	assert_int_equal(kc_store_get_json(store, KEY, 1, &none, NULL, &err), KC_ENOTFOUND);
	assert_int_equal(session_remove_lock(store, KEY, fence, &err), 0);
	kc_store_close(store);
	assert_int_equal(kc_rm_rf(dir, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lease_taken_since_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
