/*
 * The TrafficPolicy manifest, and what it makes of a DNS name.
 *
 *	file --kc_policy_load--> checked, defaulted document
 *	document --kc_policy_lower--> the rrsets that a copy of the zone is to have (pure)
 *
 * Errors are as those of a Cluster: everything wrong at once, "file:line:column: path: why, what
 * to do". rrsets are those of lib/net/dns.h. Results are the caller's.
 */
#ifndef KC_DNS_POLICY_H
#define KC_DNS_POLICY_H

#include <jansson.h>

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
/* The TXT rrset there. New reference. */
json_t *kc_policy_mark(const json_t *policy);
/* The owner in the data of a mark, or NULL: it is none of ours. Owned. */
char *kc_policy_mark_owner(const char *data);

/*
 * As plain records: A and AAAA of all endpoints that are not drained, and the mark. For servers
 * that cannot choose; clients do. notes (an array) gets what that loses, a sentence each.
 */
json_t *kc_policy_lower(const json_t *policy, json_t *notes);

#endif
