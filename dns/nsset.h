/*
 * Which name servers a zone with copies at several providers is delegated to.
 *
 * A zone that is to outlive a provider has servers of all of them in its parent and, the same, at
 * the apex of every copy. Providers limit that: Cloud DNS takes eight names, Azure's own four
 * cannot be taken out. The solver gives every copy what its providers insist on, at least one, and
 * then as evenly as can be what is left.
 *
 * Sources: Cloud DNS quotas (resource records per NS rrset); Azure DNS, "You can't modify the
 * prepopulated NS records, you can add others".
 */
#ifndef KC_DNS_NSSET_H
#define KC_DNS_NSSET_H

#include <jansson.h>

#include "lib/base/err.h"

/*
 * copies: [{"provider", "offered": ["ns1.example.net.", …], "fixed": true, "most": 8, "want": 2}]:
 * fixed: all of them stay; most: names that this provider takes in one NS rrset, 0 for any number;
 * want: from this copy, 0 for whatever is best; shared: its servers are another copy's, too, and
 * there may be none beside those. ret: [names], sorted. KC_EINVAL says what is too
 * much or missing, and what to do.
 */
int kc_nsset_solve(const json_t *copies, json_t **ret, struct kc_err *err);

#endif
