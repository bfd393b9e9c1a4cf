/* Between publish.c (reading, the plan) and publish_apply.c (changing). */
#ifndef KC_DNS_PUBLISH_PRIV_H
#define KC_DNS_PUBLISH_PRIV_H

#include <stdbool.h>

#include "dns/publish.h"

struct copy {
	const struct kc_dns_backend *backend;
	void *conn;
	json_t *before, *wanted; /* rrsets as they were read, and as they are to be; or NULL */
	struct kc_err why;	 /* it cannot be changed, if its code is not 0 */
};

struct kc_publish {
	const json_t *policy;		      /* borrowed */
	const struct kc_publish_claim *claim; /* borrowed, or NULL */
	bool adopt;
	json_t *which, *notes, *plan;
	long within_ms;
	struct copy *copies;
	size_t n;
};

/* Read a copy anew: before and wanted. */
int publish_read(struct kc_publish *p, struct copy *c, struct kc_err *err);
/* Are all rrsets that matter the same in two lists? */
bool publish_same(const struct kc_publish *p, const json_t *a, const json_t *b);
/* The rrset of {"name", "type"}; borrowed, or NULL. */
json_t *publish_find(const json_t *rrsets, const json_t *one);

#endif
