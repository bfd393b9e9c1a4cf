/* cluster why's archive for those who are asked for help. */
#ifndef KC_CLI_WHY_H
#define KC_CLI_WHY_H

#include <jansson.h>

#include "lib/base/err.h"

/*
 * Write result (kc_cluster_why()) and cluster (kc_cluster_get()), both without secrets, to a tar at
 * path (0600): why/why.json, why/cluster.json, why/version.json, why/logs/NODE/UNIT.log.
 */
int kc_why_bundle(const char *path, const json_t *result, const json_t *cluster,
		  struct kc_err *err);

#endif
