/*
 * The fenced lock over a store: one operator a cluster.
 *
 * A lease object {holder, host, bootId, pid, verb, fence, acquired, expires}
 * changed by compare-and-swap and renewed from a thread. Taken over at once
 * when its holder is a dead pid on this host in this boot; otherwise after it
 * expired by the store's clock. Each acquisition has a fence one higher than
 * the last one's; the fence survives release (the object stays, marked free).
 */
#ifndef KC_STORE_LOCK_H
#define KC_STORE_LOCK_H

#include "lib/store/format.h"
#include "lib/store/store.h"

struct kc_lock;
extern const struct kc_format kc_lock_format;

/*
 * Acquire key for verb ("cluster update"). Held by another: KC_ECONFLICT, with who holds it, since
 * when, and `kubecdn cluster unlock NAME --force FENCE`.
 */
int kc_lock_acquire(struct kc_store *s, const char *key, const char *verb, struct kc_lock **ret,
		    struct kc_err *err);
/* The same with another time to live than the default of 30 s; renewed after a third of it. */
int kc_lock_acquire_for(struct kc_store *s, const char *key, const char *verb, long ttl_ms,
			struct kc_lock **ret, struct kc_err *err);
uint64_t kc_lock_fence(const struct kc_lock *l);
/* 0 while the lease is certainly ours (seen in the store within the last second, and by the local
 * clock with a margin); KC_ECONFLICT once it may not be. From any thread. */
int kc_lock_check(struct kc_lock *l, struct kc_err *err);
/* Release (the object stays, with its fence) and free. NULL is accepted. */
void kc_lock_release(struct kc_lock *l);
KC_DEFINE_CLEANUP(struct kc_lock *, kc_lock_release)
#define _cleanup_lock_ _cleanup_(kc_lock_releasep)

/* The lease as JSON, NULL in *ret when nobody holds it. */
int kc_lock_show(struct kc_store *s, const char *key, json_t **ret, struct kc_err *err);
/* Does somebody hold it with this fence who could still be at work: not known to be dead, and not
 * expired? */
int kc_lock_lives(struct kc_store *s, const char *key, uint64_t fence, bool *ret,
		  struct kc_err *err);
/* Take it away from whoever holds it with this fence; another fence is KC_ECONFLICT. */
int kc_lock_break(struct kc_store *s, const char *key, uint64_t fence, struct kc_err *err);

/* After a release: remove the lock's object, unless somebody has acquired it since. For what is
 * gone for good. */
int kc_lock_remove(struct kc_store *s, const char *key, uint64_t fence, struct kc_err *err);

#endif
