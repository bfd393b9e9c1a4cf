/*
 * What is stored is read by a preview and by a writer, and planned away. What the writer put
 * back says the same when it is read again.
 */
#ifndef KC_TESTS_FUZZ_STATE_H
#define KC_TESTS_FUZZ_STATE_H

#include "lib/base/buf.h"
#include "lib/plan/state.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/kinds.h"
#include "tests/fuzz/mem_store.h"

static inline void plan_away(struct kc_state *state)
{
	static const struct kc_kind thing = { .name = "thing" };
	static const struct kc_kind *const from[] = { &thing, NULL };
	json_auto_t *none = json_array();
	struct fuzz_kinds kinds;
	struct kc_engine e = { .owner = "uid", .state = state };

	fuzz_kinds_init(&kinds, from);
	e.providers = kinds.providers;
	fuzz_plan(&e, none);
}

static inline void read_state(const char *key, const uint8_t *data, size_t size)
{
	struct mem_store m = { .base = { .type = &mem_type, .url = (char *)"mem" } };
	json_auto_t *wrote = NULL, *read = NULL;
	struct kc_state *s = NULL;
	struct kc_err err = { 0 };
	char etag[KC_STORE_ETAG];
	int r;

	mem_put(&m.base, key, data, size, NULL, etag, NULL);
	for (uint64_t fence = 0; fence < 8; fence += 7) {
		r = kc_state_open(&m.base, "s", "uid", fence, &s, &err);
		if (failed(r, &err))
			break;
		if (!wrote)
			plan_away(s);
		json_decref(wrote);
		wrote = kc_state_copy(s);
		kc_state_close(s);
		s = NULL;
	}
	if (r == 0 && kc_state_open(&m.base, "s", "uid", 0, &s, &err) == 0) {
		read = kc_state_copy(s);
		must(json_equal(wrote, read));
		kc_state_close(s);
	}
	mem_store_done(&m);
}

#endif
