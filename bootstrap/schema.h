/*
 * The Cluster manifest: its table, its defaults and what must hold between
 * its fields.
 *
 *	file --kc_cluster_load---> the one Cluster document, checked and defaulted
 *	json --kc_cluster_check--> the same for a document made from flags
 *
 * Everything wrong is reported at once, a line each, "file:line:column: path:
 * why, what to do" (without a file: "path: why"). Results are the caller's;
 * nothing here does I/O. All errors are KC_EINVAL: no retry helps.
 */
#ifndef KC_BOOTSTRAP_SCHEMA_H
#define KC_BOOTSTRAP_SCHEMA_H

#include <jansson.h>
#include <stddef.h>

#include "clouds/cloud.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/spec/spec.h"

#define KC_API_VERSION "kubecdn.io/v1alpha1"

/* What this program was built with. NULL, or a NULL member, means the default. */
struct kc_cluster_limits {
	const char *const *versions; /* of Kubernetes, the default one first; NULL: 1.37.2 */
	const char *const *addons;   /* NULL: coredns, flannel */
	/* Those of this build, NULL-terminated: others, and what a cloud does not act on, are
	 * refused. NULL: all that the schema names, with every field. */
	const struct kc_cloud *const *clouds;
};

extern const struct kc_spec_kind kc_cluster_kind;
/* All kinds with a table, NULL-terminated: for explain and --json-schema. */
extern const struct kc_spec_kind *const kc_kinds[];

/*
 * Check the one Cluster document in a YAML stream. errors (may be NULL) gets all errors, a line
 * each; err gets the first one and how many more there are.
 */
int kc_cluster_load(const char *file, const char *text, size_t len,
		    const struct kc_cluster_limits *limits, json_t **ret_cluster,
		    struct kc_buf *errors, struct kc_err *err);

/* The same for a document that was made from flags or read from the store. */
int kc_cluster_check(const json_t *cluster, const struct kc_cluster_limits *limits,
		     json_t **ret_cluster, struct kc_buf *errors, struct kc_err *err);

/* Where a document was read from, for positions in errors. */
struct kc_cluster_source {
	const char *file, *text;
	size_t len;
};

/* May a cluster (defaulted documents) become the other? Errors name what is fixed; with source
 * (NULL: made from flags), where the new document says otherwise. */
int kc_cluster_check_update(const struct kc_cluster_source *source, const json_t *old,
			    const json_t *new, struct kc_buf *errors, struct kc_err *err);
/* Is this the cluster of this name? */
int kc_cluster_check_name(const struct kc_cluster_source *source, const json_t *cluster,
			  const char *name, struct kc_buf *errors, struct kc_err *err);

#endif
