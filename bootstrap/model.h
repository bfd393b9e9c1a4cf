/*
 * The graph of a cluster: from its document to the engine's tasks. Pure.
 *
 *   secret/NAME  ->  [cloud's machines]  ->  node/NAME  ->  kube/api  ->  kube/node/NAME, addons
 *
 * Everything below kube/ lives "within" the first control plane: when that goes,
 * so do they, and nobody asks a dying API server to delete them one by one.
 */
#ifndef KC_BOOTSTRAP_MODEL_H
#define KC_BOOTSTRAP_MODEL_H

#include <jansson.h>

#include "clouds/cloud.h"
#include "lib/base/err.h"

struct kc_model_env {
	const struct kc_cloud *cloud;
	struct kc_cloud_env cloud_env;
	const json_t *cluster; /* validated and defaulted */
	const json_t *bundle;  /* bundle.json */
	const json_t *agent;   /* blob entry of kubecdn-node */
};

/* tasks: the graph; specs: {sha256: NodeSpec}. */
int kc_cluster_model(const struct kc_model_env *env, json_t **ret_tasks, json_t **ret_specs,
		     struct kc_err *err);

#endif
