/* The engine before what somebody changed behind its back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/state.h"
#include "tests/unit/toy.h"
#include "tests/unit/plan_world.h"

#define THING(id, rest) "{\"id\":\"" id "\",\"kind\":\"toy/thing\",\"want\":{" rest "}}"
#define TFILE(id, rest) "{\"id\":\"" id "\",\"kind\":\"toy/file\",\"want\":{" rest "}}"

/* A mode that is put right is no reason to restart: the revision follows the content alone. */
static void test_rev_without_mode(void **x)
{
	struct world *w = world_new();
#define MODE_OF(mode)                                                                              \
	"[" TFILE("file/x", "\"content\":\"1\",\"mode\":\"" mode                                   \
			    "\"") "," THING("unit", "\"rev\":{\"$ref\":\"file/x#rev\"}") "]"

	apply_ok(w, MODE_OF("0644"));
	plan_ok(w, MODE_OF("0600"));
	expect(w, "file/x", "update");
	expect(w, "unit", "keep");
	apply_ok(w, MODE_OF("0600"));
	plan_ok(w, MODE_OF("0600"));
	assert_int_equal(kc_plan_pending(w->plan), 0);
	world_free(w);
}

/* What cannot be seen until its host is repaired is taken for what was made, not for lost. */
static void test_hidden(void **x)
{
	struct world *w = world_new();
	json_auto_t *cloud = NULL;
	json_t *o;
	const char *oid;
#define SHUT_HOST(v) "{\"id\":\"h\",\"kind\":\"toy/host\",\"want\":{\"v\":" v "}}"
#define BEHIND(n)                                                                                  \
	"{\"id\":\"g\",\"kind\":\"toy/thing\",\"within\":\"h\",\"after\":[\"h\"],\"want\":{"       \
	"\"behind\":true,\"n\":" n "}}"

	apply_ok(w, "[" SHUT_HOST("1") "," BEHIND("1") "]");
	w->toy.shut = KC_EAGAIN;
	plan_ok(w, "[" SHUT_HOST("2") "," BEHIND("1") "]");
	expect(w, "h", "update");
	expect(w, "g", "keep");
	assert_true(kc_json_get_bool(entry(w, "g"), "hidden", false));
	w->toy.applies = 0;
	apply_ok(w, "[" SHUT_HOST("2") "," BEHIND("1") "]");
	assert_int_equal(w->toy.applies, 1);
	/* Not as it was made: then it is shown, though nobody knows how it is. */
	w->toy.shut = KC_EAUTH; /* nor does one have to be let in */
	plan_ok(w, "[" SHUT_HOST("3") "," BEHIND("2") "]");
	expect(w, "g", "create");
	/* What turns out to be amiss was in no plan: it is said, not changed. */
	cloud = toy_load(w->toy.path);
	json_object_foreach(json_object_get(cloud, "objects"), oid, o)
		if (streq(kc_json_get_str(o, "task", ""), "g"))
			json_object_set_new(json_object_get(o, "attrs"), "n", json_integer(7));
	assert_int_equal(json_dump_file(cloud, w->toy.path, 0), 0);
	plan_ok(w, "[" SHUT_HOST("3") "," BEHIND("1") "]");
	expect(w, "g", "keep");
	w->toy.applies = 0;
	assert_int_equal(kc_plan_apply(&w->e, w->plan, &w->err), KC_ECONFLICT);
	assert_non_null(strstr(w->err.msg, "g is not as it should be, either"));
	assert_int_equal(w->toy.applies, 1);
	plan_ok(w, "[" SHUT_HOST("3") "," BEHIND("1") "]");
	expect(w, "g", "update");
	world_free(w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rev_without_mode),
		cmocka_unit_test(test_hidden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
