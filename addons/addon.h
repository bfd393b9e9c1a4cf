/*
 * Addons: Kubernetes manifests that come with every cluster.
 *
 * A folder an addon, its manifest embedded in the program. A manifest is plain
 * YAML in which values may be {$fact: name}, {$cat: […]} or {$json: …}
 * (lib/plan/resolve.h) and images are named "bundle:NAME"; the renderer puts
 * the bundle's reference there. Each object becomes one task of kind kube/object.
 *
 *	manifest --parse--> objects --facts, images--> tasks "kube/<kind>/<namespace>/<name>"
 */
#ifndef KC_ADDONS_ADDON_H
#define KC_ADDONS_ADDON_H

#include <jansson.h>

#include "lib/base/err.h"

struct kc_addon_env {
	const json_t *facts;  /* {"podCIDR", "clusterDNS", "clusterDomain"} */
	const json_t *images; /* the bundle's "images" */
	const char *within;   /* the task the objects die with ("node/cp1") */
	const json_t *after;  /* ids (array of strings) that every object waits for */
};

/* Append the addon's tasks to tasks. An unknown name is KC_ENOTFOUND. */
int kc_addon_tasks(const char *name, const struct kc_addon_env *env, json_t *tasks,
		   struct kc_err *err);

#endif
