/*
 * A kind of resource: one const struct, a handful of calls.
 *
 * A task is data, {id, kind, want, after[], limit, within, mode, via}; the
 * engine looks its kind up by name among the providers it was given. The same
 * engine runs in the CLI against clouds and hosts, and in the node agent
 * against its own host. See lib/plan/plan.h for the flow.
 *
 * Kinds may be called from several threads at once (never twice at a time for
 * one task); what they are given is borrowed and must not be kept.
 */
#ifndef KC_PLAN_KIND_H
#define KC_PLAN_KIND_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/plan/limits.h"

/* What a kind sees of a task. want has its references resolved; it is never changed by find. */
struct kc_task {
	const char *id; /* "local/machine/w1" */
	/* In a plan without what is not known yet (or with what was applied there last). Once the
	 * task left the graph: the want of its last apply; NULL if that is not recorded, or if only
	 * list knows of it. */
	const json_t *want;
	const json_t *via;   /* how to reach it, as recorded; or NULL */
	const json_t *known; /* outputs of the last apply, from the record, or list's; or NULL */
	const char *owner;   /* the cluster's uid */
	/*
	 * Deterministic client token, 32 hex digits: the same over retries and crashes, another one
	 * after a replace or a removal. Kinds that create first have two incarnations for a while:
	 * their find, apply and remove act on the one that this token names.
	 */
	const char *token;
	/* It is to go for good. find: absent only when nothing is left of it, not half of it
	 * either. */
	bool leaving;
	bool again; /* its like was made before and is gone since: known is NULL then */
	uint64_t fence;
	/* Tell what a long apply is doing ("uploading 37 MB"); or hand through a nested task's
	 * event. */
	void (*progress)(const struct kc_task *task, const json_t *event);
	/* True once the user asked to stop: long waits return KC_ECANCELED. */
	bool (*canceled)(const struct kc_task *task);
	void *engine; /* the engine's own */
};

enum kc_replace { KC_DESTROY_FIRST, KC_CREATE_FIRST };

struct kc_kind {
	const char *name;	      /* "aws/vpc" */
	const char *const *immutable; /* keys of want whose change means replace */
	const char *const *sensitive; /* keys that no text may show */
	const char *const *sets;      /* lists whose order means nothing */
	const char *const *news;      /* keys of actual that are not worth recording */
	/* Keys of want that the output "rev" follows, when others do not touch it; NULL: any may.
	 */
	const char *const *rev;
	enum kc_replace replace; /* destroy first, or create first */
	/*
	 * find's actual is {"plan": [child entries], …}: the resource runs this engine itself. The
	 * children decide the action (any but keep: update, or create when the record does not know
	 * it yet) and are shown nested; there is no diff.
	 */
	bool nested;

	bool brief; /* list says less than find, and is never asked in find's place */

	/*
	 * All of this kind that carry owner's mark: {task id: actual}, or a list of actuals where
	 * there are several incarnations; kinds that create first add the client "token" to each.
	 * A plan asks it once instead of every task's find, and a delete also for what no record
	 * knows. So what it names, find and remove find by id, owner and token, without want; and
	 * it does not name what find says is gone. Optional.
	 */
	int (*list)(void *ctx, const char *owner, json_t **ret_by_id, struct kc_err *err);
	/* Leave *ret_actual NULL when it does not exist. A malformed reply is an error. */
	int (*find)(void *ctx, const struct kc_task *task, json_t **ret_actual, struct kc_err *err);
	/*
	 * Create (actual == NULL) or update. Must be safe to repeat after a lost reply. changes is
	 * [{path, from?, to?}]; without "to" the key is to go. KC_EAGAIN (throttled, or it takes
	 * long): find and apply again later. Nested kinds get the plan's actual.
	 */
	int (*apply)(void *ctx, const struct kc_task *task, const json_t *actual,
		     const json_t *changes, json_t **ret_actual, struct kc_err *err);
	/* 0: dependents may start. KC_EAGAIN: not yet. Optional. */
	int (*ready)(void *ctx, const struct kc_task *task, const json_t *actual,
		     struct kc_err *err);
	/* Removing what is gone is success. KC_EAGAIN: going; asked again until find says absent.
	 */
	int (*remove)(void *ctx, const struct kc_task *task, const json_t *actual,
		      struct kc_err *err);
	/* Make both sides comparable in place (copies the engine made). Optional. */
	void (*normalize)(json_t *want, json_t *actual);
};

/* Who runs kinds: a cloud, the hosts' SSH, the cluster's API, this host. */
struct kc_provider {
	const char *name; /* "ssh", "aws", "host" */
	/* NULL-terminated. What stands on something else comes after it: of things that no record
	 * knows, those of later kinds are removed first. */
	const struct kc_kind *const *kinds;
	void *ctx;			/* thread-safe */
	const struct kc_limits *limits; /* its row of lib/plan/limits.c; or NULL */
};

#endif
