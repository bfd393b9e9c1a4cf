/*
 * A policy as a piece of a zone file (RFC 1035), for servers that nobody here can change: plain
 * records, and the owner's mark. What is lost by that stands in comments.
 */
#ifndef KC_DNS_EXPORT_H
#define KC_DNS_EXPORT_H

#include <jansson.h>

#include "lib/base/err.h"

/* claims: as kc_policy_claims() has them. KC_EINVAL: the policy cannot be said so. Owned text. */
int kc_zone_export(const json_t *policy, const json_t *claims, char **ret, struct kc_err *err);

#endif
