/* What a cluster has in the store, and in which formats (lib/store/format.h). */
#ifndef KC_BOOTSTRAP_FORMATS_H
#define KC_BOOTSTRAP_FORMATS_H

#include "lib/store/format.h"

extern const struct kc_format kc_identity_format; /* cluster.json */
extern const struct kc_format kc_spec_format;	  /* spec.yaml */
extern const struct kc_format kc_secret_format;	  /* pki/, secrets/ */

/* runs/: not of those below. It is history, that a reader migrates in memory or refuses, and that
 * stops nobody from working. */
extern const struct kc_format kc_run_format;

/* All of it below "clusters/NAME". cluster.json stands first: once that is rewritten, an earlier
 * program refuses the cluster before it touches anything. */
extern const struct kc_stored kc_cluster_stored[];

#endif
