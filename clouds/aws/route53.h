/*
 * Route 53's calls, thin and typed (API version 2013-04-01).
 *
 *	kc_aws_open("route53") -> kc_route53_*() -> JSON in our words
 *
 * An rrset is {"name": "*.example.com.", "type", "ttl"?, "data"?: [sorted], "set"?, "region"?,
 * "weight"?, "failover"?: "PRIMARY"|"SECONDARY", "multi"?: true, "continent"?, "country"?,
 * "alias"?: {"zone", "name", "evaluate"}, "health"?: ID}: names absolute and in lower case, "*" as
 *itself. One that is routed in a way we never write (a country's part, CIDR, traffic policy, …) has
 *"other": its elements; it can be seen but not changed. Zone and change ids are without
 *"/hostedzone/" and "/change/". Health check configurations keep Route 53's own names
 *(HealthCheckConfig).
 *
 * Errors are kc_aws_do()'s; struct kc_aws_error tells codes apart and may be NULL. Malformed
 * replies are KC_EFAIL or KC_EINVAL, never absence.
 */
#ifndef KC_CLOUDS_AWS_ROUTE53_H
#define KC_CLOUDS_AWS_ROUTE53_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "clouds/aws/aws.h"

/* All rrsets of a zone; with name, those of it and of all below it. An array, in the zone's order.
 */
int kc_route53_rrsets(struct kc_aws *a, const char *zone, const char *name, json_t **ret,
		      struct kc_err *err);

/* Those of the name alone. */
int kc_route53_rrsets_at(struct kc_aws *a, const char *zone, const char *name, json_t **ret,
			 struct kc_err *err);

/*
 * One batch, all or nothing: [{"action": "CREATE"|"DELETE", "rrset": …}] in this order. A DELETE
 * must repeat what is there (as read), so DELETE and CREATE of one rrset are compare-and-swap, and
 * a CREATE alone claims what is absent: KC_ECONFLICT (InvalidChangeBatch, with Route 53's
 * messages) if not so. KC_EAGAIN: it may have happened, look. ret_change: its id.
 */
int kc_route53_change(struct kc_aws *a, const char *zone, const char *comment,
		      const json_t *changes, char **ret_change, struct kc_aws_error *error,
		      struct kc_err *err);
/* 0: all of the zone's servers have it. KC_EAGAIN: not yet. */
int kc_route53_change_done(struct kc_aws *a, const char *change, struct kc_err *err);

/* The public zone of that name. KC_ENOTFOUND; KC_ECONFLICT: there are several. */
int kc_route53_zone_find(struct kc_aws *a, const char *name, char **ret_zone, struct kc_err *err);
/* {"id", "name", "private", "ns": [sorted, absolute]}. */
int kc_route53_zone(struct kc_aws *a, const char *zone, json_t **ret, struct kc_err *err);

/*
 * A health check is {"id", "reference", "version", "config": {"Type", "Port", …}}. Creating one
 * again with the same reference and config gives the one that is there; another config is
 * KC_ECONFLICT.
 */
int kc_route53_health_create(struct kc_aws *a, const char *reference, const json_t *config,
			     json_t **ret, struct kc_err *err);
int kc_route53_health_get(struct kc_aws *a, const char *id, json_t **ret, struct kc_err *err);
int kc_route53_health_list(struct kc_aws *a, json_t **ret, struct kc_err *err);
/* Sets what config has, if the check is still at this version (else KC_ECONFLICT). Type,
 * RequestInterval and MeasureLatency never change, so config must not have them. */
int kc_route53_health_update(struct kc_aws *a, const char *id, int64_t version,
			     const json_t *config, json_t **ret, struct kc_err *err);
int kc_route53_health_delete(struct kc_aws *a, const char *id, struct kc_err *err);
/* {key: value}; other tags stay. */
int kc_route53_health_tag(struct kc_aws *a, const char *id, const json_t *tags, struct kc_err *err);
/* {id: {key: value}} of an array of ids. */
int kc_route53_health_tags(struct kc_aws *a, const json_t *ids, json_t **ret, struct kc_err *err);

/* What Route 53 says it would answer a resolver, or (with subnet, an address) one that sends its
 * first bits along: {"rcode": "NOERROR", "data": [sorted]}. */
struct kc_route53_question {
	const char *zone, *name, *type;
	const char *resolver; /* or NULL */
	const char *subnet;   /* or NULL */
	int bits;
};
int kc_route53_test(struct kc_aws *a, const struct kc_route53_question *q, json_t **ret,
		    struct kc_err *err);

#endif
