/* Between route53.c (the connection), route53_lower.c (records of an IR) and route53_checks.c. */
#ifndef KC_DNS_ROUTE53_H
#define KC_DNS_ROUTE53_H

#include <jansson.h>

#include "clouds/aws/route53.h"
#include "dns/ir.h"

/*
 * A routed rrset is {"name", "type", "items": [{"set", "ttl", "data", "alias": {"name",
 * "evaluate"}, "region", "weight", "multi", "continent", "country", "health"}]}: an item a record
 * of Route 53's, as kc_route53_rrsets() has it, but that "health" is the check's configuration and
 * not its id. One alias that is not routed is {"name", "type", "alias"}.
 */

extern const struct kc_dns_traits r53_traits;

int r53_lower(const json_t *publish, const json_t *ir, json_t *rrsets, json_t *fidelity,
	      struct kc_err *err);

json_t *r53_raise(const json_t *rrsets, const char *name, const char *type);

/* Items by their set, in place. */
void r53_sort(json_t *items);

/* The health checks of one name and owner. Zero-initialise. */
struct r53_checks {
	struct kc_aws *aws;
	char *prefix;	 /* of their CallerReference */
	json_t *by_id;	 /* {id: configuration} of all of ours, as last read; NULL: not yet */
	json_t *retired; /* {id: time} of those that are tagged as not in use any more */
};
void r53_checks_done(struct r53_checks *c);
/* The configuration of a check; one that is not ours is {"id"}. Borrowed. */
int r53_check_config(struct r53_checks *c, const char *id, const json_t **ret, struct kc_err *err);
/* The id of a check with this configuration, made if there is none. Owned. */
int r53_check_id(struct r53_checks *c, const json_t *config, char **ret, struct kc_err *err);
/* Of ours, those that no rrset uses are tagged, and deleted when they have been for long; all: at
 * once, for the name is given up. */
int r53_checks_sweep(struct r53_checks *c, const json_t *rrsets, bool all, struct kc_err *err);

#endif
