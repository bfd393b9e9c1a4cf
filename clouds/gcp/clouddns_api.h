/*
 * Thin calls of Cloud DNS (dns/v1) and of the global health checks (compute/v1) that its routing
 * policies use. Values are Google's JSON as it is, checked where a caller relies on it; errors are
 * gcp.h's. project, zone and names are plain text. Results are owned.
 *
 *	rrset: {"name", "type", "ttl", "rrdatas": [...] or "routingPolicy": {...}}
 */
#ifndef KC_CLOUDS_GCP_CLOUDDNS_API_H
#define KC_CLOUDS_GCP_CLOUDDNS_API_H

#include "clouds/gcp/gcp.h"

/* {"name", "dnsName": "example.com.", "nameServers": [...], "dnssecConfig": {"state": ...}?, ...}
 */
int kc_clouddns_zone(struct kc_gcp *g, const char *project, const char *zone, json_t **ret,
		     struct kc_err *err);
/* The project's "quota": {"rrsetAdditionsPerChange": 1000, "itemsPerRoutingPolicy": ..., ...} */
int kc_clouddns_quota(struct kc_gcp *g, const char *project, json_t **ret, struct kc_err *err);
/* name (with its dot) and type may be NULL; a type needs a name. An array of rrsets. */
int kc_clouddns_rrsets(struct kc_gcp *g, const char *project, const char *zone, const char *name,
		       const char *type, json_t **ret, struct kc_err *err);

/*
 * Replace deletions (exactly as they are now) by additions, both or none; either may be empty or
 * NULL. KC_ECONFLICT: a deletion is not there like that any more (412, 404), an addition is (409).
 * A lost reply is looked for among the zone's latest changes before it is sent again, so a success
 * or a conflict is told once; a change that another made with the same content counts as ours.
 * ret: {"id", "status": "pending" or "done", ...}
 */
int kc_clouddns_change(struct kc_gcp *g, const char *project, const char *zone,
		       const json_t *deletions, const json_t *additions, json_t **ret,
		       struct kc_err *err);
int kc_clouddns_change_get(struct kc_gcp *g, const char *project, const char *zone, const char *id,
			   json_t **ret, struct kc_err *err);

/* Those whose name begins with prefix ("" or NULL: all); prefix is [a-z0-9-]. */
int kc_gcp_health_checks(struct kc_gcp *g, const char *project, const char *prefix, json_t **ret,
			 struct kc_err *err);
int kc_gcp_health_check(struct kc_gcp *g, const char *project, const char *name, json_t **ret,
			struct kc_err *err);
/* All three follow the operation to its end. check has its "name". update replaces the whole. */
int kc_gcp_health_check_insert(struct kc_gcp *g, const char *project, const json_t *check,
			       struct kc_err *err);
int kc_gcp_health_check_update(struct kc_gcp *g, const char *project, const json_t *check,
			       struct kc_err *err);
int kc_gcp_health_check_delete(struct kc_gcp *g, const char *project, const char *name,
			       struct kc_err *err);

#endif
