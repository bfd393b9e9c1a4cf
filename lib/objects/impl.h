/* What the files of lib/objects share; nobody else includes this. */
#ifndef KC_OBJECTS_IMPL_H
#define KC_OBJECTS_IMPL_H

#include "lib/objects/objects.h"

/* ctx.c: GET an object by its path. 0 with *ret NULL: absent; so is, until kc_kube_ctx_expect(),
 * what was never recorded while the API was never seen up. */
int kube_find(struct kc_kube_ctx *c, const struct kc_task *task, const json_t *identity,
	      json_t **ret, struct kc_err *err);
/* Server-side apply, again while the API is overloaded or restarting. */
int kube_apply(struct kc_kube_ctx *c, const struct kc_task *task, const json_t *object,
	       json_t **ret, struct kc_err *err);
/* Ask whoever can for the Node of a kube/node task; 0 also when nobody can. */
int kube_rejoin(struct kc_kube_ctx *c, const struct kc_task *task, struct kc_err *err);
/* Sleep ms; KC_ECANCELED when the user stops. */
int kube_pause(const struct kc_task *task, int64_t ms, struct kc_err *err);

/* object.c: does live carry owner's mark? */
bool kube_is_ours(const json_t *live, const char *owner);
/* Delete an object of ours in the background; KC_EAGAIN while it goes. */
int kube_remove(struct kc_kube_ctx *c, const struct kc_task *task, const json_t *identity,
		struct kc_err *err);

/* reduce.c: live without what neither want has nor our field manager owns; lists in want's order.
 * Owned. */
json_t *kube_reduce(const json_t *want, const json_t *live);
/* Our manager's fieldsV1 in live's managedFields, or NULL; borrowed. */
const json_t *kube_owned_fields(const json_t *live);

/* status.c: NULL when the object is ready, else what it waits for. Owned. */
char *kube_waits_for(const json_t *live);

/* podcidr.c: a block of pod addresses out of range for a Node that has none; *live is renewed. A
 * range without a free block in its upper half is left to the controller manager. */
int kube_give_pod_cidr(struct kc_kube *k, const char *name, const char *range, json_t **live,
		       struct kc_err *err);

/* service_ip.c: give back the address that the create of service took before it was cut off, if
 * that is why (of an apply at path) says no; true: apply again. */
bool kube_free_service_ip(struct kc_kube *k, const json_t *service, const char *path,
			  const struct kc_err *why);

/* drain.c: delete all pods of a node that is gone, as Kubernetes would in a while. */
int kube_drop_pods(struct kc_kube *k, const char *node, struct kc_err *err);
/* drain.c: cordon, evict for half a minute, delete the rest. */
int kube_drain(struct kc_kube *k, const struct kc_task *task, const char *node, struct kc_err *err);

#endif
