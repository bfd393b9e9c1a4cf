/*
 * Whose host this is: KC_NODE_MARKER {uid, cluster, fence}, and the lock that
 * apply and reset hold. Another uid is refused, and so is a lower fence.
 */
#ifndef KC_NODE_MARKER_H
#define KC_NODE_MARKER_H

#include <jansson.h>
#include <stdint.h>

#include "lib/base/err.h"

/* *ret stays NULL when nobody has marked this host. */
int kc_marker_read(json_t **ret, struct kc_err *err);
/* May (uid, fence) work here? KC_ECONFLICT: another cluster's host; KC_ECANCELED: a newer operator
 * was here. An unmarked host is free. */
int kc_marker_check(const char *uid, uint64_t fence, struct kc_err *err);
/* Check, then write the marker if it says something else. */
int kc_marker_claim(const char *uid, const char *cluster, uint64_t fence, struct kc_err *err);

#endif
