/*
 * Thin calls of Azure DNS (2018-05-01) and Traffic Manager (2022-04-01). Values are Azure's JSON as
 * it is, checked where a caller relies on it; errors are azure.h's. Names are plain text, those of
 * record sets relative to their zone ("www", "@"). Results are owned.
 *
 *	record set: {"name", "type", "etag", "properties": {"TTL": 30, "ARecords": [...], ...}}
 *
 * A PUT whose reply was lost is looked for before it is sent again, so it happens once, and a
 * success or a conflict is told once. Deleting what is not there is a success.
 */
#ifndef KC_CLOUDS_AZURE_DNS_API_H
#define KC_CLOUDS_AZURE_DNS_API_H

#include "clouds/azure/azure.h"

struct kc_azure_place {
	const char *subscription, *group;
};

/* {"name", "properties": {"nameServers": [...], "numberOfRecordSets": ..., ...}} */
int kc_azure_zone(struct kc_azure *a, const struct kc_azure_place *at, const char *zone,
		  json_t **ret, struct kc_err *err);
/* suffix: only those whose relative name ends with it; or NULL. */
int kc_azure_rrsets(struct kc_azure *a, const struct kc_azure_place *at, const char *zone,
		    const char *suffix, json_t **ret, struct kc_err *err);
int kc_azure_rrset_get(struct kc_azure *a, const struct kc_azure_place *at, const char *zone,
		       const char *type, const char *name, json_t **ret, struct kc_err *err);
/* etag: the one that is replaced; NULL: there must be none. KC_ECONFLICT: it is otherwise. body is
 * {"properties": ...}. */
int kc_azure_rrset_put(struct kc_azure *a, const struct kc_azure_place *at, const char *zone,
		       const char *type, const char *name, const char *etag, const json_t *body,
		       json_t **ret, struct kc_err *err);
int kc_azure_rrset_delete(struct kc_azure *a, const struct kc_azure_place *at, const char *zone,
			  const char *type, const char *name, const char *etag, struct kc_err *err);

/* Profiles and endpoints have no etag: the last writer wins. only_if_absent sends If-None-Match: *
 * (KC_ECONFLICT: there is one; KC_EAGAIN: it may have happened, look); whether Traffic Manager
 * heeds it is in no document, so look before, too. */
int kc_azure_profile_get(struct kc_azure *a, const struct kc_azure_place *at, const char *name,
			 json_t **ret, struct kc_err *err);
/* All of the resource group. */
int kc_azure_profiles(struct kc_azure *a, const struct kc_azure_place *at, json_t **ret,
		      struct kc_err *err);
int kc_azure_profile_put(struct kc_azure *a, const struct kc_azure_place *at, const char *name,
			 bool only_if_absent, const json_t *body, json_t **ret, struct kc_err *err);
/* Its tags instead of those it has; the rest stays. */
int kc_azure_profile_tag(struct kc_azure *a, const struct kc_azure_place *at, const char *name,
			 const json_t *tags, struct kc_err *err);
int kc_azure_profile_delete(struct kc_azure *a, const struct kc_azure_place *at, const char *name,
			    struct kc_err *err);
/* kind: "ExternalEndpoints", "NestedEndpoints" or "AzureEndpoints". */
int kc_azure_endpoint_put(struct kc_azure *a, const struct kc_azure_place *at, const char *profile,
			  const char *kind, const char *name, const json_t *body, json_t **ret,
			  struct kc_err *err);
int kc_azure_endpoint_delete(struct kc_azure *a, const struct kc_azure_place *at,
			     const char *profile, const char *kind, const char *name,
			     struct kc_err *err);

#endif
