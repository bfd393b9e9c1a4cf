/*
 * Between azure.c (the connection, reading), azure_change.c (changing), azure_tree.c (profiles of
 * Traffic Manager as values) and azure_lower.c (an IR as such).
 *
 * An rrset that Azure chooses from is {"name", "type", "profile": tree}; an alias of something that
 * is not ours {"name", "type", "alias": id}. A tree:
 *
 *	{"method": "Performance" | "Weighted" | "MultiValue" | "Geographic", "ttl", "most",
 *	 "monitor": {"protocol", "port", "path", "host", "expect", "interval", "timeout",
 *	             "tolerated"},
 *	 "endpoints": [{"target": address | "profile": tree, "location", "weight", "geo",
 *"always"}]}
 *
 * with what its method looks at and no more; endpoints are by label, and one that has another name
 * at Azure has it as "named". Names of profiles follow from where a tree stands, so that who
 * compiles the same policy makes the same profiles. What Azure says otherwise ("disabled",
 * "resource": an endpoint that is none of these) is kept, so that it is another value.
 *
 * A profile is {"method", ..., "endpoints"} alone, too: then endpoints have "name", and "nested" is
 * the name of the profile that one leads to.
 */
#ifndef KC_DNS_AZURE_H
#define KC_DNS_AZURE_H

#include <jansson.h>
#include <stdbool.h>

#include "clouds/azure/dns_api.h"
#include "dns/ir.h"

extern const struct kc_dns_traits az_traits;

int az_lower(const json_t *publish, const json_t *ir, json_t *rrsets, json_t *fidelity,
	     struct kc_err *err);
json_t *az_raise(const json_t *rrsets, const char *name, const char *type);

/* --- trees */

/* A new endpoint in its place. */
void az_endpoint_add(json_t *endpoints, json_t *endpoint);
/* All profiles of a tree, what is led to before what leads there: [{"name", "profile"}]. */
json_t *az_profiles(const json_t *tree, const char *name);
/* A tree for a moment, without any tree below it: all that it can answer, near ones to the near,
 * and no fence left. New reference. */
json_t *az_flat(const json_t *tree);
/* Azure's profile, as ours. */
int az_profile_read(const json_t *raw, json_t **ret, struct kc_err *err);
/* The tree at a name, of {name: Azure's profile}. */
int az_tree_read(const json_t *raws, const char *name, json_t **ret, struct kc_err *err);
/* And back, for a PUT; prefix: of ids of profiles. */
json_t *az_profile_body(const json_t *profile, const char *name, const char *prefix,
			const json_t *tags);
json_t *az_endpoint_body(const json_t *endpoint, const char *prefix);

/* --- the connection */

struct az_conn {
	struct kc_azure *azure;
	struct kc_azure_place at;
	char *subscription, *group, *zone, *owner, *where;
	char *prefix; /* of the ids of profiles */
	bool seen;    /* the zone is there */
};

/* What stands there, by "TYPE name" and by a profile's name in lower case, as Azure has it. */
struct az_state {
	json_t *sets, *profiles; /* profiles: NULL: not asked for */
	json_t *rrsets;
};
void az_state_done(struct az_state *s);
/* profiles: all of them, whether or not a record leads to one. */
int az_load(struct az_conn *c, const json_t *which, bool profiles, struct az_state *ret,
	    struct kc_err *err);
/* "TYPE name"; owned. */
char *az_key(const char *type, const char *name);
/* "www.example.com." as "www"; owned. */
char *az_relative(const struct az_conn *c, const char *name);
/* Of the tree of a name and type; owned. */
char *az_profile_name(const struct az_conn *c, const char *name, const char *type);
json_t *az_tags(const struct az_conn *c, const char *name);
/* Does a profile of Azure's have them? */
bool az_is_ours(const struct az_conn *c, const json_t *raw, const char *name);
/* The record set's "properties" for an rrset. */
json_t *az_properties(const struct az_conn *c, const json_t *rrset);

/* Metadata of the mark: which change wrote it last. */
#define AZ_CHANGE "kubecdn-change"
int az_change(void *conn, const json_t *which, const json_t *before, const json_t *after,
	      struct kc_err *err);

/* --- profiles of the name that is steered */

/* {name in lower case: Azure's profile}: all of the resource group. */
int az_load_profiles(struct az_conn *c, json_t **ret, struct kc_err *err);
/* KC_EFAIL: one of a tree's profiles is there, and not ours. */
int az_check_ours(const struct az_conn *c, const json_t *profiles, const char *name,
		  const json_t *list, struct kc_err *err);
/* Make or change one of az_profiles(); profiles is kept up to date. */
int az_ensure(struct az_conn *c, json_t *profiles, const char *name, const json_t *one,
	      struct kc_err *err);
/* Of ours, those that no tree of keep ({name: true}) has are tagged, and deleted when they have
 * been for long and alone() still is 0; at once if the name is gone. */
int az_sweep(struct az_conn *c, const char *name, const json_t *keep, bool gone,
	     int (*alone)(void *cookie, struct kc_err *err), void *cookie, struct kc_err *err);

#endif
