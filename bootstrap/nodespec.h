/*
 * The NodeSpec: everything a host of one role must become, as tasks of the node agent.
 *
 * Pure data in, pure data out. A spec is equal, byte for byte, for all nodes of
 * a role: what differs between them is {"$fact": …}, looked up by the agent in
 * the envelope's "node" and then in the host's own facts. Secrets are
 * {"$secret": …}, delivered beside the spec. See bootstrap/node/protocol.h.
 *
 *	cluster + bundle.json + agent --kc_nodespec--> {"format", "checks": […], "tasks": […]}
 *
 * Facts of a node that the spec relies on: name, address, addresses, taints,
 * apiBackends ["IP:6443"], apiLocal ("IP:6443" or ""), and on control planes
 * etcdInitialCluster ["name=https://IP:2380"], apiSANs.
 */
#ifndef KC_BOOTSTRAP_NODESPEC_H
#define KC_BOOTSTRAP_NODESPEC_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/base/err.h"

struct kc_nodespec_env {
	const json_t *cluster; /* the validated, defaulted Cluster document */
	const json_t *bundle;  /* bundle.json */
	const json_t *agent;   /* blob entry of kubecdn-node {sha256, size, mode, blob, blobSize} */
	int control_planes;    /* how many the cluster has */
};

/* role: "control-plane" or "worker". */
int kc_nodespec(const struct kc_nodespec_env *env, const char *role, json_t **ret,
		struct kc_err *err);

/* What must hold before anything is changed on a host of a role (node/checks.h). arch: of the
 * bundle's programs; NULL: any. New reference. */
json_t *kc_nodespec_checks(const char *arch, bool control_plane);

/* The n-th address of the first service CIDR as text: 1 is the API's, 10 is DNS. */
int kc_service_address(const json_t *cluster, unsigned n, char out[46], struct kc_err *err);

#define KC_CLUSTER_DOMAIN "cluster.local"
#define KC_BALANCER	  "https://127.0.0.1:7445"

#endif
