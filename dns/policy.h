/*
 * The TrafficPolicy manifest, and what it makes of a DNS name.
 *
 *	file --kc_policy_load--> checked, defaulted document
 *	document --kc_policy_which--> what has to be read at a copy of the zone
 *	what was read --kc_policy_claims--> the claims of regions that count
 *	document + claims --kc_ir_make (ir.h), a back end's lower()--> the rrsets it is to have
 *
 * All but the first are pure functions: whoever compiles the same policy and claims gets the same
 * bytes.
 *
 * Errors are as those of a Cluster: everything wrong at once, "file:line:column: path: why, what
 * to do". rrsets are those of lib/net/dns.h. Results are the caller's.
 */
#ifndef KC_DNS_POLICY_H
#define KC_DNS_POLICY_H

#include <jansson.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/spec/spec.h"

extern const struct kc_spec_kind kc_traffic_kind;

/* The one TrafficPolicy in a YAML stream. errors (may be NULL) gets a line each. */
int kc_policy_load(const char *file, const char *text, size_t len, json_t **ret_policy,
		   struct kc_buf *errors, struct kc_err *err);

/* "www.example.com." */
char *kc_policy_name(const json_t *policy);
/* Where the mark of the records' owner stands: "_kc.www.example.com.". Owned. */
char *kc_policy_mark_name(const json_t *policy);
/* The owner in the data of a mark, or NULL: it is none of ours. Owned. */
char *kc_policy_mark_owner(const char *data);
/* Since when the name is to go (seconds since 1970), or 0: it is not. */
int64_t kc_policy_mark_since(const char *data);

/* [{"name", "type"}] of all that a change depends on, in the order in which it is to be read; types
 * (NULL-terminated) are those at the name itself. */
json_t *kc_policy_which(const json_t *policy, const char *const *types);
/*
 * {region: {"epoch", "addresses", "down"?}} of the claims among rrsets that are signed by their
 * region's key for this name and owner. notes (an array) gets a sentence on each of the others,
 * which count for nothing.
 */
json_t *kc_policy_claims(const json_t *policy, const json_t *rrsets, json_t *notes);
/*
 * The claims without those of regions that are down as a quorum of the others says
 * (spec.failover.quorum; more than half of all others, and at least two, when absent): what is
 * answered by servers that check nothing themselves. All of them if nothing would be left. Voices
 * of regions that claim no address do not count; how old a claim is does not matter. New reference.
 */
json_t *kc_policy_up(const json_t *policy, const json_t *claims, json_t *notes);
/* The mark of the policy's owner, an rrset; since: as above. New reference. */
json_t *kc_policy_mark(const json_t *policy, int64_t since);

#endif
