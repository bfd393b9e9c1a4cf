/*
 * For harnesses over graphs: the kinds of a table, but nothing is there, so that no
 * input reaches the machine that the harness runs on.
 */
#ifndef KC_TESTS_FUZZ_KINDS_H
#define KC_TESTS_FUZZ_KINDS_H

#include "lib/plan/plan.h"

enum { FUZZ_KINDS = 16 };

struct fuzz_kinds {
	struct kc_kind kind[FUZZ_KINDS];
	const struct kc_kind *list[FUZZ_KINDS + 1];
	struct kc_provider provider;
	const struct kc_provider *providers[2];
};

static inline int find_nothing(void *ctx, const struct kc_task *task, json_t **ret,
			       struct kc_err *err)
{
	return 0;
}

static inline void fuzz_kinds_init(struct fuzz_kinds *k, const struct kc_kind *const *from)
{
	size_t n = 0;

	for (; from[n] && n < FUZZ_KINDS; n++) {
		k->kind[n] = *from[n];
		k->kind[n].find = find_nothing;
		k->kind[n].list = NULL;
		k->list[n] = &k->kind[n];
	}
	k->list[n] = NULL;
	k->provider = (struct kc_provider){ .name = "fuzz", .kinds = k->list };
	k->providers[0] = &k->provider;
	k->providers[1] = NULL;
}

/* Plan over tasks: an error has text, a plan has a hash and can be shown. */
static inline void fuzz_plan(struct kc_engine *e, const json_t *tasks)
{
	_cleanup_buf_ struct kc_buf text = { 0 };
	_cleanup_plan_ struct kc_plan *plan = NULL;
	struct kc_err err = { 0 };
	char hash[65];

	e->threads = 1;
	if (failed(kc_plan_make(e, tasks, &plan, &err), &err))
		return;
	kc_plan_hash(plan, hash);
	kc_plan_text(kc_plan_json(plan), false, &text);
	must(strlen(hash) == 64 && text.len > 0);
}

#endif
