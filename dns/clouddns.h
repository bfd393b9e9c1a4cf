/* Between clouddns.c (the connection), clouddns_lower.c (records of an IR) and clouddns_checks.c.
 */
#ifndef KC_DNS_CLOUDDNS_H
#define KC_DNS_CLOUDDNS_H

#include <jansson.h>
#include <stdbool.h>

#include "clouds/gcp/clouddns_api.h"
#include "dns/ir.h"

/*
 * A routed rrset is {"name", "type", "ttl", "policy": {"geo" or "wrr" or "primaryBackup": as the
 * API has it, "check": {"protocol", "port", "path", "host", "interval", "failures"}}}; "check" is
 * what our health check does; one that is not ours is {"url"}. The API's filler (kinds, empty
 * lists, false) is left out and lists are sorted, so that policies which do the same are equal
 * values.
 */

extern const struct kc_dns_traits cdns_traits;

int cdns_lower(const json_t *publish, const json_t *ir, json_t *rrsets, json_t *fidelity,
	       struct kc_err *err);
json_t *cdns_raise(const json_t *rrsets, const char *name, const char *type);
/* A policy in the form above. New reference, never NULL. */
json_t *cdns_canonical(const json_t *policy);
/* What may not be in a zone with DNSSEC. */
int cdns_check_signed(const json_t *rrsets, struct kc_err *err);

/* The health checks of one name and owner. Zero-initialise. */
struct cdns_checks {
	struct kc_gcp *gcp; /* borrowed, as is project */
	const char *project;
	char *prefix; /* of their names */
	char *about;  /* what they are described as */
	json_t *all;  /* {name: resource} of ours as last read; NULL: not yet */
};
void cdns_checks_done(struct cdns_checks *c);
/* "check" of a health check's URL. New reference. */
int cdns_check_of(struct cdns_checks *c, const char *url, json_t **ret, struct kc_err *err);
/* The URL for "check", made if there is none. Owned. */
int cdns_check_url(struct cdns_checks *c, const json_t *check, char **ret, struct kc_err *err);
/* Of ours, those whose URL is not in use are marked, and deleted when they have been for long; all:
 * at once, for the name is given up. */
int cdns_checks_sweep(struct cdns_checks *c, const json_t *used, bool all, struct kc_err *err);

#endif
