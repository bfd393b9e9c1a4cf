/*
 * Which of several replicas may act: a Lease (coordination.k8s.io/v1), as client-go elects leaders.
 *
 *	kc_lease_try, every KC_LEASE_RETRY_MS --> kc_lease_held? --> act
 *
 * A holder that was not seen to renew for KC_LEASE_S by the clock of whoever looks (clocks are not
 * compared, only change is seen) may be replaced; every write is a compare-and-swap on the Lease's
 * resourceVersion, so one wins. Who holds it believes so for KC_LEASE_DEADLINE_MS from when its
 *last successful renewal was sent, which is sooner than anybody else may take it.
 *
 * One thread calls kc_lease_try and kc_lease_release; kc_lease_held from any.
 */
#ifndef KC_OBJECTS_LEASE_H
#define KC_OBJECTS_LEASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/net/kube.h"

enum { KC_LEASE_S = 15, KC_LEASE_DEADLINE_MS = 10000, KC_LEASE_RETRY_MS = 5000 };

/* Zeroed but for the first three, which are borrowed. */
struct kc_lease {
	const char *namespace, *name, *identity;
	char *holder;  /* as last seen; NULL: nobody. Owned */
	char *version; /* resourceVersion that was last seen, owned */
	int64_t seen;  /* when that was new, kc_boottime_ms() */
	int64_t seconds, transitions;
	atomic_int_least64_t until; /* held until then; 0: not */
};
void kc_lease_done(struct kc_lease *l);
#define _cleanup_lease_ _cleanup_(kc_lease_done)

/* Renew it, or take it if it is free. 0 also if another holds it: ask kc_lease_held(). */
int kc_lease_try(struct kc_lease *l, struct kc_kube *k, struct kc_err *err);
bool kc_lease_held(const struct kc_lease *l);
/* Let the next one take it at once. */
int kc_lease_release(struct kc_lease *l, struct kc_kube *k, struct kc_err *err);

#endif
