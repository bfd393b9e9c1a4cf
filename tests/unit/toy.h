/*
 * A toy cloud for the engine's tests: a file that survives kill -9.
 *
 *	toy/thing   destroy first; immutable "zone" and "on"; sets "tags"; sensitive "password"
 *	toy/front   create first; immutable "zone"; found by token
 *	toy/host    what lies on it ("host": its name) dies with it
 *	toy/file    reports "rev", which is not in want
 *	toy/nested  runs a plan of its own: want {"plan": [ … ]}
 *
 * Every object gets a number ("oid"). "slow": N in want makes it N polls until
 * ready, and N polls until gone; "fades": N makes a removal be accepted only, and
 * the thing gone N looks later; "flaky" makes it and answers KC_EAGAIN. "meet": N makes
 * apply wait until N are at it. "quorum": N says how many such things must stay while one is
 *removed. The cloud writes down what must never happen (a duplicate, a removal of what is in use, a
 *token that stood for something dead) in "violations".
 */
#ifndef KC_TESTS_TOY_H
#define KC_TESTS_TOY_H

#include "lib/plan/plan.h"
#include "lib/store/store.h"

struct toy {
	const char *path;
	/* Called before and after every change, with its name; crash tests end the process there.
	 */
	void (*point)(const char *where);
	atomic_int finds, lists, applies, removes;
	int fail_apply;	       /* KC_E* for tasks whose want has "fails": true */
	bool refuses;	       /* what is in use is not removed, "again" */
	const char *list_says; /* instead of what there is */
	int shut; /* KC_E*: nobody can look at what is "behind": true, until a host is applied */
	atomic_int inside, most; /* calls of apply to ready at a time, by "gauge": true */
};

extern const struct kc_kind *const toy_kinds[];
struct kc_provider toy_provider(struct toy *t);
/* The same cloud with list for every kind but toy/nested. */
struct kc_provider toy_marking_provider(struct toy *t);

/* {"objects": {oid: …}, "next": N, "spent": [tokens], "violations": []} */
json_t *toy_load(const char *path);
/* Its objects without numbers, sorted by task: equal clouds give equal text. Owned. */
char *toy_portrait(const char *path);

/* A store around another one that calls point before and after each put. */
struct kc_store *toy_store(struct kc_store *inner, void (*point)(const char *where));

#endif
