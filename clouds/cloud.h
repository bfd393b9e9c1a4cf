/*
 * A cloud: where machines and networks come from.
 *
 * One const struct a cloud, one folder, one line in cli/registry.c. A cloud
 * turns a cluster's spec into tasks (its machines and networks, run by its own
 * provider) and into nodes: what the bootstrap needs to reach each machine.
 * Values that are only known once a machine exists are references into those
 * tasks ({"$ref": "local/machine/w1#address"}); the engine resolves them.
 *
 *   spec --model--> tasks (the graph's first part) + nodes
 *
 * Node: {"name": "w1", "role": "control-plane|worker", "group": "workers",
 *        "addresses": ["192.0.2.12" or a $ref], "labels": {}, "taints": [],
 *        "ssh": {"host", "user", "port", "identityFile", "hostKey", "bastion"},   values may be
 * $refs "after": ["local/machine/w1"],                   tasks that must be ready before SSH
 *        "within": "local/machine/w1"}                   goes with that task: no reset before it
 */
#ifndef KC_CLOUDS_CLOUD_H
#define KC_CLOUDS_CLOUD_H

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/plan/kind.h"

struct kc_cloud_env {
	const char *cluster; /* metadata.name */
	const char *uid;     /* the cluster's uid; the mark on everything made */
	const char *cache;   /* where big shared things live (~/.cache/kubecdn) */
};

struct kc_cloud {
	const char *name;    /* "local" */
	const char *summary; /* one line for --help */
	/*
	 * Fields of spec that this cloud acts on, "instanceGroups.minSize", NULL-terminated; or
	 * NULL. More than the default of any other field is refused (bootstrap/schema_honours.c
	 * has those that every cloud has in common).
	 */
	const char *const *honours;
	/* A default spec for `cluster create --cloud NAME` without a file; workers < 0: the cloud's
	 * choice. */
	int (*defaults)(const char *region, int workers, json_t **ret_spec, struct kc_err *err);
	/* Both are JSON arrays. spec is the validated, defaulted Cluster document. Pure. */
	int (*model)(const struct kc_cloud_env *env, const json_t *cluster, json_t **ret_tasks,
		     json_t **ret_nodes, struct kc_err *err);
	/* The provider that runs this cloud's kinds; NULL if it has none (onprem). */
	int (*open)(const struct kc_cloud_env *env, struct kc_provider *ret, struct kc_err *err);
	void (*close)(struct kc_provider *p);
};

#endif
